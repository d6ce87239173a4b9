//! The service account's token: the sidecar's own where the app has none, or is to have none.

use std::path::Path;

use serde_json::{Value, json};

use super::pod::{self, TOKEN_DIR, containers, init_containers, list, mount_at, name};
use super::work::Work;

/// The volume with the sidecar's token.
const VOLUME: &str = "attache-token";
/// How long the token holds, in seconds; the kubelet renews it in time.
const SECONDS: u32 = 3600;

/// Gives attache's container a token of its own where the pod gives it none.
pub(super) fn add(work: &mut Work<'_>) {
    let base = work.job.base;
    let given = &base["spec"]["automountServiceAccountToken"];
    let isolate = work.job.asked.isolate_token;
    let is_off = *given == Value::Bool(false);
    if isolate && !is_off {
        let path = "/spec/automountServiceAccountToken";
        work.editor.set(path, Value::Bool(false));
    }
    if isolate {
        take_out(work);
    }
    let dir = Path::new(TOKEN_DIR);
    let mut all = containers(base).chain(init_containers(base));
    let nobody_has_one = !all.any(|container| mount_at(container, dir).is_some());
    // Where admission has been and nobody has a token, the service account itself says no.
    if !(isolate || is_off || work.job.surroundings.admitted && nobody_has_one) {
        return;
    }
    if let Some(container) = &work.job.asked.exec_container {
        let has_one = pod::container(base, container);
        if has_one.is_some_and(|container| mount_at(container, dir).is_some()) {
            return;
        }
        work.warnings.push(format!(
            "container {container} gets the service account's token, since attache runs in it"
        ));
    }
    work.volume(VOLUME, "projected", sources());
    work.mounts
        .push(json!({ "name": VOLUME, "mountPath": TOKEN_DIR, "readOnly": true }));
}

/// As the API server's ServiceAccount admission would have it.
fn sources() -> Value {
    json!({ "sources": [
        { "serviceAccountToken": { "expirationSeconds": SECONDS, "path": "token" } },
        { "configMap": {
            "name": "kube-root-ca.crt",
            "items": [{ "key": "ca.crt", "path": "ca.crt" }],
        } },
        { "downwardAPI": { "items": [
            { "path": "namespace", "fieldRef": { "fieldPath": "metadata.namespace" } },
        ] } },
    ] })
}

/// Takes away what ServiceAccount admission put into the pod.
fn take_out(work: &mut Work<'_>) {
    let base = work.job.base;
    let volumes = list(&base["spec"], "volumes").iter();
    let volumes: Vec<&str> = volumes
        .filter(|volume| is_admitted(volume))
        .map(name)
        .collect();
    let is_token = |mount: &Value| {
        pod::mount_path(mount) == Path::new(TOKEN_DIR) && volumes.contains(&name(mount))
    };
    for kind in ["containers", "initContainers"] {
        for container in list(&base["spec"], kind) {
            let who = super::editor::escaped(name(container));
            let path = format!("/spec/{kind}/{who}/volumeMounts");
            work.editor.take(&path, is_token);
            let kept = mount_at(container, Path::new(TOKEN_DIR));
            if kept.is_some_and(|mount| !is_token(mount)) {
                let who = name(container);
                work.warnings.push(format!(
                    "container {who} mounts a token of its own at {TOKEN_DIR}, and keeps it"
                ));
            }
        }
    }
    // A volume that somebody mounts elsewhere too is not only admission's any more.
    let is_used = |volume: &str| {
        let mut all = containers(base).chain(init_containers(base));
        all.any(|container| {
            let mut mounts = list(container, "volumeMounts").iter();
            mounts.any(|mount| name(mount) == volume && !is_token(mount))
        })
    };
    work.editor.take("/spec/volumes", |volume| {
        let name = name(volume);
        volumes.contains(&name) && !is_used(name)
    });
}

/// Whether ServiceAccount admission made the volume: `kube-api-access-…`, or before Kubernetes 1.21 a
/// Secret `NAME-token-…` under its own name.
fn is_admitted(volume: &Value) -> bool {
    let name = name(volume);
    let is_projected = name.starts_with("kube-api-access-") && volume["projected"].is_object();
    let secret = &volume["secret"]["secretName"];
    is_projected || name.contains("-token-") && secret.as_str() == Some(name)
}
