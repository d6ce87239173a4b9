//! `restart`: what is restarted, and how gently.

use std::time::Duration;

use super::super::errors::Faults;
use super::super::model::{ProcessMatch, RestartAction, WhichPods, Workload, WorkloadKind};
use super::super::yaml::{Fields, Node, Value};
use super::super::{names, units};
use super::Timeout;
use super::signal::{self, TARGETS, Target};

/// The keys of the mapping beside [`TARGETS`].
const KEYS: [&str; 7] = [
    "pod",
    "rollout",
    "pods",
    "grace",
    "maxUnavailable",
    "evict",
    "timeout",
];
/// The default of `grace`, that of a pod's termination.
const GRACE: Duration = Duration::from_secs(30);
/// The default of `timeout`.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Reads `restart`: `pod`, `rollout`, or a mapping. `secret` is whether the rule is for a Secret.
pub(super) fn restart(
    node: &Node,
    timeout: &Timeout<'_>,
    secret: bool,
    faults: &mut Faults,
) -> Option<RestartAction> {
    if !matches!(node.value, Value::Map(_)) {
        let text = node.text("pod, rollout or a mapping", faults)?;
        return alone(text, node, timeout, faults);
    }
    let fields = node.fields(&[&TARGETS[..], &KEYS].concat(), faults)?;
    let found = signal::target(&fields, faults);
    let others = ["pod", "rollout", "pods"].map(|key| fields.get(key).map(|node| (key, node)));
    let mut others = others.into_iter().flatten();
    match (found, others.next(), others.next()) {
        (Target::One(target), None, _) => process(target, &fields, timeout, faults),
        (Target::None, Some(("pod", node)), None) => {
            refuse(
                &fields,
                &["grace", "maxUnavailable", "evict"],
                "pod",
                faults,
            );
            pod(node, fields.get("timeout"), timeout, faults)
        }
        (Target::None, Some(("rollout", node)), None) => {
            let foreign = ["grace", "maxUnavailable", "evict", "timeout"];
            refuse(&fields, &foreign, "rollout", faults);
            timeout.none("a rollout is not waited for", faults);
            let workload = node.read("deployment/NAME", workload, faults)?;
            Some(RestartAction::Rollout {
                workload: Some(workload),
            })
        }
        (Target::None, Some((_, node)), None) => {
            refuse(&fields, &["grace"], "pods", faults);
            pods(node, &fields, timeout, secret, faults)
        }
        _ => {
            faults.add(
                &node.at,
                "say what to restart by one of process, cmdline, pidfile, pod, rollout and pods",
            );
            None
        }
    }
}

/// Reads what goes with the keys of [`TARGETS`].
fn process(
    target: Option<ProcessMatch>,
    fields: &Fields<'_>,
    timeout: &Timeout<'_>,
    faults: &mut Faults,
) -> Option<RestartAction> {
    let foreign = ["maxUnavailable", "evict", "timeout"];
    refuse(fields, &foreign, "process", faults);
    timeout.none("a process has until grace is over", faults);
    let grace = match fields.get("grace") {
        Some(node) => node.read("a duration, as 30s", units::duration, faults),
        None => Some(GRACE),
    };
    Some(RestartAction::Process {
        target: target?,
        grace: grace?,
    })
}

/// `restart: pod` and `restart: rollout`.
fn alone(
    text: &str,
    node: &Node,
    timeout: &Timeout<'_>,
    faults: &mut Faults,
) -> Option<RestartAction> {
    match text {
        "pod" => Some(RestartAction::Pod {
            require_budget: true,
            timeout: timeout.of(None, TIMEOUT, faults)?,
        }),
        "rollout" => {
            timeout.none("a rollout is not waited for", faults);
            Some(RestartAction::Rollout { workload: None })
        }
        _ => {
            faults.add(
                &node.at,
                format!(
                    "{text:?} is neither pod nor rollout: write one of them, or {{process: NAME}}, {{rollout: deployment/NAME}} or {{pods: LABELS}}"
                ),
            );
            None
        }
    }
}

/// Options that belong to another target.
fn refuse(fields: &Fields<'_>, foreign: &[&str], target: &str, faults: &mut Faults) {
    for key in foreign {
        if let Some(node) = fields.get(key) {
            faults.add(
                &node.at,
                format!("{key} does not go with {target}: take it out"),
            );
        }
    }
}

/// Reads `{pod: {requireBudget: BOOL, timeout: DURATION}}`; the timeout may stand beside `pod`.
fn pod(
    node: &Node,
    beside: Option<&Node>,
    timeout: &Timeout<'_>,
    faults: &mut Faults,
) -> Option<RestartAction> {
    let fields = node.fields(&["requireBudget", "timeout"], faults)?;
    if let (Some(node), Some(_)) = (beside, fields.get("timeout")) {
        faults.add(
            &node.at,
            "the timeout is given twice, here and in pod: keep one",
        );
    }
    let require_budget = fields.read("requireBudget", "true or false", units::boolean, faults);
    let own = fields.get("timeout").or(beside);
    Some(RestartAction::Pod {
        require_budget: require_budget.unwrap_or(true),
        timeout: timeout.of(own, TIMEOUT, faults)?,
    })
}

fn pods(
    node: &Node,
    fields: &Fields<'_>,
    timeout: &Timeout<'_>,
    secret: bool,
    faults: &mut Faults,
) -> Option<RestartAction> {
    let which = node.read("a label selector, or annotation", which_pods, faults);
    if secret && which == Some(WhichPods::Annotation) {
        faults.add(
            &node.at,
            "the annotation is one of ConfigMaps: name the pods of a Secret by their labels",
        );
    }
    let most = |text: &str| units::number(text, 1, u32::MAX);
    let max_unavailable = fields.read("maxUnavailable", "a number", most, faults);
    let evict = fields.read("evict", "true or false", units::boolean, faults);
    let timeout = timeout.of(fields.get("timeout"), TIMEOUT, faults);
    Some(RestartAction::Pods {
        which: which?,
        max_unavailable: max_unavailable.unwrap_or(1),
        evict: evict.unwrap_or(false),
        timeout: timeout?,
    })
}

fn which_pods(text: &str) -> Result<WhichPods, String> {
    match text {
        "annotation" => Ok(WhichPods::Annotation),
        _ => names::label_selector(text).map(WhichPods::Labels),
    }
}

/// Reads `KIND/NAME`, the kind in kubectl's words.
fn workload(text: &str) -> Result<Workload, String> {
    let (kind, name) = text.split_once('/').unwrap_or((text, ""));
    let kind = match kind {
        "deployment" | "deploy" => WorkloadKind::Deployment,
        "statefulset" | "sts" => WorkloadKind::StatefulSet,
        "daemonset" | "ds" => WorkloadKind::DaemonSet,
        _ => {
            return Err(format!(
                "{text:?} names no workload: write deployment/NAME, statefulset/NAME or daemonset/NAME"
            ));
        }
    };
    Ok(Workload {
        kind,
        name: names::name(name)?,
    })
}
