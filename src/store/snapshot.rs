//! The union of all scopes at one moment, and how one object is found in it.

use std::cmp::Ordering;
use std::sync::Arc;

use super::object::{Kind, Object, ObjectRef};
use super::scope::{Scope, Selects};

/// Everything attache holds at one moment. Never changes; a newer one replaces it whole.
#[derive(Debug, Default)]
pub struct Snapshot {
    version: u64,
    scopes: Vec<Scope>,
    index: Vec<Entry>,
}

/// An object of the union, and the scope it came from.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The object.
    pub object: Arc<Object>,
    scope: usize,
}

/// What a snapshot knows of one object.
#[derive(Debug)]
pub enum Lookup<'a> {
    /// Held.
    Found(&'a Arc<Object>, &'a Scope),
    /// A scope that answers for it was read, and it is not there.
    Missing(&'a Scope),
    /// A scope that answers for it, or may hold it, was not read yet.
    Pending(&'a Scope),
    /// It exists but is not held; the reason says why.
    Refused(&'a str),
    /// No scope answers for it.
    Unwatched,
}

impl Snapshot {
    pub(super) fn new(version: u64, scopes: Vec<Scope>) -> Self {
        let mut index: Vec<Entry> = scopes
            .iter()
            .enumerate()
            .flat_map(|(scope, s)| {
                s.objects.values().map(move |object| Entry {
                    object: Arc::clone(object),
                    scope,
                })
            })
            .collect();
        // The first scope that names an object wins: stable sort, then keep the first.
        index.sort_by(|a, b| a.object.reference().cmp(b.object.reference()));
        index.dedup_by(|later, first| later.object.reference() == first.object.reference());
        Self {
            version,
            scopes,
            index,
        }
    }

    /// Grows by one with every swap.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The scopes, in the order in which they win.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Those that the configuration asks for.
    pub fn declared(&self) -> impl Iterator<Item = &Scope> + Clone {
        self.scopes.iter().filter(|scope| !scope.spec.on_demand)
    }

    /// The union, sorted by reference.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.index
    }

    /// The scope an entry came from.
    #[must_use]
    pub fn scope_of(&self, entry: &Entry) -> &Scope {
        &self.scopes[entry.scope]
    }

    /// An object that no scope answers for may be a selector's that was not read yet.
    fn selected(&self, kind: Kind, namespace: &str) -> Lookup<'_> {
        let may_hold = |scope: &&Scope| match &scope.spec.selects {
            Selects::Selector {
                kind: selected,
                namespace: within,
                ..
            } => *selected == kind && within.as_deref().is_none_or(|within| within == namespace),
            Selects::Named(_) | Selects::Namespace { .. } | Selects::Directory(_) => false,
        };
        let mut pending = self
            .scopes
            .iter()
            .filter(|scope| !scope.synced)
            .filter(may_hold);
        pending.next().map_or(Lookup::Unwatched, Lookup::Pending)
    }

    fn entry(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Entry> {
        let order = |reference: &ObjectRef| -> Ordering {
            reference
                .kind
                .cmp(&kind)
                .then_with(|| (*reference.namespace).cmp(namespace))
                .then_with(|| (*reference.name).cmp(name))
        };
        self.index
            .binary_search_by(|entry| order(entry.object.reference()))
            .ok()
            .map(|at| &self.index[at])
    }

    /// The scope that holds all objects of a kind in a namespace, if there is one.
    #[must_use]
    pub fn namespace(&self, kind: Kind, namespace: &str) -> Option<&Scope> {
        let all = |scope: &&Scope| {
            matches!(&scope.spec.selects, Selects::Namespace { kind: all, namespace: within }
                if *all == kind && **within == *namespace)
        };
        self.scopes.iter().find(all)
    }

    /// The object, if it is held.
    #[must_use]
    pub fn get(&self, reference: &ObjectRef) -> Option<&Arc<Object>> {
        self.entry(reference.kind, &reference.namespace, &reference.name)
            .map(|entry| &entry.object)
    }

    /// What is known of one object. Allocates nothing.
    #[must_use]
    pub fn lookup(&self, kind: Kind, namespace: &str, name: &str) -> Lookup<'_> {
        if let Some(entry) = self.entry(kind, namespace, name) {
            return Lookup::Found(&entry.object, &self.scopes[entry.scope]);
        }
        let same = |r: &ObjectRef| r.kind == kind && *r.namespace == *namespace && *r.name == *name;
        if let Some((_, reason)) = self
            .scopes
            .iter()
            .flat_map(|s| s.refused.iter())
            .find(|(r, _)| same(r))
        {
            return Lookup::Refused(reason);
        }
        let answers = |scope: &&Scope| match &scope.spec.selects {
            Selects::Named(reference) => same(reference),
            Selects::Namespace {
                kind: all,
                namespace: within,
            } => *all == kind && **within == *namespace,
            Selects::Directory(_) => true,
            Selects::Selector { .. } => false,
        };
        let mut answering = self.scopes.iter().filter(answers).peekable();
        match answering.peek() {
            None => self.selected(kind, namespace),
            Some(first) => match self
                .scopes
                .iter()
                .filter(answers)
                .find(|scope| !scope.synced)
            {
                Some(pending) => Lookup::Pending(pending),
                None => Lookup::Missing(first),
            },
        }
    }
}
