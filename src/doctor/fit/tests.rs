use serde_json::{Value, json};

use super::*;
use crate::doctor::findings::Level;
use crate::doctor::tests::config;

const SIGNAL: &str = "--on-change={when: {configMap: web}, signal: nginx}";

fn pod(spec: &Value, status: &Value) -> Pod {
    Pod::read(&json!({
        "metadata": {"name": "web-1", "namespace": "n", "labels": {"app": "web"}},
        "spec": spec, "status": status,
    }))
    .unwrap()
}

fn attache(user: Option<u32>) -> Value {
    let mut container = json!({"name": "attache", "args": ["run"], "volumeMounts": [
        {"name": "token", "mountPath": TOKEN}, {"name": "web", "mountPath": "/etc/web"}]});
    if let Some(user) = user {
        container["securityContext"] = json!({"runAsUser": user});
    }
    container
}

/// What is found in a pod with these containers and this in its spec, as `level: text`.
fn found(containers: &Value, spec: Value, args: &[&str]) -> Vec<(Level, String)> {
    let mut whole = spec;
    whole["containers"] = containers.clone();
    let pod = pod(&whole, &json!({}));
    let config = config(args);
    let place = pod.place(&config);
    let found = super::spec(&pod, pod.sidecar().unwrap(), &config, &place);
    found.into_iter().map(|f| (f.level, f.text)).collect()
}

#[track_caller]
fn only(found: &[(Level, String)], level: Level, part: &str) {
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, level);
    assert!(found[0].1.contains(part), "{found:?}");
}

#[test]
fn signals_need_a_shared_namespace_and_the_same_user() {
    let app = |user: Option<u32>| match user {
        Some(user) => json!({"name": "app", "securityContext": {"runAsUser": user}}),
        None => json!({"name": "app"}),
    };
    let of =
        |ours, theirs, spec: Value| found(&json!([app(theirs), attache(ours)]), spec, &[SIGNAL]);
    let shared = || json!({"shareProcessNamespace": true});
    only(
        &of(Some(7), Some(7), json!({})),
        Level::Error,
        "shareProcessNamespace: true",
    );
    only(
        &of(Some(7), Some(8), shared()),
        Level::Error,
        "another user than attache's 7",
    );
    only(&of(Some(7), None, shared()), Level::Warning, "runAsUser");
    only(
        &of(Some(7), Some(7), json!({"hostPID": true})),
        Level::Error,
        "hostPID: false",
    );
    assert_eq!(of(Some(7), Some(7), shared()), []);
    assert_eq!(of(Some(0), Some(7), shared()), []);
    let whole = json!({"shareProcessNamespace": true, "securityContext": {"runAsUser": 9}});
    assert_eq!(of(None, None, whole), []);
}

#[test]
fn what_the_pod_mounts_too_is_waited_for() {
    let volumes = json!([{"name": "web", "configMap": {"name": "web"}}]);
    let spec = || json!({"volumes": volumes});
    let app = |mount: Value| json!([{"name": "app", "volumeMounts": [mount]}, attache(None)]);
    let mount = || json!({"name": "web", "mountPath": "/etc/web"});
    let rule = |after: &str| {
        format!("--on-change={{when: {{configMap: web}}, webhook: 'http://127.0.0.1/'{after}}}")
    };
    let plain = rule("");
    only(
        &found(&app(mount()), spec(), &[&plain]),
        Level::Warning,
        "add afterMount: /etc/web",
    );
    let waits = rule(", afterMount: /etc/web");
    assert_eq!(found(&app(mount()), spec(), &[&waits]), []);
    let elsewhere = rule(", afterMount: /elsewhere");
    only(
        &found(&app(mount()), spec(), &[&elsewhere]),
        Level::Error,
        "does not mount",
    );
    let sub = json!({"name": "web", "mountPath": "/etc/web/a", "subPath": "a"});
    only(
        &found(&app(sub), spec(), &[&plain]),
        Level::Warning,
        "never updates",
    );
    // A rule for everything that is named, and another object's.
    let all = "--on-change=webhook: 'http://127.0.0.1/'";
    assert_eq!(
        found(&app(mount()), spec(), &[all, "--configmap=other"]),
        []
    );
    only(
        &found(&app(mount()), spec(), &[all, "--configmap=web"]),
        Level::Warning,
        "afterMount",
    );
    let projected = json!({"volumes": [{"name": "web", "projected": {"sources": [{"secret": {"name": "web"}}]}}]});
    assert_eq!(found(&app(mount()), projected, &[&plain]), []);
    // A new pod has new mounts.
    let restart = "--on-change={when: {configMap: web}, restart: rollout}";
    assert_eq!(found(&app(mount()), spec(), &[restart]), []);
}

#[test]
fn a_sidecar_without_a_token_cannot_log_on() {
    let bare = json!([{"name": "attache", "args": ["run"]}]);
    only(
        &found(&bare, json!({}), &["--configmap=web"]),
        Level::Error,
        "no token",
    );
    assert_eq!(
        found(&bare, json!({}), &["--kubeconfig=/k", "--configmap=web"]),
        []
    );
}

#[test]
fn a_sidecar_that_does_not_stay_is_told() {
    let of = |status: Value| {
        let mut status = status;
        status["name"] = json!("attache");
        let pod = pod(
            &json!({"containers": [attache(None)]}),
            &json!({"containerStatuses": [status]}),
        );
        let found = super::status(&pod, pod.sidecar().unwrap());
        found
            .into_iter()
            .map(|f| (f.level, f.text))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(json!({"ready": true})), []);
    only(&of(json!({"ready": false})), Level::Error, "is not ready");
    let waiting = json!({"ready": false, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such"}}});
    only(&of(waiting), Level::Error, "ImagePullBackOff (no such)");
    let again = json!({"ready": true, "restartCount": 3, "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}});
    only(
        &of(again),
        Level::Warning,
        "3 times, last with OOMKilled (exit code 137): raise its memory limit (attache.dev/resources, where it is \
         injected), or lower --max-bytes; see ",
    );
    let failed = json!({"ready": true, "restartCount": 1, "lastState": {"terminated": {"reason": "Error", "exitCode": 1}}});
    only(
        &of(failed),
        Level::Warning,
        "last with Error (exit code 1): see ",
    );
    // It never ran: there are no logs.
    let said = "failed to create containerd task: not a directory\nand more";
    let end = json!({"reason": "StartError", "exitCode": 128, "message": said});
    let shown = "StartError (exit code 128: failed to create containerd task: not a directory)";
    only(
        &of(json!({"ready": true, "restartCount": 1, "lastState": {"terminated": end}})),
        Level::Warning,
        &format!("last with {shown}: see"),
    );
    only(
        &of(json!({"ready": false, "state": {"terminated": end}})),
        Level::Error,
        &format!("does not run: it ended with {shown}; see"),
    );
    let long = json!({"reason": "Error", "exitCode": 1, "message": "é".repeat(5000)});
    let cut = of(json!({"ready": false, "state": {"terminated": long}}));
    assert_eq!(cut[0].1.matches('é').count(), 600);
    assert!(cut[0].1.contains("é…)"), "{cut:?}");
}

#[test]
fn the_doctor_is_named_where_the_container_has_it() {
    let of = |container: &Value| {
        let status = json!({"initContainerStatuses": [], "containerStatuses": [{"name": container["name"]}]});
        let pod = pod(&json!({"containers": [container]}), &status);
        super::status(&pod, pod.sidecar().unwrap()).remove(0).text
    };
    assert!(of(&attache(None)).ends_with("by kubectl exec: /attache doctor"));
    let wrapped = json!({"name": "app", "command": ["/opt/attache/attache", "exec", "--", "x"]});
    assert!(of(&wrapped).ends_with("by kubectl exec: /opt/attache/attache doctor"));
}

#[test]
fn a_budget_is_wanted_where_the_pod_is_evicted() {
    let pod = pod(&json!({}), &json!({}));
    let budget_of = |labels: Value| {
        let of: Budget =
            serde_json::from_value(json!({"spec": {"selector": {"matchLabels": labels}}})).unwrap();
        budget(&pod, "onChange[0]", &[of], true).level
    };
    assert_eq!(budget_of(json!({"app": "web"})), Level::Ok);
    assert_eq!(budget_of(json!({"app": "db"})), Level::Error);
    assert_eq!(
        evicting(&config(&["--on-change=restart: pod"])),
        Some("onChange[0]")
    );
    assert_eq!(evicting(&config(&["--on-change=restart: rollout"])), None);
}
