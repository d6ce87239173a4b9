//! `attache inject` and `attache uninject`: streams of objects in YAML or JSON.
//!
//! Documents without a pod, and those that do not change, are printed byte for byte as they were.
//!
//! Reading order: here, then what is read (`stream`, `yaml`, `resolve`), where pods are (`workload`),
//! and what else than objects is printed (`report`, `diff`, `rights`).

mod diff;
mod report;
mod resolve;
mod rights;
mod stream;
mod workload;
mod yaml;

use std::io::{Read, Write};

use serde_json::Value;

use super::{Outcome, Surroundings};
use crate::config::{Inject, Kubernetes, Objects, Output, Target, Uninject};
use report::{Report, called};
use rights::Grants;
use stream::{Piece, Source};
use workload::Workload;

/// Why a command failed; exit code 1.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// So many faults, each of which has been said.
    #[error("nothing is printed, because of {0} fault(s) above")]
    Faults(usize),
    /// Standard output is closed.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

/// Injects what `inject` names and prints it to `out`; `stdin` is read if it is among the inputs, `say`
/// gets the report, a line at a time. `native` is whether the cluster runs native sidecars.
///
/// # Errors
/// [`InjectError`]; nothing is printed then.
pub fn inject(
    inject: &Inject,
    native: bool,
    stdin: &mut impl Read,
    out: &mut impl Write,
    say: &mut dyn FnMut(&str),
) -> Result<(), InjectError> {
    let mut report = Report::default();
    let mut sources = stream::sources(&inject.objects.inputs, stdin, &mut report.faults);
    let mut grants = Grants::default();
    let mut unplaced = false;
    let mut change = |workload: &Workload<'_>, pod: &Value, report: &mut Report| {
        let surroundings = Surroundings {
            is_job: workload.is_job,
            native,
            write: inject.annotations.clone(),
            ..Surroundings::default()
        };
        let outcome = match super::inject(pod, &surroundings, &inject.platform) {
            Ok(outcome) => outcome,
            Err(faults) => {
                for fault in faults.lines() {
                    report.faults.add(called(&workload.name), fault);
                }
                return None;
            }
        };
        report.outcome(&workload.name, &outcome, native);
        let injected = match &outcome {
            Outcome::Injected(injection) => &injection.pod,
            Outcome::Unchanged => pod,
            Outcome::Skipped(_) => return None,
        };
        if inject.output == Output::Rbac {
            let namespace = workload.namespace.as_ref().or(inject.namespace.as_ref());
            unplaced |= namespace.is_none();
            let namespace = namespace.map_or("default", String::as_str);
            if let Err(faults) = grants.add(&workload.name, injected, namespace) {
                for fault in faults.lines() {
                    report.faults.add(called(&workload.name), fault);
                }
            }
        }
        match outcome {
            Outcome::Injected(injection) => Some(injection.pod),
            _ => None,
        }
    };
    let changed = each(&inject.objects, &mut sources, &mut report, &mut change);
    if report.plain && inject.kubernetes == Kubernetes::Unknown {
        let what = "the cluster's version is not known, so no sidecar is a native one: say \
                    --kubernetes=1.29 or newer, or --kubernetes=cluster to ask it";
        report.warning("--kubernetes", what);
    }
    if unplaced {
        let what = "some objects name no namespace: their rights are for the namespace default";
        report.warning("--namespace", what);
    }
    let text = match inject.output {
        Output::Rbac => grants.print(&mut report),
        Output::Diff => differences(&sources, &changed),
        Output::Objects => objects(&sources, &changed, &mut report),
    };
    report.say(say)?;
    Ok(write(&text, out)?)
}

/// Takes out what [`inject`] added.
///
/// # Errors
/// As [`inject`].
pub fn uninject(
    uninject: &Uninject,
    stdin: &mut impl Read,
    out: &mut impl Write,
    say: &mut dyn FnMut(&str),
) -> Result<(), InjectError> {
    let mut report = Report::default();
    let mut sources = stream::sources(&uninject.objects.inputs, stdin, &mut report.faults);
    let mut change = |workload: &Workload<'_>, pod: &Value, report: &mut Report| {
        let without = super::uninject(pod);
        let what = match without {
            Some(_) => "attache is taken out",
            None => "unchanged: attache inject has added nothing to it",
        };
        report.line(&workload.name, what);
        without
    };
    let changed = each(&uninject.objects, &mut sources, &mut report, &mut change);
    let text = match uninject.output {
        Output::Diff => differences(&sources, &changed),
        Output::Objects | Output::Rbac => objects(&sources, &changed, &mut report),
    };
    report.say(say)?;
    Ok(write(&text, out)?)
}

fn write(text: &str, out: &mut impl Write) -> std::io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// What a pod becomes; `None` leaves it.
type Change<'a> = dyn FnMut(&Workload<'_>, &Value, &mut Report) -> Option<Value> + 'a;

/// Changes every pod that is meant. The names of what has changed, by piece, in the order of the
/// sources' pieces.
fn each(
    objects: &Objects,
    sources: &mut [Source],
    report: &mut Report,
    change: &mut Change<'_>,
) -> Vec<Vec<Target>> {
    let mut missing: Vec<_> = objects.only.iter().collect();
    let (mut found, mut changes) = (false, Vec::new());
    for piece in sources.iter_mut().flat_map(|source| &mut source.pieces) {
        let mut changed = Vec::new();
        let mut visit = |mut workload: Workload<'_>| {
            if !objects.only.is_empty() && !objects.only.contains(&workload.name) {
                return;
            }
            found = true;
            missing.retain(|target| **target != workload.name);
            let Some(pod) = workload.pod.take() else {
                report.line(
                    &workload.name,
                    "skipped: it has no pod template where one should be",
                );
                return;
            };
            if let Some(value) = change(&workload, &pod.value(), report) {
                pod.adopt(value);
                changed.push(workload.name);
            }
        };
        if let Some(document) = &mut piece.document {
            workload::each(&mut document.tree, &objects.templates, &mut visit);
        }
        changes.push(changed);
    }
    for target in &missing {
        let what = "there is no such object among what was read";
        report.faults.add(format!("--to {}", called(target)), what);
    }
    // What could not be read may have held one.
    if !found && objects.only.is_empty() && report.faults.is_empty() {
        let what = "no Pod, Deployment or other workload is among what was read; --template says where \
                    kinds of your own hold their pod template";
        report.warning("--filename", what);
    }
    changes
}

/// All documents, one file after the other.
fn objects(sources: &[Source], changed: &[Vec<Target>], report: &mut Report) -> String {
    let mut out = String::new();
    let mut changed = changed.iter();
    // kubectl reads a stream that begins with a brace as JSON alone, and JSON within YAML only as
    // documents of their own.
    let pieces = || sources.iter().flat_map(|source| &source.pieces);
    let is_mixed = pieces().any(Piece::is_json) && pieces().any(Piece::is_yaml);
    for source in sources {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        let begins = |text: &str| text.starts_with("---") || text.starts_with('%');
        let first = source.pieces.first();
        let is_apart =
            first.is_some_and(|piece| begins(&piece.text) || is_mixed && piece.is_json());
        if !out.is_empty() && !is_apart {
            out.push_str("---\n");
        }
        for (piece, changed) in source.pieces.iter().zip(&mut changed) {
            if is_mixed && piece.is_json() && !begins(&piece.text) {
                let is_at_end = out.is_empty() || out.ends_with('\n');
                out.push_str(if is_at_end { "---\n" } else { "\n---\n" });
            }
            if changed.is_empty() {
                out.push_str(&piece.text);
                continue;
            }
            out.push_str(&piece.rewritten());
            if let lost @ 1.. = piece.lost_comments() {
                let names: Vec<_> = changed.iter().map(called).collect();
                let (name, line) = (&source.name, piece.document_line());
                let what =
                    format!("written anew at {name}:{line}: {lost} comment(s) in it are lost");
                report.warning(&names.join(", "), &what);
            }
        }
    }
    out
}

/// What changes, as `diff -u` shows it.
fn differences(sources: &[Source], changed: &[Vec<Target>]) -> String {
    let mut out = String::new();
    let mut changed = changed.iter();
    for source in sources {
        let mut new_line = 0;
        let mut hunks = String::new();
        for (piece, changed) in source.pieces.iter().zip(&mut changed) {
            if changed.is_empty() {
                new_line += piece.text.lines().count();
                continue;
            }
            let new = piece.rewritten();
            hunks.push_str(&diff::hunks(&piece.text, &new, piece.line, new_line));
            new_line += new.lines().count();
        }
        if !hunks.is_empty() {
            let name = &source.name;
            out.push_str(&format!("--- {name}\n+++ {name}\n{hunks}"));
        }
    }
    out
}
