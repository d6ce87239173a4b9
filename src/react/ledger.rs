//! What one rule was last told of, and what it would have to be told now.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::names::Names;
use super::seen::{Baseline, Observed, Seen, Sight, Step};
use super::shown::{Shown, note, presence, returned};
use super::told::{Digest, Told};
use crate::actions::{Change, ChangedObject};
use crate::config::{Glob, When};
use crate::state::RuleState;
use crate::store::diff::{self, KeyChanges};
use crate::store::{Content, ObjectRef};

/// The content that a rule last acted upon, object by object.
#[derive(Debug)]
pub(super) struct Ledger {
    object: Option<ObjectRef>,
    keys: Vec<Glob>,
    /// Without an entry, there was no object.
    told: BTreeMap<ObjectRef, Told>,
    /// Whether an earlier attache kept what it told.
    resumes: bool,
    /// What an earlier attache told of, or held, and this one has not read yet: nothing is known of
    /// it.
    unseen: BTreeSet<ObjectRef>,
    /// What came to an earlier attache, which told of other objects and not of these.
    untold: BTreeSet<ObjectRef>,
    /// What the app may have read since, other than what is `told`. Kept until the next success:
    /// should the content return to what was told, the app has to be told that, too.
    shown: Shown,
    /// What came while an attempt is in line or under way, and so may be read by it.
    meanwhile: Shown,
    /// What was told has moved on since it was last asked for to be kept.
    moved: bool,
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
    /// The same, for an app that can read the content only from `since` on.
    pub(super) fn not_before(self, since: Option<Instant>) -> Self {
        let Some(since) = since.filter(|since| *since > self.change.since) else {
            return self;
        };
        let mut change = Arc::unwrap_or_clone(self.change);
        change.since = since;
        Self {
            change: Arc::new(change),
            contents: self.contents,
        }
    }

    /// The objects that it tells of.
    pub(super) fn objects(&self) -> Vec<ObjectRef> {
        self.contents.iter().map(|(of, _)| of.clone()).collect()
    }
}

// === impl Ledger ===

impl Ledger {
    /// Knows what an earlier attache has told, if there was one.
    pub(super) fn new(when: &When, names: &Names, restored: Option<&RuleState>) -> Self {
        let named = when.object.as_ref();
        let object = named.map(|(kind, object)| names.object(*kind, object));
        let resumes = restored.is_some();
        let restored = restored.cloned().unwrap_or_default();
        let of_rule = |of: &ObjectRef| object.as_ref().is_none_or(|object| object == of);
        let told = restored.told.into_iter().filter(|(of, _)| of_rule(of));
        let mut tags = BTreeMap::new();
        tags.extend(told.map(|(of, tags)| (of, Told::Tags(tags))));
        let mut shown = restored.shown;
        shown.retain(|of, _| of_rule(of));
        let mut unseen = BTreeSet::new();
        unseen.extend(tags.keys().chain(shown.keys()).cloned());
        Self {
            keys: when.keys.clone(),
            unseen,
            untold: BTreeSet::new(),
            resumes,
            told: tags,
            shown,
            meanwhile: Shown::new(),
            moved: false,
            object,
        }
    }

    /// The objects that an earlier attache told of.
    pub(super) fn unseen(&self) -> impl Iterator<Item = &ObjectRef> {
        self.unseen.iter()
    }

    /// What is to be kept over a restart of attache. `intent` is what an attempt is about to show
    /// to the app: should attache end before the attempt does, the app may have read it.
    pub(super) fn state(&self, intent: Option<&Pending>) -> RuleState {
        let mut told = BTreeMap::new();
        told.extend(self.told.iter().map(|(of, told)| (of.clone(), told.tags())));
        let mut shown = self.shown.clone();
        for (reference, content) in intent.iter().flat_map(|pending| pending.contents.iter()) {
            note(
                &mut shown,
                reference,
                self.read_by(reference, content.as_deref()),
            );
        }
        RuleState {
            told,
            shown,
            acted: None,
            progress: None,
        }
    }

    /// Takes over baselines and expiries, and what an attempt that is `busy` may let the app read;
    /// whether any step concerns the rule.
    pub(super) fn observe(&mut self, observed: &Observed, seen: &Seen, busy: bool) -> bool {
        for reference in &observed.forgotten {
            self.advance(reference, None);
            self.meanwhile.remove(reference);
        }
        let mut concerns = false;
        for reference in &observed.gone {
            concerns |= self.unseen.remove(reference);
        }
        for Baseline {
            reference,
            restored,
        } in &observed.baselines
        {
            let Some(content) = self.now(reference, seen).map(Arc::clone) else {
                continue;
            };
            if *restored && self.resumes {
                // It may have changed since: nobody is told of it before it is read.
                self.unseen.insert(reference.clone());
                if !self.told.contains_key(reference) {
                    self.untold.insert(reference.clone());
                }
                continue;
            }
            // What an earlier attache told of may have changed since.
            concerns |= self.unseen.remove(reference);
            if self.untold.remove(reference) {
                continue;
            }
            if let Entry::Vacant(told) = self.told.entry(reference.clone()) {
                told.insert(Told::Content(content));
                self.moved = true;
            }
        }
        let paused = observed.paused.iter();
        concerns |= paused.filter(|of| self.sight(of, seen).is_some()).count() > 0;
        // One that was missing at the start has come: it may be as an earlier attache told of it.
        for step in &observed.steps {
            concerns |= self.unseen.remove(&step.reference);
            self.untold.remove(&step.reference);
        }
        let steps = observed.steps.iter().filter(|step| self.concerns(step));
        let steps: Vec<&Step> = steps.collect();
        if busy {
            for step in &steps {
                self.read_meanwhile(step, seen);
            }
        }
        concerns || !steps.is_empty()
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
            if sight.is_some_and(Sight::is_paused) {
                continue;
            }
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
                annotations: sight.map_or_else(BTreeMap::new, |s| s.annotations().clone()),
            });
            contents.push((reference, content));
        }
        Some(Pending {
            change: Arc::new(Change {
                objects,
                since: since?,
                content_hash: self.content_hash(seen),
            }),
            contents: contents.into(),
        })
    }

    /// The objects with something to tell that their annotation holds.
    pub(super) fn paused(&self, seen: &Seen) -> Vec<ObjectRef> {
        let differences = self.differences(seen).into_iter();
        let held = differences.filter(|(reference, keys)| {
            !keys.is_empty() && self.sight(reference, seen).is_some_and(Sight::is_paused)
        });
        held.map(|(reference, _)| reference).collect()
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
        references.retain(|reference| !self.unseen.contains(*reference));
        references.sort_unstable();
        references.dedup();
        let mut differences = Vec::new();
        for reference in references {
            let (before, after) = (self.told.get(reference), self.now(reference, seen));
            let same = match (before, after) {
                (Some(before), Some(after)) => before.is(after),
                (before, after) => before.is_none() && after.is_none(),
            };
            let shown = self.shown.get(reference);
            if !same || shown.is_some() {
                let after = after.map(|c| &**c);
                let mut keys = self.changes(reference, after);
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
                    let keys = self.read_by(reference, content.as_deref());
                    note(&mut self.shown, reference, keys);
                }
            }
        }
        for (reference, keys) in meanwhile {
            note(&mut self.shown, &reference, keys);
        }
    }

    /// The keys of which an app that reads `content` sees another value than it was told of.
    fn read_by(&self, reference: &ObjectRef, content: Option<&Content>) -> Vec<(String, bool)> {
        let keys = self.changes(reference, content);
        keys.keys().map(|key| presence(key, content)).collect()
    }

    /// The rule's keys that differ from what was told.
    fn changes(&self, reference: &ObjectRef, after: Option<&Content>) -> KeyChanges {
        let changes = match self.told.get(reference) {
            Some(told) => told.changes(after),
            None => diff::keys(None, after),
        };
        changes.filtered(|key| self.wants(key))
    }

    /// A hash of all that the rule is for; of a paused object, as it was told.
    fn content_hash(&self, seen: &Seen) -> String {
        let mut digest = Digest::default();
        let references: Vec<&ObjectRef> = match &self.object {
            Some(object) => vec![object],
            None => seen.objects().keys().collect(),
        };
        for reference in references {
            let Some(sight) = self.sight(reference, seen) else {
                continue;
            };
            let told = match self.told.get(reference) {
                Some(told) if sight.is_paused() => told.tags(),
                _ => Told::Content(Arc::clone(sight.content())).tags(),
            };
            let tags = told.iter().filter(|(key, _)| self.wants(key));
            digest.add(reference, tags);
        }
        digest.finish()
    }

    /// Whether what was told has moved on since it was last asked for to be kept.
    pub(super) fn has_moved(&self) -> bool {
        self.moved
    }

    /// What was told is asked for to be kept.
    pub(super) fn kept(&mut self) {
        self.moved = false;
    }

    fn advance(&mut self, reference: &ObjectRef, content: Option<Arc<Content>>) {
        self.moved = true;
        self.shown.remove(reference);
        match content {
            Some(content) => self.told.insert(reference.clone(), Told::Content(content)),
            None => self.told.remove(reference),
        };
    }
}

#[cfg(test)]
mod tests;
