//! The other end of a connection: its address, and whether it must still be there.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Who is at the other end of a connection; by default one without an address.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    address: Option<IpAddr>,
    presence: Presence,
}

/// How many exchanges on a connection need its client to be there.
#[derive(Debug, Clone, Default)]
pub(super) struct Presence(Arc<AtomicUsize>);

/// While it is held, a client that closes its side of the connection ends the connection, and
/// with it what is done for the client: without it such a client may still wait for its answer
/// (RFC 9112, section 9.6), and a quiet stream would notice its end only at its next event.
#[derive(Debug)]
pub struct MustStay(Presence);

// === impl Peer ===

impl Peer {
    pub(super) fn new(address: Option<IpAddr>, presence: Presence) -> Self {
        Self { address, presence }
    }

    /// Its IP address; none on a Unix socket.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Ends the connection when its client leaves, as long as the guard is held.
    #[must_use]
    pub fn must_stay(&self) -> MustStay {
        self.presence.0.fetch_add(1, Ordering::Relaxed);
        MustStay(self.presence.clone())
    }
}

// === impl Presence ===

impl Presence {
    pub(super) fn is_needed(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

// === impl MustStay ===

impl Drop for MustStay {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
