//! The last good content of scopes, on disk.

mod files;
mod restore;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::StateError;
use super::clock::Clock;
use super::disk::Disk;
use super::seal::Sealed;
use crate::store::{Contact, ETag, Kind, Object, ObjectRef, Scope, ScopeSpec, Selects, Snapshot};
use files::{
    DIR, Name, ObjectFile, SCOPE, ScopeFile, is_ours, is_scope_dir, object_file, scope_dir,
};
pub(super) use restore::restore;

/// How old the kept contact of a scope that is in contact may become.
const REFRESH: Duration = Duration::from_secs(60);

/// What is on disk, so that only what differs is written.
pub(super) struct Contents {
    /// By the scope's directory.
    scopes: BTreeMap<String, KeptScope>,
    /// Whether what was kept of scopes that are configured no longer is gone.
    tidy: bool,
}

#[derive(Default)]
struct KeptScope {
    objects: BTreeMap<ObjectRef, KeptObject>,
    /// Whether the scope's file lists just these objects.
    listed: bool,
    /// What that file says; `None` if there is none.
    contact: Option<Instant>,
}

#[derive(PartialEq)]
struct KeptObject {
    uid: String,
    resource_version: String,
    annotations: BTreeMap<String, String>,
    etag: ETag,
    since: Instant,
}

// === impl KeptObject ===

impl KeptObject {
    fn of(object: &Object, since: Instant) -> Self {
        Self {
            uid: object.uid().to_owned(),
            resource_version: object.resource_version().to_owned(),
            annotations: object.annotations().clone(),
            etag: object.content().etag().clone(),
            since,
        }
    }

    fn is(&self, object: &Object) -> bool {
        self.since == object.content().since()
            && self.etag == *object.content().etag()
            && self.resource_version == object.resource_version()
            && self.uid == object.uid()
            && self.annotations == *object.annotations()
    }
}

/// The directory of a scope that is kept.
fn kept_in(spec: &ScopeSpec, secrets: bool) -> Option<String> {
    let kind = match &spec.selects {
        Selects::Named(reference) => reference.kind,
        Selects::Selector { kind, .. } => *kind,
        // What is discovered is not content.
        Selects::Namespace { .. } | Selects::Directory(_) => return None,
    };
    let keeps = !spec.on_demand && (secrets || kind == Kind::ConfigMap);
    keeps.then(|| scope_dir(kind, &spec.name))
}

// === impl Contents ===

impl Contents {
    /// Keeps what differs from what is kept; tells whether content was written or removed.
    pub(super) fn keep(
        &mut self,
        disk: &Disk,
        clock: &Clock,
        secrets: bool,
        snapshot: &Snapshot,
    ) -> (bool, Result<(), StateError>) {
        let (mut wrote, mut result) = (false, Ok(()));
        for scope in snapshot.scopes().iter().filter(|scope| scope.synced()) {
            let Some(dir) = kept_in(scope.spec(), secrets) else {
                continue;
            };
            let kept = self.scopes.entry(dir.clone()).or_default();
            let kept = kept.keep(disk, clock, &dir, scope, &mut wrote);
            result = result.and(kept);
        }
        (wrote, result.and(self.tidy(disk, secrets, snapshot)))
    }

    /// Removes what is kept of scopes that are configured no longer.
    fn tidy(&mut self, disk: &Disk, secrets: bool, snapshot: &Snapshot) -> Result<(), StateError> {
        let mut declared = snapshot.declared();
        let scopes = declared.clone();
        let mut configured = BTreeSet::new();
        configured.extend(scopes.filter_map(|scope| kept_in(scope.spec(), secrets)));
        // Without any, attache has but begun.
        if self.tidy || configured.is_empty() || !declared.all(Scope::synced) {
            return Ok(());
        }
        for name in disk.list(DIR)?.into_iter().filter(|n| is_scope_dir(n)) {
            let dir = format!("{DIR}/{name}");
            if !configured.contains(&dir) {
                self.scopes.remove(&dir);
                disk.purge(&dir, is_ours)?;
            }
        }
        disk.sync(DIR)?;
        self.tidy = true;
        Ok(())
    }
}

// === impl KeptScope ===

impl KeptScope {
    fn keep(
        &mut self,
        disk: &Disk,
        clock: &Clock,
        dir: &str,
        scope: &Scope,
        wrote: &mut bool,
    ) -> Result<(), StateError> {
        if self.contact.is_none() {
            disk.make_dir(dir)?;
            disk.sync(DIR)?;
        }
        let (mut result, mut differs) = (Ok(()), false);
        for object in scope.objects().values() {
            let reference = object.reference();
            if self.objects.get(reference).is_some_and(|k| k.is(object)) {
                continue;
            }
            match write_object(disk, clock, dir, object) {
                Ok(()) => {
                    differs = true;
                    let kept = KeptObject::of(object, object.content().since());
                    let before = self.objects.insert(reference.clone(), kept);
                    self.listed &= before.is_some();
                }
                Err(error) => result = result.and(Err(error)),
            }
        }
        if differs {
            *wrote = true;
            result = result.and(disk.sync(dir));
        }
        // The members that are listed are those of one moment, or else those of an earlier one.
        result?;
        self.list(disk, clock, dir, scope, wrote)
    }

    /// Writes which objects are kept, and removes the others.
    fn list(
        &mut self,
        disk: &Disk,
        clock: &Clock,
        dir: &str,
        scope: &Scope,
        wrote: &mut bool,
    ) -> Result<(), StateError> {
        // What is too large to hold did not go.
        let stays =
            |r: &ObjectRef| scope.objects().contains_key(r) || scope.refused().contains_key(r);
        let (stay, gone): (Vec<_>, Vec<_>) = self.objects.keys().partition(|r| stays(r));
        let gone: Vec<ObjectRef> = gone.into_iter().cloned().collect();
        let members_differ = !self.listed || !gone.is_empty();
        let contact = match scope.contact() {
            Contact::Live => Instant::now(),
            Contact::Lost { since, .. } => *since,
            Contact::Never { .. } => return Ok(()),
        };
        let refresh = self
            .contact
            .is_none_or(|kept| contact < kept || contact.duration_since(kept) >= REFRESH);
        if members_differ || refresh {
            let name = |r: &&ObjectRef| Name {
                namespace: Cow::Owned(r.namespace.to_string()),
                name: Cow::Owned(r.name.to_string()),
            };
            let file = ScopeFile {
                name: Cow::Borrowed(&scope.spec().name),
                contact: clock.moment(contact),
                objects: stay.iter().map(name).collect(),
            };
            disk.write(&Sealed::new(format!("{dir}/{SCOPE}"), &file)?)?;
            disk.sync(dir)?;
            self.contact = Some(contact);
            *wrote |= members_differ;
        }
        self.listed = gone.is_empty();
        for reference in gone {
            disk.remove(&format!("{dir}/{}", object_file(&reference)))?;
            self.objects.remove(&reference);
        }
        self.listed = true;
        Ok(())
    }
}

fn write_object(disk: &Disk, clock: &Clock, dir: &str, object: &Object) -> Result<(), StateError> {
    let file = format!("{dir}/{}", object_file(object.reference()));
    disk.write(&Sealed::new(file, &ObjectFile::new(object, clock))?)
}
