//! What the webhook answers: `POST /mutate` over TLS to the API server, and live, ready and metrics on
//! the admin listener.

use std::time::Instant;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tracing::{debug, info, warn};

use super::keeper::Status;
use super::namespaces::{Annotations, Ask, Found, Namespaces};
use super::review::{self, Answer, Policy};
use crate::api::body::RequestBody;
use crate::api::problem::{not_allowed, problem, read_only};
use crate::api::{fresh, health};
use crate::http::{self as server, Body, Handler, Peer};
use crate::metrics::webhook::{Namespace, Review, WebhookMetrics};
use crate::readiness::Readiness;
use crate::shutdown::Shutdown;

/// Where pods are reviewed.
const MUTATE: &str = "/mutate";

/// The longest review: the API server takes objects of 3 MiB, and tells a little more than the object.
const LONGEST_REVIEW: usize = 4 << 20;

/// How much of reviews is parsed at once, in bytes; further ones wait for their turn. Parsed, a byte may
/// become 18, and the memory is 256 MiB; 200 reviews of common pods at once are less than this.
const PARSED: usize = LONGEST_REVIEW;

/// Reviews pods.
pub(super) struct Reviews<A> {
    /// The platform's annotations.
    pub(super) annotations: Annotations,
    pub(super) policy: Policy,
    pub(super) namespaces: Namespaces<A>,
    /// Whether nodes run native sidecars, as far as is known.
    pub(super) native: tokio::sync::watch::Receiver<bool>,
    pub(super) metrics: WebhookMetrics,
    /// See [`room`].
    pub(super) room: Semaphore,
    /// From then on every answer ends its connection, so that the API server opens the next one to
    /// another replica, rather than send a review to one that is about to close.
    pub(super) stopping: Shutdown,
}

/// The admin listener: for the kubelet and for Prometheus.
pub(super) struct Admin {
    pub(super) readiness: Readiness,
    pub(super) metrics: WebhookMetrics,
    /// Of the certificate.
    pub(super) status: Status,
}

/// A permit for each byte of a review that may be parsed.
pub(super) fn room() -> Semaphore {
    Semaphore::new(PARSED)
}

// === impl Reviews ===

impl<A: Ask> Handler for Reviews<A> {
    async fn handle(&self, request: Request<Incoming>, _: &Peer) -> Response<Body> {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let mut body = RequestBody::new(body);
        let mut answer = match (head.uri.path(), &head.method) {
            (MUTATE, &Method::POST) => self.review(&head.headers, &mut body, started).await,
            (MUTATE, _) => not_allowed("POST", "reviews are asked for by POST"),
            _ => problem(
                StatusCode::NOT_FOUND,
                "attache webhook serves nothing here: reviews are asked for by POST /mutate",
            ),
        };
        if body.is_unread() || self.stopping.is_requested() {
            server::close(answer.headers_mut());
        }
        answer
    }
}

impl<A: Ask> Reviews<A> {
    async fn review(
        &self,
        headers: &HeaderMap,
        body: &mut RequestBody,
        started: Instant,
    ) -> Response<Body> {
        let refused = |answer: Response<Body>| {
            let label = Review {
                outcome: "failed",
                reason: "malformed",
            };
            self.metrics.reviewed(label, started.elapsed());
            answer
        };
        if !is_json(headers) {
            let detail = "reviews are JSON: send them with Content-Type: application/json";
            return refused(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let bytes = match body.read(LONGEST_REVIEW).await {
            Ok(bytes) => bytes,
            Err(refusal) => return refused(refusal),
        };
        // No body is read longer than fits, and none that is slow in coming keeps the room of others.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let _room = self.room.acquire_many(length).await;
        let request = match review::Request::read(&bytes) {
            Ok(request) => request,
            Err(malformed) => {
                warn!(error = %malformed, "a request is no review; attache refuses it");
                return refused(problem(StatusCode::BAD_REQUEST, malformed.to_string()));
            }
        };
        drop(bytes);
        let (annotations, told) = match request.namespace() {
            Some(namespace) => self.around(namespace).await,
            None => (Annotations::new(), None),
        };
        let native = *self.native.borrow();
        let answer = request.answer(annotations, native, &self.policy, told);
        self.metrics.reviewed(answer.label, started.elapsed());
        log(&request, &answer);
        fresh("application/json", answer.body)
    }

    /// The namespace's annotations over the platform's, and what to say if they are not known.
    async fn around(&self, namespace: &str) -> (Annotations, Option<String>) {
        let mut annotations = self.annotations.clone();
        let (found, failure) = match self.namespaces.annotations(namespace).await {
            Found::Fresh(found) => (Some(found), None),
            Found::Stale(found, reason) => {
                let told = format!(
                    "the annotations of namespace {namespace} are those of before, for they cannot be read: {reason}"
                );
                (Some(found), Some(("stale", told)))
            }
            Found::Unknown(reason) => {
                let told = format!(
                    "the annotations of namespace {namespace} are left out, for they cannot be read: {reason}"
                );
                (None, Some(("unknown", told)))
            }
        };
        for (name, text) in found.iter().flat_map(|found| found.iter()) {
            annotations.insert(name.clone(), text.clone());
        }
        let told = failure.map(|(result, told)| {
            let label = Namespace { result };
            self.metrics.namespace_failures.get_or_create(&label).inc();
            told
        });
        (annotations, told)
    }
}

/// Whether a body is said to be JSON; parameters such as `charset` change nothing (RFC 8259, section 11).
fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(CONTENT_TYPE);
    let said = said.and_then(|said| said.to_str().ok()).unwrap_or_default();
    let essence = said.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn log(request: &review::Request, answer: &Answer) {
    let pod = request.object();
    let Review { outcome, reason } = answer.label;
    let dry_run = request.is_dry_run();
    for warning in &answer.warnings {
        warn!(pod, dry_run, warning, "whoever creates the pod is warned");
    }
    match (&answer.denial, outcome, reason) {
        (Some(denial), ..) => info!(pod, dry_run, reason = denial, "a pod is denied"),
        // Most pods of a namespace that is labelled may ask for nothing.
        (_, "unchanged", _) | (_, _, "nothing-asked") => {
            debug!(pod, dry_run, outcome, reason, "a pod stays as it is");
        }
        (_, "injected", _) => info!(pod, dry_run, "a pod gets its sidecar"),
        _ => info!(pod, dry_run, outcome, reason, "a pod gets no sidecar"),
    }
}

// === impl Admin ===

impl Handler for Admin {
    async fn handle(&self, request: Request<Incoming>, _: &Peer) -> Response<Body> {
        let reads = request.method() == Method::GET || request.method() == Method::HEAD;
        let mut answer = match request.uri().path() {
            "/-/live" | "/-/ready" | "/-/metrics" if !reads => read_only(),
            "/-/live" => health::live(),
            "/-/ready" => health::ready(&self.readiness),
            "/-/metrics" => self.metrics(),
            _ => problem(
                StatusCode::NOT_FOUND,
                "attache webhook serves nothing here: read /-/live, /-/ready or /-/metrics",
            ),
        };
        if RequestBody::new(request.into_body()).is_unread() {
            server::close(answer.headers_mut());
        }
        answer
    }
}

impl Admin {
    fn metrics(&self) -> Response<Body> {
        if let Some(expires) = self.status.not_after() {
            let expires = expires.as_duration().as_secs_f64();
            self.metrics
                .certificate_expiry
                .get_or_create(&[])
                .set(expires);
        }
        health::metrics(self.metrics.encode())
    }
}

#[cfg(test)]
mod tests;
