//! Which objects hold pods, and where.

use crate::config::tree::Tree;
use crate::config::{Target, Template};

/// What holds a pod.
#[derive(Debug)]
pub(super) struct Workload<'a> {
    /// As `deployment/web`.
    pub(super) name: Target,
    /// The namespace, if it gives one.
    pub(super) namespace: Option<String>,
    /// Whether it is a Job or makes Jobs.
    pub(super) is_job: bool,
    /// The Pod itself or the pod template; `None` if there is none where it should be.
    pub(super) pod: Option<&'a mut Tree>,
}

/// The kinds of Kubernetes' own: their API group, and the keys that lead to the pod.
const KINDS: &[(&str, &str, &[&str])] = &[
    ("Pod", "", &[]),
    ("ReplicationController", "", &["spec", "template"]),
    ("Deployment", "apps", &["spec", "template"]),
    ("StatefulSet", "apps", &["spec", "template"]),
    ("DaemonSet", "apps", &["spec", "template"]),
    ("ReplicaSet", "apps", &["spec", "template"]),
    // Where Deployments, DaemonSets and ReplicaSets were before Kubernetes 1.16.
    ("Deployment", "extensions", &["spec", "template"]),
    ("DaemonSet", "extensions", &["spec", "template"]),
    ("ReplicaSet", "extensions", &["spec", "template"]),
    ("Job", "batch", &["spec", "template"]),
    (
        "CronJob",
        "batch",
        &["spec", "jobTemplate", "spec", "template"],
    ),
];

/// Shows `visit` every workload in a document, those in lists too; `templates` says where kinds of the
/// user's own hold their pod template.
pub(super) fn each(
    document: &mut Tree,
    templates: &[Template],
    visit: &mut dyn FnMut(Workload<'_>),
) {
    object(document, None, templates, visit);
}

/// `of` is the apiVersion and kind of what a list holds, for items that do not say it themselves.
fn object(
    tree: &mut Tree,
    of: Option<(&str, &str)>,
    templates: &[Template],
    visit: &mut dyn FnMut(Workload<'_>),
) {
    let field = |key, default: Option<&str>| {
        let text = tree.get(key).and_then(Tree::text).or(default);
        text.unwrap_or_default().to_owned()
    };
    let version = field("apiVersion", of.map(|(version, _)| version));
    let kind = field("kind", of.map(|(_, kind)| kind));
    let Some(path) = path(&version, &kind, templates) else {
        let items = match kind.strip_suffix("List") {
            Some(_) => tree.get_mut("items"),
            None => None,
        };
        if let Some(Tree::List { items, .. }) = items {
            let item = kind.strip_suffix("List").unwrap_or_default();
            for tree in items {
                object(tree, Some((&version, item)), templates, visit);
            }
        }
        return;
    };
    let metadata = |key| tree.get("metadata")?.get(key)?.text().map(str::to_owned);
    let generated = || metadata("generateName").map(|prefix| prefix + "*");
    let name = metadata("name").or_else(generated).unwrap_or_default();
    let namespace = metadata("namespace");
    let mut pod = Some(tree);
    for key in &path {
        pod = pod.and_then(|tree| tree.get_mut(key));
    }
    let (is_job, kind) = (kind == "Job" || kind == "CronJob", kind.to_lowercase());
    visit(Workload {
        name: Target { kind, name },
        namespace,
        is_job,
        pod: pod.filter(|tree| tree.get("spec").is_some()),
    });
}

/// The keys that lead to the pod in objects of this kind, if they hold one.
fn path(version: &str, kind: &str, templates: &[Template]) -> Option<Vec<String>> {
    if let Some(template) = templates.iter().find(|template| template.kind == kind) {
        return Some(template.path.clone());
    }
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let known = KINDS
        .iter()
        .find(|known| (known.0, known.1) == (kind, group));
    known.map(|(_, _, path)| path.iter().map(|key| (*key).to_owned()).collect())
}

#[cfg(test)]
mod tests;
