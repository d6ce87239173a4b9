//! Readiness: latched, and it says what it still waits for.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Collects the conditions that must hold once before attache is ready.
#[derive(Clone, Default)]
pub struct Readiness {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    pending: BTreeSet<Arc<str>>,
    sealed: bool,
    latched: bool,
    stopping: bool,
    /// Told when it latches.
    waiting: Arc<Notify>,
}

/// One condition that does not hold yet. Dropping it says that it does.
#[must_use = "dropping the guard says that the condition holds"]
pub struct Pending {
    name: Arc<str>,
    state: Arc<Mutex<State>>,
}

// === impl Readiness ===

impl Readiness {
    /// Adds a condition under a name that a person can act on. Conditions added after
    /// [`Readiness::seal`] and its latching change nothing.
    pub fn pending(&self, name: impl Into<Arc<str>>) -> Pending {
        let name = name.into();
        lock(&self.state).pending.insert(Arc::clone(&name));
        Pending {
            name,
            state: Arc::clone(&self.state),
        }
    }

    /// Says that every condition has been added: ready as soon as none is left.
    pub fn seal(&self) {
        let mut state = lock(&self.state);
        state.sealed = true;
        state.latch();
    }

    /// Says that attache is stopping: never ready again.
    pub fn stopping(&self) {
        lock(&self.state).stopping = true;
    }

    /// Waits until attache is ready for the first time.
    pub async fn ready(&self) {
        let waiting = Arc::clone(&lock(&self.state).waiting);
        loop {
            // Made before it looks, so that no latching in between is missed.
            let latching = waiting.notified();
            if lock(&self.state).latched {
                return;
            }
            latching.await;
        }
    }

    /// `Ok` when ready; else the names of what is waited for, sorted.
    ///
    /// # Errors
    /// The names; one says so when attache is stopping or starting.
    pub fn check(&self) -> Result<(), Vec<Arc<str>>> {
        let state = lock(&self.state);
        if state.stopping {
            return Err(vec!["attache is stopping".into()]);
        }
        if state.latched {
            return Ok(());
        }
        if state.pending.is_empty() {
            return Err(vec!["attache is starting".into()]);
        }
        Err(state.pending.iter().cloned().collect())
    }
}

impl State {
    fn latch(&mut self) {
        if !self.latched && self.sealed && self.pending.is_empty() {
            self.latched = true;
            self.waiting.notify_waiters();
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.pending.remove(&self.name);
        state.latch();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latches_once_everything_held_and_only_stopping_unsets_it() {
        let readiness = Readiness::default();
        let (a, b) = (readiness.pending("a"), readiness.pending("b"));
        drop(a);
        readiness.seal();
        assert_eq!(readiness.check(), Err(vec!["b".into()]));
        drop(b);
        assert_eq!(readiness.check(), Ok(()));
        let _late = readiness.pending("late");
        assert_eq!(readiness.check(), Ok(()));
        readiness.stopping();
        assert!(readiness.check().is_err());
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_once_it_is_ready() {
        let readiness = Readiness::default();
        let pending = readiness.pending("a");
        readiness.seal();
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.ready().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(pending);
        waiting.await.unwrap();
        readiness.ready().await;
    }

    #[test]
    fn is_not_ready_before_it_is_sealed() {
        let readiness = Readiness::default();
        assert!(readiness.check().is_err());
        readiness.seal();
        assert_eq!(readiness.check(), Ok(()));
    }
}
