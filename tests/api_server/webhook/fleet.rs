//! Webhooks in-process behind one address, and the manifests as they are shipped, but for where the
//! API server finds them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attache::cli::{self, Parsed};
use attache::config::{self, Certificate, Job};
use attache::upstream::Upstream;
use attache::webhook::Server;
use bytes::Bytes;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::LIMIT;
use crate::support::control_plane::ControlPlane;
use crate::support::{eventually, http as plain};

const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests");

/// As shipped.
const NAMESPACE: &str = "attache-system";
const NAME: &str = "attache-webhook";
const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/attache";

/// The API server, spoken to in raw JSON: its types would lose what they do not know.
pub(super) struct Api(pub(super) Client);

impl Api {
    /// Sends a request; the status, the headers and the body.
    pub(super) async fn send(&self, request: Request<String>) -> Response<Value> {
        let request = request.map(|body| Body::from(body.into_bytes()));
        let (head, body) = self.0.send(request).await.unwrap().into_parts();
        let body = body.collect_bytes().await.unwrap();
        let body = serde_json::from_slice(&body).unwrap();
        Response::from_parts(head, body)
    }

    /// POSTs an object.
    pub(super) async fn post(&self, path: &str, object: &Value) -> Response<Value> {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.body(object.to_string()).unwrap()).await
    }

    /// Creates an object; panics unless it is.
    pub(super) async fn create(&self, path: &str, object: &Value) -> Value {
        let answer = self.post(path, object).await;
        assert_eq!(answer.status(), 201, "{}", answer.body());
        answer.into_body()
    }

    /// Reads an object.
    pub(super) async fn get(&self, path: &str) -> Value {
        let request = Request::get(path).body(String::new()).unwrap();
        let answer = self.send(request).await;
        assert_eq!(answer.status(), 200, "{}", answer.body());
        answer.into_body()
    }

    /// Changes an object by a merge patch.
    pub(super) async fn patch(&self, path: &str, patch: &Value) {
        let request = Request::patch(path).header("content-type", "application/merge-patch+json");
        let answer = self.send(request.body(patch.to_string()).unwrap()).await;
        assert_eq!(answer.status(), 200, "{}", answer.body());
    }
}

/// Every document of a shipped manifest.
fn documents(file: &str) -> Vec<Value> {
    let yaml = std::fs::read_to_string(Path::new(MANIFESTS).join(file)).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&yaml).unwrap();
    assert!(!documents.is_empty(), "{file}");
    documents
}

/// One webhook in-process.
pub(super) struct Replica {
    pub(super) address: SocketAddr,
    admin: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Replica {
    async fn start(kubeconfig: &Path, flags: &[&str], validity: Option<Duration>) -> Self {
        let mut args = vec!["attache", "webhook", "--address=127.0.0.1", "--port=0"];
        args.push("--admin-address=127.0.0.1:0");
        if !flags
            .iter()
            .any(|flag| flag.starts_with("--shutdown-delay"))
        {
            args.push("--shutdown-delay=0s");
        }
        args.extend(["--kubeconfig", kubeconfig.to_str().unwrap()]);
        args.extend(["--namespace", NAMESPACE, "--image=attache:test"]);
        args.extend(flags);
        let args = args.into_iter().map(Into::into);
        let Parsed::Command { command, faults } = cli::parse(args, std::iter::empty()) else {
            panic!("no command");
        };
        let Job::Webhook(mut config) = config::load(command, faults).unwrap() else {
            panic!("no webhook");
        };
        if let (Some(given), Certificate::Own { validity, .. }) =
            (validity, &mut config.certificate)
        {
            // Shorter than the flag takes, so that it is renewed during a test.
            *validity = given;
        }
        let upstream = Upstream::new(config.connection.clone()).await.unwrap();
        let server = Server::bind(*config, upstream).await.unwrap();
        let (address, admin) = (server.address(), server.admin_address().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            let stop = async {
                let _ = stopped.await;
            };
            server.run(stop).await.unwrap();
        });
        Self {
            address,
            admin,
            stop: Some(stop),
            running,
        }
    }

    async fn admin(&self, path: &str) -> Response<Bytes> {
        let url = format!("http://{}{path}", self.admin);
        plain::get(&url, &[]).await.unwrap()
    }

    /// What `/-/metrics` shows of a series; zero if there is none.
    pub(super) async fn metric(&self, series: &str) -> f64 {
        let answer = self.admin("/-/metrics").await;
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        found.map_or(0.0, |value| value.parse().unwrap())
    }

    pub(super) async fn is_ready(&self) -> bool {
        self.admin("/-/ready").await.status() == 200
    }

    /// Stops it as SIGTERM does, and waits for its end.
    pub(super) async fn stop(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(LIMIT, self.running)
            .await
            .unwrap()
            .unwrap();
    }
}

/// Some replicas behind one address, which the API server calls.
pub(super) struct Fleet {
    pub(super) api: Api,
    pub(super) replicas: Vec<Replica>,
    kubeconfig: PathBuf,
    flags: Vec<String>,
    /// Of the replicas that are called, as a Service's endpoints are.
    addresses: Addresses,
    balancing: JoinHandle<()>,
}

type Addresses = Arc<Mutex<Vec<SocketAddr>>>;

impl Drop for Fleet {
    fn drop(&mut self) {
        self.balancing.abort();
    }
}

impl Fleet {
    /// Installs what is shipped, with the rights that it has, and waits until the API server calls.
    pub(super) async fn start(
        plane: &ControlPlane,
        count: usize,
        flags: &[&str],
        validity: Option<Duration>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let api = Api(plane.admin().await);
        let kubeconfig = install(plane, &api, port).await;
        let mut replicas = Vec::new();
        for _ in 0..count {
            replicas.push(Replica::start(&kubeconfig, flags, validity).await);
        }
        let addresses = replicas.iter().map(|replica| replica.address).collect();
        let addresses = Addresses::new(Mutex::new(addresses));
        let fleet = Self {
            api,
            replicas,
            kubeconfig,
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            addresses: Arc::clone(&addresses),
            balancing: tokio::spawn(balance(listener, addresses)),
        };
        for replica in &fleet.replicas {
            eventually("the webhook is ready", LIMIT, async || {
                replica.is_ready().await
            })
            .await;
        }
        fleet
    }

    /// Replaces the oldest replica as a Deployment does: a new one is called once it is ready, and the
    /// old one no more once it is not.
    pub(super) async fn replace(&mut self) {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let new = Replica::start(&self.kubeconfig, &flags, None).await;
        eventually("the new one is ready", LIMIT, async || new.is_ready().await).await;
        self.addresses.lock().unwrap().push(new.address);
        self.replicas.push(new);
        let mut old = self.replicas.remove(0);
        drop(old.stop.take());
        eventually("the old one is not", LIMIT, async || !old.is_ready().await).await;
        self.addresses.lock().unwrap().retain(|a| *a != old.address);
        old.stop().await;
    }

    /// A namespace, by its labels and annotations.
    pub(super) async fn namespace(&self, name: &str, enabled: bool, annotations: &Value) {
        let labels = match enabled {
            true => json!({"attache.dev/inject": "enabled"}),
            false => json!({}),
        };
        let metadata = json!({"name": name, "labels": labels, "annotations": annotations});
        let object = json!({"metadata": metadata});
        self.api.create("/api/v1/namespaces", &object).await;
    }

    /// The caBundles of the configuration.
    pub(super) async fn bundles(&self) -> Vec<Value> {
        let configuration = self.api.get(CONFIGURATION).await;
        let webhooks = configuration["webhooks"].as_array().unwrap().iter();
        webhooks
            .map(|webhook| webhook["clientConfig"]["caBundle"].clone())
            .collect()
    }

    /// The Secret with the certificate.
    pub(super) async fn certificate(&self) -> Value {
        let secrets = format!("/api/v1/namespaces/{NAMESPACE}/secrets");
        self.api.get(&format!("{secrets}/{NAME}-certificate")).await
    }

    /// Waits until pods of this namespace come back injected: the API server learns of a webhook a
    /// moment after it was registered.
    pub(super) async fn calls(&self, namespace: &str, annotations: &Value) {
        let metadata = json!({"generateName": "probe-", "annotations": annotations});
        let object = pod(&metadata);
        eventually("pods are injected", LIMIT, async || {
            let pod = self.api.create(&pods(namespace), &object).await;
            sidecar(&pod).is_some()
        })
        .await;
    }
}

/// The shipped namespace, rights and configuration, called at `port` of this machine; a kubeconfig of
/// the shipped service account.
async fn install(plane: &ControlPlane, api: &Api, port: u16) -> PathBuf {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let all = documents("namespace.yaml").into_iter();
    for mut document in all
        .chain(documents("rbac.yaml"))
        .chain(documents("configuration.yaml"))
    {
        let namespaced = format!("{rbac}/namespaces/{NAMESPACE}");
        let path = match document["kind"].as_str().unwrap() {
            "Namespace" => "/api/v1/namespaces".to_owned(),
            "ServiceAccount" => format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts"),
            "Role" => format!("{namespaced}/roles"),
            "RoleBinding" => format!("{namespaced}/rolebindings"),
            "ClusterRole" => format!("{rbac}/clusterroles"),
            "ClusterRoleBinding" => format!("{rbac}/clusterrolebindings"),
            "MutatingWebhookConfiguration" => {
                let webhooks = document["webhooks"].as_array_mut().unwrap();
                assert_eq!(webhooks.len(), 2);
                for webhook in webhooks {
                    let url = format!("https://127.0.0.1:{port}/mutate");
                    webhook["clientConfig"] = json!({"url": url});
                }
                CONFIGURATION.rsplit_once('/').unwrap().0.to_owned()
            }
            other => panic!("{other}"),
        };
        api.create(&path, &document).await;
    }
    plane.service_account(NAMESPACE, NAME).await.kubeconfig
}

/// Each connection to the next address that accepts it.
async fn balance(listener: TcpListener, addresses: Addresses) {
    let turn = Arc::new(AtomicUsize::new(0));
    while let Ok((mut client, _)) = listener.accept().await {
        let (addresses, turn) = (addresses.lock().unwrap().clone(), Arc::clone(&turn));
        tokio::spawn(async move {
            for _ in 0..addresses.len() {
                let next = turn.fetch_add(1, Ordering::Relaxed) % addresses.len();
                if let Ok(mut server) = TcpStream::connect(addresses[next]).await {
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                    return;
                }
            }
        });
    }
}

/// Where pods of a namespace are.
pub(super) fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

/// A pod of one container.
pub(super) fn pod(metadata: &Value) -> Value {
    json!({
        "metadata": metadata,
        "spec": {"containers": [{"name": "app", "image": "app", "command": ["app"]}]},
    })
}

/// The sidecar, whichever kind of it this server's nodes run.
pub(super) fn sidecar(pod: &Value) -> Option<&Value> {
    let (list, at) = place_of_sidecar(pod)?;
    Some(&pod["spec"][list][at])
}

/// The list of the pod's containers that it is in, and where.
pub(super) fn place_of_sidecar(pod: &Value) -> Option<(&'static str, usize)> {
    ["initContainers", "containers"]
        .into_iter()
        .find_map(|list| {
            let mut containers = pod["spec"][list].as_array()?.iter();
            let at = containers.position(|container| container["name"] == "attache")?;
            Some((list, at))
        })
}
