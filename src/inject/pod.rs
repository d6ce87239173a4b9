//! A pod, read: what injection wants to know of it, and whether it has the form of one.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::config::Faults;

/// Where the API server's ServiceAccount admission mounts a pod's token, and clients look for it.
pub(super) const TOKEN_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Whether the pod has the form that edits rely on.
///
/// # Errors
/// Each list or map that is something else, and a pod without containers.
pub(super) fn check(pod: &Value) -> Result<(), Faults> {
    let mut faults = Faults::default();
    for path in ["/metadata", "/metadata/annotations", "/metadata/labels"] {
        if pod
            .pointer(path)
            .is_some_and(|v| !v.is_object() && !v.is_null())
        {
            faults.add(path[1..].replace('/', "."), "expected a map");
        }
    }
    let annotations = pod.pointer("/metadata/annotations");
    for (name, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
        if !value.is_string() {
            faults.add(name, "annotations are strings: put quotes around the value");
        }
    }
    let spec = &pod["spec"];
    if list(spec, "containers").is_empty() {
        faults.add("spec.containers", "expected at least one container");
    }
    check_lists(
        spec,
        "spec",
        &["containers", "initContainers", "volumes"],
        &mut faults,
    );
    for container in containers(pod).chain(init_containers(pod)) {
        let at = format!("container {}", name(container));
        check_lists(container, &at, &["env", "volumeMounts"], &mut faults);
    }
    // Edits mean things by what they are called.
    let all = containers(pod).chain(init_containers(pod)).map(name);
    check_once("container", all, &mut faults);
    check_once(
        "volume",
        list(spec, "volumes").iter().map(name),
        &mut faults,
    );
    for container in containers(pod).chain(init_containers(pod)) {
        let mounts = list(container, "volumeMounts").iter();
        let paths = mounts.filter_map(|mount| mount["mountPath"].as_str());
        let what = format!("container {}: mount at", name(container));
        check_once(&what, paths, &mut faults);
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

fn check_lists(of: &Value, at: &str, keys: &[&str], faults: &mut Faults) {
    for key in keys {
        let fits = match of.get(key) {
            None | Some(Value::Null) => true,
            Some(Value::Array(items)) => items.iter().all(|item| item["name"].is_string()),
            Some(_) => false,
        };
        if !fits {
            faults.add(
                format!("{at}.{key}"),
                "expected a list of things with a name",
            );
        }
    }
}

/// No two things are called the same, as the API server has it.
fn check_once<'a>(what: &str, names: impl Iterator<Item = &'a str>, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            faults.add(format!("{what} {name}"), "is there twice: drop one");
        }
    }
}

/// The list at `key`; empty where there is none.
pub(super) fn list<'a>(of: &'a Value, key: &str) -> &'a [Value] {
    of.get(key)
        .and_then(Value::as_array)
        .map_or(&[], |list| list)
}

/// The app's containers.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    list(&pod["spec"], "containers").iter()
}

/// Those that run before, native sidecars among them.
pub(super) fn init_containers(pod: &Value) -> impl Iterator<Item = &Value> {
    list(&pod["spec"], "initContainers").iter()
}

/// The container of that name among the app's.
pub(super) fn container<'a>(pod: &'a Value, wanted: &str) -> Option<&'a Value> {
    containers(pod).find(|container| name(container) == wanted)
}

/// The names of the app's containers, as a sentence lists them.
pub(super) fn container_names(pod: &Value) -> String {
    let names: Vec<_> = containers(pod).map(name).collect();
    names.join(", ")
}

/// The volume of that name.
pub(super) fn volume<'a>(pod: &'a Value, wanted: &str) -> Option<&'a Value> {
    let mut volumes = list(&pod["spec"], "volumes").iter();
    volumes.find(|volume| name(volume) == wanted)
}

/// What a thing is called.
pub(super) fn name(thing: &Value) -> &str {
    thing["name"].as_str().unwrap_or_default()
}

/// Where a mount is.
pub(super) fn mount_path(mount: &Value) -> &Path {
    Path::new(mount["mountPath"].as_str().unwrap_or_default())
}

/// What `container` mounts at exactly `path`.
pub(super) fn mount_at<'a>(container: &'a Value, path: &Path) -> Option<&'a Value> {
    let mut mounts = list(container, "volumeMounts").iter();
    mounts.find(|mount| mount_path(mount) == path)
}

/// Whether a mount shows a part of its volume only, which the kubelet never updates.
pub(super) fn is_sub_path(mount: &Value) -> bool {
    ["subPath", "subPathExpr"]
        .iter()
        .any(|key| mount[key].as_str().is_some_and(|path| !path.is_empty()))
}

/// The user that `container` runs as, as far as the pod says it.
pub(super) fn user(pod: &Value, container: &Value) -> Option<i64> {
    let own = container.pointer("/securityContext/runAsUser");
    own.and_then(Value::as_i64)
        .or_else(|| pod.pointer("/spec/securityContext/runAsUser")?.as_i64())
}
