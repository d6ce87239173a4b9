//! `attache.dev/exec-container`: the app's own command under `attache exec`.

use serde_json::{Value, json};

use super::editor::Place;
use super::pod;
use super::resources::resources;
use super::sidecar::security_context;
use super::work::{Work, container_path, has_variable, pod_variables};

/// Where the binary is put for the app's container.
const DIR: &str = "/opt/attache";
/// The volume it is put into.
const VOLUME: &str = "attache-bin";
/// The user of the container that puts it there.
const USER: i64 = 65_532;

/// Puts attache into `container`, before its command.
pub(super) fn add(work: &mut Work<'_>, container: &str) {
    let base = work.task.base;
    let Some(found) = pod::container(base, container) else {
        return;
    };
    let command = pod::list(found, "command");
    if command.is_empty() {
        let fault = format!(
            "container {container} leaves its command to its image: write that image's ENTRYPOINT as its command"
        );
        return work.fault("exec-container", fault);
    }
    install(work);
    let path = container_path(container);
    for variable in pod_variables() {
        if !has_variable(found, pod::name(&variable)) {
            work.add_to(&path, "env", Place::Last, variable);
        }
    }
    for mount in std::mem::take(&mut work.mounts) {
        let at = pod::mount_path(&mount);
        if pod::mount_at(found, at).is_some() {
            let fault = format!(
                "container {container} mounts something of its own at {}, where attache's is: mount it elsewhere",
                at.display()
            );
            work.fault("exec-container", fault);
        }
        work.add_to(&path, "volumeMounts", Place::Last, mount);
    }
    let mut wrapped: Vec<Value> = vec![
        json!(format!("{DIR}/attache")),
        json!("exec"),
        json!("--serve"),
    ];
    let flags = work.task.asked.flags.iter().map(|flag| exec_flag(flag));
    wrapped.extend(flags.chain(work.flags.drain(..)).map(Value::String));
    // As with what is served: the program is started with what it had, once it has waited in vain.
    wrapped.push(json!("--stale-ok"));
    wrapped.push(json!("--"));
    wrapped.extend_from_slice(command);
    work.editor
        .set(&format!("{path}/command"), Value::Array(wrapped));
}

/// The init container that puts the binary there: first, so that no other waits in vain.
fn install(work: &mut Work<'_>) {
    work.volume(VOLUME, "emptyDir", json!({}));
    let mount =
        |read_only: bool| json!({ "name": VOLUME, "mountPath": DIR, "readOnly": read_only });
    work.mounts.push(mount(true));
    let container = json!({
        "name": "attache-install",
        "image": work.task.image(),
        "args": ["install", DIR],
        "resources": resources(work.task),
        "securityContext": security_context(work.task.base, USER),
        "volumeMounts": [{ "name": VOLUME, "mountPath": DIR }],
    });
    work.editor
        .add("/spec/initContainers", Place::First, container);
}

/// A flag of `attache run` as `attache exec` takes it: what is watched becomes the environment.
fn exec_flag(flag: &str) -> String {
    for (run, exec) in [
        ("--configmap=", "--env-from="),
        ("--secret=", "--secret-env-from="),
    ] {
        if let Some(object) = flag.strip_prefix(run) {
            return format!("{exec}{object}");
        }
    }
    flag.to_owned()
}
