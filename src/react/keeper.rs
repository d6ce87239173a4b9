//! Keeps content and what rules were told where it outlives attache.
//!
//! Level-triggered: of each, only the newest waits to be kept, however slow the disk. Content goes
//! before rules, so that whoever waits for a rule's intent knows that the content it acts upon was
//! kept before. What could not be kept is tried again with whatever is asked for next.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::state::{RuleState, StateDir, StateError};
use crate::status::Board;
use crate::store::Snapshot;

/// What is wrong with the state directory, among the board's problems.
const SUBJECT: &str = "state directory";

/// Asks for things to be kept; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Keeper {
    desk: Option<Desk>,
}

#[derive(Clone)]
struct Desk {
    asked: Arc<Mutex<Asked>>,
    /// Holds one word at most: there is something to do. It closes with the last keeper.
    wake: mpsc::Sender<()>,
}

/// What is to be kept.
#[derive(Default)]
struct Asked {
    content: Option<Arc<Snapshot>>,
    /// By the rules' identities.
    rules: BTreeMap<Arc<str>, AskedRule>,
}

struct AskedRule {
    state: RuleState,
    /// Dropped once it, or a newer one in its place, is kept or cannot be.
    waiting: Vec<oneshot::Sender<()>>,
}

// === impl Keeper ===

impl Keeper {
    /// A keeper for `dir`, and the work that it does until it and all its clones are gone.
    pub(super) fn new(dir: Arc<StateDir>, board: Board) -> (Self, impl Future<Output = ()>) {
        let (wake, woken) = mpsc::channel(1);
        let asked = Arc::default();
        let work = work(dir, board, Arc::clone(&asked), woken);
        let desk = Some(Desk { asked, wake });
        (Self { desk }, work)
    }

    /// Whether anything is kept.
    pub(super) fn is_on(&self) -> bool {
        self.desk.is_some()
    }

    /// Asks for the content of `snapshot` to be kept.
    pub(super) fn content(&self, snapshot: Arc<Snapshot>) {
        if let Some(desk) = &self.desk {
            desk.ask(|asked| asked.content = Some(snapshot));
        }
    }

    /// Asks for what a rule was told to be kept; the future ends when it is, or cannot be.
    pub(super) fn rule(
        &self,
        identity: &Arc<str>,
        state: RuleState,
    ) -> impl Future<Output = ()> + use<> {
        let kept = self.desk.as_ref().map(|desk| {
            let (waiting, kept) = oneshot::channel();
            desk.ask(|asked| asked.rule(Arc::clone(identity), state, waiting));
            kept
        });
        async move {
            if let Some(kept) = kept {
                // There is no answer but that nothing is to be waited for any more.
                let _ = kept.await;
            }
        }
    }
}

// === impl Desk ===

impl Desk {
    fn ask(&self, what: impl FnOnce(&mut Asked)) {
        what(&mut lock(&self.asked));
        // If it is full, the work will look anyway.
        let _ = self.wake.try_send(());
    }
}

// === impl Asked ===

impl Asked {
    fn rule(&mut self, identity: Arc<str>, state: RuleState, waiting: oneshot::Sender<()>) {
        let asked = self.rules.entry(identity).or_insert_with(|| AskedRule {
            state: RuleState::default(),
            waiting: Vec::new(),
        });
        asked.state = state;
        // Many may come while a disk hangs; most have nobody who waits.
        asked.waiting.retain(|waiting| !waiting.is_closed());
        asked.waiting.push(waiting);
    }

    /// Keeps all of it; what cannot be kept of rules, and the last reason. Blocks.
    fn keep(self, dir: &StateDir) -> (BTreeMap<Arc<str>, RuleState>, Option<StateError>) {
        let content = self.content.map(|snapshot| dir.keep_content(&snapshot));
        let mut failed = content.and_then(Result::err);
        let mut unkept = BTreeMap::new();
        for (identity, AskedRule { state, waiting }) in self.rules {
            if let Err(error) = dir.keep_rule(&identity, &state) {
                unkept.insert(identity, state);
                failed = Some(error);
            }
            drop(waiting);
        }
        (unkept, failed)
    }

    /// Asks once more for what nothing newer has come of.
    fn again(&mut self, unkept: BTreeMap<Arc<str>, RuleState>) {
        for (identity, state) in unkept {
            let waiting = Vec::new();
            self.rules
                .entry(identity)
                .or_insert(AskedRule { state, waiting });
        }
    }
}

async fn work(
    dir: Arc<StateDir>,
    board: Board,
    asked: Arc<Mutex<Asked>>,
    mut woken: mpsc::Receiver<()>,
) {
    let mut failing = false;
    while woken.recv().await.is_some() {
        let now = std::mem::take(&mut *lock(&asked));
        let dir = Arc::clone(&dir);
        let failed = match tokio::task::spawn_blocking(move || now.keep(&dir)).await {
            Ok((unkept, failed)) => {
                lock(&asked).again(unkept);
                failed.map(|error| error.to_string())
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = failed.as_ref().filter(|_| !failing) {
            tracing::warn!(
                error,
                "state is not kept: after a restart attache may act again upon content that it \
                 acted upon; it tries again within a minute"
            );
        }
        failing = failed.is_some();
        board.problem(SUBJECT, failed);
    }
}

fn lock(asked: &Mutex<Asked>) -> MutexGuard<'_, Asked> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Kind, ObjectRef, RawObject, ScopeSpec, Selects};

    fn state(value: &str) -> RuleState {
        RuleState {
            progress: Some(value.into()),
            ..RuleState::default()
        }
    }

    fn open(place: &tempfile::TempDir) -> (Arc<StateDir>, crate::state::Restored) {
        let (dir, restored) = StateDir::open(&place.path().join("state"), false).unwrap();
        (Arc::new(dir), restored)
    }

    #[tokio::test]
    async fn a_slow_disk_makes_no_old_content_wait_and_all_is_kept_at_the_end() {
        let place = tempfile::tempdir().unwrap();
        let (keeper, work) = Keeper::new(open(&place).0, Board::default());
        let (writer, reader) = crate::store::new(1 << 20);
        let reference = ObjectRef::new(Kind::ConfigMap, "default", "a");
        let scope = writer.scope(ScopeSpec::declared(Selects::Named(reference.clone())));
        let (mut snapshots, mut kept) = (Vec::new(), Vec::new());
        for number in 0..100 {
            scope.replace(vec![scope.freeze(RawObject {
                resource_version: number.to_string(),
                ..RawObject::empty(reference.clone())
            })]);
            snapshots.push(Arc::downgrade(&reader.snapshot()));
            keeper.content(reader.snapshot());
            kept.push(keeper.rule(&"r".into(), state(&number.to_string())));
        }
        let held = snapshots.iter().filter(|weak| weak.strong_count() > 0);
        assert_eq!(held.count(), 1);
        drop(keeper);
        work.await;
        futures_util::future::join_all(kept).await;
        let (_, restored) = open(&place);
        assert_eq!(restored.rule("r"), Some(&state("99")));
        let scope = restored.scopes.values().next().unwrap();
        assert_eq!(scope.objects[0].0.resource_version, "99");
    }

    #[tokio::test]
    async fn what_could_not_be_kept_of_a_rule_is_tried_again() {
        let place = tempfile::tempdir().unwrap();
        let (dir, _) = open(&place);
        let (keeper, work) = Keeper::new(Arc::clone(&dir), Board::default());
        let work = tokio::spawn(work);
        std::fs::remove_dir(place.path().join("state/rules")).unwrap();
        keeper.rule(&"r".into(), state("1")).await;
        std::fs::create_dir(place.path().join("state/rules")).unwrap();
        keeper.content(Arc::default());
        drop((keeper, dir));
        work.await.unwrap();
        assert_eq!(open(&place).1.rule("r"), Some(&state("1")));
    }
}
