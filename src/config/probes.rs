//! The configuration of the commands that ask a running sidecar once, and what all commands that talk
//! to one share.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::errors::Faults;
use super::model::{ObjectKind, ObjectName};
use super::{names, units};
use crate::cli;

/// The sidecar's port unless given.
const PORT: u16 = 8001;
/// How long `get` waits unless told.
const GET_TIMEOUT: Duration = Duration::from_secs(5);
/// How long `healthcheck` waits unless told: the kubelet's own default for a probe.
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// What `attache get` is to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Get {
    /// Where the sidecar is.
    pub endpoint: Endpoint,
    /// ConfigMap or Secret.
    pub kind: ObjectKind,
    /// Which one; without a namespace, in the sidecar's.
    pub object: ObjectName,
    /// One key's value; else all of them as JSON.
    pub key: Option<String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// What `attache healthcheck` is to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healthcheck {
    /// Where the sidecar is.
    pub endpoint: Endpoint,
    /// Which question.
    pub probe: Probe,
    /// How long it may take.
    pub timeout: Duration,
}

/// Where a sidecar listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// On this address.
    Tcp(SocketAddr),
    /// On this Unix socket.
    Unix(PathBuf),
}

/// A question about the sidecar's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Has everything named been synced?
    Ready,
    /// Does it answer at all?
    Live,
}

/// Validates the arguments of `attache get`; `None` only with a fault.
pub(crate) fn get(args: &cli::Get, faults: &mut Faults) -> Option<Get> {
    let endpoint = endpoint(&args.place.sidecar, faults);
    let timeout = timeout(args.timeout.as_deref(), GET_TIMEOUT, faults);
    if let Some(key) = &args.key {
        faults.take("KEY", data_key(key));
    }
    let target = target(&args.object, args.place.namespace.as_deref(), faults);
    let (kind, object) = target?;
    Some(Get {
        endpoint: endpoint?,
        kind,
        object,
        key: args.key.clone(),
        timeout: timeout?,
    })
}

/// Validates the flags of `attache healthcheck`; `None` only with a fault.
pub(crate) fn healthcheck(args: &cli::Healthcheck, faults: &mut Faults) -> Option<Healthcheck> {
    let endpoint = endpoint(&args.sidecar, faults);
    let timeout = timeout(args.timeout.as_deref(), HEALTHCHECK_TIMEOUT, faults);
    let probe = if args.live { Probe::Live } else { Probe::Ready };
    Some(Healthcheck {
        endpoint: endpoint?,
        probe,
        timeout: timeout?,
    })
}

/// Checks a key.
///
/// # Errors
/// A sentence that says what a key may hold.
pub(super) fn data_key(text: &str) -> Result<String, String> {
    if names::is_data_key(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} cannot be a key: use letters, digits, '-', '_' and '.'"
    ))
}

/// The object that `[NS/][secret:]NAME` and `--namespace` name; `None` only with a fault.
pub(super) fn target(
    text: &str,
    namespace: Option<&str>,
    faults: &mut Faults,
) -> Option<(ObjectKind, ObjectName)> {
    let namespace = namespace.and_then(|text| faults.take("--namespace", names::namespace(text)));
    let (kind, mut object) = faults.take("CONFIGMAP", object(text))?;
    match (&object.namespace, namespace) {
        (Some(given), Some(flag)) if *given != flag => faults.add(
            "CONFIGMAP",
            format!("its namespace {given} differs from --namespace {flag}: give one"),
        ),
        (None, flag) => object.namespace = flag,
        _ => {}
    }
    Some((kind, object))
}

/// Reads `[NS/][secret:]NAME`.
fn object(text: &str) -> Result<(ObjectKind, ObjectName), String> {
    let (namespace, rest) = match text.split_once('/') {
        Some((namespace, rest)) => (Some(names::namespace(namespace)?), rest),
        None => (None, text),
    };
    let (kind, name) = match rest.strip_prefix("secret:") {
        Some(name) => (ObjectKind::Secret, name),
        None => (ObjectKind::ConfigMap, rest),
    };
    Ok((
        kind,
        ObjectName {
            namespace,
            name: names::name(name)?,
        },
    ))
}

/// Where the sidecar is; `None` only with a fault.
pub(super) fn endpoint(sidecar: &cli::Sidecar, faults: &mut Faults) -> Option<Endpoint> {
    if let Some(path) = &sidecar.unix_socket {
        return Some(Endpoint::Unix(path.clone()));
    }
    let port = match sidecar.port.as_deref() {
        Some(text) => faults.take("--port", units::number(text, 1, u16::MAX)),
        None => Some(PORT),
    };
    let address = match sidecar.address.as_deref() {
        Some(text) => faults.take("--address", units::address(text)),
        None => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    };
    Some(Endpoint::Tcp(SocketAddr::new(address?, port?)))
}

/// `--timeout`; `None` only with a fault.
pub(super) fn timeout(
    text: Option<&str>,
    default: Duration,
    faults: &mut Faults,
) -> Option<Duration> {
    match text {
        Some(text) => faults.take("--timeout", units::timeout(text)),
        None => Some(default),
    }
}
