//! One task that keeps the webhook's certificate and caBundle current.

mod status;

use std::sync::Arc;

use rustls::ServerConfig;
use tokio::sync::watch;

use super::certificates::Serving;
use crate::config;
use crate::shutdown::Shutdown;
use crate::upstream::Lease;

pub(super) use status::Status;

/// Polls Secret (or directory) and configuration, swaps the certificate, tells readiness.
pub(super) struct Keeper<A = Lease> {
    api: A,
    serving: Arc<Serving>,
    status: Status,
    ready: watch::Sender<bool>,
}

// === impl Keeper ===

impl Keeper {
    /// Keeps what `config` says, with the Secret in `namespace`.
    pub(super) fn new(config: &config::Webhook, namespace: String, lease: Lease) -> Self {
        let _ = (config, namespace);
        Self {
            api: lease,
            serving: Arc::default(),
            status: Status::default(),
            ready: watch::Sender::new(false),
        }
    }
}

impl<A> Keeper<A> {
    /// What the TLS listener needs. Handshakes fail until there is a certificate.
    pub(super) fn tls(&self) -> Arc<ServerConfig> {
        self.serving.config()
    }

    /// True once a certificate is served and the API server was told to trust it; it stays so.
    pub(super) fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// For metrics.
    pub(super) fn status(&self) -> Status {
        self.status.clone()
    }

    /// Keeps them current until `stop`.
    pub(super) async fn run(self, mut stop: Shutdown) {
        let _ = &self.api;
        stop.requested().await;
    }
}
