//! `examples/restart-pods`, `examples/key-value` and `examples/workshop`: their flags and their rights, against the real API
//! server. For the former the test plays the ReplicaSet controller, whose Pods become Ready late.

#[path = "examples/key_value.rs"]
mod key_value;
#[path = "examples/workshop.rs"]
mod workshop;

use std::collections::BTreeSet;
use std::path::Path;

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::support::control_plane::ControlPlane;
use crate::support::eventually;
use crate::{LIMIT, sidecar_with, text};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
const ACCOUNT: &str = "restart-pods";

fn documents(file: &str) -> Vec<Value> {
    let yaml = std::fs::read_to_string(Path::new(EXAMPLES).join(file)).unwrap();
    serde_saphyr::from_multiple(&yaml).unwrap()
}

/// Creates the service account and its rights as `file` has them; returns the flags of attache's container.
async fn install(client: &Client, namespace: &str, file: &str) -> Vec<String> {
    let mut flags = None;
    let mut created = 0;
    for document in documents(file) {
        let post = PostParams::default();
        match document["kind"].as_str().unwrap() {
            "ServiceAccount" => {
                let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
                let account = serde_json::from_value(document).unwrap();
                api.create(&post, &account).await.unwrap();
            }
            "Role" => {
                let api: Api<Role> = Api::namespaced(client.clone(), namespace);
                let role = serde_json::from_value(document).unwrap();
                api.create(&post, &role).await.unwrap();
            }
            "RoleBinding" => {
                let api: Api<RoleBinding> = Api::namespaced(client.clone(), namespace);
                let binding = serde_json::from_value(document).unwrap();
                api.create(&post, &binding).await.unwrap();
            }
            "Deployment" => {
                let pod = &document["spec"]["template"]["spec"];
                let containers = ["initContainers", "containers"].map(|list| &pod[list][0]);
                let attache = containers.into_iter().find(|c| c["name"] == "attache");
                let args = attache.unwrap()["args"].clone();
                flags = Some(serde_json::from_value(args).unwrap());
            }
            other => panic!("{other}"),
        }
        created += 1;
    }
    assert_eq!(created, 4);
    flags.unwrap()
}

/// A ReplicaSet of two Pods, as far as anybody who deletes them can tell.
struct ReplicaSet {
    pods: Api<Pod>,
    /// Every Pod it has made.
    made: usize,
}

impl ReplicaSet {
    const REPLICAS: usize = 2;

    async fn create(client: &Client, namespace: &str) -> Self {
        let pods = Api::namespaced(client.clone(), namespace);
        let mut this = Self { pods, made: 0 };
        for _ in 0..Self::REPLICAS {
            let name = this.make().await;
            this.make_ready(&name).await;
        }
        this
    }

    async fn list(&self) -> Vec<Pod> {
        let selected = ListParams::default().labels("app=frontend");
        self.pods.list(&selected).await.unwrap().items
    }

    async fn uids(&self) -> BTreeSet<String> {
        let pods = self.list().await;
        pods.iter().filter_map(ResourceExt::uid).collect()
    }

    async fn make(&mut self) -> String {
        self.made += 1;
        let name = format!("frontend-{}", self.made);
        let mut pod: Pod = serde_json::from_value(json!({
            "spec": {"containers": [{"name": "frontend", "image": "frontend"}]},
        }))
        .unwrap();
        pod.metadata = ObjectMeta {
            name: Some(name.clone()),
            labels: Some([("app".to_owned(), "frontend".to_owned())].into()),
            owner_references: Some(vec![OwnerReference {
                api_version: "apps/v1".to_owned(),
                kind: "ReplicaSet".to_owned(),
                name: "frontend".to_owned(),
                uid: "4f6a3b0e-0000-4000-8000-000000000001".to_owned(),
                controller: Some(true),
                block_owner_deletion: None,
            }]),
            ..ObjectMeta::default()
        };
        // No node takes it, so that it is gone as soon as it is deleted.
        self.pods
            .create(&PostParams::default(), &pod)
            .await
            .unwrap();
        name
    }

    async fn make_ready(&self, name: &str) {
        let status = json!({"status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
        }});
        self.pods
            .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .unwrap();
    }

    /// What a controller and a kubelet would do next: a Pod that is missing is made, one that was
    /// made earlier becomes Ready. Never may fewer be Ready than all but one.
    async fn step(&mut self) {
        let pods = self.list().await;
        let (ready, unready): (Vec<&Pod>, Vec<&Pod>) = pods.iter().partition(|pod| is_ready(pod));
        assert!(
            ready.len() + 1 >= Self::REPLICAS,
            "more than one away: {:?}",
            pods.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
        );
        for pod in unready {
            self.make_ready(&pod.name_any()).await;
        }
        for _ in pods.len()..Self::REPLICAS {
            self.make().await;
        }
    }

    /// Until none of these Pods is left and their replacements are Ready.
    async fn replaces(&mut self, before: &BTreeSet<String>) {
        eventually("every Pod is replaced", LIMIT, async || {
            self.step().await;
            let pods = self.list().await;
            let fresh = |pod: &Pod| pod.uid().is_some_and(|uid| !before.contains(&uid));
            pods.len() == Self::REPLICAS && pods.iter().all(|pod| fresh(pod) && is_ready(pod))
        })
        .await;
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    conditions
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_rule_restarts_the_pods_that_a_changed_config_map_names_and_no_others() {
    let plane = ControlPlane::shared().await;
    let (namespace, admin) = (plane.namespace().await, plane.admin().await);
    let flags = install(&admin, &namespace, "restart-pods/restart-pods.yaml").await;
    let maps = plane.config_maps(&namespace).await;
    maps.create("frontend", &[("GREETING", "hello")]).await;
    let frontend = documents("kubectl-proxy/frontend.yaml").swap_remove(0);
    maps.patch("frontend", &frontend).await;
    maps.create("other", &[("GREETING", "hello")]).await;
    let mut replicas = ReplicaSet::create(&admin, &namespace).await;
    let backend: Pod = serde_json::from_value(json!({
        "metadata": {"name": "backend", "labels": {"app": "backend"}},
        "spec": {"containers": [{"name": "backend", "image": "backend"}]},
    }))
    .unwrap();
    let backend = replicas
        .pods
        .create(&PostParams::default(), &backend)
        .await
        .unwrap();
    let before = replicas.uids().await;
    assert_eq!(before.len(), ReplicaSet::REPLICAS);

    let credentials = plane.service_account(&namespace, ACCOUNT).await;
    let state = tempfile::tempdir().unwrap();
    let state_dir = format!("--state-dir={}", text(state.path()));
    let flags: Vec<&str> = flags
        .iter()
        .map(String::as_str)
        .filter(|flag| *flag != "run" && !flag.starts_with("--admin-address="))
        .map(|flag| match flag {
            "--state-dir=/state" => state_dir.as_str(),
            other => other,
        })
        .collect();
    assert!(flags.contains(&state_dir.as_str()), "{flags:?}");
    let sidecar = sidecar_with(&credentials.kubeconfig, &namespace, &flags).await;
    eventually("every ConfigMap was read", LIMIT, async || {
        let path = format!("/kv/{namespace}/frontend/GREETING");
        sidecar.text(&path).await == (200, "hello".to_owned())
    })
    .await;

    // Neither a change of labels nor one of a ConfigMap that names no Pods restarts any: in the end
    // each Pod was replaced once.
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    maps.patch("frontend", &labels).await;
    maps.set("other", "GREETING", "bye").await;
    maps.set("frontend", "GREETING", "bye").await;
    replicas.replaces(&before).await;
    eventually("the rule is done", LIMIT, async || {
        let actions = sidecar.status().await["actions"].clone();
        let done = |action: &&Value| action["outcome"] == "ok";
        actions
            .as_array()
            .unwrap()
            .iter()
            .any(|action| done(&action))
    })
    .await;
    assert_eq!(replicas.made, 2 * ReplicaSet::REPLICAS, "each Pod once");
    let other = replicas.pods.get("backend").await.unwrap();
    assert_eq!(other.uid(), backend.uid());
}
