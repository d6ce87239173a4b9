//! `restart: {process: …}`: ends processes, which whoever started them starts again; in a pod that is
//! the kubelet, unless the container's `restartPolicy` forbids it.

use std::time::Duration;

use crate::actions::{Change, Outcome};
use crate::config::ProcessMatch;
use crate::process::{StopError, names, stop};

/// Ends every process that `target` matches and that may have read older content.
///
/// # Errors
/// [`StopError`]: the first, after all other processes have ended.
pub(super) async fn run(
    target: &ProcessMatch,
    grace: Duration,
    change: &Change,
) -> Result<Outcome, StopError> {
    let report = stop(target, change.since, grace).await?;
    let current = || format!("{} started with the new content", names(&report.current));
    let mut parts = Vec::new();
    if !report.ended.is_empty() {
        parts.push(format!("{} ended upon SIGTERM", names(&report.ended)));
    }
    if !report.killed.is_empty() {
        parts.push(format!(
            "{} had to be killed after {grace:?}",
            names(&report.killed)
        ));
    }
    if parts.is_empty() {
        return Ok(Outcome::Skipped(current()));
    }
    if !report.current.is_empty() {
        parts.push(current());
    }
    Ok(Outcome::Done(parts.join("; ")))
}
