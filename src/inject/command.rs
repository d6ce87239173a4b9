//! `attache inject` and `attache uninject`: streams of objects in YAML or JSON.

mod resolve;
mod yaml;

use std::io::{Read, Write};

use crate::config::{Inject, Uninject};

/// Why a command failed; exit code 1.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
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
    let _ = (inject, native, stdin, out, say);
    Ok(())
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
    let _ = (uninject, stdin, out, say);
    Ok(())
}
