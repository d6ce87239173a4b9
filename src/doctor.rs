//! `attache doctor`: what keeps attache from working, and how to mend it.
//!
//! It looks [`here`], at the attache beside it, or at a [`cluster`] from outside. Each check is a small
//! function that returns findings, and takes what was read before: `fit` (a pod's spec), `access`
//! (rights), `named` (objects and keys), `webhook`, `carry` (which pods have an attache), `credentials`,
//! `directories`, `port`, `versions`.

use std::io::Write;

use crate::config::Doctor;

mod access;
mod api;
mod carry;
mod cluster;
mod credentials;
mod directories;
mod expansion;
mod findings;
mod fit;
mod here;
mod named;
mod pod;
mod port;
mod running;
mod targets;
mod versions;
mod webhook;

use findings::Findings;

/// How bad it is; the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// All is well: 0.
    Fine,
    /// It works, and may not as it was meant: 0.
    Warning,
    /// It could not be found out, and nothing worse was found: 2.
    Unknown,
    /// Something does not work: 1.
    Error,
}

/// Looks at what `doctor` names, and prints a finding a line, the worst first, to `out`.
///
/// # Errors
/// `out` fails.
pub async fn examine(doctor: &Doctor, out: &mut impl Write) -> std::io::Result<Severity> {
    let mut findings = Findings::default();
    let is_here = match &doctor.here {
        Some(here) => here::examine(here, &doctor.cluster.connection, &mut findings).await,
        None => false,
    };
    if !is_here {
        cluster::examine(&doctor.cluster, &mut findings).await;
    }
    findings.print(out)?;
    Ok(findings.severity())
}

// === impl Severity ===

impl Severity {
    /// The exit code.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Fine | Self::Warning => 0,
            Self::Error => 1,
            Self::Unknown => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::app::config_from;
    use crate::config::Config;

    /// The configuration of `attache run` with these arguments.
    pub(super) fn config(args: &[&str]) -> Config {
        config_from(["attache", "run"].into_iter().chain(args.iter().copied())).unwrap()
    }
}
