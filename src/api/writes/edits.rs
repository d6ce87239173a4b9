//! What is to become of keys, and how the API server is told: as a JSON merge patch (RFC 7396), or
//! as a new ConfigMap.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Serialize, Serializer};

use crate::api::kv::Target;

/// The most bytes of values that the API server lets a ConfigMap have; keys do not count.
pub(super) const MAX_VALUES: usize = 1 << 20;

/// What is to become of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edit {
    Text(String),
    Binary(Bytes),
    Remove,
}

/// What is to become of keys; of others, nothing.
pub(super) type Edits = BTreeMap<String, Edit>;

/// Sets a key to bytes: text where they are UTF-8.
pub(super) fn raw(bytes: Bytes) -> Edit {
    match String::from_utf8(bytes.into()) {
        Ok(text) => Edit::Text(text),
        Err(binary) => Edit::Binary(binary.into_bytes().into()),
    }
}

/// Bytes of the values that are to be set.
pub(super) fn size(edits: &Edits) -> usize {
    let sizes = edits.values().map(|edit| match edit {
        Edit::Text(text) => text.len(),
        Edit::Binary(bytes) => bytes.len(),
        Edit::Remove => 0,
    });
    sizes.sum()
}

/// Whether they only remove keys, of which an object that does not exist has none.
pub(super) fn only_remove(edits: &Edits) -> bool {
    !edits.is_empty() && edits.values().all(|edit| *edit == Edit::Remove)
}

/// The merge patch; with `version` it applies only to the object of that resourceVersion.
pub(super) fn patch(edits: &Edits, version: Option<&str>) -> Vec<u8> {
    let part = |binary| {
        let nulls = true;
        (!edits.is_empty()).then_some(Part {
            edits,
            binary,
            nulls,
        })
    };
    json(&Document {
        api_version: None,
        kind: None,
        metadata: version.map(|resource_version| Metadata {
            resource_version: Some(resource_version),
            ..Metadata::default()
        }),
        data: part(false),
        binary_data: part(true),
    })
}

/// The new ConfigMap.
pub(super) fn object(target: &Target<'_>, edits: &Edits) -> Vec<u8> {
    let part = |binary| {
        let nulls = false;
        Some(Part {
            edits,
            binary,
            nulls,
        })
    };
    json(&Document {
        api_version: Some("v1"),
        kind: Some("ConfigMap"),
        metadata: Some(Metadata {
            namespace: Some(&target.namespace),
            name: Some(&target.name),
            resource_version: None,
        }),
        data: part(false),
        binary_data: part(true),
    })
}

fn json(document: &Document<'_>) -> Vec<u8> {
    // Structs and maps of strings always serialize.
    serde_json::to_vec(document).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Part<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_data: Option<Part<'a>>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_version: Option<&'a str>,
}

/// `data`, or `binaryData`. The API server refuses a key that is in both, so that in a patch what
/// is set in one is removed from the other.
struct Part<'a> {
    edits: &'a Edits,
    binary: bool,
    nulls: bool,
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = self.edits.iter().map(|(key, edit)| {
            let value = match edit {
                Edit::Text(text) if !self.binary => Some(Cow::Borrowed(&**text)),
                Edit::Binary(bytes) if self.binary => Some(Cow::Owned(STANDARD.encode(bytes))),
                Edit::Text(_) | Edit::Binary(_) | Edit::Remove => None,
            };
            (key, value)
        });
        serializer.collect_map(members.filter(|(_, value)| self.nulls || value.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn edits() -> Edits {
        let edits = [
            ("b", raw(Bytes::from_static(&[0xff]))),
            ("gone", Edit::Remove),
            ("t", raw(Bytes::from_static("ü".as_bytes()))),
        ];
        edits.map(|(key, edit)| (key.to_owned(), edit)).into()
    }

    fn value(json: &[u8]) -> Value {
        serde_json::from_slice(json).unwrap()
    }

    #[test]
    fn a_patch_moves_a_key_between_text_and_binary() {
        let parts = json!({
            "data": {"t": "ü", "b": null, "gone": null},
            "binaryData": {"t": null, "b": "/w==", "gone": null},
        });
        assert_eq!(value(&patch(&edits(), None)), parts);
        let mut guarded = parts;
        guarded["metadata"] = json!({"resourceVersion": "7"});
        assert_eq!(value(&patch(&edits(), Some("7"))), guarded);
        assert_eq!(patch(&Edits::new(), None), b"{}");
    }

    #[test]
    fn a_new_object_has_what_is_set() {
        let target = Target::parse("default", "web", None).unwrap();
        let object = value(&object(&target, &edits()));
        assert_eq!(
            object,
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"namespace": "default", "name": "web"},
                "data": {"t": "ü"}, "binaryData": {"b": "/w=="},
            })
        );
        assert_eq!(size(&edits()), 3);
    }
}
