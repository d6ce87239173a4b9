//! The container `attache`.

use serde_json::{Value, json};

use super::editor::Place;
use super::resources::{max_bytes, resources};
use super::work::{Work, pod_variables};

/// The port that attache serves on unless told otherwise.
const PORT: u16 = 8001;
/// How long the pod's containers get to end, in seconds, where it does not say
/// (`terminationGracePeriodSeconds`).
const GRACE: u64 = 30;
/// The most that a plain sidecar waits for the app to end, in seconds.
const SHUTDOWN_DELAY: u64 = 10;
/// How often, once a second, the kubelet asks whether it is ready before it starts it anew.
const STARTUP_PROBES: u32 = 60;

/// Adds the sidecar, which runs as `user`.
pub(super) fn add(work: &mut Work<'_>, user: i64) {
    let native = work.task.surroundings.native;
    let mut args = vec!["run".to_owned()];
    args.extend(work.task.asked.flags.iter().cloned());
    args.append(&mut work.flags);
    let resources = resources(work.task);
    if let Some(size) = max_bytes(work.task, &resources) {
        args.push(format!("--max-bytes={size}"));
    }
    if !native {
        // It gets TERM together with the app, which may still read while it ends.
        let grace = &work.task.base["spec"]["terminationGracePeriodSeconds"];
        let grace = grace.as_u64().unwrap_or(GRACE);
        let delay = SHUTDOWN_DELAY.min(grace.saturating_sub(1) / 2);
        args.push(format!("--shutdown-delay={delay}s"));
    }
    let mut container = json!({
        "name": "attache",
        "image": work.task.image(),
        "args": args,
        "env": pod_variables(),
        "startupProbe": startup_probe(work.task.asked.config.serve.port),
        "resources": resources,
        "securityContext": security_context(work.task.base, user),
        "volumeMounts": std::mem::take(&mut work.mounts),
    });
    if native {
        container["restartPolicy"] = json!("Always");
        work.editor
            .add("/spec/initContainers", Place::First, container);
    } else {
        work.editor.add("/spec/containers", Place::Last, container);
    }
}

/// Ready by its own words. The kubelet asks the next time only when it has an answer, so the timeout
/// slows nothing: a small CPU limit makes a process start slowly.
fn startup_probe(port: u16) -> Value {
    let mut command = vec!["/attache".to_owned()];
    command.extend(["healthcheck", "--ready"].map(str::to_owned));
    if port != PORT {
        command.push(format!("--port={port}"));
    }
    json!({
        "exec": { "command": command },
        "periodSeconds": 1,
        "timeoutSeconds": 5,
        "failureThreshold": STARTUP_PROBES,
    })
}

/// What the restricted Pod Security Standard asks for, and a root file system that is read-only.
pub(super) fn security_context(base: &Value, user: i64) -> Value {
    let mut context = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
        "runAsNonRoot": user != 0,
        "runAsUser": user,
    });
    if base
        .pointer("/spec/securityContext/seccompProfile")
        .is_none_or(Value::is_null)
    {
        context["seccompProfile"] = json!({ "type": "RuntimeDefault" });
    }
    context
}
