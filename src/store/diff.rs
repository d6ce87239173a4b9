//! What changed between two states, as pure functions.

use std::collections::BTreeMap;

use super::content::Content;

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::{Kind, Object, ObjectRef, RawObject};

    fn content(data: &[(&str, &str)]) -> Content {
        let raw = RawObject {
            data: data
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
            ..RawObject::empty(ObjectRef::new(Kind::ConfigMap, "default", "a"))
        };
        let object = Object::freeze(raw, None);
        let content = Arc::clone(object.content());
        drop(object);
        Arc::into_inner(content).unwrap()
    }

    #[test]
    fn names_what_was_added_changed_and_removed_by_values_and_by_tags() {
        let full = [("same", "1"), ("edit", "1"), ("gone", "1")];
        let before = content(&full);
        let after = content(&[("same", "1"), ("edit", "2"), ("new", "1")]);
        let tags = before.values().iter();
        let tags = tags.map(|(key, value)| (key.to_string(), value.etag.as_str().to_owned()));
        let tags = tags.collect();
        let changes = keys(Some(&before), Some(&after));
        assert_eq!(
            (&*changes.added, &*changes.changed, &*changes.removed),
            (
                &["new".to_owned()][..],
                &["edit".to_owned()][..],
                &["gone".to_owned()][..]
            )
        );
        assert_eq!(keys_by_tags(&tags, Some(&after)), changes);
        for changes in [
            keys(Some(&before), Some(&content(&full))),
            keys_by_tags(&tags, Some(&content(&full))),
            keys(None, None),
        ] {
            assert!(changes.is_empty(), "{changes:?}");
        }
        for changes in [keys(Some(&before), None), keys_by_tags(&tags, None)] {
            assert_eq!(changes.removed, ["edit", "gone", "same"]);
        }
    }
}
