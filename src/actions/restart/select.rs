//! Which pod is restarted next: a pure function of the pods that were to be restarted and of the
//! pods that there are.
//!
//! Several attaches may restart the same pods, each by itself, and together they must restart each
//! pod once and never take away more than allowed. That holds because
//!
//! - they have the same set in the same order, oldest first, and each takes the first of it that is
//!   still there. A list is read from etcd, never from a cache. So while X is there, nobody who has
//!   listed later than X's turn began goes past X; and who listed earlier holds a pod before X, which
//!   is gone by now;
//! - each names the pod's UID *and* the resourceVersion it has seen as preconditions. Who comes
//!   second, or decided by a list that time has passed by, gets a 404 or 409 and lists again: nothing
//!   happened. A pod that was not Ready when listed and is Ready now is another version, too.
//!
//! Out of that order go only pods that serve nobody for certain, as nothing is taken away by that.
//!
//! Where the API server does not say when the content was written, one who lists later has pods that
//! were made meanwhile besides. They are younger than those that all have, and so come last.
//!
//! So from the list to the deletion that it led to, no other deletion took place, and what the list
//! allowed is allowed still. (A pod that fails by itself meanwhile is nobody's to prevent.)

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::objects::{OwnerReference, Pod};

/// Pods to restart, which one selector matches in one namespace; kept in state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) namespace: String,
    pub(super) selector: String,
    /// How many pods there were.
    pub(super) expected: usize,
    /// Those to restart, in their order.
    pub(super) pods: Vec<Member>,
    /// Names of pods without a controller, which are left alone.
    pub(super) orphans: Vec<String>,
    /// Whose pods they are.
    pub(super) controllers: BTreeSet<OwnerReference>,
}

/// One pod to restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) uid: String,
    pub(super) name: String,
}

/// What to do now.
#[derive(Debug)]
pub(super) enum Next<'a> {
    /// Restart this pod.
    Restart(&'a Pod),
    /// Too many pods are away, or the last ones are not back.
    Wait {
        /// Names of those that are there and not Ready.
        unready: Vec<&'a str>,
        /// How many are not there at all.
        missing: usize,
        /// How many are still to be restarted.
        left: usize,
    },
    /// Every pod was restarted, and every replacement is Ready.
    Done,
}

// === impl Group ===

impl Group {
    /// The pods that were there at `until`, the moment of the change in whole seconds; all of them
    /// if that is not known. A pod of the same second may have read either content.
    pub(super) fn new(
        namespace: &str,
        selector: &str,
        pods: Vec<Pod>,
        until: Option<Timestamp>,
    ) -> Self {
        let mut owners = BTreeSet::new();
        owners.extend(controllers(&pods));
        // Another attache may have begun. A ReplicaSet makes another pod as soon as one is
        // terminating, all others once it is gone.
        let going = |pod: &&Pod| {
            let controller = pod.metadata.controller();
            pod.metadata.deletion_timestamp.is_some()
                && controller.is_some_and(|owner| owner.kind != "ReplicaSet")
        };
        let going = pods.iter().filter(going).count();
        let (mut owned, orphans): (Vec<_>, Vec<_>) = pods
            .into_iter()
            .filter(Pod::is_live)
            .partition(|pod| pod.metadata.controller().is_some());
        let expected = owned.len() + going;
        owned.sort_unstable_by(|a, b| {
            let key = |pod: &Pod| (pod.metadata.creation_timestamp, pod.metadata.name.clone());
            key(a).cmp(&key(b))
        });
        let old = |pod: &Pod| until.is_none() || pod.metadata.creation_timestamp <= until;
        let pods = owned.into_iter().filter(old).map(|pod| Member {
            uid: pod.metadata.uid,
            name: pod.metadata.name,
        });
        Self {
            namespace: namespace.to_owned(),
            selector: selector.to_owned(),
            expected,
            pods: pods.collect(),
            orphans: orphans.into_iter().map(|pod| pod.metadata.name).collect(),
            controllers: owners,
        }
    }

    /// What to do, given the `pods` that the selector matches now and that there should be
    /// `expected` of them.
    pub(super) fn next<'a>(
        &self,
        pods: &'a [Pod],
        expected: usize,
        max_unavailable: usize,
    ) -> Next<'a> {
        let left = self.left(pods);
        // Its restart takes nothing more, and may be what it needs. One that is not Ready and may
        // serve all the same counts as away, and has its turn when the limit allows it.
        if let Some(pod) = left.iter().find(|pod| pod.is_away()) {
            return Next::Restart(pod);
        }
        let missing = expected.saturating_sub(live(pods).count());
        let unready: Vec<&str> = live(pods)
            .filter(|pod| !pod.is_ready())
            .map(|pod| &*pod.metadata.name)
            .collect();
        let away = unready.len() + missing;
        match left.first() {
            Some(pod) if away < max_unavailable => Next::Restart(pod),
            None if away == 0 => Next::Done,
            _ => Next::Wait {
                unready,
                missing,
                left: left.len(),
            },
        }
    }

    /// The pods that are still to be restarted, in their order.
    fn left<'a>(&self, pods: &'a [Pod]) -> Vec<&'a Pod> {
        let find = |member: &Member| live(pods).find(|pod| pod.metadata.uid == member.uid);
        self.pods.iter().filter_map(find).collect()
    }
}

/// The pods that a controller counts as its own. One that is terminating counts as away until its
/// replacement is there: then that one counts.
pub(super) fn live(pods: &[Pod]) -> impl Iterator<Item = &Pod> {
    pods.iter()
        .filter(|pod| pod.is_live() && pod.metadata.controller().is_some())
}

/// Who made these pods.
pub(super) fn controllers(pods: &[Pod]) -> impl Iterator<Item = OwnerReference> {
    pods.iter()
        .filter_map(|pod| pod.metadata.controller().cloned())
}

#[cfg(test)]
mod tests;
