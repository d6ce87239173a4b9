//! The API's JSON, decoded into what attache keeps: managedFields and all else are skipped, and
//! no error repeats a byte of what it could not read (it may be a Secret's).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::machine::{Event, Gone};
use crate::source::annotations;
use crate::store::{Kind, ObjectRef, RawObject};
use crate::upstream::Status;

mod endpoint_slice;
mod service;

use endpoint_slice::WireEndpointSlice;
use service::WireService;

/// Why something is no object, list or event of the API.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    /// Not the JSON expected.
    #[error("malformed JSON at line {line}, column {column}")]
    Json { line: usize, column: usize },
    /// A field is missing.
    #[error("no {0}")]
    Missing(&'static str),
    /// A value is not base64.
    #[error("{object}: the value of key {key:?} is not base64")]
    Base64 { object: ObjectRef, key: String },
    /// An event type of no known meaning.
    #[error("unknown event type {0:?}")]
    Event(String),
}

impl From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Self {
        Malformed::Json {
            line: error.line(),
            column: error.column(),
        }
    }
}

/// One page of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<RawObject>,
    pub(super) next: Option<String>,
    pub(super) resource_version: String,
}

/// A line of a watch: an event, or the Status of an ERROR.
#[derive(Debug)]
pub(super) enum Line {
    Event(Event<RawObject>),
    Error(Status),
}

/// An object in the API's form.
trait Wire: DeserializeOwned {
    /// What attache keeps of it.
    fn kept(self, kind: Kind) -> Result<RawObject, Malformed>;
}

#[derive(Deserialize)]
struct WireList<T> {
    metadata: WireListMeta,
    items: Option<Vec<T>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireListMeta {
    #[serde(default, rename = "continue")]
    next: Option<String>,
    resource_version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireObject {
    metadata: WireMeta,
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
    #[serde(default)]
    binary_data: Option<BTreeMap<String, String>>,
}

/// An object's metadata; `L` is what is read of its labels.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMeta<L = IgnoredAny> {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    labels: Option<L>,
}

/// An object of which only the metadata matters.
#[derive(Deserialize)]
struct WireHead {
    metadata: WireMeta,
}

#[derive(Deserialize)]
struct WireEvent<'a> {
    r#type: String,
    #[serde(borrow)]
    object: &'a serde_json::value::RawValue,
}

/// Decodes a page.
pub(super) fn page(kind: Kind, json: &[u8]) -> Result<Page, Malformed> {
    match kind {
        Kind::ConfigMap | Kind::Secret => page_of::<WireObject>(kind, json),
        Kind::Service => page_of::<WireService>(kind, json),
        Kind::EndpointSlice => page_of::<WireEndpointSlice>(kind, json),
    }
}

fn page_of<T: Wire>(kind: Kind, json: &[u8]) -> Result<Page, Malformed> {
    let list: WireList<T> = serde_json::from_slice(json)?;
    let items = list.items.unwrap_or_default();
    Ok(Page {
        items: items
            .into_iter()
            .map(|item| item.kept(kind))
            .collect::<Result<_, _>>()?,
        next: list.metadata.next.filter(|token| !token.is_empty()),
        resource_version: list.metadata.resource_version,
    })
}

/// Decodes a line of a watch.
pub(super) fn line(kind: Kind, json: &[u8]) -> Result<Line, Malformed> {
    let event: WireEvent<'_> = serde_json::from_slice(json)?;
    let body = event.object.get();
    Ok(match &*event.r#type {
        "ADDED" | "MODIFIED" => {
            let object = object(kind, body)?;
            let resource_version = versioned(&object.resource_version)?.to_owned();
            Line::Event(Event::Applied {
                object,
                resource_version,
            })
        }
        "DELETED" => {
            let WireHead { metadata } = serde_json::from_str(body)?;
            versioned(&metadata.resource_version)?;
            Line::Event(Event::Deleted(Gone {
                reference: reference(kind, &metadata)?,
                uid: metadata.uid,
                resource_version: metadata.resource_version,
            }))
        }
        "BOOKMARK" => {
            let WireHead { metadata } = serde_json::from_str(body)?;
            versioned(&metadata.resource_version)?;
            Line::Event(Event::Bookmark(metadata.resource_version))
        }
        "ERROR" => Line::Error(serde_json::from_str(body)?),
        other => return Err(Malformed::Event(other.chars().take(32).collect())),
    })
}

fn object(kind: Kind, json: &str) -> Result<RawObject, Malformed> {
    match kind {
        Kind::ConfigMap | Kind::Secret => serde_json::from_str::<WireObject>(json)?.kept(kind),
        Kind::Service => serde_json::from_str::<WireService>(json)?.kept(kind),
        Kind::EndpointSlice => serde_json::from_str::<WireEndpointSlice>(json)?.kept(kind),
    }
}

/// Without its resourceVersion nothing that a watch sends can be resumed from.
fn versioned(resource_version: &str) -> Result<&str, Malformed> {
    if resource_version.is_empty() {
        return Err(Malformed::Missing("metadata.resourceVersion"));
    }
    Ok(resource_version)
}

fn reference<L>(kind: Kind, metadata: &WireMeta<L>) -> Result<ObjectRef, Malformed> {
    if metadata.name.is_empty() || metadata.namespace.is_empty() {
        return Err(Malformed::Missing("metadata.name or metadata.namespace"));
    }
    Ok(ObjectRef::new(kind, &*metadata.namespace, &*metadata.name))
}

/// An object with nothing in it yet.
fn described<L>(kind: Kind, metadata: WireMeta<L>) -> Result<RawObject, Malformed> {
    let mut raw = RawObject::empty(reference(kind, &metadata)?);
    raw.uid = metadata.uid;
    raw.resource_version = metadata.resource_version;
    raw.annotations = annotations::kept(metadata.annotations.unwrap_or_default());
    Ok(raw)
}

fn base64(raw: &RawObject, key: &str, value: &str) -> Result<Vec<u8>, Malformed> {
    STANDARD.decode(value).map_err(|_| Malformed::Base64 {
        object: raw.reference.clone(),
        key: key.to_owned(),
    })
}

// === impl WireObject ===

impl Wire for WireObject {
    fn kept(self, kind: Kind) -> Result<RawObject, Malformed> {
        let mut raw = described(kind, self.metadata)?;
        let data = self.data.unwrap_or_default();
        if kind == Kind::Secret {
            for (key, value) in data {
                let bytes = base64(&raw, &key, &value)?;
                raw.insert_bytes(key, bytes);
            }
            return Ok(raw);
        }
        raw.data = data;
        for (key, value) in self.binary_data.unwrap_or_default() {
            let bytes = base64(&raw, &key, &value)?;
            raw.binary_data.insert(key, bytes);
        }
        Ok(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_text_binary_and_the_annotations_it_keeps() {
        let json = br#"{"type":"MODIFIED","object":{"kind":"ConfigMap","metadata":{"name":"web","namespace":"default","uid":"u","resourceVersion":"7","managedFields":[{"manager":"x","fieldsV1":{}}],"annotations":{"attache.dev/pause":"true","other":"x"}},"data":{"A":"1"},"binaryData":{"b":"/w=="}}}"#;
        let Line::Event(Event::Applied {
            object,
            resource_version,
        }) = line(Kind::ConfigMap, json).unwrap()
        else {
            panic!("not applied")
        };
        assert_eq!(resource_version, "7");
        assert_eq!(object.data["A"], "1");
        assert_eq!(object.binary_data["b"], [0xff]);
        assert_eq!(
            object.annotations.keys().collect::<Vec<_>>(),
            ["attache.dev/pause"]
        );
    }

    #[test]
    fn decodes_secrets() {
        let json = br#"{"metadata":{"resourceVersion":"9","continue":"more"},"items":[{"metadata":{"name":"db","namespace":"default"},"data":{"password":"aHVudGVyMg==","key":"/w=="}}]}"#;
        let page = page(Kind::Secret, json).unwrap();
        assert_eq!(page.items[0].data["password"], "hunter2");
        assert_eq!(page.items[0].binary_data["key"], [0xff]);
        assert_eq!(
            (page.next.as_deref(), &*page.resource_version),
            (Some("more"), "9")
        );
    }

    #[test]
    fn tells_errors_bookmarks_and_deletions_apart() {
        let error = br#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","message":"too old resource version: 1 (9)","reason":"Expired","code":410}}"#;
        assert!(matches!(
            line(Kind::ConfigMap, error),
            Ok(Line::Error(Status { code: 410, .. }))
        ));
        let bookmark = br#"{"type":"BOOKMARK","object":{"kind":"ConfigMap","metadata":{"resourceVersion":"12","creationTimestamp":null}}}"#;
        assert!(matches!(
            line(Kind::ConfigMap, bookmark),
            Ok(Line::Event(Event::Bookmark(version))) if version == "12"
        ));
        let gone = br#"{"type":"DELETED","object":{"metadata":{"name":"a","namespace":"b","uid":"u","resourceVersion":"3"}}}"#;
        assert!(matches!(
            line(Kind::ConfigMap, gone),
            Ok(Line::Event(Event::Deleted(_)))
        ));
    }

    #[test]
    fn no_error_repeats_what_it_could_not_read() {
        let lines: [&[u8]; 5] = [
            b"hunter2",
            br#"{"type":"ADDED","object":{"metadata":{"name":"db","namespace":"d","resourceVersion":"1"},"data":{"password":"hunter2!"}}}"#,
            br#"{"type":"ADDED","object":{"metadata":{"name":"db","namespace":"d","resourceVersion":"1"},"data":"hunter2"}}"#,
            br#"{"type":"ADDED","object":{"metadata":{"name":"db","namespace":"d"},"data":{}}}"#,
            br#"{"type":"SOMETHING","object":{}}"#,
        ];
        for json in lines {
            let error = line(Kind::Secret, json).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
