//! What is served of a content: one key's bytes, or all of its text as JSON.

use bytes::Bytes;

use crate::store::{Content, ETag, Value};

/// What a GET of an object, or of one of its keys, answers.
pub(in crate::api) struct Representation<'a> {
    content: &'a Content,
    /// `None` of an object.
    value: Option<&'a Value>,
}

// === impl Representation ===

impl<'a> Representation<'a> {
    /// That of the key, or of the whole without one; `None` where there is no such key.
    pub(in crate::api) fn of(content: &'a Content, key: Option<&str>) -> Option<Self> {
        let value = match key {
            None => None,
            Some(key) => Some(content.get(key)?),
        };
        Some(Self { content, value })
    }

    /// Its tag.
    pub(in crate::api) fn etag(&self) -> &'a ETag {
        self.value
            .map_or_else(|| self.content.etag(), |value| &value.etag)
    }

    /// Its media type.
    pub(in crate::api) fn content_type(&self) -> &'static str {
        match self.value {
            None => "application/json",
            Some(value) if value.binary => "application/octet-stream",
            Some(_) => "text/plain; charset=utf-8",
        }
    }

    /// Its bytes.
    pub(in crate::api) fn body(&self) -> Bytes {
        self.value
            .map_or_else(|| self.content.json(), |value| value.bytes.clone())
    }
}
