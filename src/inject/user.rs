//! Which user the sidecar runs as, and whether it sees the app's processes.

use serde_json::Value;

use super::pod::{self, container, containers, name, user};
use super::work::Work;
use crate::config::{FilesTo, PREFIX};

/// The sidecar's user where it need not be the app's: of nobody else, as its image says.
const USER: i64 = 65_532;
/// That others may read a file.
const OTHERS_READ: u32 = 0o004;
/// That its group may.
const GROUP_READ: u32 = 0o040;

/// Shares the processes where a rule needs it, and says as which user the sidecar runs.
pub(super) fn add(work: &mut Work<'_>) -> i64 {
    if work.job.finds_processes() {
        share(work);
        return target(
            work,
            "on-change",
            "a signal reaches processes of the same user only",
        );
    }
    if work
        .job
        .asked
        .config
        .files
        .iter()
        .any(|rule| is_private(work.job.base, &rule.to))
    {
        return target(
            work,
            "files",
            "files with such a mode are for their owner only",
        );
    }
    USER
}

fn share(work: &mut Work<'_>) {
    let path = "/spec/shareProcessNamespace";
    match &work.job.base["spec"]["shareProcessNamespace"] {
        Value::Bool(true) => {}
        Value::Bool(false) => {
            let fault = "signals need shareProcessNamespace, and the pod says false: drop it from the pod, or tell the app by a webhook";
            work.fault("on-change", fault);
        }
        _ => work.editor.set(path, Value::Bool(true)),
    }
}

/// Whether only the owner of a file may read it: the group is the app's as well with an `fsGroup`.
fn is_private(base: &Value, to: &FilesTo) -> bool {
    let group = base.pointer("/spec/securityContext/fsGroup");
    let enough = match group.and_then(Value::as_i64) {
        Some(_) => OTHERS_READ | GROUP_READ,
        None => OTHERS_READ,
    };
    let is_private = |mode: u32| mode & enough == 0;
    match to {
        FilesTo::File { mode, .. } => is_private(*mode),
        FilesTo::Dir { mode, items, .. } => {
            let items = items.iter().flatten();
            let mut modes = items.filter_map(|item| item.mode);
            is_private(*mode) || modes.any(is_private)
        }
    }
}

/// The user of the container that is meant, or of all.
fn target(work: &mut Work<'_>, annotation: &str, why: &str) -> i64 {
    let base = work.job.base;
    let named = work.job.asked.target_container.as_deref();
    let targets: Vec<&Value> = match named {
        Some(named) => container(base, named).into_iter().collect(),
        None => containers(base).collect(),
    };
    let mut users = Vec::new();
    for target in targets {
        let Some(user) = user(base, target) else {
            let who = name(target);
            let fault = format!(
                "{why}, and container {who} leaves its user to its image: set runAsUser in its securityContext, or name another container by {PREFIX}target-container"
            );
            work.fault(annotation, fault);
            return USER;
        };
        users.push(user);
    }
    let first = users.first().copied().unwrap_or(USER);
    if users.iter().any(|user| *user != first) {
        let names = pod::container_names(base);
        let fault = format!(
            "{why}, and the containers {names} run as different ones: name the one that is meant by {PREFIX}target-container"
        );
        work.fault(annotation, fault);
    }
    first
}
