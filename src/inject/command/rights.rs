//! `--rbac`: the ServiceAccounts that pods name, and what these must be allowed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::report::Report;
use crate::config::tree::{self, Layout, Tree};
use crate::config::{Asked, Faults, NamedObject, ObjectKind, Target, asked};
use crate::inject::rights::{Owner, Place, Right, rights};
use crate::inject::{Surroundings, annotations};

/// What is allowed, by ServiceAccount.
#[derive(Debug, Default)]
pub(super) struct Grants {
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
    resource: String,
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

/// As in the documentation.
const LAYOUT: Layout = Layout { indent_lists: true };

// === impl Grants ===

impl Grants {
    /// Adds what the pods of `workload` need, of which `pod` is one; its annotations are its own by now.
    pub(super) fn add(
        &mut self,
        workload: &Target,
        pod: &Value,
        namespace: &str,
    ) -> Result<(), Faults> {
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
        let needed = rights(&asked.config, &place(workload, namespace));
        let on_demand = asked.config.source.on_demand;
        let on_demand = on_demand.then(|| Right::on_demand(namespace));
        for right in needed.into_iter().chain(on_demand) {
            self.grant(&account, right);
        }
        self.remarks(&asked, &account);
        Ok(())
    }

    fn grant(&mut self, account: &Account, right: Right) {
        let key = Resource {
            group: right.group,
            resource: right.shown(),
            named: right.rule_name().is_some(),
            verbs: right.verbs,
        };
        let name = right.rule_name().map(str::to_owned);
        let within = right.namespace;
        let account = Account {
            within,
            ..account.clone()
        };
        let grant = self.accounts.entry(account).or_default();
        let grant = grant.entry(key).or_default();
        grant.names.extend(name);
        grant.reasons.insert(right.why);
    }

    fn remarks(&mut self, asked: &Asked, account: &Account) {
        let mut note = |text: &str| {
            let notes = self.notes.entry(account.clone()).or_default();
            notes.insert(text.to_owned());
        };
        if let Some(name) = &asked.config_file {
            note(&format!(
                "the configuration file in ConfigMap {name} may name more objects, which need get, list and watch"
            ));
        }
        if asked.config.proxy.is_some() {
            note(
                "with the proxy, every process of the pod has these rights: add what the app itself needs, and no more",
            );
        }
        let mut named = asked.config.source.objects.iter();
        let is_expected =
            |named: &NamedObject| named.kind == ObjectKind::ConfigMap && !named.optional;
        if asked.config.serve.writes.allowed && named.any(is_expected) {
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

/// Where the pods of a workload run; one that is no template has its name.
fn place(workload: &Target, namespace: &str) -> Place {
    let Target { kind, name } = workload;
    let (pod_name, owner) = match kind.as_str() {
        "pod" => (Some(name.clone()), None),
        _ => {
            let owner = Owner {
                kind: kind.clone(),
                name: name.clone(),
                replica_set: None,
            };
            (None, Some(owner))
        }
    };
    Place {
        namespace: namespace.to_owned(),
        pod_namespace: namespace.to_owned(),
        // `generateName` is shown with a star.
        pod_name: pod_name.filter(|name| !name.is_empty() && !name.ends_with('*')),
        is_bare: owner.is_none(),
        owner,
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
