//! Whether a pod is made for what the attache in it is to do: pure, from the pod's JSON.

use crate::config::{Action, Config, ObjectKind, ObjectName, ProcessMatch, RestartAction, Rule};
use crate::inject::rights::Place;
use crate::upstream::Budget;

use super::findings::Finding;
use super::pod::{Container, Pod, Sidecar, Volume, VolumeMount};

/// Why the kubelet says a container ended that wanted more memory than its limit.
const OOM_KILLED: &str = "OOMKilled";
/// Where a service account's token is mounted.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What the spec says, which pods of one workload have in common.
pub(super) fn spec(
    pod: &Pod,
    sidecar: Sidecar<'_>,
    config: &Config,
    place: &Place,
) -> Vec<Finding> {
    let mut found = processes(pod, sidecar, config);
    found.extend(mounts(pod, sidecar, config, place));
    found.extend(token(sidecar, config));
    found
}

/// Whether the container runs, is ready, and stays so.
pub(super) fn status(pod: &Pod, sidecar: Sidecar<'_>) -> Vec<Finding> {
    let name = &sidecar.container.name;
    let Some(status) = pod.status_of(sidecar.container) else {
        let text = format!("container {name} has no status yet: no node has taken the pod");
        return vec![Finding::warning(text)];
    };
    let logs = format!(
        "kubectl -n {} logs {} -c {name}",
        pod.metadata.namespace, pod.metadata.name
    );
    let mut found = Vec::new();
    let is_ready = status.ready || status.started == Some(true);
    if let Some(waiting) = &status.state.waiting {
        let said = Some(&waiting.message).filter(|message| !message.is_empty());
        let said = said.map(|said| format!(" ({said})")).unwrap_or_default();
        found.push(Finding::error(format!(
            "container {name} does not run: {}{said}; see kubectl describe, and {logs} --previous",
            waiting.reason
        )));
    } else if let Some(ended) = status.state.terminated.as_ref().filter(|_| !is_ready) {
        found.push(Finding::error(format!(
            "container {name} does not run: it ended with {}; see {logs}",
            ended.ended()
        )));
    } else if !is_ready {
        found.push(Finding::error(format!(
            "container {name} is not ready: see {logs}, or ask it by kubectl exec: {} doctor",
            sidecar.container.program()
        )));
    }
    if status.restart_count > 0 {
        let last = status.last_state.terminated.as_ref();
        let shown = last.map(|last| format!(", last with {}", last.ended()));
        let hint = match last {
            Some(last) if last.reason == OOM_KILLED => {
                "raise its memory limit (attache.dev/resources, where it is injected), or lower --max-bytes; "
            }
            _ => "",
        };
        found.push(Finding::warning(format!(
            "container {name} was started anew {} times{}: {hint}see {logs} --previous",
            status.restart_count,
            shown.unwrap_or_default()
        )));
    }
    found
}

/// Whether signals can reach the app's processes.
fn processes(pod: &Pod, sidecar: Sidecar<'_>, config: &Config) -> Vec<Finding> {
    let Some(rule) = config.on_change.iter().find(|rule| signals(rule).is_some()) else {
        return Vec::new();
    };
    let rule = &rule.name;
    if pod.spec.host_pid {
        return vec![Finding::error(format!(
            "{rule} signals processes, which hostPID: true would let it do to other pods', and attache refuses it: set \
             hostPID: false and shareProcessNamespace: true in the pod's spec"
        ))];
    }
    if sidecar.is_apart && !pod.spec.share_process_namespace {
        return vec![Finding::error(format!(
            "{rule} signals processes that attache does not see: set shareProcessNamespace: true in the pod's spec"
        ))];
    }
    let ours = pod.user(sidecar.container);
    if !sidecar.is_apart || ours == Some(0) {
        return Vec::new();
    }
    let mut others = pod.others(sidecar).map(|container| pod.user(container));
    let (mut unknown, mut same) = (false, false);
    others.by_ref().for_each(|user| {
        unknown |= user.is_none();
        same |= user.is_some() && user == ours;
    });
    let advice = "give both the same runAsUser in their securityContext";
    if same {
        Vec::new()
    } else if unknown || ours.is_none() {
        vec![Finding::warning(format!(
            "{rule} signals processes, and the pod does not say that they run as attache's user: {advice}"
        ))]
    } else {
        vec![Finding::error(format!(
            "{rule} signals processes of containers that run as another user than attache's {}: {advice}",
            ours.unwrap_or_default()
        ))]
    }
}

/// Whom a rule signals or ends.
pub(super) fn signals(rule: &Rule) -> Option<&ProcessMatch> {
    match &rule.action {
        Action::Signal(signal) => Some(&signal.target),
        Action::Restart(RestartAction::Process { target, .. }) => Some(target),
        _ => None,
    }
}

/// Rules of objects that the app reads through a mount, which lags behind the watch.
fn mounts(pod: &Pod, sidecar: Sidecar<'_>, config: &Config, place: &Place) -> Vec<Finding> {
    let mut found = Vec::new();
    for rule in &config.on_change {
        if let Some(dir) = &rule.after_mount {
            let dir = dir.display().to_string();
            match sidecar.container.mount_of(&dir) {
                Some((mount, _)) if mount.is_fixed() => found.push(fixed(rule, mount)),
                Some(_) => {}
                None => found.push(Finding::error(format!(
                    "{} waits for {dir}, which container {} does not mount: give it the app's volumeMount",
                    rule.name, sidecar.container.name
                ))),
            }
            continue;
        }
        // A new pod is given new mounts.
        if let Action::Restart(action) = &rule.action
            && !matches!(action, RestartAction::Process { .. })
        {
            continue;
        }
        for container in pod.others(sidecar) {
            for (object, mount) in mounted(pod, container) {
                if !is_for(rule, config, place, pod, object) {
                    continue;
                }
                found.push(if mount.is_fixed() {
                    fixed(rule, mount)
                } else {
                    Finding::warning(format!(
                        "{} acts at once, and container {} reads {} from {}, which the kubelet updates up to 90 s later: \
                         add afterMount: {} to the rule, and the same volumeMount to container {}",
                        rule.name,
                        container.name,
                        object.1,
                        mount.mount_path,
                        mount.mount_path,
                        sidecar.container.name
                    ))
                });
            }
        }
    }
    found
}

fn fixed(rule: &Rule, mount: &VolumeMount) -> Finding {
    Finding::warning(format!(
        "{} is for what is mounted at {} with subPath, which the kubelet never updates: mount the whole volume",
        rule.name, mount.mount_path
    ))
}

/// The objects that a container has mounted, and where.
fn mounted<'a>(
    pod: &'a Pod,
    container: &'a Container,
) -> Vec<((ObjectKind, &'a str), &'a VolumeMount)> {
    let mut found = Vec::new();
    for mount in &container.volume_mounts {
        let volume = pod.spec.volumes.iter().find(|v| v.name == mount.name);
        for object in volume.into_iter().flat_map(held) {
            found.push((object, mount));
        }
    }
    found
}

/// The objects that a volume holds.
fn held(volume: &Volume) -> Vec<(ObjectKind, &str)> {
    let mut held = Vec::new();
    if let Some(map) = &volume.config_map {
        held.push((ObjectKind::ConfigMap, map.name.as_str()));
    }
    if let Some(secret) = &volume.secret {
        held.push((ObjectKind::Secret, secret.secret_name.as_str()));
    }
    for source in volume.projected.iter().flat_map(|p| &p.sources) {
        if let Some(map) = &source.config_map {
            held.push((ObjectKind::ConfigMap, map.name.as_str()));
        }
        if let Some(secret) = &source.secret {
            held.push((ObjectKind::Secret, secret.name.as_str()));
        }
    }
    held
}

/// Whether a rule acts on that object of the pod's namespace.
fn is_for(
    rule: &Rule,
    config: &Config,
    place: &Place,
    pod: &Pod,
    (kind, name): (ObjectKind, &str),
) -> bool {
    let same = |of: ObjectKind, object: &ObjectName| {
        of == kind && object.name == name && place.namespace_of(object) == pod.metadata.namespace
    };
    match &rule.when.object {
        Some((of, object)) => same(*of, object),
        None => {
            let mut objects = config.source.objects.iter();
            objects.any(|named| same(named.kind, &named.object))
        }
    }
}

/// Whether the sidecar has a token.
fn token(sidecar: Sidecar<'_>, config: &Config) -> Vec<Finding> {
    let connection = &config.connection;
    let needs = config.source.dir.is_none()
        && connection.kubeconfig.is_none()
        && connection.server.is_none();
    if !needs || sidecar.container.mount_of(TOKEN).is_some() {
        return Vec::new();
    }
    let text = format!(
        "container {} has no token mounted, and cannot log on to the API server: leave out \
         automountServiceAccountToken: false, or give it a projected volume at {TOKEN} (serviceAccountToken, the ConfigMap \
         kube-root-ca.crt, and metadata.namespace by downwardAPI)",
        sidecar.container.name
    );
    vec![Finding::error(text)]
}

/// Whether a PodDisruptionBudget is for the pod, where a rule evicts it.
pub(super) fn budget(pod: &Pod, rule: &str, budgets: &[Budget], empty_is_all: bool) -> Finding {
    let labels = &pod.metadata.labels;
    if budgets
        .iter()
        .any(|budget| budget.covers(labels, empty_is_all))
    {
        return Finding::ok(format!("a PodDisruptionBudget covers the pod, for {rule}"));
    }
    let namespace = &pod.metadata.namespace;
    Finding::error(format!(
        "no PodDisruptionBudget covers the pod, and {rule} evicts none without: kubectl -n {namespace} create \
         poddisruptionbudget NAME --selector=LABELS --max-unavailable=1, or requireBudget: false in the rule"
    ))
}

/// The rule that evicts the own pod, and wants a budget for it.
pub(super) fn evicting(config: &Config) -> Option<&str> {
    let evicts = |rule: &&Rule| {
        matches!(
            rule.action,
            Action::Restart(RestartAction::Pod {
                require_budget: true,
                ..
            })
        )
    };
    let rule = config.on_change.iter().find(evicts);
    rule.map(|rule| rule.name.as_str())
}

#[cfg(test)]
mod tests;
