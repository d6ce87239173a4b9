//! What may not be as it was meant.

use serde_json::Value;

use super::LABEL;
use super::pod::{self, containers, is_sub_path, list, name};
use super::resources::end_guarantee;
use super::work::Work;
use crate::config::{Action, Config, ObjectKind, ObjectName, PREFIX, RestartAction, Rule};

/// Adds the warnings that no edit brings with it.
pub(super) fn add(work: &mut Work<'_>) {
    let Work { task, warnings, .. } = work;
    if let Some(label) = task.base["metadata"]["labels"][LABEL].as_str()
        && !["enabled", "disabled"].contains(&label)
    {
        warnings.push(format!(
            "label {LABEL}: {label:?} means nothing; write enabled or disabled"
        ));
    }
    if end_guarantee(task) {
        warnings.push(format!(
            "{PREFIX}resources: the pod is Guaranteed no longer: give cpu and memory limits that equal the requests"
        ));
    }
    for rule in &task.asked.config.on_change {
        if let Action::Command(_) = rule.action
            && task.asked.exec_container.is_none()
        {
            warnings.push(format!(
                "{}: command: runs in the sidecar, whose image holds no programs but attache",
                rule.name
            ));
        }
        if tells_the_app(rule) && rule.after_mount.is_none() {
            for (kind, object) in objects(rule, &task.asked.config) {
                warnings.extend(
                    mounted(task.base, kind, object).map(|how| format!("{}: {how}", rule.name)),
                );
            }
        }
    }
}

/// Whether a rule makes processes read again which run on: a new pod's volumes are fresh.
fn tells_the_app(rule: &Rule) -> bool {
    matches!(
        rule.action,
        Action::Signal(_) | Action::Webhook(_) | Action::Restart(RestartAction::Process { .. })
    )
}

/// The objects whose changes a rule is for.
fn objects<'a>(rule: &'a Rule, config: &'a Config) -> Vec<(ObjectKind, &'a ObjectName)> {
    match &rule.when.object {
        Some((kind, object)) => vec![(*kind, object)],
        None => {
            let named = config.source.objects.iter();
            named.map(|named| (named.kind, &named.object)).collect()
        }
    }
}

/// Whether the app also reads the object from a volume, which the kubelet updates later.
fn mounted(base: &Value, kind: ObjectKind, object: &ObjectName) -> Option<String> {
    let namespace = base["metadata"]["namespace"].as_str();
    let elsewhere = object.namespace.as_deref();
    if elsewhere.is_some() && elsewhere != namespace {
        return None;
    }
    let mut found = containers(base).flat_map(|container| {
        let mounts = list(container, "volumeMounts").iter();
        mounts.map(move |mount| (name(container), mount))
    });
    let (who, mount) = found.find(|(_, mount)| {
        let volume = pod::volume(base, name(mount));
        volume.is_some_and(|volume| holds(volume, kind, &object.name))
    })?;
    let (object, path) = (&object.name, pod::mount_path(mount).display());
    Some(if is_sub_path(mount) {
        format!(
            "{who} mounts {object} at {path} by subPath, which never updates: let files write it"
        )
    } else {
        format!(
            "{who} mounts {object} at {path}, up to 90 s late: add afterMount: {path}, or use files"
        )
    })
}

/// Whether a volume shows that object.
fn holds(volume: &Value, kind: ObjectKind, object: &str) -> bool {
    let (field, name) = match kind {
        ObjectKind::ConfigMap => ("configMap", "name"),
        ObjectKind::Secret => ("secret", "secretName"),
    };
    let mut sources = list(&volume["projected"], "sources").iter();
    volume[field][name] == object || sources.any(|source| source[field]["name"] == object)
}
