//! What is said of each object, on standard error.

use super::InjectError;
use crate::config::{Faults, Target};
use crate::inject::{Outcome, Skip};

/// Lines for a person, in the order they are said.
#[derive(Debug, Default)]
pub(super) struct Report {
    lines: Vec<String>,
    warnings: Vec<String>,
    /// What keeps anything from being printed.
    pub(super) faults: Faults,
    /// Whether a sidecar is a plain container, or missing, because `native` is false.
    pub(super) plain: bool,
}

/// `deployment/web`, or `pod/?` for one without a name.
pub(super) fn called(target: &Target) -> String {
    let name = match target.name.as_str() {
        "" => "?",
        name => name,
    };
    format!("{}/{name}", target.kind)
}

// === impl Report ===

impl Report {
    /// What was done to an object, or why nothing was.
    pub(super) fn line(&mut self, target: &Target, what: &str) {
        self.lines.push(format!("{}: {what}", called(target)));
    }

    /// What may not be as it was meant.
    pub(super) fn warning(&mut self, of: &str, what: &str) {
        self.warnings.push(format!("warning: {of}: {what}"));
    }

    /// What became of a pod under `inject`.
    pub(super) fn outcome(&mut self, target: &Target, outcome: &Outcome, native: bool) {
        match outcome {
            Outcome::Injected(injection) => {
                let holds = |list: &str| {
                    let items = injection.pod["spec"][list].as_array();
                    let mut items = items.into_iter().flatten();
                    items.any(|container| container["name"] == "attache")
                };
                let how = match (holds("initContainers"), holds("containers")) {
                    (true, _) => "injected (native sidecar)",
                    (_, true) => {
                        self.plain |= !native;
                        "injected (plain container)"
                    }
                    _ => "injected (its command runs under attache exec)",
                };
                self.line(target, how);
                for warning in &injection.warnings {
                    self.warning(&called(target), warning);
                }
            }
            Outcome::Unchanged => self.line(target, "unchanged: it has just this sidecar already"),
            Outcome::Skipped(skip) => {
                self.plain |= *skip == Skip::Endless && !native;
                let more = match skip {
                    Skip::NothingAsked => ", or say --set=configmaps=NAME",
                    _ => "",
                };
                self.line(target, &format!("skipped: {}{more}", skip.reason()));
            }
        }
    }

    /// Says all of it.
    ///
    /// # Errors
    /// If there is a fault.
    pub(super) fn say(&self, say: &mut dyn FnMut(&str)) -> Result<(), InjectError> {
        let faults = self.faults.lines();
        for line in self.lines.iter().chain(&self.warnings).chain(faults) {
            say(line);
        }
        match faults.len() {
            0 => Ok(()),
            count => Err(InjectError::Faults(count)),
        }
    }
}
