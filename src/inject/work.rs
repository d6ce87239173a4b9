//! One injection while it goes on: what is asked, and the edits of the pod so far.

use std::path::Path;

use serde_json::{Value, json};

use super::Surroundings;
use super::editor::{Editor, Place};
use super::pod::{self, containers, init_containers, name};
use crate::config::{Action, Asked, Faults, PREFIX, Platform, RestartAction};

/// Where attache keeps what outlives its container.
const STATE_DIR: &str = "/var/lib/attache";
/// Where the configuration file is.
const CONFIG_DIR: &str = "/etc/attache";

/// What is around an injection.
pub(super) struct Task<'a> {
    /// The pod, without what was injected before.
    pub(super) base: &'a Value,
    pub(super) asked: &'a Asked,
    pub(super) surroundings: &'a Surroundings,
    pub(super) platform: &'a Platform,
    /// attache's own.
    pub(super) version: &'a str,
}

/// What was found and done so far.
pub(super) struct Work<'a> {
    pub(super) task: &'a Task<'a>,
    pub(super) editor: Editor,
    /// Mounts of the container that attache runs in.
    pub(super) mounts: Vec<Value>,
    /// Flags beside those that annotations say.
    pub(super) flags: Vec<String>,
    pub(super) faults: Faults,
    pub(super) warnings: Vec<String>,
}

// === impl Task ===

impl Task<'_> {
    /// The image of what is added.
    pub(super) fn image(&self) -> &str {
        self.asked.image.as_deref().unwrap_or(&self.platform.image)
    }

    /// Whether attache takes the place of this container's command.
    pub(super) fn is_wrapped(&self, container: &Value) -> bool {
        self.asked.exec_container.as_deref() == Some(name(container))
    }

    /// The app's containers that run while attache does, each with its path: the init containers, too,
    /// where a native sidecar is there before them.
    pub(super) fn beside(&self) -> impl Iterator<Item = (String, &Value)> {
        let is_first = self.surroundings.native && self.asked.exec_container.is_none();
        let init = init_containers(self.base)
            .filter(move |_| is_first)
            .map(|one| (path_in("initContainers", name(one)), one));
        let app = containers(self.base).map(|one| (container_path(name(one)), one));
        init.chain(app)
    }

    /// Whether a rule finds processes of other containers.
    pub(super) fn finds_processes(&self) -> bool {
        let mut rules = self.asked.config.on_change.iter();
        rules.any(|rule| {
            matches!(
                rule.action,
                Action::Signal(_) | Action::Restart(RestartAction::Process { .. })
            )
        })
    }
}

// === impl Work ===

impl<'a> Work<'a> {
    pub(super) fn new(task: &'a Task<'a>) -> Self {
        Self {
            task,
            editor: Editor::new(task.base.clone()),
            mounts: Vec::new(),
            flags: Vec::new(),
            faults: Faults::default(),
            warnings: Vec::new(),
        }
    }

    /// Adds a fault of one annotation.
    pub(super) fn fault(&mut self, annotation: &str, what: impl std::fmt::Display) {
        self.faults.add(format!("{PREFIX}{annotation}"), what);
    }

    /// Adds a volume, `what` beside its name.
    pub(super) fn volume(&mut self, name: &str, kind: &str, what: Value) {
        if pod::volume(self.task.base, name).is_some() {
            let fault =
                "the pod has a volume of this name, which attache needs for its own: rename it";
            self.faults.add(format!("volume {name}"), fault);
            return;
        }
        let volume = json!({ "name": name, kind: what });
        self.editor.add("/spec/volumes", Place::Last, volume);
    }

    /// Adds an item to a list of the container at this path.
    pub(super) fn add_to(&mut self, container: &str, list: &str, place: Place, item: Value) {
        let path = format!("{container}/{list}");
        self.editor.add(&path, place, item);
    }

    /// Whether attache's own container mounts something at `path` already.
    pub(super) fn mounts_at(&self, path: &Path) -> bool {
        self.mounts
            .iter()
            .any(|mount| pod::mount_path(mount) == path)
    }

    /// The containers that annotations name must be there.
    pub(super) fn check_containers(&mut self) {
        let asked = self.task.asked;
        for (annotation, wanted) in [
            ("exec-container", &asked.exec_container),
            ("target-container", &asked.target_container),
        ] {
            let Some(wanted) = wanted else { continue };
            if pod::container(self.task.base, wanted).is_none() {
                let names = pod::container_names(self.task.base);
                let fault = format!("the pod has no container {wanted}, but {names}");
                self.fault(annotation, fault);
            }
        }
        if let (Some(exec), Some(target)) = (&asked.exec_container, &asked.target_container)
            && exec != target
        {
            let fault = format!(
                "under {PREFIX}exec-container signals reach the processes of {exec} alone: drop this"
            );
            self.fault("target-container", fault);
        }
    }

    /// The directories of attache's own: what it keeps, and its configuration file.
    pub(super) fn directories(&mut self) {
        self.volume("attache-state", "emptyDir", json!({ "sizeLimit": "64Mi" }));
        self.mounts
            .push(json!({ "name": "attache-state", "mountPath": STATE_DIR }));
        self.flags.push(format!("--state-dir={STATE_DIR}"));
        // What is kept is this pod's own. A sidecar that is started anew while the API server is away
        // serves it, rather than be killed by its startup probe.
        self.flags.push("--ready-from-state".to_owned());
        let asked = self.task.asked;
        if let Some(config) = &asked.config_file {
            self.volume("attache-config", "configMap", json!({ "name": config }));
            self.mounts.push(
                json!({ "name": "attache-config", "mountPath": CONFIG_DIR, "readOnly": true }),
            );
            self.flags
                .push(format!("--config={CONFIG_DIR}/attache.yaml"));
            // The app is told where attache is: the file must not say otherwise.
            let says_port = |flag: &String| flag.starts_with("--port=");
            if !asked.flags.iter().any(says_port) {
                let port = asked.config.serve.port;
                self.flags.push(format!("--port={port}"));
            }
        }
    }

    /// Tells the app's containers where attache is. First in their lists, so that other variables can
    /// be made of it by `$(ATTACHE_ENDPOINT)`.
    pub(super) fn endpoint(&mut self) {
        let port = self.task.asked.config.serve.port;
        let variable = json!({
            "name": "ATTACHE_ENDPOINT",
            "value": format!("http://127.0.0.1:{port}"),
        });
        for (path, container) in self.task.beside() {
            if !has_variable(container, "ATTACHE_ENDPOINT") {
                self.add_to(&path, "env", Place::First, variable.clone());
            }
        }
    }
}

/// The path of one of the app's containers, for the editor.
pub(super) fn container_path(container: &str) -> String {
    path_in("containers", container)
}

fn path_in(list: &str, container: &str) -> String {
    format!("/spec/{list}/{}", super::editor::escaped(container))
}

/// Whether a container says a variable of that name.
pub(super) fn has_variable(container: &Value, variable: &str) -> bool {
    let mut env = pod::list(container, "env").iter();
    env.any(|one| name(one) == variable)
}

/// The variables by which attache knows its pod.
pub(super) fn pod_variables() -> [Value; 2] {
    [("POD_NAME", "metadata.name"), ("POD_NAMESPACE", "metadata.namespace")].map(
        |(variable, field)| json!({ "name": variable, "valueFrom": { "fieldRef": { "fieldPath": field } } }),
    )
}
