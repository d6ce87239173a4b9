//! What the sidecar requests, so that the pod keeps its quality of service, and what it holds within that.

use serde_json::{Value, json};

use super::pod::{containers, init_containers};
use super::work::Task;
use crate::config::nanos;

/// Which part of the memory limit content may take. A list may put as much again beside it before it lets
/// go of it, and the rest is a page of that list, what clients are sent, and attache itself.
const SHARE: u128 = 4;
/// A byte as [`nanos`] counts.
const BYTE: u128 = 1_000_000_000;

/// The resources of what is added: those asked for, or few. In a Guaranteed pod limits equal requests,
/// and the CPU is more: under a quota of 5m a process takes seconds to start.
pub(super) fn resources(task: &Task<'_>) -> Value {
    if let Some(resources) = &task.asked.resources {
        return resources.clone();
    }
    if is_guaranteed(task.base) {
        let both = json!({ "cpu": "50m", "memory": "32Mi" });
        return json!({ "requests": both, "limits": both });
    }
    json!({ "requests": { "cpu": "5m", "memory": "12Mi" }, "limits": { "memory": "32Mi" } })
}

/// `--max-bytes` of a sidecar that is given `resources`: a part of its memory limit, so that it refuses what
/// does not fit rather than is killed for it. `None` where the default is no more than that part, and where
/// there is no limit.
pub(super) fn max_bytes(task: &Task<'_>, resources: &Value) -> Option<String> {
    let limit = nanos(resources["limits"]["memory"].as_str()?)? / BYTE;
    let kibibytes = usize::try_from(limit / SHARE / 1024).ok()?;
    let is_less = kibibytes < task.asked.config.source.max_bytes / 1024;
    // Kubernetes has a limit of 0 as none.
    (is_less && kibibytes > 0).then(|| match kibibytes % 1024 {
        0 => format!("{}Mi", kibibytes / 1024),
        _ => format!("{kibibytes}Ki"),
    })
}

/// Whether resources that are asked for take from the pod that it is Guaranteed.
pub(super) fn end_guarantee(task: &Task<'_>) -> bool {
    let asked = task.asked.resources.as_ref();
    let is_less = asked.is_some_and(|asked| !is_capped(asked));
    is_less && is_guaranteed(task.base)
}

/// Whether the pod's quality of service is Guaranteed by what its containers say. Resources of the pod
/// as a whole decide it by themselves, whatever the sidecar says.
fn is_guaranteed(base: &Value) -> bool {
    let of_pod = base.pointer("/spec/resources");
    let is_set = |value: &Value| value.as_object().is_some_and(|map| !map.is_empty());
    let mut all = containers(base).chain(init_containers(base));
    !of_pod.is_some_and(is_set) && all.all(|container| is_capped(&container["resources"]))
}

/// Whether limits are the requests. Requests that are not said are the limits.
fn is_capped(resources: &Value) -> bool {
    ["cpu", "memory"].iter().all(|resource| {
        let limit = &resources["limits"][resource];
        let request = &resources["requests"][resource];
        !limit.is_null() && (request.is_null() || is_equal(limit, request))
    })
}

/// Whether two quantities are equal, as `1` and `1000m` are.
fn is_equal(one: &Value, other: &Value) -> bool {
    let quantity = |value: &Value| match value {
        Value::String(text) => nanos(text.trim()),
        // YAML leaves the quotes out of `cpu: 1`.
        other => nanos(&other.to_string()),
    };
    one == other || quantity(one).is_some_and(|one| quantity(other) == Some(one))
}
