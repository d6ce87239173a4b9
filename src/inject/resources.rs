//! What the sidecar requests, so that the pod keeps its quality of service.

use serde_json::{Value, json};

use super::pod::{containers, init_containers};
use super::work::Job;

/// The resources of what is added: those asked for, or few; in a Guaranteed pod limits equal requests,
/// and the CPU is more, for under a quota of 5 ms a second no process starts.
pub(super) fn resources(job: &Job<'_>) -> Value {
    if let Some(resources) = &job.asked.resources {
        return resources.clone();
    }
    if is_guaranteed(job.base) {
        let both = json!({ "cpu": "50m", "memory": "32Mi" });
        return json!({ "requests": both, "limits": both });
    }
    json!({ "requests": { "cpu": "5m", "memory": "12Mi" }, "limits": { "memory": "32Mi" } })
}

/// Whether the pod's quality of service is Guaranteed by what its containers say. Resources of the pod
/// as a whole decide it by themselves, whatever the sidecar says.
fn is_guaranteed(base: &Value) -> bool {
    let of_pod = base.pointer("/spec/resources");
    let is_set = |value: &Value| value.as_object().is_some_and(|map| !map.is_empty());
    let mut all = containers(base).chain(init_containers(base));
    !of_pod.is_some_and(is_set) && all.all(is_capped)
}

/// Whether a container's limits are its requests. Requests that are not said are the limits.
fn is_capped(container: &Value) -> bool {
    let resources = &container["resources"];
    ["cpu", "memory"].iter().all(|resource| {
        let limit = &resources["limits"][resource];
        let request = &resources["requests"][resource];
        !limit.is_null() && (request.is_null() || is_equal(limit, request))
    })
}

/// Whether two quantities are equal, as `1` and `1000m` are.
fn is_equal(one: &Value, other: &Value) -> bool {
    one == other
        || match (quantity(one), quantity(other)) {
            (Some(one), Some(other)) => (one - other).abs() <= one.abs() * 1e-9,
            _ => false,
        }
}

/// A quantity (Kubernetes API, `resource.Quantity`).
fn quantity(value: &Value) -> Option<f64> {
    let Value::String(text) = value else {
        return value.as_f64();
    };
    let text = text.trim();
    // Also `1e3`; `1E` is a suffix, and no number.
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let end = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, suffix) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let powers = ["k", "M", "G", "T", "P", "E"];
    let factor = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        _ => {
            let decimal = suffix.strip_suffix('i');
            let letter = decimal.unwrap_or(suffix).replace('K', "k");
            let power = powers.iter().position(|power| *power == letter)?;
            let base: f64 = if decimal.is_some() { 1024.0 } else { 1000.0 };
            base.powi(i32::try_from(power).ok()? + 1)
        }
    };
    Some(number * factor)
}
