//! `restart: pod`: the pod that attache runs in asks to be evicted, as a drained node would ask it,
//! so that its PodDisruptionBudget decides when.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::api::{Api, ApiError};
use super::objects::Pod;
use super::rollout;
use super::written::written;
use super::{Change, Outcome, RestartError, Tools};

/// When an eviction that was not allowed is tried again, unless the API server says when. It
/// usually says 10 s, to all pods of a budget at the same time, so that jitter goes on top.
const AGAIN: Duration = Duration::from_secs(5);

/// Has the own pod evicted.
pub(super) async fn own_pod(
    api: &Api,
    tools: &Tools,
    change: &Change,
    require_budget: bool,
    timeout: Duration,
) -> Result<Outcome, RestartError> {
    let deadline = Instant::now() + timeout;
    let pod = rollout::own_pod(api, tools).await?;
    let shown = format!("Pod {}/{}", tools.namespace, pod.metadata.name);
    // Equal seconds tell nothing, and one restart too many is better than one too few.
    let written = written(api, &change.objects).await?;
    if written.is_some() && pod.metadata.creation_timestamp > written {
        return Ok(Outcome::Skipped(format!(
            "{shown} started with the new content"
        )));
    }
    if pod.metadata.controller().is_none() {
        return Err(RestartError::Orphan { pod: shown });
    }
    if require_budget && !is_covered(api, tools, &pod).await? {
        return Err(RestartError::NoBudget { pod: shown });
    }
    let preconditions = json!({"uid": pod.metadata.uid});
    loop {
        let evicted = api
            .evict(&tools.namespace, &pod.metadata.name, &preconditions)
            .await;
        match evicted {
            Ok(()) => return Ok(Outcome::Done(format!("{shown} is being evicted"))),
            // It went by itself, or somebody else was first; another pod may have its name.
            Err(ApiError::NotFound { known: true, .. }) => return Ok(gone(&shown)),
            Err(ApiError::Conflict { .. }) if !is_there(api, tools, &pod).await? => {
                return Ok(gone(&shown));
            }
            Err(error @ (ApiError::TooMany { .. } | ApiError::Conflict { .. })) => {
                let (wait, message) = pause(error);
                if Instant::now() + wait > deadline {
                    return Err(RestartError::NotAllowed {
                        pod: shown,
                        timeout,
                        message,
                        reached: false,
                    });
                }
                tracing::info!(
                    pod = shown,
                    reason = message,
                    "the pod may not be evicted yet; attache asks again in {:.1} s",
                    wait.as_secs_f64()
                );
                sleep(wait).await;
            }
            Err(error) => {
                return Err(RestartError::Api {
                    reached: error.may_have_reached(),
                    error,
                });
            }
        }
    }
}

fn gone(shown: &str) -> Outcome {
    Outcome::Skipped(format!("{shown} is gone already"))
}

/// How long to wait after such a refusal, and its reason.
pub(super) fn pause(error: ApiError) -> (Duration, String) {
    let (base, message) = match error {
        ApiError::TooMany {
            retry_after,
            message,
            ..
        } => (retry_after.unwrap_or(AGAIN), message),
        // The API server met somebody else's write, and means us to try again.
        other => (Duration::ZERO, other.to_string()),
    };
    let jitter = base
        .max(Duration::from_millis(500))
        .mul_f64(fastrand::f64());
    (base + jitter, message)
}

/// Whether the pod is still the one it was.
async fn is_there(api: &Api, tools: &Tools, pod: &Pod) -> Result<bool, RestartError> {
    match rollout::own_pod(api, tools).await {
        Ok(now) => Ok(now.metadata.uid == pod.metadata.uid),
        Err(RestartError::NoPod { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn is_covered(api: &Api, tools: &Tools, pod: &Pod) -> Result<bool, ApiError> {
    let (budgets, empty_is_all) = api.budgets(&tools.namespace).await?;
    Ok(budgets
        .iter()
        .any(|budget| budget.covers(&pod.metadata.labels, empty_is_all)))
}
