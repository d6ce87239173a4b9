//! What one rule was last told of, and what it would have to be told now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::seen::{Observed, Seen, Sight, Step};
use crate::actions::{Change, ChangedObject};
use crate::config::{ObjectKind, When};
use crate::store::diff::{self, KeyChanges};
use crate::store::{Content, Kind, ObjectRef};

/// The content that a rule last acted upon, object by object.
#[derive(Debug)]
pub(super) struct Ledger {
    object: Option<ObjectRef>,
    keys: Vec<globset::GlobMatcher>,
    /// Without an entry, there was no object.
    told: BTreeMap<ObjectRef, Arc<Content>>,
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
        }
    }

    /// Takes over baselines and expiries; whether any step concerns the rule.
    pub(super) fn observe(&mut self, observed: &Observed, seen: &Seen) -> bool {
        for reference in &observed.forgotten {
            self.told.remove(reference);
        }
        for reference in &observed.baselines {
            if let Some(content) = self.now(reference, seen)
                && !self.told.contains_key(reference)
            {
                self.told.insert(reference.clone(), Arc::clone(content));
            }
        }
        observed.steps.iter().any(|step| self.concerns(step))
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

    /// What differs between what the rule was last told of and now; `None` if nothing does.
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
            });
            contents.push((reference, content));
        }
        Some(Pending {
            change: Arc::new(Change {
                objects,
                since: since?,
            }),
            contents: contents.into(),
        })
    }

    /// The objects whose content differs, each with those of its differing keys that the rule is
    /// for.
    fn differences(&self, seen: &Seen) -> Vec<(ObjectRef, KeyChanges)> {
        let mut references: Vec<&ObjectRef> = match &self.object {
            Some(object) => vec![object],
            None => self.told.keys().chain(seen.objects().keys()).collect(),
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
            if !same {
                let keys = diff::keys(before.map(|c| &**c), after.map(|c| &**c));
                let keys = keys.filtered(|key| self.wants(key));
                differences.push((reference.clone(), keys));
            }
        }
        differences
    }

    /// Notes that the rule was told.
    pub(super) fn told(&mut self, pending: &Pending) {
        for (reference, content) in pending.contents.iter() {
            self.advance(reference, content.clone());
        }
    }

    fn advance(&mut self, reference: &ObjectRef, content: Option<Arc<Content>>) {
        match content {
            Some(content) => self.told.insert(reference.clone(), content),
            None => self.told.remove(reference),
        };
    }
}

#[cfg(test)]
mod tests;
