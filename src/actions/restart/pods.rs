//! `restart: pods`: the pods that existed when the change came, one after the other.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::api::{Api, ApiError, Object, PODS};
use super::evict::{Refusal, pause};
use super::objects::{OwnerReference, Pod};
use super::plan::{Plan, wanted};
use super::select::{Group, Next, controllers, live};
use super::{Change, Outcome, Progress, RestartError};
use crate::config::WhichPods;

/// How often the pods are listed while some are awaited: at first, and in the end.
const POLL: Duration = Duration::from_secs(1);
const POLL_SLOW: Duration = Duration::from_secs(5);

/// How pods are restarted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) max_unavailable: usize,
    pub(super) evict: bool,
    pub(super) timeout: Duration,
}

/// The plan for `change`, as the pods are now; `None` if no pods are named.
pub(super) async fn notice(
    api: &Api,
    which: &WhichPods,
    change: &Change,
) -> Result<Option<Value>, ApiError> {
    let mut plan = Plan::new(change);
    let (grown, listed) = plan.complete(api, which, change).await;
    if !grown {
        return listed.map(|()| None);
    }
    if let Err(error) = listed {
        tracing::warn!(%error, "some of the pods to restart cannot be listed now; attache lists them when it restarts them");
    }
    Ok(serde_json::to_value(plan).ok())
}

/// Restarts what the plan in `progress` says, and what else there is to restart now.
pub(super) async fn run(
    api: &Api,
    which: &WhichPods,
    change: &Change,
    pace: Pace,
    progress: &Progress,
) -> Result<Outcome, RestartError> {
    let kept = progress.get();
    let kept = kept.and_then(|kept| serde_json::from_value::<Plan>(kept).ok());
    let kept = kept.filter(|plan| plan.content == change.content_hash);
    let mut plan = kept.unwrap_or_else(|| Plan::new(change));
    let (grown, listed) = plan.complete(api, which, change).await;
    if grown {
        progress.set(serde_json::to_value(&plan).ok()).await;
    }
    let mut tally = Tally::default();
    let mut walked = listed.map_err(RestartError::from);
    for group in &plan.groups {
        // Pods that cannot be restarted, or do not come back, are no reason to leave others as they are.
        if let Err(error) = Walk::new(api, group, pace, &mut tally).run().await {
            let Group {
                namespace,
                selector,
                ..
            } = group;
            tracing::warn!(namespace, selector, %error, "not all of these pods were restarted; attache goes on with others");
            walked = walked.and(Err(error));
        }
    }
    walked.map_err(|error| error.and_reached(tally.reached()))?;
    if plan.is_empty() {
        return Ok(Outcome::Skipped("no annotation names pods".into()));
    }
    Ok(outcome(&plan, &tally))
}

fn outcome(plan: &Plan, tally: &Tally) -> Outcome {
    let total: usize = plan.groups.iter().map(|group| group.pods.len()).sum();
    let orphans: Vec<&str> = plan
        .groups
        .iter()
        .flat_map(|group| &group.orphans)
        .map(|n| &**n)
        .collect();
    let mut aside = match &*orphans {
        [] => String::new(),
        names => format!(
            "; left alone, as no controller would bring them back: {}",
            names.join(", ")
        ),
    };
    for (namespace, selector) in &plan.unusable {
        aside.push_str(&format!(
            "; the annotation {selector:?} in {namespace} is no label selector: correct it"
        ));
    }
    let done = tally.restarted;
    if done > 0 {
        let others = match total.saturating_sub(done) {
            0 => String::new(),
            others => format!(", {others} went by themselves or by another attache"),
        };
        return Outcome::Done(format!("restarted {done} of {total} pods{others}{aside}"));
    }
    Outcome::Skipped(if total == 0 {
        format!("no pod is older than the content{aside}")
    } else {
        format!("all {total} pods that were older than the content are gone already{aside}")
    })
}

/// What was done so far.
#[derive(Debug, Default)]
struct Tally {
    restarted: usize,
    /// Whether a request may have restarted something without saying so.
    unsure: bool,
}

// === impl Tally ===

impl Tally {
    fn reached(&self) -> bool {
        self.restarted > 0 || self.unsure
    }
}

/// Restarts the pods of one group.
struct Walk<'a> {
    api: &'a Api,
    group: &'a Group,
    pace: Pace,
    tally: &'a mut Tally,
    controllers: BTreeSet<OwnerReference>,
    /// Until when the next step must have been made.
    deadline: Instant,
    poll: Duration,
    /// How many pods were left when last seen.
    left: usize,
    /// Why the next pod may not be evicted.
    refusal: Refusal,
    /// Whether it was told what is waited for.
    told: bool,
}

// === impl Walk ===

impl<'a> Walk<'a> {
    fn new(api: &'a Api, group: &'a Group, pace: Pace, tally: &'a mut Tally) -> Self {
        Self {
            api,
            group,
            pace,
            tally,
            controllers: group.controllers.clone(),
            deadline: Instant::now() + pace.timeout,
            poll: POLL,
            left: group.pods.len(),
            refusal: Refusal::default(),
            told: false,
        }
    }

    async fn run(mut self) -> Result<(), RestartError> {
        loop {
            let pods = match self
                .api
                .pods(&self.group.namespace, &self.group.selector)
                .await
            {
                Ok(pods) => pods,
                Err(error) => {
                    self.endure(error).await?;
                    continue;
                }
            };
            let expected = self.expected(&pods).await;
            match self.group.next(&pods, expected, self.pace.max_unavailable) {
                Next::Done => return Ok(()),
                Next::Restart(pod) => self.restart(pod).await?,
                Next::Wait {
                    unready,
                    missing,
                    left,
                } => {
                    if left < self.left {
                        // Another attache goes on.
                        self.left = left;
                        self.advance();
                    }
                    if Instant::now() >= self.deadline {
                        return Err(self.not_back(&unready, missing, left));
                    }
                    self.tell(&unready, missing, left);
                    self.rest().await;
                }
            }
        }
    }

    /// Logs what is waited for, once, where replacements do not come soon.
    fn tell(&mut self, unready: &[&str], missing: usize, left: usize) {
        if self.told || self.poll < POLL_SLOW {
            return;
        }
        self.told = true;
        tracing::warn!(
            namespace = self.group.namespace,
            selector = self.group.selector,
            away = self.away(unready, missing),
            left,
            "pods are away; attache waits until they are Ready, {:?} at most",
            self.pace.timeout
        );
    }

    /// How many pods there should be: as many as there were, unless the workloads were scaled.
    async fn expected(&mut self, pods: &[Pod]) -> usize {
        self.controllers.extend(controllers(pods));
        if live(pods).count() == self.group.expected {
            return self.group.expected;
        }
        let wanted = wanted(self.api, &self.group.namespace, &self.controllers).await;
        wanted.unwrap_or(self.group.expected)
    }

    async fn restart(&mut self, pod: &Pod) -> Result<(), RestartError> {
        let (namespace, name) = (&*self.group.namespace, &*pod.metadata.name);
        let preconditions = json!({
            "uid": pod.metadata.uid,
            "resourceVersion": pod.metadata.resource_version,
        });
        let object = Object {
            resource: PODS,
            namespace,
            name,
        };
        let asked = if self.pace.evict {
            self.api.evict(namespace, name, &preconditions).await
        } else {
            self.api.delete(object, &preconditions).await
        };
        match asked {
            Ok(()) => {
                tracing::info!(
                    pod = format!("{namespace}/{name}"),
                    uid = pod.metadata.uid,
                    "restarted the pod; the next one follows when not too many are away"
                );
                self.tally.restarted += 1;
                self.left = self.left.saturating_sub(1);
                self.advance();
                Ok(())
            }
            // Another attache was first, or the pod is not as it was listed.
            Err(ApiError::NotFound { known: true, .. } | ApiError::Conflict { .. })
                if Instant::now() < self.deadline =>
            {
                sleep(Duration::from_millis(fastrand::u64(50..250))).await;
                Ok(())
            }
            Err(error @ ApiError::TooMany { .. }) if Instant::now() < self.deadline => {
                let (wait, message) = pause(error);
                let shown = format!("Pod {namespace}/{name}");
                self.refusal.tell(&shown, message, wait, self.pace.timeout);
                self.sleep(wait).await;
                Ok(())
            }
            Err(error) => {
                self.tally.unsure |= error.may_have_reached();
                self.endure(error).await
            }
        }
    }

    /// Waits if asking again may help, and there is time.
    async fn endure(&mut self, error: ApiError) -> Result<(), RestartError> {
        if error.is_transient() && Instant::now() < self.deadline {
            tracing::warn!(%error, "restarting pods is held up; attache tries again");
            match error {
                ApiError::TooMany {
                    retry_after: Some(_),
                    ..
                } => self.sleep(pause(error).0).await,
                _ => self.rest().await,
            }
            return Ok(());
        }
        let reached = self.tally.reached();
        Err(
            match (std::mem::take(&mut self.refusal).into_pod(), error) {
                (Some(pod), ApiError::TooMany { message, .. }) => RestartError::NotAllowed {
                    pod,
                    timeout: self.pace.timeout,
                    message,
                    reached,
                },
                (_, error) => RestartError::Api { error, reached },
            },
        )
    }

    /// A step was made: the next one has its own time.
    fn advance(&mut self) {
        self.deadline = Instant::now() + self.pace.timeout;
        self.poll = POLL;
        self.refusal = Refusal::default();
        self.told = false;
    }

    async fn rest(&mut self) {
        // Not all attaches list at the same moments.
        let jittered = self.poll.mul_f64(0.75 + fastrand::f64() / 2.0);
        self.sleep(jittered).await;
        self.poll = self.poll.mul_f64(1.25).min(POLL_SLOW);
    }

    /// Waits, no longer than there is time.
    async fn sleep(&self, wait: Duration) {
        let rest = self.deadline.saturating_duration_since(Instant::now());
        sleep(wait.min(rest)).await;
    }

    /// What is waited for, in words.
    fn away(&self, unready: &[&str], missing: usize) -> String {
        let mut away = Vec::new();
        if !unready.is_empty() {
            away.push(format!("not Ready: {}", unready.join(", ")));
        }
        if missing > 0 {
            away.push(format!(
                "missing: {missing} of {} that match {}",
                self.group.expected, self.group.selector
            ));
        }
        away.join("; ")
    }

    fn not_back(&self, unready: &[&str], missing: usize, left: usize) -> RestartError {
        let mut advice = "see why they are not Ready; the next attempt goes on".to_owned();
        if missing > 0 {
            advice.push_str(
                "; if the workload was scaled down, grant attache the verb get on replicasets, \
                 statefulsets and daemonsets (API group \"apps\"), so that it sees that",
            );
        }
        RestartError::NotBack {
            timeout: self.pace.timeout,
            away: self.away(unready, missing),
            left,
            total: self.group.pods.len(),
            advice,
            reached: self.tally.reached(),
        }
    }
}

#[cfg(test)]
mod tests;
