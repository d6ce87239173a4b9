//! The metrics of `attache webhook`: a registry of its own, as it is no sidecar.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// Labels of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Review {
    /// `injected`, `unchanged`, `skipped`, `denied` or `failed`.
    pub outcome: &'static str,
    /// Why, in one word; empty where the outcome says it all.
    pub reason: &'static str,
}

/// Labels of a look at a namespace's annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Namespace {
    /// `stale` (an earlier answer had to do) or `unknown`.
    pub result: &'static str,
}

/// The labels of a metric that has none.
pub type Unlabelled = [(&'static str, &'static str); 0];

/// Every metric of the webhook, and the registry that encodes them.
#[derive(Clone)]
pub struct WebhookMetrics {
    /// Reviews answered.
    pub reviews: Family<Review, Counter>,
    /// From the request's head to the answer.
    pub review_duration: Histogram,
    /// Reviews for which the API server did not say what the namespace's annotations are.
    pub namespace_failures: Family<Namespace, Counter>,
    /// When the certificate in use expires, in seconds since 1970; absent while that is not known.
    pub certificate_expiry: Family<Unlabelled, Gauge<f64, AtomicU64>>,
    /// 1 while sidecars are native ones (Kubernetes 1.29).
    pub native_sidecars: Gauge,
    /// Connections open.
    pub connections: Gauge,
    /// Connections that could not be accepted.
    pub accept_errors: Counter,
    registry: Arc<Registry>,
}

// === impl WebhookMetrics ===

impl WebhookMetrics {
    /// Makes and registers every metric. What is given is counted elsewhere: writes of the caBundle,
    /// and of the Secret with the certificate.
    #[must_use]
    pub fn new(ca_bundle_writes: Counter, certificate_writes: Counter) -> Self {
        let mut registry = Registry::with_prefix("attache");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The build of attache", build);
        let mut metrics = Self {
            reviews: Family::default(),
            // 64 µs to 2 s, when the API server goes on without an answer.
            review_duration: Histogram::new(exponential_buckets(0.000_064, 2.0, 16)),
            namespace_failures: Family::default(),
            certificate_expiry: Family::default(),
            native_sidecars: Gauge::default(),
            connections: Gauge::default(),
            accept_errors: Counter::default(),
            registry: Arc::default(),
        };
        let webhook = registry.sub_registry_with_prefix("webhook");
        metrics.register(webhook);
        webhook.register(
            "ca_bundle_writes",
            "Writes of the caBundle",
            ca_bundle_writes,
        );
        webhook.register(
            "certificate_writes",
            "Writes of the Secret with CA and certificate",
            certificate_writes,
        );
        metrics.registry = Arc::new(registry);
        metrics
    }

    fn register(&self, r: &mut Registry) {
        r.register("reviews", "Reviews answered", self.reviews.clone());
        r.register_with_unit(
            "review_duration",
            "From a request's head to its answer",
            Unit::Seconds,
            self.review_duration.clone(),
        );
        r.register(
            "namespace_failures",
            "Reviews without a fresh answer about the namespace's annotations",
            self.namespace_failures.clone(),
        );
        r.register_with_unit(
            "certificate_expiry_timestamp",
            "When the certificate in use expires",
            Unit::Seconds,
            self.certificate_expiry.clone(),
        );
        r.register(
            "native_sidecars",
            "1 while sidecars are native ones",
            self.native_sidecars.clone(),
        );
        r.register("connections", "Connections open", self.connections.clone());
        r.register(
            "accept_errors",
            "Connections that could not be accepted",
            self.accept_errors.clone(),
        );
    }

    /// Counts one review.
    pub fn reviewed(&self, review: Review, took: Duration) {
        self.reviews.get_or_create(&review).inc();
        self.review_duration.observe(took.as_secs_f64());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_the_names_that_the_docs_say() {
        let writes = Counter::default();
        let metrics = WebhookMetrics::new(writes.clone(), Counter::default());
        let review = Review {
            outcome: "skipped",
            reason: "host-network",
        };
        metrics.reviewed(review, Duration::from_millis(1));
        writes.inc();
        metrics.certificate_expiry.get_or_create(&[]).set(1.5);
        let text = metrics.encode();
        for line in [
            "attache_webhook_reviews_total{outcome=\"skipped\",reason=\"host-network\"} 1\n",
            "attache_webhook_review_duration_seconds_count 1\n",
            "attache_webhook_certificate_expiry_timestamp_seconds{} 1.5\n",
            "attache_webhook_ca_bundle_writes_total 1\n",
            "attache_build_info{version=",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
