//! One request, and how a refusal is understood.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{ApiError, Object, Resource};
use crate::upstream::Status;

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
        let told = Status::of(answer);
        let status = answer.status();
        let request = self.words();
        let retry_after = told.retry_after(answer.headers());
        let mut message = told.message;
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
                retry_after,
            },
            status => ApiError::Refused {
                request,
                status,
                message,
            },
        }
    }
}
