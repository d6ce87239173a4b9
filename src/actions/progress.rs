//! What an action has done so far of something that takes long.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// Writes progress where it outlives attache.
pub type Save =
    Arc<dyn Fn(Option<Value>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// How far one rule's action is, in the action's own words: kept from one attempt to the next, and
/// with a state directory over a restart of attache. Empty again once the action has succeeded.
#[derive(Clone, Default)]
pub struct Progress {
    value: Arc<Mutex<Option<Value>>>,
    save: Option<Save>,
}

// === impl Progress ===

impl Progress {
    /// Starts with `value`; what is set is given to `save`.
    #[must_use]
    pub fn new(value: Option<Value>, save: Option<Save>) -> Self {
        Self {
            value: Arc::new(Mutex::new(value)),
            save,
        }
    }

    /// What was set last.
    #[must_use]
    pub fn get(&self) -> Option<Value> {
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        value.clone()
    }

    /// Sets the progress, and returns once it is kept.
    pub async fn set(&self, value: Option<Value>) {
        {
            let mut held = self.value.lock().unwrap_or_else(PoisonError::into_inner);
            held.clone_from(&value);
        }
        if let Some(save) = &self.save {
            save(value).await;
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Progress").field(&self.get()).finish()
    }
}
