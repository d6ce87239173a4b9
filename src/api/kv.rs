//! `/kv/{namespace}/{configmap}[/{key}]`: objects as JSON, keys as raw bytes.

use std::time::Duration;

use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::problem::{problem, unavailable};
use super::query::Query;
use super::{Answer, Api, NOSNIFF, whole};
use crate::http::Peer;
use crate::store::demand::{Demander, Unmet};
use crate::store::{ETag, Kind, Lookup, Object, Scope, Selects};

pub(super) mod precondition;
pub mod target;

pub use target::{Malformed, Target};

/// The parameters of reads.
pub const PARAMETERS: &[&str] = &["wait", "watch"];

/// How long a first read waits for the API server.
pub const DEMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// `Retry-After` where one more answer of the API server is all that is missing.
const SOON: u16 = 1;

/// `Retry-After` where something has to expire first.
const LATER: u16 = 30;

/// `metadata.resourceVersion` of what is served; left out where there is none (files).
pub const X_RESOURCE_VERSION: HeaderName = HeaderName::from_static("x-resource-version");

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// How the answer came about (RFC 9211).
#[derive(Debug, Clone, Copy)]
enum Origin {
    /// It was held.
    Hit,
    /// This very request had it fetched.
    Fetched,
}

// === impl Api ===

impl Api {
    /// Answers a read of an object or of one key.
    pub async fn kv(
        &self,
        target: &Target<'_>,
        query: &Query<'_>,
        head: &Parts,
        peer: &Peer,
    ) -> Answer {
        let headers = &head.headers;
        let _ = (query, peer);
        if self.writer.is_some()
            && let Some(answer) = Box::pin(self.created_on_read(target, head)).await
        {
            return answer;
        }
        if let Some(answer) = self.held(target, headers, Origin::Hit) {
            return answer;
        }
        match &self.demander {
            Some(demander) if self.fetches(target) => {
                // Boxed: it is rare, and an idle connection pays for the largest future.
                Box::pin(self.fetched(demander, target, headers)).await
            }
            _ => unwatched(target),
        }
    }

    /// Whether an object that nobody watches is fetched. A Secret is never served unless it is
    /// named.
    fn fetches(&self, target: &Target<'_>) -> bool {
        self.demander.is_some() && target.kind == Kind::ConfigMap
    }

    async fn fetched(
        &self,
        demander: &Demander,
        target: &Target<'_>,
        headers: &HeaderMap,
    ) -> Answer {
        let demand = demander.demand(Selects::Named(target.reference()), false);
        match tokio::time::timeout(DEMAND_TIMEOUT, demand).await {
            Err(_) => unavailable(
                SOON,
                format!(
                    "{target} is not held, and the API server did not answer within {} s: try \
                     again; /-/status says what is wrong",
                    DEMAND_TIMEOUT.as_secs()
                ),
            ),
            Ok(Err(unmet)) => self::unmet(target, &unmet),
            Ok(Ok(())) => self
                .held(target, headers, Origin::Fetched)
                .unwrap_or_else(|| {
                    let detail = format!("{target} was fetched but is gone again: try again");
                    unavailable(SOON, detail)
                }),
        }
    }

    /// Answers from the newest snapshot; `None` if no scope answers for the object.
    fn held(&self, target: &Target<'_>, headers: &HeaderMap, origin: Origin) -> Option<Answer> {
        let snapshot = self.reader.snapshot();
        match snapshot.lookup(target.kind, &target.namespace, &target.name) {
            Lookup::Found(object, scope) => {
                scope.touch();
                Some(found(object, scope, target, headers, origin))
            }
            Lookup::Missing(scope) => {
                scope.touch();
                let detail = match (&scope.spec().selects, target.kind) {
                    // A directory does not say which of its Secrets were passed over.
                    (Selects::Directory(_), Kind::Secret) => format!(
                        "{target} is not served: create it, and name it with --secret {}/{}",
                        target.namespace, target.name
                    ),
                    _ => format!("{target} does not exist: create it, and it is served at once"),
                };
                Some(problem(StatusCode::NOT_FOUND, detail))
            }
            // Another reader's fetch is joined, and what a selector may not hold is fetched.
            Lookup::Pending(scope)
                if matches!(origin, Origin::Hit)
                    && self.fetches(target)
                    && (scope.spec().on_demand
                        || matches!(scope.spec().selects, Selects::Selector { .. })) =>
            {
                None
            }
            Lookup::Pending(scope) => Some(pending(target, scope)),
            Lookup::Refused(reason) => {
                let detail = format!("{target} is not held: {reason}; raise --max-bytes");
                Some(problem(StatusCode::INSUFFICIENT_STORAGE, detail))
            }
            Lookup::Unwatched => None,
        }
    }
}

fn found(
    object: &Object,
    scope: &Scope,
    target: &Target<'_>,
    request: &HeaderMap,
    origin: Origin,
) -> Answer {
    let content = object.content();
    let (etag, content_type, value) = match target.key.as_deref() {
        None => (content.etag(), "application/json", None),
        Some(key) => match content.get(key) {
            None => {
                let detail = format!(
                    "{target} has no key {key}: /kv/{}/{} lists the text ones, \
                     /-/status all",
                    target.namespace, target.name
                );
                return problem(StatusCode::NOT_FOUND, detail);
            }
            Some(value) if value.binary => (&value.etag, "application/octet-stream", Some(value)),
            Some(value) => (&value.etag, "text/plain; charset=utf-8", Some(value)),
        },
    };
    let mut answer = if precondition::is_held(request, etag) {
        let mut answer = whole("");
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer
    } else {
        let body = value.map_or_else(|| content.json(), |value| value.bytes.clone());
        let mut answer = whole(body);
        let content_type = HeaderValue::from_static(content_type);
        answer.headers_mut().reserve(8);
        answer.headers_mut().insert(CONTENT_TYPE, content_type);
        answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        answer
    };
    describe(answer.headers_mut(), object, scope, etag, origin);
    answer
}

/// The headers that 200 and 304 share (RFC 9110, section 15.4.5).
fn describe(headers: &mut HeaderMap, object: &Object, scope: &Scope, etag: &ETag, origin: Origin) {
    if let Ok(etag) = HeaderValue::from_maybe_shared(etag.as_bytes().clone()) {
        headers.insert(ETAG, etag);
    }
    if !object.resource_version().is_empty()
        && let Ok(version) = HeaderValue::from_maybe_shared(object.resource_version_bytes().clone())
    {
        headers.insert(X_RESOURCE_VERSION, version);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let status = match origin {
        Origin::Hit => "attache; hit",
        Origin::Fetched => "attache; fwd=uri-miss; stored",
    };
    headers.insert(CACHE_STATUS, HeaderValue::from_static(status));
    if let Some(age) = scope.contact().age() {
        headers.insert(AGE, HeaderValue::from(age.as_secs()));
    }
}

fn pending(target: &Target<'_>, scope: &Scope) -> Answer {
    let detail = match scope.contact().reason() {
        Some(reason) => format!(
            "{target} was not read yet: {reason}; attache keeps trying, and /-/ready says when \
             it has it"
        ),
        None => format!("{target} is being read for the first time: try again"),
    };
    unavailable(SOON, detail)
}

fn unwatched(target: &Target<'_>) -> Answer {
    let (namespace, name) = (&target.namespace, &target.name);
    match target.kind {
        Kind::Secret => problem(
            StatusCode::FORBIDDEN,
            format!(
                "a Secret is served only if it is named: start attache with --secret \
                 {namespace}/{name}"
            ),
        ),
        _ => problem(
            StatusCode::NOT_FOUND,
            format!(
                "{target} is not watched: start attache with --configmap {namespace}/{name}, or \
                 without --no-on-demand"
            ),
        ),
    }
}

/// The one place where an unmet demand becomes a status.
fn unmet(target: &Target<'_>, unmet: &Unmet) -> Answer {
    match unmet {
        // Every API server has ConfigMaps.
        Unmet::NotFound(message) | Unmet::Unserved(message) => problem(
            StatusCode::NOT_FOUND,
            format!("{target} does not exist: {message}"),
        ),
        Unmet::Forbidden(message) => problem(
            StatusCode::FORBIDDEN,
            format!(
                "the API server does not let this pod read {target}: {message}; grant get, list \
                 and watch on it to the pod's service account"
            ),
        ),
        Unmet::TooMany { .. } => unavailable(
            LATER,
            format!(
                "{target} is not held, and {unmet}: name it with --configmap {}/{}, or try again \
                 once others have expired",
                target.namespace, target.name
            ),
        ),
        Unmet::Unavailable { message, after } => unavailable(
            u16::try_from(after.as_secs()).unwrap_or(LATER).max(SOON),
            format!(
                "{target} is not held, and the API server is out of reach: {message}; try again"
            ),
        ),
    }
}
