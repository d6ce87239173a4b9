//! One request, and how a refusal is understood.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use super::{ApiError, Object, Resource};

/// The longest time that a Retry-After is obeyed for: a server's mistake must not end an action.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// What is encoded in a path and a query: all but the unreserved characters (RFC 3986, section 2.3).
pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One request.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) verb: &'static str,
    pub(super) resource: Resource,
    pub(super) namespace: &'a str,
    /// Empty for a list.
    pub(super) name: &'a str,
    pub(super) subresource: Option<&'static str>,
    pub(super) query: String,
    pub(super) accept: &'static str,
    pub(super) body: Option<(&'static str, Value)>,
}

/// A `Status` object (API conventions, "Response Status Kind").
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    details: StatusDetails,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusDetails {
    name: String,
    retry_after_seconds: u64,
    causes: Vec<Cause>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cause {
    message: String,
}

// === impl Call ===

impl<'a> Call<'a> {
    pub(super) fn new(verb: &'static str, object: Object<'a>) -> Self {
        Self {
            method: match verb {
                "patch" => Method::PATCH,
                "delete" => Method::DELETE,
                "create" => Method::POST,
                _ => Method::GET,
            },
            verb,
            resource: object.resource,
            namespace: object.namespace,
            name: object.name,
            subresource: None,
            query: String::new(),
            accept: super::JSON,
            body: None,
        }
    }

    pub(super) fn path(&self) -> String {
        let Resource {
            group,
            version,
            plural,
            ..
        } = self.resource;
        let encode = |text| utf8_percent_encode(text, RESERVED);
        let root = if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        };
        let mut path = format!("{root}/namespaces/{}/{plural}", encode(self.namespace));
        if !self.name.is_empty() {
            path.push_str(&format!("/{}", encode(self.name)));
        }
        if let Some(subresource) = self.subresource {
            path.push_str(&format!("/{subresource}"));
        }
        path + &self.query
    }

    /// `delete Pod default/web-1`.
    pub(super) fn words(&self) -> String {
        let Self {
            namespace, name, ..
        } = self;
        let kind = self.resource.kind;
        match (self.subresource, *name) {
            (Some(_), name) => format!("evict {kind} {namespace}/{name}"),
            (None, "") => format!("{} {kind}s in namespace {namespace}", self.verb),
            (None, name) => format!("{} {kind} {namespace}/{name}", self.verb),
        }
    }

    pub(super) fn refused(&self, answer: &Response<Bytes>) -> ApiError {
        let told: Status = serde_json::from_slice(answer.body()).unwrap_or_default();
        let status = answer.status();
        let request = self.words();
        let mut message = if told.message.is_empty() {
            format!("the API server answered {status}")
        } else {
            told.message
        };
        // Which PodDisruptionBudget refuses, and how many pods it wants, stands there alone.
        for cause in told.details.causes {
            message = format!("{message} {}", cause.message);
        }
        match status {
            StatusCode::FORBIDDEN => ApiError::Forbidden {
                request,
                verb: self.verb,
                resource: match self.subresource {
                    Some(subresource) => format!("{}/{subresource}", self.resource.plural),
                    None => self.resource.plural.to_owned(),
                },
                group: self.resource.group,
                namespace: self.namespace.to_owned(),
                message,
            },
            StatusCode::NOT_FOUND => ApiError::NotFound {
                request,
                message,
                known: !self.name.is_empty() && told.details.name == self.name,
            },
            StatusCode::CONFLICT => ApiError::Conflict { request, message },
            StatusCode::TOO_MANY_REQUESTS => ApiError::TooMany {
                request,
                message,
                retry_after: retry_after(answer, told.details.retry_after_seconds),
            },
            status => ApiError::Refused {
                request,
                status,
                message,
            },
        }
    }
}

/// The header's date form (RFC 9110, section 10.2.3) is not one that API servers use.
fn retry_after(answer: &Response<Bytes>, in_body: u64) -> Option<Duration> {
    let header = answer.headers().get(header::RETRY_AFTER);
    let seconds = header
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .or(Some(in_body).filter(|seconds| *seconds > 0));
    seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}
