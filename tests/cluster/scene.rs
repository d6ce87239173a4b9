//! A namespace with an app in it, by kubectl and attache as anyone would use them.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take: nodes pull images, and kubelets take their time.
const LIMIT: Duration = Duration::from_secs(240);

/// A program that lives on.
pub(crate) const IDLE: &str = "while :; do sleep 1; done";

/// A namespace of its own; deleted with the test.
pub(crate) struct Scene {
    pub(crate) namespace: String,
}

/// Runs a program with this input; its output, or what it says on stderr.
pub(crate) fn run(program: &str, args: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writing = thread::spawn(move || {
        // Whoever wants no input may not read it.
        let _ = stdin.write_all(input.as_bytes());
    });
    let mut stderr = child.stderr.take().unwrap();
    let complaints = thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text)
    });
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    writing.join().unwrap();
    let complaints = complaints.join().unwrap().unwrap();
    match child.wait().unwrap().success() {
        true => Ok(text),
        false => Err(format!("{program} {}: {complaints}", args.join(" "))),
    }
}

/// `attache`, the binary under test.
pub(crate) fn attache(args: &[&str], input: &str) -> Result<String, String> {
    run(env!("CARGO_BIN_EXE_attache"), args, input)
}

/// Tries until there is a value.
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(error) => assert!(start.elapsed() < LIMIT, "not in time: {what}: {error}"),
        }
        // Each attempt is a process and a request already.
        thread::yield_now();
    }
}

/// Tries until it is that.
pub(crate) fn eventually_is(
    what: &str,
    wanted: &str,
    mut get: impl FnMut() -> Result<String, String>,
) {
    eventually(what, || match get()?.trim() {
        got if got == wanted => Ok(()),
        got => Err(format!("it is {got:?}, and not {wanted:?}")),
    });
}

// === impl Scene ===

impl Scene {
    pub(crate) fn new(name: &str) -> Self {
        let unique = std::process::id();
        let namespace = format!("attache-test-{name}-{unique}");
        run("kubectl", &["create", "namespace", &namespace], "").unwrap();
        let scene = Self { namespace };
        scene.apply(
            &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "app"}}),
        );
        scene.apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"GREETING": "hello"}
        }));
        scene
    }

    /// Whether every node runs native sidecars, by its kubelet's version: 1.29 or later.
    pub(crate) fn is_native(&self) -> bool {
        let path = "jsonpath={.items[*].status.nodeInfo.kubeletVersion}";
        let versions = self.kubectl(&["get", "nodes", "-o", path], "").unwrap();
        let minor = |version: &str| version.split('.').nth(1)?.parse::<u32>().ok();
        let mut versions = versions.split_whitespace();
        versions.all(|version| minor(version).is_some_and(|minor| minor >= 29))
    }

    pub(crate) fn kubectl(&self, args: &[&str], input: &str) -> Result<String, String> {
        let args = [&["-n", &self.namespace], args].concat();
        run("kubectl", &args, input)
    }

    pub(crate) fn apply(&self, object: &Value) {
        self.apply_text(&object.to_string());
    }

    pub(crate) fn apply_text(&self, text: &str) {
        self.kubectl(&["apply", "-f", "-"], text).unwrap();
    }

    pub(crate) fn get(&self, object: &str) -> Value {
        let text = self.kubectl(&["get", object, "-o", "json"], "").unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Sets the ConfigMap's one key.
    pub(crate) fn set(&self, value: &str) {
        let patch = json!({"data": {"GREETING": value}}).to_string();
        self.kubectl(&["patch", "configmap", "web", "-p", &patch], "")
            .unwrap();
    }

    /// The objects with their sidecars, and the rights that these need.
    pub(crate) fn inject(&self, object: &Value, flags: &[&str]) -> (String, String) {
        let image = image();
        let common = [
            "inject",
            "-f",
            "-",
            "-n",
            &self.namespace,
            "--image",
            &image,
        ];
        let args = [&common[..], &["--kubernetes", "cluster"], flags].concat();
        let injected = attache(&args, &object.to_string()).unwrap();
        let rights = attache(&[&args[..], &["--rbac"]].concat(), &object.to_string()).unwrap();
        (injected, rights)
    }

    /// The app, with these annotations, running with its sidecar.
    pub(crate) fn run_app(&self, app: &Value, flags: &[&str]) {
        let (injected, rights) = self.inject(app, flags);
        self.apply_text(&rights);
        self.apply_text(&injected);
        self.rolled_out();
    }

    pub(crate) fn rolled_out(&self) {
        let args = ["rollout", "status", "deployment/app", "--timeout=240s"];
        if let Err(error) = self.kubectl(&args, "") {
            let state = self.kubectl(&["describe", "pods"], "").unwrap_or_default();
            panic!("{error}\n{state}");
        }
    }

    /// A script that prints what the app reads from its sidecar.
    pub(crate) fn reading(&self) -> String {
        let path = format!("/kv/{}/web/GREETING", self.namespace);
        format!("wget -qO- \"$ATTACHE_ENDPOINT{path}\"")
    }

    /// What a script prints in the app's container.
    pub(crate) fn in_app(&self, script: &str) -> Result<String, String> {
        let args = [
            "exec",
            "deployment/app",
            "-c",
            "app",
            "--",
            "sh",
            "-c",
            script,
        ];
        self.kubectl(&args, "")
    }

    /// The UIDs of the app's pods that are not on their way out.
    pub(crate) fn pods(&self) -> Vec<String> {
        let list = self.get("pods");
        let pods = list["items"].as_array().unwrap().iter();
        let here = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let uid = |pod: &Value| pod["metadata"]["uid"].as_str().unwrap().to_owned();
        here.map(uid).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let args = ["delete", "namespace", &self.namespace, "--wait=false"];
        let _ = run("kubectl", &args, "");
    }
}

/// The image under test.
pub(crate) fn image() -> String {
    std::env::var("ATTACHE_IMAGE")
        .unwrap_or_else(|_| format!("attache:{}", env!("CARGO_PKG_VERSION")))
}

/// A Deployment of one container that runs a script.
pub(crate) fn app(annotations: &Value, replicas: u32, script: &str) -> Value {
    let image = std::env::var("APP_IMAGE").unwrap_or_else(|_| "busybox:1.36".to_owned());
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "app"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "app"}},
            "template": {
                "metadata": {"labels": {"app": "app"}, "annotations": annotations},
                "spec": {
                    "serviceAccountName": "app",
                    "terminationGracePeriodSeconds": 1,
                    "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000},
                    "containers": [{
                        "name": "app",
                        "image": image,
                        "command": ["sh", "-c", script],
                        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}
                    }]
                }
            }
        }
    })
}
