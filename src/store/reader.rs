//! How the store is read: the newest snapshot, and the wait for a newer one.

use std::sync::Arc;

use tokio::sync::watch;

use super::snapshot::Snapshot;

/// Reads the newest snapshot, and waits for the next.
#[derive(Clone)]
pub struct Reader {
    receiver: watch::Receiver<Arc<Snapshot>>,
}

// === impl Reader ===

impl Reader {
    pub(super) fn new(receiver: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self { receiver }
    }

    /// The newest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.receiver.borrow())
    }

    /// Waits until a snapshot exists that this reader has not seen through
    /// [`Reader::changed`] yet, and returns it. `None` once all writers are gone.
    pub async fn changed(&mut self) -> Option<Arc<Snapshot>> {
        self.receiver.changed().await.ok()?;
        Some(Arc::clone(&self.receiver.borrow_and_update()))
    }

    /// Waits for a snapshot, the present one included, of which `condition` holds.
    pub async fn wait_for(
        &mut self,
        mut condition: impl FnMut(&Snapshot) -> bool,
    ) -> Option<Arc<Snapshot>> {
        self.receiver
            .wait_for(|snapshot| condition(snapshot))
            .await
            .ok()
            .map(|s| Arc::clone(&s))
    }
}
