//! The rights that a configuration needs.

use std::collections::BTreeMap;

use super::named::resource;
use super::pod::{Owner, Pod};
use crate::config::{
    Action, Config, ObjectKind, ObjectName, RestartAction, SelectorNamespace, Workload,
    WorkloadKind,
};

/// What attache does with what it watches.
const WATCH: &[&str] = &["get", "list", "watch"];

/// Where attache runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// The namespace of objects that are named without one.
    pub(super) namespace: String,
    /// The pod's own.
    pub(super) pod_namespace: String,
    /// The pod's name.
    pub(super) pod_name: String,
    /// The workload that the pod belongs to, if that is known.
    pub(super) owner: Option<Owner>,
}

/// A right: verbs on a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    /// `None` is all namespaces, by a ClusterRole.
    pub(super) namespace: Option<String>,
    /// Empty is core.
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    /// Empty is none.
    pub(super) subresource: &'static str,
    /// `None` is every object.
    pub(super) name: Option<String>,
    pub(super) verbs: &'static [&'static str],
    /// What needs it.
    pub(super) why: String,
}

/// One question of an access review.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ask {
    pub(super) namespace: Option<String>,
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    pub(super) subresource: &'static str,
    pub(super) name: Option<String>,
    pub(super) verb: &'static str,
}

// === impl Place ===

impl Place {
    pub(super) fn of(pod: &Pod, config: &Config) -> Self {
        let pod_namespace = pod.metadata.namespace.clone();
        let namespace = config.source.namespace.clone();
        Self {
            namespace: namespace.unwrap_or_else(|| pod_namespace.clone()),
            pod_namespace,
            pod_name: pod.metadata.name.clone(),
            owner: pod.owner(),
        }
    }

    pub(super) fn namespace_of(&self, object: &ObjectName) -> String {
        let named = object.namespace.clone();
        named.unwrap_or_else(|| self.namespace.clone())
    }
}

// === impl Right ===

impl Right {
    fn new(namespace: &str, resource: &'static str, verbs: &'static [&'static str]) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            group: "",
            resource,
            subresource: "",
            name: None,
            verbs,
            why: String::new(),
        }
    }

    fn group(mut self, group: &'static str) -> Self {
        self.group = group;
        self
    }

    fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    fn why(mut self, why: &str) -> Self {
        self.why = why.to_owned();
        self
    }

    /// The question for one of its verbs.
    pub(super) fn ask(&self, verb: &'static str) -> Ask {
        Ask {
            namespace: self.namespace.clone(),
            group: self.group,
            resource: self.resource,
            subresource: self.subresource,
            name: self.name.clone(),
            verb,
        }
    }
}

/// All rights that `config` needs in that place, each once.
pub(super) fn needs(config: &Config, place: &Place) -> Vec<Right> {
    let mut rights = reads(config, place);
    if config.serve.writes.allowed {
        rights.extend(writes(config, place));
    }
    for rule in &config.on_change {
        if let Action::Restart(action) = &rule.action {
            let object = rule.when.object.as_ref().map(|(_, object)| object);
            let namespace = object.map_or(place.namespace.clone(), |o| place.namespace_of(o));
            let needed = restart(action, place, &namespace);
            rights.extend(needed.into_iter().map(|right| right.why(&rule.name)));
        }
    }
    let mut each = BTreeMap::new();
    for right in rights {
        let key = Right {
            why: String::new(),
            ..right.clone()
        };
        each.entry(key).or_insert(right);
    }
    each.into_values().collect()
}

fn reads(config: &Config, place: &Place) -> Vec<Right> {
    let source = &config.source;
    let mut rights = Vec::new();
    for named in &source.objects {
        let mounted = named.kind == ObjectKind::ConfigMap
            && source
                .mounts
                .iter()
                .any(|mount| mount.object == named.object);
        if !mounted {
            let namespace = place.namespace_of(&named.object);
            rights
                .push(Right::new(&namespace, resource(named.kind), WATCH).name(&named.object.name));
        }
    }
    for selector in &source.selectors {
        let mut right = Right::new(
            &place.namespace,
            resource(selector.kind),
            &["list", "watch"],
        );
        match &selector.namespace {
            SelectorNamespace::Default => {}
            SelectorNamespace::Named(namespace) => right.namespace = Some(namespace.clone()),
            SelectorNamespace::All => right.namespace = None,
        }
        rights.push(right.why(&format!("the selector {}", selector.labels)));
    }
    for namespace in &source.discover {
        let verbs = &["list", "watch"];
        rights.push(Right::new(namespace, "services", verbs).why("--discover"));
        rights.push(
            Right::new(namespace, "endpointslices", verbs)
                .group("discovery.k8s.io")
                .why("--discover"),
        );
    }
    rights
}

/// What clients write are ConfigMaps that are named, as far as that is known.
fn writes(config: &Config, place: &Place) -> Vec<Right> {
    let mut rights = Vec::new();
    for named in &config.source.objects {
        if named.kind == ObjectKind::ConfigMap {
            let namespace = place.namespace_of(&named.object);
            rights.push(
                Right::new(&namespace, "configmaps", &["patch"])
                    .name(&named.object.name)
                    .why("--allow-writes"),
            );
            if named.optional || config.serve.writes.create_on_read {
                rights
                    .push(Right::new(&namespace, "configmaps", &["create"]).why("--allow-writes"));
            }
        }
    }
    rights
}

fn restart(action: &RestartAction, place: &Place, namespace: &str) -> Vec<Right> {
    let own = &place.pod_namespace;
    let pod = || Right::new(own, "pods", &["get"]).name(&place.pod_name);
    let eviction = |namespace: &str| Right {
        subresource: "eviction",
        ..Right::new(namespace, "pods", &["create"])
    };
    match action {
        RestartAction::Process { .. } => Vec::new(),
        RestartAction::Pod { require_budget, .. } => {
            let mut rights = vec![pod(), eviction(own).name(&place.pod_name)];
            if *require_budget {
                rights.push(Right::new(own, "poddisruptionbudgets", &["list"]).group("policy"));
            }
            rights
        }
        RestartAction::Rollout {
            workload: Some(Workload { kind, name }),
        } => vec![rolled(own, *kind, name)],
        RestartAction::Rollout { workload: None } => {
            let mut rights = vec![pod()];
            if let Some(owner) = &place.owner {
                if let Some(set) = &owner.replica_set {
                    rights.push(
                        Right::new(own, "replicasets", &["get"])
                            .group("apps")
                            .name(set),
                    );
                }
                if let Some(kind) = owner.workload_kind() {
                    rights.push(rolled(own, kind, &owner.name));
                }
            }
            rights
        }
        RestartAction::Pods { evict: true, .. } => {
            vec![
                Right::new(namespace, "pods", &["list"]),
                eviction(namespace),
            ]
        }
        RestartAction::Pods { evict: false, .. } => {
            vec![Right::new(namespace, "pods", &["list", "delete"])]
        }
    }
}

fn rolled(namespace: &str, kind: WorkloadKind, name: &str) -> Right {
    let resource = match kind {
        WorkloadKind::Deployment => "deployments",
        WorkloadKind::StatefulSet => "statefulsets",
        WorkloadKind::DaemonSet => "daemonsets",
    };
    Right::new(namespace, resource, &["get", "patch"])
        .group("apps")
        .name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::tests::config;

    fn place() -> Place {
        Place {
            namespace: "web".to_owned(),
            pod_namespace: "web".to_owned(),
            pod_name: "web-1".to_owned(),
            owner: Some(Owner {
                kind: "Deployment".to_owned(),
                name: "web".to_owned(),
                replica_set: Some("web-abc".to_owned()),
            }),
        }
    }

    /// `namespace group/resource/subresource/name: verbs`.
    fn told(args: &[&str]) -> Vec<String> {
        let rights = needs(&config(args), &place());
        let told = |right: &Right| {
            format!(
                "{} {}/{}/{}/{}: {}",
                right.namespace.as_deref().unwrap_or("*"),
                right.group,
                right.resource,
                right.subresource,
                right.name.as_deref().unwrap_or("*"),
                right.verbs.join(",")
            )
        };
        rights.iter().map(told).collect()
    }

    #[test]
    fn what_is_named_is_read_by_name_and_what_is_selected_is_not() {
        assert_eq!(
            told(&[
                "--configmap=a",
                "--configmap=other/b",
                "--secret=db",
                "--configmap-selector=*/x=y"
            ]),
            [
                "* /configmaps//*: list,watch",
                "other /configmaps//b: get,list,watch",
                "web /configmaps//a: get,list,watch",
                "web /secrets//db: get,list,watch",
            ]
        );
        let discovers = told(&["--discover=d"]);
        assert_eq!(
            discovers[1],
            "d discovery.k8s.io/endpointslices//*: list,watch"
        );
        let writes = told(&["--configmap=a,optional", "--allow-writes"]);
        assert_eq!(
            writes,
            [
                "web /configmaps//*: create",
                "web /configmaps//a: get,list,watch",
                "web /configmaps//a: patch",
            ]
        );
    }

    #[test]
    fn each_restart_needs_its_own() {
        let rule = |restart: &str| told(&[&format!("--on-change=restart: {restart}")]);
        assert_eq!(
            rule("pod"),
            [
                "web /pods//web-1: get",
                "web /pods/eviction/web-1: create",
                "web policy/poddisruptionbudgets//*: list",
            ]
        );
        assert_eq!(
            rule("rollout"),
            [
                "web /pods//web-1: get",
                "web apps/deployments//web: get,patch",
                "web apps/replicasets//web-abc: get",
            ]
        );
        assert_eq!(
            rule("{rollout: daemonset/log}"),
            ["web apps/daemonsets//log: get,patch"]
        );
        assert_eq!(rule("{pods: app=x}"), ["web /pods//*: list,delete"]);
        assert!(rule("{process: nginx}").is_empty());
    }
}
