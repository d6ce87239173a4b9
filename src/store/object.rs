//! A ConfigMap or Secret as attache holds it: raw bytes and ETags made once, JSON on first read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ring::digest;

/// The kinds of object whose keys are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A core/v1 ConfigMap.
    ConfigMap,
    /// A core/v1 Secret, its data decoded.
    Secret,
}

impl Kind {
    /// The kind as Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::ConfigMap => "ConfigMap",
            Kind::Secret => "Secret",
        }
    }

    /// The plural resource name in API paths.
    #[must_use]
    pub fn resource(self) -> &'static str {
        match self {
            Kind::ConfigMap => "configmaps",
            Kind::Secret => "secrets",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names one object. Displays as `ConfigMap default/web-configmap`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// ConfigMap or Secret.
    pub kind: Kind,
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl ObjectRef {
    /// Names the object `namespace/name` of that kind.
    pub fn new(kind: Kind, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// A strong entity tag with its quotes (RFC 9110, section 8.8.3): 128 bits of a SHA-256.
#[derive(Clone, PartialEq, Eq)]
pub struct ETag(Bytes);

impl ETag {
    fn of(digest: &digest::Digest) -> Self {
        let mut tag = String::with_capacity(24);
        tag.push('"');
        URL_SAFE_NO_PAD.encode_string(&digest.as_ref()[..16], &mut tag);
        tag.push('"');
        Self(Bytes::from(tag))
    }

    /// The header value's bytes: ASCII, quotes included.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The header value as text, quotes included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One key's value. `Debug` shows its size only: it may be a Secret's.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    /// The value as it is served.
    pub bytes: Bytes,
    /// From `binaryData` (or Secret data that is not UTF-8).
    pub binary: bool,
    /// The tag of `/kv/{namespace}/{name}/{key}`.
    pub etag: ETag,
}

impl Value {
    fn new(bytes: Bytes, binary: bool) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&[u8::from(binary)]);
        context.update(&bytes);
        let etag = ETag::of(&context.finish());
        Self {
            bytes,
            binary,
            etag,
        }
    }

    /// The value as text, unless it is binary.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if self.binary {
            None
        } else {
            std::str::from_utf8(&self.bytes).ok()
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes{}",
            self.bytes.len(),
            if self.binary { ", binary" } else { "" }
        )
    }
}

/// `data` and `binaryData`: what an ETag covers, and what rules and files act on.
#[derive(Debug)]
pub struct Content {
    values: BTreeMap<Box<str>, Value>,
    etag: ETag,
    size: usize,
    since: Instant,
    json: OnceLock<Bytes>,
}

impl Content {
    fn new(text: BTreeMap<String, String>, binary: BTreeMap<String, Vec<u8>>) -> Self {
        let mut values = BTreeMap::new();
        for (key, value) in text {
            values.insert(key.into_boxed_str(), Value::new(Bytes::from(value), false));
        }
        for (key, value) in binary {
            values.insert(key.into_boxed_str(), Value::new(Bytes::from(value), true));
        }
        let mut context = digest::Context::new(&digest::SHA256);
        let mut size = 0;
        for (key, value) in &values {
            // Neither a key nor a tag can hold the separators, so no two contents hash alike.
            context.update(key.as_bytes());
            context.update(b"\0");
            context.update(value.etag.as_bytes());
            context.update(b"\n");
            size += key.len() + value.bytes.len();
        }
        let etag = ETag::of(&context.finish());
        Self {
            values,
            etag,
            size,
            since: Instant::now(),
            json: OnceLock::new(),
        }
    }

    /// Every key with its value, sorted by key.
    #[must_use]
    pub fn values(&self) -> &BTreeMap<Box<str>, Value> {
        &self.values
    }

    /// One key's value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// The tag of `/kv/{namespace}/{name}`: equal tags, equal content.
    #[must_use]
    pub fn etag(&self) -> &ETag {
        &self.etag
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// When attache first held this content.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The text values as one JSON object, keys sorted; made on first use and kept.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.json
            .get_or_init(|| {
                let text: BTreeMap<&str, &str> = self
                    .values
                    .iter()
                    .filter_map(|(k, v)| Some((&**k, v.text()?)))
                    .collect();
                // A map of strings always serializes.
                let mut json = serde_json::to_vec(&text).unwrap_or_default();
                json.push(b'\n');
                Bytes::from(json)
            })
            .clone()
    }
}

/// An object as a source decoded it, before it is hashed and held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawObject {
    /// Which object.
    pub reference: ObjectRef,
    /// `metadata.uid`; empty where there is none (a file).
    pub uid: String,
    /// `metadata.resourceVersion`; empty where there is none (a file).
    pub resource_version: String,
    /// The annotations attache reads, no others.
    pub annotations: BTreeMap<String, String>,
    /// Text values.
    pub data: BTreeMap<String, String>,
    /// Binary values, decoded.
    pub binary_data: BTreeMap<String, Vec<u8>>,
}

impl RawObject {
    /// An object without content.
    #[must_use]
    pub fn empty(reference: ObjectRef) -> Self {
        Self {
            reference,
            uid: String::new(),
            resource_version: String::new(),
            annotations: BTreeMap::new(),
            data: BTreeMap::new(),
            binary_data: BTreeMap::new(),
        }
    }

    /// Sets one key: text where the bytes are UTF-8, binary otherwise (a Secret's data and a
    /// file do not say which they are).
    pub fn insert_bytes(&mut self, key: String, bytes: Vec<u8>) {
        match String::from_utf8(bytes) {
            Ok(text) => {
                self.data.insert(key, text);
            }
            Err(binary) => {
                self.binary_data.insert(key, binary.into_bytes());
            }
        }
    }
}

/// An object as it is held: immutable, shared by every snapshot it stays unchanged in.
#[derive(Debug)]
pub struct Object {
    reference: ObjectRef,
    uid: String,
    /// Text, shared with the header that shows it.
    resource_version: Bytes,
    annotations: BTreeMap<String, String>,
    content: Arc<Content>,
}

impl Object {
    /// Hashes and freezes `raw`. What equals `previous` is shared with it: all of it when nothing
    /// changed, the content when only metadata did.
    #[must_use]
    pub fn freeze(raw: RawObject, previous: Option<&Arc<Object>>) -> Arc<Object> {
        if let Some(previous) = previous
            && !raw.resource_version.is_empty()
            && previous.uid == raw.uid
            && previous.resource_version == raw.resource_version
        {
            return Arc::clone(previous);
        }
        let fresh = Content::new(raw.data, raw.binary_data);
        let content = match previous {
            Some(previous) if previous.content.etag == fresh.etag => Arc::clone(&previous.content),
            _ => Arc::new(fresh),
        };
        if let Some(previous) = previous
            && Arc::ptr_eq(&content, &previous.content)
            && previous.uid == raw.uid
            && previous.resource_version == raw.resource_version
            && previous.annotations == raw.annotations
        {
            return Arc::clone(previous);
        }
        Arc::new(Object {
            reference: raw.reference,
            uid: raw.uid,
            resource_version: raw.resource_version.into(),
            annotations: raw.annotations,
            content,
        })
    }

    /// Which object.
    #[must_use]
    pub fn reference(&self) -> &ObjectRef {
        &self.reference
    }

    /// `metadata.uid`, or empty.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// `metadata.resourceVersion`, or empty.
    #[must_use]
    pub fn resource_version(&self) -> &str {
        std::str::from_utf8(&self.resource_version).unwrap_or_default()
    }

    /// The same as the bytes of a header value.
    #[must_use]
    pub fn resource_version_bytes(&self) -> &Bytes {
        &self.resource_version
    }

    /// The annotations attache reads.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// `data` and `binaryData`.
    #[must_use]
    pub fn content(&self) -> &Arc<Content> {
        &self.content
    }

    /// Whether `resource_version` of an object with this `uid` is older than, or the same as, what
    /// is held. Resource versions are decimal numbers that grow (Kubernetes API concepts,
    /// "Resource versions"); whatever is not such a number is never older.
    #[must_use]
    pub fn is_at_least(&self, uid: &str, resource_version: &str) -> bool {
        let number = |text: &str| text.parse::<u128>().ok();
        self.uid == uid
            && matches!(
                (number(self.resource_version()), number(resource_version)),
                (Some(held), Some(offered)) if held >= offered
            )
    }
}

/// Splits `[NS/]NAME` as the command line and the API's clients write it.
#[must_use]
pub fn split_name(text: &str) -> (Option<Cow<'_, str>>, Cow<'_, str>) {
    match text.split_once('/') {
        Some((namespace, name)) => (Some(namespace.into()), name.into()),
        None => (None, text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(version: &str, data: &[(&str, &str)]) -> RawObject {
        let mut raw = RawObject::empty(ObjectRef::new(Kind::ConfigMap, "default", "web"));
        raw.uid = "u".into();
        raw.resource_version = version.into();
        raw.data = data
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect();
        raw
    }

    #[test]
    fn a_metadata_change_shares_the_content() {
        let first = Object::freeze(raw("1", &[("a", "1")]), None);
        let second = Object::freeze(raw("2", &[("a", "1")]), Some(&first));
        assert!(Arc::ptr_eq(first.content(), second.content()));
        assert_eq!(second.resource_version(), "2");
    }

    #[test]
    fn an_unchanged_object_is_the_same_allocation() {
        let first = Object::freeze(raw("1", &[("a", "1")]), None);
        assert!(Arc::ptr_eq(
            &first,
            &Object::freeze(raw("1", &[("a", "1")]), Some(&first))
        ));
        let file = Object::freeze(raw("", &[("a", "1")]), None);
        assert!(Arc::ptr_eq(
            &file,
            &Object::freeze(raw("", &[("a", "1")]), Some(&file))
        ));
        assert!(!Arc::ptr_eq(
            &file,
            &Object::freeze(raw("", &[("a", "2")]), Some(&file))
        ));
    }

    #[test]
    fn etags_tell_keys_values_and_kinds_of_data_apart() {
        let tags = [
            Object::freeze(raw("1", &[("a", "1")]), None),
            Object::freeze(raw("1", &[("a", "2")]), None),
            Object::freeze(raw("1", &[("b", "1")]), None),
            Object::freeze(raw("1", &[("a", "1"), ("b", "")]), None),
            Object::freeze(
                RawObject {
                    binary_data: [("a".into(), b"1".to_vec())].into(),
                    ..raw("1", &[])
                },
                None,
            ),
        ]
        .map(|object| object.content().etag().as_str().to_owned());
        let unique: std::collections::BTreeSet<_> = tags.iter().collect();
        assert_eq!(unique.len(), tags.len(), "{tags:?}");
        assert!(
            tags.iter()
                .all(|t| t.len() == 24 && t.starts_with('"') && t.ends_with('"'))
        );
    }

    #[test]
    fn json_holds_text_values_sorted() {
        let mut object = raw("1", &[("b", "2"), ("a", "x\"y")]);
        object.binary_data.insert("bin".into(), vec![0xff]);
        assert_eq!(
            &Object::freeze(object, None).content().json()[..],
            b"{\"a\":\"x\\\"y\",\"b\":\"2\"}\n"
        );
    }

    #[test]
    fn resource_versions_compare_as_numbers_of_one_uid() {
        let held = Object::freeze(raw("10", &[]), None);
        assert!(held.is_at_least("u", "9") && held.is_at_least("u", "10"));
        assert!(!held.is_at_least("u", "11") && !held.is_at_least("other", "9"));
        assert!(!held.is_at_least("u", "opaque"));
    }
}
