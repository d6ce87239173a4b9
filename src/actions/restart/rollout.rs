//! `restart: rollout`: the workload's pod template gets the content's hash as an annotation.
//!
//! Every replica of the app may have an attache that does this for the same change, and one rollout
//! is to come of it. So what is patched is the same on all of them (no time, no host), and the patch
//! holds the resourceVersion it is based on: the second attache gets a 409, reads again and finds
//! its own hash.
//!
//! An attache whose watch lags must not bring back older content. The workload itself, not its
//! template, notes the newest resourceVersion of the content. All objects of a cluster count their
//! versions together, so that pods of a rollout for version 101 started after version 100 of
//! whatever object was there, and have it: whoever comes with 100, for this rule or for another one,
//! has nothing to do. Only a note from another cluster, that a backup brought, means nothing; it is
//! known by being newer than the workload that it is on.

use std::time::Duration;

use serde_json::json;

use super::api::{Api, ApiError, Object, PODS, Resource};
use super::objects::{Controller, Named, Pod};
use super::{Change, Outcome, RestartError, Tools};
use crate::config::{Workload, WorkloadKind};

/// On the pod template: the hash of the content that its pods start with.
const HASH: &str = "attache.dev/content-hash";
/// On the workload: the highest resourceVersion of that content's objects.
const VERSION: &str = "attache.dev/content-version";

/// How often the workload may change between reading and patching. Each time somebody else has
/// written it: another attache, or its controller its status.
const ATTEMPTS: u32 = 10;

/// `apps/v1` ReplicaSets.
pub(super) const REPLICA_SETS: Resource = apps("replicasets", "ReplicaSet");

/// Marks the workload that is named, or that owns the pod attache runs in.
pub(super) async fn run(
    api: &Api,
    tools: &Tools,
    change: &Change,
    named: Option<&Workload>,
) -> Result<Outcome, RestartError> {
    let workload = match named {
        Some(workload) => workload.clone(),
        None => owner(api, tools).await?,
    };
    let object = Object {
        resource: resource(workload.kind),
        namespace: &tools.namespace,
        name: &workload.name,
    };
    let shown = shown(object);
    for _ in 0..ATTEMPTS {
        let current: Controller = api.get(object).await?;
        if let Some(reason) = needless(&current, change) {
            return Ok(Outcome::Skipped(format!("{shown} {reason}")));
        }
        match api.patch(object, patch(&current, change)).await {
            Ok(()) => return Ok(Outcome::Done(format!("started a rollout of {shown}"))),
            Err(ApiError::Conflict { .. }) => {
                // Those who were refused together do not come back together.
                tokio::time::sleep(Duration::from_millis(fastrand::u64(10..200))).await;
            }
            Err(error) => {
                return Err(RestartError::Api {
                    reached: error.may_have_reached(),
                    error,
                });
            }
        }
    }
    Err(RestartError::Busy { workload: shown })
}

/// Why the workload needs no rollout.
fn needless(current: &Controller, change: &Change) -> Option<&'static str> {
    let template = &current.spec.template.metadata.annotations;
    if template.get(HASH) == Some(&change.content_hash) {
        return Some("has this content already");
    }
    let noted = version(current.metadata.annotations.get(VERSION)?)?;
    let ours = newest(change)?;
    let written = version(&current.metadata.resource_version)?;
    (ours <= noted && noted < written).then_some("has newer content already")
}

/// Versions are numbers since Kubernetes 1.35 by contract, and with etcd have always been.
fn version(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// The highest resourceVersion among the changed objects.
fn newest(change: &Change) -> Option<u64> {
    let versions = change.objects.iter();
    versions
        .filter_map(|object| version(&object.resource_version))
        .max()
}

fn patch(current: &Controller, change: &Change) -> serde_json::Value {
    let mut metadata = json!({"resourceVersion": current.metadata.resource_version});
    if let Some(version) = newest(change) {
        metadata["annotations"] = json!({VERSION: version.to_string()});
    }
    json!({
        "metadata": metadata,
        "spec": {"template": {"metadata": {"annotations": {HASH: change.content_hash}}}},
    })
}

/// The workload that owns the pod attache runs in.
async fn owner(api: &Api, tools: &Tools) -> Result<Workload, RestartError> {
    let own = Object {
        resource: PODS,
        namespace: &tools.namespace,
        name: &tools.pod_name,
    };
    let none = |owner: String| RestartError::NoWorkload {
        pod: shown(own),
        owner,
    };
    let pod: Pod = own_pod(api, tools).await?;
    let Some(owner) = pod.metadata.controller() else {
        return Err(none("nothing".into()));
    };
    let group = owner.api_version.split('/').next();
    let workload = |kind, name: &str| Workload {
        kind,
        name: name.to_owned(),
    };
    match (group, &*owner.kind) {
        (Some("apps"), "StatefulSet") => Ok(workload(WorkloadKind::StatefulSet, &owner.name)),
        (Some("apps"), "DaemonSet") => Ok(workload(WorkloadKind::DaemonSet, &owner.name)),
        (Some("apps"), "ReplicaSet") => {
            let object = Object {
                resource: REPLICA_SETS,
                namespace: &tools.namespace,
                name: &owner.name,
            };
            let set: Named = api.get(object).await?;
            match set.metadata.controller() {
                Some(owner) if owner.kind == "Deployment" => {
                    Ok(workload(WorkloadKind::Deployment, &owner.name))
                }
                Some(other) => Err(none(format!("{} {}", other.kind, other.name))),
                None => Err(none(format!("{}, which no Deployment owns", shown(object)))),
            }
        }
        _ => Err(none(format!("{} {}", owner.kind, owner.name))),
    }
}

/// The pod attache runs in.
pub(super) async fn own_pod(api: &Api, tools: &Tools) -> Result<Pod, RestartError> {
    let object = Object {
        resource: PODS,
        namespace: &tools.namespace,
        name: &tools.pod_name,
    };
    match api.get(object).await {
        Err(ApiError::NotFound { .. }) => Err(RestartError::NoPod {
            namespace: tools.namespace.to_string(),
            name: tools.pod_name.to_string(),
        }),
        pod => Ok(pod?),
    }
}

fn shown(object: Object<'_>) -> String {
    let Object {
        resource,
        namespace,
        name,
    } = object;
    format!("{} {namespace}/{name}", resource.kind)
}

/// A resource of `apps/v1`.
pub(super) const fn apps(plural: &'static str, kind: &'static str) -> Resource {
    Resource {
        group: "apps",
        version: "v1",
        plural,
        kind,
    }
}

fn resource(kind: WorkloadKind) -> Resource {
    match kind {
        WorkloadKind::Deployment => apps("deployments", "Deployment"),
        WorkloadKind::StatefulSet => apps("statefulsets", "StatefulSet"),
        WorkloadKind::DaemonSet => apps("daemonsets", "DaemonSet"),
    }
}
