//! What is to be done with the command, and when: a pure function of moments and environments.
//!
//! ```text
//!            changed, or asked to end
//! Running ───────────────────────────► Stopping ──► (killed) ──► started anew, or the end
//!    │ ended by itself
//!    └───► the end; with `keep`: Down ──► started anew
//! ```

use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Exec, Reload, Settle};
use crate::react::{Schedule, backoff};

/// The longest wait before a command that ended by itself is started again.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// How often it is told again of a change that it could not be told of, after the same waits.
const TELLINGS: u32 = 4;
/// A command that ran so long has started well: the next wait is the first again.
const RAN_WELL: Duration = Duration::from_secs(60);

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Start the command; then tell [`Plan::started`] or [`Plan::not_started`].
    Start,
    /// Ask the command to end.
    Stop,
    /// End it.
    Kill,
    /// Tell it that its environment changed; then tell [`Plan::told`] or [`Plan::not_told`].
    Signal,
    /// Say whether it runs with what there is.
    Note,
    /// attache ends with this exit code.
    End(u8),
}

/// Where the command is. `E` is an environment.
#[derive(Debug)]
pub(super) struct Plan<E> {
    reload: Reload,
    keep: bool,
    stop_timeout: Duration,
    min_interval: Duration,
    schedule: Schedule,
    /// The environment that it is to have.
    wanted: E,
    /// The one that it has, or was told of.
    has: E,
    /// How often it ended by itself lately.
    ended: u32,
    started: Instant,
    /// How often it could not be told of the present change.
    untold: u32,
    /// When it is to be told again.
    again: Option<Instant>,
    phase: Phase,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Stopping {
        then: Then,
        kill: Instant,
        killed: bool,
    },
    Down {
        until: Instant,
    },
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Then {
    Start,
    End,
}

// === impl Plan ===

impl<E: PartialEq + Clone> Plan<E> {
    /// A command that is about to be started with `wanted`. `settle` is for an `exec` that gives no
    /// settle time of its own.
    pub(super) fn new(exec: &Exec, settle: Settle, wanted: E, now: Instant) -> Self {
        let timing = &exec.timing;
        let settle = timing.settle.unwrap_or(settle);
        Self {
            reload: exec.reload.clone(),
            keep: exec.keep,
            stop_timeout: exec.stop_timeout,
            min_interval: timing.min_interval,
            schedule: Schedule::new(settle, timing.splay, timing.min_interval),
            has: wanted.clone(),
            wanted,
            ended: 0,
            started: now,
            untold: 0,
            again: None,
            phase: Phase::Running,
        }
    }

    /// The environment that the command has, or was told of.
    pub(super) fn has(&self) -> &E {
        &self.has
    }

    /// The environment that it is to have.
    pub(super) fn wanted(&self) -> &E {
        &self.wanted
    }

    /// Whether the command is being stopped to be started anew.
    pub(super) fn restarts(&self) -> bool {
        matches!(
            self.phase,
            Phase::Stopping {
                then: Then::Start,
                ..
            }
        )
    }

    /// Takes over what the environment is now to be.
    pub(super) fn want(&mut self, now: Instant, wanted: E) {
        if wanted != self.wanted {
            self.wanted = wanted;
            self.schedule.touch(now);
        }
    }

    /// What is due; to be asked again until there is nothing more.
    pub(super) fn advance(&mut self, now: Instant) -> Option<Step> {
        match &mut self.phase {
            Phase::Running => {
                let again = self.again.take_if(|again| *again <= now).is_some();
                if !self.schedule.take_due(now) && !again {
                    return None;
                }
                self.changed(now)
            }
            Phase::Stopping { kill, killed, .. } if !*killed && *kill <= now => {
                *killed = true;
                Some(Step::Kill)
            }
            Phase::Down { until } if *until <= now => Some(Step::Start),
            Phase::Stopping { .. } | Phase::Down { .. } => None,
        }
    }

    /// A burst of changes is over; it may have changed nothing in the end.
    fn changed(&mut self, now: Instant) -> Option<Step> {
        match (&self.reload, self.wanted == self.has) {
            (Reload::None, _) => Some(Step::Note),
            (_, true) => None,
            (Reload::Restart, false) => {
                self.stop(now, Then::Start);
                Some(Step::Stop)
            }
            (Reload::Signal(_), false) => Some(Step::Signal),
        }
    }

    /// When [`Plan::advance`] has something to do; `None` if only an event can tell.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Running => self.schedule.due().into_iter().chain(self.again).min(),
            Phase::Stopping { kill, killed, .. } => (!killed).then_some(*kill),
            Phase::Down { until } => Some(*until),
        }
    }

    /// The command was started with the environment that was wanted.
    pub(super) fn started(&mut self, now: Instant) {
        self.told(now);
        self.started = now;
        self.phase = Phase::Running;
    }

    /// The command could not be told that its environment is now to be another: whether it is tried
    /// again. A program may catch the signal only some time after its start.
    pub(super) fn not_told(&mut self, now: Instant) -> bool {
        let left = self.untold < TELLINGS;
        if left {
            self.again = Some(now + backoff(self.untold, LONGEST_BACKOFF));
            self.untold += 1;
        } else {
            self.told(now);
        }
        left
    }

    /// The command was told that its environment is now to be another.
    pub(super) fn told(&mut self, now: Instant) {
        self.untold = 0;
        self.again = None;
        self.has = self.wanted.clone();
        self.schedule.acted(now);
    }

    /// The command could not be started, and attache ends with `code`, unless it is to keep on.
    pub(super) fn not_started(&mut self, now: Instant, code: u8) -> Option<Step> {
        self.alone(now, code)
    }

    /// The command ended, with this exit code.
    pub(super) fn ended(&mut self, now: Instant, code: u8) -> Option<Step> {
        match self.phase {
            Phase::Stopping {
                then: Then::Start, ..
            } => Some(Step::Start),
            Phase::Stopping {
                then: Then::End, ..
            } => Some(Step::End(code)),
            Phase::Running | Phase::Down { .. } => self.alone(now, code),
        }
    }

    /// The command is down, and attache did not ask for it.
    fn alone(&mut self, now: Instant, code: u8) -> Option<Step> {
        if !self.keep {
            return Some(Step::End(code));
        }
        if now.duration_since(self.started) >= RAN_WELL {
            self.ended = 0;
        }
        let until = now + backoff(self.ended, LONGEST_BACKOFF);
        self.ended += 1;
        self.phase = Phase::Down {
            until: until.max(self.started + self.min_interval),
        };
        None
    }

    /// attache is asked to end; asked twice, it does not wait. `code` is its exit code if nothing
    /// runs.
    pub(super) fn end(&mut self, now: Instant, code: u8) -> Option<Step> {
        match &mut self.phase {
            Phase::Running => {
                self.stop(now, Then::End);
                Some(Step::Stop)
            }
            Phase::Stopping {
                then: then @ Then::Start,
                ..
            } => {
                *then = Then::End;
                None
            }
            Phase::Stopping { kill, .. } => {
                *kill = now.min(*kill);
                None
            }
            Phase::Down { .. } => Some(Step::End(code)),
        }
    }

    fn stop(&mut self, now: Instant, then: Then) {
        self.phase = Phase::Stopping {
            then,
            kill: now + self.stop_timeout,
            killed: false,
        };
    }
}

#[cfg(test)]
mod tests;
