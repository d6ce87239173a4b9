//! What is shown, as bytes, with the tags by which two views are compared.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::store::{ETag, Tags};

/// The Services of a namespace, or one Service with its endpoints.
#[derive(Debug)]
pub struct View {
    named: Named,
    etag: ETag,
    head: ETag,
    json: Bytes,
    entries: BTreeMap<Box<str>, Entry>,
    tags: OnceLock<Arc<Tags>>,
    snapshot: OnceLock<Bytes>,
}

/// A Service's address by the Service's name, or an endpoint by its address.
#[derive(Debug)]
pub struct Entry {
    /// What the view shows of it.
    pub json: Box<RawValue>,
    /// `metadata.resourceVersion` of the object it is of; empty of what comes from several objects.
    pub resource_version: Box<str>,
}

/// The member that holds the view in a `snapshot` event.
#[derive(Debug, Clone, Copy)]
pub(super) enum Named {
    /// The map of a namespace.
    Data,
    /// One Service.
    Service,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Change<'a> {
    key: &'a str,
    value: Option<&'a RawValue>,
    resource_version: Option<&'a str>,
}

/// JSON on one line. Structs and maps of strings, numbers and truth values always serialize.
pub(super) fn raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_default()
}

// === impl Entry ===

impl Entry {
    pub(super) fn unversioned(json: Box<RawValue>) -> Self {
        Self {
            json,
            resource_version: Box::default(),
        }
    }
}

// === impl View ===

impl View {
    /// `head` is what is no entry of `json`.
    pub(super) fn new(
        named: Named,
        json: &RawValue,
        head: &RawValue,
        entries: BTreeMap<Box<str>, Entry>,
    ) -> Self {
        let json = Bytes::from([json.get(), "\n"].concat());
        Self {
            named,
            etag: ETag::of_bytes(&json),
            head: ETag::of_bytes(head.get().as_bytes()),
            json,
            entries,
            tags: OnceLock::new(),
            snapshot: OnceLock::new(),
        }
    }

    /// The tag of [`View::json`].
    #[must_use]
    pub fn etag(&self) -> &ETag {
        &self.etag
    }

    /// The tag of what is no entry: the Service itself, or which Services have no address.
    #[must_use]
    pub fn head(&self) -> &ETag {
        &self.head
    }

    /// All of it: one line of JSON and its end.
    #[must_use]
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// Whether another says the same, with the same versions.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.etag == other.etag && self.versions().eq(other.versions())
    }

    fn versions(&self) -> impl Iterator<Item = &str> {
        let entries = self.entries.values();
        entries.map(|entry| &*entry.resource_version)
    }

    /// Addresses by Service, or endpoints by address.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<Box<str>, Entry> {
        &self.entries
    }

    /// The tag of every entry; made on first use and kept.
    #[must_use]
    pub fn tags(&self) -> Arc<Tags> {
        let make = || {
            let entries = self.entries.iter();
            let tag = |entry: &Entry| ETag::of_bytes(entry.json.get().as_bytes());
            Arc::new(entries.map(|(k, entry)| (k.clone(), tag(entry))).collect())
        };
        Arc::clone(self.tags.get_or_init(make))
    }

    /// All of it as an event's data: `{"data":{…}}` or `{"service":{…}}` on one line; made on first use
    /// and kept.
    #[must_use]
    pub fn snapshot(&self) -> Bytes {
        let make = || {
            let name = match self.named {
                Named::Data => "data",
                Named::Service => "service",
            };
            let json = self.json.strip_suffix(b"\n").unwrap_or(&self.json);
            [b"{\"", name.as_bytes(), b"\":", json, b"}"]
                .concat()
                .into()
        };
        self.snapshot.get_or_init(make).clone()
    }

    /// One entry as an event's data: `{"key":…,"value":…,"resourceVersion":…}`. The value is `null` where
    /// there is no such entry any more, and the version where it has none.
    #[must_use]
    pub fn change(&self, key: &str) -> Bytes {
        let entry = self.entries.get(key);
        let version = entry.map(|entry| &*entry.resource_version);
        let change = Change {
            key,
            value: entry.map(|entry| &*entry.json),
            resource_version: version.filter(|version| !version.is_empty()),
        };
        // As for `raw`.
        serde_json::to_vec(&change).unwrap_or_default().into()
    }
}
