//! Prometheus metrics (OpenMetrics text), with label sets that are bounded by the configuration.

pub mod webhook;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// The content type of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The label that all scopes made on demand share: their names are the clients' choice.
pub const ON_DEMAND: &str = "on-demand";

/// Labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Request {
    /// The route's pattern, never the path.
    pub route: &'static str,
    /// The status code.
    pub status: u16,
}

/// Labels of a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Route {
    /// The route's pattern, never the path.
    pub route: &'static str,
}

/// Labels of a scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Scope {
    /// The scope's name; all scopes made on demand share `on-demand`.
    pub scope: String,
}

/// Labels of an action.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Action {
    /// `signal`, `webhook`, ….
    pub kind: &'static str,
    /// `ok`, `retrying`, `failed` or `skipped`.
    pub result: &'static str,
}

/// Labels of a write of files.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Files {
    /// `written`, `unchanged` or `failed`.
    pub result: &'static str,
}

/// Labels of a write of a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Write {
    /// `ok`, `absent`, `precondition`, `refused` or `failed`.
    pub outcome: &'static str,
}

/// Labels of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// `connect`, `broken`, `timeout` or `credentials`.
    pub reason: &'static str,
}

/// Every metric, and the registry that encodes them.
#[derive(Clone)]
pub struct Metrics {
    /// Requests answered.
    pub http_requests: Family<Request, Counter>,
    /// From the request's head to the response's.
    pub http_request_duration: Family<Route, Histogram, fn() -> Histogram>,
    /// Connections open on the main listener.
    pub http_connections: Gauge,
    /// Connections that could not be accepted.
    pub http_accept_errors: Counter,
    /// Long-polls that wait.
    pub http_long_polls: Gauge,
    /// Event streams open.
    pub http_streams: Gauge,
    /// Events sent on streams.
    pub http_stream_events: Counter,
    /// Proxied requests that the API server gave no answer to.
    pub proxy_errors: Family<Reason, Counter>,
    /// 1 while a scope is in contact with its source.
    pub scope_live: Family<Scope, Gauge>,
    /// Seconds out of contact; 0 while in contact.
    pub scope_age: Family<Scope, Gauge<f64, AtomicU64>>,
    /// Objects held.
    pub scope_objects: Family<Scope, Gauge>,
    /// Bytes of keys and values held.
    pub scope_bytes: Family<Scope, Gauge>,
    /// Watch events received.
    pub watch_events: Family<Scope, Counter>,
    /// Watches begun again after the first.
    pub watch_reconnects: Family<Scope, Counter>,
    /// Complete lists read.
    pub watch_lists: Family<Scope, Counter>,
    /// Seconds since the API server was last heard from on any connection of the watches.
    pub upstream_silence: Gauge<f64, AtomicU64>,
    /// Changes of content seen.
    pub changes: Counter,
    /// Actions run, by kind and result.
    pub actions: Family<Action, Counter>,
    /// Writes of ConfigMaps for clients, by how they ended.
    pub writes: Family<Write, Counter>,
    /// Directories and files written, by result.
    pub files: Family<Files, Counter>,
    /// How long actions took.
    pub action_duration: Histogram,
    registry: Arc<Registry>,
}

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn request_histogram() -> Histogram {
    // 16 µs to 4 s.
    Histogram::new(exponential_buckets(0.000_016, 4.0, 10))
}

impl Metrics {
    /// Makes and registers every metric.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("attache");
        let mut metrics = Self {
            http_requests: Family::default(),
            http_request_duration: Family::new_with_constructor(request_histogram),
            http_connections: Gauge::default(),
            http_accept_errors: Counter::default(),
            http_long_polls: Gauge::default(),
            http_streams: Gauge::default(),
            http_stream_events: Counter::default(),
            proxy_errors: Family::default(),
            scope_live: Family::default(),
            scope_age: Family::default(),
            scope_objects: Family::default(),
            scope_bytes: Family::default(),
            watch_events: Family::default(),
            watch_reconnects: Family::default(),
            watch_lists: Family::default(),
            upstream_silence: Gauge::default(),
            changes: Counter::default(),
            actions: Family::default(),
            writes: Family::default(),
            files: Family::default(),
            action_duration: Histogram::new(exponential_buckets(0.001, 4.0, 8)),
            registry: Arc::default(),
        };
        metrics.register(&mut registry);
        metrics.registry = Arc::new(registry);
        metrics
    }

    fn register(&self, r: &mut Registry) {
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        r.register("build", "The build of attache", build);
        r.register(
            "http_requests",
            "Requests answered",
            self.http_requests.clone(),
        );
        r.register_with_unit(
            "http_request_duration",
            "From the request's head to the response's",
            Unit::Seconds,
            self.http_request_duration.clone(),
        );
        r.register(
            "http_connections",
            "Connections open",
            self.http_connections.clone(),
        );
        r.register(
            "http_accept_errors",
            "Connections that could not be accepted",
            self.http_accept_errors.clone(),
        );
        r.register(
            "http_long_polls",
            "Long-polls that wait",
            self.http_long_polls.clone(),
        );
        r.register(
            "http_streams",
            "Event streams open",
            self.http_streams.clone(),
        );
        r.register(
            "http_stream_events",
            "Events sent on streams",
            self.http_stream_events.clone(),
        );
        r.register(
            "proxy_errors",
            "Proxied requests without an answer of the API server, by reason",
            self.proxy_errors.clone(),
        );
        r.register(
            "writes",
            "Writes of ConfigMaps for clients, by outcome",
            self.writes.clone(),
        );
        self.register_sources(r);
    }

    fn register_sources(&self, r: &mut Registry) {
        r.register(
            "scope_live",
            "1 while in contact with the source",
            self.scope_live.clone(),
        );
        r.register_with_unit(
            "scope_age",
            "Time out of contact with the source",
            Unit::Seconds,
            self.scope_age.clone(),
        );
        r.register("scope_objects", "Objects held", self.scope_objects.clone());
        r.register_with_unit(
            "scope",
            "Content held",
            Unit::Bytes,
            self.scope_bytes.clone(),
        );
        r.register(
            "watch_events",
            "Watch events received",
            self.watch_events.clone(),
        );
        r.register(
            "watch_reconnects",
            "Watches begun again",
            self.watch_reconnects.clone(),
        );
        r.register(
            "watch_lists",
            "Complete lists read",
            self.watch_lists.clone(),
        );
        r.register_with_unit(
            "upstream_silence",
            "Time since the API server was last heard from",
            Unit::Seconds,
            self.upstream_silence.clone(),
        );
        r.register("changes", "Changes of content seen", self.changes.clone());
        r.register("actions", "Actions run", self.actions.clone());
        r.register(
            "files_writes",
            "Directories and files brought up to date",
            self.files.clone(),
        );
        r.register_with_unit(
            "action_duration",
            "How long actions took",
            Unit::Seconds,
            self.action_duration.clone(),
        );
    }

    /// The metrics as OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}
