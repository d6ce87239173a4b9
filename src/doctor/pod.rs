//! A pod, as far as the doctor reads it, and the attache in it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::config::{Config, PREFIX};
use crate::inject::rights::{Owner, Place};

/// The name of an injected sidecar.
const SIDECAR: &str = "attache";
/// The file name of the binary, and of its image.
const BINARY: &str = "attache";

/// A pod. What is null or of another form than expected makes the whole unreadable, which is told.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
    pub(super) status: Status,
}

/// `metadata` of any object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) owner_references: Vec<OwnerReference>,
    pub(super) creation_timestamp: Option<Timestamp>,
    pub(super) deletion_timestamp: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct OwnerReference {
    kind: String,
    name: String,
    controller: bool,
}

/// A pod's `spec`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) service_account_name: String,
    pub(super) share_process_namespace: bool,
    #[serde(rename = "hostPID")]
    pub(super) host_pid: bool,
    pub(super) security_context: SecurityContext,
    pub(super) containers: Vec<Container>,
    pub(super) init_containers: Vec<Container>,
    pub(super) volumes: Vec<Volume>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SecurityContext {
    pub(super) run_as_user: Option<u32>,
}

/// A container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: String,
    image: String,
    command: Vec<String>,
    args: Vec<String>,
    env: Vec<Variable>,
    restart_policy: Option<String>,
    pub(super) volume_mounts: Vec<VolumeMount>,
    security_context: SecurityContext,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Variable {
    name: String,
    value: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct VolumeMount {
    pub(super) name: String,
    pub(super) mount_path: String,
    pub(super) sub_path: String,
    sub_path_expr: String,
}

/// A volume, as far as it holds ConfigMaps or Secrets.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) config_map: Option<Named>,
    pub(super) secret: Option<SecretVolume>,
    pub(super) projected: Option<Projected>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Named {
    pub(super) name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SecretVolume {
    pub(super) secret_name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Projected {
    pub(super) sources: Vec<ProjectedSource>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ProjectedSource {
    pub(super) config_map: Option<Named>,
    pub(super) secret: Option<Named>,
}

/// A pod's `status`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status {
    phase: String,
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
}

/// What became of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    name: String,
    pub(super) ready: bool,
    pub(super) started: Option<bool>,
    pub(super) restart_count: u32,
    pub(super) state: ContainerState,
    pub(super) last_state: ContainerState,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerState {
    pub(super) waiting: Option<Reason>,
    pub(super) terminated: Option<Reason>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Reason {
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) exit_code: i32,
}

/// How much of what is said of a container's end is shown, in characters. runc names the cause last, after
/// every step that led to it.
const SAID: usize = 600;

/// The attache in a pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sidecar<'a> {
    pub(super) container: &'a Container,
    /// It is a container of its own, rather than the app's that runs under `attache exec`.
    pub(super) is_apart: bool,
}

// === impl Pod ===

impl Pod {
    pub(super) fn read(pod: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(pod)
    }

    /// `pod web/web-1`.
    pub(super) fn shown(&self) -> String {
        format!("pod {}/{}", self.metadata.namespace, self.metadata.name)
    }

    /// Whether it is neither going nor at its end.
    pub(super) fn is_live(&self) -> bool {
        let completed = ["Succeeded", "Failed"].contains(&&*self.status.phase);
        self.metadata.deletion_timestamp.is_none() && !completed
    }

    /// The attache that it carries, injected or put there by hand. The image's name alone makes no
    /// sidecar of the webhook's own container.
    pub(super) fn sidecar(&self) -> Option<Sidecar<'_>> {
        let spec = &self.spec;
        let native = spec.init_containers.iter().filter(|c| c.is_native());
        let apart = native
            .chain(&spec.containers)
            .find(|container| container.is_sidecar());
        let within = || {
            spec.containers
                .iter()
                .find(|container| container.is_wrapped())
        };
        match apart {
            Some(container) => Some(Sidecar {
                container,
                is_apart: true,
            }),
            None => within().map(|container| Sidecar {
                container,
                is_apart: false,
            }),
        }
    }

    /// Its containers beside the sidecar, those left out that end before it starts.
    pub(super) fn others<'a>(
        &'a self,
        sidecar: Sidecar<'a>,
    ) -> impl Iterator<Item = &'a Container> {
        let containers = self.spec.containers.iter();
        containers.filter(move |c| !sidecar.is_apart || c.name != sidecar.container.name)
    }

    /// Whom a container runs as, if the pod says it.
    pub(super) fn user(&self, container: &Container) -> Option<u32> {
        let own = container.security_context.run_as_user;
        own.or(self.spec.security_context.run_as_user)
    }

    pub(super) fn status_of(&self, container: &Container) -> Option<&ContainerStatus> {
        let status = &self.status;
        let mut statuses = status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses);
        statuses.find(|status| status.name == container.name)
    }

    pub(super) fn service_account(&self) -> &str {
        match self.spec.service_account_name.as_str() {
            "" => "default",
            name => name,
        }
    }

    /// The controller that makes it anew, or that controller's Deployment: its ReplicaSets are named
    /// after it, with the hash that the pod has as a label.
    pub(super) fn owner(&self) -> Option<Owner> {
        let mut owners = self.metadata.owner_references.iter();
        let owner = owners.find(|owner| owner.controller)?;
        let hash = self.metadata.labels.get("pod-template-hash");
        let deployment = hash
            .filter(|_| owner.kind == "ReplicaSet")
            .and_then(|hash| owner.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
        Some(match deployment {
            Some(name) => Owner {
                kind: "Deployment".to_owned(),
                name: name.to_owned(),
                replica_set: Some(owner.name.clone()),
            },
            None => Owner {
                kind: owner.kind.clone(),
                name: owner.name.clone(),
                replica_set: None,
            },
        })
    }

    /// Where its attache runs.
    pub(super) fn place(&self, config: &Config) -> Place {
        let pod_namespace = self.metadata.namespace.clone();
        let namespace = config.source.namespace.clone();
        Place {
            namespace: namespace.unwrap_or_else(|| pod_namespace.clone()),
            pod_namespace,
            pod_name: Some(self.metadata.name.clone()),
            owner: self.owner(),
            is_bare: self.owner().is_none(),
        }
    }
}

// === impl Metadata ===

impl Metadata {
    /// Its annotations of attache, by their names without the prefix.
    pub(super) fn asked(&self) -> BTreeMap<String, String> {
        let mut asked = BTreeMap::new();
        for (name, value) in &self.annotations {
            if let Some(name) = name.strip_prefix(PREFIX) {
                asked.insert(name.to_owned(), value.clone());
            }
        }
        asked
    }
}

// === impl Reason ===

impl Reason {
    /// How a container ended, with the first line of what is said of it: `StartError (exit code 128: …)`.
    pub(super) fn ended(&self) -> String {
        let line = self.message.trim().lines().next().unwrap_or_default();
        let mut said: String = line.chars().take(SAID).collect();
        if said.len() < line.len() {
            said.push('…');
        }
        if !said.is_empty() {
            said.insert_str(0, ": ");
        }
        format!("{} (exit code {}{said})", self.reason, self.exit_code)
    }
}

// === impl Container ===

impl Container {
    fn is_native(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }

    /// Whether it is attache and no app, whatever its registry, its tag, and who put it there.
    fn is_sidecar(&self) -> bool {
        let image = self.image.split('@').next().unwrap_or_default();
        let last = image.rsplit('/').next().unwrap_or_default();
        let is_image = last.split(':').next() == Some(BINARY);
        let runs = |arg: &String| ["run", "proxy"].contains(&arg.as_str());
        let first = self.arguments().next();
        (self.name == SIDECAR || is_image) && first.is_none_or(runs)
    }

    /// Whether its command runs under `attache exec`.
    fn is_wrapped(&self) -> bool {
        let program = self.command.first();
        let file = program.and_then(|program| program.rsplit('/').next());
        file == Some(BINARY) && self.arguments().next().is_some_and(|arg| arg == "exec")
    }

    /// The path of attache's binary in it: where the command says, or where the image has it.
    pub(super) fn program(&self) -> &str {
        self.command.first().map_or("/attache", String::as_str)
    }

    /// What follows the program's name.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &String> {
        self.command.iter().skip(1).chain(&self.args)
    }

    /// The variables whose values stand in the pod.
    pub(super) fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        let given = |variable: &'_ Variable| variable.value.is_some();
        self.env
            .iter()
            .filter(move |variable| given(variable))
            .map(|v| (v.name.as_str(), v.value.as_deref().unwrap_or_default()))
    }

    /// The volume mounted at `path` or above it, and what is left of the path.
    pub(super) fn mount_of<'a>(&self, path: &'a str) -> Option<(&VolumeMount, &'a str)> {
        self.volume_mounts.iter().find_map(|mount| {
            let rest = path.strip_prefix(mount.mount_path.trim_end_matches('/'))?;
            if rest.is_empty() {
                return Some((mount, rest));
            }
            Some((mount, rest.strip_prefix('/')?))
        })
    }
}

// === impl VolumeMount ===

impl VolumeMount {
    /// Whether the kubelet never updates it.
    pub(super) fn is_fixed(&self) -> bool {
        !self.sub_path.is_empty() || !self.sub_path_expr.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: &Value) -> Pod {
        Pod::read(&json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec})).unwrap()
    }

    #[test]
    fn a_sidecar_is_known_by_its_name_its_image_or_what_it_runs() {
        let carries = |spec: Value| pod(&spec).sidecar().map(|sidecar| sidecar.is_apart);
        let native =
            json!({"name": "attache", "image": "x", "restartPolicy": "Always", "args": ["run"]});
        assert_eq!(carries(json!({"initContainers": [native]})), Some(true));
        let image = "registry.example:5000/tools/attache:0.1@sha256:00";
        let by_hand = json!({"name": "config", "image": image, "args": ["run", "--configmap=web"]});
        assert_eq!(
            carries(json!({"containers": [{"name": "app"}, by_hand]})),
            Some(true)
        );
        let wrapped =
            json!({"name": "app", "command": ["/opt/attache/attache", "exec", "--", "x"]});
        assert_eq!(carries(json!({"containers": [wrapped]})), Some(false));
        let installs =
            json!({"name": "attache-install", "image": image, "args": ["install", "/x"]});
        assert_eq!(carries(json!({"initContainers": [installs]})), None);
        let webhook = json!({"name": "webhook", "image": image, "args": ["webhook"]});
        assert_eq!(
            carries(json!({"containers": [webhook, {"name": "app"}]})),
            None
        );
    }

    #[test]
    fn a_deployment_is_found_without_its_replica_set() {
        let owned = |labels: Value, kind: &str| {
            let owners = json!([{"kind": kind, "name": "web-abc", "controller": true}]);
            let metadata = json!({"labels": labels, "ownerReferences": owners});
            let pod = Pod::read(&json!({"metadata": metadata})).unwrap();
            pod.owner().unwrap().shown()
        };
        assert_eq!(
            owned(json!({"pod-template-hash": "abc"}), "ReplicaSet"),
            "deployment/web"
        );
        assert_eq!(owned(json!({}), "ReplicaSet"), "replicaset/web-abc");
        assert_eq!(owned(json!({}), "DaemonSet"), "daemonset/web-abc");
        assert!(Pod::default().owner().is_none());
    }

    #[test]
    fn a_path_is_in_the_volume_mounted_above_it() {
        let container: Container = serde_json::from_value(json!({
            "name": "a", "volumeMounts": [{"name": "v", "mountPath": "/etc/attache/"}],
        }))
        .unwrap();
        let rest = |path| container.mount_of(path).map(|(_, rest)| rest);
        assert_eq!(rest("/etc/attache/attache.yaml"), Some("attache.yaml"));
        assert_eq!(rest("/etc/attache"), Some(""));
        assert_eq!(rest("/etc/attaches/x"), None);
    }
}
