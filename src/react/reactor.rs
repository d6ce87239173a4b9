//! Moves rules from one thing to the next: files first, then actions in the order of the rules.

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::filing::{Filed, Filing};
use super::journal;
use super::keeper::Keeper;
use super::lane::{Lane, Phase};
use super::ledger::{Pending, Reached};
use super::seen::Seen;
use crate::actions::{Attempt, Change, Progress};
use crate::config::Rule;
use crate::failpoint;
use crate::metrics::Metrics;
use crate::status::Board;
use crate::store::Snapshot;

/// How long an action waits for its intent to be kept: a disk that hangs must not hold actions for
/// ever.
const LONGEST_KEEPING: Duration = Duration::from_secs(10);

/// Makes one attempt and reports on it.
pub(super) type Act =
    Box<dyn Fn(Arc<Rule>, Arc<Change>, Attempt, Progress) -> Running<Reached> + Send + Sync>;
/// Looks at the world when a change comes.
pub(super) type Notice =
    Box<dyn Fn(Arc<Rule>, Arc<Change>) -> Running<Option<Value>> + Send + Sync>;
pub(super) type Running<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// Rules whose first attempts follow one another.
type Line = VecDeque<(usize, Pending)>;

/// All rules, and what is under way for them.
pub(super) struct Reactor {
    lanes: Vec<Lane>,
    filing: Filing,
    pub(super) keeper: Keeper,
    act: Act,
    notice: Notice,
    seen: Seen,
    board: Board,
    metrics: Metrics,
    /// Attempts and waits under way.
    pub(super) events: FuturesUnordered<Running<Event>>,
    /// Whether a line of first attempts is under way.
    in_line: bool,
}

/// Something under way has ended.
pub(super) enum Event {
    /// A rule's mount holds what was expected.
    Mounted { rule: usize, pending: Pending },
    /// A wait was superseded.
    Nothing,
    /// Files were written, or were not.
    Filed(Filed),
    /// A rule's action noticed something as its change came.
    Noticed {
        rule: usize,
        content_hash: String,
        noticed: Option<Value>,
    },
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
        lanes: Vec<Lane>,
        filing: Filing,
        keeper: Keeper,
        (act, notice): (Act, Notice),
        board: Board,
        metrics: Metrics,
    ) -> Self {
        let mut unseen = BTreeSet::new();
        unseen.extend(lanes.iter().flat_map(|lane| lane.ledger.unseen().cloned()));
        Self {
            seen: Seen::expecting(unseen),
            lanes,
            filing,
            keeper,
            act,
            notice,
            board,
            metrics,
            events: FuturesUnordered::new(),
            in_line: false,
        }
    }

    /// Takes over a newer snapshot: has it kept, journals it, and starts the settle time of every
    /// rule that it concerns. Whatever such a rule waits for is superseded.
    pub(super) fn observe(&mut self, snapshot: &Arc<Snapshot>) {
        let observed = self.seen.observe(snapshot);
        self.keeper.content(Arc::clone(snapshot));
        self.filing.observe(snapshot, &self.seen);
        let now = Instant::now();
        for index in 0..self.lanes.len() {
            let lane = &mut self.lanes[index];
            let busy = lane.is_busy();
            lane.look_again();
            if lane.ledger.observe(&observed, &self.seen, busy) {
                lane.schedule.touch(now);
                lane.supersede();
                self.notice(index);
            }
            self.keep_if_moved(index);
        }
        for step in observed.steps {
            journal::record(step, &self.board, &self.metrics);
        }
    }

    /// Has the action of a rule look at the world as its change comes.
    fn notice(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        if !lane.stands_aside() && !lane.making.is_under_way() {
            return;
        }
        let Some(pending) = lane.ledger.pending(&self.seen) else {
            return;
        };
        lane.making.changed(&pending.change.content_hash);
        if !lane.stands_aside() || !lane.making.notices(&pending.change) {
            return;
        }
        let content_hash = pending.change.content_hash.clone();
        let notice = (self.notice)(Arc::clone(&lane.rule), pending.change);
        self.events.push(Box::pin(async move {
            Event::Noticed {
                rule: index,
                content_hash,
                noticed: notice.await,
            }
        }));
    }

    /// Starts whatever is due: files, waits and retries at once, first attempts if no line is under
    /// way.
    pub(super) fn advance(&mut self, now: Instant) {
        for writing in self.filing.begin(now) {
            let event = async move { Event::Filed(writing.await) };
            self.events.push(Box::pin(event));
        }
        let mut line = Line::new();
        for index in 0..self.lanes.len() {
            let free = !self.in_line;
            let lane = &mut self.lanes[index];
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
            if let Some(pending) = self.settled(index, free, now) {
                line.push_back((index, pending));
            }
        }
        self.next_in(line);
    }

    /// What a rule is to tell now that its burst is over, unless it has to wait for something.
    fn settled(&mut self, index: usize, free: bool, now: Instant) -> Option<Pending> {
        let lane = &mut self.lanes[index];
        let is_due = lane.schedule.due().is_some_and(|due| due <= now);
        if !is_due || !lane.may_settle(free) {
            return None;
        }
        lane.tell_paused(&lane.ledger.paused(&self.seen), &self.board);
        let pending = lane.ledger.pending(&self.seen);
        let objects = pending.as_ref().map(Pending::objects).unwrap_or_default();
        if lane.waits_for_files(&objects, &self.filing, &self.board) {
            return None;
        }
        lane.schedule.take_due(now);
        let Some(pending) = pending else {
            lane.undone(&self.board);
            self.keep_if_moved(index);
            return None;
        };
        let pending = pending.not_before(self.filing.since(&objects));
        if lane.rule.after_mount.is_some() {
            let wait = lane.wait(index, pending, now, &self.board);
            self.events.push(wait);
            return None;
        }
        lane.phase = Phase::Busy;
        Some(pending)
    }

    /// When [`Reactor::advance`] has something to do next; `None` if only an event can tell.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let lanes = self.lanes.iter();
        let due = lanes.filter_map(|lane| lane.deadline(!self.in_line)).min();
        due.into_iter().chain(self.filing.deadline()).min()
    }

    /// Takes over that something under way has ended.
    pub(super) fn finished(&mut self, event: Event) {
        match event {
            Event::Nothing => {}
            Event::Mounted { rule, pending } => self.lanes[rule].mounted(pending, &self.board),
            Event::Filed(filed) => {
                self.filing.filed(filed, Instant::now());
                self.lanes.iter_mut().for_each(Lane::look_again);
            }
            Event::Noticed {
                rule,
                content_hash,
                noticed,
            } => {
                let lane = &mut self.lanes[rule];
                lane.making.noticed(content_hash, noticed);
                if !lane.is_busy() {
                    self.keep(rule);
                }
            }
            Event::Attempted {
                rule,
                attempt,
                pending,
                reached,
                line,
            } => {
                self.lanes[rule].attempted(attempt, pending, reached);
                self.keep(rule);
                if let Some(line) = line {
                    self.in_line = false;
                    self.next_in(line);
                }
            }
        }
    }

    /// Has what a rule was told kept, if it moved on without an attempt, as by a baseline.
    fn keep_if_moved(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        if !lane.is_busy() && lane.ledger.has_moved() {
            self.keep(index);
        }
    }

    /// Has what a rule was told kept; nothing waits for it.
    fn keep(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        lane.ledger.kept();
        if self.keeper.is_on() {
            drop(self.keeper.rule(&lane.identity, lane.state(None)));
        }
    }

    /// Starts the first attempt of the line's first rule; the others follow it, or go on at once if
    /// it may take long.
    fn next_in(&mut self, mut line: Line) {
        while let Some((index, pending)) = line.pop_front() {
            if !self.lanes[index].stands_aside() {
                self.in_line = true;
                return self.attempt(index, 1, pending, Some(line));
            }
            self.attempt(index, 1, pending, None);
        }
    }

    fn attempt(&mut self, index: usize, number: u32, pending: Pending, line: Option<Line>) {
        let lane = &mut self.lanes[index];
        let attempt = lane.begin(number, &pending);
        // Kept before it acts, and with it the content: should attache end in between, the next
        // one knows what the app may have read.
        let intent = self.keeper.is_on().then(|| lane.state(Some(&pending)));
        let (making, identity) = (&mut lane.making, &lane.identity);
        let progress = making.progress(&self.keeper, identity, intent.as_ref());
        let kept = intent.map(|intent| self.keeper.rule(&lane.identity, intent));
        let change = Arc::clone(&pending.change);
        let running = (self.act)(Arc::clone(&lane.rule), change, attempt, progress);
        self.events.push(Box::pin(async move {
            if let Some(kept) = kept
                && timeout(LONGEST_KEEPING, kept).await.is_err()
            {
                tracing::warn!(
                    "the state directory hangs; the rule acts without its intent being kept"
                );
            }
            failpoint::reach("rule-before-act");
            let reached = running.await;
            failpoint::reach("rule-after-act");
            Event::Attempted {
                rule: index,
                attempt,
                pending,
                reached,
                line,
            }
        }));
    }
}
