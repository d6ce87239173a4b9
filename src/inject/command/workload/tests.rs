use super::*;
use serde_json::{Value, json};

fn seen(object: Value, templates: &[Template]) -> Vec<(String, bool, Option<Value>)> {
    let mut seen = Vec::new();
    each(&mut Tree::new(object), templates, &mut |workload| {
        let name = format!("{}/{}", workload.name.kind, workload.name.name);
        seen.push((name, workload.is_job, workload.pod.map(|pod| pod.value())));
    });
    seen
}

#[test]
fn pods_are_found_in_every_kind_that_has_them() {
    let pod = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}});
    for (version, kind, is_job) in [
        ("v1", "ReplicationController", false),
        ("apps/v1", "Deployment", false),
        ("apps/v1", "StatefulSet", false),
        ("apps/v1", "DaemonSet", false),
        ("apps/v1", "ReplicaSet", false),
        ("extensions/v1beta1", "Deployment", false),
        ("batch/v1", "Job", true),
    ] {
        let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, "spec": {"template": pod}});
        let name = format!("{}/x", kind.to_lowercase());
        assert_eq!(
            seen(object, &[]),
            [(name, is_job, Some(pod.clone()))],
            "{kind}"
        );
    }
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "x"},
        "spec": {"jobTemplate": {"spec": {"template": pod}}}});
    assert_eq!(
        seen(cron, &[]),
        [("cronjob/x".into(), true, Some(pod.clone()))]
    );
    let root =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "x-"}, "spec": {}});
    assert_eq!(
        seen(root.clone(), &[]),
        [("pod/x-*".into(), false, Some(root))]
    );
}

#[test]
fn lists_hold_them_too_and_kinds_of_the_users_own() {
    let pod = json!({"spec": {}});
    let own = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "r"}, "spec": {"template": pod}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service"},
        {"apiVersion": "v1", "kind": "List", "items": [own]},
        {"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "p"}, "spec": {}}]},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "none"}, "spec": {}},
        {"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "spec": {"template": pod}},
    ]});
    let names = |templates: &[Template]| {
        let seen = seen(list.clone(), templates).into_iter();
        seen.map(|(name, _, pod)| (name, pod.is_some()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&[]),
        [("pod/p".into(), true), ("deployment/none".into(), false)]
    );
    let path = vec!["spec".to_owned(), "template".to_owned()];
    let template = Template {
        kind: "Rollout".into(),
        path,
    };
    assert_eq!(names(&[template])[0], ("rollout/r".into(), true));
    assert_eq!(seen(json!({"kind": "Pod"}), &[]).len(), 1);
    assert!(seen(json!("text"), &[]).is_empty() && seen(json!({"a": 1}), &[]).is_empty());
}
