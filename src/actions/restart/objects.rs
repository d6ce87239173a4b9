//! The objects of the API that restarts read, as far as they read them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `metadata` of any object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) owner_references: Vec<OwnerReference>,
    /// In whole seconds of the API server's clock.
    pub(super) creation_timestamp: Option<Timestamp>,
    pub(super) deletion_timestamp: Option<Timestamp>,
    managed_fields: Vec<ManagedField>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ManagedField {
    time: Option<Timestamp>,
}

/// Who an object belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct OwnerReference {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) controller: bool,
}

// === impl Metadata ===

impl Metadata {
    /// The one owner that makes this object anew when it goes.
    pub(super) fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller)
    }

    /// When the object was last written, in whole seconds of the clock that also gives
    /// `creationTimestamp`; `None` where the server tracks no fields.
    pub(super) fn written(&self) -> Option<Timestamp> {
        self.managed_fields
            .iter()
            .filter_map(|field| field.time)
            .max()
    }
}

/// Any object, without what it holds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Named {
    pub(super) metadata: Metadata,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    #[serde(default)]
    pub(super) metadata: ListMetadata,
    pub(super) items: Vec<T>,
}

/// `metadata` of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListMetadata {
    #[serde(rename = "continue")]
    pub(super) next: String,
}

/// A pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) metadata: Metadata,
    pub(super) spec: PodSpec,
    pub(super) status: PodStatus,
}

/// A pod's `spec`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    readiness_gates: Vec<ReadinessGate>,
}

/// A condition of somebody else's without which a pod is not Ready.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ReadinessGate {
    condition_type: String,
}

/// A pod's `status`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodStatus {
    pub(super) phase: String,
    pub(super) conditions: Vec<Condition>,
}

/// One of a pod's conditions.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    pub(super) r#type: String,
    pub(super) status: String,
}

// === impl Pod ===

impl Pod {
    /// Whether it is neither going nor at its end.
    pub(super) fn is_live(&self) -> bool {
        let completed = ["Succeeded", "Failed"].contains(&&*self.status.phase);
        self.metadata.deletion_timestamp.is_none() && !completed
    }

    /// Whether it serves.
    pub(super) fn is_ready(&self) -> bool {
        self.is_live() && self.condition("Ready") == Some("True")
    }

    /// Whether it serves nobody, for certain. When a node no longer answers, the control plane sets
    /// Ready to False on all its pods, and leaves ContainersReady as the kubelet said it last: these
    /// may serve still.
    pub(super) fn is_away(&self) -> bool {
        let mut gates = self.spec.readiness_gates.iter();
        let held = gates.any(|gate| self.condition(&gate.condition_type) != Some("True"));
        let containers = self.condition("ContainersReady");
        !self.is_ready() && (held || matches!(containers, None | Some("False")))
    }

    /// The status of the condition of that type.
    fn condition(&self, r#type: &str) -> Option<&str> {
        let mut conditions = self.status.conditions.iter();
        let condition = conditions.find(|condition| condition.r#type == r#type)?;
        Some(&condition.status)
    }
}

/// A workload, as far as it says which pods it wants.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Controller {
    pub(super) metadata: Metadata,
    pub(super) spec: ControllerSpec,
    pub(super) status: ControllerStatus,
}

/// A workload's `spec`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ControllerSpec {
    /// Of all but DaemonSets.
    pub(super) replicas: Option<usize>,
    pub(super) template: Named,
}

/// A workload's `status`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ControllerStatus {
    /// Of DaemonSets.
    pub(super) desired_number_scheduled: Option<usize>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_as_old_as_its_last_write() {
        let object: Named = serde_json::from_value(json!({"metadata": {
            "name": "web", "creationTimestamp": "2024-01-01T00:00:00Z",
            "managedFields": [
                {"manager": "a", "time": "2024-01-02T00:00:00Z", "fieldsV1": {}},
                {"manager": "b", "time": "2024-01-03T00:00:00Z"},
                {"manager": "c"},
            ],
        }}))
        .unwrap();
        let written = object.metadata.written().unwrap();
        assert_eq!(written.to_string(), "2024-01-03T00:00:00Z");
        assert_eq!(Metadata::default().written(), None);
    }
}
