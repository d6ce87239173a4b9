//! `attache doctor`: what keeps attache from working, and how to mend it.

use std::io::Write;

use crate::config::Doctor;

/// How bad it is; the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// All is well: 0.
    Fine,
    /// It works, and may not as it was meant: 0.
    Warning,
    /// Something does not work: 1.
    Error,
    /// It could not be found out: 2.
    Unknown,
}

/// Looks at what `doctor` names, and prints a finding a line, the worst first, to `out`.
///
/// # Errors
/// Standard output is closed.
pub async fn examine(doctor: &Doctor, out: &mut impl Write) -> std::io::Result<Severity> {
    let _ = (doctor, out);
    Ok(Severity::Fine)
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
