//! Which pods a change restarts, and how many pods there should be.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::api::{Api, ApiError, Object};
use super::objects::{Controller, OwnerReference};
use super::rollout::{REPLICA_SETS, apps};
use super::select::Group;
use super::{Change, ChangedObject, written};
use crate::config::WhichPods;

/// The annotations that name pods to restart; the first of them that is there counts.
const ANNOTATIONS: [&str; 2] = ["attache.dev/restart-pods", "magalix.com/podDeleteMatch"];

/// The pods to restart for one content; kept in state.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// [`Change::content_hash`]: for another content the plan is void.
    pub(super) content: String,
    pub(super) groups: Vec<Group>,
}

/// Lists the pods to restart. The set is the same whoever lists, and whenever: pods older than the
/// newest of the objects that name them.
pub(super) async fn plan(
    api: &Api,
    which: &WhichPods,
    change: &Change,
) -> Result<Option<Plan>, ApiError> {
    let mut groups = Vec::new();
    for ((namespace, selector), objects) in selectors(which, change) {
        let until = written(api, objects).await;
        let pods = api.pods(namespace, selector).await?;
        let mut group = Group::new(namespace, selector, pods, until);
        if let Some(wanted) = wanted(api, namespace, &group.controllers).await {
            group.expected = wanted;
        }
        groups.push(group);
    }
    let content = change.content_hash.clone();
    Ok((!groups.is_empty()).then_some(Plan { content, groups }))
}

/// Which selectors hold in which namespaces, and the objects that say so.
fn selectors<'a>(
    which: &'a WhichPods,
    change: &'a Change,
) -> BTreeMap<(&'a str, &'a str), Vec<&'a ChangedObject>> {
    let mut selectors = BTreeMap::<_, Vec<_>>::new();
    for object in &change.objects {
        let selector = match which {
            WhichPods::Labels(labels) => Some(labels),
            WhichPods::Annotation => ANNOTATIONS
                .iter()
                .find_map(|name| object.annotations.get(*name)),
        };
        // The API takes an empty selector for every pod, which nobody means who writes nothing.
        let selector = selector.map(|text| text.trim());
        if let Some(selector) = selector.filter(|text| !text.is_empty()) {
            let place = (&*object.reference.namespace, selector);
            selectors.entry(place).or_default().push(object);
        }
    }
    selectors
}

/// How many pods these controllers want together; `None` if one of them does not tell, or not to us.
pub(super) async fn wanted(
    api: &Api,
    namespace: &str,
    controllers: &BTreeSet<OwnerReference>,
) -> Option<usize> {
    let mut sum = 0;
    for owner in controllers {
        let group = owner.api_version.split('/').next();
        let resource = match (group, &*owner.kind) {
            (Some("apps"), "ReplicaSet") => REPLICA_SETS,
            (Some("apps"), "StatefulSet") => apps("statefulsets", "StatefulSet"),
            (Some("apps"), "DaemonSet") => apps("daemonsets", "DaemonSet"),
            _ => return None,
        };
        let object = Object {
            resource,
            namespace,
            name: &owner.name,
        };
        let read: Result<Controller, ApiError> = api.get(object).await;
        sum += match read {
            Ok(read) if owner.kind == "DaemonSet" => read.status.desired_number_scheduled?,
            Ok(read) => read.spec.replicas?,
            // Its pods go, and none come.
            Err(ApiError::NotFound { known: true, .. }) => 0,
            Err(_) => return None,
        };
    }
    Some(sum)
}
