//! The API server's JSON of a ConfigMap, decoded into what is held of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::store::{Object, ObjectRef, RawObject};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireObject {
    metadata: WireMeta,
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
    #[serde(default)]
    binary_data: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMeta {
    uid: String,
    resource_version: String,
}

/// Decodes the ConfigMap `reference`; what of it is held already is shared. `None` for what is no
/// ConfigMap.
pub(super) fn object(
    reference: ObjectRef,
    json: &[u8],
    held: Option<&Arc<Object>>,
) -> Option<Arc<Object>> {
    let wire: WireObject = serde_json::from_slice(json).ok()?;
    let mut raw = RawObject::empty(reference);
    raw.uid = wire.metadata.uid;
    raw.resource_version = wire.metadata.resource_version;
    raw.data = wire.data.unwrap_or_default();
    for (key, value) in wire.binary_data.unwrap_or_default() {
        raw.binary_data.insert(key, STANDARD.decode(value).ok()?);
    }
    Some(Object::freeze(raw, held))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Kind;

    #[test]
    fn decodes_text_and_binary() {
        let reference = || ObjectRef::new(Kind::ConfigMap, "default", "web");
        let json = br#"{"kind":"ConfigMap","metadata":{"name":"web","uid":"u","resourceVersion":"7","managedFields":[{}]},"data":{"A":"1"},"binaryData":{"b":"/w=="}}"#;
        let read = object(reference(), json, None).unwrap();
        assert_eq!((read.uid(), read.resource_version()), ("u", "7"));
        assert_eq!(&read.content().json()[..], b"{\"A\":\"1\"}\n");
        assert!(read.content().get("b").unwrap().binary);
        let again = object(reference(), json, Some(&read)).unwrap();
        assert!(Arc::ptr_eq(&read, &again));
        for json in [&b"{}"[..], b"hello", br#"{"metadata":{"uid":"u"}}"#] {
            assert!(object(reference(), json, None).is_none());
        }
    }
}
