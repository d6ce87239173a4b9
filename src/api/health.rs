//! `/-/live`, `/-/ready` and `/-/metrics`: for the kubelet and for Prometheus.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

use super::{Answer, Api, fresh};
use crate::metrics::{self, Scope};
use crate::readiness::Readiness;
use crate::store::Contact;

#[derive(Serialize)]
struct Ready {
    ready: bool,
    pending: Vec<Arc<str>>,
}

/// A scope's gauges, or those of all on-demand scopes together.
#[derive(Default)]
struct Gauges {
    lost: bool,
    age: f64,
    objects: usize,
    bytes: usize,
}

/// Answers `/-/live`: whoever answers is alive.
#[must_use]
pub fn live() -> Answer {
    fresh("text/plain; charset=utf-8", "ok\n")
}

/// Answers `/-/ready`: 200, or 503 with the names of what is waited for.
#[must_use]
pub fn ready(readiness: &Readiness) -> Answer {
    let pending = readiness.check().err();
    let ready = Ready {
        ready: pending.is_none(),
        pending: pending.unwrap_or_default(),
    };
    // A struct of strings always serializes.
    let mut body = serde_json::to_vec(&ready).unwrap_or_default();
    body.push(b'\n');
    let mut answer = fresh("application/json", body);
    if !ready.ready {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    answer
}

/// Answers `/-/metrics` with OpenMetrics text.
#[must_use]
pub fn metrics(text: String) -> Answer {
    fresh(metrics::CONTENT_TYPE, text)
}

// === impl Api ===

impl Api {
    /// Answers `/-/live`: whoever answers is alive.
    #[must_use]
    pub fn live(&self) -> Answer {
        live()
    }

    /// Answers `/-/ready`: 200, or 503 with the names of what is waited for.
    #[must_use]
    pub fn ready(&self) -> Answer {
        ready(&self.readiness)
    }

    /// Answers `/-/metrics`, the scopes' gauges taken from the newest snapshot.
    #[must_use]
    pub fn metrics(&self) -> Answer {
        self.update_scopes();
        if let Some(silence) = &self.silence {
            let seconds = silence().as_secs_f64();
            self.metrics.upstream_silence.set(seconds);
        }
        metrics(self.metrics.encode())
    }

    fn update_scopes(&self) {
        let snapshot = self.reader.snapshot();
        let discovered = self.discovered();
        let discovered = discovered.iter().flat_map(|snapshot| snapshot.scopes());
        let m = &self.metrics;
        // Scopes come and go: what is not set again below must not stay.
        m.scope_live.clear();
        m.scope_age.clear();
        m.scope_objects.clear();
        m.scope_bytes.clear();
        let mut on_demand: Option<Gauges> = None;
        for scope in snapshot.scopes().iter().chain(discovered) {
            if scope.spec().on_demand {
                on_demand.get_or_insert_default().add(scope);
            } else {
                let mut gauges = Gauges::default();
                gauges.add(scope);
                self.set(&scope.spec().name, &gauges);
            }
        }
        if let Some(gauges) = on_demand {
            self.set(metrics::ON_DEMAND, &gauges);
        }
    }

    fn set(&self, scope: &str, gauges: &Gauges) {
        let label = Scope {
            scope: scope.to_owned(),
        };
        let m = &self.metrics;
        m.scope_live
            .get_or_create(&label)
            .set(i64::from(!gauges.lost));
        m.scope_age.get_or_create(&label).set(gauges.age);
        m.scope_objects
            .get_or_create(&label)
            .set(i64::try_from(gauges.objects).unwrap_or(i64::MAX));
        m.scope_bytes
            .get_or_create(&label)
            .set(i64::try_from(gauges.bytes).unwrap_or(i64::MAX));
    }
}

impl Gauges {
    fn add(&mut self, scope: &crate::store::Scope) {
        self.lost |= !matches!(scope.contact(), Contact::Live);
        let age = scope.contact().age().unwrap_or_default();
        self.age = self.age.max(age.as_secs_f64());
        self.objects += scope.objects().len();
        self.bytes += super::bytes_held(scope);
    }
}
