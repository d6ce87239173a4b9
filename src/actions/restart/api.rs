//! The requests of restarts to the API server, and how each answer is understood.

mod call;
mod error;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use percent_encoding::utf8_percent_encode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::objects::{List, Named, Pod};
use super::written::{Version, VersionInfo};
use crate::store::ObjectRef;
use crate::upstream::{Budget, Lease, Upstream};
use call::{Call, RESERVED};
pub use error::ApiError;

/// Objects in a page.
const PAGE: u32 = 100;

const JSON: &str = "application/json";
/// Asks for an object without what it holds.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// RFC 7386.
const MERGE_PATCH: &str = "application/merge-patch+json";

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
    version: OnceCell<Option<Version>>,
}

// === impl Api ===

impl Api {
    pub(super) fn new(upstream: &Upstream) -> Self {
        Self {
            lease: upstream.lease(),
            version: OnceCell::new(),
        }
    }

    /// The version of the API server, asked for once; `None` if it does not tell.
    pub(super) async fn version(&self) -> Option<Version> {
        let ask = async || {
            let read = self.read_version().await;
            read.inspect_err(|reason| {
                tracing::warn!(
                    reason,
                    "the version of the API server cannot be read; attache takes no pod for younger than the content"
                );
            })
            .ok()
        };
        *self.version.get_or_init(ask).await
    }

    async fn read_version(&self) -> Result<Version, String> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = Uri::from_static("/version");
        let answer = self.lease.call(&request).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!(
                "get /version: the API server answered {}",
                answer.status()
            ));
        }
        let read: Option<VersionInfo> = serde_json::from_slice(answer.body()).ok();
        let version = read.and_then(|info| info.version());
        version.ok_or_else(|| "get /version: the answer holds none".to_owned())
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
