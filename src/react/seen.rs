//! What was seen of every object so far, and what a newer snapshot changes in it.
//!
//! Two views are kept apart. *Readers* see what the snapshot holds: for them a deletion is a
//! change, and so the journal has it. *Rules* see the last content that counts: the deletion of a
//! named object does not count, nor does a scope that went or lost its source.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::store::diff::{self, KeyChanges};
use crate::store::{Content, Object, ObjectRef, Scope, Selects, Snapshot};

/// Names a scope: a read may have made one beside a declared one of the same name.
type ScopeKey = (Arc<str>, bool);

/// Everything seen so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    objects: BTreeMap<ObjectRef, Sight>,
    /// The scopes that held something to go by in the newest snapshot.
    populated: BTreeSet<ScopeKey>,
    /// Scopes whose content is an earlier attache's, and has not been read yet.
    restored: BTreeSet<ScopeKey>,
    /// Objects that an earlier attache told of and that have not been seen yet.
    expected: BTreeSet<ObjectRef>,
}

/// One object as it was last seen.
#[derive(Debug)]
pub(super) struct Sight {
    object: Arc<Object>,
    holder: ScopeKey,
    /// Whether readers find it.
    present: bool,
}

/// What a snapshot changes.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// Seen for the first time, through a scope that has just synced: where rules start from.
    pub(super) baselines: Vec<Baseline>,
    /// Objects of expired scopes, of which nothing is known any more.
    pub(super) forgotten: Vec<ObjectRef>,
    /// Changes of content.
    pub(super) steps: Vec<Step>,
    /// Objects whose actions are held from now on, or no more.
    pub(super) paused: Vec<ObjectRef>,
    /// Objects that an earlier attache told of and that have gone from a selector since.
    pub(super) gone: Vec<ObjectRef>,
}

/// An object seen for the first time, or read for the first time after it was restored.
#[derive(Debug)]
pub(super) struct Baseline {
    pub(super) reference: ObjectRef,
    /// An earlier attache held it, and may not have told of it.
    pub(super) restored: bool,
}

/// The change of one object from one snapshot to the next.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) reference: ObjectRef,
    /// Empty for an object that went.
    pub(super) resource_version: String,
    /// Whether the configuration names or selects it, before or after.
    pub(super) declared: bool,
    /// The keys that differ for readers.
    pub(super) read: KeyChanges,
    /// The keys that differ for rules.
    pub(super) acting: KeyChanges,
}

// === impl Sight ===

impl Sight {
    fn new(object: &Arc<Object>, holder: ScopeKey) -> Self {
        Self {
            object: Arc::clone(object),
            holder,
            present: true,
        }
    }

    pub(super) fn content(&self) -> &Arc<Content> {
        self.object.content()
    }

    pub(super) fn resource_version(&self) -> &str {
        self.object.resource_version()
    }

    /// The annotations that attache reads.
    pub(super) fn annotations(&self) -> &BTreeMap<String, String> {
        self.object.annotations()
    }

    /// Whether the actions upon its changes are held.
    pub(super) fn is_paused(&self) -> bool {
        self.object.is_paused()
    }

    /// Whether the configuration names or selects it.
    pub(super) fn declared(&self) -> bool {
        !self.holder.1
    }

    fn removal(&self) -> KeyChanges {
        diff::keys(Some(self.content()), None)
    }

    /// Takes over a newer state. `first` says that its scope has just synced.
    fn update(&mut self, object: &Arc<Object>, holder: ScopeKey, first: bool) -> Step {
        let next = Self::new(object, holder);
        let after = Some(&**next.content());
        let acting = match (self.declared(), next.declared()) {
            // Declared anew, so new to the rules that are for all that is declared; or no more so.
            (false, true) if !first => diff::keys(None, after),
            (true, false) => self.removal(),
            _ => diff::keys(Some(self.content()), after),
        };
        let before = self.present.then(|| &**self.content());
        let step = Step {
            reference: object.reference().clone(),
            resource_version: object.resource_version().to_owned(),
            declared: self.declared() || next.declared(),
            read: diff::keys(before, after),
            acting,
        };
        *self = next;
        step
    }
}

// === impl Seen ===

impl Seen {
    /// Nothing seen yet, and an earlier attache told of `expected`.
    pub(super) fn expecting(expected: BTreeSet<ObjectRef>) -> Self {
        Self {
            expected,
            ..Self::default()
        }
    }

    /// Every object, sorted.
    pub(super) fn objects(&self) -> &BTreeMap<ObjectRef, Sight> {
        &self.objects
    }

    /// Takes over `snapshot`.
    pub(super) fn observe(&mut self, snapshot: &Snapshot) -> Observed {
        let mut observed = Observed::default();
        for entry in snapshot.entries() {
            let scope = snapshot.scope_of(entry);
            if scope.populated() {
                self.found(&entry.object, scope, &mut observed);
            }
        }
        self.objects.retain(|reference, sight| {
            snapshot.get(reference).is_some() || missed(reference, sight, snapshot, &mut observed)
        });
        let scopes = || snapshot.scopes().iter();
        self.populated.clear();
        self.populated
            .extend(scopes().filter(|s| s.populated()).map(key));
        self.restored.clear();
        self.restored
            .extend(scopes().filter(|s| s.restored()).map(key));
        // Without any scope, attache has but begun.
        let begun = snapshot.declared().next().is_some();
        if begun && !self.expected.is_empty() && snapshot.declared().all(Scope::synced) {
            let named = |reference: &ObjectRef| {
                snapshot
                    .declared()
                    .any(|scope| scope.spec().names(reference))
            };
            let mut missing = std::mem::take(&mut self.expected);
            missing.retain(|reference| !self.objects.contains_key(reference));
            let gone = missing.into_iter().filter(|reference| !named(reference));
            observed.gone = gone.collect();
        }
        observed
    }

    fn found(&mut self, object: &Arc<Object>, scope: &Scope, observed: &mut Observed) {
        let (reference, holder) = (object.reference(), key(scope));
        let baseline = || Baseline {
            reference: reference.clone(),
            restored: scope.restored(),
        };
        let first = !self.populated.contains(&holder);
        // It was restored, and has been read now.
        let confirmed = !scope.restored() && self.restored.contains(&holder);
        let on_demand = holder.1;
        if let Some(sight) = self.objects.get_mut(reference) {
            let same = sight.present && sight.holder == holder;
            if same && !confirmed && Arc::ptr_eq(&sight.object, object) {
                return;
            }
            let was_paused = sight.is_paused();
            let step = sight.update(object, holder, first);
            if was_paused != object.is_paused() {
                observed.paused.push(reference.clone());
            }
            if first || confirmed {
                observed.baselines.push(baseline());
            }
            if !step.read.is_empty() || !step.acting.is_empty() {
                observed.steps.push(step);
            }
            return;
        }
        if first || on_demand {
            observed.baselines.push(baseline());
        } else {
            let keys = diff::keys(None, Some(object.content()));
            observed.steps.push(Step {
                reference: reference.clone(),
                resource_version: object.resource_version().to_owned(),
                declared: true,
                read: keys.clone(),
                acting: keys,
            });
        }
        self.objects
            .insert(reference.clone(), Sight::new(object, holder));
    }
}

/// Judges an object that the snapshot does not hold; whether it stays in mind.
fn missed(
    reference: &ObjectRef,
    sight: &mut Sight,
    snapshot: &Snapshot,
    observed: &mut Observed,
) -> bool {
    let mut scopes = snapshot.scopes().iter();
    let Some(holder) = scopes.clone().find(|scope| key(scope) == sight.holder) else {
        if !sight.declared() {
            observed.forgotten.push(reference.clone());
        }
        return sight.declared();
    };
    // Another scope of that name, made anew, has not been read yet.
    if !holder.synced() {
        return true;
    }
    if scopes
        .clone()
        .any(|scope| scope.refused().contains_key(reference))
    {
        return true;
    }
    let mut named = scopes
        .clone()
        .filter(|scope| scope.spec().names(reference))
        .peekable();
    let is_named = named.peek().is_some();
    // A scope not read yet may have it.
    if is_named && named.any(|scope| !scope.synced()) {
        return true;
    }
    // A directory answers for everything, so a second one not read yet may have it.
    let directory = |scope: &Scope| matches!(scope.spec().selects, Selects::Directory(_));
    if scopes.any(|scope| directory(scope) && !scope.synced()) {
        return true;
    }
    if sight.present {
        let acting = match is_named {
            true => KeyChanges::default(),
            false => sight.removal(),
        };
        observed.steps.push(Step {
            reference: reference.clone(),
            resource_version: String::new(),
            declared: sight.declared(),
            read: sight.removal(),
            acting,
        });
    }
    sight.present = false;
    is_named
}

fn key(scope: &Scope) -> ScopeKey {
    (Arc::clone(&scope.spec().name), scope.spec().on_demand)
}
