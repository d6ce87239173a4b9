//! `files`: what is written where.

use std::path::PathBuf;

use super::{NamedObject, Selector};

/// One entry of `files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesRule {
    /// `files[0]`, for logs and status.
    pub name: String,
    /// What is written.
    pub from: FilesFrom,
    /// Where, and how.
    pub to: FilesTo,
}

/// What a files rule writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilesFrom {
    /// The keys of one object.
    Object(NamedObject),
    /// The keys of every object that the selector finds, in the order of namespace and name.
    Selected(Selector),
}

/// Where a files rule writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilesTo {
    /// A directory, laid out as the kubelet lays out a volume. Rules of the same directory write it
    /// together; where two have the same path, the later one wins, as in a projected volume.
    Dir {
        /// The directory; made if it is missing.
        dir: PathBuf,
        /// The permission bits of files without their own.
        mode: u32,
        /// Which keys go where; `None` is every key under its own name.
        items: Option<Vec<FilesItem>>,
    },
    /// One key to one file, replaced by rename.
    File {
        /// The file; its directory is made if it is missing.
        file: PathBuf,
        /// The key.
        key: String,
        /// The file's permission bits.
        mode: u32,
    },
}

/// `items` of a files rule, as those of a volume: one key, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesItem {
    /// The key.
    pub key: String,
    /// The path under the directory: relative, without `..`.
    pub path: PathBuf,
    /// Its own permission bits.
    pub mode: Option<u32>,
}
