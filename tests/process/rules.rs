//! Rules from a configuration, and programs and endpoints that know nothing of attache.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::LIMIT;
use super::support::audience::{Audience, Told};
use super::support::eventually;
use super::support::nginx::Nginx;
use super::support::receiver::{Call, Receiver};
use super::support::sidecar::Sidecar;

/// How much later than the API server a kubelet has a change in its volume, here.
const LATE: Duration = Duration::from_secs(5);

/// A directory with the manifest of the ConfigMap `web`.
struct Manifests(TempDir);

impl Manifests {
    fn with(key: &str, value: &str) -> Self {
        let manifests = Self(tempfile::tempdir().unwrap());
        manifests.set(key, value);
        manifests
    }

    /// Replaces the manifest at once: this key is its only one.
    fn set(&self, key: &str, value: &str) {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"},
            "data": {key: value},
        });
        let (new, path) = (self.0.path().join("new"), self.0.path().join("web.yaml"));
        fs::write(&new, object.to_string()).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// attache with these rules, which has read the manifest.
    async fn attache(&self, flags: &[&str], rules: &[String]) -> Sidecar {
        let mut all = vec!["--dir", self.0.path().to_str().unwrap()];
        all.extend(flags);
        for rule in rules {
            all.extend(["--on-change", rule.as_str()]);
        }
        let sidecar = Sidecar::start(&all).await;
        eventually("synced", LIMIT, async || {
            sidecar.text("/-/ready").await.0 == 200
                && sidecar.text("/kv/default/web").await.0 == 200
        })
        .await;
        sidecar
    }
}

async fn actions(sidecar: &Sidecar) -> Vec<Value> {
    let status = sidecar.status().await;
    status["actions"].as_array().unwrap().clone()
}

/// Waits for that many actions; every one succeeded.
async fn all_acted(sidecar: &Sidecar, count: usize) {
    eventually("every rule has acted", LIMIT, async || {
        actions(sidecar).await.len() >= count
    })
    .await;
    let actions = actions(sidecar).await;
    assert_eq!(actions.len(), count, "{actions:?}");
    let ok = actions.iter().all(|action| action["outcome"] == "ok");
    assert!(ok, "{actions:?}");
}

/// The rules that wait for a mount.
async fn waiting(sidecar: &Sidecar) -> usize {
    let status = sidecar.status().await;
    let problems = status["problems"].as_object().unwrap();
    let mount = |problem: &&Value| {
        problem
            .as_str()
            .unwrap()
            .starts_with("waiting for the mount")
    };
    problems.values().filter(mount).count()
}

#[tokio::test]
async fn nginx_reloads_by_a_rules_command_once_its_mount_has_caught_up() {
    let nginx = Nginx::prepare();
    let manifests = Manifests::with("default.conf", &nginx.site("one"));
    nginx.mount(&nginx.site("one"));
    let nginx = nginx.start().await;
    let (master, workers) = (nginx.master(), nginx.workers());
    let mut argv = nginx.command();
    argv.extend(["-s", "reload"].map(str::to_owned));
    let rule = json!({
        "when": {"configMap": "web"}, "command": argv, "settle": "0s",
        "afterMount": nginx.mounted(),
    });
    let sidecar = manifests.attache(&[], &[rule.to_string()]).await;
    manifests.set("default.conf", &nginx.site("two"));
    eventually("it waits", LIMIT, async || waiting(&sidecar).await == 1).await;
    assert_eq!(nginx.page().await, "one");
    assert_eq!(actions(&sidecar).await, [json!(null); 0]);
    nginx.mount(&nginx.site("two"));
    nginx.reloaded("two", &workers).await;
    assert_eq!(nginx.master(), master, "the master lives on");
    all_acted(&sidecar, 1).await;
}

/// A `sleep` under a name of its own; killed with the test.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_program_without_a_handler_is_not_signalled_and_status_says_why() {
    let manifests = Manifests::with("K", "0");
    let dir = tempfile::tempdir().unwrap();
    let name = format!("sleep-{}", std::process::id());
    symlink("/bin/sleep", dir.path().join(&name)).unwrap();
    let mut sleeping = Command::new(dir.path().join(&name));
    let mut sleeper = Sleeper(sleeping.arg("infinity").spawn().unwrap());
    let rule = format!("{{signal: {name}, settle: 0s, retries: 1}}");
    let sidecar = manifests.attache(&[], &[rule]).await;
    for change in 1..=2 {
        manifests.set("K", &change.to_string());
        eventually("it gave up", LIMIT, async || {
            let actions = actions(&sidecar).await;
            let failed = actions.iter().filter(|a| a["outcome"] == "failed").count();
            failed == change
        })
        .await;
        assert!(matches!(sleeper.0.try_wait(), Ok(None)), "it lives on");
    }
    let outcomes: Vec<Value> = actions(&sidecar)
        .await
        .iter()
        .map(|action| action["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["retrying", "failed", "retrying", "failed"]);
    let problem = sidecar.status().await["problems"]["onChange[0]"].clone();
    let problem = problem.as_str().unwrap();
    let why = format!("(PID {}) does not catch SIGHUP", sleeper.0.id());
    assert!(problem.contains(&why), "{problem}");
}

#[tokio::test]
async fn files_come_first_and_then_every_rule_once() {
    let manifests = Manifests::with("K", "0");
    let dir = tempfile::tempdir().unwrap();
    let mut audience = Audience::start(&[&dir.path().join("K")]).await;
    let config = audience.path("attache.yaml");
    let files = json!({"files": [{"configMap": "web", "dir": dir.path()}]});
    fs::write(&config, files.to_string()).unwrap();
    let flags = ["--config", config.to_str().unwrap()];
    let rules = audience.rules("when: {configMap: web}, settle: 0s");
    let sidecar = manifests.attache(&flags, &rules).await;
    for (value, told) in [("1", &["1"][..]), ("2", &["1", "2"])] {
        manifests.set("K", value);
        audience.was_told(&Told::all(told)).await;
        all_acted(&sidecar, 3 * told.len()).await;
    }
    assert!(audience.is_alive(), "what was not meant lives on");
    let actions = actions(&sidecar).await;
    let kinds: Vec<&Value> = actions.iter().map(|action| &action["action"]).collect();
    let in_order = ["signal", "command", "restart"];
    assert_eq!(kinds, [in_order, in_order].concat());
}

/// Writes a version of a volume as the kubelet does: files, `..data`, links to the keys.
fn publish(volume: &Path, version: &str, key: &str, value: &str) {
    fs::create_dir(volume.join(version)).unwrap();
    fs::write(volume.join(version).join(key), value).unwrap();
    symlink(version, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    if !volume.join(key).is_symlink() {
        symlink(Path::new("..data").join(key), volume.join(key)).unwrap();
    }
}

#[tokio::test]
async fn whoever_reads_a_mount_is_told_when_it_has_caught_up() {
    let manifests = Manifests::with("K", "before");
    let volume = tempfile::tempdir().unwrap();
    publish(volume.path(), "..1", "K", "before");
    let audience = Audience::start(&[&volume.path().join("K")]).await;
    let mount = volume.path().display();
    let rules = audience.rules(&format!(
        "when: {{configMap: web}}, settle: 0s, afterMount: {mount}"
    ));
    let sidecar = manifests.attache(&[], &rules).await;
    manifests.set("K", "after");
    sidecar.serves("/kv/default/web/K", "after").await;
    eventually("they wait", LIMIT, async || waiting(&sidecar).await == 3).await;
    let changed = Instant::now();
    eventually("the kubelet gets to it", LIMIT, async || {
        assert_eq!(audience.told(), Told::all(&[]), "told too early");
        changed.elapsed() >= LATE
    })
    .await;
    assert_eq!(actions(&sidecar).await, [json!(null); 0]);
    publish(volume.path(), "..2", "K", "after");
    audience.was_told(&Told::all(&["after"])).await;
    all_acted(&sidecar, 3).await;
    assert_eq!(waiting(&sidecar).await, 0);
}

/// A certificate for 127.0.0.1, and the authority that issued it.
struct Certificates(TempDir);

impl Certificates {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        this.issue("ca", &["-subj", "/CN=authority"]);
        let (ca, key) = (this.path("ca.pem"), this.path("ca.key"));
        let issuer = ["-CA", ca.to_str().unwrap(), "-CAkey", key.to_str().unwrap()];
        let names = "subjectAltName=IP:127.0.0.1";
        let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
        let subject = ["-subj", "/CN=app", "-addext", names];
        this.issue("app", &[&issuer[..], &leaf, &subject].concat());
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn issue(&self, name: &str, arguments: &[&str]) {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"]);
        openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(arguments).stdin(Stdio::null());
        openssl
            .arg("-keyout")
            .arg(self.path(&format!("{name}.key")));
        openssl.arg("-out").arg(self.path(&format!("{name}.pem")));
        let output = openssl.output().unwrap();
        assert!(output.status.success(), "openssl: {output:?}");
    }
}

fn is_of(call: &Call, method: &Method, path: &str) {
    assert_eq!((&call.method, call.path.as_str()), (method, path));
}

/// The body names the key, and not its value.
fn names_the_key(call: &Call) {
    let body = call.json();
    let change = &body["changes"][0];
    assert_eq!(body["changes"].as_array().unwrap().len(), 1, "{body}");
    assert_eq!(
        (&change["kind"], &change["name"]),
        (&"ConfigMap".into(), &"web".into())
    );
    assert_eq!(change["changed"], json!(["K"]), "{body}");
    assert!(!body.to_string().contains("a value"), "{body}");
}

#[tokio::test]
async fn endpoints_are_called_as_their_rules_say_once_for_each_change() {
    let manifests = Manifests::with("K", "a value 0");
    let certificates = Certificates::new();
    let (token, socket) = (certificates.path("token"), certificates.path("socket"));
    fs::write(&token, "first\n").unwrap();
    let mut plain = Receiver::start().await;
    let mut unix = Receiver::start_unix(&socket);
    let (certificate, key) = (certificates.path("app.pem"), certificates.path("app.key"));
    let mut tls = Receiver::start_tls(&certificate, &key).await;
    let (port, tls_port) = (plain.port(), tls.port());
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let hooks = [
        json!(url("/post")),
        json!({"url": url("/put"), "method": "PUT",
            "headers": {"X-Source": "attache", "Authorization": {"file": token}}}),
        json!({"url": url("/get?full=yes"), "method": "GET", "expect": [204]}),
        json!({"url": "http://localhost/socket", "unixSocket": socket}),
        json!({"url": format!("https://127.0.0.1:{tls_port}/tls"),
            "certificateAuthority": certificates.path("ca.pem")}),
    ];
    let rules = hooks.map(|hook| json!({"webhook": hook, "settle": "0s"}).to_string());
    let sidecar = manifests.attache(&[], &rules).await;
    for (change, text) in [(1, "first"), (2, "second")] {
        fs::write(&token, format!("{text}\n")).unwrap();
        manifests.set("K", &format!("a value {change}"));
        let post = plain.next_call().await;
        is_of(&post, &Method::POST, "/post");
        names_the_key(&post);
        let put = plain.next_call().await;
        is_of(&put, &Method::PUT, "/put");
        names_the_key(&put);
        let headers = ["x-source", "authorization"].map(|name| put.header(name));
        assert_eq!(headers, [Some("attache"), Some(text)]);
        let get = plain.next_call().await;
        is_of(&get, &Method::GET, "/get");
        assert!(get.body.is_empty(), "{get:?}");
        let through = unix.next_call().await;
        is_of(&through, &Method::POST, "/socket");
        assert_eq!(through.header("host"), Some("localhost"));
        names_the_key(&through);
        let encrypted = tls.next_call().await;
        is_of(&encrypted, &Method::POST, "/tls");
        names_the_key(&encrypted);
        all_acted(&sidecar, 5 * change).await;
    }
    for receiver in [&mut plain, &mut unix, &mut tls] {
        assert!(receiver.another().is_none(), "called once for each change");
    }
}
