//! `examples/key-value`: what its README does, with the flags and the rights that its manifest gives.

use http::Method;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, PostParams};
use serde_json::json;

use super::{EXAMPLES, install};
use crate::sidecar_with;
use crate::support::control_plane::ControlPlane;
use crate::support::sidecar::Sidecar;

const ACCOUNT: &str = "key-value";

/// The README's commands that ask attache: the method, the path and the body.
fn curls() -> Vec<(Method, String, Option<String>)> {
    let readme = std::fs::read_to_string(format!("{EXAMPLES}/key-value/README.md")).unwrap();
    let commands = readme.lines().filter_map(|line| line.strip_prefix("curl "));
    let read = |command: &str| {
        let (_, after) = command.split_once("localhost:5001").unwrap();
        let path = after.split(' ').next().unwrap().to_owned();
        let body = command.split_once(" -d '").map(|(_, body)| {
            let (body, _) = body.split_once('\'').unwrap();
            body.to_owned()
        });
        let method = match command.split_once(" -X ") {
            Some((_, method)) => method.split(' ').next().unwrap().parse().unwrap(),
            None => Method::GET,
        };
        (method, path, body)
    };
    commands.map(read).collect()
}

async fn send(sidecar: &Sidecar, method: Method, path: &str, body: &str) -> (u16, String) {
    let json = [("content-type", "application/json")];
    let answer = sidecar.send(method, path, &json, body.to_owned()).await;
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    (answer.status().as_u16(), text)
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn the_key_value_store_needs_no_more_rights_than_its_manifest_gives() {
    let plane = ControlPlane::shared().await;
    let (namespace, other) = (plane.namespace().await, plane.namespace().await);
    let admin = plane.admin().await;
    let flags = install(&admin, &namespace, "key-value/key-value.yaml").await;
    let services: Api<Service> = Api::namespaced(admin, &namespace);
    let web = json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}});
    let web = serde_json::from_value(web).unwrap();
    let web = services.create(&PostParams::default(), &web).await.unwrap();
    let secret = [("password", "hunter2")];
    plane.create_secret(&namespace, "db", &secret).await;
    let maps = plane.config_maps(&other).await;
    let before = maps.create("flags", &[("key", "another")]).await;

    let credentials = plane.service_account(&namespace, ACCOUNT).await;
    let given = flags.iter().map(String::as_str);
    let flags: Vec<&str> = given
        .filter(|flag| *flag != "run" && *flag != "--port=5001")
        .collect();
    let expected = ["--allow-writes", "--create-on-read", "--no-proxy"];
    assert_eq!(flags[..3], expected);
    let sidecar = sidecar_with(&credentials.kubeconfig, &namespace, &flags).await;

    // The README's three commands, in a namespace of the test's own.
    let mut printed = Vec::new();
    for (method, path, body) in curls() {
        let path = path.replace("/default/", &format!("/{namespace}/"));
        let answer = send(&sidecar, method, &path, &body.unwrap_or_default()).await;
        printed.push(answer);
    }
    let pair = "{\"key\":\"value\",\"key2\":\"value2\"}\n".to_owned();
    let expected = [(200, "{}\n".to_owned()), (200, pair.clone()), (200, pair)];
    assert_eq!(printed, expected);

    let key = format!("/kv/{namespace}/flags?key=key");
    let deleted = async || send(&sidecar, Method::DELETE, &key, "").await;
    assert_eq!(deleted().await, (200, "{\"success\": true}".to_owned()));
    assert_eq!(deleted().await, (404, "{\"success\": false}".to_owned()));
    let rest = "{\"key2\":\"value2\"}\n".to_owned();
    let path = format!("/kv/{namespace}/flags");
    assert_eq!(sidecar.text(&path).await, (200, rest));

    let address = web.spec.unwrap().cluster_ip.unwrap();
    let map = format!("{}\n", json!({"web": address}));
    assert_eq!(
        sidecar.text(&format!("/discover/{namespace}")).await,
        (200, map)
    );

    // Who may not list is told so (403) before a server that does not serve them says that (404).
    let (status, endpoints) = sidecar.text(&format!("/discover/{namespace}/web")).await;
    assert!(matches!(status, 200 | 501), "{status}: {endpoints}");

    refuses_secrets_and_other_namespaces(&sidecar, &namespace, &other).await;
    let untouched = maps.resource_version("flags").await;
    assert_eq!(untouched, before, "another namespace's is as it was");
}

async fn refuses_secrets_and_other_namespaces(sidecar: &Sidecar, namespace: &str, other: &str) {
    let password = format!("/kv/{namespace}/secret:db/password");
    let elsewhere = format!("/kv/{other}/flags");
    let key = format!("{elsewhere}?key=key");
    let asked = [
        (Method::GET, &*password, ""),
        (Method::PUT, &*password, "hunter3"),
        (Method::GET, &*elsewhere, ""),
        (Method::POST, &*elsewhere, "{\"key\":\"value\"}"),
        (Method::DELETE, &*key, ""),
    ];
    for (method, path, body) in asked {
        let (status, answer) = send(sidecar, method.clone(), path, body).await;
        assert_eq!(status, 403, "{method} {path}: {answer}");
        assert!(!answer.contains("hunter"), "{answer}");
    }
    let (status, answer) = sidecar.text(&format!("/discover/{other}")).await;
    assert_eq!(status, 403, "{answer}");
    // Nor by the API itself.
    let (status, answer) = sidecar
        .text(&format!("/api/v1/namespaces/{other}/configmaps"))
        .await;
    assert_eq!(status, 404, "{answer}");
}
