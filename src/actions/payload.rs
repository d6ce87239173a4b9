//! The JSON that says what changed: a webhook's body, and a command's standard input. Its form is
//! described in [`webhook`](super::webhook).

use serde::Serialize;

use super::{Change, ChangedObject};

#[derive(Serialize)]
struct Body<'a> {
    changes: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    kind: &'static str,
    namespace: &'a str,
    name: &'a str,
    resource_version: &'a str,
    added: &'a [String],
    changed: &'a [String],
    removed: &'a [String],
}

// === impl Entry ===

impl<'a> From<&'a ChangedObject> for Entry<'a> {
    fn from(object: &'a ChangedObject) -> Self {
        Self {
            kind: object.reference.kind.as_str(),
            namespace: &object.reference.namespace,
            name: &object.reference.name,
            resource_version: &object.resource_version,
            added: &object.keys.added,
            changed: &object.keys.changed,
            removed: &object.keys.removed,
        }
    }
}

/// The change as JSON.
///
/// # Errors
/// The serializer's.
pub(super) fn json(change: &Change) -> serde_json::Result<Vec<u8>> {
    let changes = change.objects.iter().map(Entry::from).collect();
    serde_json::to_vec(&Body { changes })
}
