//! What the app may have read without having been told of it.

use std::collections::BTreeMap;

use crate::store::diff::KeyChanges;
use crate::store::{Content, ObjectRef};

/// Keys whose values the app may have read without an attempt's success, and whether it may have
/// found a value there.
pub(super) type Shown = BTreeMap<ObjectRef, BTreeMap<String, bool>>;

pub(super) fn presence(key: &str, content: Option<&Content>) -> (String, bool) {
    let present = content.is_some_and(|content| content.get(key).is_some());
    (key.to_owned(), present)
}

/// A value once seen counts, even if it went again.
pub(super) fn note(
    shown: &mut Shown,
    object: &ObjectRef,
    keys: impl IntoIterator<Item = (String, bool)>,
) {
    let shown = shown.entry(object.clone()).or_default();
    for (key, present) in keys {
        *shown.entry(key).or_default() |= present;
    }
}

/// Adds the keys whose values the app may have read and that are now as they were told before.
pub(super) fn returned(
    keys: &mut KeyChanges,
    shown: &BTreeMap<String, bool>,
    now: Option<&Content>,
) {
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
        list.sort_unstable();
    }
}
