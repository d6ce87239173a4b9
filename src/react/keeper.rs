//! Keeps content and what rules were told where it outlives attache, one thing after the other.
//!
//! What is asked for first is kept first, so that whoever waits for a rule's intent knows that the
//! content it acts upon was kept before.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::state::{RuleState, StateDir, StateError};
use crate::status::Board;
use crate::store::Snapshot;

/// What is wrong with the state directory, among the board's problems.
const SUBJECT: &str = "state directory";

/// Asks for things to be kept; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Keeper {
    jobs: Option<mpsc::UnboundedSender<Job>>,
}

struct Job {
    what: What,
    done: oneshot::Sender<()>,
}

enum What {
    Content(Arc<Snapshot>),
    Rule(Arc<str>, RuleState),
}

// === impl Keeper ===

impl Keeper {
    /// A keeper for `dir`, and the work that it does until it and all its clones are gone.
    pub(super) fn new(dir: Arc<StateDir>, board: Board) -> (Self, impl Future<Output = ()>) {
        let (jobs, asked) = mpsc::unbounded_channel();
        (Self { jobs: Some(jobs) }, work(dir, board, asked))
    }

    /// Whether anything is kept.
    pub(super) fn is_on(&self) -> bool {
        self.jobs.is_some()
    }

    /// Asks for the content of `snapshot` to be kept.
    pub(super) fn content(&self, snapshot: Arc<Snapshot>) {
        drop(self.ask(What::Content(snapshot)));
    }

    /// Asks for what a rule was told to be kept; the future ends when it is, or cannot be.
    pub(super) fn rule(
        &self,
        identity: &Arc<str>,
        state: RuleState,
    ) -> impl Future<Output = ()> + use<> {
        let done = self.ask(What::Rule(Arc::clone(identity), state));
        async move {
            if let Some(done) = done {
                // Without an answer attache is ending, and nothing waits any more.
                let _ = done.await;
            }
        }
    }

    fn ask(&self, what: What) -> Option<oneshot::Receiver<()>> {
        let (done, kept) = oneshot::channel();
        let jobs = self.jobs.as_ref()?;
        jobs.send(Job { what, done }).ok().map(|()| kept)
    }
}

async fn work(dir: Arc<StateDir>, board: Board, mut asked: mpsc::UnboundedReceiver<Job>) {
    let mut failing = false;
    let mut batch = Vec::new();
    while asked.recv_many(&mut batch, usize::MAX).await > 0 {
        let jobs = superseded_left_out(std::mem::take(&mut batch));
        let dir = Arc::clone(&dir);
        let keeping = tokio::task::spawn_blocking(move || {
            let mut failed = None;
            for Job { what, done } in jobs {
                failed = keep(&dir, &what).err().or(failed);
                let _ = done.send(());
            }
            failed
        });
        let failed = match keeping.await {
            Ok(failed) => failed.map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = failed.as_ref().filter(|_| !failing) {
            tracing::warn!(
                error,
                "state is not kept: after a restart attache may act again upon content that it \
                 acted upon; it tries again with the next change"
            );
        }
        failing = failed.is_some();
        board.problem(SUBJECT, failed);
    }
}

fn keep(dir: &StateDir, what: &What) -> Result<(), StateError> {
    match what {
        What::Content(snapshot) => dir.keep_content(snapshot),
        What::Rule(identity, state) => dir.keep_rule(identity, state),
    }
}

/// Of the contents asked for, the newest alone, in the place of the first.
fn superseded_left_out(mut jobs: Vec<Job>) -> Vec<Job> {
    let is_content = |job: &Job| matches!(job.what, What::Content(_));
    if let Some(first) = jobs.iter().position(is_content)
        && let Some(last) = jobs.iter().rposition(is_content)
    {
        jobs.swap(first, last);
        let mut at = 0;
        jobs.retain(|job| {
            at += 1;
            at - 1 == first || !is_content(job)
        });
    }
    jobs
}
