//! What outlives attache: the last good content, and what each rule has acted upon.
//!
//! ```text
//! DIR/lock                              held while an attache uses DIR
//! DIR/scopes/configmap-HASH/scope       a scope's name, its objects' names, its last contact
//! DIR/scopes/configmap-HASH/HASH        one object; those of Secrets are under secret-HASH
//! DIR/rules/HASH                        what one rule has acted upon
//! ```
//!
//! A scope's directory is named after the hash of its name, an object's file after that of its
//! `namespace/name`, a rule's after that of its identity. An object counts once `scope` lists it,
//! which is written after the objects that came and before those that went are removed: whenever
//! attache ends, a scope has the members of one moment.
//!
//! Reading order: `seal` (what a file holds), `disk` (how it gets there), `clock` (moments that
//! outlive a process), `content`, `rules`.

mod clock;
mod content;
mod disk;
mod rules;
mod seal;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use serde_json::Value;

use crate::store::{ObjectRef, RawObject, Snapshot};
use clock::Clock;
use content::Contents;
use disk::Disk;
use rules::Rules;

/// A state directory; cheap to share behind an `Arc`. No other attache can use it meanwhile.
pub struct StateDir {
    disk: Disk,
    clock: Clock,
    secrets: bool,
    contents: Mutex<Contents>,
    rules: Mutex<Rules>,
    /// Locked until it is closed, which the end of the process does, too.
    _lock: File,
}

/// What a state directory held when it was opened.
#[derive(Debug, Default)]
pub struct Restored {
    /// By the scope's name. A scope of which a part is damaged or missing is left out, so that no
    /// object of it passes for deleted.
    pub scopes: BTreeMap<String, RestoredScope>,
    /// By the rule's identity's hash; ask [`Restored::rule`].
    pub rules: BTreeMap<String, RuleState>,
}

/// The last good content of one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredScope {
    /// Its objects, each with the moment since which attache has held its content. None, if the
    /// scope was read and there were none.
    pub objects: Vec<(RawObject, Instant)>,
    /// When it was last known to be current, to the minute.
    pub contact: Instant,
}

/// What one rule has acted upon.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuleState {
    /// The content it was told of, as the ETag of each key.
    pub told: BTreeMap<ObjectRef, BTreeMap<String, String>>,
    /// Keys that may have been read since without an attempt's success, and whether with a value.
    pub shown: BTreeMap<ObjectRef, BTreeMap<String, bool>>,
    /// When it last acted.
    pub acted: Option<Timestamp>,
    /// What its action noticed when the change came, or how far it is.
    pub progress: Option<Value>,
}

/// Why state could not be kept. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another attache holds the directory.
    #[error(
        "another attache uses the state directory {}: give each its own --state-dir", dir.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The system refuses.
    #[error("{} cannot be {doing}: {error}: {}", path.display(), advice(error))]
    System {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as `written`.
        doing: &'static str,
        /// What the system says.
        error: io::Error,
    },
}

// === impl StateError ===

impl StateError {
    /// Makes an error of what the system says of `path` that cannot be `doing`, as `written`.
    fn of(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::System { path, doing, error }
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room on the volume of --state-dir, or raise its sizeLimit"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "mount a volume that can be written, such as an emptyDir, at --state-dir"
        }
        io::ErrorKind::PermissionDenied => {
            "let --state-dir belong to the user that attache runs as, or set the pod's fsGroup"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "give a directory of its own as --state-dir"
        }
        _ => "check the volume of --state-dir",
    }
}

// === impl Restored ===

impl Restored {
    /// What the rule of that identity has acted upon.
    #[must_use]
    pub fn rule(&self, identity: &str) -> Option<&RuleState> {
        self.rules.get(&seal::hash(identity))
    }
}

// === impl StateDir ===

impl fmt::Debug for StateDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StateDir").field(&self.disk.dir()).finish()
    }
}

impl StateDir {
    /// Opens, or makes, a state directory and reads what is in it. What is damaged or foreign is
    /// set aside with a warning. `secrets` is whether the content of Secrets is kept; if not, what
    /// was kept of them is removed. Blocks.
    ///
    /// # Errors
    /// [`StateError`] where it cannot be made or written, or where another attache uses it.
    pub fn open(dir: &Path, secrets: bool) -> Result<(Self, Restored), StateError> {
        let (disk, lock) = Disk::open(dir)?;
        let clock = Clock::new();
        let (contents, scopes) = content::restore(&disk, &clock, secrets)?;
        let (kept, rules) = rules::restore(&disk)?;
        let state = Self {
            disk,
            clock,
            secrets,
            contents: Mutex::new(contents),
            rules: Mutex::new(kept),
            _lock: lock,
        };
        Ok((state, Restored { scopes, rules }))
    }

    /// Keeps the content of every declared scope that was read from an API server, as far as it is
    /// not kept already; and notes, at most once a minute, which are in contact. An object that
    /// went goes here, too. What is kept of scopes that `snapshot` does not have is removed once
    /// all of its own are read. Blocks.
    ///
    /// # Errors
    /// The first [`StateError`]; what can be kept of other scopes is kept all the same, and the
    /// next call tries again.
    pub fn keep_content(&self, snapshot: &Snapshot) -> Result<(), StateError> {
        let (wrote, result) =
            lock(&self.contents).keep(&self.disk, &self.clock, self.secrets, snapshot);
        if wrote {
            crate::failpoint::reach("state-content-kept");
        }
        result
    }

    /// Keeps what a rule has acted upon, if that is not kept already. Blocks.
    ///
    /// # Errors
    /// [`StateError`]; what was kept of the rule before stays.
    pub fn keep_rule(&self, identity: &str, state: &RuleState) -> Result<(), StateError> {
        lock(&self.rules).keep(&self.disk, identity, state)
    }
}

fn lock<T>(index: &Mutex<T>) -> MutexGuard<'_, T> {
    // Changed only after what it speaks of was, so what a panicking thread held is still good.
    index.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
