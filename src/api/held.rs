//! The answer of what is held: all of it, or 304 where the client has it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::kv::precondition;
use super::{Answer, NOSNIFF, whole};
use crate::store::ETag;

/// `metadata.resourceVersion` of what is served; left out where there is none (files).
const X_RESOURCE_VERSION: HeaderName = HeaderName::from_static("x-resource-version");

/// RFC 9211.
pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// How the answer came about (RFC 9211).
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    /// It was held.
    Hit,
    /// This very request had it fetched.
    Fetched,
}

/// Something held.
pub(super) struct Held<'a> {
    /// Its tag.
    pub(super) etag: &'a ETag,
    /// Its media type.
    pub(super) content_type: &'static str,
    /// `metadata.resourceVersion`; empty where there is none.
    pub(super) resource_version: &'a Bytes,
    /// How long its source has been out of contact, if it is.
    pub(super) age: Option<Duration>,
    /// How the answer came about.
    pub(super) origin: Origin,
}

// === impl Held ===

impl Held<'_> {
    /// Answers a request with these headers; `body` is asked only where it is sent.
    pub(super) fn answer(&self, request: &HeaderMap, body: impl FnOnce() -> Bytes) -> Answer {
        let mut answer = if precondition::is_held(request, self.etag) {
            let mut answer = whole("");
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer
        } else {
            let mut answer = whole(body());
            let content_type = HeaderValue::from_static(self.content_type);
            answer.headers_mut().reserve(8);
            answer.headers_mut().insert(CONTENT_TYPE, content_type);
            answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
            answer
        };
        self.describe(answer.headers_mut());
        answer
    }

    /// The headers that 200 and 304 share (RFC 9110, section 15.4.5).
    fn describe(&self, headers: &mut HeaderMap) {
        identify(headers, Some(self.etag), self.resource_version);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let status = match self.origin {
            Origin::Hit => "attache; hit",
            Origin::Fetched => "attache; fwd=uri-miss; stored",
        };
        headers.insert(CACHE_STATUS, HeaderValue::from_static(status));
        if let Some(age) = self.age {
            headers.insert(AGE, HeaderValue::from(age.as_secs()));
        }
    }
}

/// Says which state of what is asked for an answer speaks of, as far as there is one; `version` is empty
/// where there is none.
pub(super) fn identify(headers: &mut HeaderMap, etag: Option<&ETag>, version: &Bytes) {
    if let Some(etag) = etag
        && let Ok(etag) = HeaderValue::from_maybe_shared(etag.as_bytes().clone())
    {
        headers.insert(ETAG, etag);
    }
    if !version.is_empty()
        && let Ok(version) = HeaderValue::from_maybe_shared(version.clone())
    {
        headers.insert(X_RESOURCE_VERSION, version);
    }
}
