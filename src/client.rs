//! The commands that talk to a running sidecar, and the one that installs the binary.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use serde::Deserialize;

use crate::config::{Endpoint, Get, Healthcheck, ObjectKind, ObjectName, Probe};

mod command;
mod connection;
mod events;
mod install;
mod model;
mod show;
mod subject;
mod watch;
mod writes;

pub use install::install;
pub use subject::Say;
pub use watch::watch;
pub use writes::{set, unset};

use connection::Answer;

/// Why a command failed, in words for its user.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nothing answered.
    #[error("cannot reach the sidecar at {at} ({reason}); start it with: attache run")]
    Unreachable {
        /// The address or socket.
        at: String,
        /// What the attempt ended with.
        reason: String,
    },
    /// No whole answer in time.
    #[error("no answer from the sidecar at {at} within {timeout:?}{aftermath}")]
    Late {
        /// The address or socket.
        at: String,
        /// How long it had.
        timeout: Duration,
        /// What that leaves open, if anything.
        aftermath: &'static str,
    },
    /// The sidecar refused; the text is its own.
    #[error("{0}")]
    Refused(String),
    /// The sidecar is not ready, or not live.
    #[error("not {question}: {reason}")]
    Unhealthy {
        /// `ready` or `live`.
        question: &'static str,
        /// What is pending.
        reason: String,
    },
    /// The output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// What is to be set could not be read, or cannot be set like that.
    #[error("{0}")]
    Input(String),
    /// The signals of attache's own process cannot be handled.
    #[error("cannot handle signals: {0}")]
    Signals(io::Error),
    /// The binary could not be copied.
    #[error("cannot {doing}: {error}")]
    Install {
        /// What was being done.
        doing: String,
        /// How it ended.
        error: io::Error,
    },
}

/// The parts of `problem+json` (RFC 9457) and of `/-/ready` that are told.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    detail: Option<String>,
    pending: Vec<String>,
}

/// The part of `/-/status` that is asked for.
#[derive(Debug, Deserialize)]
struct Status {
    namespace: String,
}

/// The part of `/-/status` that says why something is not there.
#[derive(Debug, Default, Deserialize)]
struct Scopes {
    scopes: Vec<Scope>,
}

#[derive(Debug, Deserialize)]
struct Scope {
    name: String,
    reason: Option<String>,
    #[serde(default)]
    refused: BTreeMap<String, String>,
}

/// Writes a ConfigMap as JSON, or one key's value byte by byte, to `out`.
///
/// # Errors
/// The sidecar cannot be reached in time, it refuses (403, 404, 503, …), or `out` fails.
pub async fn get(get: &Get, out: &mut impl Write) -> Result<(), Failure> {
    let value = within(&get.endpoint, get.timeout, fetch(get)).await?;
    out.write_all(&value)?;
    Ok(out.flush()?)
}

/// Asks `/-/ready` or `/-/live`.
///
/// # Errors
/// The sidecar cannot be reached in time, or says no; then with what is pending, and why as far as it
/// tells that.
pub async fn healthcheck(healthcheck: &Healthcheck) -> Result<(), Failure> {
    let (path, question) = match healthcheck.probe {
        Probe::Ready => ("/-/ready", "ready"),
        Probe::Live => ("/-/live", "live"),
    };
    let started = Instant::now();
    let asked = connection::get(&healthcheck.endpoint, path);
    let answer = within(&healthcheck.endpoint, healthcheck.timeout, asked).await?;
    if answer.status.is_success() {
        return Ok(());
    }
    let pending = answer.problem().pending;
    let reason = if pending.is_empty() {
        reason(&answer)
    } else {
        let left = healthcheck.timeout.saturating_sub(started.elapsed());
        let scopes = scopes(&healthcheck.endpoint, left).await;
        let told = pending.into_iter().map(|name| scopes.explain(name));
        told.collect::<Vec<_>>().join(", ")
    };
    Err(Failure::Unhealthy { question, reason })
}

/// What `/-/status` says of the scopes; nothing where it is not served (`--admin-address`), or too late.
/// `/-/ready` itself gives no reasons: any pod may ask it there, and they name accounts and addresses.
async fn scopes(endpoint: &Endpoint, timeout: Duration) -> Scopes {
    let asked = within(endpoint, timeout, connection::get(endpoint, "/-/status")).await;
    let answer = asked.ok().filter(|answer| answer.status.is_success());
    answer
        .and_then(|answer| serde_json::from_slice(&answer.body).ok())
        .unwrap_or_default()
}

async fn fetch(get: &Get) -> Result<Bytes, Failure> {
    let namespace = namespace(&get.endpoint, &get.object).await?;
    let path = path(&namespace, get.kind, &get.object, get.key.as_deref());
    accepted(&connection::get(&get.endpoint, &path).await?)
}

/// The object's namespace; else the sidecar's, which is asked for it.
async fn namespace(endpoint: &Endpoint, object: &ObjectName) -> Result<String, Failure> {
    if let Some(namespace) = &object.namespace {
        return Ok(namespace.clone());
    }
    let answer = accepted(&connection::get(endpoint, "/-/status").await?)?;
    let status: Status = serde_json::from_slice(&answer).map_err(|error| {
        Failure::Refused(format!(
            "the sidecar's /-/status names no namespace ({error}): give one with -n"
        ))
    })?;
    Ok(status.namespace)
}

/// `/kv/{namespace}/[secret:]{name}[/{key}]`; validated names need no percent-encoding.
fn path(namespace: &str, kind: ObjectKind, object: &ObjectName, key: Option<&str>) -> String {
    let kind = match kind {
        ObjectKind::ConfigMap => "",
        ObjectKind::Secret => "secret:",
    };
    let key = key.map(|key| format!("/{key}")).unwrap_or_default();
    format!("/kv/{namespace}/{kind}{}{key}", object.name)
}

fn accepted(answer: &Answer) -> Result<Bytes, Failure> {
    if answer.status.is_success() {
        return Ok(answer.body.clone());
    }
    Err(Failure::Refused(reason(answer)))
}

/// Why the sidecar said no: what is pending by name, else the problem's detail, else the status.
fn reason(answer: &Answer) -> String {
    match answer.problem() {
        Problem { pending, .. } if !pending.is_empty() => pending.join(", "),
        Problem {
            detail: Some(detail),
            ..
        } => detail,
        _ => format!("the sidecar answered {}", answer.status),
    }
}

/// Ends `doing` after `timeout`.
async fn within<T>(
    endpoint: &Endpoint,
    timeout: Duration,
    doing: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(timeout, doing).await {
        Ok(result) => result,
        Err(_) => Err(Failure::Late {
            at: endpoint.to_string(),
            timeout,
            aftermath: "",
        }),
    }
}

// === impl Scopes ===

impl Scopes {
    /// What is waited for, with the reason that it is not there, if one is known.
    fn explain(&self, name: String) -> String {
        let reason = self.scopes.iter().find_map(|scope| {
            let own = scope.reason.as_ref().filter(|_| scope.name == name);
            own.or_else(|| scope.refused.get(&name))
        });
        match reason {
            Some(reason) => format!("{name} ({reason})"),
            None => name,
        }
    }
}

// === impl Failure ===

impl Failure {
    /// The process's exit code: 2 if the sidecar could not be reached in time, so that a script can tell that
    /// from a key that is not there; else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::Late { .. } => 2,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests;
