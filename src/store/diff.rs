//! What changed between two states, as pure functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::content::Content;
use super::object::{Object, ObjectRef};
use super::snapshot::Snapshot;

/// Keys that differ between two contents, each list sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChanges {
    /// Present only after.
    pub added: Vec<String>,
    /// Present in both with different values.
    pub changed: Vec<String>,
    /// Present only before.
    pub removed: Vec<String>,
}

impl KeyChanges {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }

    /// All keys concerned.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.added
            .iter()
            .chain(&self.changed)
            .chain(&self.removed)
            .map(String::as_str)
    }

    /// The changes to keys of which `keep` holds.
    #[must_use]
    pub fn filtered(mut self, mut keep: impl FnMut(&str) -> bool) -> Self {
        for list in [&mut self.added, &mut self.changed, &mut self.removed] {
            list.retain(|key| keep(key));
        }
        self
    }
}

/// The keys that differ between two contents; `None` stands for no object.
#[must_use]
pub fn keys(before: Option<&Content>, after: Option<&Content>) -> KeyChanges {
    let mut changes = KeyChanges::default();
    if let (Some(before), Some(after)) = (before, after)
        && before.etag() == after.etag()
    {
        return changes;
    }
    for (key, value) in after.iter().flat_map(|content| content.values()) {
        match before.and_then(|content| content.get(key)) {
            None => changes.added.push(key.to_string()),
            Some(old) if old.etag != value.etag => changes.changed.push(key.to_string()),
            Some(_) => {}
        }
    }
    for key in before.iter().flat_map(|content| content.values().keys()) {
        if after.and_then(|content| content.get(key)).is_none() {
            changes.removed.push(key.to_string());
        }
    }
    changes
}

/// The keys that differ between a content of which the ETag of each key is known, and another.
#[must_use]
pub fn keys_by_tags(before: &BTreeMap<String, String>, after: Option<&Content>) -> KeyChanges {
    let mut changes = KeyChanges::default();
    for (key, value) in after.iter().flat_map(|content| content.values()) {
        match before.get(&**key) {
            None => changes.added.push(key.to_string()),
            Some(tag) if tag != value.etag.as_str() => changes.changed.push(key.to_string()),
            Some(_) => {}
        }
    }
    for key in before.keys() {
        if after.and_then(|content| content.get(key)).is_none() {
            changes.removed.push(key.clone());
        }
    }
    changes
}

/// One object that differs between two snapshots.
#[derive(Debug, Clone)]
pub struct ObjectChange {
    /// Which object.
    pub reference: ObjectRef,
    /// Before; `None` if it is new.
    pub before: Option<Arc<Object>>,
    /// After; `None` if it went.
    pub after: Option<Arc<Object>>,
    /// It went from a scope that names it: reads get 404, but nobody acts (the kubelet keeps a
    /// mounted volume's files then, too).
    pub named_deletion: bool,
    /// The keys that differ; empty for a change of metadata.
    pub keys: KeyChanges,
}

/// The objects that differ, sorted by reference; the same allocation is skipped unread.
#[must_use]
pub fn objects(before: &Snapshot, after: &Snapshot) -> Vec<ObjectChange> {
    let mut changes = Vec::new();
    let (mut old, mut new) = (
        before.entries().iter().peekable(),
        after.entries().iter().peekable(),
    );
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return changes,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(o), Some(n)) => o.object.reference().cmp(n.object.reference()),
        };
        let was = if order.is_le() { old.next() } else { None };
        let is = if order.is_ge() { new.next() } else { None };
        if let (Some(was), Some(is)) = (was, is)
            && Arc::ptr_eq(&was.object, &is.object)
        {
            continue;
        }
        let Some(reference) = was.or(is).map(|entry| entry.object.reference().clone()) else {
            continue;
        };
        let named_deletion = is.is_none()
            && was.is_some_and(|entry| before.scope_of(entry).spec().names(&reference));
        changes.push(ObjectChange {
            keys: keys(
                was.map(|e| &**e.object.content()),
                is.map(|e| &**e.object.content()),
            ),
            reference,
            before: was.map(|entry| Arc::clone(&entry.object)),
            after: is.map(|entry| Arc::clone(&entry.object)),
            named_deletion,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Kind, RawObject, ScopeSpec, Selects, new};

    fn raw(name: &str, version: &str, data: &[(&str, &str)]) -> RawObject {
        RawObject {
            resource_version: version.into(),
            data: data
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
            ..RawObject::empty(ObjectRef::new(Kind::ConfigMap, "default", name))
        }
    }

    #[test]
    fn names_what_was_added_changed_and_removed() {
        let (writer, reader) = new(1 << 20);
        let scope = writer.scope(ScopeSpec::declared(Selects::Directory("d".into())));
        let list = |objects: &[RawObject]| {
            scope.replace(objects.iter().map(|o| scope.freeze(o.clone())).collect());
            reader.snapshot()
        };
        let before = list(&[
            raw("a", "1", &[("same", "1"), ("edit", "1"), ("gone", "1")]),
            raw("b", "1", &[("k", "1")]),
            raw("d", "1", &[("k", "1")]),
        ]);
        let after = list(&[
            raw("a", "2", &[("same", "1"), ("edit", "2"), ("new", "1")]),
            raw("b", "2", &[("k", "1")]),
            raw("c", "1", &[("k", "1")]),
        ]);
        let changes = objects(&before, &after);
        let names: Vec<_> = changes.iter().map(|c| &*c.reference.name).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        let a = &changes[0].keys;
        assert_eq!(
            (&a.added[..], &a.changed[..], &a.removed[..]),
            (
                &["new".to_owned()][..],
                &["edit".to_owned()][..],
                &["gone".to_owned()][..]
            )
        );
        assert!(
            changes[1].keys.is_empty(),
            "metadata alone is no change of content"
        );
        assert_eq!(changes[2].keys.added, ["k"]);
        assert_eq!(changes[3].keys.removed, ["k"]);
        assert!(!changes[3].named_deletion);
        assert!(objects(&after, &after).is_empty());
    }

    #[test]
    fn the_deletion_of_a_named_object_says_so() {
        let (writer, reader) = new(1 << 20);
        let reference = ObjectRef::new(Kind::ConfigMap, "default", "a");
        let scope = writer.scope(ScopeSpec::declared(Selects::Named(reference.clone())));
        scope.replace(vec![scope.freeze(raw("a", "1", &[("k", "1")]))]);
        let before = reader.snapshot();
        scope.remove(&reference, "", "");
        assert!(objects(&before, &reader.snapshot())[0].named_deletion);
    }
}
