//! An object: as a source decodes it, and as attache holds it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::content::Content;
use super::discovered::Discovered;

/// The annotation that holds the actions upon an object's changes while it is `"true"`.
pub const PAUSE: &str = "attache.dev/pause";

/// The kinds of object that are held: the first two for their keys, the others to discover
/// services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A core/v1 ConfigMap.
    ConfigMap,
    /// A core/v1 Secret, its data decoded.
    Secret,
    /// A core/v1 Service.
    Service,
    /// A discovery.k8s.io/v1 EndpointSlice.
    EndpointSlice,
}

impl Kind {
    /// The kind as Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::ConfigMap => "ConfigMap",
            Kind::Secret => "Secret",
            Kind::Service => "Service",
            Kind::EndpointSlice => "EndpointSlice",
        }
    }

    /// The plural resource name in API paths.
    #[must_use]
    pub fn resource(self) -> &'static str {
        match self {
            Kind::ConfigMap => "configmaps",
            Kind::Secret => "secrets",
            Kind::Service => "services",
            Kind::EndpointSlice => "endpointslices",
        }
    }

    /// Where the API serves the kind: the path of its group and version.
    #[must_use]
    pub fn root(self) -> &'static str {
        match self {
            Kind::ConfigMap | Kind::Secret | Kind::Service => "/api/v1",
            Kind::EndpointSlice => "/apis/discovery.k8s.io/v1",
        }
    }

    /// Whether it is of the core group, which every API server serves: a 404 for all of such a
    /// resource comes from something in between, or from a server that is starting.
    #[must_use]
    pub fn is_core(self) -> bool {
        self.root() == "/api/v1"
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
    /// Its kind.
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

/// An object as a source decoded it, before it is hashed and held. `Debug` names it, and shows no
/// value.
#[derive(Clone, PartialEq, Eq)]
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
    /// What a Service or EndpointSlice says, which have no values; `None` of the other kinds.
    pub discovered: Option<Box<Discovered>>,
}

impl fmt::Debug for RawObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.data.keys().chain(self.binary_data.keys()).collect();
        write!(
            f,
            "{} at {:?} with {keys:?}",
            self.reference, self.resource_version
        )
    }
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
            discovered: None,
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
    discovered: Option<Box<Discovered>>,
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
        let fresh = Content::new(raw.data, raw.binary_data, Instant::now());
        let content = match previous {
            Some(previous) if previous.content.etag() == fresh.etag() => {
                Arc::clone(&previous.content)
            }
            _ => Arc::new(fresh),
        };
        if let Some(previous) = previous
            && Arc::ptr_eq(&content, &previous.content)
            && previous.uid == raw.uid
            && previous.resource_version == raw.resource_version
            && previous.annotations == raw.annotations
            && previous.discovered == raw.discovered
        {
            return Arc::clone(previous);
        }
        Arc::new(Object {
            reference: raw.reference,
            uid: raw.uid,
            resource_version: raw.resource_version.into(),
            annotations: raw.annotations,
            content,
            discovered: raw.discovered,
        })
    }

    /// Hashes and freezes an object that an earlier attache held since `since`.
    #[must_use]
    pub(super) fn restore(raw: RawObject, since: Instant) -> Arc<Object> {
        Arc::new(Object {
            reference: raw.reference,
            uid: raw.uid,
            resource_version: raw.resource_version.into(),
            annotations: raw.annotations,
            content: Arc::new(Content::new(raw.data, raw.binary_data, since)),
            discovered: raw.discovered,
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

    /// What a Service or EndpointSlice says.
    #[must_use]
    pub fn discovered(&self) -> Option<&Discovered> {
        self.discovered.as_deref()
    }

    /// Bytes of what it holds: keys and values, or about what a Service or EndpointSlice says.
    #[must_use]
    pub fn size(&self) -> usize {
        self.content.size() + self.discovered().map_or(0, Discovered::size)
    }

    /// Whether the annotation [`PAUSE`] holds the actions upon its changes.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.annotations
            .get(PAUSE)
            .is_some_and(|value| value == "true")
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
