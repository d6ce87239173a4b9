//! Which file comes from which key: rules and their objects to a tree of files. Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::{FilesError, Source};
use crate::config::{FilesFrom, FilesItem, FilesRule, FilesTo};
use crate::store::{Content, ObjectRef};

/// The longest name of a file, in bytes (Linux' `NAME_MAX`).
const MAX_NAME: usize = 255;

/// The longest path of a file, in bytes (Linux' `PATH_MAX`), as the kubelet has it.
const MAX_PATH: usize = 4096;

/// A directory's files and directories by name.
pub(super) type Tree<'a> = BTreeMap<OsString, Node<'a>>;

/// One name in a directory.
pub(super) enum Node<'a> {
    /// A file.
    File(File<'a>),
    /// A directory, never empty.
    Dir(Tree<'a>),
}

/// One file: where it comes from, and what it holds. Displays as its key and object.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    object: &'a ObjectRef,
    key: &'a str,
    /// The whole file.
    pub(super) bytes: &'a [u8],
    /// Its permission bits.
    pub(super) mode: u32,
}

impl fmt::Display for File<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {:?} of {}", self.key, self.object)
    }
}

/// The tree that `dir:` rules make of their sources.
///
/// # Errors
/// An item without its key, a path that leaves the directory, a file where a directory must be.
pub(super) fn tree<'a>(
    sources: &[(&'a FilesRule, &'a Source)],
    remarks: &mut Vec<String>,
) -> Result<Tree<'a>, FilesError> {
    let mut tree = Tree::new();
    for (rule, source) in sources {
        let FilesTo::Dir { mode, items, .. } = &rule.to else {
            continue;
        };
        for (object, content) in source.iter() {
            let files = match items {
                Some(items) => chosen(rule, object, content, items, *mode)?,
                None => every_key(object, content, *mode, remarks),
            };
            for (path, file) in files {
                insert(&mut tree, &path, file, remarks)?;
            }
        }
    }
    Ok(tree)
}

/// The file that `file:` rules make of their sources: the last that there is.
pub(super) fn single<'a>(
    sources: &[(&'a FilesRule, &'a Source)],
    remarks: &mut Vec<String>,
) -> Option<File<'a>> {
    let mut last: Option<File<'a>> = None;
    for (rule, source) in sources {
        let FilesTo::File { file, key, mode } = &rule.to else {
            continue;
        };
        for (object, content) in source.iter() {
            let Some(found) = File::of(object, content, key, *mode) else {
                continue;
            };
            if let Some(earlier) = last.replace(found) {
                remarks.push(claimed_twice(file, earlier, found));
            }
        }
    }
    last
}

impl<'a> File<'a> {
    fn of(object: &'a ObjectRef, content: &'a Content, key: &'a str, mode: u32) -> Option<Self> {
        content.get(key).map(|value| Self {
            object,
            key,
            bytes: &value.bytes,
            mode,
        })
    }
}

fn chosen<'a>(
    rule: &FilesRule,
    object: &'a ObjectRef,
    content: &'a Content,
    items: &'a [FilesItem],
    mode: u32,
) -> Result<Vec<(PathBuf, File<'a>)>, FilesError> {
    let optional = match &rule.from {
        FilesFrom::Object(named) => named.optional,
        FilesFrom::Selected(_) => true,
    };
    let mut files = Vec::new();
    for item in items {
        let path = clean(&item.path).ok_or_else(|| FilesError::Path {
            rule: rule.name.clone(),
            path: item.path.clone(),
        })?;
        match File::of(object, content, &item.key, item.mode.unwrap_or(mode)) {
            Some(file) => files.push((path, file)),
            None if optional => {}
            None => {
                return Err(FilesError::MissingKey {
                    rule: rule.name.clone(),
                    object: object.clone(),
                    key: item.key.clone(),
                });
            }
        }
    }
    Ok(files)
}

fn every_key<'a>(
    object: &'a ObjectRef,
    content: &'a Content,
    mode: u32,
    remarks: &mut Vec<String>,
) -> Vec<(PathBuf, File<'a>)> {
    let mut files = Vec::new();
    for (key, value) in content.values() {
        let file = File {
            object,
            key,
            bytes: &value.bytes,
            mode,
        };
        // Keys from the API server are `[-._a-zA-Z0-9]+`; those of a local directory may be anything.
        match clean(Path::new(&**key)).filter(|path| path.as_os_str() == OsStr::new(&**key)) {
            Some(path) if path.components().count() == 1 => files.push((path, file)),
            _ => remarks.push(format!(
                "{file} is left out: it cannot be the name of a file; give it a path under `items`"
            )),
        }
    }
    files
}

/// `path` without `.` and doubled slashes, if it stays in its directory and a file can have it.
fn clean(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) if name.len() <= MAX_NAME => clean.push(name),
            Component::CurDir => {}
            _ => return None,
        }
    }
    let bytes = clean.as_os_str().as_bytes();
    // Names that begin with `..` are those of the layout itself.
    let fits = !bytes.is_empty() && bytes.len() <= MAX_PATH && !bytes.starts_with(b"..");
    (fits && !bytes.contains(&0)).then_some(clean)
}

fn insert<'a>(
    tree: &mut Tree<'a>,
    path: &Path,
    file: File<'a>,
    remarks: &mut Vec<String>,
) -> Result<(), FilesError> {
    let mut tree = tree;
    let mut names = path.iter().peekable();
    let mut walked = PathBuf::new();
    while let Some(name) = names.next() {
        walked.push(name);
        let is_last = names.peek().is_none();
        let clash = |file: File<'_>, below: File<'_>| FilesError::Clash {
            path: walked.clone(),
            file: file.to_string(),
            below: below.to_string(),
        };
        match tree.entry(name.to_owned()) {
            Entry::Vacant(vacant) if is_last => {
                vacant.insert(Node::File(file));
                return Ok(());
            }
            Entry::Vacant(vacant) => match vacant.insert(Node::Dir(Tree::new())) {
                Node::Dir(next) => tree = next,
                Node::File(_) => return Ok(()),
            },
            Entry::Occupied(occupied) => match occupied.into_mut() {
                Node::File(earlier) if is_last => {
                    remarks.push(claimed_twice(path, *earlier, file));
                    *earlier = file;
                    return Ok(());
                }
                Node::File(earlier) => return Err(clash(*earlier, file)),
                Node::Dir(below) if is_last => {
                    return Err(clash(file, any_file(below).unwrap_or(file)));
                }
                Node::Dir(next) => tree = next,
            },
        }
    }
    Ok(())
}

fn any_file<'a>(tree: &Tree<'a>) -> Option<File<'a>> {
    tree.values().find_map(|node| match node {
        Node::File(file) => Some(*file),
        Node::Dir(below) => any_file(below),
    })
}

fn claimed_twice(path: &Path, earlier: File<'_>, later: File<'_>) -> String {
    format!("{path:?} is claimed by {earlier} and by {later}: it holds the latter")
}
