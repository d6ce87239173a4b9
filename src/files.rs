//! Sets of keys written to directories and files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::FilesRule;
use crate::store::{Content, ObjectRef};

/// A directory, or a file, and the rules that write it.
#[derive(Debug)]
pub struct Target {
    rules: Vec<FilesRule>,
}

/// What a rule writes: its objects, sorted.
pub type Source = Vec<(ObjectRef, Arc<Content>)>;

/// What [`Target::render`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Whether anything had to be written.
    pub written: bool,
    /// For how long what is there now has been there: a process started since has read it.
    pub age: Duration,
    /// What is odd about it, a sentence each: paths that two keys claim, keys that make no path.
    pub remarks: Vec<String>,
}

/// Why nothing was written: what was there before still is, whole.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// Skeleton.
    #[error("files are not built yet")]
    Skeleton,
}

// === impl Target ===

impl Target {
    /// The targets of `rules`, in the order of their first rule; rules of one directory share one.
    #[must_use]
    pub fn of(rules: &[FilesRule]) -> Vec<Self> {
        vec![Self {
            rules: rules.to_vec(),
        }]
    }

    /// The rules that write it, in their order.
    #[must_use]
    pub fn rules(&self) -> &[FilesRule] {
        &self.rules
    }

    /// The directory or file.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new("")
    }

    /// Makes the directory or file hold `sources`, one for each of [`Target::rules`], in one step;
    /// does nothing if it does already. Blocks on the disk.
    ///
    /// # Errors
    /// [`FilesError`]; what was there before stays.
    pub fn render(&self, _sources: &[Source]) -> Result<Rendered, FilesError> {
        Err(FilesError::Skeleton)
    }
}
