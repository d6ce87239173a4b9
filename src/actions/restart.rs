//! The `restart` actions: what only reads its configuration when it starts, is started again.
//!
//! `rollout` marks a workload's pod template with the hash of the content, and the
//! workload's controller does the rest; `pod` has the pod that attache runs in evicted; `pods`
//! restarts pods one after the other. Each is safe to be done by several attaches at once.

mod api;
mod evict;
mod objects;
mod plan;
mod pods;
mod process;
mod rollout;
mod select;
mod written;

use std::time::Duration;

use serde_json::Value;

use super::{Change, ChangedObject, Outcome, Progress, Tools};
use crate::config::RestartAction;
use crate::process::StopError;
use crate::upstream::Upstream;
use api::Api;
pub use api::ApiError;

/// Why something was not restarted.
#[derive(Debug, thiserror::Error)]
pub enum RestartError {
    /// There is no API server.
    #[error("a restart needs the API server, and this attache has none: name a kubeconfig")]
    NoApiServer,
    /// The API server did not do what it was asked.
    #[error("{error}")]
    Api {
        /// What it said.
        error: ApiError,
        /// Whether something was restarted all the same, or may have been.
        reached: bool,
    },
    /// The pod that attache runs in is not there under the name that attache has.
    #[error(
        "there is no pod {namespace}/{name}: attache takes its own pod's name from --pod-name, POD_NAME \
         or the host name, and its namespace from POD_NAMESPACE or the service account; set POD_NAME \
         from the field metadata.name, and POD_NAMESPACE from metadata.namespace"
    )]
    NoPod {
        /// The namespace of attache.
        namespace: String,
        /// The name that it takes for its pod's.
        name: String,
    },
    /// The pod belongs to nothing that rolls out.
    #[error(
        "{pod} belongs to {owner}, which has no rollout: name a workload (rollout: deployment/NAME), \
         or use restart: pod"
    )]
    NoWorkload {
        /// The pod.
        pod: String,
        /// What it belongs to, or nothing.
        owner: String,
    },
    /// Nobody would make the pod anew.
    #[error("{pod} has no controller that would bring it back: attache does not restart it")]
    Orphan {
        /// The pod.
        pod: String,
    },
    /// The workload changed each time between reading and patching.
    #[error("{workload} changes too often to be patched; it is tried again")]
    Busy {
        /// The workload.
        workload: String,
    },
    /// No PodDisruptionBudget is for the pod.
    #[error(
        "no PodDisruptionBudget covers {pod}, so that nothing keeps all replicas from restarting \
         at once: create one, or set requireBudget: false"
    )]
    NoBudget {
        /// The pod.
        pod: String,
    },
    /// A PodDisruptionBudget did not allow it in time.
    #[error(
        "{pod} may not be evicted, for {timeout:?} now ({message}): see that the other pods of its \
         PodDisruptionBudget are Ready, or give it a longer timeout"
    )]
    NotAllowed {
        /// The pod.
        pod: String,
        /// The rule's timeout.
        timeout: Duration,
        /// The API server's words.
        message: String,
        /// Whether other pods were restarted.
        reached: bool,
    },
    /// Too many pods are away for the next one to be restarted, or the last ones are not back.
    #[error(
        "after {timeout:?}, {away}; {left} of {total} pods are still to be restarted: {advice}"
    )]
    NotBack {
        /// The rule's timeout.
        timeout: Duration,
        /// Which pods are not Ready, or how many are missing.
        away: String,
        /// How many pods are left.
        left: usize,
        /// Of how many.
        total: usize,
        /// What to do.
        advice: String,
        /// Whether pods were restarted.
        reached: bool,
    },
    /// A process was not ended.
    #[error(transparent)]
    Process(#[from] StopError),
}

// === impl RestartError ===

impl RestartError {
    /// Whether something was restarted all the same, or may have been.
    #[must_use]
    pub fn may_have_reached(&self) -> bool {
        match self {
            Self::Api { reached, .. }
            | Self::NotAllowed { reached, .. }
            | Self::NotBack { reached, .. } => *reached,
            Self::NoApiServer
            | Self::NoPod { .. }
            | Self::NoWorkload { .. }
            | Self::Orphan { .. }
            | Self::Busy { .. }
            | Self::NoBudget { .. } => false,
            Self::Process(error) => error.may_have_reached(),
        }
    }

    /// The same, where besides something may have been restarted.
    fn and_reached(mut self, besides: bool) -> Self {
        if let Self::Api { reached, .. }
        | Self::NotAllowed { reached, .. }
        | Self::NotBack { reached, .. } = &mut self
        {
            *reached |= besides;
        }
        self
    }
}

impl From<ApiError> for RestartError {
    fn from(error: ApiError) -> Self {
        Self::Api {
            error,
            reached: false,
        }
    }
}

/// The pods that exist when the change comes, for `restart: {pods: …}`; `None` if that is none of
/// the action's business, or cannot be known now.
pub async fn notice(action: &RestartAction, change: &Change, tools: &Tools) -> Option<Value> {
    let RestartAction::Pods { which, .. } = action else {
        return None;
    };
    let api = api(tools).ok()?;
    let noticed = pods::notice(&api, which, change).await;
    noticed.unwrap_or_else(|error| {
        tracing::warn!(
            %error,
            "the pods to restart cannot be listed now; attache lists them when it restarts them"
        );
        None
    })
}

/// Restarts once.
///
/// # Errors
/// [`RestartError`]
pub async fn run(
    action: &RestartAction,
    change: &Change,
    tools: &Tools,
    progress: &Progress,
) -> Result<Outcome, RestartError> {
    match action {
        RestartAction::Process { target, grace } => {
            Ok(process::run(target, *grace, change, progress).await?)
        }
        RestartAction::Pod {
            require_budget,
            timeout,
        } => evict::own_pod(&api(tools)?, tools, change, *require_budget, *timeout).await,
        RestartAction::Rollout { workload } => {
            rollout::run(&api(tools)?, tools, change, workload.as_ref()).await
        }
        RestartAction::Pods {
            which,
            max_unavailable,
            evict,
            timeout,
        } => {
            let pace = pods::Pace {
                max_unavailable: usize::try_from(*max_unavailable).unwrap_or(usize::MAX),
                evict: *evict,
                timeout: *timeout,
            };
            pods::run(&api(tools)?, which, change, pace, progress).await
        }
    }
}

fn api(tools: &Tools) -> Result<Api, RestartError> {
    let upstream: Option<&Upstream> = tools.upstream.as_ref();
    upstream.map(Api::new).ok_or(RestartError::NoApiServer)
}
