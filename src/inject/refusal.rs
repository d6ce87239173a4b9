//! Which pods get no sidecar, and which rules none does.

use serde_json::Value;

use super::pod::{containers, init_containers, name};
use super::{LABEL, Skip, Surroundings};
use crate::config::{Action, Asked, Faults, PREFIX, Platform, RestartAction};

/// Why `pod`, without what attache injected before, gets no sidecar, whatever it asks.
pub(super) fn of(pod: &Value) -> Option<Skip> {
    let spec = &pod["spec"];
    let is_true = |key: &str| spec[key] == Value::Bool(true);
    let metadata = &pod["metadata"];
    if metadata["annotations"]["kubernetes.io/config.mirror"].is_string() {
        Some(Skip::Mirror)
    } else if metadata["labels"][LABEL] == "disabled" {
        Some(Skip::OptedOut)
    } else if spec["os"]["name"] == "windows"
        || spec["nodeSelector"]["kubernetes.io/os"] == "windows"
    {
        Some(Skip::Windows)
    } else if is_true("hostNetwork") {
        Some(Skip::HostNetwork)
    } else if is_true("hostPID") {
        Some(Skip::HostPid)
    } else if containers(pod).chain(init_containers(pod)).any(is_attache) {
        Some(Skip::ByHand)
    } else {
        None
    }
}

/// Whether a sidecar that is a plain container would keep the pod from ending.
pub(super) fn is_endless(pod: &Value, surroundings: &Surroundings, asked: &Asked) -> bool {
    let policy = pod["spec"]["restartPolicy"].as_str().unwrap_or("Always");
    // Under `attache exec` the app's own container runs attache, and ends with its command.
    asked.exec_container.is_none()
        && !surroundings.native
        && (surroundings.is_job || policy != "Always")
}

/// Refuses the rules that need rights over other pods, unless the platform grants them.
pub(super) fn check_rules(asked: &Asked, platform: &Platform, faults: &mut Faults) {
    for rule in &asked.config.on_change {
        let what = match &rule.action {
            Action::Restart(RestartAction::Rollout { .. }) if !platform.allow_rollout => "rollout",
            Action::Restart(RestartAction::Pods { .. }) if !platform.allow_pods => "pods",
            _ => continue,
        };
        let fault = format!(
            "{}: restart: {what} needs rights over other pods, which no app's sidecar gets: leave it to a Deployment of attache of its own, or let the platform allow it by --allow-restart={what}",
            rule.name
        );
        faults.add(format!("{PREFIX}on-change"), fault);
    }
}

/// Whether a container is attache's: by its name, or its image's, as in `registry/attache:0.1.0`.
fn is_attache(container: &Value) -> bool {
    let name = name(container);
    let image = container["image"].as_str().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let repository = last.split([':', '@']).next();
    name == "attache" || name.starts_with("attache-") || repository == Some("attache")
}
