//! What one rule was last told of, and what it would have to be told now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::seen::{Observed, Seen, Sight, Step};
use crate::actions::{Change, ChangedObject};
use crate::config::{ObjectKind, When};
use crate::store::diff::{self, KeyChanges};
use crate::store::{Content, Kind, ObjectRef};

/// Keys whose values the app may have read without an attempt's success, and whether it may have
/// found a value there.
type Shown = BTreeMap<ObjectRef, BTreeMap<String, bool>>;

/// The content that a rule last acted upon, object by object.
#[derive(Debug)]
pub(super) struct Ledger {
    object: Option<ObjectRef>,
    keys: Vec<globset::GlobMatcher>,
    /// Without an entry, there was no object.
    told: BTreeMap<ObjectRef, Arc<Content>>,
    /// What the app may have read since, other than what is `told`. Kept until the next success:
    /// should the content return to what was told, the app has to be told that, too.
    shown: Shown,
    /// What came while an attempt is in line or under way, and so may be read by it.
    meanwhile: Shown,
}

/// Whether an attempt reached the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// It succeeded.
    Yes,
    /// It failed, but the app may have begun to act upon it.
    Perhaps,
    /// It failed before anybody could hear of it.
    No,
}

/// What a rule is to be told, and what it knows once it was.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) change: Arc<Change>,
    /// The objects' contents; `None` for one that went.
    pub(super) contents: Arc<[(ObjectRef, Option<Arc<Content>>)]>,
}

// === impl Pending ===

impl Pending {
    /// The same, for an app that can read the content only from now on.
    pub(super) fn since_now(self) -> Self {
        let mut change = Arc::unwrap_or_clone(self.change);
        change.since = Instant::now();
        Self {
            change: Arc::new(change),
            contents: self.contents,
        }
    }
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn new(when: &When, default_namespace: &Arc<str>) -> Self {
        let object = when.object.as_ref().map(|(kind, object)| {
            let kind = match kind {
                ObjectKind::ConfigMap => Kind::ConfigMap,
                ObjectKind::Secret => Kind::Secret,
            };
            let namespace = match &object.namespace {
                Some(namespace) => Arc::from(namespace.as_str()),
                None => Arc::clone(default_namespace),
            };
            ObjectRef::new(kind, namespace, object.name.as_str())
        });
        Self {
            object,
            keys: when.keys.clone(),
            told: BTreeMap::new(),
            shown: Shown::new(),
            meanwhile: Shown::new(),
        }
    }

    /// Takes over baselines and expiries, and what an attempt that is `busy` may let the app read;
    /// whether any step concerns the rule.
    pub(super) fn observe(&mut self, observed: &Observed, seen: &Seen, busy: bool) -> bool {
        for reference in &observed.forgotten {
            self.advance(reference, None);
            self.meanwhile.remove(reference);
        }
        for reference in &observed.baselines {
            if let Some(content) = self.now(reference, seen)
                && !self.told.contains_key(reference)
            {
                self.told.insert(reference.clone(), Arc::clone(content));
            }
        }
        let steps = observed.steps.iter().filter(|step| self.concerns(step));
        let steps: Vec<&Step> = steps.collect();
        if busy {
            for step in &steps {
                self.read_meanwhile(step, seen);
            }
        }
        !steps.is_empty()
    }

    fn read_meanwhile(&mut self, step: &Step, seen: &Seen) {
        let content = self.now(&step.reference, seen).cloned();
        let keys = step.acting.keys().filter(|key| self.wants(key));
        let keys: Vec<_> = keys.map(|key| presence(key, content.as_deref())).collect();
        note(&mut self.meanwhile, &step.reference, keys);
    }

    fn concerns(&self, step: &Step) -> bool {
        let object = match &self.object {
            Some(object) => *object == step.reference,
            None => step.declared,
        };
        object && step.acting.keys().any(|key| self.wants(key))
    }

    /// Whether the rule is for that key.
    pub(super) fn wants(&self, key: &str) -> bool {
        self.keys.is_empty() || self.keys.iter().any(|glob| glob.is_match(key))
    }

    fn sight<'a>(&self, reference: &ObjectRef, seen: &'a Seen) -> Option<&'a Sight> {
        let sight = seen.objects().get(reference)?;
        match &self.object {
            Some(object) => object == reference,
            None => sight.declared(),
        }
        .then_some(sight)
    }

    fn now<'a>(&self, reference: &ObjectRef, seen: &'a Seen) -> Option<&'a Arc<Content>> {
        self.sight(reference, seen).map(Sight::content)
    }

    /// What differs between what the app may have read last and now; `None` if nothing does.
    pub(super) fn pending(&mut self, seen: &Seen) -> Option<Pending> {
        let mut objects = Vec::new();
        let mut contents = Vec::new();
        let mut since = None;
        for (reference, keys) in self.differences(seen) {
            let sight = self.sight(&reference, seen);
            let content = sight.map(|sight| Arc::clone(sight.content()));
            if keys.is_empty() {
                // Other keys than the rule's: nothing to tell, and no reason to keep the old ones.
                self.advance(&reference, content);
                continue;
            }
            // Nobody noted when an object went; now is late enough.
            let at = content.as_ref().map_or_else(Instant::now, |c| c.since());
            since = since.max(Some(at));
            objects.push(ChangedObject {
                reference: reference.clone(),
                resource_version: sight.map_or("", Sight::resource_version).to_owned(),
                keys,
                annotations: BTreeMap::new(),
            });
            contents.push((reference, content));
        }
        Some(Pending {
            change: Arc::new(Change {
                objects,
                since: since?,
                content_hash: String::new(),
            }),
            contents: contents.into(),
        })
    }

    /// The objects whose content differs, each with those of its differing keys that the rule is
    /// for.
    fn differences(&self, seen: &Seen) -> Vec<(ObjectRef, KeyChanges)> {
        let mut references: Vec<&ObjectRef> = match &self.object {
            Some(object) => vec![object],
            None => {
                let known = self.told.keys().chain(self.shown.keys());
                known.chain(seen.objects().keys()).collect()
            }
        };
        references.sort();
        references.dedup();
        let mut differences = Vec::new();
        for reference in references {
            let (before, after) = (self.told.get(reference), self.now(reference, seen));
            let same = match (before, after) {
                (Some(before), Some(after)) => Arc::ptr_eq(before, after),
                (before, after) => before.is_none() && after.is_none(),
            };
            let shown = self.shown.get(reference);
            if !same || shown.is_some() {
                let (before, after) = (before.map(|c| &**c), after.map(|c| &**c));
                let mut keys = diff::keys(before, after).filtered(|key| self.wants(key));
                if let Some(shown) = shown {
                    returned(&mut keys, shown, after);
                }
                differences.push((reference.clone(), keys));
            }
        }
        differences
    }

    /// Notes that an attempt to tell of `pending` has ended.
    pub(super) fn attempted(&mut self, pending: &Pending, reached: Reached) {
        let meanwhile = std::mem::take(&mut self.meanwhile);
        match reached {
            Reached::No => return,
            Reached::Yes => {
                for (reference, content) in pending.contents.iter() {
                    self.advance(reference, content.clone());
                }
            }
            Reached::Perhaps => {
                for (reference, content) in pending.contents.iter() {
                    self.perhaps_read(reference, content.as_deref());
                }
            }
        }
        for (reference, keys) in meanwhile {
            note(&mut self.shown, &reference, keys);
        }
    }

    fn perhaps_read(&mut self, reference: &ObjectRef, content: Option<&Content>) {
        let before = self.told.get(reference).map(|told| &**told);
        let keys = diff::keys(before, content).filtered(|key| self.wants(key));
        let keys: Vec<_> = keys.keys().map(|key| presence(key, content)).collect();
        note(&mut self.shown, reference, keys);
    }

    fn advance(&mut self, reference: &ObjectRef, content: Option<Arc<Content>>) {
        self.shown.remove(reference);
        match content {
            Some(content) => self.told.insert(reference.clone(), content),
            None => self.told.remove(reference),
        };
    }
}

fn presence(key: &str, content: Option<&Content>) -> (String, bool) {
    let present = content.is_some_and(|content| content.get(key).is_some());
    (key.to_owned(), present)
}

/// A value once seen counts, even if it went again.
fn note(shown: &mut Shown, object: &ObjectRef, keys: impl IntoIterator<Item = (String, bool)>) {
    let shown = shown.entry(object.clone()).or_default();
    for (key, present) in keys {
        *shown.entry(key).or_default() |= present;
    }
}

/// Adds the keys whose values the app may have read and that are now as they were told before.
fn returned(keys: &mut KeyChanges, shown: &BTreeMap<String, bool>, now: Option<&Content>) {
    for (key, was_present) in shown {
        if keys.keys().any(|known| known == key) {
            continue;
        }
        let is_present = now.is_some_and(|content| content.get(key).is_some());
        match (was_present, is_present) {
            (true, true) => keys.changed.push(key.clone()),
            (true, false) => keys.removed.push(key.clone()),
            (false, true) => keys.added.push(key.clone()),
            (false, false) => {}
        }
    }
    for list in [&mut keys.added, &mut keys.changed, &mut keys.removed] {
        list.sort();
    }
}

#[cfg(test)]
mod tests;
