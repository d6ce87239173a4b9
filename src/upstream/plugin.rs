//! Credential plugins: the `exec` of a kubeconfig's user, which prints an `ExecCredential`
//! (`client.authentication.k8s.io`, as client-go runs it).

use std::io::IsTerminal as _;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::kubeconfig;

/// The versions of `ExecCredential` that client-go knows.
const VERSIONS: [&str; 2] = [
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
];

/// How long before they end credentials are renewed, or halfway where they last less than twice
/// that; and the shortest time between two runs.
const EARLY: Duration = Duration::from_secs(60);
const REST: Duration = Duration::from_secs(1);

/// A plugin, and what it gave last: one run serves all clients.
pub(super) struct Plugin {
    exec: ExecConfig,
    given: Mutex<Option<Given>>,
}

/// What a plugin gave: a token, a client certificate, or both.
#[derive(Clone, Default)]
pub(super) struct Given {
    pub(super) token: Option<String>,
    /// The client certificate and its key, in PEM.
    pub(super) identity: Option<(String, String)>,
    /// When to run the plugin again, and when these are of no more use; never if not said.
    pub(super) renew: Option<Instant>,
    pub(super) ends: Option<Instant>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential {
    api_version: Option<String>,
    status: Option<ExecCredentialStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredentialStatus {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<String>,
}

// === impl Plugin ===

impl Plugin {
    pub(super) fn new(exec: ExecConfig) -> Self {
        Self {
            exec,
            given: Mutex::default(),
        }
    }

    /// What it gives, of an earlier run if that is not to be renewed yet. Blocking.
    ///
    /// # Errors
    /// Why there is nothing, in words without what the plugin printed, which can be a token.
    pub(super) fn get(&self) -> Result<Given, String> {
        // Held while the plugin runs: who else wants its answer waits for it.
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(given) = &*given
            && given.renew.is_none_or(|renew| Instant::now() < renew)
        {
            return Ok(given.clone());
        }
        match (run(&self.exec), &mut *given) {
            (Ok(new), given) => Ok(given.insert(new).clone()),
            (Err(error), Some(old)) if old.ends.is_some_and(|ends| Instant::now() < ends) => {
                tracing::warn!(
                    error,
                    "attache keeps the earlier credentials until they end"
                );
                old.renew = Some(Instant::now() + REST);
                Ok(old.clone())
            }
            (Err(error), _) => Err(error),
        }
    }
}

/// Runs it, with what client-go tells a plugin.
fn run(exec: &ExecConfig) -> Result<Given, String> {
    let version = exec.api_version.as_deref().unwrap_or_default();
    if !VERSIONS.contains(&version) {
        let [v1, _] = VERSIONS;
        return Err(format!(
            "the credential plugin's apiVersion {version:?} is not known: use a plugin of {v1}"
        ));
    }
    let name = exec.command.as_deref();
    let name = name.ok_or("the kubeconfig's exec has no command: name the credential plugin")?;
    let mut command = Command::new(name);
    command.args(exec.args.iter().flatten());
    for variable in exec.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    let interactive = is_interactive(exec.interactive_mode.as_ref())?;
    command.env("KUBERNETES_EXEC_INFO", info(exec, interactive).to_string());
    let stdin = if interactive {
        Stdio::inherit()
    } else {
        Stdio::null()
    };
    // What it says to people they see, as with kubectl.
    let ran = command.stdin(stdin).stderr(Stdio::inherit()).output();
    let output = ran.map_err(|error| {
        let hint = exec.install_hint.as_deref().unwrap_or_default().trim();
        let hint = (!hint.is_empty()).then(|| format!(": {hint}"));
        let hint = hint.unwrap_or_default();
        format!("the credential plugin {name} cannot be run: {error}{hint}")
    })?;
    if !output.status.success() {
        return Err(format!("the credential plugin failed: {}", output.status));
    }
    read(&output.stdout, version)
}

/// Whether it may ask someone: only at a terminal is there anyone to ask.
fn is_interactive(mode: Option<&ExecInteractiveMode>) -> Result<bool, String> {
    let terminal = std::io::stdin().is_terminal();
    match mode {
        Some(ExecInteractiveMode::Never) => Ok(false),
        Some(ExecInteractiveMode::IfAvailable) | None => Ok(terminal),
        Some(ExecInteractiveMode::Always) if terminal => Ok(true),
        Some(ExecInteractiveMode::Always) => Err(
            "the credential plugin needs a terminal (interactiveMode: Always): use one that asks nobody"
                .to_owned(),
        ),
    }
}

/// The `ExecCredential` that a plugin is given.
fn info(exec: &ExecConfig, interactive: bool) -> Value {
    let mut spec = json!({ "interactive": interactive });
    if exec.provide_cluster_info {
        spec["cluster"] = serde_json::to_value(&exec.cluster).unwrap_or_default();
    }
    json!({"kind": "ExecCredential", "apiVersion": exec.api_version, "spec": spec})
}

/// The `ExecCredential` that a plugin prints, in JSON or YAML.
fn read(printed: &[u8], version: &str) -> Result<Given, String> {
    let malformed = || "the credential plugin's answer is malformed".to_owned();
    let text = std::str::from_utf8(printed).map_err(|_| malformed())?;
    let mut documents = kubeconfig::documents(text).map_err(|_| malformed())?;
    let answer = documents.pop().unwrap_or_default();
    let answer: ExecCredential = serde_json::from_value(answer).map_err(|_| malformed())?;
    if answer.api_version.is_some_and(|given| given != version) {
        return Err(format!(
            "the credential plugin's answer has another apiVersion than its exec: {version} is asked for"
        ));
    }
    let nothing = || "the credential plugin's answer holds no credentials".to_owned();
    let status = answer.status.ok_or_else(nothing)?;
    let identity = match (status.client_certificate_data, status.client_key_data) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            return Err(
                "the credential plugin gives a client certificate or a key without the other"
                    .to_owned(),
            );
        }
    };
    let token = status.token.filter(|token| !token.is_empty());
    if token.is_none() && identity.is_none() {
        return Err(nothing());
    }
    let lasting = status.expiration_timestamp.as_deref().map(left);
    let lasting = lasting.transpose()?;
    let now = Instant::now();
    Ok(Given {
        token,
        identity,
        renew: lasting.and_then(|left| now.checked_add((left - EARLY.min(left / 2)).max(REST))),
        ends: lasting.and_then(|left| now.checked_add(left)),
    })
}

/// How long it is until then.
fn left(end: &str) -> Result<Duration, String> {
    let end: Timestamp = end
        .parse()
        .map_err(|_| "the time at which the plugin's credentials expire is malformed".to_owned())?;
    let left = end.duration_since(Timestamp::now());
    Ok(Duration::try_from(left).unwrap_or_default())
}

#[cfg(test)]
mod tests;
