//! `--rbac`: the ServiceAccounts that pods name, and what these must be allowed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::report::Report;
use crate::config::tree::{self, Layout, Tree};
use crate::config::{
    Action, Asked, Faults, NamedObject, ObjectKind, RestartAction, SelectorNamespace, WorkloadKind,
    asked,
};
use crate::inject::{Surroundings, annotations};

/// What is allowed, by ServiceAccount.
#[derive(Debug, Default)]
pub(super) struct Rights {
    accounts: BTreeMap<Account, BTreeMap<Resource, Grant>>,
    /// What no rule can say.
    notes: BTreeMap<Account, BTreeSet<String>>,
}

/// A ServiceAccount, and the namespace that a Role of it is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Account {
    namespace: String,
    name: String,
    /// Where the objects are; `None` is everywhere.
    within: Option<String>,
}

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Resource {
    group: &'static str,
    resource: &'static str,
    /// Whether the rule is for named objects only.
    named: bool,
    verbs: &'static [&'static str],
}

/// For which objects, and what for.
#[derive(Debug, Default)]
struct Grant {
    names: BTreeSet<String>,
    reasons: BTreeSet<&'static str>,
}

/// What reading one named object takes; a field selector makes `resourceNames` suffice for all three.
const READ: &[&str] = &["get", "list", "watch"];
/// As in the documentation.
const LAYOUT: Layout = Layout { indent_lists: true };
/// What following a selector takes.
const FOLLOW: &[&str] = &["list", "watch"];

// === impl Rights ===

impl Rights {
    /// Adds what an injected pod needs; its annotations are its own by now.
    pub(super) fn add(&mut self, pod: &Value, namespace: &str) -> Result<(), Faults> {
        let own = annotations(pod, &BTreeMap::new(), &Surroundings::default());
        let asked = asked(&own)?;
        let name = pod["spec"]["serviceAccountName"].as_str();
        let name = name.filter(|name| !name.is_empty()).unwrap_or("default");
        let account = Account {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            within: Some(namespace.to_owned()),
        };
        // An account that needs no rights is shown, too.
        self.accounts.entry(account.clone()).or_default();
        self.reads(&asked, &account);
        self.restarts(&asked, &account);
        self.remarks(&asked, &account);
        Ok(())
    }

    fn grant(
        &mut self,
        account: &Account,
        (group, resource): (&'static str, &'static str),
        verbs: &'static [&'static str],
        name: Option<&str>,
        reason: &'static str,
    ) {
        let named = name.is_some();
        let key = Resource {
            group,
            resource,
            named,
            verbs,
        };
        let account = self.accounts.entry(account.clone()).or_default();
        let grant = account.entry(key).or_default();
        grant.names.extend(name.map(str::to_owned));
        grant.reasons.insert(reason);
    }

    fn reads(&mut self, asked: &Asked, account: &Account) {
        let source = &asked.config.source;
        let core = |kind| match kind {
            ObjectKind::ConfigMap => ("", "configmaps"),
            ObjectKind::Secret => ("", "secrets"),
        };
        for NamedObject { kind, object, .. } in &source.objects {
            let account = account.within(object.namespace.as_deref());
            let reason = "read and watched";
            self.grant(&account, core(*kind), READ, Some(&object.name), reason);
            if asked.config.serve.writes.allowed && *kind == ObjectKind::ConfigMap {
                let reason = "writes of the app's (allow-writes)";
                self.grant(
                    &account,
                    core(*kind),
                    &["patch"],
                    Some(&object.name),
                    reason,
                );
            }
        }
        if let Some(name) = &asked.config_file {
            let note = format!(
                "the configuration file in ConfigMap {name} may name more objects, which need get, list and watch"
            );
            self.notes.entry(account.clone()).or_default().insert(note);
        }
        for selector in &source.selectors {
            let account = match &selector.namespace {
                SelectorNamespace::Default => account.clone(),
                SelectorNamespace::Named(namespace) => account.within(Some(namespace)),
                SelectorNamespace::All => Account {
                    within: None,
                    ..account.clone()
                },
            };
            let reason = "followed by a label selector, which RBAC cannot limit by name";
            self.grant(&account, core(selector.kind), FOLLOW, None, reason);
        }
        if source.on_demand {
            let reason = "read when the app asks for them (on-demand)";
            self.grant(account, ("", "configmaps"), READ, None, reason);
        }
    }

    fn restarts(&mut self, asked: &Asked, account: &Account) {
        let pods = ("", "pods");
        let evictions = ("", "pods/eviction");
        for rule in &asked.config.on_change {
            let Action::Restart(action) = &rule.action else {
                continue;
            };
            match action {
                RestartAction::Process { .. } => {}
                RestartAction::Pod { .. } => {
                    let reason = "restart: pod";
                    let budgets = ("policy", "poddisruptionbudgets");
                    self.grant(account, pods, &["get"], None, reason);
                    self.grant(account, evictions, &["create"], None, reason);
                    self.grant(account, budgets, &["list"], None, reason);
                }
                RestartAction::Rollout { workload: None } => {
                    let reason = "restart: rollout, and to find the workload";
                    self.grant(account, pods, &["get"], None, reason);
                    self.grant(account, ("apps", "replicasets"), &["get"], None, reason);
                    for kind in ["deployments", "statefulsets", "daemonsets"] {
                        self.grant(account, ("apps", kind), &["get", "patch"], None, reason);
                    }
                }
                RestartAction::Rollout {
                    workload: Some(workload),
                } => {
                    let kind = match workload.kind {
                        WorkloadKind::Deployment => "deployments",
                        WorkloadKind::StatefulSet => "statefulsets",
                        WorkloadKind::DaemonSet => "daemonsets",
                    };
                    let name = Some(workload.name.as_str());
                    let verbs = &["get", "patch"];
                    self.grant(account, ("apps", kind), verbs, name, "restart: rollout");
                }
                RestartAction::Pods { evict, .. } => {
                    let reason = "restart: pods";
                    match evict {
                        true => {
                            self.grant(account, pods, &["list"], None, reason);
                            self.grant(account, evictions, &["create"], None, reason);
                        }
                        false => self.grant(account, pods, &["list", "delete"], None, reason),
                    }
                }
            }
        }
    }

    fn remarks(&mut self, asked: &Asked, account: &Account) {
        let mut note = |text: &str| {
            let notes = self.notes.entry(account.clone()).or_default();
            notes.insert(text.to_owned());
        };
        if asked.config.proxy.is_some() {
            note(
                "with the proxy, every process of the pod has these rights: add what the app itself needs, and no more",
            );
        }
        if asked.config.serve.writes.allowed {
            note(
                "a write of a ConfigMap that does not exist needs create, too, which RBAC cannot limit by name",
            );
        }
    }

    /// The objects as YAML, each Role's rules with what they are for.
    pub(super) fn print(&self, report: &mut Report) -> String {
        let mut out = String::new();
        let mut accounts = BTreeSet::new();
        for (account, rules) in &self.accounts {
            let named = (&account.namespace, &account.name);
            if account.name == "default" {
                let what = "the pods name no ServiceAccount: all pods of the namespace that name none \
                            get these rights; give them one of their own";
                report.warning(
                    &format!("serviceaccount {}/default", account.namespace),
                    what,
                );
            } else if accounts.insert(named) {
                let (namespace, name) = named;
                document(
                    &mut out,
                    &[],
                    json!({
                        "apiVersion": "v1",
                        "kind": "ServiceAccount",
                        "metadata": {"name": name, "namespace": namespace},
                    }),
                );
            }
            let notes = self.notes.get(account).into_iter().flatten();
            let notes: Vec<_> = notes.map(String::as_str).collect();
            role(&mut out, account, rules, &notes);
        }
        out
    }
}

// === impl Account ===

impl Account {
    /// The same account, for objects of `namespace`.
    fn within(&self, namespace: Option<&str>) -> Self {
        let within = namespace.unwrap_or(&self.namespace);
        let within = Some(within.to_owned());
        Self {
            within,
            ..self.clone()
        }
    }
}

fn role(out: &mut String, account: &Account, rules: &BTreeMap<Resource, Grant>, notes: &[&str]) {
    if rules.is_empty() {
        return;
    }
    let prefix = if account.within.is_some() {
        ""
    } else {
        "Cluster"
    };
    let name = format!("attache-{}", account.name);
    let mut metadata = json!({"name": name});
    match &account.within {
        // Of all namespaces, so that accounts of the same name in several do not share it.
        None => metadata["name"] = json!(format!("attache-{}-{}", account.namespace, account.name)),
        Some(namespace) => {
            metadata["namespace"] = json!(namespace);
            if *namespace != account.namespace {
                metadata["name"] = json!(format!("attache-{}-{}", account.namespace, account.name));
            }
        }
    }
    let role = format!("{prefix}Role");
    let head = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": role,
        "metadata": metadata,
    });
    document(out, notes, head);
    out.push_str("rules:\n");
    for (key, grant) in rules {
        let mut rule = json!({
            "apiGroups": [key.group],
            "resources": [key.resource],
            "verbs": key.verbs,
        });
        if key.named {
            rule["resourceNames"] = json!(grant.names);
        }
        let reasons: Vec<_> = grant.reasons.iter().copied().collect();
        out.push_str(&format!("  # {}\n", reasons.join("; ")));
        tree::block(&Tree::new(json!([rule])).in_lines(), 2, LAYOUT, out);
    }
    document(
        out,
        &[],
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": format!("{prefix}RoleBinding"),
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": metadata["name"]},
            "subjects": [{"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}],
        }),
    );
}

fn document(out: &mut String, notes: &[&str], object: Value) {
    out.push_str(if out.is_empty() { "" } else { "---\n" });
    for note in notes {
        out.push_str(&format!("# Note: {note}.\n"));
    }
    tree::block(&Tree::new(object), 0, LAYOUT, out);
}

#[cfg(test)]
mod tests;
