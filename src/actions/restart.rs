//! The `restart` actions.

use serde_json::Value;

use super::{Change, Outcome, Progress, Tools};
use crate::config::RestartAction;

/// Why something was not restarted.
#[derive(Debug, thiserror::Error)]
pub enum RestartError {
    /// Skeleton.
    #[error("restarts are not built yet")]
    Skeleton,
}

// === impl RestartError ===

impl RestartError {
    /// Whether something was restarted all the same.
    #[must_use]
    pub fn may_have_reached(&self) -> bool {
        false
    }
}

/// The pods that exist when the change comes, for `restart: {pods: …}`.
pub async fn notice(_action: &RestartAction, _change: &Change, _tools: &Tools) -> Option<Value> {
    None
}

/// Restarts once.
///
/// # Errors
/// [`RestartError`]
pub async fn run(
    _action: &RestartAction,
    _change: &Change,
    _tools: &Tools,
    _progress: &Progress,
) -> Result<Outcome, RestartError> {
    Err(RestartError::Skeleton)
}
