//! What the keeper tells of itself.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;

/// For metrics; cheap to clone, and shared by its clones.
#[derive(Debug, Clone, Default)]
pub(in crate::webhook) struct Status {
    /// How often this replica has written the configuration's caBundle.
    pub(in crate::webhook) bundle_writes: Counter,
    /// How often this replica has written the Secret.
    pub(in crate::webhook) certificate_writes: Counter,
    not_after: Arc<Mutex<Option<Timestamp>>>,
}

// === impl Status ===

impl Status {
    /// Until when the certificate that is served is valid; none if there is none yet, or if it is a
    /// mounted one.
    pub(in crate::webhook) fn not_after(&self) -> Option<Timestamp> {
        *self.lock()
    }

    pub(super) fn set_not_after(&self, not_after: Timestamp) {
        *self.lock() = Some(not_after);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Timestamp>> {
        self.not_after
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
