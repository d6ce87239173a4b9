//! What goes on where a connection left HTTP.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The extension of a 101 response: work that its connection's task does once HTTP has ended on
/// it, so that a tunnel counts as the connection it is, and ends with it.
///
/// Extensions must be `Clone` and `Sync`, which a future is not: so it is shared, behind a lock,
/// and taken once.
#[derive(Clone)]
pub struct AfterUpgrade(Arc<Mutex<Option<Work>>>);

// === impl AfterUpgrade ===

impl AfterUpgrade {
    /// Does `work`, which may await [`hyper::upgrade::on`] its request.
    pub fn new(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::pin(work)))))
    }

    /// Does the work; nothing the second time.
    pub(super) async fn run(self) {
        let work = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = work {
            work.await;
        }
    }
}
