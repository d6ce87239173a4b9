//! What an object holds: raw bytes and ETags made once, JSON on first read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ring::digest;

/// A strong entity tag with its quotes (RFC 9110, section 8.8.3): 128 bits of a SHA-256.
#[derive(Clone, PartialEq, Eq)]
pub struct ETag(Bytes);

impl ETag {
    /// The tag of a representation: of its bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::of(&digest::digest(&digest::SHA256, bytes))
    }

    /// The tag of what does not exist, for who follows it: `"absent"`, which no representation has.
    #[must_use]
    pub fn absent() -> Self {
        Self(Bytes::from_static(b"\"absent\""))
    }

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

/// The tag of every key.
pub type Tags = BTreeMap<Box<str>, ETag>;

/// `data` and `binaryData`: what an ETag covers, and what rules and files act on. `Debug` shows
/// keys and sizes only.
pub struct Content {
    values: BTreeMap<Box<str>, Value>,
    etag: ETag,
    size: usize,
    since: Instant,
    json: OnceLock<Bytes>,
    tags: OnceLock<Arc<Tags>>,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.values).finish()
    }
}

impl Content {
    /// Hashes the values; they are held since `since`.
    pub(super) fn new(
        text: BTreeMap<String, String>,
        binary: BTreeMap<String, Vec<u8>>,
        since: Instant,
    ) -> Self {
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
            since,
            json: OnceLock::new(),
            tags: OnceLock::new(),
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

    /// The tag of every key; made on first use and kept. Who follows the content holds on to this rather
    /// than to the values.
    #[must_use]
    pub fn tags(&self) -> Arc<Tags> {
        let make = || {
            let tags = self.values.iter();
            Arc::new(tags.map(|(k, v)| (k.clone(), v.etag.clone())).collect())
        };
        Arc::clone(self.tags.get_or_init(make))
    }

    /// The text values as one JSON object, keys sorted; made on first use and kept.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.json
            .get_or_init(|| {
                let mut text: BTreeMap<&str, &str> = BTreeMap::new();
                let values = self.values.iter();
                text.extend(values.filter_map(|(k, v)| Some((&**k, v.text()?))));
                // A map of strings always serializes.
                let mut json = serde_json::to_vec(&text).unwrap_or_default();
                json.push(b'\n');
                Bytes::from(json)
            })
            .clone()
    }
}
