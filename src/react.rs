//! Follows the snapshot, writes it to files, and tells the app what changed: when, in which order,
//! how often.
//!
//! Level-triggered (what is due is compared with what a rule was last told of), so that a state in
//! between may be skipped and the last one never is. What a failed attempt may have shown to the app
//! counts: it is told once more, even if the content is again what it was told before. One task owns everything here:
//!
//! ```text
//! Reader ─► seen ─► journal (board, log)
//!             ├───► filing ─► files
//!             └──► per rule (lane): ledger ─► schedule ─► files? ─► mount? ─► line ─► attempt ─► retry
//!                                                                        keeper ─► state
//! ```
//!
//! `seen` judges what a snapshot changes, `filing` has files written, `ledger` keeps what a rule was
//! told, `schedule` knows when a rule acts, `mount` waits for the kubelet, `keeper` has things kept
//! over a restart of attache, `reactor` moves rules (`lane`) from one to the next.

mod filing;
mod journal;
mod keeper;
mod lane;
mod ledger;
mod making;
mod mount;
mod names;
mod reactor;
mod schedule;
mod seen;
mod shown;
mod told;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, interval, sleep_until};

use crate::actions::{Progress, Runner, Tools};
use crate::config::{FilesRule, Rule, Settle};
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::shutdown::Shutdown;
use crate::state::{Restored, StateDir};
use crate::status::Board;
use crate::store::Reader;
use filing::Filing;
use keeper::Keeper;
use lane::Lane;
use ledger::Reached;
pub use names::Names;
use reactor::{Act, Notice, Reactor};
pub(crate) use schedule::{Schedule, backoff};

/// How often the state directory learns that what it holds is still current.
const STILL_CURRENT: Duration = Duration::from_secs(60);

/// What rules work with.
pub struct Inputs {
    /// The `onChange` rules, in order.
    pub rules: Vec<Rule>,
    /// The `files` rules, in order.
    pub files: Vec<FilesRule>,
    /// Names objects in the default namespace.
    pub names: Names,
    /// For rules that give no settle time of their own.
    pub settle: Settle,
    /// What is followed.
    pub reader: Reader,
    /// Where problems are told.
    pub board: Board,
    /// Where changes and actions are counted.
    pub metrics: Metrics,
    /// What actions work with.
    pub tools: Tools,
    /// Where state is kept, and what was kept there of rules.
    pub state: Option<(Arc<StateDir>, Restored)>,
    /// Whether files written from restored content make ready.
    pub ready_from_state: bool,
}

/// The rules, ready to run.
pub struct React {
    reactor: Reactor,
    reader: Reader,
    /// The keeper's work.
    keeping: BoxFuture<'static, ()>,
}

// === impl React ===

impl React {
    /// Makes the rules ready. Readiness waits for the first write of all files.
    #[must_use]
    pub fn new(inputs: Inputs, readiness: &Readiness) -> Self {
        let Inputs {
            rules,
            files,
            names,
            settle,
            reader,
            board,
            metrics,
            tools,
            state,
            ready_from_state,
        } = inputs;
        let filing = Filing::new(
            &files,
            &names,
            board.clone(),
            metrics.clone(),
            readiness,
            ready_from_state,
        );
        let (keeper, keeping, restored): (_, BoxFuture<'static, ()>, _) = match state {
            Some((dir, restored)) => {
                let (keeper, keeping) = Keeper::new(dir, board.clone());
                (keeper, Box::pin(keeping), restored)
            }
            None => (
                Keeper::default(),
                Box::pin(std::future::ready(())),
                Restored::default(),
            ),
        };
        let lanes = rules.into_iter().map(|rule| {
            let restored = restored.rule(&rule.identity);
            Lane::new(rule, &names, settle, restored)
        });
        let doing = doing(Runner::new(board.clone(), metrics.clone(), tools));
        Self {
            reactor: Reactor::new(lanes.collect(), filing, keeper, doing, board, metrics),
            reader,
            keeping,
        }
    }

    /// Follows the store until `shutdown`: journals every change of content, writes files and runs
    /// rules. A rule whose wait or attempt is under way at shutdown is left there; what it was told
    /// before is kept.
    pub async fn run(self, shutdown: Shutdown) {
        let Self {
            reactor,
            reader,
            keeping,
        } = self;
        // The keeper ends once nothing can ask it any more.
        tokio::join!(follow(reactor, reader, shutdown), keeping);
    }
}

fn doing(runner: Runner) -> (Act, Notice) {
    let noticing = runner.clone();
    let act: Act = Box::new(move |rule, change, attempt, progress: Progress| {
        let runner = runner.clone();
        Box::pin(async move {
            let (name, action) = (&rule.name, &rule.action);
            let outcome = runner.run(name, action, &change, attempt, &progress).await;
            match outcome {
                Ok(_) => Reached::Yes,
                Err(error) if error.may_have_reached() => Reached::Perhaps,
                Err(_) => Reached::No,
            }
        })
    });
    let notice: Notice = Box::new(move |rule, change| {
        let runner = noticing.clone();
        Box::pin(async move { runner.notice(&rule.action, &change).await })
    });
    (act, notice)
}

async fn follow(mut reactor: Reactor, mut reader: Reader, mut shutdown: Shutdown) {
    let mut open = true;
    let mut observed = None;
    let mut still_current = interval(STILL_CURRENT);
    loop {
        // Whatever woke the task, it acts upon the newest state.
        catch_up(&mut reactor, &reader, &mut observed);
        reactor.advance(Instant::now());
        let deadline = reactor.deadline();
        tokio::select! {
            () = shutdown.requested() => return,
            // Without a source, what is due still runs.
            snapshot = reader.changed(), if open => open = snapshot.is_some(),
            Some(event) = reactor.events.next(), if !reactor.events.is_empty() => {
                // What came during an attempt may have been read by it.
                catch_up(&mut reactor, &reader, &mut observed);
                reactor.finished(event);
            }
            _ = still_current.tick(), if reactor.keeper.is_on() => {
                reactor.keeper.content(reader.snapshot());
            }
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
        }
    }
}

fn catch_up(reactor: &mut Reactor, reader: &Reader, observed: &mut Option<u64>) {
    let snapshot = reader.snapshot();
    if observed.replace(snapshot.version()) != Some(snapshot.version()) {
        reactor.observe(&snapshot);
    }
}

#[cfg(test)]
mod tests;
