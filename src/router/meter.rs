//! How requests are counted: the series of a cached read are looked up once, not per request.

use std::time::Instant;

use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::Route;
use crate::metrics::{self, Metrics};

/// The router's slice of the metrics.
pub(super) struct Meter {
    requests: Family<metrics::Request, Counter>,
    routes: [RouteMeter; Route::ALL.len()],
}

struct RouteMeter {
    ok: Counter,
    not_modified: Counter,
    duration: Histogram,
}

// === impl Meter ===

impl Meter {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let counter = |route: Route, status: StatusCode| {
            let series = labels(route, status);
            metrics.http_requests.get_or_create(&series).clone()
        };
        let duration = |route: Route| {
            let series = metrics::Route {
                route: route.pattern(),
            };
            metrics.http_request_duration.get_or_create(&series).clone()
        };
        Self {
            requests: metrics.http_requests.clone(),
            routes: Route::ALL.map(|route| RouteMeter {
                ok: counter(route, StatusCode::OK),
                not_modified: counter(route, StatusCode::NOT_MODIFIED),
                duration: duration(route),
            }),
        }
    }

    /// A request that no route saw: a foreign host, a head that is too large.
    pub(super) fn refused(&self, status: StatusCode) {
        let series = metrics::Request {
            route: "refused",
            status: status.as_u16(),
        };
        self.requests.get_or_create(&series).inc();
    }

    pub(super) fn answered(&self, route: Route, status: StatusCode, started: Instant) {
        let meter = &self.routes[route as usize];
        match status {
            StatusCode::OK => meter.ok.inc(),
            StatusCode::NOT_MODIFIED => meter.not_modified.inc(),
            _ => self.requests.get_or_create(&labels(route, status)).inc(),
        };
        meter.duration.observe(started.elapsed().as_secs_f64());
    }
}

fn labels(route: Route, status: StatusCode) -> metrics::Request {
    metrics::Request {
        route: route.pattern(),
        status: status.as_u16(),
    }
}
