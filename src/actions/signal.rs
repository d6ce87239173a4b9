//! The `signal` action: tells processes of the pod to read their configuration again.

use super::{Change, Outcome};
use crate::config::SignalAction;
use crate::process::{self, SignalError, names};

/// Signals every process that `action` matches and that may have read older content.
///
/// # Errors
/// [`SignalError`]: the first, after all other processes have had their signal.
pub fn run(action: &SignalAction, change: &Change) -> Result<Outcome, SignalError> {
    let report = process::signal(action, change.since)?;
    let current = names(&report.current);
    if report.sent.is_empty() {
        return Ok(Outcome::Skipped(format!(
            "{current} started with the new content"
        )));
    }
    let mut detail = format!("sent SIG{} to {}", action.signal.name, names(&report.sent));
    if !report.current.is_empty() {
        detail.push_str(&format!("; {current} started with the new content"));
    }
    if !report.foreign.is_empty() {
        let foreign = names(&report.foreign);
        detail.push_str(&format!("; left alone: {foreign}, of another user"));
    }
    Ok(Outcome::Done(detail))
}
