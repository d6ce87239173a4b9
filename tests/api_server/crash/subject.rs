//! Whom attache tells or restarts, and how often it did.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::Api;

use super::restarts::{Player, Style, create, workload};
use crate::support::control_plane::ControlPlane;
use crate::support::receiver::Receiver;

/// How many pods are restarted.
const PODS: usize = 2;

/// A kind of action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Signal,
    Webhook,
    Command,
    Process,
    Rollout,
    Pods,
}

impl Kind {
    /// Whether it cannot know that it has acted already, and so may act again.
    pub(super) fn may_repeat(self) -> bool {
        matches!(self, Self::Signal | Self::Webhook | Self::Command)
    }
}

/// Whom one attache acts upon.
pub(super) enum Subject {
    Signal(App),
    Process(App),
    Webhook {
        hook: Receiver,
        /// The resourceVersions that it was told of.
        told: Vec<String>,
    },
    Command(PathBuf),
    Rollout(Api<Deployment>),
    Pods(Player),
}

impl Subject {
    /// Makes it, unless it is a program, which [`Subject::begin`] starts.
    pub(super) async fn new(
        kind: Kind,
        plane: &ControlPlane,
        namespace: &str,
        dir: &Path,
        files: &Path,
    ) -> Self {
        match kind {
            Kind::Signal => Self::Signal(App::new(dir, files)),
            Kind::Process => Self::Process(App::new(dir, files)),
            Kind::Webhook => Self::Webhook {
                hook: Receiver::start().await,
                told: Vec::new(),
            },
            Kind::Command => Self::Command(dir.join("told")),
            Kind::Rollout => {
                let client = plane.admin().await;
                create::<Deployment>(&client, namespace, workload("web", 1)).await;
                Self::Rollout(Api::namespaced(client, namespace))
            }
            Kind::Pods => {
                Self::Pods(Player::start(plane, namespace, PODS, Style::ReplicaSet).await)
            }
        }
    }

    /// The rule, as YAML's flow style has it, with more of its fields.
    pub(super) fn rule(&self, files: &Path, fields: &str) -> String {
        let action = match self {
            Self::Signal(app) => format!("signal: {{cmdline: {:?}}}", app.cmdline()),
            Self::Process(app) => format!("restart: {{cmdline: {:?}}}", app.cmdline()),
            Self::Webhook { hook, .. } => return hook.rule(fields),
            Self::Command(told) => {
                let (key, told) = (files.join("A"), told.display());
                let shell = format!("read -r value <{}; echo $value >>{told}", key.display());
                format!("command: {{shell: {shell:?}}}")
            }
            Self::Rollout(_) => "restart: {rollout: deployment/web}".to_owned(),
            Self::Pods(_) => "restart: {pods: app=web}".to_owned(),
        };
        format!("{{{action}, {fields}}}")
    }

    /// Now that the first content is in the files, starts the program.
    pub(super) fn begin(&mut self) {
        if let Self::Signal(app) | Self::Process(app) = self {
            app.start();
        }
    }

    /// What it heard of, or read when it was started again: the values in order for those that
    /// read one, the resourceVersions for a webhook, and for others nothing that tells more than
    /// how often.
    pub(super) async fn acts(&mut self) -> Vec<String> {
        match self {
            Self::Signal(app) => app.lines("hup"),
            // The first start was the test's.
            Self::Process(app) => app.lines("start").into_iter().skip(1).collect(),
            Self::Command(told) => lines(told),
            Self::Webhook { hook, told } => {
                let bodies = std::iter::from_fn(|| hook.another()).map(|call| call.json());
                told.extend(bodies.map(|body| {
                    let version = &body["changes"][0]["resourceVersion"];
                    version.as_str().unwrap().to_owned()
                }));
                told.clone()
            }
            Self::Rollout(workloads) => {
                let web = workloads.get("web").await.unwrap();
                let rollouts = usize::try_from(web.metadata.generation.unwrap()).unwrap() - 1;
                vec!["rollout".to_owned(); rollouts]
            }
            Self::Pods(player) => vec!["pod".to_owned(); player.ended()],
        }
    }

    /// What [`Subject::acts`] has of the action upon one content.
    pub(super) fn act(&self, value: &str, resource_version: &str) -> Vec<String> {
        match self {
            Self::Signal(_) | Self::Process(_) | Self::Command(_) => vec![value.to_owned()],
            Self::Webhook { .. } => vec![resource_version.to_owned()],
            Self::Rollout(_) => vec!["rollout".to_owned()],
            Self::Pods(_) => vec!["pod".to_owned(); PODS],
        }
    }

    /// One of each thing is alive, or comes back, and none was restarted twice.
    pub(super) async fn assert_whole(&self) {
        if let Self::Pods(player) = self {
            player.assert_restarted(1).await;
        }
    }
}

/// A program that reads a key when it starts and at each HUP, and notes what it read; started
/// again whenever a signal ends it, as the kubelet would.
pub(super) struct App {
    script: PathBuf,
    log: PathBuf,
    supervisor: Option<Child>,
}

impl App {
    fn new(dir: &Path, files: &Path) -> Self {
        let (script, log) = (dir.join("app"), dir.join("read"));
        let note = |what: &str| {
            let (key, log) = (files.join("A"), log.display());
            format!(
                "read -r value <{}; echo \"{what} $value\" >>{log}",
                key.display()
            )
        };
        let text = format!(
            "trap '{}' HUP\n{}\nwhile read -r x || [ $? -gt 128 ]; do :; done\n",
            note("hup"),
            note("start")
        );
        fs::write(&script, text).unwrap();
        Self {
            script,
            log,
            supervisor: None,
        }
    }

    /// How attache finds it.
    fn cmdline(&self) -> String {
        format!("bash {}", self.script.display())
    }

    fn start(&mut self) {
        let script = format!("while {}; [ $? -gt 128 ]; do :; done", self.cmdline());
        // It waits for its standard input, and ends with it.
        let supervisor = Command::new("bash")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        self.supervisor = Some(supervisor.unwrap());
    }

    /// How often it was started.
    pub(super) fn starts(&self) -> usize {
        self.lines("start").len()
    }

    fn lines(&self, what: &str) -> Vec<String> {
        let values = lines(&self.log).into_iter();
        values
            .filter_map(|line| Some(line.strip_prefix(what)?.trim().to_owned()))
            .collect()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(supervisor) = &mut self.supervisor {
            drop(supervisor.stdin.take());
            let _ = supervisor.wait();
        }
    }
}

fn lines(file: &Path) -> Vec<String> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        text => text.unwrap().lines().map(str::to_owned).collect(),
    }
}
