//! What the objects of an environment hold now, and what the command was given of them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;

use tracing::warn;

use super::env::{Layer, Skipped, Variables};
use crate::config::EnvFrom;
use crate::react::Names;
use crate::status::Board;
use crate::store::{Content, Lookup, ObjectRef, Snapshot};

/// All sources of one environment, in order.
#[derive(Debug)]
pub(super) struct Sources {
    sources: Vec<Source>,
    /// Names that attache's own environment keeps.
    kept: BTreeSet<OsString>,
    /// Whether a command was given anything yet.
    started: bool,
}

/// One `envFrom` entry.
#[derive(Debug)]
struct Source {
    reference: ObjectRef,
    optional: bool,
    prefix: String,
    /// What the object holds; what it held before it was deleted. `None` before it was there.
    newest: Option<Arc<Content>>,
    /// What the command was given of it.
    given: Option<Arc<Content>>,
    /// Its changes are held back.
    paused: bool,
    /// What was warned of.
    skipped: Skipped,
}

// === impl Sources ===

impl Sources {
    /// Variables in `kept` come from none.
    pub(super) fn new(from: &[EnvFrom], names: &Names, kept: BTreeSet<OsString>) -> Self {
        let source = |from: &EnvFrom| Source {
            reference: names.object(from.kind, &from.object),
            optional: from.optional,
            prefix: from.prefix.clone(),
            newest: None,
            given: None,
            paused: false,
            skipped: Skipped::default(),
        };
        Self {
            sources: from.iter().map(source).collect(),
            kept,
            started: false,
        }
    }

    /// Takes over what `snapshot` holds; the deletion of an object changes nothing (the kubelet
    /// behaves so for a mounted volume).
    pub(super) fn observe(&mut self, snapshot: &Snapshot) {
        for source in &mut self.sources {
            let Some(object) = snapshot.get(&source.reference) else {
                continue;
            };
            source.paused = object.is_paused();
            let held = source.newest.replace(Arc::clone(object.content()));
            if held.is_none_or(|held| !Arc::ptr_eq(&held, object.content())) {
                source.warn();
            }
        }
    }

    /// The environment that the command is to have.
    pub(super) fn wanted(&self) -> Variables {
        let layers = self.sources.iter().filter_map(|source| {
            let content = source.wanted(self.started)?;
            Some(source.layer(content))
        });
        Variables::new(layers, &self.kept)
    }

    /// Notes that the command was given the environment that was wanted.
    pub(super) fn given(&mut self) {
        for source in &mut self.sources {
            source.given = source.wanted(self.started).cloned();
        }
        self.started = true;
    }

    /// The objects whose content the command was not given, and is to be; sorted.
    pub(super) fn changed(&self) -> Vec<String> {
        let changed = self.sources.iter().filter(|source| {
            !source.paused && tag(source.newest.as_ref()) != tag(source.given.as_ref())
        });
        let mut names = BTreeSet::new();
        names.extend(changed.map(|source| source.reference.to_string()));
        names.into_iter().collect()
    }

    /// Says on the board which objects are paused while they hold something newer.
    pub(super) fn post(&self, board: &Board) {
        for source in &self.sources {
            let newer = tag(source.newest.as_ref()) != tag(source.given.as_ref());
            let problem = (source.paused && newer).then(|| {
                "paused: its newer content is used once the annotation attache.dev/pause is gone"
                    .to_owned()
            });
            board.problem(&format!("exec {}", source.reference), problem);
        }
    }

    /// Whether every object that must exist is held.
    pub(super) fn complete(&self) -> bool {
        let held = |source: &Source| source.optional || source.newest.is_some();
        self.sources.iter().all(held)
    }

    /// Why each object that must exist is not held.
    pub(super) fn missing(&self, snapshot: &Snapshot) -> Vec<String> {
        let missing = self.sources.iter().filter(|source| !source.optional);
        let mut reasons = BTreeSet::new();
        reasons.extend(missing.filter_map(|source| {
            let why = why(source, snapshot)?;
            Some(format!("{} {why}", source.reference))
        }));
        reasons.into_iter().collect()
    }
}

fn why(source: &Source, snapshot: &Snapshot) -> Option<String> {
    let ObjectRef {
        kind,
        namespace,
        name,
    } = &source.reference;
    Some(match snapshot.lookup(*kind, namespace, name) {
        Lookup::Found(..) => return None,
        Lookup::Missing(_) => "does not exist".to_owned(),
        Lookup::Pending(scope) => match scope.contact().reason() {
            Some(reason) => format!("was not read: {reason}"),
            None => "was not read yet".to_owned(),
        },
        Lookup::Refused(reason) => format!("is not held: {reason}"),
        Lookup::Unwatched => "is not watched".to_owned(),
    })
}

// === impl Source ===

impl Source {
    /// The content that the command is to have: while this is paused, what it was given. It starts
    /// with what there is, paused or not.
    fn wanted(&self, started: bool) -> Option<&Arc<Content>> {
        let held_back = self.paused && started;
        if held_back { &self.given } else { &self.newest }.as_ref()
    }

    fn layer<'a>(&'a self, content: &'a Content) -> Layer<'a> {
        Layer {
            kind: self.reference.kind,
            prefix: &self.prefix,
            content,
        }
    }

    /// Warns of variables that are skipped, unless it did so already.
    fn warn(&mut self) {
        let Some(content) = &self.newest else { return };
        let skipped = self.layer(content).skipped();
        if skipped != self.skipped && skipped != Skipped::default() {
            warn!(
                object = %self.reference,
                invalid_names = ?skipped.invalid_names,
                values_with_nul = ?skipped.with_nul,
                values_too_long = ?skipped.too_long,
                "keys that cannot be environment variables are skipped"
            );
        }
        self.skipped = skipped;
    }
}

fn tag(content: Option<&Arc<Content>>) -> Option<&str> {
    content.map(|content| content.etag().as_str())
}

#[cfg(test)]
mod tests;
