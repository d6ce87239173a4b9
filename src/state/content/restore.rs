//! Reads what is kept of scopes.

use std::collections::{BTreeMap, BTreeSet};

use super::super::clock::Clock;
use super::super::disk::Disk;
use super::super::{RestoredScope, StateError};
use super::files::{
    DIR, Name, ObjectFile, SCOPE, SECRETS, ScopeFile, is_ours, is_scope_dir, object_file,
};
use super::{Contents, KeptObject, KeptScope};
use crate::store::{Kind, Object, ObjectRef};

/// What is kept of all scopes, by their names.
///
/// # Errors
/// [`StateError`]
pub(in crate::state) fn restore(
    disk: &Disk,
    clock: &Clock,
    secrets: bool,
) -> Result<(Contents, BTreeMap<String, RestoredScope>), StateError> {
    disk.make_dir(DIR)?;
    let (mut scopes, mut restored) = (BTreeMap::new(), BTreeMap::new());
    for name in disk.list(DIR)?.into_iter().filter(|n| is_scope_dir(n)) {
        let dir = format!("{DIR}/{name}");
        if !disk.is_dir(&dir) {
            disk.set_aside(
                &dir,
                "it is not a directory",
                "a scope is kept in its place",
            );
            continue;
        }
        let is_secret = name.starts_with(SECRETS);
        if is_secret && !secrets {
            disk.purge(&dir, is_ours)?;
            continue;
        }
        let kind = if is_secret {
            Kind::Secret
        } else {
            Kind::ConfigMap
        };
        let (kept, scope) = restore_scope(disk, clock, kind, &dir)?;
        scopes.insert(dir, kept);
        restored.extend(scope);
    }
    // What is removed of Secrets stays so.
    disk.sync(DIR)?;
    let contents = Contents {
        scopes,
        tidy: false,
    };
    Ok((contents, restored))
}

type NamedScope = Option<(String, RestoredScope)>;

fn restore_scope(
    disk: &Disk,
    clock: &Clock,
    kind: Kind,
    dir: &str,
) -> Result<(KeptScope, NamedScope), StateError> {
    let mut kept = KeptScope::default();
    let files = disk.clean(dir, is_ours)?;
    let instead = "nothing of its scope is restored; it is read from the API server";
    let Some((scope, _)) = disk.read::<ScopeFile>(&format!("{dir}/{SCOPE}"), instead) else {
        return Ok((kept, None));
    };
    let (mut objects, mut listed) = (Vec::new(), BTreeSet::new());
    listed.insert(SCOPE.to_owned());
    let mut whole = true;
    for Name { namespace, name } in scope.objects {
        let reference = ObjectRef::new(kind, namespace, name);
        let file = object_file(&reference);
        let path = format!("{dir}/{file}");
        let read = disk.read::<ObjectFile>(&path, instead);
        listed.insert(file);
        let Some((object, _)) = read else {
            whole = false;
            continue;
        };
        let since = clock.instant(&object.since);
        let Some(raw) = object.into_raw(reference.clone()) else {
            disk.set_aside(&path, "it holds what is not base64", instead);
            whole = false;
            continue;
        };
        let frozen = Object::freeze(raw.clone(), None);
        kept.objects
            .insert(reference, KeptObject::of(&frozen, since));
        objects.push((raw, since));
    }
    // Those that came or went when attache ended.
    for file in files.iter().filter(|file| !listed.contains(*file)) {
        disk.remove(&format!("{dir}/{file}"))?;
    }
    let contact = clock.instant(&scope.contact);
    kept.listed = whole;
    kept.contact = Some(contact);
    if !whole {
        tracing::warn!(
            scope = &*scope.name,
            "a part of what was kept is missing: none of it is restored; it is read from the API server"
        );
        return Ok((kept, None));
    }
    let restored = RestoredScope { objects, contact };
    Ok((kept, Some((scope.name.into_owned(), restored))))
}
