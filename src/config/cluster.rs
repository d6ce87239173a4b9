//! The configuration of `attache inject`, `uninject`, `webhook` and `doctor`.
//!
//! `objects` reads which objects are meant, `webhook` and `doctor` their commands' flags.

use std::collections::BTreeMap;

use super::errors::Faults;
use super::flags::{self, Reader};
use super::model::{Inject, Kubernetes, Output, Platform, Uninject};
use super::{asked, connection, names};
use crate::cli;

mod doctor;
mod objects;
mod webhook;

pub(crate) use doctor::doctor;
pub(crate) use webhook::webhook;

/// The image of a sidecar whose platform names none.
const IMAGE: &str = concat!("attache:", env!("CARGO_PKG_VERSION"));
/// `--configuration`.
const CONFIGURATION: &str = "attache";

/// Validates the flags of `attache inject`; `None` only with a fault.
pub(crate) fn inject(args: &cli::Inject, faults: &mut Faults) -> Option<Inject> {
    let annotations = annotations(&args.set, &args.from_env, faults);
    let mut reader = Reader::new(&args.from_env, faults);
    let objects = objects::objects(&args.objects, &mut reader);
    let settings = connection::flags(&args.connection, &mut reader);
    let kubernetes = reader.one("kubernetes", args.kubernetes.as_deref(), kubernetes);
    let namespace = namespace(&args.connection, &mut reader);
    let platform = platform(&args.injection, &mut reader);
    Some(Inject {
        objects,
        annotations,
        kubernetes: kubernetes.unwrap_or(Kubernetes::Unknown),
        platform,
        output: match (args.rbac, args.diff) {
            (true, _) => Output::Rbac,
            (_, true) => Output::Diff,
            _ => Output::Objects,
        },
        namespace,
        connection: connection::connection(settings, faults),
    })
}

/// Validates the flags of `attache uninject`; `None` only with a fault.
pub(crate) fn uninject(args: &cli::Uninject, faults: &mut Faults) -> Option<Uninject> {
    Some(Uninject {
        objects: objects::objects(&args.objects, &mut Reader::new(&[], faults)),
        output: match args.diff {
            true => Output::Diff,
            false => Output::Objects,
        },
    })
}

/// Reads a version of Kubernetes, as 1.33, v1.33 or 1.33.2, or `cluster`.
fn kubernetes(text: &str) -> Result<Kubernetes, String> {
    if text == "cluster" {
        return Ok(Kubernetes::Ask);
    }
    let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
    let mut number = || {
        let digits = parts.next()?;
        let all = digits.chars().all(|c| c.is_ascii_digit());
        all.then(|| digits.parse().ok())?
    };
    match (number(), number()) {
        (Some(major), Some(minor)) => Ok(Kubernetes::Version(major, minor)),
        _ => Err(format!(
            "{text:?} is not a version of Kubernetes: write it like 1.33, or cluster to ask it"
        )),
    }
}

fn platform(args: &cli::Injection, reader: &mut Reader) -> Platform {
    let image = reader.one("image", args.image.as_deref(), names::image);
    let restarts = reader.list("allow-restart", &args.allow_restart, |text| match text {
        "rollout" | "pods" => Ok(text.to_owned()),
        _ => Err(format!("{text:?} is neither rollout nor pods")),
    });
    let allows = |what: &str| restarts.iter().flatten().any(|allowed| allowed == what);
    Platform {
        image: image.unwrap_or_else(|| IMAGE.to_owned()),
        allow_rollout: allows("rollout"),
        allow_pods: allows("pods"),
    }
}

/// `--set`, checked at once rather than at each pod.
fn annotations(
    texts: &[String],
    from_env: &[String],
    faults: &mut Faults,
) -> BTreeMap<String, String> {
    let flag = flags::flag_name("set", from_env);
    let mut annotations = BTreeMap::new();
    for text in texts {
        let Some((name, value)) = text.split_once('=') else {
            let fault =
                format!("{text:?} has no value: write NAME=VALUE, as configmaps=web-configmap");
            faults.add(&flag, fault);
            continue;
        };
        let name = name.strip_prefix(asked::PREFIX).unwrap_or(name);
        if asked::is_written(name) {
            let fault = format!("{name} is written by attache itself: leave it out");
            faults.add(&flag, fault);
        }
        let before = annotations.insert(name.to_owned(), value.to_owned());
        if before.is_some() {
            let fault = format!("{name} is given twice: its value holds all that it is to say");
            faults.add(&flag, fault);
        }
    }
    if let Err(found) = asked::asked(&annotations) {
        for line in found.lines() {
            faults.add(&flag, line);
        }
    }
    annotations
}

fn namespace(args: &cli::Connection, reader: &mut Reader) -> Option<String> {
    reader.one("namespace", args.namespace.as_deref(), names::namespace)
}

#[cfg(test)]
mod tests;
