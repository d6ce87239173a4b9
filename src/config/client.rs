//! The configuration of the commands that follow and write what a running sidecar serves.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::errors::Faults;
use super::model::{ObjectKind, ObjectName};
use super::probes::{self, Endpoint};
use crate::cli;

/// How long a write may take unless told: attache itself waits for the API server, and then up to 5 s
/// to see the change.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What `attache watch` is to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Where the sidecar is.
    pub endpoint: Endpoint,
    /// ConfigMap or Secret.
    pub kind: ObjectKind,
    /// Which one; without a namespace, in the sidecar's.
    pub object: ObjectName,
    /// One key; else all of them.
    pub key: Option<String>,
    /// The program and its arguments that get each state; if empty, states are printed.
    pub command: Vec<OsString>,
}

/// What `attache set` is to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Where the sidecar is.
    pub endpoint: Endpoint,
    /// The ConfigMap; without a namespace, in the sidecar's.
    pub object: ObjectName,
    /// Values by key.
    pub values: BTreeMap<String, String>,
    /// Keys whose values are still to be read, none of them in `values`.
    pub files: Vec<(String, ValueFrom)>,
    /// An entity tag, or `*`, as `If-Match` takes it (RFC 9110, section 13.1.1).
    pub if_match: Option<String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// What a value is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueFrom {
    /// This file.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

/// What `attache unset` is to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unset {
    /// Where the sidecar is.
    pub endpoint: Endpoint,
    /// The ConfigMap; without a namespace, in the sidecar's.
    pub object: ObjectName,
    /// The keys.
    pub keys: BTreeSet<String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// Validates the arguments of `attache watch`; `None` only with a fault.
pub(crate) fn watch(args: &cli::Watch, faults: &mut Faults) -> Option<Watch> {
    let endpoint = probes::endpoint(&args.place.sidecar, faults);
    if let Some(key) = &args.key {
        faults.take("KEY", probes::data_key(key));
    }
    if args.exec.first().is_some_and(|program| program.is_empty()) {
        faults.add(
            "--exec",
            "its command has no name: give a program and its arguments",
        );
    }
    let target = probes::target(&args.object, args.place.namespace.as_deref(), faults);
    let (kind, object) = target?;
    Some(Watch {
        endpoint: endpoint?,
        kind,
        object,
        key: args.key.clone(),
        command: args.exec.clone(),
    })
}

/// Validates the arguments of `attache set`; `None` only with a fault.
pub(crate) fn set(args: &cli::Set, faults: &mut Faults) -> Option<Set> {
    let endpoint = probes::endpoint(&args.place.sidecar, faults);
    let timeout = probes::timeout(args.timeout.as_deref(), WRITE_TIMEOUT, faults);
    let object = writable(&args.object, args.place.namespace.as_deref(), faults);
    let if_match = args.if_match.as_deref();
    let if_match = if_match.and_then(|text| faults.take("--if-match", entity_tag(text)));
    let (values, files) = values(args, faults);
    if args.values.is_empty() && args.from_file.is_empty() {
        faults.add_line("nothing to set: give KEY=VALUE, or --from-file KEY=PATH");
    }
    Some(Set {
        endpoint: endpoint?,
        object: object?,
        values,
        files,
        if_match,
        timeout: timeout?,
    })
}

/// Values by key, and what others are to be read from; no key twice.
fn values(
    args: &cli::Set,
    faults: &mut Faults,
) -> (BTreeMap<String, String>, Vec<(String, ValueFrom)>) {
    let mut keys = BTreeSet::new();
    let mut values = BTreeMap::new();
    for text in &args.values {
        if let Some((key, value)) = faults.take("KEY=VALUE", assignment(text, &mut keys)) {
            values.insert(key, value.to_owned());
        }
    }
    let mut files = Vec::new();
    let mut stdin = 0;
    for text in &args.from_file {
        let Some((key, path)) = faults.take("--from-file", assignment(text, &mut keys)) else {
            continue;
        };
        let from = match path {
            "" => {
                let what = "names no file: write KEY=PATH, or KEY=- for standard input";
                faults.add("--from-file", format!("{text:?} {what}"));
                continue;
            }
            "-" => ValueFrom::Stdin,
            path => ValueFrom::File(PathBuf::from(path)),
        };
        stdin += usize::from(from == ValueFrom::Stdin);
        files.push((key, from));
    }
    if stdin > 1 {
        let what = "standard input is one value: read the others from files";
        faults.add("--from-file", what);
    }
    (values, files)
}

/// Validates the arguments of `attache unset`; `None` only with a fault.
pub(crate) fn unset(args: &cli::Unset, faults: &mut Faults) -> Option<Unset> {
    let endpoint = probes::endpoint(&args.place.sidecar, faults);
    let timeout = probes::timeout(args.timeout.as_deref(), WRITE_TIMEOUT, faults);
    let object = writable(&args.object, args.place.namespace.as_deref(), faults);
    let keys = args.keys.iter();
    let keys = keys.filter_map(|key| faults.take("KEY", probes::data_key(key)));
    let keys = keys.collect();
    Some(Unset {
        endpoint: endpoint?,
        object: object?,
        keys,
        timeout: timeout?,
    })
}

/// What may be written.
fn writable(text: &str, namespace: Option<&str>, faults: &mut Faults) -> Option<ObjectName> {
    match probes::target(text, namespace, faults)? {
        (ObjectKind::ConfigMap, object) => Some(object),
        (ObjectKind::Secret, _) => {
            faults.add(
                "CONFIGMAP",
                "attache writes no Secrets: change it with kubectl, or name a ConfigMap",
            );
            None
        }
    }
}

/// Reads `KEY=…`, where no other of `keys` is that key.
fn assignment<'a>(text: &'a str, keys: &mut BTreeSet<String>) -> Result<(String, &'a str), String> {
    let (key, rest) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} has no '=': write KEY=VALUE, or --from-file KEY=PATH"))?;
    let key = probes::data_key(key)?;
    if !keys.insert(key.clone()) {
        return Err(format!("{key} is given twice: give it one value"));
    }
    Ok((key, rest))
}

/// Reads a strong entity tag (RFC 9110, section 8.8.3), with quotes or without, or `*`.
fn entity_tag(text: &str) -> Result<String, String> {
    let bare = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').unwrap_or(text),
        None => text,
    };
    let fits = !bare.is_empty()
        && bare
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"');
    match fits && !text.starts_with("W/") {
        true if text == "*" => Ok(text.to_owned()),
        true => Ok(format!("\"{bare}\"")),
        false => Err(format!(
            "{text:?} is no ETag that a write can be held against: give the one of an answer of \
             the sidecar, or *"
        )),
    }
}

// === impl ValueFrom ===

impl fmt::Display for ValueFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdin => f.write_str("standard input"),
        }
    }
}

#[cfg(test)]
mod tests;
