//! Sets of keys written to directories and files.
//!
//! A directory looks as the kubelet lays out a volume (Kubernetes' `AtomicWriter`), so that whatever
//! follows a mounted volume follows it, too:
//!
//! ```text
//! key -> ..data/key                        one link for the first component of each path
//! ..data -> ..2026_11_21_14_30_28.123456789    swapped by rename: all keys at once
//! ..2026_11_21_14_30_28.123456789/key          the files, never changed once `..data` points here
//! ```
//!
//! Reading order: [`Target`], then `set` (which file comes from which key), `directory` and `single`
//! (how what is there is made to hold them), `disk` (the steps both are made of).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{FilesFrom, FilesRule, FilesTo};
use crate::store::{Content, ObjectRef};

mod directory;
mod disk;
mod error;
mod set;
mod single;

pub use error::FilesError;

/// A directory, or a file, and the rules that write it.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    rules: Vec<FilesRule>,
}

/// What a rule writes: its objects, sorted. Empty for a named object that does not exist: to keep
/// the files of one that was deleted, pass its last content.
pub type Source = Vec<(ObjectRef, Arc<Content>)>;

/// What [`Target::render`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Whether anything had to be written.
    pub written: bool,
    /// For how long what is there now has been there: a process started since has read it. By the
    /// wall clock, and rather too short than too long.
    pub age: Duration,
    /// What is odd about it, a sentence each: paths that two keys claim, keys that make no path,
    /// leftovers that could not be removed.
    pub remarks: Vec<String>,
}

// === impl Target ===

impl Target {
    /// The targets of `rules`, in the order of their first rule. Rules of one directory share one,
    /// and so do rules of one file; `/a`, `/a/` and `/./a` are one.
    #[must_use]
    pub fn of(rules: &[FilesRule]) -> Vec<Self> {
        let mut targets: Vec<Self> = Vec::new();
        for rule in rules {
            let path = normal(path_of(&rule.to));
            let same = |target: &&mut Self| {
                target.path == path && target.is_directory() == is_directory(rule)
            };
            match targets.iter_mut().find(same) {
                Some(target) => target.rules.push(rule.clone()),
                None => targets.push(Self {
                    path,
                    rules: vec![rule.clone()],
                }),
            }
        }
        targets
    }

    /// The rules that write it, in their order.
    #[must_use]
    pub fn rules(&self) -> &[FilesRule] {
        &self.rules
    }

    /// The directory or file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory or file hold `sources`, one for each of [`Target::rules`], in one step;
    /// does nothing if it does already. Blocks on the disk.
    ///
    /// A path belongs to the last rule, and in it to the last object, that claims it. The file of a
    /// `file:` rule goes when its object, or every object selected, lacks the key. While none of the
    /// rules' named objects exists, what an earlier attache wrote stays.
    ///
    /// Whatever was interrupted, by a crash or a full disk, the next call completes. Only one
    /// process may write a target, and from one thread at a time.
    ///
    /// # Errors
    /// [`FilesError`]; what was there before stays, whole. If the error came after the swap of
    /// `..data`, the new set is there, whole, and the next call completes its links.
    pub fn render(&self, sources: &[Source]) -> Result<Rendered, FilesError> {
        let sources: Vec<_> = self.rules.iter().zip(sources).collect();
        let unknown = sources
            .iter()
            .all(|(rule, source)| matches!(rule.from, FilesFrom::Object(_)) && source.is_empty());
        let mut remarks = Vec::new();
        let (written, age) = if self.is_directory() {
            let tree = set::tree(&sources, &mut remarks)?;
            directory::render(&self.path, &tree, unknown, &mut remarks)?
        } else {
            let file = set::single(&sources, &mut remarks);
            if file.is_none() && !unknown {
                let path = self.path.display();
                remarks.push(format!("{path}: the key is not there, and so no file"));
            }
            single::render(&self.path, file.as_ref(), unknown, &mut remarks)?
        };
        Ok(Rendered {
            written,
            age,
            remarks,
        })
    }

    fn is_directory(&self) -> bool {
        self.rules.iter().any(is_directory)
    }
}

fn is_directory(rule: &FilesRule) -> bool {
    matches!(rule.to, FilesTo::Dir { .. })
}

fn path_of(to: &FilesTo) -> &Path {
    match to {
        FilesTo::Dir { dir, .. } => dir,
        FilesTo::File { file, .. } => file,
    }
}

/// Without `.`, doubled and trailing slashes. A `..` stays: what it means is up to symlinks.
fn normal(path: &Path) -> PathBuf {
    path.components().collect()
}

#[cfg(test)]
mod tests;
