//! `attache doctor` against a real API server: what it names, and its exit codes.

use std::path::Path;
use std::process::Command;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject, GroupVersionKind, PostParams};
use kube::core::ApiResource;
use serde_json::{Value, json};

use crate::support::control_plane::ControlPlane;
use crate::support::program::{Finished, run};
use crate::support::sidecar::Sidecar;

/// The doctor with these flags and the rights of `kubeconfig`, in an environment of nothing else.
pub(crate) async fn doctor(kubeconfig: &Path, namespace: &str, flags: &[&str]) -> Finished {
    let mut command = Command::new("env");
    command.args([
        "-i",
        env!("CARGO_BIN_EXE_attache"),
        "doctor",
        "--kubeconfig",
    ]);
    command.arg(kubeconfig).args(["-n", namespace]).args(flags);
    run(&command, b"").await
}

#[track_caller]
fn says(finished: &Finished, code: i32, lines: &[&str]) {
    let text = finished.text();
    assert_eq!(finished.code, Some(code), "{finished}");
    for line in lines {
        assert!(
            text.lines().any(|l| l.contains(line)),
            "no {line:?} in\n{text}"
        );
    }
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn what_is_missing_is_named_with_the_rule_that_gives_it() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let user = format!("doctor-{namespace}");
    let kubeconfig = plane.kubeconfig(&user);
    plane
        .config_maps(&namespace)
        .await
        .create("web", &[("GREETING", "hunter2")])
        .await;
    let flags = ["--configmap=web", "--configmap=gone", "--port=0"];
    let found = doctor(&kubeconfig, &namespace, &flags).await;
    let rule = "resources: [configmaps], resourceNames: [gone, web], verbs: [get, list, watch]}";
    says(
        &found,
        1,
        &[
            rule,
            "error: attache may not get, list, watch configmaps gone, web",
        ],
    );

    let verbs = ["get", "list", "watch"];
    plane
        .allow(&user, &namespace, "configmaps", &verbs, &["web", "gone"])
        .await;
    let found = doctor(&kubeconfig, &namespace, &flags).await;
    let missing = format!("error: ConfigMap {namespace}/gone is not there");
    says(
        &found,
        1,
        &[
            &missing,
            "ok: attache has all rights that it needs (2)",
            "1 error",
        ],
    );

    let keys =
        "--on-change={when: {configMap: web, keys: [nothing]}, webhook: 'http://127.0.0.1/'}";
    let found = doctor(
        &kubeconfig,
        &namespace,
        &["--configmap=web", "--port=0", keys],
    )
    .await;
    says(
        &found,
        0,
        &[
            "warning: onChange[0] is for keys nothing",
            "there are GREETING",
            "Kubernetes 1.",
        ],
    );
    assert!(!found.text().contains("hunter2"), "no value in it");
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_sidecar_at_the_port_is_asked_whether_it_is_ready() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let maps = plane.config_maps(&namespace).await;
    maps.create("web", &[("GREETING", "hello")]).await;
    let kubeconfig = plane.admin_kubeconfig();
    let path = kubeconfig.to_str().unwrap();
    let sidecar =
        Sidecar::start(&["--kubeconfig", path, "-n", &namespace, "--configmap=web"]).await;
    sidecar
        .serves(&format!("/kv/{namespace}/web/GREETING"), "hello")
        .await;
    let url = sidecar.url("");
    let port = url.rsplit(':').next().unwrap().trim_end_matches('/');
    let port = format!("--port={port}");
    let found = doctor(&kubeconfig, &namespace, &["--configmap=web", &port]).await;
    says(&found, 0, &["is ready"]);
}

/// A pod of nobody's, with these labels, annotations and containers.
async fn create_pod(
    plane: &ControlPlane,
    namespace: &str,
    name: &str,
    metadata: Value,
    spec: Value,
) {
    let mut pod = json!({"metadata": metadata, "spec": spec});
    pod["metadata"]["name"] = json!(name);
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let api: Api<Pod> = Api::namespaced(plane.admin().await, namespace);
    api.create(&PostParams::default(), &pod)
        .await
        .expect("a pod");
}

fn app() -> Value {
    json!({"containers": [{"name": "app", "image": "app"}], "automountServiceAccountToken": false})
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn pods_that_were_created_while_the_webhook_was_down_are_named() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let admin = plane.admin_kubeconfig();
    let configuration = format!("attache-{namespace}");
    // It is for pods that no test has, and its Service is nowhere.
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": configuration},
        "webhooks": [{
            "name": "pods.attache.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Ignore", "timeoutSeconds": 1,
            "namespaceSelector": {"matchLabels": {"of": namespace}},
            "clientConfig": {"service": {"namespace": format!("{namespace}-system"), "name": "attache-webhook"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        }],
    });
    let kind = GroupVersionKind::gvk(
        "admissionregistration.k8s.io",
        "v1",
        "MutatingWebhookConfiguration",
    );
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = Api::all_with(plane.admin().await, &resource);
    let webhook: DynamicObject = serde_json::from_value(webhook).unwrap();
    api.create(&PostParams::default(), &webhook)
        .await
        .expect("a configuration");

    let asks = json!({"labels": {"attache.dev/inject": "enabled"},
        "annotations": {"attache.dev/configmaps": "web"}});
    create_pod(plane, &namespace, "lacking", asks, app()).await;
    let wrong = json!({"labels": {"attache.dev/inject": "enabled"},
        "annotations": {"attache.dev/confgmaps": "web"}});
    create_pod(plane, &namespace, "wrong", wrong, app()).await;
    create_pod(plane, &namespace, "other", json!({}), app()).await;
    let flags = ["--pods", "--configuration", &configuration];
    let found = doctor(&admin, &namespace, &flags).await;
    let lacking = format!(
        "error: pod lacking in namespace {namespace} should carry attache and carries none: created"
    );
    let wrong = format!(
        "error: pod wrong in namespace {namespace} should carry attache and carries none: its annotations are wrong"
    );
    says(
        &found,
        1,
        &[
            &lacking,
            &wrong,
            "has no caBundle",
            "attache.dev/confgmaps",
            "0 of 3 live pods",
        ],
    );
    assert!(
        !found.text().contains("other"),
        "it asks for nothing: {found}"
    );
    let found = doctor(
        &admin,
        &namespace,
        &["pod/other", "--configuration", &configuration],
    )
    .await;
    says(
        &found,
        1,
        &["pod ", "carries no attache, and neither its label"],
    );
    let found = doctor(
        &admin,
        &namespace,
        &["deployment/nowhere", "--configuration=nowhere"],
    )
    .await;
    says(
        &found,
        1,
        &[
            "error: there is no deployment",
            "note: there is no MutatingWebhookConfiguration nowhere",
        ],
    );
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_pod_that_carries_attache_is_looked_at_as_its_service_account() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let admin = plane.admin_kubeconfig();
    let maps = plane.config_maps(&namespace).await;
    let file = "configMaps: [from-file]\n";
    maps.create("attache-config", &[("attache.yaml", file)])
        .await;
    maps.create("web", &[("GREETING", "hello")]).await;
    let rule = "{when: {configMap: web}, signal: nginx}";
    let evicts = "{when: {configMap: web}, restart: pod}";
    let spec = json!({
        "automountServiceAccountToken": false,
        "volumes": [
            {"name": "web", "configMap": {"name": "web"}},
            {"name": "config", "configMap": {"name": "attache-config"}},
        ],
        "containers": [
            {"name": "app", "image": "app", "volumeMounts": [{"name": "web", "mountPath": "/etc/web"}]},
            {"name": "attache", "image": "attache", "securityContext": {"runAsUser": 65532},
             "volumeMounts": [{"name": "config", "mountPath": "/etc/attache"}],
             "args": ["run", "--config=/etc/attache/attache.yaml",
                      format!("--on-change={rule}"), format!("--on-change={evicts}")]},
        ],
    });
    create_pod(
        plane,
        &namespace,
        "web-1",
        json!({"labels": {"app": "web"}}),
        spec,
    )
    .await;
    let found = doctor(&admin, &namespace, &["--pods"]).await;
    let account =
        format!("error: ServiceAccount {namespace}/default may not get, list, watch configmaps");
    let missing = format!("error: ConfigMap {namespace}/from-file is not there");
    says(
        &found,
        1,
        &[
            &account,
            &missing,
            "shareProcessNamespace: true",
            "add afterMount: /etc/web",
            "has no token mounted",
            "no PodDisruptionBudget covers the pod",
            "resources: [pods/eviction]",
            "1 of 1 live pods",
        ],
    );
    // Whoever may see pods alone is told what was not looked at.
    let user = format!("viewer-{namespace}");
    let kubeconfig = plane.kubeconfig(&user);
    plane
        .allow(&user, &namespace, "pods", &["get", "list"], &[])
        .await;
    crate::eventually("the Role is in force", crate::LIMIT, async || {
        let found = doctor(&kubeconfig, &namespace, &["--pods"]).await;
        found.text().contains("live pods looked at")
            && !found.text().contains("pods cannot be listed")
    })
    .await;
    let found = doctor(&kubeconfig, &namespace, &["--pods"]).await;
    says(
        &found,
        2,
        &[
            "note: the webhook is not looked at",
            "what its attache does is not known",
        ],
    );
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn an_api_server_that_does_not_answer_leaves_it_open() {
    let plane = ControlPlane::shared().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = listener.local_addr().unwrap();
    drop(listener);
    let kubeconfig = plane.kubeconfig_via(&plane.admin_kubeconfig(), nowhere);
    let found = doctor(&kubeconfig, "default", &["--pods"]).await;
    says(
        &found,
        2,
        &[
            "unknown: API server https://",
            "cannot be reached",
            "1 unknown",
        ],
    );
}
