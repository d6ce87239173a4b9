//! attache with a rule of each kind, and `attache exec` beside it, on the same two ConfigMaps.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{noted, write_config};
use crate::support::audience::{Audience, Told};
use crate::support::control_plane::ControlPlane;
use crate::support::sidecar::Sidecar;
use crate::support::{eventually, http};
use crate::{LIMIT, sidecar_with, text};

/// The ConfigMaps `web`, whose key K is `k0` at first, and `mark`, whose key MARK is `m0`.
///
/// Rules and command are for both. What a test does to `web` is to cause no action; then `mark`
/// changes, for which each acts once and names `mark` alone.
pub(super) struct Scene {
    pub(super) namespace: String,
    pub(super) audience: Audience,
    pub(super) sidecar: Sidecar,
    pub(super) exec: Exec,
    kubeconfig: PathBuf,
    flags: Vec<String>,
    exec_flags: Vec<String>,
    _files: TempDir,
}

impl Scene {
    /// Starts everything with these settle times; with a state directory each, if it is `kept`.
    pub(super) async fn start(plane: &ControlPlane, settle: &str, kept: bool) -> Self {
        let namespace = plane.namespace().await;
        let maps = plane.config_maps(&namespace).await;
        maps.create("web", &[("K", "k0")]).await;
        maps.create("mark", &[("MARK", "m0")]).await;
        let files = tempfile::tempdir().unwrap();
        let read = ["K", "MARK"].map(|key| files.path().join(key));
        let audience = Audience::start(&[&read[0], &read[1]]).await;
        let config = audience.path("attache.yaml");
        let (web, mark) = (json!({"configMap": "web"}), json!({"configMap": "mark"}));
        let mut rules = [web, mark];
        for rule in &mut rules {
            rule["dir"] = json!(files.path());
        }
        write_config(&config, &json!({"files": rules}));
        let mut flags = vec!["--config".to_owned(), text(&config).to_owned()];
        for rule in audience.rules(&format!("settle: \"{settle}\"")) {
            flags.extend(["--on-change".to_owned(), rule]);
        }
        let exec_flags = ["--env-from=web", "--env-from=mark", "--min-interval=0s"];
        let mut exec_flags: Vec<String> = exec_flags.map(str::to_owned).into();
        exec_flags.push(format!("--settle={settle}"));
        if kept {
            let dir = |name| format!("--state-dir={}", text(&audience.path(name)));
            flags.push(dir("state"));
            exec_flags.push(dir("exec-state"));
        }
        let kubeconfig = plane.admin_kubeconfig();
        let sidecar = sidecar(&kubeconfig, &namespace, &flags).await;
        let exec = Exec::start(&kubeconfig, &namespace, &exec_flags, &audience).await;
        let scene = Self {
            namespace,
            audience,
            sidecar,
            exec,
            kubeconfig,
            flags,
            exec_flags,
            _files: files,
        };
        scene.both_run(&["k0m0"]).await;
        scene
    }

    /// Ends both in order, and starts them again, the command with these values.
    pub(super) async fn restart(mut self, start: &str) -> Self {
        let starts = self.audience.lines("executed");
        self.sidecar.stop().await;
        self.exec.stop().await;
        let (kubeconfig, namespace) = (&self.kubeconfig, &self.namespace);
        self.sidecar = sidecar(kubeconfig, namespace, &self.flags).await;
        self.exec = Exec::start(kubeconfig, namespace, &self.exec_flags, &self.audience).await;
        let mut lines: Vec<&str> = starts.iter().map(String::as_str).collect();
        lines.push(start);
        self.both_run(&lines).await;
        self
    }

    /// Waits until attache is ready and the command was started with these values.
    async fn both_run(&self, starts: &[&str]) {
        eventually("both run", LIMIT, async || {
            self.sidecar.text("/-/ready").await.0 == 200
                && self.audience.lines("executed").len() == starts.len()
        })
        .await;
        assert_eq!(self.audience.lines("executed"), starts);
    }

    /// The path of `web`.
    pub(super) fn web(&self) -> String {
        format!("/kv/{}/web", self.namespace)
    }

    /// Waits until both answer so when they are asked for `path`.
    pub(super) async fn both(&self, what: &str, path: &str, is: impl Fn(&Answer) -> bool) {
        for url in [self.sidecar.url(path), self.exec.url(path)] {
            eventually(format!("{what} at {url}"), LIMIT, async || {
                is(&Answer::of(&url).await)
            })
            .await;
        }
    }

    /// Waits until the status of the rules has such problems.
    pub(super) async fn rules_say(&self, what: &str, are: impl Fn(&Value) -> bool) {
        eventually(what, LIMIT, async || {
            are(&self.sidecar.status().await["problems"])
        })
        .await;
    }

    /// Waits until both have this version of `web`.
    pub(super) async fn both_have(&self, version: &str) {
        self.both("the newest web", &self.web(), |answer| {
            answer.header("x-resource-version") == Some(version)
        })
        .await;
    }

    /// Changes `mark`; waits until the rules have told `told` in all, and the command was started
    /// with `starts`.
    pub(super) async fn mark(
        &self,
        plane: &ControlPlane,
        value: &str,
        told: &[&str],
        starts: &[&str],
    ) {
        let maps = plane.config_maps(&self.namespace).await;
        maps.set("mark", "MARK", value).await;
        self.was_told(told, starts).await;
    }

    /// Waits until the rules have told this in all, and the command was started with `starts`.
    pub(super) async fn was_told(&self, told: &[&str], starts: &[&str]) {
        self.audience.was_told(&Told::all(told)).await;
        eventually(format!("{starts:?}"), LIMIT, async || {
            self.audience.lines("executed").len() >= starts.len()
        })
        .await;
        assert_eq!(self.audience.lines("executed"), starts);
    }

    /// Every rule, and the command, has acted upon these objects, one after the other, since attache
    /// started, and upon nothing else.
    pub(super) async fn acted_upon(&self, names: &[&str]) {
        self.rules_acted_upon(names).await;
        self.exec_acted_upon(names).await;
    }

    pub(super) async fn rules_acted_upon(&self, names: &[&str]) {
        let rules = ["onChange[0]", "onChange[1]", "onChange[2]"];
        let url = self.sidecar.url("/-/status");
        self.acted(&url, &rules, names).await;
    }

    pub(super) async fn exec_acted_upon(&self, names: &[&str]) {
        let url = self.exec.url("/-/status");
        self.acted(&url, &["exec"], names).await;
    }

    async fn acted(&self, url: &str, rules: &[&str], names: &[&str]) {
        let wanted: Vec<Value> = names
            .iter()
            .map(|name| json!([[format!("ConfigMap {}/{name}", self.namespace)], "ok"]))
            .collect();
        // A note is made a moment after the action.
        let count = rules.len() * names.len();
        eventually("the actions are noted", LIMIT, async || {
            noted(&Answer::of(url).await.json()).len() >= count
        })
        .await;
        let status = Answer::of(url).await.json();
        for rule in rules {
            let notes = noted(&status).iter().filter(|note| note["rule"] == **rule);
            let acted: Vec<Value> = notes
                .map(|note| json!([note["objects"], note["outcome"]]))
                .collect();
            assert_eq!(acted, wanted, "{rule}: {status}");
        }
        assert_eq!(noted(&status).len(), count, "{status}");
    }
}

async fn sidecar(kubeconfig: &Path, namespace: &str, flags: &[String]) -> Sidecar {
    let mut all = vec!["--configmap", "web", "--configmap", "mark"];
    all.extend(flags.iter().map(String::as_str));
    sidecar_with(kubeconfig, namespace, &all).await
}

/// What was answered to a GET.
pub(super) struct Answer(::http::Response<bytes::Bytes>);

impl Answer {
    pub(super) async fn of(url: &str) -> Self {
        Self(http::get(url, &[]).await.expect("attache answers"))
    }

    pub(super) fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        Some(self.0.headers().get(name)?.to_str().unwrap())
    }

    pub(super) fn is(&self, body: &str) -> bool {
        self.status() == 200 && self.0.body() == body
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(self.0.body()).unwrap()
    }

    /// The sum of a metric's samples.
    pub(super) fn metric(&self, prefix: &str) -> f64 {
        let text = String::from_utf8_lossy(self.0.body());
        let samples = text.lines().filter(|line| line.starts_with(prefix));
        samples
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

/// `attache exec --serve` as a process of its own, whose command notes its environment when it
/// starts.
pub(super) struct Exec {
    child: Child,
    port: u16,
}

impl Exec {
    async fn start(
        kubeconfig: &Path,
        namespace: &str,
        flags: &[String],
        audience: &Audience,
    ) -> Self {
        let script = "echo \"$K$MARK\" >> \"$0\"; while read -r _; do :; done";
        let mut child = Command::new(env!("CARGO_BIN_EXE_attache"))
            .args(["exec", "--serve", "--port=0", "--kubeconfig"])
            .arg(kubeconfig)
            .args(["-n", namespace])
            .args(flags)
            .args(["--", "bash", "-c", script])
            .arg(audience.path("executed"))
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, port) = mpsc::channel();
        thread::spawn(move || {
            // Read to the end: a full pipe would stop it.
            for line in lines.map_while(Result::ok) {
                let _ = writeln!(std::io::stderr(), "exec: {line}");
                if let Some((_, rest)) = line.split_once("addresses=[127.0.0.1:") {
                    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
                    let _ = tell.send(digits.unwrap().parse().unwrap());
                }
            }
        });
        let mut exec = Self { child, port: 0 };
        eventually("it listens", LIMIT, async || {
            port.try_recv().is_ok_and(|port| {
                exec.port = port;
                true
            })
        })
        .await;
        exec
    }

    /// The URL of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Stops it and its command, and waits for their end.
    async fn stop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        eventually("it ends", LIMIT, async || {
            !matches!(self.child.try_wait(), Ok(None))
        })
        .await;
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It takes its command along, which a KILL would leave behind.
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            let _ = self.child.wait();
        }
    }
}
