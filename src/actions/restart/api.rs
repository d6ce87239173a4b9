//! The requests of restarts to the API server, and how each answer is understood.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::objects::{Budget, List, Named, Pod};
use crate::store::ObjectRef;
use crate::upstream::{CallError, Lease, Upstream};

/// Objects in a page.
const PAGE: u32 = 100;

/// The longest time that a Retry-After is obeyed for: a server's mistake must not end an action.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// What is encoded in a path and a query: all but the unreserved characters (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const JSON: &str = "application/json";
/// Asks for an object without what it holds.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// RFC 7386.
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Why the API server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer. A request that writes may have been acted upon.
    #[error("{request}: {error}")]
    NoAnswer {
        /// What was asked, as `delete Pod default/web-1`.
        request: String,
        /// Why.
        error: CallError,
    },
    /// 403.
    #[error(
        "attache may not {request}: grant its service account the verb {verb} on {resource} \
         (API group {group:?}) by a Role in namespace {namespace} ({message})"
    )]
    Forbidden {
        /// What was asked.
        request: String,
        /// RBAC's word for it.
        verb: &'static str,
        /// The resource as Roles name it.
        resource: String,
        /// Its group; empty is core.
        group: &'static str,
        /// Where.
        namespace: String,
        /// The API server's words.
        message: String,
    },
    /// 404: the object, or the whole resource, is not there.
    #[error("cannot {request}: {message}")]
    NotFound {
        /// What was asked.
        request: String,
        /// The API server's words.
        message: String,
        /// Whether the API server knows the resource.
        known: bool,
    },
    /// 409: the object is not the one, or not as, it was meant.
    #[error("cannot {request}: {message}")]
    Conflict {
        /// What was asked.
        request: String,
        /// The API server's words.
        message: String,
    },
    /// 429: a PodDisruptionBudget does not allow it now, or the API server has too much to do.
    #[error("cannot {request} now: {message}")]
    TooMany {
        /// What was asked.
        request: String,
        /// The API server's words.
        message: String,
        /// When to ask again.
        retry_after: Option<Duration>,
    },
    /// Any other status.
    #[error("cannot {request}: the API server answered {status}: {message}")]
    Refused {
        /// What was asked.
        request: String,
        /// The status.
        status: StatusCode,
        /// The API server's words.
        message: String,
    },
    /// An answer that is none of the API's.
    #[error("cannot {request}: the answer is malformed at line {line}, column {column}")]
    Malformed {
        /// What was asked.
        request: String,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
}

// === impl ApiError ===

impl ApiError {
    /// Whether asking again in a while may help.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::NoAnswer { .. } | Self::TooMany { .. } => true,
            Self::Refused { status, .. } => status.is_server_error(),
            _ => false,
        }
    }

    /// Whether a request that writes may have been acted upon.
    pub(super) fn may_have_reached(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Refused { status, .. } => status.is_server_error(),
            _ => false,
        }
    }
}

/// A resource of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resource {
    /// Empty is core.
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) plural: &'static str,
    pub(super) kind: &'static str,
}

/// `v1` Pods.
pub(super) const PODS: Resource = Resource {
    group: "",
    version: "v1",
    plural: "pods",
    kind: "Pod",
};

const BUDGETS: Resource = Resource {
    group: "policy",
    version: "v1",
    plural: "poddisruptionbudgets",
    kind: "PodDisruptionBudget",
};

/// One object of a resource.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object<'a> {
    pub(super) resource: Resource,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

/// Sends requests to the API server on a connection that it keeps.
pub(super) struct Api {
    lease: Lease,
}

/// One request.
struct Call<'a> {
    method: Method,
    verb: &'static str,
    resource: Resource,
    namespace: &'a str,
    /// Empty for a list.
    name: &'a str,
    subresource: Option<&'static str>,
    query: String,
    accept: &'static str,
    body: Option<(&'static str, Value)>,
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

// === impl Api ===

impl Api {
    pub(super) fn new(upstream: &Upstream) -> Self {
        Self {
            lease: upstream.lease(),
        }
    }

    /// Reads an object.
    pub(super) async fn get<T: DeserializeOwned>(&self, object: Object<'_>) -> Result<T, ApiError> {
        self.read(&Call::new("get", object)).await
    }

    /// Reads a ConfigMap or Secret without what it holds.
    pub(super) async fn metadata(&self, reference: &ObjectRef) -> Result<Named, ApiError> {
        let resource = Resource {
            group: "",
            version: "v1",
            plural: reference.kind.resource(),
            kind: reference.kind.as_str(),
        };
        let mut call = Call::new(
            "get",
            Object {
                resource,
                namespace: &reference.namespace,
                name: &reference.name,
            },
        );
        call.accept = METADATA;
        self.read(&call).await
    }

    /// The pods of a namespace with these labels, as they are now: no cache answers.
    pub(super) async fn pods(&self, namespace: &str, selector: &str) -> Result<Vec<Pod>, ApiError> {
        let selector = utf8_percent_encode(selector, RESERVED);
        self.list(PODS, namespace, &format!("&labelSelector={selector}"))
            .await
    }

    /// The PodDisruptionBudgets of a namespace, and whether an empty selector is for every pod.
    pub(super) async fn budgets(&self, namespace: &str) -> Result<(Vec<Budget>, bool), ApiError> {
        match self.list(BUDGETS, namespace, "").await {
            Err(ApiError::NotFound { .. }) => {
                // Before 1.21.
                let resource = Resource {
                    version: "v1beta1",
                    ..BUDGETS
                };
                Ok((self.list(resource, namespace, "").await?, false))
            }
            budgets => Ok((budgets?, true)),
        }
    }

    /// Applies a JSON merge patch.
    pub(super) async fn patch(&self, object: Object<'_>, patch: Value) -> Result<(), ApiError> {
        let mut call = Call::new("patch", object);
        call.body = Some((MERGE_PATCH, patch));
        self.send(&call).await.map(drop)
    }

    /// Deletes an object that fulfils these `preconditions`.
    pub(super) async fn delete(
        &self,
        object: Object<'_>,
        preconditions: &Value,
    ) -> Result<(), ApiError> {
        let mut call = Call::new("delete", object);
        let options =
            json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions});
        call.body = Some((JSON, options));
        self.send(&call).await.map(drop)
    }

    /// Asks for a pod's eviction, if it fulfils these `preconditions`.
    pub(super) async fn evict(
        &self,
        namespace: &str,
        name: &str,
        preconditions: &Value,
    ) -> Result<(), ApiError> {
        let pod = Object {
            resource: PODS,
            namespace,
            name,
        };
        let call = |version: &str| {
            let mut call = Call::new("create", pod);
            call.subresource = Some("eviction");
            let eviction = json!({
                "kind": "Eviction", "apiVersion": version,
                "metadata": {"name": name, "namespace": namespace},
                "deleteOptions": {"preconditions": preconditions},
            });
            call.body = Some((JSON, eviction));
            call
        };
        match self.send(&call("policy/v1")).await {
            // Servers before 1.22 know the other version alone.
            Err(
                ApiError::Refused {
                    status: StatusCode::BAD_REQUEST,
                    ..
                }
                | ApiError::NotFound { known: false, .. },
            ) => self.send(&call("policy/v1beta1")).await.map(drop),
            sent => sent.map(drop),
        }
    }

    async fn list<T: DeserializeOwned>(
        &self,
        resource: Resource,
        namespace: &str,
        query: &str,
    ) -> Result<Vec<T>, ApiError> {
        let mut items = Vec::new();
        let mut next = String::new();
        loop {
            let mut call = Call::new(
                "list",
                Object {
                    resource,
                    namespace,
                    name: "",
                },
            );
            call.query = format!("?limit={PAGE}{query}");
            if !next.is_empty() {
                let token = utf8_percent_encode(&next, RESERVED);
                call.query.push_str(&format!("&continue={token}"));
            }
            let page: List<T> = self.read(&call).await?;
            items.extend(page.items);
            next = page.metadata.next;
            if next.is_empty() {
                return Ok(items);
            }
        }
    }

    async fn read<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, ApiError> {
        let answer = self.send(call).await?;
        serde_json::from_slice(&answer).map_err(|error| ApiError::Malformed {
            request: call.words(),
            line: error.line(),
            column: error.column(),
        })
    }

    async fn send(&self, call: &Call<'_>) -> Result<Bytes, ApiError> {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = call.method.clone();
        // Everything in it that could be no path is encoded.
        *request.uri_mut() = call.path().try_into().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(
            header::ACCEPT,
            header::HeaderValue::from_static(call.accept),
        );
        if let Some((kind, body)) = &call.body {
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
            *request.body_mut() = body.to_string().into();
        }
        let answer = self.lease.call(&request).await;
        let answer = answer.map_err(|error| ApiError::NoAnswer {
            request: call.words(),
            error,
        })?;
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        Err(call.refused(&answer))
    }
}

// === impl Call ===

impl<'a> Call<'a> {
    fn new(verb: &'static str, object: Object<'a>) -> Self {
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
            accept: JSON,
            body: None,
        }
    }

    fn path(&self) -> String {
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
    fn words(&self) -> String {
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

    fn refused(&self, answer: &Response<Bytes>) -> ApiError {
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
