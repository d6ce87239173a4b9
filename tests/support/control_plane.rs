//! A real etcd and kube-apiserver, as `scripts/control-plane` starts them, and what can befall them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::assets::server_minor;
use super::{eventually, http};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/control-plane");

/// How long etcd and the API server may take to come up on a busy machine.
const START: Duration = Duration::from_secs(120);

/// A control plane of its own, on free loopback ports. Its processes end with it.
#[derive(Debug)]
pub struct ControlPlane {
    /// `None`: stopped. Declared first, as the API server is to end before etcd.
    apiserver: Option<Held>,
    etcd: Held,
    flags: Vec<String>,
    /// What answers 200 once the API server is ready.
    readyz: &'static str,
    /// Goes with etcd, which also knows when a shared control plane ends.
    dir: PathBuf,
}

/// A process that lives as long as its standard input is open.
#[derive(Debug)]
struct Held(Child);

impl Held {
    fn start(args: &[&str]) -> Self {
        let child = Command::new(SCRIPT)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        Self(child.expect("scripts/control-plane starts"))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl ControlPlane {
    /// Starts etcd and the API server and waits until it is ready.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with flags added to kube-apiserver's.
    pub async fn start_with(flags: &[&str]) -> Self {
        Self::start_until(flags, "/readyz").await
    }

    /// One without discovery.k8s.io/v1, as all are before Kubernetes 1.21. A later API server reads
    /// EndpointSlices itself: without them it serves all the rest, but waits for ever for its informers.
    pub async fn start_without_endpoint_slices() -> Self {
        if server_minor() < 21 {
            return Self::start().await;
        }
        let flag = "--runtime-config=discovery.k8s.io/v1=false";
        Self::start_until(&[flag], "/readyz?exclude=informer-sync").await
    }

    async fn start_until(flags: &[&str], readyz: &'static str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("control-plane-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a temporary directory")
            .keep();
        script(&dir, "init", &[]);
        let mut control_plane = Self {
            apiserver: None,
            etcd: Held::start(&["etcd", text(&dir), "--remove"]),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            readyz,
            dir,
        };
        control_plane.start_apiserver().await;
        control_plane
    }

    /// One control plane for all tests of this binary that break nothing. Use [`Self::namespace`]
    /// to keep them apart.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// Kills the API server (SIGKILL).
    pub fn stop_apiserver(&mut self) {
        self.apiserver = None;
    }

    /// Starts the API server on the same port and data, and waits until it is ready.
    pub async fn start_apiserver(&mut self) {
        let (dir, readyz) = (self.dir.clone(), self.readyz);
        let mut args = vec!["apiserver", text(&dir)];
        args.extend(self.flags.iter().map(String::as_str));
        let apiserver = self.apiserver.insert(Held::start(&args));
        eventually("the API server is ready", START, async || {
            if let Ok(Some(status)) = apiserver.0.try_wait() {
                panic!("kube-apiserver ended with {status}:\n{}", logs(&dir));
            }
            ready(&dir, readyz).await
        })
        .await;
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.read("url")
    }

    /// The API server's address, for a relay.
    pub fn addr(&self) -> SocketAddr {
        self.url()
            .trim_start_matches("https://")
            .parse()
            .expect("a socket address")
    }

    /// The CA in force.
    pub fn ca_pem(&self) -> String {
        self.read("ca.crt")
    }

    /// The administrator's kubeconfig: `system:masters`.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.dir.join("admin.kubeconfig")
    }

    /// User `pod` has a token file and a CA file, as a pod does, and the rights given by
    /// [`Self::allow`].
    pub fn pod_kubeconfig(&self) -> PathBuf {
        self.dir.join("pod.kubeconfig")
    }

    /// The kubeconfig of a new user with a client certificate; rights by [`Self::allow`].
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        script(&self.dir, "kubeconfig", &[user]);
        self.dir.join(format!("{user}.kubeconfig"))
    }

    /// A token for a service account, as a pod has it.
    pub async fn service_account(&self, namespace: &str, name: &str) -> PodCredentials {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin().await, namespace);
        let request = TokenRequest::default();
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .expect("the ServiceAccount is there");
        let token = answer.status.expect("a token").token;
        let dir = self.dir.join(format!("{namespace}-{name}"));
        std::fs::create_dir(&dir).expect("a directory");
        for (file, content) in [("token", token.as_str()), ("namespace", namespace)] {
            std::fs::write(dir.join(file), content).expect("a file");
        }
        let kubeconfig = dir.join("kubeconfig");
        let pods = std::fs::read_to_string(self.pod_kubeconfig()).expect("a kubeconfig");
        let token = |dir: &Path, file| format!("\"{}\"", dir.join(file).display());
        let ours = pods.replace(&token(&self.dir, "pod.token"), &token(&dir, "token"));
        assert_ne!(ours, pods, "another token file");
        std::fs::write(&kubeconfig, ours).expect("a kubeconfig");
        PodCredentials { dir, kubeconfig }
    }

    /// A copy of a kubeconfig that goes to `addr` instead, such as a relay's.
    pub fn kubeconfig_via(&self, kubeconfig: &Path, addr: SocketAddr) -> PathBuf {
        let config = std::fs::read_to_string(kubeconfig).expect("a kubeconfig");
        let path = kubeconfig.with_extension(format!("{}.kubeconfig", addr.port()));
        std::fs::write(
            &path,
            config.replace(&self.url(), &format!("https://{addr}")),
        )
        .expect("a kubeconfig");
        path
    }

    /// A client with the administrator's rights. Clients belong to the runtime that made them.
    pub async fn admin(&self) -> Client {
        client(&self.admin_kubeconfig()).await
    }

    /// A new namespace that no other test uses.
    pub async fn namespace(&self) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let namespace = Namespace {
            metadata: named(&name),
            ..Namespace::default()
        };
        let api: Api<Namespace> = Api::all(self.admin().await);
        api.create(&PostParams::default(), &namespace)
            .await
            .expect("a namespace");
        name
    }

    /// The ConfigMaps of a namespace, as the administrator sees them.
    pub async fn config_maps(&self, namespace: &str) -> ConfigMaps {
        ConfigMaps(Api::namespaced(self.admin().await, namespace))
    }

    /// Creates a Secret with string data.
    pub async fn create_secret(&self, namespace: &str, name: &str, data: &[(&str, &str)]) {
        let api: Api<Secret> = Api::namespaced(self.admin().await, namespace);
        let secret = Secret {
            metadata: named(name),
            string_data: Some(owned(data)),
            ..Secret::default()
        };
        api.create(&PostParams::default(), &secret)
            .await
            .expect("a Secret");
    }

    /// A Role and RoleBinding, both called `user`: the verbs on the resource, limited to `names`
    /// unless that is empty.
    pub async fn allow(
        &self,
        user: &str,
        namespace: &str,
        resource: &str,
        verbs: &[&str],
        names: &[&str],
    ) {
        let list = |items: &[&str]| {
            items
                .iter()
                .map(|item| (*item).to_owned())
                .collect::<Vec<_>>()
        };
        let rule = PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec![resource.to_owned()]),
            verbs: list(verbs),
            resource_names: Some(list(names)).filter(|names| !names.is_empty()),
            ..PolicyRule::default()
        };
        let role = Role {
            metadata: named(user),
            rules: Some(vec![rule]),
        };
        let group = "rbac.authorization.k8s.io".to_owned();
        let binding = RoleBinding {
            metadata: named(user),
            role_ref: RoleRef {
                api_group: group.clone(),
                kind: "Role".into(),
                name: user.into(),
            },
            subjects: Some(vec![Subject {
                api_group: Some(group),
                kind: "User".into(),
                name: user.into(),
                namespace: None,
            }]),
        };
        let admin = self.admin().await;
        let roles: Api<Role> = Api::namespaced(admin.clone(), namespace);
        let bindings: Api<RoleBinding> = Api::namespaced(admin, namespace);
        roles
            .create(&PostParams::default(), &role)
            .await
            .expect("a Role");
        bindings
            .create(&PostParams::default(), &binding)
            .await
            .expect("a RoleBinding");
        // The authorizer reads Roles from a cache of its own.
        let allowed: Api<ConfigMap> = Api::namespaced(self.admin_as(user).await, namespace);
        let name = names.first().copied().unwrap_or("any");
        if resource == "configmaps" && verbs.contains(&"get") {
            eventually("the Role is in force", START, async || {
                !matches!(allowed.get(name).await, Err(kube::Error::Api(error)) if error.code == 403)
            })
            .await;
        }
    }

    /// Takes back what [`Self::allow`] gave.
    pub async fn forbid(&self, user: &str, namespace: &str) {
        let admin = self.admin().await;
        let params = DeleteParams::default();
        let roles: Api<Role> = Api::namespaced(admin.clone(), namespace);
        let bindings: Api<RoleBinding> = Api::namespaced(admin, namespace);
        bindings
            .delete(user, &params)
            .await
            .expect("the RoleBinding is there");
        roles
            .delete(user, &params)
            .await
            .expect("the Role is there");
    }

    async fn admin_as(&self, user: &str) -> Client {
        let mut config = config(&self.admin_kubeconfig()).await;
        config.auth_info.impersonate = Some(user.to_owned());
        Client::try_from(config).expect("a client")
    }

    /// A new serving certificate of the same CA; the API server restarts with it.
    pub async fn rotate_serving_certificate(&mut self) {
        self.restart_after("serving-cert").await;
    }

    /// A new CA and a serving certificate from it; the API server restarts with them. The
    /// kubeconfigs name the CA's file, which now holds the new one.
    pub async fn rotate_ca(&mut self) {
        self.restart_after("ca").await;
    }

    /// The token of [`Self::pod_kubeconfig`] becomes invalid and a new one valid; the API server
    /// restarts with it. The token file keeps the old one until [`Self::deliver_token`].
    pub async fn rotate_token(&mut self) {
        self.restart_after("token").await;
    }

    /// Puts the token of the last [`Self::rotate_token`] into the token file.
    pub fn deliver_token(&self) {
        let token = self.dir.join("pod.token");
        std::fs::rename(token.with_extension("token.next"), token).expect("a token to deliver");
    }

    async fn restart_after(&mut self, command: &str) {
        script(&self.dir, command, &[]);
        self.stop_apiserver();
        self.start_apiserver().await;
    }

    /// Makes every resourceVersion seen so far too old to resume a watch from: the API server
    /// restarts, and its watch cache begins with a later version.
    /// Such a watch gets 200 and an ERROR event with code 410 as its first line.
    pub async fn expire_watches(&mut self) {
        self.compact_etcd().await;
        self.stop_apiserver();
        self.start_apiserver().await;
    }

    /// Compacts etcd up to its current revision, which is returned and is later than any object's.
    /// A server with `--watch-cache=false` then answers a watch from an older version with the
    /// 410 event; with its cache it still knows the last versions: [`Self::expire_watches`].
    pub async fn compact_etcd(&self) -> u64 {
        let etcd = self.read("etcd-url");
        // One revision more than the last object's: a watch that resumes right at the compacted
        // revision gets neither its event nor a 410, as etcd no longer has the value before it.
        let put = json!({"key": "YXR0YWNoZQ==", "value": ""});
        let put = http::post_json(&format!("{etcd}/v3/kv/put"), &put).await;
        let revision = put["header"]["revision"]
            .as_str()
            .expect("a revision")
            .to_owned();
        let compaction = json!({"revision": revision, "physical": true});
        http::post_json(&format!("{etcd}/v3/kv/compaction"), &compaction).await;
        revision.parse().expect("a number")
    }

    fn read(&self, file: &str) -> String {
        let text = std::fs::read_to_string(self.dir.join(file)).expect("made by init");
        text.trim_end().to_owned()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", logs(&self.dir));
        }
    }
}

/// The credentials of a pod, by [`ControlPlane::service_account`].
#[derive(Debug)]
pub struct PodCredentials {
    /// Holds `token` and `namespace`, as `/var/run/secrets/kubernetes.io/serviceaccount` does.
    pub dir: PathBuf,
    /// With that token file, and the CA's file.
    pub kubeconfig: PathBuf,
}

/// The ConfigMaps of a namespace.
#[derive(Debug, Clone)]
pub struct ConfigMaps(Api<ConfigMap>);

impl ConfigMaps {
    /// Creates one; its resourceVersion.
    pub async fn create(&self, name: &str, data: &[(&str, &str)]) -> String {
        self.create_labelled(name, &[], data).await
    }

    /// The same with labels.
    pub async fn create_labelled(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        data: &[(&str, &str)],
    ) -> String {
        let object = ConfigMap {
            metadata: ObjectMeta {
                labels: Some(owned(labels)),
                ..named(name)
            },
            data: Some(owned(data)),
            ..ConfigMap::default()
        };
        version(self.0.create(&PostParams::default(), &object).await)
    }

    /// Sets one key; the new resourceVersion.
    pub async fn set(&self, name: &str, key: &str, value: &str) -> String {
        self.patch(name, &json!({"data": {key: value}})).await
    }

    /// Applies a JSON merge patch (RFC 7386); the new resourceVersion.
    pub async fn patch(&self, name: &str, patch: &Value) -> String {
        let params = PatchParams::default();
        version(self.0.patch(name, &params, &Patch::Merge(patch)).await)
    }

    /// The current resourceVersion.
    pub async fn resource_version(&self, name: &str) -> String {
        version(self.0.get(name).await)
    }

    /// Deletes one.
    pub async fn delete(&self, name: &str) {
        self.0
            .delete(name, &DeleteParams::default())
            .await
            .expect("the ConfigMap is there");
    }
}

fn version(result: kube::Result<ConfigMap>) -> String {
    let object = result.expect("the API server takes the request");
    object
        .metadata
        .resource_version
        .expect("every stored object has one")
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

fn owned(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn script(dir: &Path, command: &str, args: &[&str]) {
    let output = Command::new(SCRIPT)
        .arg(command)
        .arg(dir)
        .args(args)
        .stdin(Stdio::null())
        .output();
    let output = output.expect("scripts/control-plane starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "control-plane {command}: {errors}");
}

async fn config(kubeconfig: &Path) -> Config {
    let file = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let options = KubeConfigOptions::default();
    Config::from_custom_kubeconfig(file, &options)
        .await
        .expect("a valid kubeconfig")
}

/// A client of a kubeconfig's user.
pub async fn client(kubeconfig: &Path) -> Client {
    Client::try_from(config(kubeconfig).await).expect("a client")
}

/// `/readyz` comes before the API server has made the namespace `default`.
async fn ready(dir: &Path, readyz: &str) -> bool {
    let mut config = config(&dir.join("admin.kubeconfig")).await;
    config.default_retry = false;
    let client = Client::try_from(config).expect("a client");
    for path in [readyz, "/api/v1/namespaces/default"] {
        let request = ::http::Request::get(path).body(Vec::new());
        let answer = client.request_text(request.expect("a valid request")).await;
        if answer.is_err() {
            return false;
        }
    }
    true
}

/// The ends of both logs.
fn logs(dir: &Path) -> String {
    ["etcd.log", "apiserver.log"]
        .map(|name| {
            let log = std::fs::read_to_string(dir.join(name)).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            format!(
                "--- {name}\n{}\n",
                lines[lines.len().saturating_sub(30)..].join("\n")
            )
        })
        .concat()
}
