//! `examples/workshop`: the README's requests through the proxy, and its shell, which may see pods once its
//! Role is bound. The shell's sidecar has the flags that `attache inject` gives it.

use std::process::Command;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde_json::{Value, json};

use super::{EXAMPLES, documents};
use crate::controller::create;
use crate::support::control_plane::ControlPlane;
use crate::support::{eventually, http};
use crate::through::Through;
use crate::{LIMIT, sidecar_with};

through_either!(the_readmes_requests_are_answered);

async fn the_readmes_requests_are_answered(through: Through) {
    let readme = std::fs::read_to_string(format!("{EXAMPLES}/workshop/README.md")).unwrap();
    assert!(readme.contains("\nattache proxy --port=8080 &\n"));
    let paths: Vec<_> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("curl http://localhost:8080"))
        .collect();
    assert_eq!(paths, ["/api/", "/", "/metrics"]);
    let plane = ControlPlane::shared().await;
    let proxy = through.start(&plane.admin_kubeconfig(), &[]).await;
    for (path, expected) in paths.into_iter().zip([
        "\"serverAddressByClientCIDRs\"",
        "\"/apis/apps/v1\"",
        "# TYPE apiserver_request_total counter",
    ]) {
        let answer = http::get(&proxy.url(path), &[]).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let text = String::from_utf8_lossy(answer.body());
        assert!(text.contains(expected), "{path}");
    }
}

/// The flags of the sidecar that `attache inject` adds to the shell.
fn flags() -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_attache"))
        .args(["inject", "--kubernetes=1.33", "-f"])
        .arg(format!("{EXAMPLES}/workshop/shell.yaml"))
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let sidecar = &documents[1]["spec"]["initContainers"][0];
    let mounts = sidecar["volumeMounts"].as_array().unwrap();
    let token = json!("/var/run/secrets/kubernetes.io/serviceaccount");
    assert!(mounts.iter().any(|mount| mount["mountPath"] == token));
    serde_json::from_value(sidecar["args"].clone()).unwrap()
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn the_shell_sees_pods_once_its_role_is_bound() {
    let plane = ControlPlane::shared().await;
    let (namespace, admin) = (plane.namespace().await, plane.admin().await);
    let account = documents("workshop/shell.yaml").swap_remove(0);
    create::<ServiceAccount>(&admin, &namespace, account).await;
    let credentials = plane.service_account(&namespace, "workshop").await;
    let flags = flags();
    let expected = [
        "run",
        "--no-on-demand",
        "--port=8080",
        "--state-dir=/var/lib/attache",
        "--ready-from-state",
        "--max-bytes=8Mi",
    ];
    assert_eq!(flags, expected);
    // Not those of which there is one on a machine.
    let sidecar = sidecar_with(&credentials.kubeconfig, &namespace, &["--no-on-demand"]).await;

    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let (status, refusal) = sidecar.text(&path).await;
    assert_eq!(status, 403, "{refusal}");
    let refusal: Value = serde_json::from_str(&refusal).unwrap();
    assert_eq!(
        (&refusal["kind"], &refusal["reason"]),
        (&json!("Status"), &json!("Forbidden"))
    );
    let message = refusal["message"].as_str().unwrap();
    let who = format!("User \"system:serviceaccount:{namespace}:workshop\" cannot list resource");
    assert!(message.contains(&who), "{message}");

    for document in documents("workshop/pod-reader.yaml") {
        match document["kind"].as_str().unwrap() {
            "Role" => create::<Role>(&admin, &namespace, document).await,
            "RoleBinding" => create::<RoleBinding>(&admin, &namespace, document).await,
            other => panic!("{other}"),
        }
    }
    eventually("the Role is in force", LIMIT, async || {
        let (status, text) = sidecar.text(&path).await;
        status == 200 && text.contains("\"PodList\"")
    })
    .await;
}
