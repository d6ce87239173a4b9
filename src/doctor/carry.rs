//! Which pods should carry an attache, and why one does not: pure.

use std::collections::BTreeMap;

use super::findings::Finding;
use super::pod::{Metadata, Pod};
use super::webhook::Webhook;
use crate::config::{Faults, Platform};
use crate::inject::{LABEL, Outcome, Skip, Surroundings};

/// The namespaces that the webhook leaves alone, beside its own.
const EXCLUDED: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// How many pods of a workload are named.
const NAMED: usize = 10;

/// What is said of a pod without an attache, and of its workload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lack {
    namespace: String,
    /// `deployment/web`, or nothing for a pod of nobody's.
    owner: String,
    reason: String,
    /// It is what somebody wanted, rather than a fault.
    meant: bool,
    /// Creating the pod anew helps.
    again: bool,
}

/// Pods without an attache, by what is said of them.
#[derive(Debug, Default)]
pub(super) struct Lacks(BTreeMap<Lack, Vec<String>>);

/// Whether label of pod or namespace asks for an attache: a pod's beats its namespace's.
pub(super) fn is_wanted(pod: &Pod, namespace: &Metadata, webhook: &Webhook) -> bool {
    let label = |metadata: &Metadata| metadata.labels.get(LABEL).cloned();
    let asked = label(&pod.metadata).or_else(|| label(namespace));
    let name = &pod.metadata.namespace;
    let is_excluded = EXCLUDED.contains(&name.as_str()) || webhook.namespaces.contains(name);
    asked.as_deref() == Some("enabled") && !is_excluded
}

/// What the webhook knows beside a pod when it is created.
pub(super) fn surroundings(
    pod: &Pod,
    namespace: &Metadata,
    webhook: &Webhook,
    native: bool,
) -> (Surroundings, Platform) {
    let flags = webhook.flags.as_deref();
    let mut annotations = flags
        .map(|flags| flags.annotations.clone())
        .unwrap_or_default();
    annotations.extend(namespace.asked());
    let platform = flags.map_or_else(
        || Platform {
            image: "attache".to_owned(),
            allow_rollout: false,
            allow_pods: false,
        },
        |flags| flags.platform.clone(),
    );
    let is_job = pod.owner().is_some_and(|owner| owner.kind == "Job");
    let surroundings = Surroundings {
        annotations,
        is_job,
        native,
        admitted: true,
        ..Surroundings::default()
    };
    (surroundings, platform)
}

/// Why a pod that should carry an attache carries none: what injecting it now would come to.
pub(super) fn lack(pod: &Pod, now: &Result<Outcome, Faults>, webhook: &Webhook) -> Lack {
    let owner = pod.owner().map(|owner| owner.shown()).unwrap_or_default();
    let (reason, meant, again) = match now {
        Err(faults) => (
            format!("its annotations are wrong: {}", faults.lines().join("; ")),
            false,
            false,
        ),
        Ok(Outcome::Skipped(skip)) => (
            skip.reason().to_owned(),
            // Of a namespace's pods those that ask for nothing get nothing; a label of its own is meant.
            *skip != Skip::NothingAsked || !pod.metadata.labels.contains_key(LABEL),
            false,
        ),
        Ok(Outcome::Injected(_) | Outcome::Unchanged) => (created(pod, webhook), false, true),
    };
    Lack {
        namespace: pod.metadata.namespace.clone(),
        owner,
        reason,
        meant,
        again,
    }
}

fn created(pod: &Pod, webhook: &Webhook) -> String {
    let created = pod.metadata.creation_timestamp;
    if webhook.absent {
        return "there is no webhook that would inject it: install it, or use attache inject"
            .to_owned();
    }
    let before = created
        .zip(webhook.since)
        .is_some_and(|(created, since)| created < since);
    if before {
        "created before the webhook was installed".to_owned()
    } else {
        "created while the webhook was down or did not answer in time, or before the label asked for it".to_owned()
    }
}

// === impl Lacks ===

impl Lacks {
    pub(super) fn add(&mut self, lack: Lack, pod: &Pod) {
        self.0
            .entry(lack)
            .or_default()
            .push(pod.metadata.name.clone());
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        self.0
            .iter()
            .map(|(lack, pods)| lack.finding(pods))
            .collect()
    }
}

// === impl Lack ===

impl Lack {
    fn finding(&self, pods: &[String]) -> Finding {
        let mut shown: Vec<String> = pods.iter().take(NAMED).cloned().collect();
        if pods.len() > NAMED {
            shown.push(format!("{} more", pods.len() - NAMED));
        }
        let namespace = &self.namespace;
        let of = match self.owner.as_str() {
            "" => String::new(),
            owner => format!(" of {owner}"),
        };
        let (noun, verb) = match pods.len() {
            1 => ("pod", "carries"),
            _ => ("pods", "carry"),
        };
        let mut text = format!(
            "{noun} {}{of} in namespace {namespace} should carry attache and {verb} none: {}",
            shown.join(", "),
            self.reason
        );
        if self.again {
            let rolls = ["deployment/", "statefulset/", "daemonset/"];
            text.push_str(&match self.owner.as_str() {
                "" => "; create it anew".to_owned(),
                owner if rolls.iter().any(|kind| owner.starts_with(kind)) => {
                    format!("; kubectl -n {namespace} rollout restart {owner}")
                }
                _ => format!("; kubectl -n {namespace} delete pod {}", pods.join(" ")),
            });
        }
        match self.meant {
            true => Finding::note(text),
            false => Finding::error(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::doctor::findings::Level;
    use crate::inject::Injection;

    fn pod(name: &str, labels: &Value) -> Pod {
        let owner = json!([{"kind": "ReplicaSet", "name": "web-abc", "controller": true}]);
        Pod::read(
            &json!({"metadata": {"name": name, "namespace": "n", "labels": labels,
            "creationTimestamp": "2024-01-02T00:00:00Z", "ownerReferences": owner}}),
        )
        .unwrap()
    }

    fn injected() -> Result<Outcome, Faults> {
        Ok(Outcome::Injected(Injection {
            pod: Value::Null,
            warnings: Vec::new(),
        }))
    }

    #[test]
    fn a_pods_label_beats_its_namespaces() {
        let metadata =
            |labels: Value| serde_json::from_value::<Metadata>(json!({"labels": labels})).unwrap();
        let (on, off) = (json!({LABEL: "enabled"}), json!({LABEL: "disabled"}));
        let webhook = Webhook {
            namespaces: vec!["attache-system".to_owned()],
            ..Webhook::default()
        };
        let wanted = |pod_labels: &Value, namespace: &Value| {
            is_wanted(
                &pod("p", pod_labels),
                &metadata(namespace.clone()),
                &webhook,
            )
        };
        assert!(wanted(&on, &json!({})) && wanted(&json!({}), &on) && wanted(&on, &off));
        assert!(!wanted(&off, &on) && !wanted(&json!({}), &json!({})));
        for excluded in ["kube-system", "attache-system"] {
            let mut pod = pod("p", &on);
            pod.metadata.namespace = excluded.to_owned();
            assert!(!is_wanted(&pod, &metadata(on.clone()), &webhook));
        }
    }

    #[test]
    fn pods_of_a_workload_are_named_together_with_the_likely_reason() {
        let webhook = Webhook {
            since: "2024-01-01T00:00:00Z".parse().ok(),
            ..Webhook::default()
        };
        let labels = json!({"pod-template-hash": "abc"});
        let mut lacks = Lacks::default();
        for name in ["web-abc-1", "web-abc-2"] {
            let pod = pod(name, &labels);
            lacks.add(lack(&pod, &injected(), &webhook), &pod);
        }
        let found = lacks.findings();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].level, Level::Error);
        assert_eq!(
            found[0].text,
            "pods web-abc-1, web-abc-2 of deployment/web in namespace n should carry attache and carry none: created \
             while the webhook was down or did not answer in time, or before the label asked for it; kubectl -n n rollout \
             restart deployment/web"
        );
    }

    #[test]
    fn each_reason_has_its_weight() {
        let of = |now: Result<Outcome, Faults>, webhook: &Webhook| {
            let pod = pod("p", &json!({}));
            let mut lacks = Lacks::default();
            lacks.add(lack(&pod, &now, webhook), &pod);
            let finding = lacks.findings().remove(0);
            (finding.level, finding.text)
        };
        let none = Webhook::default();
        let skipped = |skip| of(Ok(Outcome::Skipped(skip)), &none);
        assert_eq!(skipped(Skip::HostNetwork).0, Level::Note);
        assert_eq!(skipped(Skip::NothingAsked).0, Level::Note);
        let labelled = pod("p", &json!({LABEL: "enabled"}));
        let nothing = Ok(Outcome::Skipped(Skip::NothingAsked));
        assert!(!lack(&labelled, &nothing, &none).meant);
        let faults = Faults::from(vec!["attache.dev/files: no".to_owned()]);
        let wrong = of(Err(faults), &none);
        assert_eq!(wrong.0, Level::Error);
        assert!(
            wrong
                .1
                .contains("annotations are wrong: attache.dev/files: no"),
            "{wrong:?}"
        );
        let later = Webhook {
            since: "2024-02-01T00:00:00Z".parse().ok(),
            ..Webhook::default()
        };
        assert!(
            of(injected(), &later)
                .1
                .contains("before the webhook was installed")
        );
        let absent = Webhook {
            absent: true,
            ..Webhook::default()
        };
        assert!(of(injected(), &absent).1.contains("there is no webhook"));
    }
}
