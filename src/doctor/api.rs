//! The requests of the doctor to the API server.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::inject::rights::Right;
use crate::upstream::{Budget, CallError, Lease, Status, Upstream};

/// Objects in a page.
const PAGE: u32 = 100;
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Asks for a list of objects without what they hold.
const METADATA: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
/// What is encoded in a query: all but the unreserved characters (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// There is no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Another status than 2xx.
    #[error("the API server answered {status}: {message}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The API server's words.
        message: String,
    },
    /// An answer that is none of the API's.
    #[error("the API server's answer is malformed")]
    Malformed,
}

/// One question of an access review.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ask {
    pub(super) namespace: Option<String>,
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    pub(super) subresource: &'static str,
    pub(super) name: Option<String>,
    pub(super) verb: &'static str,
}

/// Whose rights are asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// Whoever asks.
    Own,
    /// That ServiceAccount: namespace, name.
    ServiceAccount(String, String),
}

/// Sends requests to the API server.
pub(super) struct Api {
    lease: Lease,
}

// === impl ApiError ===

impl ApiError {
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::FORBIDDEN)
    }
}

// === impl Ask ===

impl Ask {
    /// Whether that verb of a right is given.
    pub(super) fn of(right: &Right, verb: &'static str) -> Self {
        Self {
            namespace: right.namespace.clone(),
            group: right.group,
            resource: right.resource,
            subresource: right.subresource,
            name: right.name.clone(),
            verb,
        }
    }
}

// === impl Api ===

impl Api {
    pub(super) fn new(upstream: &Upstream) -> Self {
        Self {
            lease: upstream.lease(),
        }
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Reads an object. Everything in `path` is a valid name.
    pub(super) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.send(Method::GET, path, JSON, None).await
    }

    /// One page of a list, and the token of the next one, which is empty at the end. `query` is
    /// empty or begins with `&`.
    pub(super) async fn page(
        &self,
        path: &str,
        query: &str,
        token: &str,
    ) -> Result<(Vec<Value>, String), ApiError> {
        self.some(path, query, token, JSON).await
    }

    /// A whole list of few objects.
    pub(super) async fn list(&self, path: &str, query: &str) -> Result<Vec<Value>, ApiError> {
        let (mut items, mut token) = self.some(path, query, "", JSON).await?;
        while !token.is_empty() {
            let (more, next) = self.some(path, query, &token, JSON).await?;
            items.extend(more);
            token = next;
        }
        Ok(items)
    }

    /// The one object of that name, if it is there: listed, as attache itself does. Of a Secret
    /// whose keys nobody asks for no more than the metadata comes.
    pub(super) async fn named(
        &self,
        path: &str,
        name: &str,
        content: bool,
    ) -> Result<Option<Value>, ApiError> {
        let query = format!(
            "&fieldSelector={}",
            encode(&format!("metadata.name={name}"))
        );
        let accept = if content { JSON } else { METADATA };
        Ok(self.some(path, &query, "", accept).await?.0.pop())
    }

    /// The PodDisruptionBudgets of a namespace, and whether an empty selector is for every pod.
    pub(super) async fn budgets(&self, namespace: &str) -> Result<(Vec<Budget>, bool), ApiError> {
        let path =
            |version| format!("/apis/policy/{version}/namespaces/{namespace}/poddisruptionbudgets");
        let (items, empty_is_all) = match self.list(&path("v1"), "").await {
            // Before 1.21.
            Err(error) if error.is_missing() => (self.list(&path("v1beta1"), "").await?, false),
            items => (items?, true),
        };
        let mut budgets = Vec::new();
        for item in items {
            budgets.push(serde_json::from_value(item).map_err(|_| ApiError::Malformed)?);
        }
        Ok((budgets, empty_is_all))
    }

    /// Whether `subject` may do `ask`: an access review (`authorization.k8s.io/v1`).
    pub(super) async fn may(&self, subject: &Subject, ask: &Ask) -> Result<bool, ApiError> {
        let attributes = json!({
            "namespace": ask.namespace.as_deref().unwrap_or_default(),
            "verb": ask.verb,
            "group": ask.group,
            "resource": ask.resource,
            "subresource": ask.subresource,
            "name": ask.name.as_deref().unwrap_or_default(),
        });
        let (kind, plural, spec) = match subject {
            Subject::Own => (
                "SelfSubjectAccessReview",
                "selfsubjectaccessreviews",
                json!({"resourceAttributes": attributes}),
            ),
            Subject::ServiceAccount(namespace, name) => (
                "SubjectAccessReview",
                "subjectaccessreviews",
                json!({
                    "resourceAttributes": attributes,
                    "user": format!("system:serviceaccount:{namespace}:{name}"),
                    "groups": [
                        "system:serviceaccounts",
                        format!("system:serviceaccounts:{namespace}"),
                        "system:authenticated",
                    ],
                }),
            ),
        };
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec});
        let path = format!("/apis/authorization.k8s.io/v1/{plural}");
        let answer = self.send(Method::POST, &path, JSON, Some(&review)).await?;
        let allowed = answer.pointer("/status/allowed").and_then(Value::as_bool);
        allowed.ok_or(ApiError::Malformed)
    }

    async fn some(
        &self,
        path: &str,
        query: &str,
        token: &str,
        accept: HeaderValue,
    ) -> Result<(Vec<Value>, String), ApiError> {
        let mut path = format!("{path}?limit={PAGE}{query}");
        if !token.is_empty() {
            path.push_str(&format!("&continue={}", encode(token)));
        }
        let mut list = self.send(Method::GET, &path, accept, None).await?;
        let next = list.pointer("/metadata/continue").and_then(Value::as_str);
        let next = next.unwrap_or_default().to_owned();
        match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok((items, next)),
            Some(Value::Null) => Ok((Vec::new(), next)),
            _ => Err(ApiError::Malformed),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        accept: HeaderValue,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| ApiError::Malformed)?;
        request.headers_mut().insert(header::ACCEPT, accept);
        if let Some(body) = body {
            request.headers_mut().insert(header::CONTENT_TYPE, JSON);
            *request.body_mut() = body.to_string().into();
        }
        let answer = self.lease.call(&request).await?;
        if !answer.status().is_success() {
            let message = Status::read(answer.body()).message;
            return Err(ApiError::Refused {
                status: answer.status(),
                message: match message.is_empty() {
                    true => "it does not say why".to_owned(),
                    false => message,
                },
            });
        }
        serde_json::from_slice(answer.body()).map_err(|_| ApiError::Malformed)
    }
}

/// What may stand as a value in a query.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}
