//! Stopping: one signal that every task can await.

use tokio::sync::watch;

/// Tells tasks to stop; dropping it does, too.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Waits for the [`Trigger`]; cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// Makes a trigger and what waits for it.
#[must_use]
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Tells every holder of the [`Shutdown`] to stop.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Returns once attache is to stop.
    pub async fn requested(&mut self) {
        // An error means that the trigger was dropped, which asks for the same.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether attache is to stop.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}
