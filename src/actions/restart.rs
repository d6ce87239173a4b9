//! The `restart` actions.

mod process;

use serde_json::Value;

use super::{Change, Outcome, Progress, Tools};
use crate::config::RestartAction;
use crate::process::StopError;

/// Why something was not restarted.
#[derive(Debug, thiserror::Error)]
pub enum RestartError {
    /// A process was not ended.
    #[error(transparent)]
    Process(#[from] StopError),
    /// Skeleton.
    #[error("restarts are not built yet")]
    Skeleton,
}

// === impl RestartError ===

impl RestartError {
    /// Whether something was restarted all the same.
    #[must_use]
    pub fn may_have_reached(&self) -> bool {
        matches!(self, Self::Process(error) if error.may_have_reached())
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
    action: &RestartAction,
    change: &Change,
    _tools: &Tools,
    _progress: &Progress,
) -> Result<Outcome, RestartError> {
    match action {
        RestartAction::Process { target, grace } => Ok(process::run(target, *grace, change).await?),
        _ => Err(RestartError::Skeleton),
    }
}
