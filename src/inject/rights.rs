//! The rights (RBAC) that a configuration needs: what `attache inject --rbac` grants, and what
//! `attache doctor` asks for.

use std::collections::BTreeMap;

use crate::config::{
    Action, Config, ObjectKind, ObjectName, RestartAction, SelectorNamespace, Workload,
    WorkloadKind,
};

/// What attache does with what it watches.
const WATCH: &[&str] = &["get", "list", "watch"];

/// Where attache runs.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The namespace of objects that are named without one.
    pub namespace: String,
    /// The pod's own.
    pub pod_namespace: String,
    /// The pod's name; `None` for every pod of a template.
    pub pod_name: Option<String>,
    /// The workload that the pod belongs to, if that is known.
    pub owner: Option<Owner>,
    /// It is known that the pod belongs to nothing, which would make it anew under another name.
    pub is_bare: bool,
}

/// The workload that a pod belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// As objects write it, or in lower case.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The ReplicaSet between a Deployment and its pod; `None` for every one of the Deployment's.
    pub replica_set: Option<String>,
}

/// A right: verbs on a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// `None` is all namespaces, by a ClusterRole.
    pub namespace: Option<String>,
    /// The API group; empty is core.
    pub group: &'static str,
    /// Which, in the plural.
    pub resource: &'static str,
    /// Empty is none.
    pub subresource: &'static str,
    /// `None` is every object.
    pub name: Option<String>,
    /// The object is replaced by others of other names, so that a rule for this name soon gives nothing.
    pub is_passing: bool,
    /// What is done with it.
    pub verbs: &'static [&'static str],
    /// What for.
    pub why: &'static str,
    /// What asks for it, where that is not the object's own name.
    pub asked_by: Option<String>,
}

// === impl Place ===

impl Place {
    /// The namespace that an object is in.
    #[must_use]
    pub fn namespace_of(&self, object: &ObjectName) -> String {
        let named = object.namespace.clone();
        named.unwrap_or_else(|| self.namespace.clone())
    }
}

// === impl Owner ===

impl Owner {
    /// `deployment/web`, as kubectl takes it.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}/{}", self.kind.to_lowercase(), self.name)
    }

    /// Its kind, if it is one that rolls out.
    fn workload_kind(&self) -> Option<WorkloadKind> {
        match self.kind.to_lowercase().as_str() {
            "deployment" => Some(WorkloadKind::Deployment),
            "statefulset" => Some(WorkloadKind::StatefulSet),
            "daemonset" => Some(WorkloadKind::DaemonSet),
            _ => None,
        }
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
            is_passing: false,
            verbs,
            why: "read and watched",
            asked_by: None,
        }
    }

    /// Reading any ConfigMap of a namespace.
    #[must_use]
    pub fn on_demand(namespace: &str) -> Self {
        let why = "read when the app asks for them (on-demand)";
        Self::new(namespace, resource(ObjectKind::ConfigMap), WATCH).why(why)
    }

    fn group(mut self, group: &'static str) -> Self {
        self.group = group;
        self
    }

    fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    fn why(mut self, why: &'static str) -> Self {
        self.why = why;
        self
    }

    fn asked_by(mut self, what: &str) -> Self {
        self.asked_by = Some(what.to_owned());
        self
    }

    /// The name that a rule gives the right for; `None` for one that has to be for every object.
    #[must_use]
    pub fn rule_name(&self) -> Option<&str> {
        self.name.as_deref().filter(|_| !self.is_passing)
    }

    /// The resource as rules write it: `pods/eviction`.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.subresource {
            "" => self.resource.to_owned(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }
}

/// What rules call the objects of a kind.
#[must_use]
pub fn resource(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::ConfigMap => "configmaps",
        ObjectKind::Secret => "secrets",
    }
}

/// All rights that `config` needs in that place, each once.
#[must_use]
pub fn rights(config: &Config, place: &Place) -> Vec<Right> {
    let mut rights = reads(config, place);
    if config.serve.writes.allowed {
        rights.extend(writes(config, place));
    }
    for rule in &config.on_change {
        if let Action::Restart(action) = &rule.action {
            let object = rule.when.object.as_ref().map(|(_, object)| object);
            let namespace = object.map_or(place.namespace.clone(), |o| place.namespace_of(o));
            let needed = restart(action, place, &namespace);
            rights.extend(needed.into_iter().map(|right| right.asked_by(&rule.name)));
        }
    }
    let mut each = BTreeMap::new();
    for right in rights {
        let key = Right {
            why: "",
            asked_by: None,
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
        let right = right.why("followed by a label selector, which RBAC cannot limit by name");
        rights.push(right.asked_by(&format!("the selector {}", selector.labels)));
    }
    for namespace in &source.discover {
        let verbs = &["list", "watch"];
        let services = Right::new(namespace, "services", verbs);
        let slices = Right::new(namespace, "endpointslices", verbs).group("discovery.k8s.io");
        rights.extend([services, slices].map(|right| right.asked_by("--discover")));
    }
    rights
}

/// What clients write are ConfigMaps that are named, as far as that is known.
fn writes(config: &Config, place: &Place) -> Vec<Right> {
    let right = |namespace: &str, verbs| {
        Right::new(namespace, resource(ObjectKind::ConfigMap), verbs)
            .why("writes of the app's (allow-writes)")
            .asked_by("--allow-writes")
    };
    let mut rights = Vec::new();
    for named in &config.source.objects {
        if named.kind == ObjectKind::ConfigMap {
            let namespace = place.namespace_of(&named.object);
            rights.push(right(&namespace, &["patch"]).name(&named.object.name));
            if named.optional || config.serve.writes.create_on_read {
                rights.push(right(&namespace, &["create"]));
            }
        }
    }
    rights
}

fn restart(action: &RestartAction, place: &Place, namespace: &str) -> Vec<Right> {
    let own = &place.pod_namespace;
    let of_pod = |right: Right| Right {
        name: place.pod_name.clone(),
        is_passing: !place.is_bare,
        ..right
    };
    let eviction = |namespace: &str| Right {
        subresource: "eviction",
        ..Right::new(namespace, "pods", &["create"])
    };
    let (why, rights) = match action {
        RestartAction::Process { .. } => return Vec::new(),
        RestartAction::Pod { require_budget, .. } => {
            let budgets = Right::new(own, "poddisruptionbudgets", &["list"]).group("policy");
            let mut rights = vec![
                of_pod(Right::new(own, "pods", &["get"])),
                of_pod(eviction(own)),
            ];
            rights.extend(require_budget.then_some(budgets));
            ("restart: pod", rights)
        }
        RestartAction::Rollout {
            workload: Some(Workload { kind, name }),
        } => ("restart: rollout", vec![rolled(own, *kind, name)]),
        RestartAction::Rollout { workload: None } => {
            let mut rights = vec![of_pod(Right::new(own, "pods", &["get"]))];
            rights.extend(place.owner.iter().flat_map(|owner| found(own, owner)));
            ("restart: rollout, and to find the workload", rights)
        }
        RestartAction::Pods { evict: true, .. } => {
            let list = Right::new(namespace, "pods", &["list"]);
            ("restart: pods", vec![list, eviction(namespace)])
        }
        RestartAction::Pods { evict: false, .. } => {
            let delete = Right::new(namespace, "pods", &["list", "delete"]);
            ("restart: pods", vec![delete])
        }
    };
    rights.into_iter().map(|right| right.why(why)).collect()
}

/// What finding a pod's workload and rolling it out takes; nothing for one that cannot be rolled out.
fn found(namespace: &str, owner: &Owner) -> Vec<Right> {
    let Some(kind) = owner.workload_kind() else {
        return Vec::new();
    };
    let mut rights = vec![rolled(namespace, kind, &owner.name)];
    if kind == WorkloadKind::Deployment {
        rights.push(Right {
            name: owner.replica_set.clone(),
            is_passing: true,
            ..Right::new(namespace, "replicasets", &["get"]).group("apps")
        });
    }
    rights
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
mod tests;
