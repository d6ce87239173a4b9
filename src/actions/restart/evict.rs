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
    let mut refusal = Refusal::default();
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
                refusal.tell(&shown, message, wait, timeout);
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

/// Why a pod may not be evicted yet; told once, not each time that it is asked.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    /// The pod, as `Pod default/web`, and the reason.
    last: Option<(String, String)>,
}

// === impl Refusal ===

impl Refusal {
    /// Logs it, unless it is the one that was told last. The next request follows after `wait`, and
    /// more of them until `timeout` is over.
    pub(super) fn tell(&mut self, pod: &str, reason: String, wait: Duration, timeout: Duration) {
        let refusal = (pod.to_owned(), reason);
        if self.last.as_ref() == Some(&refusal) {
            return;
        }
        tracing::warn!(
            pod,
            reason = refusal.1,
            "the pod may not be evicted yet; attache asks again in {:.1} s, and so on until {timeout:?} have passed",
            wait.as_secs_f64()
        );
        self.last = Some(refusal);
    }

    /// The pod that was refused, if one was.
    pub(super) fn into_pod(self) -> Option<String> {
        self.last.map(|(pod, _)| pod)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::tests::Log;

    #[test]
    fn a_refusal_is_told_once_for_each_pod_and_reason() {
        let (log, _guard) = Log::start();
        let (wait, timeout) = (Duration::from_millis(7700), Duration::from_secs(600));
        let mut refusal = Refusal::default();
        for (pod, reason) in [
            ("a", "needs 3"),
            ("a", "needs 3"),
            ("a", "needs 2"),
            ("b", "needs 2"),
            ("b", "needs 2"),
        ] {
            refusal.tell(pod, reason.to_owned(), wait, timeout);
        }
        let told = log.events();
        let first = json!({
            "message": "the pod may not be evicted yet; attache asks again in 7.7 s, \
                and so on until 600s have passed",
            "pod": "a", "reason": "needs 3",
        });
        assert_eq!(told[0]["fields"], first);
        assert_eq!(told[0]["level"], "WARN");
        let rest: Vec<_> = told[1..]
            .iter()
            .map(|event| (&event["fields"]["pod"], &event["fields"]["reason"]))
            .collect();
        assert_eq!(
            rest,
            [
                (&json!("a"), &json!("needs 2")),
                (&json!("b"), &json!("needs 2"))
            ]
        );
        assert_eq!(refusal.into_pod().as_deref(), Some("b"));
    }
}
