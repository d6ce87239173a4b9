//! `restart: {process: …}`: ends processes, which whoever started them starts again; in a pod that is
//! the kubelet, unless the container's `restartPolicy` forbids it.

use std::time::Duration;

use crate::actions::{Change, Outcome, Progress};
use crate::config::ProcessMatch;
use crate::process::{Instance, Older, StopError, names, stop};

/// Ends every process that `target` matches and that may have read older content. Which these are is
/// kept in `progress`, so that none that was started in their place is ended in a further attempt.
///
/// # Errors
/// [`StopError`]: the first, after all other processes have ended.
pub(super) async fn run(
    target: &ProcessMatch,
    grace: Duration,
    change: &Change,
    progress: &Progress,
) -> Result<Outcome, StopError> {
    let noted = progress.get();
    let noted = noted.and_then(|noted| serde_json::from_value(noted).ok());
    let older = match noted {
        Some(instances) => Older::These(instances),
        None => Older::Than(change.since),
    };
    let note = async |instances: Vec<Instance>| {
        progress.set(serde_json::to_value(instances).ok()).await;
    };
    let report = stop(target, &older, grace, note).await?;
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
