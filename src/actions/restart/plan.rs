//! Which pods a change restarts, and how many pods there should be.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::api::{Api, ApiError, Object};
use super::objects::{Controller, OwnerReference};
use super::rollout::{REPLICA_SETS, apps};
use super::select::Group;
use super::written::written;
use super::{Change, ChangedObject};
use crate::config::WhichPods;

/// The annotations that name pods to restart; the first of them that is there counts.
const ANNOTATIONS: [&str; 2] = ["attache.dev/restart-pods", "magalix.com/podDeleteMatch"];

/// The pods to restart for one content; kept in state.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// [`Change::content_hash`]: for another content the plan is void.
    pub(super) content: String,
    pub(super) groups: Vec<Group>,
    /// Namespaces with what an annotation there says and the API server takes for no selector.
    #[serde(default)]
    pub(super) unusable: BTreeSet<(String, String)>,
}

// === impl Plan ===

impl Plan {
    pub(super) fn new(change: &Change) -> Self {
        Self {
            content: change.content_hash.clone(),
            groups: Vec::new(),
            unusable: BTreeSet::new(),
        }
    }

    /// Whether nothing names pods.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.unusable.is_empty()
    }

    /// Lists the pods to restart that are not in the plan yet; whether there are any such. The set is
    /// the same whoever lists, and whenever, where the server says when content was written: pods
    /// older than the newest of the objects that name them. Elsewhere it is the pods there are now.
    ///
    /// # Errors
    /// The first, after all others have been listed: what is wrong in one namespace is no reason to
    /// leave the pods of another as they are.
    pub(super) async fn complete(
        &mut self,
        api: &Api,
        which: &WhichPods,
        change: &Change,
    ) -> (bool, Result<(), ApiError>) {
        let (mut grown, mut listed) = (false, Ok(()));
        for ((namespace, selector), objects) in selectors(which, change) {
            if self.knows(namespace, selector) {
                continue;
            }
            match group(api, namespace, selector, objects).await {
                Ok(group) => self.groups.push(group),
                Err(ApiError::Refused {
                    status: StatusCode::BAD_REQUEST,
                    message,
                    ..
                }) if *which == WhichPods::Annotation => {
                    tracing::warn!(
                        namespace,
                        selector,
                        message,
                        "an annotation that names pods is no label selector; attache restarts none for it: correct it"
                    );
                    let place = (namespace.to_owned(), selector.to_owned());
                    self.unusable.insert(place);
                }
                Err(error) => {
                    listed = listed.and(Err(error));
                    continue;
                }
            }
            grown = true;
        }
        (grown, listed)
    }

    fn knows(&self, namespace: &str, selector: &str) -> bool {
        let of = |group: &Group| group.namespace == namespace && group.selector == selector;
        let mut unusable = self.unusable.iter();
        self.groups.iter().any(of) || unusable.any(|(n, s)| n == namespace && s == selector)
    }
}

async fn group(
    api: &Api,
    namespace: &str,
    selector: &str,
    objects: Vec<&ChangedObject>,
) -> Result<Group, ApiError> {
    let until = written(api, objects).await?;
    let pods = api.pods(namespace, selector).await?;
    let mut group = Group::new(namespace, selector, pods, until);
    if let Some(wanted) = wanted(api, namespace, &group.controllers).await {
        group.expected = wanted;
    }
    Ok(group)
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
