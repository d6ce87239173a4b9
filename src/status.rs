//! A board of recent events for `/-/status`. Any task writes; values of keys never come here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

/// How many changes, and how many actions, are kept.
const KEPT: usize = 100;

/// The board; cheap to clone.
#[derive(Clone, Default)]
pub struct Board {
    inner: Arc<Mutex<Notes>>,
}

/// What the board holds, oldest first.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notes {
    /// The newest changes of content.
    pub changes: VecDeque<ChangeNote>,
    /// The newest actions.
    pub actions: VecDeque<ActionNote>,
    /// What is wrong now, by subject (a file, an object, a rule).
    pub problems: BTreeMap<String, String>,
}

/// A change of an object's content.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeNote {
    /// When attache saw it.
    pub time: Timestamp,
    /// ConfigMap or Secret.
    pub kind: &'static str,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The object's new resourceVersion; empty for files and deletions.
    pub resource_version: String,
    /// Keys added.
    pub added: Vec<String>,
    /// Keys with a new value.
    pub changed: Vec<String>,
    /// Keys removed.
    pub removed: Vec<String>,
}

/// One run of an action.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionNote {
    /// When it ended.
    pub time: Timestamp,
    /// The rule, as `onChange[0]`.
    pub rule: String,
    /// `signal`, `webhook`, ….
    pub action: &'static str,
    /// The objects whose change it told of, as `ConfigMap default/web`.
    pub objects: Vec<String>,
    /// `ok`, `retrying`, `failed` or `skipped`.
    pub outcome: &'static str,
    /// What was done, or what went wrong and what to do.
    pub detail: String,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// How long it took, in seconds.
    pub seconds: f64,
}

// === impl Board ===

impl Board {
    /// Adds a change; the oldest goes.
    pub fn change(&self, note: ChangeNote) {
        push(&mut self.lock().changes, note);
    }

    /// Adds an action; the oldest goes.
    pub fn action(&self, note: ActionNote) {
        push(&mut self.lock().actions, note);
    }

    /// Sets what is wrong with `subject`; `None` clears it.
    pub fn problem(&self, subject: &str, problem: Option<String>) {
        let mut notes = self.lock();
        match problem {
            Some(problem) => {
                notes.problems.insert(subject.to_owned(), problem);
            }
            None => {
                notes.problems.remove(subject);
            }
        }
    }

    /// A copy of everything on the board.
    #[must_use]
    pub fn notes(&self) -> Notes {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push<T>(list: &mut VecDeque<T>, note: T) {
    if list.len() == KEPT {
        list.pop_front();
    }
    list.push_back(note);
}
