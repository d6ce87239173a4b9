//! What rules read or reach by a path, which is the app's: attache's container has nothing but mounts.

use std::path::Path;

use serde_json::{Value, json};

use super::pod::{self, TOKEN_DIR, containers, list, mount_path, name};
use super::work::Work;
use crate::config::{Action, HeaderText, ProcessMatch, RestartAction, Rule};

/// The key of a rule that waits for a mount.
const AFTER_MOUNT: &str = "afterMount";

/// Shows attache, read-only, the app's mounts that rules name a path in.
pub(super) fn add(work: &mut Work<'_>) {
    let task = work.task;
    for rule in &task.asked.config.on_change {
        for (key, path) in paths(rule) {
            match mount_for(work, key, path) {
                Ok(Some(mount)) => work.mounts.push(mount),
                Ok(None) => {}
                Err(fault) => work.fault("on-change", format!("{}: {key}: {fault}", rule.name)),
            }
        }
    }
}

/// The paths that a rule names, each with its key.
fn paths(rule: &Rule) -> Vec<(&'static str, &Path)> {
    let mut paths = Vec::new();
    paths.extend(rule.after_mount.as_deref().map(|path| (AFTER_MOUNT, path)));
    match &rule.action {
        Action::Signal(signal) => paths.extend(pidfile(&signal.target)),
        Action::Restart(RestartAction::Process { target, .. }) => paths.extend(pidfile(target)),
        Action::Webhook(webhook) => {
            let socket = webhook.unix_socket.as_deref();
            paths.extend(socket.map(|path| ("unixSocket", path)));
            let authority = webhook.certificate_authority.as_deref();
            paths.extend(authority.map(|path| ("certificateAuthority", path)));
            for header in webhook.headers.values() {
                if let HeaderText::File(path) = header {
                    paths.push(("headers", path));
                }
            }
        }
        Action::Command(_) | Action::Restart(_) => {}
    }
    paths
}

fn pidfile(target: &ProcessMatch) -> Option<(&'static str, &Path)> {
    match target {
        ProcessMatch::Pidfile(path) => Some(("pidfile", path)),
        ProcessMatch::Name(_) | ProcessMatch::Cmdline(_) => None,
    }
}

/// The mount that shows `path`, unless attache's container has it already.
fn mount_for(work: &Work<'_>, key: &str, path: &Path) -> Result<Option<Value>, String> {
    let is_wrapped = work.task.asked.exec_container.is_some();
    // What the app's own container has beside its mounts is its image's matter.
    if path.starts_with(TOKEN_DIR) || is_wrapped && key != AFTER_MOUNT {
        return Ok(None);
    }
    let who = work.task.asked.target_container.as_deref();
    let who = who.or(work.task.asked.exec_container.as_deref());
    let mounts = containers(work.task.base)
        .filter(|container| who.is_none_or(|who| name(container) == who))
        .flat_map(|container| list(container, "volumeMounts"))
        .filter(|mount| path.starts_with(mount_path(mount)));
    let innermost = mounts.max_by_key(|mount| mount_path(mount).components().count());
    let Some(mount) = innermost else {
        let (who, path) = (who.unwrap_or("the app"), path.display());
        return Err(format!(
            "{who} mounts no volume at {path}, where attache could see it: mount one there"
        ));
    };
    if key == AFTER_MOUNT && pod::is_sub_path(mount) {
        let path = path.display();
        return Err(format!(
            "{path} is mounted by subPath, which the kubelet never updates: mount the whole volume"
        ));
    }
    if is_wrapped || work.mounts_at(mount_path(mount)) {
        return Ok(None);
    }
    if mount["subPathExpr"].is_string() {
        let path = path.display();
        return Err(format!(
            "{path} is mounted by subPathExpr, whose variables are the app's: mount the whole volume"
        ));
    }
    let mut shown = json!({ "readOnly": true });
    for field in ["name", "mountPath", "subPath"] {
        if let Some(value) = mount.get(field) {
            shown[field] = value.clone();
        }
    }
    Ok(Some(shown))
}
