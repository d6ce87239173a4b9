//! A client that is made once for all who ask for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::UpstreamError;

/// What may end by itself.
pub(super) trait Lasting {
    /// Whether it can still be used; asked each time that it is.
    fn lasts(&self) -> bool;
}

/// Holds a client, once someone has asked for it.
pub(super) struct Slot<T> {
    stage: Mutex<Stage<T>>,
}

enum Stage<T> {
    Empty,
    Making(watch::Receiver<Option<Result<T, UpstreamError>>>),
    Made(T),
}

// === impl Slot ===

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            stage: Mutex::new(Stage::Empty),
        }
    }
}

impl<T: Lasting + Clone + Send + Sync + 'static> Slot<T> {
    /// The client. The first who asks has it made, and whoever asks when its time is over; who asks meanwhile gets what comes of that. It
    /// is made in a task of its own, which goes on when they leave: an exec plugin that is slower
    /// than they are patient has its answer kept for the next.
    pub(super) async fn get(
        self: &Arc<Self>,
        make: impl FnOnce() -> Result<T, UpstreamError> + Send + 'static,
    ) -> Result<T, UpstreamError> {
        let mut made = {
            let mut stage = self.lock();
            match &*stage {
                Stage::Made(client) if client.lasts() => return Ok(client.clone()),
                Stage::Making(made) => made.clone(),
                Stage::Empty | Stage::Made(_) => {
                    let (tell, made) = watch::channel(None);
                    *stage = Stage::Making(made.clone());
                    let slot = Arc::clone(self);
                    // Its end is seen by those who wait for it, whatever it is.
                    tokio::spawn(async move { slot.fill(make, &tell).await });
                    made
                }
            }
        };
        let made = made.wait_for(Option::is_some).await;
        made.ok()
            .and_then(|made| made.clone())
            .unwrap_or(Err(UpstreamError::Stopping))
    }

    async fn fill(
        &self,
        make: impl FnOnce() -> Result<T, UpstreamError> + Send + 'static,
        tell: &watch::Sender<Option<Result<T, UpstreamError>>>,
    ) {
        // Off the runtime's thread, for exec plugins block.
        let made = tokio::task::spawn_blocking(make).await;
        let made = made.unwrap_or(Err(UpstreamError::Stopping));
        *self.lock() = match &made {
            Ok(client) => Stage::Made(client.clone()),
            // The next who asks has it tried again.
            Err(_) => Stage::Empty,
        };
        tell.send_replace(Some(made));
    }

    fn lock(&self) -> MutexGuard<'_, Stage<T>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
