//! A scope: the part of the snapshot that one watch, directory or mount answers for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::object::{Kind, Object, ObjectRef};

/// Which objects a scope answers for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selects {
    /// One object by name: its absence is known.
    Named(ObjectRef),
    /// The objects of a label selector; `namespace` is `None` for all namespaces. An object
    /// outside it may still exist.
    Selector {
        /// ConfigMaps or Secrets.
        kind: Kind,
        /// Where; `None` is everywhere.
        namespace: Option<Arc<str>>,
        /// The label selector, in the API's syntax.
        labels: Arc<str>,
    },
    /// All objects of a kind in a namespace.
    Namespace {
        /// Which kind.
        kind: Kind,
        /// Where.
        namespace: Arc<str>,
    },
    /// Everything there is: a directory instead of an API server.
    Directory(Arc<str>),
}

impl fmt::Display for Selects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selects::Named(reference) => reference.fmt(f),
            Selects::Selector {
                kind,
                namespace,
                labels,
            } => {
                write!(f, "{kind} {}/{labels}", namespace.as_deref().unwrap_or("*"))
            }
            Selects::Namespace { kind, namespace } => write!(f, "{kind} {namespace}/*"),
            Selects::Directory(path) => write!(f, "directory {path}"),
        }
    }
}

/// What a scope is, fixed when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeSpec {
    /// Unique, readable: shown in status, logs and metrics.
    pub name: Arc<str>,
    /// Which objects it answers for.
    pub selects: Selects,
    /// Objects of a directory that the configuration names: their deletion is no change to act on.
    pub named: Arc<BTreeSet<ObjectRef>>,
    /// Made by a read rather than by the configuration: it expires, and no rule acts on it unless
    /// the rule names its object.
    pub on_demand: bool,
}

impl ScopeSpec {
    /// A scope the configuration asks for, named after what it selects.
    #[must_use]
    pub fn declared(selects: Selects) -> Self {
        Self {
            name: selects.to_string().into(),
            selects,
            named: Arc::default(),
            on_demand: false,
        }
    }

    /// Whether the configuration names that object, so that its absence is no news to act on.
    #[must_use]
    pub fn names(&self, reference: &ObjectRef) -> bool {
        matches!(&self.selects, Selects::Named(named) if named == reference)
            || self.named.contains(reference)
    }

    /// Whether a read of an object that such a scope has yet to read need not wait for it: another
    /// read's scope is joined, and what a selector may not hold is asked for by name.
    #[must_use]
    pub fn leaves_to_ask(&self) -> bool {
        self.on_demand || matches!(self.selects, Selects::Selector { .. })
    }

    /// A scope that a read asked for.
    #[must_use]
    pub fn on_demand(selects: Selects) -> Self {
        Self {
            on_demand: true,
            ..Self::declared(selects)
        }
    }
}

/// Whether what a scope holds is known to be current.
#[derive(Clone, Debug)]
pub enum Contact {
    /// Nothing was ever read.
    Never {
        /// What went wrong so far, if anything.
        reason: Option<Arc<str>>,
    },
    /// What is held is current.
    Live,
    /// The last good content is held, read by this attache or restored.
    Lost {
        /// When the source was last heard from.
        since: Instant,
        /// What went wrong.
        reason: Arc<str>,
    },
}

impl Contact {
    /// How long the scope has been out of contact; `None` while it is in contact or before the
    /// first sync.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        match self {
            Contact::Lost { since, .. } => Some(since.elapsed()),
            Contact::Never { .. } | Contact::Live => None,
        }
    }

    /// What went wrong, if anything.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Contact::Never { reason } => reason.as_deref(),
            Contact::Live => None,
            Contact::Lost { reason, .. } => Some(reason),
        }
    }
}

/// One scope's part of a snapshot.
#[derive(Clone, Debug)]
pub struct Scope {
    pub(super) id: u64,
    pub(super) spec: Arc<ScopeSpec>,
    /// Sorted by reference, shared with the snapshots in which they are unchanged.
    pub(super) objects: Arc<BTreeMap<ObjectRef, Arc<Object>>>,
    pub(super) refused: Arc<BTreeMap<ObjectRef, Arc<str>>>,
    pub(super) synced: bool,
    pub(super) unserved: bool,
    pub(super) contact: Contact,
    pub(super) read: Arc<AtomicBool>,
}

impl Scope {
    /// What the scope is.
    #[must_use]
    pub fn spec(&self) -> &ScopeSpec {
        &self.spec
    }

    /// Its objects, also those that an earlier scope hides in the union: the same allocation as long as
    /// nothing changed.
    #[must_use]
    pub fn objects(&self) -> &Arc<BTreeMap<ObjectRef, Arc<Object>>> {
        &self.objects
    }

    /// Objects not held (or held in an older version), each with the reason.
    #[must_use]
    pub fn refused(&self) -> &BTreeMap<ObjectRef, Arc<str>> {
        &self.refused
    }

    /// Whether it was read completely at least once.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// Whether it was never read because the source does not have that kind of object at all; its
    /// contact's reason says more.
    #[must_use]
    pub fn unserved(&self) -> bool {
        self.unserved && !self.synced
    }

    /// Whether what it holds was held by an earlier attache and has not been read by this one.
    #[must_use]
    pub fn restored(&self) -> bool {
        !self.synced && matches!(self.contact, Contact::Lost { .. })
    }

    /// Whether it holds something to go by: it was read, or restored.
    #[must_use]
    pub fn populated(&self) -> bool {
        self.synced || self.restored()
    }

    /// Whether what it holds is current.
    #[must_use]
    pub fn contact(&self) -> &Contact {
        &self.contact
    }

    /// Notes that a reader used the scope, so that it does not expire.
    pub fn touch(&self) {
        if self.spec.on_demand {
            self.read.store(true, Ordering::Relaxed);
        }
    }
}
