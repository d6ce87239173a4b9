//! One attache with files, a rule and a state directory in a namespace of its own.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::subject::{Kind, Subject};
use crate::LIMIT;
use crate::support::control_plane::{ConfigMaps, ControlPlane};
use crate::support::proxy::{self, Proxy};
use crate::support::{eventually, http};

/// The kernel's number of SIGKILL.
const KILLED: Option<i32> = Some(9);

/// What attache works with, whichever attache it is.
pub(super) struct Site {
    name: String,
    pub(super) namespace: String,
    pub(super) maps: ConfigMaps,
    pub(super) subject: Subject,
    kubeconfig: PathBuf,
    dir: TempDir,
    state: bool,
}

impl Site {
    /// The ConfigMap `web` has the value `1` twice. `name` is for messages.
    pub(super) async fn new(name: String, plane: &ControlPlane, kind: Kind, state: bool) -> Self {
        let namespace = plane.namespace().await;
        let maps = plane.config_maps(&namespace).await;
        let first = [("A", "1"), ("B", "1"), ("other", "1")];
        maps.create("web", &first).await;
        let dir = tempfile::tempdir().unwrap();
        let files = dir.path().join("files");
        let subject = Subject::new(kind, plane, &namespace, dir.path(), &files).await;
        let timing = "settle: 0s, splay: 0s, minInterval: 0s";
        let fields = format!("when: {{configMap: web, keys: [A, B]}}, {timing}");
        let config = format!(
            "files: [{{configMap: web, dir: {:?}}}]\nonChange: [{}]\n",
            files.display().to_string(),
            subject.rule(&files, &fields)
        );
        fs::write(dir.path().join("attache.yaml"), config).unwrap();
        Self {
            name,
            namespace,
            maps,
            subject,
            kubeconfig: plane.admin_kubeconfig(),
            dir,
            state,
        }
    }

    /// A message that says of which site it is.
    pub(super) fn say(&self, what: &str) -> String {
        format!("{}: {what}", self.name)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn files(&self) -> PathBuf {
        self.path("files")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Starts attache, which is killed at `failpoint` once that is armed.
    pub(super) async fn start(&self, failpoint: Option<&str>) -> Proxy {
        self.start_with(&self.kubeconfig, &[], failpoint).await
    }

    pub(super) async fn start_with(
        &self,
        kubeconfig: &Path,
        flags: &[&str],
        failpoint: Option<&str>,
    ) -> Proxy {
        let mut command = proxy::attache("run", kubeconfig, &["-n", &self.namespace]);
        command.args(["--configmap", "web", "--config"]);
        command.arg(self.path("attache.yaml")).args(flags);
        if self.state {
            command.arg("--state-dir").arg(self.state());
        }
        if let Some(failpoint) = failpoint {
            let armed = self.path("armed");
            command.env("FAILPOINT", format!("{failpoint}={}", armed.display()));
        }
        Proxy::start(command).await
    }

    pub(super) fn arm(&self) {
        fs::write(self.path("armed"), "").unwrap();
    }

    /// Sets both keys of the rule; the resourceVersion.
    pub(super) async fn set(&self, value: &str) -> String {
        let data = json!({"data": {"A": value, "B": value}});
        self.maps.patch("web", &data).await
    }

    /// Waits until attache was killed where it is armed.
    pub(super) async fn killed(&self, mut attache: Proxy) {
        let mut status: Option<ExitStatus> = None;
        eventually(self.say("attache is killed"), LIMIT, async || {
            status = attache.ended();
            status.is_some()
        })
        .await;
        let signal = status.unwrap().signal();
        assert_eq!(signal, KILLED, "{}", self.say(&attache.stderr()));
        assert!(!self.path("armed").exists() && !self.path("armed.reached").exists());
    }

    pub(super) async fn ready(&self, attache: &Proxy) {
        eventually(self.say("attache is ready"), LIMIT, async || {
            get(attache, "/-/ready").await.0 == 200
        })
        .await;
    }

    /// Waits until the rule's state says that it was told of `value` and that nothing is open.
    pub(super) async fn settled(&self, attache: &Proxy, value: &str) {
        eventually(
            self.say(&format!("the state has {value} as told")),
            LIMIT,
            async || {
                let mut etags = Vec::new();
                for key in ["A", "B"] {
                    let path = format!("/kv/{}/web/{key}", self.namespace);
                    let (status, body, etag) = get(attache, &path).await;
                    if (status, body.as_str()) != (200, value) {
                        return false;
                    }
                    etags.push(etag);
                }
                self.rule().is_some_and(|rule| {
                    let keys = &rule["told"][0]["keys"];
                    rule["shown"] == json!([]) && [&keys["A"], &keys["B"]] == [&etags[0], &etags[1]]
                })
            },
        )
        .await;
    }

    /// What is kept of the rule, if anything is.
    fn rule(&self) -> Option<Value> {
        let file = only_file(&self.state().join("rules"))?;
        let text = fs::read_to_string(file).ok()?;
        serde_json::from_str(text.split_once('\n')?.1).ok()
    }

    /// What the directory holds; panics unless it is whole.
    pub(super) fn held(&self) -> String {
        set(&self.files()).expect("a whole set")
    }

    pub(super) async fn holds(&self, value: &str) {
        eventually(
            self.say(&format!("the files hold {value}")),
            LIMIT,
            async || self.held() == value,
        )
        .await;
    }

    /// Has attache go through a change that the rule is not for, to the end.
    pub(super) async fn go_through_another_change(&self, attache: &Proxy) {
        let value = format!("{:?}", attache.address());
        self.maps.set("web", "other", &value).await;
        let file = self.files().join("other");
        eventually(
            self.say("the files hold the other key"),
            LIMIT,
            async || fs::read_to_string(&file).unwrap() == value,
        )
        .await;
        eventually(self.say("the change is noted"), LIMIT, async || {
            let changes = status(attache).await["changes"].clone();
            let changes = changes.as_array().unwrap().clone();
            changes
                .last()
                .is_some_and(|c| c["changed"] == json!(["other"]))
        })
        .await;
    }
}

/// The only file of a directory.
fn only_file(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?;
    let names = entries.map(|entry| entry.unwrap().path());
    let names: Vec<_> = names.filter(|path| path.extension().is_none()).collect();
    <[PathBuf; 1]>::try_from(names).ok().map(|[file]| file)
}

/// The status, the body and the ETag.
pub(super) async fn get(attache: &Proxy, path: &str) -> (u16, String, String) {
    let answer = http::get(&attache.url(path), &[]).await.unwrap();
    let etag = answer.headers().get("etag");
    let etag = etag.map(|etag| etag.to_str().unwrap().to_owned());
    (
        answer.status().as_u16(),
        String::from_utf8_lossy(answer.body()).into_owned(),
        etag.unwrap_or_default(),
    )
}

pub(super) async fn status(attache: &Proxy) -> Value {
    serde_json::from_str(&get(attache, "/-/status").await.1).unwrap()
}

/// The outcomes of the actions that attache ran.
pub(super) async fn outcomes(attache: &Proxy) -> Vec<String> {
    let status = status(attache).await;
    let actions = status["actions"].as_array().unwrap().iter();
    actions
        .map(|action| action["outcome"].as_str().unwrap().to_owned())
        .collect()
}

/// The value that both keys of the set have, read as one that follows `..data` once does.
fn set(files: &Path) -> io::Result<String> {
    let data = files.join("..data");
    loop {
        let version = fs::read_link(&data)?;
        let read = |key| fs::read_to_string(files.join(&version).join(key));
        match (read("A"), read("B"), read("other")) {
            (Ok(a), Ok(b), Ok(_)) => {
                assert_eq!(a, b, "a mixed set");
                for key in ["A", "B", "other"] {
                    let leads = fs::read_link(files.join(key))?;
                    assert_eq!(leads, Path::new("..data").join(key));
                }
                return Ok(a);
            }
            // It was replaced, and so removed, meanwhile.
            _ if fs::read_link(&data)? != version => {}
            broken => panic!("a part of a set: {broken:?}"),
        }
    }
}

/// Reads the directory over and over, and panics if it is missing, in parts or mixed.
pub(super) struct DirectoryReader {
    stop: Arc<AtomicBool>,
    reads: JoinHandle<usize>,
}

impl DirectoryReader {
    pub(super) fn start(site: &Site) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, files) = (Arc::clone(&stop), site.files());
        let reads = tokio::spawn(async move {
            let mut reads = 0;
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            while !stopped.load(Ordering::Relaxed) {
                set(&files).expect("the directory is there");
                reads += 1;
                pace.tick().await;
            }
            reads
        });
        Self { stop, reads }
    }

    pub(super) async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let reads = self.reads.await.expect("every read found a whole set");
        assert!(reads > 10, "{reads} reads");
    }
}
