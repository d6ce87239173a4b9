//! Which objects are meant: files, targets, and where kinds hold their pod template.

use std::cell::Cell;

use super::super::flags::Reader;
use super::super::model::{Input, Objects, Target, Template};
use super::super::{names, units};
use crate::cli;

/// What kubectl calls the kinds that have a pod template, and Pod.
const KINDS: &[(&str, &[&str])] = &[
    ("pod", &["pods", "po"]),
    ("deployment", &["deployments", "deploy"]),
    ("statefulset", &["statefulsets", "sts"]),
    ("daemonset", &["daemonsets", "ds"]),
    ("replicaset", &["replicasets", "rs"]),
    ("replicationcontroller", &["replicationcontrollers", "rc"]),
    ("job", &["jobs"]),
    ("cronjob", &["cronjobs", "cj"]),
];

/// Reads where objects are, and which of them are meant.
pub(super) fn objects(args: &cli::Objects, reader: &mut Reader) -> Objects {
    let stdin_taken = Cell::new(false);
    let inputs = reader.list("filename", &args.filename, |text| match text {
        "-" if stdin_taken.replace(true) => {
            Err("- is given twice: standard input can be read once".to_owned())
        }
        "-" => Ok(Input::Stdin),
        path => units::path(path).map(Input::Path),
    });
    let only = reader.list("to", &args.to, target);
    let templates = reader.list("template", &args.template, template);
    Objects {
        inputs: inputs.unwrap_or_else(|| vec![Input::Stdin]),
        only: only.unwrap_or_default(),
        templates: templates.unwrap_or_default(),
    }
}

/// Reads `KIND/NAME`, the kind as kubectl takes it, with its group or without; one that is none of
/// Kubernetes' own is taken as it is, in lower case.
pub(super) fn target(text: &str) -> Result<Target, String> {
    let (kind, name) = text
        .split_once('/')
        .filter(|(kind, _)| !kind.is_empty() && !kind.starts_with('.'))
        .ok_or_else(|| format!("{text:?} names no kind: write KIND/NAME, as deployment/web"))?;
    let kind = kind.to_lowercase();
    let kind = kind.split('.').next().unwrap_or_default();
    let known = KINDS
        .iter()
        .find(|(singular, others)| *singular == kind || others.contains(&kind));
    Ok(Target {
        kind: known.map_or(kind, |(singular, _)| singular).to_owned(),
        name: names::name(name)?,
    })
}

/// Reads `KIND=PATH`.
fn template(text: &str) -> Result<Template, String> {
    let split = text.split_once('=');
    let read = split.map(|(kind, path)| Template {
        kind: kind.to_owned(),
        path: path
            .trim_matches('.')
            .split('.')
            .map(str::to_owned)
            .collect(),
    });
    read.filter(|template| !template.kind.is_empty() && !template.path.iter().any(String::is_empty))
        .ok_or_else(|| format!("{text:?}: write KIND=PATH, as Rollout=spec.template"))
}
