//! A node without containers: `test-kubelet` (see `kubelet/main.go`), registered with the API
//! server, and Pods that run on it as far as the API server can tell.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::assets;
use super::control_plane::ControlPlane;

/// How many lines every container has logged: `line 1` and so on.
pub const LOG_LINES: usize = 10;

/// A running kubelet; killed when dropped.
#[derive(Debug)]
pub struct Kubelet {
    child: Child,
    node: String,
    dir: TempDir,
}

impl Kubelet {
    /// Starts it and registers its Node.
    pub async fn start(plane: &ControlPlane) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut child = Command::new(assets::program("test-kubelet"))
            .args(["-log-lines", &LOG_LINES.to_string()])
            .current_dir(dir.path())
            // It ends with its input, so it does not outlive the tests.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("test-kubelet starts");
        let mut url = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut url)
            .expect("test-kubelet tells its URL");
        let port = url.trim().strip_prefix("https://127.0.0.1:");
        let port: u16 = port.and_then(|port| port.parse().ok()).expect("a port");
        let kubelet = Self {
            child,
            node: format!("node-{}", COUNT.fetch_add(1, Ordering::Relaxed)),
            dir,
        };
        kubelet.register(plane, port).await;
        kubelet
    }

    async fn register(&self, plane: &ControlPlane, port: u16) {
        let nodes: Api<Node> = Api::all(plane.admin().await);
        let node = object(json!({"metadata": {"name": self.node}}));
        nodes
            .create(&PostParams::default(), &node)
            .await
            .expect("a Node");
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }});
        nodes
            .patch_status(&self.node, &PatchParams::default(), &Patch::Merge(status))
            .await
            .expect("the Node's status");
    }

    /// Creates a Running Pod with one container on this node.
    pub async fn run_pod(&self, plane: &ControlPlane, namespace: &str, name: &str) {
        let pods: Api<Pod> = Api::namespaced(plane.admin().await, namespace);
        let pod = object(json!({
            "metadata": {"name": name},
            "spec": {
                "nodeName": self.node,
                "containers": [{"name": "app", "image": "app", "stdin": true}],
            },
        }));
        pods.create(&PostParams::default(), &pod)
            .await
            .expect("a Pod");
        let status = json!({"status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{
                "name": "app", "image": "app", "imageID": "", "ready": true, "restartCount": 0,
                "state": {"running": {}},
            }],
        }});
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .expect("the Pod's status");
    }

    /// Where the containers' commands run.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of that type")
}
