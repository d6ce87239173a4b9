//! Moves every rule from a change through settling, waiting for a mount, its attempts and retries.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{AbortHandle, abortable};
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::journal;
use super::ledger::{Ledger, Pending, Reached};
use super::mount::{self, Expected};
use super::schedule::Schedule;
use super::seen::Seen;
use crate::actions::{Attempt, Change};
use crate::config::{Rule, Settle};
use crate::metrics::Metrics;
use crate::status::Board;
use crate::store::{ObjectRef, Snapshot};

/// How often an action is attempted in all.
const ATTEMPTS: u32 = 5;
/// The wait before the second attempt; it doubles with each further one.
const BACKOFF: Duration = Duration::from_secs(1);

/// Makes one attempt and reports on it.
pub(super) type Act =
    Box<dyn Fn(Arc<Rule>, Arc<Change>, Attempt) -> Running<Reached> + Send + Sync>;
type Running<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// Rules whose first attempts follow one another.
type Line = VecDeque<(usize, Pending)>;

/// All rules, and what is under way for them.
pub(super) struct Reactor {
    rules: Vec<Lane>,
    seen: Seen,
    board: Board,
    metrics: Metrics,
    act: Act,
    /// Attempts and waits under way.
    pub(super) events: FuturesUnordered<Running<Event>>,
    /// Whether a line of first attempts is under way.
    in_line: bool,
}

/// One rule's way.
struct Lane {
    rule: Arc<Rule>,
    ledger: Ledger,
    schedule: Schedule,
    phase: Phase,
    /// When it began to wait for its mount, however often the content changed since.
    waiting: Option<Instant>,
}

enum Phase {
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

/// Something under way has ended.
pub(super) enum Event {
    /// A rule's mount holds what was expected.
    Mounted { rule: usize, pending: Pending },
    /// A wait was superseded.
    Superseded,
    /// An attempt was made; `line` is what follows a first one.
    Attempted {
        rule: usize,
        attempt: Attempt,
        pending: Pending,
        reached: Reached,
        line: Option<Line>,
    },
}

// === impl Reactor ===

impl Reactor {
    pub(super) fn new(
        rules: Vec<Rule>,
        default_namespace: &Arc<str>,
        settle: Settle,
        board: Board,
        metrics: Metrics,
        act: Act,
    ) -> Self {
        let lane = |rule: Rule| Lane {
            ledger: Ledger::new(&rule.when, default_namespace),
            schedule: Schedule::new(rule.timing.settle.unwrap_or(settle)),
            phase: Phase::Idle,
            waiting: None,
            rule: Arc::new(rule),
        };
        Self {
            rules: rules.into_iter().map(lane).collect(),
            seen: Seen::default(),
            board,
            metrics,
            act,
            events: FuturesUnordered::new(),
            in_line: false,
        }
    }

    /// Takes over a newer snapshot: journals it, and starts the settle time of every rule that it
    /// concerns. Whatever such a rule waits for is superseded.
    pub(super) fn observe(&mut self, snapshot: &Snapshot) {
        let observed = self.seen.observe(snapshot);
        let now = Instant::now();
        for lane in &mut self.rules {
            let busy = matches!(lane.phase, Phase::Busy);
            if lane.ledger.observe(&observed, &self.seen, busy) {
                lane.schedule.touch(now);
                lane.supersede();
            }
        }
        for step in observed.steps {
            journal::record(step, &self.board, &self.metrics);
        }
    }

    /// Starts whatever is due: waits and retries at once, first attempts if no line is under way.
    pub(super) fn advance(&mut self, now: Instant) {
        let mut line = Line::new();
        for index in 0..self.rules.len() {
            let free = !self.in_line;
            let lane = &mut self.rules[index];
            if matches!(lane.phase, Phase::Retry { at, .. } if at <= now) {
                if let Phase::Retry {
                    number, pending, ..
                } = lane.take_phase()
                {
                    self.attempt(index, number, pending, None);
                }
                continue;
            }
            if free && let Some(pending) = lane.take_ready() {
                line.push_back((index, pending));
                continue;
            }
            if !lane.may_settle(free) || !lane.schedule.take_due(now) {
                continue;
            }
            match lane.ledger.pending(&self.seen) {
                None => lane.undone(&self.board),
                Some(pending) if lane.rule.after_mount.is_some() => {
                    let wait = lane.wait(index, pending, now, &self.board);
                    self.events.push(wait);
                }
                Some(pending) => {
                    lane.phase = Phase::Busy;
                    line.push_back((index, pending));
                }
            }
        }
        self.next_in(line);
    }

    /// When [`Reactor::advance`] has something to do next; `None` if only an event can tell.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let due = |lane: &Lane| match &lane.phase {
            Phase::Retry { at, .. } => Some(*at),
            _ if lane.may_settle(!self.in_line) => lane.schedule.due(),
            _ => None,
        };
        self.rules.iter().filter_map(due).min()
    }

    /// Takes over that something under way has ended.
    pub(super) fn finished(&mut self, event: Event) {
        match event {
            Event::Superseded => {}
            Event::Mounted { rule, pending } => {
                let lane = &mut self.rules[rule];
                self.board.problem(&lane.mount_subject(), None);
                lane.waiting = None;
                lane.phase = Phase::Ready(pending.since_now());
            }
            Event::Attempted {
                rule,
                attempt,
                pending,
                reached,
                line,
            } => {
                self.rules[rule].attempted(attempt, pending, reached);
                if let Some(line) = line {
                    self.in_line = false;
                    self.next_in(line);
                }
            }
        }
    }

    /// Starts the first attempt of the line's first rule; the others follow it.
    fn next_in(&mut self, mut line: Line) {
        if let Some((index, pending)) = line.pop_front() {
            self.in_line = true;
            self.attempt(index, 1, pending, Some(line));
        }
    }

    fn attempt(&mut self, index: usize, number: u32, pending: Pending, line: Option<Line>) {
        let lane = &mut self.rules[index];
        lane.phase = Phase::Busy;
        let attempt = Attempt {
            number,
            retry: backoff(number),
        };
        let change = Arc::clone(&pending.change);
        let running = (self.act)(Arc::clone(&lane.rule), change, attempt);
        self.events.push(Box::pin(async move {
            Event::Attempted {
                rule: index,
                attempt,
                pending,
                reached: running.await,
                line,
            }
        }));
    }
}

/// The wait after a failed attempt, ±10 %; `None` after the last.
fn backoff(number: u32) -> Option<Duration> {
    (number < ATTEMPTS)
        .then(|| (BACKOFF * (1 << (number - 1))).mul_f64(0.9 + 0.2 * fastrand::f64()))
}

// === impl Lane ===

impl Lane {
    fn take_phase(&mut self) -> Phase {
        std::mem::replace(&mut self.phase, Phase::Idle)
    }

    /// Whether the end of a burst can be dealt with now. A rule with a mount waits for that first,
    /// and so needs no line.
    fn may_settle(&self, free: bool) -> bool {
        !matches!(self.phase, Phase::Busy) && (free || self.rule.after_mount.is_some())
    }

    fn take_ready(&mut self) -> Option<Pending> {
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
    fn supersede(&mut self) {
        match self.take_phase() {
            Phase::Busy => self.phase = Phase::Busy,
            Phase::Waiting(wait) => wait.abort(),
            Phase::Idle | Phase::Ready(_) | Phase::Retry { .. } => {}
        }
    }

    /// Nothing is left to tell.
    fn undone(&mut self, board: &Board) {
        self.waiting = None;
        board.problem(&self.rule.name, None);
        board.problem(&self.mount_subject(), None);
    }

    fn mount_subject(&self) -> String {
        format!("{} afterMount", self.rule.name)
    }

    fn wait(
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
                Err(_) => Event::Superseded,
            }
        })
    }

    fn attempted(&mut self, attempt: Attempt, pending: Pending, reached: Reached) {
        self.phase = Phase::Idle;
        self.ledger.attempted(&pending, reached);
        if reached == Reached::Yes {
            return;
        }
        // A newer change is settling: it begins anew, with all that was not told.
        let superseded = self.schedule.due().is_some();
        if let Some(wait) = attempt.retry.filter(|_| !superseded) {
            self.phase = Phase::Retry {
                at: Instant::now() + wait,
                number: attempt.number + 1,
                pending,
            };
        }
    }
}
