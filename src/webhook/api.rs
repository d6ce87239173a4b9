//! Single requests to the API server, and what their failures mean to the keeper.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::upstream::{self, CallError, Lease};

/// Merges objects, and replaces lists (RFC 7396).
pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";
/// Merges lists of objects, too, by their names (Kubernetes API, strategic merge patch).
pub(super) const STRATEGIC_MERGE_PATCH: &str = "application/strategic-merge-patch+json";

/// Sends a request to the API server: a [`Lease`], or a test's stand-in.
pub(super) trait Api: Send + Sync {
    /// As [`Lease::call`].
    fn call(
        &self,
        request: &Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Bytes>, CallError>> + Send;
}

impl Api for Lease {
    fn call(
        &self,
        request: &Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Bytes>, CallError>> + Send {
        Self::call(self, request)
    }
}

/// Why the keeper has not got what it wants.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Somebody else was faster: look again.
    #[error("{0} was written by another replica at the same time")]
    Conflict(String),
    /// It does not exist.
    #[error("{0} does not exist; create it, as the manifests do")]
    Missing(String),
    /// A right is missing.
    #[error("may not {verb} {what}: give the webhook's service account that verb ({message})")]
    Forbidden {
        /// As Roles write it.
        verb: &'static str,
        /// The object.
        what: String,
        /// The API server's.
        message: String,
    },
    /// Any other answer. Without its message, which may repeat what was sent.
    #[error("cannot {verb} {what}: the API server answers {status} {reason}")]
    Refused {
        /// As Roles write it.
        verb: &'static str,
        /// The object.
        what: String,
        /// The answer's.
        status: StatusCode,
        /// The Status', for programs.
        reason: String,
    },
    /// An object is not what it is known to be.
    #[error("{what} {fault}")]
    Odd {
        /// The object.
        what: String,
        /// What about it.
        fault: &'static str,
    },
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// No certificate could be made.
    #[error(transparent)]
    Issue(#[from] crate::webhook::certificates::IssueError),
    /// What was made or read cannot be served.
    #[error(transparent)]
    Unusable(#[from] crate::webhook::certificates::Unusable),
    /// The files cannot be used.
    #[error(transparent)]
    Mounted(#[from] crate::webhook::certificates::MountedError),
}

/// One object of the API server.
#[derive(Debug, Clone)]
pub(super) struct Object {
    /// `secret attache-system/attache-webhook-certificate`, for people.
    pub(super) what: String,
    /// The path of its collection.
    pub(super) collection: String,
    pub(super) name: String,
}

// === impl Object ===

impl Object {
    /// What it is now.
    pub(super) async fn get<T: DeserializeOwned>(&self, api: &impl Api) -> Result<T, Failure> {
        let answer = self.send(api, "get", Method::GET, "", Bytes::new()).await?;
        serde_json::from_slice(answer.body()).map_err(|_| Failure::Odd {
            what: self.what.clone(),
            fault: "is not what the API server has as one",
        })
    }

    /// Creates it; a conflict if there is one already.
    pub(super) async fn create(
        &self,
        api: &impl Api,
        object: &impl Serialize,
    ) -> Result<(), Failure> {
        let json = "application/json";
        let body = body(object);
        self.send(api, "create", Method::POST, json, body).await?;
        Ok(())
    }

    /// Patches it; a conflict if `patch` names another resourceVersion than its present one.
    pub(super) async fn patch(
        &self,
        api: &impl Api,
        kind: &'static str,
        patch: &impl Serialize,
    ) -> Result<(), Failure> {
        let body = body(patch);
        self.send(api, "patch", Method::PATCH, kind, body).await?;
        Ok(())
    }

    async fn send(
        &self,
        api: &impl Api,
        verb: &'static str,
        method: Method,
        kind: &'static str,
        body: Bytes,
    ) -> Result<Response<Bytes>, Failure> {
        let path = match method {
            Method::POST => self.collection.clone(),
            _ => format!("{}/{}", self.collection, self.name),
        };
        let mut request = Request::new(body);
        *request.uri_mut() = path.parse().map_err(|_| Failure::Odd {
            what: self.what.clone(),
            fault: "has a name that no path can hold",
        })?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::ACCEPT, json);
        if method != Method::GET {
            let kind = HeaderValue::from_static(kind);
            request.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        *request.method_mut() = method;
        let answer = api.call(&request).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(self.failure(verb, &answer))
    }

    fn failure(&self, verb: &'static str, answer: &Response<Bytes>) -> Failure {
        let what = self.what.clone();
        let told = upstream::Status::of(answer);
        match answer.status() {
            // Of a create, it is the namespace that is missing.
            StatusCode::NOT_FOUND if verb != "create" => Failure::Missing(what),
            StatusCode::CONFLICT => Failure::Conflict(what),
            StatusCode::FORBIDDEN => Failure::Forbidden {
                verb,
                what,
                message: told.message,
            },
            status => Failure::Refused {
                verb,
                what,
                status,
                reason: told.reason,
            },
        }
    }
}

/// Values of ours always make JSON.
fn body(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
