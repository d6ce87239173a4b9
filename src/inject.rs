//! Injection: one pure function from a pod and what is asked of it to the pod with its sidecar, and
//! what `attache inject` makes of it for files of objects.
//!
//! A pod here is raw JSON, `{"metadata": …, "spec": …}`: a Pod, or the template of a workload. What
//! attache does not know in it stays as it is.
//!
//! Reading order: [`inject`], then which pods get none (`refusal`); `steps` and `work`, one injection as
//! it goes on, and what it adds: `files`, `paths`, `token`, `user`, `sidecar` with its `resources`, or `wrapped`; its
//! `warnings`. Every edit is made by `editor`, which notes what takes it back; `record` keeps that on the
//! pod. `pod` reads pods, `patch` says what changed. Then objects of all kinds (`command`),
//! and what a configuration needs to be allowed (`rights`).

pub mod command;
pub mod rights;

mod editor;
mod files;
mod patch;
mod paths;
mod pod;
mod record;
mod refusal;
mod resources;
mod sidecar;
mod steps;
mod token;
mod user;
mod warnings;
mod work;
mod wrapped;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::{self, Faults, PREFIX, Platform};
pub use patch::patch;
use record::Record;
use work::Task;

/// The label that asks for a sidecar, on a pod or its namespace: `enabled` or `disabled`.
pub const LABEL: &str = "attache.dev/inject";

/// What is around a pod.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Annotations that hold where the pod has none of the same name: the namespace's, over the
    /// platform's; by their names without `attache.dev/`.
    pub annotations: BTreeMap<String, String>,
    /// Whether the pod is a Job's, which ends once its containers have.
    pub is_job: bool,
    /// Whether the nodes run native sidecars (Kubernetes 1.29).
    pub native: bool,
    /// Annotations that are written onto the pod where it has none of the same name, over
    /// `annotations`, and taken off by [`uninject`]; by their names without `attache.dev/`. Those of an
    /// earlier injection stay unless named again.
    pub write: BTreeMap<String, String>,
    /// Whether the API server's ServiceAccount admission has been there before, as it has when a
    /// webhook is called: where no container has a token by then, the sidecar brings its own.
    pub admitted: bool,
}

/// What became of a pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It has a sidecar now, or another one than before.
    Injected(Injection),
    /// It had just this sidecar already.
    Unchanged,
    /// It gets none.
    Skipped(Skip),
}

/// A pod with its sidecar.
#[derive(Debug, Clone, PartialEq)]
pub struct Injection {
    /// The pod.
    pub pod: Value,
    /// What may not be as it was meant, for whoever wrote the annotations.
    pub warnings: Vec<String>,
}

/// Why a pod gets no sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skip {
    /// The label says `disabled`.
    OptedOut,
    /// Neither annotations nor defaults ask for anything.
    NothingAsked,
    /// `hostNetwork`: 127.0.0.1 is the node's.
    HostNetwork,
    /// `hostPID`: signals could reach the node's processes.
    HostPid,
    /// It carries an attache that was put there by hand.
    ByHand,
    /// A Job's pod, or one that may end, where sidecars are plain containers: it never would.
    Endless,
    /// A static pod's mirror, which cannot be changed.
    Mirror,
    /// A Windows pod.
    Windows,
}

// === impl Skip ===

impl Skip {
    /// In one word, for metrics: `opted-out` and so on.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OptedOut => "opted-out",
            Self::NothingAsked => "nothing-asked",
            Self::HostNetwork => "host-network",
            Self::HostPid => "host-pid",
            Self::ByHand => "by-hand",
            Self::Endless => "endless",
            Self::Mirror => "mirror",
            Self::Windows => "windows",
        }
    }

    /// In a sentence's words, and what would change it.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::OptedOut => "its label attache.dev/inject says disabled",
            Self::NothingAsked => {
                "nothing is asked for: give it an annotation such as attache.dev/configmaps"
            }
            Self::HostNetwork => {
                "with hostNetwork, 127.0.0.1 is the node's: others would reach the sidecar"
            }
            Self::HostPid => "with hostPID, signals could reach the node's processes",
            Self::ByHand => "it carries an attache that was put there by hand: take that out first",
            Self::Endless => {
                "it ends, and a sidecar that is a plain container never would: native ones need \
                 Kubernetes 1.29"
            }
            Self::Mirror => "it is the mirror of a static pod, which cannot be changed here",
            Self::Windows => "it runs on Windows",
        }
    }
}

/// The pod with the sidecar that its annotations, its surroundings and the platform ask for. A pod
/// that has one already gets a new one only if that would be another.
///
/// # Errors
/// What is wrong with which annotation, or keeps it from being fulfilled in this pod; the pod stays as
/// it is.
pub fn inject(
    pod: &Value,
    surroundings: &Surroundings,
    platform: &Platform,
) -> Result<Outcome, Faults> {
    inject_by(env!("CARGO_PKG_VERSION"), pod, surroundings, platform)
}

/// The pod without what [`inject`] added; `None` if there is nothing of it.
#[must_use]
pub fn uninject(pod: &Value) -> Option<Value> {
    Record::of(pod).map(|record| record.taken_out(pod))
}

/// As [`inject`], by attache of that version.
fn inject_by(
    version: &str,
    pod: &Value,
    surroundings: &Surroundings,
    platform: &Platform,
) -> Result<Outcome, Faults> {
    pod::check(pod)?;
    let earlier = Record::of(pod);
    let base = uninject(pod).unwrap_or_else(|| pod.clone());
    if let Some(skip) = refusal::of(&base) {
        return Ok(Outcome::Skipped(skip));
    }
    // What an earlier injection wrote stays: a webhook sees pods of templates that a command wrote to.
    let mut write = earlier
        .as_ref()
        .map_or_else(BTreeMap::new, |record| record.written(pod));
    write.extend(surroundings.write.clone());
    let around = |faults| told_from_around(faults, &base, &write);
    let asked = config::asked(&annotations(&base, &write, surroundings)).map_err(around)?;
    if asked.is_nothing() {
        return Ok(Outcome::Skipped(Skip::NothingAsked));
    }
    if refusal::is_endless(&base, surroundings, &asked) {
        return Ok(Outcome::Skipped(Skip::Endless));
    }
    let task = Task {
        base: &base,
        asked: &asked,
        surroundings,
        platform,
        version,
    };
    let (injection, record) = steps::take(&task, &write).map_err(around)?;
    Ok(match earlier {
        Some(earlier) if earlier.is_of(&record, pod) => Outcome::Unchanged,
        _ => Outcome::Injected(injection),
    })
}

/// What holds for a pod: its own annotations over those to be written over those around it.
fn annotations(
    base: &Value,
    write: &BTreeMap<String, String>,
    surroundings: &Surroundings,
) -> BTreeMap<String, String> {
    let mut all = surroundings.annotations.clone();
    all.extend(write.clone());
    let own = base["metadata"]["annotations"].as_object();
    for (name, value) in own.into_iter().flatten() {
        if let (Some(name), Some(text)) = (name.strip_prefix(PREFIX), value.as_str()) {
            all.insert(name.to_owned(), text.to_owned());
        }
    }
    all
}

/// Says of faults in annotations that are none of the pod's where to look for them.
fn told_from_around(faults: Faults, base: &Value, write: &BTreeMap<String, String>) -> Faults {
    let own = base["metadata"]["annotations"].as_object();
    let is_around = |line: &str| {
        let named = line.strip_prefix(PREFIX).and_then(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            rest.get(..end?)
        });
        named.is_some_and(|name| {
            let is_own = own.is_some_and(|own| own.contains_key(&format!("{PREFIX}{name}")));
            !is_own && !write.contains_key(name)
        })
    };
    let lines = faults.lines().iter().map(|line| match is_around(line) {
        true => format!("{line} (the namespace says it, or the webhook's --set)"),
        false => line.clone(),
    });
    Faults::from(lines.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
