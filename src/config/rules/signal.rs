//! `signal`, and how any action finds processes.

use super::super::errors::Faults;
use super::super::glob::Glob;
use super::super::model::{ProcessMatch, Signal, SignalAction};
use super::super::yaml::{Fields, Node, Value};
use super::super::{signals, units};

/// The keys by which processes are found.
pub(super) const TARGETS: [&str; 3] = ["process", "cmdline", "pidfile"];

/// Reads `signal`: an executable's name, or a mapping.
pub(super) fn signal(node: &Node, faults: &mut Faults) -> Option<SignalAction> {
    if let Value::Text(_) = node.value {
        let name = node.read("a process name", process_name, faults)?;
        return Some(SignalAction {
            target: ProcessMatch::Name(name),
            signal: hang_up(),
        });
    }
    let fields = node.fields(&[&TARGETS[..], &["signal"]].concat(), faults)?;
    let found = target(&fields, faults);
    if !matches!(found, Target::One(_)) {
        faults.add(
            &node.at,
            "say whom to signal by one of process: NAME, cmdline: GLOB or pidfile: PATH",
        );
    }
    let signal = match fields.get("signal") {
        Some(node) => node.read("a signal's name or number", signals::signal, faults),
        None => Some(hang_up()),
    };
    match found {
        Target::One(Some(target)) => Some(SignalAction {
            target,
            signal: signal?,
        }),
        _ => None,
    }
}

/// What the keys of [`TARGETS`] say.
pub(super) enum Target {
    /// Nothing.
    None,
    /// One of them is there; what it holds may be a fault.
    One(Option<ProcessMatch>),
    /// Several are.
    Several,
}

/// Reads the keys of [`TARGETS`], which of them belong together left to the caller.
pub(super) fn target(fields: &Fields<'_>, faults: &mut Faults) -> Target {
    let mut targets = Vec::new();
    if let Some(node) = fields.get("process") {
        let name = node.read("a process name", process_name, faults);
        targets.push(name.map(ProcessMatch::Name));
    }
    if let Some(node) = fields.get("cmdline") {
        let glob = node.read("a glob", Glob::new, faults);
        targets.push(glob.map(ProcessMatch::Cmdline));
    }
    if let Some(node) = fields.get("pidfile") {
        let path = node.read("a path", units::path, faults);
        targets.push(path.map(ProcessMatch::Pidfile));
    }
    match targets.pop() {
        None => Target::None,
        Some(target) if targets.is_empty() => Target::One(target),
        Some(_) => Target::Several,
    }
}

/// HUP, by which daemons have always been told to read their configuration again.
fn hang_up() -> Signal {
    Signal {
        number: 1,
        name: "HUP".to_owned(),
    }
}

fn process_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('/') {
        return Err(format!(
            "{text:?} is not an executable's name: give the file's name without directories, as nginx, or use cmdline"
        ));
    }
    Ok(text.to_owned())
}
