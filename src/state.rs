//! What outlives attache: the last good content, and what each rule has acted upon.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;
use serde_json::Value;

use crate::store::{ObjectRef, RawObject, Snapshot};

/// A state directory; cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct StateDir;

/// What a state directory held when it was opened.
#[derive(Debug, Default)]
pub struct Restored {
    /// By the scope's name.
    pub scopes: BTreeMap<String, RestoredScope>,
    /// By the rule's identity's hash; ask [`Restored::rule`].
    pub rules: BTreeMap<String, RuleState>,
}

/// The last good content of one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredScope {
    /// Its objects, each with the moment since which attache has held its content.
    pub objects: Vec<(RawObject, Instant)>,
    /// When it was last known to be current.
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
    /// Skeleton.
    #[error("state is not built yet")]
    Skeleton,
}

// === impl Restored ===

impl Restored {
    /// What the rule of that identity has acted upon.
    #[must_use]
    pub fn rule(&self, _identity: &str) -> Option<&RuleState> {
        None
    }
}

// === impl StateDir ===

impl StateDir {
    /// Opens, or makes, a state directory and reads what is in it. What is damaged or foreign is
    /// set aside with a warning. `secrets` is whether the content of Secrets is kept. Blocks.
    ///
    /// # Errors
    /// [`StateError`] where it cannot be made or written.
    pub fn open(_dir: &Path, _secrets: bool) -> Result<(Self, Restored), StateError> {
        Err(StateError::Skeleton)
    }

    /// Keeps the content of every declared scope that was read, as far as it is not kept already;
    /// and notes which are in contact. Blocks.
    ///
    /// # Errors
    /// [`StateError`]; what is kept of other objects is kept all the same.
    pub fn keep_content(&self, _snapshot: &Snapshot) -> Result<(), StateError> {
        Ok(())
    }

    /// Keeps what a rule has acted upon. Blocks.
    ///
    /// # Errors
    /// [`StateError`]
    pub fn keep_rule(&self, _identity: &str, _state: &RuleState) -> Result<(), StateError> {
        Ok(())
    }
}
