//! How the store changes: a scope's writer edits its own scope and swaps the snapshot.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use super::object::{Object, ObjectRef, RawObject};
use super::reader::Reader;
use super::scope::{Contact, Scope, ScopeSpec};
use super::snapshot::Snapshot;

/// Makes an empty store that holds at most `max_bytes` of keys and values.
#[must_use]
pub fn new(max_bytes: usize) -> (Writer, Reader) {
    let (sender, receiver) = watch::channel(Arc::new(Snapshot::default()));
    let state = State {
        scopes: Vec::new(),
        next_id: 0,
        version: 0,
        held: 0,
        max_bytes,
        sender,
    };
    (
        Writer {
            state: Arc::new(Mutex::new(state)),
        },
        Reader::new(receiver),
    )
}

struct State {
    scopes: Vec<Scope>,
    next_id: u64,
    version: u64,
    held: usize,
    max_bytes: usize,
    sender: watch::Sender<Arc<Snapshot>>,
}

impl State {
    fn publish(&mut self) {
        self.version += 1;
        let snapshot = Arc::new(Snapshot::new(self.version, self.scopes.clone()));
        self.sender.send_replace(snapshot);
    }
}

/// The store's only way in: makes the scopes through which sources write.
#[derive(Clone)]
pub struct Writer {
    state: Arc<Mutex<State>>,
}

// === impl Writer ===

impl Writer {
    /// Adds a scope, after all others. It goes, with its objects, when the returned writer is
    /// dropped.
    #[must_use]
    pub fn scope(&self, spec: ScopeSpec) -> ScopeWriter {
        let mut state = lock(&self.state);
        let id = state.next_id;
        state.next_id += 1;
        let read = Arc::new(AtomicBool::new(true));
        state.scopes.push(Scope {
            id,
            spec: Arc::new(spec),
            objects: Arc::default(),
            refused: Arc::default(),
            synced: false,
            unserved: false,
            contact: Contact::Never { reason: None },
            read: Arc::clone(&read),
        });
        state.publish();
        drop(state);
        ScopeWriter {
            state: Arc::clone(&self.state),
            id,
            read,
        }
    }
}

/// Edits one scope. Every method that changes something swaps the snapshot once.
pub struct ScopeWriter {
    state: Arc<Mutex<State>>,
    id: u64,
    read: Arc<AtomicBool>,
}

// === impl ScopeWriter ===

impl ScopeWriter {
    /// Freezes `raw`, sharing with the version this scope holds whatever did not change.
    #[must_use]
    pub fn freeze(&self, raw: RawObject) -> Arc<Object> {
        let previous = self.get(&raw.reference);
        Object::freeze(raw, previous.as_ref())
    }

    /// The version of an object that this scope holds.
    #[must_use]
    pub fn get(&self, reference: &ObjectRef) -> Option<Arc<Object>> {
        let state = lock(&self.state);
        let scope = state.scopes.iter().find(|scope| scope.id == self.id)?;
        scope.objects.get(reference).cloned()
    }

    /// The most bytes of keys and values that the store holds.
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        lock(&self.state).max_bytes
    }

    /// Puts objects there that an earlier attache held, each since the moment beside it, last known
    /// current at `contact`. They stay until the scope is read; nothing happens if it was.
    pub fn restore(&self, objects: Vec<(RawObject, Instant)>, contact: Instant) {
        self.edit(|scope, budget| {
            if scope.synced {
                return false;
            }
            let mut held = BTreeMap::new();
            for (raw, since) in objects {
                let object = Object::restore(raw, since);
                match budget.take(object.size()) {
                    Ok(()) => drop(held.insert(object.reference().clone(), object)),
                    Err(reason) => tell_refused(object.reference(), &reason),
                }
            }
            scope.objects = Arc::new(held);
            scope.contact = Contact::Lost {
                since: contact,
                reason: "restored from the state directory, not read from the source yet".into(),
            };
            true
        });
    }

    /// Puts `objects` in place of all the scope held: a complete list. The scope is then synced
    /// and in contact.
    pub fn replace(&self, objects: Vec<Arc<Object>>) {
        self.replace_with(objects, Vec::new());
    }

    /// The same, with objects that the list held, too, but that are too large to hold: their sizes.
    pub fn replace_with(&self, objects: Vec<Arc<Object>>, too_large: Vec<(ObjectRef, usize)>) {
        self.edit(|scope, budget| {
            let mut next = BTreeMap::new();
            let mut refused = BTreeMap::new();
            for (reference, _) in &too_large {
                if let Some(held) = scope.objects.get(reference) {
                    next.insert(reference.clone(), Arc::clone(held));
                }
            }
            // What is offered must fit beside the other scopes; what it replaces is freed first.
            budget.free(scope.objects.values().map(|o| o.size()).sum());
            for kept in next.values() {
                // It fitted before.
                let _ = budget.take(kept.size());
            }
            for object in objects {
                let reference = object.reference().clone();
                if let Err(reason) = budget.take(object.size()) {
                    refused.insert(reference.clone(), reason);
                    if let Some(held) = scope.objects.get(&reference)
                        && budget.take(held.size()).is_ok()
                    {
                        next.insert(reference, Arc::clone(held));
                    }
                    continue;
                }
                next.insert(reference, object);
            }
            for (reference, size) in too_large {
                refused.insert(reference, budget.reason(size));
            }
            for (reference, reason) in &refused {
                if !scope.refused.contains_key(reference) {
                    tell_refused(reference, reason);
                }
            }
            scope.objects = Arc::new(next);
            scope.refused = Arc::new(refused);
            scope.synced = true;
            scope.contact = Contact::Live;
            true
        });
    }

    /// Adds or updates one object. An older version than the one held is ignored.
    pub fn upsert(&self, object: Arc<Object>) {
        self.edit(|scope, budget| {
            let reference = object.reference();
            let held = scope.objects.get(reference);
            if held.is_some_and(|h| {
                Arc::ptr_eq(h, &object) || h.is_at_least(object.uid(), object.resource_version())
            }) {
                return false;
            }
            let old = held.map_or(0, |h| h.size());
            budget.free(old);
            if let Err(reason) = budget.take(object.size()) {
                // The last good version stays; it fitted before.
                let _ = budget.take(old);
                if !scope.refused.contains_key(reference) {
                    tell_refused(reference, &reason);
                }
                Arc::make_mut(&mut scope.refused).insert(reference.clone(), reason);
                return true;
            }
            if scope.refused.contains_key(reference) {
                Arc::make_mut(&mut scope.refused).remove(reference);
            }
            Arc::make_mut(&mut scope.objects).insert(reference.clone(), object);
            true
        });
    }

    /// Removes one object, unless a version newer than `resource_version` is held.
    pub fn remove(&self, reference: &ObjectRef, uid: &str, resource_version: &str) {
        self.edit(|scope, budget| {
            let forgotten = scope.refused.contains_key(reference)
                && Arc::make_mut(&mut scope.refused)
                    .remove(reference)
                    .is_some();
            let Some(held) = scope.objects.get(reference) else {
                return forgotten;
            };
            let newer = held.resource_version() != resource_version
                && held.is_at_least(uid, resource_version);
            // A deletion of another UID than the one held speaks of an earlier object.
            if newer || (!uid.is_empty() && held.uid() != uid) {
                return forgotten;
            }
            budget.free(held.size());
            Arc::make_mut(&mut scope.objects).remove(reference);
            true
        });
    }

    /// The source answers: what is held is current. Nothing is published if it already was.
    pub fn live(&self) {
        self.edit(|scope, _| {
            if !scope.synced || matches!(scope.contact, Contact::Live) {
                return false;
            }
            scope.contact = Contact::Live;
            true
        });
    }

    /// The source fails: what is held stays, last known current at `since`. A scope already out of
    /// contact keeps its first moment.
    pub fn lost(&self, since: Instant, reason: impl Into<Arc<str>>) {
        let reason = reason.into();
        self.edit(|scope, _| {
            scope.contact = match (&scope.contact, scope.synced) {
                (Contact::Lost { since, .. }, _) => Contact::Lost {
                    since: *since,
                    reason,
                },
                (_, false) => Contact::Never {
                    reason: Some(reason),
                },
                (_, true) => Contact::Lost { since, reason },
            };
            true
        });
    }

    /// Notes whether the source has that kind of object at all.
    pub fn served(&self, served: bool) {
        self.edit(|scope, _| std::mem::replace(&mut scope.unserved, !served) == served);
    }

    /// Tells whether the scope is read from.
    #[must_use]
    pub fn reads(&self) -> Reads {
        Reads(Arc::clone(&self.read))
    }

    /// Whether an object is refused for want of room, so that a later list may find some.
    #[must_use]
    pub fn has_refused(&self) -> bool {
        let state = lock(&self.state);
        state
            .scopes
            .iter()
            .any(|scope| scope.id == self.id && !scope.refused.is_empty())
    }

    fn edit(&self, change: impl FnOnce(&mut Scope, &mut Budget) -> bool) {
        let mut state = lock(&self.state);
        let mut budget = Budget {
            held: state.held,
            max: state.max_bytes,
        };
        let Some(scope) = state.scopes.iter_mut().find(|scope| scope.id == self.id) else {
            return;
        };
        if change(scope, &mut budget) {
            state.held = budget.held;
            state.publish();
        }
    }
}

impl Drop for ScopeWriter {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if let Some(at) = state.scopes.iter().position(|scope| scope.id == self.id) {
            let scope = state.scopes.remove(at);
            let freed: usize = scope.objects.values().map(|o| o.size()).sum();
            state.held = state.held.saturating_sub(freed);
            state.publish();
        }
    }
}

/// Tells whether a scope is read from.
pub struct Reads(Arc<AtomicBool>);

// === impl Reads ===

impl Reads {
    /// Whether anyone read from the scope since this was last asked.
    #[must_use]
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

fn tell_refused(object: &ObjectRef, reason: &str) {
    tracing::warn!(%object, reason, "not held; what was held of it before stays: raise --max-bytes, or attache.dev/resources of an injected sidecar");
}

struct Budget {
    held: usize,
    max: usize,
}

impl Budget {
    fn free(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
    }

    fn take(&mut self, bytes: usize) -> Result<(), Arc<str>> {
        if self.held.saturating_add(bytes) > self.max {
            return Err(self.reason(bytes));
        }
        self.held += bytes;
        Ok(())
    }

    fn reason(&self, bytes: usize) -> Arc<str> {
        let Self { held, max } = self;
        format!("{bytes} bytes on top of {held} held would exceed --max-bytes {max}").into()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Every edit leaves the state whole, so what a panicking thread held is still good.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
