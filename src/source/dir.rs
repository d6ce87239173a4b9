//! `--dir`: manifests in a directory instead of an API server.
//!
//! The files directly in the directory count whose name ends in `.yaml`, `.yml` or `.json` and
//! does not begin with `.` or `#`; subdirectories do not. Of an object that stands twice, the first
//! wins, in the order of the files' names.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tracing::{info, warn};

use super::changes::{self, Next};
use super::files;
use super::manifest::{self, Rules};
use crate::shutdown::Shutdown;
use crate::status::Board;
use crate::store::{Object, ObjectRef, RawObject, ScopeWriter};

/// What is read, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory.
    pub path: PathBuf,
    /// The namespace of objects that give none.
    pub namespace: Arc<str>,
    /// The Secrets that may be served; all others are passed over.
    pub secrets: BTreeSet<ObjectRef>,
}

/// Keeps `scope` equal to the manifests of a directory until `shutdown`. The first read begins at
/// once; the scope is synced after it even where a file is malformed.
///
/// A malformed document leaves the file's last good objects in place, marks the scope as out of
/// contact and says why on the `board`, under the file's path. An unreadable directory is tried
/// again each second.
pub async fn run(options: Options, scope: ScopeWriter, board: Board, shutdown: Shutdown) {
    let path = options.path.clone();
    let rules = Rules {
        namespace: options.namespace,
        secrets: Arc::new(options.secrets),
    };
    let read = {
        let path = path.clone();
        move || read(&path, &rules)
    };
    let mut directory = Directory {
        scope,
        board,
        path: path.clone(),
        files: BTreeMap::new(),
        offered: None,
        problems: BTreeMap::new(),
        failing: None,
    };
    changes::follow(&path, shutdown, read, |outcome| match outcome {
        Ok(files) => directory.apply(files),
        Err(error) => directory.unreadable(&error),
    })
    .await;
}

/// One file as it was read.
struct FileRead {
    name: String,
    objects: Vec<RawObject>,
    /// What is wrong with the file or with some of its documents.
    fault: Option<String>,
    /// Reading failed in a way that may mend without an event.
    retry: bool,
}

fn read(path: &Path, rules: &Rules) -> io::Result<Vec<FileRead>> {
    let entries = files::read(path, is_manifest)?;
    Ok(entries.into_iter().map(|e| parse(e, rules)).collect())
}

fn parse(entry: files::Entry, rules: &Rules) -> FileRead {
    let mut file = FileRead {
        name: entry.name,
        objects: Vec::new(),
        fault: None,
        retry: false,
    };
    match entry.content.map(String::from_utf8) {
        Ok(Ok(text)) => {
            let parsed = if is_json(&file.name) {
                manifest::json(&text, rules)
            } else {
                manifest::yaml(&text, rules)
            };
            let faults: Vec<String> = parsed.faults.iter().map(ToString::to_string).collect();
            file.objects = parsed.objects;
            file.fault = (!faults.is_empty()).then(|| faults.join("; "));
        }
        Ok(Err(_)) => file.fault = Some("the file is not UTF-8".to_owned()),
        Err(error) => {
            file.retry = error.kind() != io::ErrorKind::FileTooLarge;
            file.fault = Some(error.to_string());
        }
    }
    file
}

/// Editors keep their temporary files beside the original: `.web.yaml.swp`, `web.yaml~`,
/// `#web.yaml#`, `.#web.yaml`, `4913`.
fn is_manifest(name: &str) -> bool {
    let hidden = name.starts_with('.') || name.starts_with('#');
    !hidden && (name.ends_with(".yaml") || name.ends_with(".yml") || is_json(name))
}

fn is_json(name: &str) -> bool {
    name.ends_with(".json")
}

struct Directory {
    scope: ScopeWriter,
    board: Board,
    path: PathBuf,
    /// Of every file, the objects of its last good version.
    files: BTreeMap<String, Vec<Arc<Object>>>,
    /// What the scope was last given.
    offered: Option<Vec<Arc<Object>>>,
    /// What is wrong, by file.
    problems: BTreeMap<String, String>,
    /// Since when, and what is wrong.
    failing: Option<(Instant, String)>,
}

// === impl Directory ===

impl Directory {
    fn apply(&mut self, files: Vec<FileRead>) -> Next {
        let mut problems = BTreeMap::new();
        let mut kept = BTreeMap::new();
        let mut retry = false;
        let mut failure = None;
        for file in files {
            let mut objects: Vec<_> = file
                .objects
                .into_iter()
                .map(|raw| self.freeze(&file.name, raw))
                .collect();
            retry |= file.retry;
            if let Some(fault) = file.fault {
                let path = files::display(&self.path, &file.name);
                failure.get_or_insert_with(|| format!("{path}: {fault}"));
                problems.insert(path, fault);
                // Which object the malformed document would have been is unknown: what the file
                // held and now lacks stays.
                for held in self.files.remove(&file.name).unwrap_or_default() {
                    if !objects.iter().any(|o| o.reference() == held.reference()) {
                        objects.push(held);
                    }
                }
            }
            kept.insert(file.name, objects);
        }
        self.files = kept;
        let objects = self.union(&mut problems);
        self.report(problems);
        self.publish(objects, failure);
        if retry { Next::Retry } else { Next::OnChange }
    }

    fn freeze(&self, file: &str, raw: RawObject) -> Arc<Object> {
        let previous = self
            .files
            .get(file)
            .and_then(|held| held.iter().find(|o| *o.reference() == raw.reference));
        Object::freeze(raw, previous)
    }

    /// Every object once; the first wins, and the file of another is told so.
    fn union(&self, problems: &mut BTreeMap<String, String>) -> Vec<Arc<Object>> {
        let mut first: BTreeMap<&ObjectRef, (&str, &Arc<Object>)> = BTreeMap::new();
        for (file, objects) in &self.files {
            for object in objects {
                match first.entry(object.reference()) {
                    Slot::Vacant(slot) => {
                        slot.insert((file, object));
                    }
                    Slot::Occupied(slot) => {
                        let (winner, _) = slot.get();
                        let reason = format!(
                            "{} is ignored here: it stands in {winner} already",
                            object.reference()
                        );
                        problems
                            .entry(files::display(&self.path, file))
                            .and_modify(|text| *text = format!("{text}; {reason}"))
                            .or_insert(reason);
                    }
                }
            }
        }
        first
            .into_values()
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    fn report(&mut self, problems: BTreeMap<String, String>) {
        for (file, problem) in &problems {
            if self.problems.get(file) != Some(problem) {
                warn!(%file, %problem, "a manifest has a fault; serving what is good in it, and the last good version of what is not");
                self.board.problem(file, Some(problem.clone()));
            }
        }
        for file in self.problems.keys() {
            if !problems.contains_key(file) {
                info!(%file, "the manifest is good again");
                self.board.problem(file, None);
            }
        }
        self.problems = problems;
    }

    fn publish(&mut self, objects: Vec<Arc<Object>>, failure: Option<String>) {
        let unchanged = self.offered.as_ref().is_some_and(|offered| {
            offered.len() == objects.len()
                && offered.iter().zip(&objects).all(|(a, b)| Arc::ptr_eq(a, b))
        });
        // What was refused for want of room may fit now.
        let replaced = !unchanged || self.scope.has_refused();
        if replaced {
            self.scope.replace(objects.clone());
            self.offered = Some(objects);
        }
        match failure {
            Some(reason) => self.lost(reason, replaced),
            None => {
                if self.failing.take().is_some() {
                    info!(directory = %self.path.display(), "the directory is read completely again");
                }
                self.scope.live();
            }
        }
    }

    fn unreadable(&mut self, error: &io::Error) -> Next {
        let reason = format!("cannot read {}: {error}", self.path.display());
        if self.failing.as_ref().is_none_or(|(_, old)| *old != reason) {
            warn!(
                directory = %self.path.display(),
                %error,
                "cannot read the directory; what it last held stays in place, trying again each second"
            );
        }
        self.lost(reason, false);
        Next::Retry
    }

    /// Every call of [`ScopeWriter::lost`] swaps the snapshot: only for news.
    fn lost(&mut self, reason: String, replaced: bool) {
        let since = match &self.failing {
            Some((_, old)) if *old == reason && !replaced => return,
            Some((since, _)) => *since,
            None => Instant::now(),
        };
        self.scope.lost(since, reason.as_str());
        self.failing = Some((since, reason));
    }
}

#[cfg(test)]
mod tests;
