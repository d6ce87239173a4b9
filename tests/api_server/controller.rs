//! The controller of `examples/kubectl-proxy`, with the rights that its manifest gives.

use std::path::Path;
use std::process::Command;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::control_plane::ControlPlane;
use crate::support::program::Following;
use crate::support::{eventually, http};
use crate::through::Through;
use crate::{LIMIT, text};

through_either!(
    a_changed_config_map_deletes_the_pods_it_names_and_no_others,
    the_proxy_has_the_rights_of_the_pod_and_no_more,
);

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kubectl-proxy");
const ACCOUNT: &str = "pod-restarter";

fn documents(file: &str) -> Vec<Value> {
    let yaml = std::fs::read_to_string(Path::new(EXAMPLE).join(file)).unwrap();
    serde_saphyr::from_multiple(&yaml).unwrap()
}

pub(crate) async fn create<T>(client: &Client, namespace: &str, object: Value)
where
    T: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    T: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let api: Api<T> = Api::namespaced(client.clone(), namespace);
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

/// The controller's service account and its rights.
async fn install(client: &Client, namespace: &str) {
    let mut created = 0;
    for document in documents("controller.yaml") {
        match document["kind"].as_str().unwrap() {
            "ServiceAccount" => create::<ServiceAccount>(client, namespace, document).await,
            "Role" => create::<Role>(client, namespace, document).await,
            "RoleBinding" => create::<RoleBinding>(client, namespace, document).await,
            // There is no node for it.
            "Deployment" => continue,
            other => panic!("{other}"),
        }
        created += 1;
    }
    assert_eq!(created, 3);
}

/// Pods that no node has taken yet: gone as soon as they are deleted.
async fn create_pods(client: &Client, namespace: &str, app: &str, names: &[&str]) {
    for name in names {
        let pod = json!({
            "metadata": {"name": name, "labels": {"app": app}},
            "spec": {"containers": [{"name": "app", "image": "app"}]},
        });
        create::<Pod>(client, namespace, pod).await;
    }
}

async fn a_changed_config_map_deletes_the_pods_it_names_and_no_others(through: Through) {
    let plane = ControlPlane::shared().await;
    let (namespace, admin) = (plane.namespace().await, plane.admin().await);
    install(&admin, &namespace).await;
    let frontend = documents("frontend.yaml").swap_remove(0);
    let maps = plane.config_maps(&namespace).await;
    maps.create("frontend", &[("GREETING", "hello")]).await;
    maps.patch("frontend", &frontend).await;
    maps.create("other", &[("GREETING", "hello")]).await;
    create_pods(
        &admin,
        &namespace,
        "frontend",
        &["frontend-1", "frontend-2"],
    )
    .await;
    create_pods(&admin, &namespace, "backend", &["backend-1"]).await;

    let credentials = plane.service_account(&namespace, ACCOUNT).await;
    let proxy = through.start(&credentials.kubeconfig, &[]).await;
    let mut program = Command::new("python3");
    program
        .arg(Path::new(EXAMPLE).join("controller.py"))
        .env("PROXY", proxy.url(""))
        .env("SERVICE_ACCOUNT", text(&credentials.dir));
    let mut controller = Following::start(program);
    // The authorizer reads Roles from a cache of its own: the first answers may be 403.
    let mut line = controller.line().await;
    while line.ends_with(": trying again") {
        line = controller.line().await;
    }
    assert_eq!(line, format!("watching the ConfigMaps of {namespace}"));

    maps.set("other", "GREETING", "bye").await;
    maps.set("frontend", "GREETING", "bye").await;
    for told in [
        "ConfigMap frontend was modified",
        "deleted Pod frontend-1",
        "deleted Pod frontend-2",
    ] {
        assert_eq!(controller.line().await, told);
    }
    let pods: Api<Pod> = Api::namespaced(admin.clone(), &namespace);
    let left = pods.list(&ListParams::default()).await.unwrap();
    let left: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
    assert_eq!(left, ["backend-1"]);

    // As a Deployment would; the same watch goes on.
    create_pods(&admin, &namespace, "frontend", &["frontend-3"]).await;
    maps.set("frontend", "GREETING", "again").await;
    assert_eq!(controller.line().await, "ConfigMap frontend was modified");
    assert_eq!(controller.line().await, "deleted Pod frontend-3");
}

async fn the_proxy_has_the_rights_of_the_pod_and_no_more(through: Through) {
    let plane = ControlPlane::shared().await;
    let (namespace, admin) = (plane.namespace().await, plane.admin().await);
    install(&admin, &namespace).await;
    let credentials = plane.service_account(&namespace, ACCOUNT).await;
    let proxy = through.start(&credentials.kubeconfig, &[]).await;
    let get = async |path: &str| {
        let answer = http::get(&proxy.url(path), &[]).await.unwrap();
        let status: Value = serde_json::from_slice(answer.body()).unwrap();
        (answer.status().as_u16(), status)
    };
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    eventually("the Role is in force", LIMIT, async || {
        get(&path).await.0 == 200
    })
    .await;
    for path in [
        format!("/api/v1/namespaces/{namespace}/secrets"),
        "/api/v1/namespaces/default/pods".to_owned(),
    ] {
        let (code, status) = get(&path).await;
        assert_eq!(code, 403, "{status}");
        let user = format!("system:serviceaccount:{namespace}:{ACCOUNT}");
        let message = status["message"].as_str().unwrap();
        assert!(message.contains(&user), "{message}");
    }
}
