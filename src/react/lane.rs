//! One rule's way from a change through settling and waiting to its attempts and retries.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{AbortHandle, abortable};
use jiff::Timestamp;
use tokio::time::Instant;

use super::filing::Filing;
use super::ledger::{Ledger, Pending, Reached};
use super::making::Making;
use super::mount::{self, Expected};
use super::names::Names;
use super::reactor::{Event, Running};
use super::schedule::{Schedule, backoff};
use crate::actions::Attempt;
use crate::config::{Action, RestartAction, Rule, Settle};
use crate::state::RuleState;
use crate::status::Board;
use crate::store::ObjectRef;

/// The longest wait before a further attempt.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// One rule, and where it is.
pub(super) struct Lane {
    pub(super) rule: Arc<Rule>,
    /// Under this its state is kept.
    pub(super) identity: Arc<str>,
    pub(super) ledger: Ledger,
    pub(super) schedule: Schedule,
    pub(super) phase: Phase,
    /// When it began to wait for its mount, however often the content changed since.
    waiting: Option<Instant>,
    /// It is due, and files that hold its objects have yet to be written.
    held: bool,
    /// What its action noticed and has done.
    pub(super) making: Making,
    /// When it last acted.
    acted: Option<Timestamp>,
}

/// Where a rule is.
pub(super) enum Phase {
    /// Nothing to do but what the schedule says.
    Idle,
    /// Waits for its mount, until aborted.
    Waiting(AbortHandle),
    /// The mount has caught up.
    Ready(Pending),
    /// In line, or its attempt is under way.
    Busy,
    /// Its attempt failed.
    Retry {
        at: Instant,
        number: u32,
        pending: Pending,
    },
}

// === impl Lane ===

impl Lane {
    /// Starts where an earlier attache ended.
    pub(super) fn new(
        rule: Rule,
        names: &Names,
        settle: Settle,
        restored: Option<&RuleState>,
    ) -> Self {
        let timing = &rule.timing;
        let settle = timing.settle.unwrap_or(settle);
        let mut schedule = Schedule::new(settle, timing.splay, timing.min_interval);
        let acted = restored.and_then(|state| state.acted);
        if let Some(acted) = acted {
            let ago = Timestamp::now().duration_since(acted);
            let ago = Duration::try_from(ago).unwrap_or_default();
            if let Some(then) = Instant::now().checked_sub(ago) {
                schedule.acted(then);
            }
        }
        Self {
            ledger: Ledger::new(&rule.when, names, restored),
            schedule,
            phase: Phase::Idle,
            waiting: None,
            held: false,
            making: Making::new(restored),
            acted,
            identity: rule.identity.as_str().into(),
            rule: Arc::new(rule),
        }
    }

    pub(super) fn take_phase(&mut self) -> Phase {
        std::mem::replace(&mut self.phase, Phase::Idle)
    }

    pub(super) fn is_busy(&self) -> bool {
        matches!(self.phase, Phase::Busy)
    }

    /// Whether its attempts may take so long that later rules do not wait for them.
    pub(super) fn stands_aside(&self) -> bool {
        matches!(
            &self.rule.action,
            Action::Restart(
                RestartAction::Pod { .. }
                    | RestartAction::Rollout { .. }
                    | RestartAction::Pods { .. }
            )
        )
    }

    /// Whether the end of a burst can be dealt with now. A rule with a mount waits for that first,
    /// and so needs no line.
    pub(super) fn may_settle(&self, free: bool) -> bool {
        !self.is_busy() && !self.held && (free || self.rule.after_mount.is_some())
    }

    /// When it has something to do next; `None` if only an event can tell.
    pub(super) fn deadline(&self, free: bool) -> Option<Instant> {
        match &self.phase {
            Phase::Retry { at, .. } => Some(*at),
            _ if self.may_settle(free) => self.schedule.due(),
            _ => None,
        }
    }

    pub(super) fn take_ready(&mut self) -> Option<Pending> {
        match self.take_phase() {
            Phase::Ready(pending) => {
                self.phase = Phase::Busy;
                Some(pending)
            }
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// A newer change: the rule starts anew once it has settled. An attempt under way ends first.
    pub(super) fn supersede(&mut self) {
        match self.take_phase() {
            Phase::Busy => self.phase = Phase::Busy,
            Phase::Waiting(wait) => wait.abort(),
            Phase::Idle | Phase::Ready(_) | Phase::Retry { .. } => {}
        }
    }

    /// Whether it has to wait until the newest content of `objects` is in all files that hold it.
    pub(super) fn waits_for_files(
        &mut self,
        objects: &[ObjectRef],
        filing: &Filing,
        board: &Board,
    ) -> bool {
        self.held = filing.is_behind(objects);
        let problem = "waiting until the files that hold what changed are written";
        board.problem(
            &format!("{} files", self.rule.name),
            self.held.then(|| problem.to_owned()),
        );
        self.held
    }

    /// Files were written, or wanted otherwise: it looks again.
    pub(super) fn look_again(&mut self) {
        self.held = false;
    }

    /// Nothing is left to tell.
    pub(super) fn undone(&mut self, board: &Board) {
        self.waiting = None;
        self.making.forget();
        board.problem(&self.rule.name, None);
        board.problem(&self.mount_subject(), None);
    }

    fn mount_subject(&self) -> String {
        format!("{} afterMount", self.rule.name)
    }

    /// Says which objects' changes their annotation holds.
    pub(super) fn tell_paused(&self, paused: &[ObjectRef], board: &Board) {
        let names: Vec<String> = paused.iter().map(ObjectRef::to_string).collect();
        let problem = (!names.is_empty()).then(|| {
            format!(
                "the change of {} is held by its annotation {}: take it off to act",
                names.join(", "),
                crate::store::PAUSE
            )
        });
        board.problem(&format!("{} paused", self.rule.name), problem);
    }

    /// Begins to wait for the rule's mount.
    pub(super) fn wait(
        &mut self,
        index: usize,
        pending: Pending,
        now: Instant,
        board: &Board,
    ) -> Running<Event> {
        let dir = self.rule.after_mount.clone().unwrap_or_default();
        let references = pending.change.objects.iter().map(|o| &o.reference);
        let objects: Vec<String> = references.map(ObjectRef::to_string).collect();
        let problem = format!(
            "waiting for the mount {} to hold the newest {}",
            dir.display(),
            objects.join(", ")
        );
        board.problem(&self.mount_subject(), Some(problem));
        let since = *self.waiting.get_or_insert(now);
        let expected = Expected::new(&self.ledger, &pending);
        let rule = Arc::clone(&self.rule);
        let (wait, handle) = abortable(async move {
            mount::caught_up(&rule.name, dir, expected, since).await;
        });
        self.phase = Phase::Waiting(handle);
        Box::pin(async move {
            match wait.await {
                Ok(()) => Event::Mounted {
                    rule: index,
                    pending,
                },
                Err(_) => Event::Nothing,
            }
        })
    }

    /// Its mount has caught up.
    pub(super) fn mounted(&mut self, pending: Pending, board: &Board) {
        board.problem(&self.mount_subject(), None);
        self.waiting = None;
        self.phase = Phase::Ready(pending.not_before(Some(std::time::Instant::now())));
    }

    /// Begins an attempt with what its action noticed of that content, or where an earlier attempt
    /// with it ended.
    pub(super) fn begin(&mut self, number: u32, pending: &Pending) -> Attempt {
        self.phase = Phase::Busy;
        self.making.begin(&pending.change.content_hash);
        let left = self.rule.timing.retries >= number;
        Attempt {
            number,
            retry: left.then(|| wait_after(number)),
        }
    }

    /// What is to be kept over a restart of attache; see [`Ledger::state`].
    pub(super) fn state(&self, intent: Option<&Pending>) -> RuleState {
        RuleState {
            acted: self.acted,
            progress: self.making.kept(),
            ..self.ledger.state(intent)
        }
    }

    /// An attempt has ended.
    pub(super) fn attempted(&mut self, attempt: Attempt, pending: Pending, reached: Reached) {
        let now = Instant::now();
        self.phase = Phase::Idle;
        self.ledger.attempted(&pending, reached);
        if reached != Reached::No {
            self.acted = Some(Timestamp::now());
            self.schedule.acted(now);
        }
        if reached == Reached::Yes {
            self.making.done();
            return;
        }
        // A newer change is settling: it begins anew, with all that was not told.
        let superseded = self.schedule.due().is_some();
        if let Some(wait) = attempt.retry.filter(|_| !superseded) {
            let at = now + wait;
            self.phase = Phase::Retry {
                at: at.max(self.schedule.rests().unwrap_or(at)),
                number: attempt.number + 1,
                pending,
            };
        }
    }
}

/// The wait after a failed attempt, ±10 %.
fn wait_after(number: u32) -> Duration {
    backoff(number - 1, LONGEST_BACKOFF).mul_f64(0.9 + 0.2 * fastrand::f64())
}
