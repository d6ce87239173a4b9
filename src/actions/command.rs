//! The `command` action.

use super::{Change, Outcome};
use crate::config::CommandAction;
use crate::process::Children;

/// Why a program failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Skeleton.
    #[error("commands are not built yet")]
    Skeleton,
}

// === impl CommandError ===

impl CommandError {
    /// Whether the program may have acted all the same.
    #[must_use]
    pub fn may_have_reached(&self) -> bool {
        false
    }
}

/// Runs the program once.
///
/// # Errors
/// [`CommandError`]
pub async fn run(
    _rule: &str,
    _action: &CommandAction,
    _change: &Change,
    _children: &Children,
) -> Result<Outcome, CommandError> {
    Err(CommandError::Skeleton)
}
