//! Watches share HTTP/2 connections; a lease is one watch's place on one of them.

use std::sync::Arc;

use super::client::{Client, Identity};
use super::connection::HttpVersions;
use super::slot::Slot;
use super::{State, Upstream, UpstreamError};

/// Watches that share one connection. API servers since 1.29 allow 100 concurrent streams.
pub const WATCHES_PER_CONNECTION: usize = 64;

#[derive(Default)]
pub(super) struct Connection {
    pub(super) leases: usize,
    pub(super) client: Arc<Slot<Client>>,
}

/// One watch's place on a connection, free again when dropped.
pub struct Lease {
    upstream: Upstream,
    pub(super) connection: usize,
}

// === impl Upstream ===

impl Upstream {
    /// A place for one watch on the first connection that has room.
    #[must_use]
    pub fn lease(&self) -> Lease {
        let mut state = self.lock();
        let free = state
            .connections
            .iter()
            .position(|c| c.leases < WATCHES_PER_CONNECTION);
        let connection = free.unwrap_or_else(|| {
            state.connections.push(Connection::default());
            state.connections.len() - 1
        });
        state.connections[connection].leases += 1;
        Lease {
            upstream: self.clone(),
            connection,
        }
    }
}

// === impl Lease ===

impl Lease {
    /// The client to use now; asked again before each request, as credentials change.
    ///
    /// # Errors
    /// [`UpstreamError`] when the credentials make no client.
    pub async fn client(&self) -> Result<Client, UpstreamError> {
        let heard = self.upstream.shared.heard.clone();
        let slot = |state: &State| Arc::clone(&state.connections[self.connection].client);
        self.upstream
            .client(slot, heard, HttpVersions::All, Identity::Own)
            .await
    }

    /// The upstream the place is on.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.upstream.lock();
        if let Some(connection) = state.connections.get_mut(self.connection) {
            connection.leases -= 1;
            if connection.leases == 0 {
                // Lets an idle connection close.
                connection.client = Arc::default();
            }
        }
    }
}
