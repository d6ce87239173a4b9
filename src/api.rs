//! attache's own endpoints: what it knows, over HTTP. It reads snapshots and demands objects; it
//! knows neither watches nor who writes.
//!
//! Reading order: [`kv`] (objects and their keys), `health` (live, ready, metrics), `status`
//! (all of it for a person), [`problem`] (every error).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response};
use http_body_util::Full;

use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::status::Board;
use crate::store::demand::Demander;
use crate::store::{Reader, Scope};

mod health;
pub mod kv;
pub mod problem;
mod status;

/// An answer held whole. For HEAD hyper sends its head alone.
pub type Answer = Response<Full<Bytes>>;

/// What the endpoints read from.
pub struct Api {
    /// The newest snapshot.
    pub reader: Reader,
    /// Asks for ConfigMaps that nobody watches; `None` with `--no-on-demand`.
    pub demander: Option<Demander>,
    /// What `/-/ready` says.
    pub readiness: Readiness,
    /// Changes, actions and problems for `/-/status`.
    pub board: Board,
    /// What `/-/metrics` encodes.
    pub metrics: Metrics,
    /// The default namespace, for `/-/status`.
    pub namespace: Arc<str>,
    /// `--max-bytes`, for `/-/status`.
    pub max_bytes: usize,
    /// When attache started.
    pub started: Instant,
    /// How long the API server has been silent; `None` where there is none.
    pub silence: Option<Silence>,
}

/// Tells how long a source has been silent.
pub type Silence = Box<dyn Fn() -> Duration + Send + Sync>;

/// A 200 that is true only now.
fn fresh(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    answer
}

/// Browsers must not take a value for a page or a script.
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Bytes of keys and values that a scope holds.
fn bytes_held(scope: &Scope) -> usize {
    let objects = scope.objects().values();
    objects.map(|object| object.content().size()).sum()
}
