//! Follows the snapshot, and tells the app what changed: when, in which order, how often.
//!
//! Level-triggered (what is due is compared with what a rule was last told of), so that a state in
//! between may be skipped and the last one never is. What a failed attempt may have shown to the app
//! counts: it is told once more, even if the content is again what it was told before. One task owns everything here:
//!
//! ```text
//! Reader ─► seen ─► journal (board, log)
//!             └──► per rule: ledger ─► schedule ─► mount? ─► line ─► attempt ─► retry
//! ```
//!
//! `seen` judges what a snapshot changes, `ledger` keeps what a rule was told, `schedule` knows when
//! a burst is over, `mount` waits for the kubelet, `reactor` moves rules from one to the next.

mod journal;
mod ledger;
mod mount;
mod reactor;
mod schedule;
mod seen;

use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep_until};

use crate::actions::{Progress, Runner, Tools};
use crate::config::{Rule, Settle};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use crate::status::Board;
use crate::store::Reader;
use ledger::Reached;
use reactor::{Act, Reactor};

/// Follows `reader` until `shutdown`: journals every change of content and runs `rules`. `settle`
/// is for rules that give no settle time of their own, `default_namespace` for those that name an
/// object without one. A rule whose wait or attempt is under way at shutdown is left there.
pub async fn run(
    rules: Vec<Rule>,
    default_namespace: Arc<str>,
    settle: Settle,
    reader: Reader,
    board: Board,
    metrics: Metrics,
    tools: Tools,
    shutdown: Shutdown,
) {
    let runner = Runner::new(board.clone(), metrics.clone(), tools);
    let act: Act = Box::new(move |rule, change, attempt| {
        let runner = runner.clone();
        Box::pin(async move {
            let progress = Progress::default();
            match runner
                .run(&rule.name, &rule.action, &change, attempt, &progress)
                .await
            {
                Ok(_) => Reached::Yes,
                Err(error) if error.may_have_reached() => Reached::Perhaps,
                Err(_) => Reached::No,
            }
        })
    });
    let reactor = Reactor::new(rules, &default_namespace, settle, board, metrics, act);
    follow(reactor, reader, shutdown).await;
}

async fn follow(mut reactor: Reactor, mut reader: Reader, mut shutdown: Shutdown) {
    let mut open = true;
    let mut observed = None;
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
