//! attache's own endpoints: what it knows, over HTTP. It reads snapshots and demands objects; it
//! knows neither watches nor who writes.
//!
//! Reading order: [`kv`] (objects and their keys), [`discover`] (services and their endpoints),
//! [`push`] (who waits for a change of either), [`writes`], [`health`] (live, ready, metrics), `status`
//! (all of it for a person), `openapi` (all of it for a program), [`problem`] (every error); `fetch` and `held` are what reads share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response};
use http_body_util::{Either, Full};

use crate::http::Body;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::shutdown::Shutdown;
use crate::status::Board;
use crate::store::demand::Demander;
use crate::store::{Reader, Scope};

pub mod body;
pub mod discover;
mod fetch;
pub mod health;
mod held;
pub mod kv;
mod openapi;
pub mod problem;
pub mod push;
pub mod query;
mod status;
pub mod writes;

/// An answer; all but streams are held whole. For HEAD hyper sends its head alone.
pub type Answer = Response<Body>;

/// An answer held whole.
fn whole(body: impl Into<Bytes>) -> Answer {
    Response::new(Either::Left(Full::new(body.into())))
}

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
    /// Services and their endpoints; `None` where there is no API server.
    pub discovery: Option<discover::Discovery>,
    /// Writes ConfigMaps; `None` without `--allow-writes`.
    pub writer: Option<writes::Writer>,
    /// How many may wait for changes at once.
    pub waiting: push::Waiting,
    /// Ends what waits.
    pub drain: Shutdown,
}

// === impl Api ===

impl Api {
    /// The endpoints over a store alone: it is complete, for namespace `default`, and nobody can write.
    /// What else there is, is put in its place.
    #[must_use]
    pub fn over(reader: Reader, drain: Shutdown) -> Self {
        Self {
            reader,
            demander: None,
            readiness: Readiness::default(),
            board: Board::default(),
            metrics: Metrics::new(),
            namespace: "default".into(),
            max_bytes: usize::MAX,
            started: Instant::now(),
            silence: None,
            discovery: None,
            writer: None,
            waiting: push::Waiting::new(1),
            drain,
        }
    }
}

/// Tells how long a source has been silent.
pub type Silence = Box<dyn Fn() -> Duration + Send + Sync>;

/// A 200 that is true only now.
pub fn fresh(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = whole(body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    answer
}

/// Browsers must not take a value for a page or a script.
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Bytes that a scope's objects hold.
fn bytes_held(scope: &Scope) -> usize {
    scope.objects().values().map(|object| object.size()).sum()
}
