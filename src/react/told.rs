//! The content of one object as a rule was told of it, by this attache or an earlier one.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;

use crate::store::diff::{self, KeyChanges};
use crate::store::{Content, ObjectRef, Value};

/// A content that a rule was told of.
#[derive(Debug)]
pub(super) enum Told {
    /// By this attache.
    Content(Arc<Content>),
    /// By an earlier one: the ETag of each key.
    Tags(BTreeMap<String, String>),
}

// === impl Told ===

impl Told {
    /// Whether it is that very content.
    pub(super) fn is(&self, content: &Arc<Content>) -> bool {
        matches!(self, Self::Content(told) if Arc::ptr_eq(told, content))
    }

    /// The keys that differ between it and `after`.
    pub(super) fn changes(&self, after: Option<&Content>) -> KeyChanges {
        match self {
            Self::Content(told) => diff::keys(Some(told), after),
            Self::Tags(tags) => diff::keys_by_tags(tags, after),
        }
    }

    /// The ETag of each key.
    pub(super) fn tags(&self) -> BTreeMap<String, String> {
        match self {
            Self::Content(told) => {
                let values = told.values().iter();
                let tag = |value: &Value| value.etag.as_str().to_owned();
                let mut tags = BTreeMap::new();
                tags.extend(values.map(|(key, value)| (key.to_string(), tag(value))));
                tags
            }
            Self::Tags(tags) => tags.clone(),
        }
    }
}

/// A hash over the keys of several objects, alike wherever the content is.
pub(super) struct Digest(digest::Context);

// === impl Digest ===

impl Default for Digest {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Digest {
    /// Adds an object with the ETag of each key; objects are added sorted.
    pub(super) fn add<'a>(
        &mut self,
        reference: &ObjectRef,
        tags: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) {
        // None of the parts can hold a separator.
        self.0.update(format!("{reference}\n").as_bytes());
        for (key, tag) in tags {
            self.0.update(format!("{key}\0{tag}\n").as_bytes());
        }
    }

    /// 128 bits of it, in letters that an annotation's value may have.
    pub(super) fn finish(self) -> String {
        URL_SAFE_NO_PAD.encode(&self.0.finish().as_ref()[..16])
    }
}
