//! `attache exec`: a command whose environment comes from keys.
//!
//! ```text
//! Reader ─► sources ─► env ─► plan ─► driver ─► program (one at a time)
//!                              ▲         ▲
//!                          schedule   signals
//! ```
//!
//! Level-triggered: the environment that the newest content makes is compared with the one that the
//! command has. `sources` keeps what the objects hold, `env` makes variables of it, `plan` decides
//! when the command is started, stopped or told, `program` is the process, `signals` what attache
//! gets in its stead, and `driver` brings them together.

mod driver;
mod env;
mod plan;
mod program;
mod signals;
mod sources;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::{Exec, Settle, Signal};
use crate::metrics::Metrics;
use crate::process::Children;
use crate::react::Names;
use crate::readiness::Readiness;
use crate::shutdown::Shutdown;
use crate::status::Board;
use crate::store::Reader;
use driver::Driver;
use program::Program;
pub use signals::Signals;
use sources::Sources;

/// What the command depends on.
pub struct Inputs {
    /// Where content comes from.
    pub reader: Reader,
    /// The command is not started before attache is ready.
    pub readiness: Readiness,
    /// Where problems and restarts are told.
    pub board: Board,
    /// Where restarts are counted.
    pub metrics: Metrics,
    /// Names objects in the default namespace.
    pub names: Names,
    /// The settle times, if the command has none of its own.
    pub settle: Settle,
    /// Starts the command; its reaper must run.
    pub children: Children,
    /// attache's own environment.
    pub environment: Vec<(OsString, OsString)>,
    /// What attache is told by signals, handled since its start.
    pub signals: Signals,
    /// Ends the command as SIGTERM does.
    pub shutdown: Shutdown,
}

/// attache ends because the command did, or because it was told to before there was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The exit code that attache ends with: the command's own, or 128+n for signal n.
    pub code: u8,
}

/// Why the command was not started. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// There is nothing to start.
    #[error("no command: give one after --")]
    NoCommand,
    /// What its environment comes from was not there in time.
    #[error(
        "the command was not started: not there within {waited:?}: {}; {hint}",
        missing.join("; ")
    )]
    Missing {
        /// How long it was waited for.
        waited: Duration,
        /// What is missing, each with a reason.
        missing: Vec<String>,
        /// What to do.
        hint: &'static str,
    },
    /// There is no such program.
    #[error(
        "{program}: not found: give its path, or a name in a directory of PATH; if the file is \
         there, the interpreter in its first line or its dynamic loader is not"
    )]
    NotFound {
        /// As it was given.
        program: String,
    },
    /// The system does not execute it.
    #[error("{program}: cannot be executed ({source}): {hint}")]
    NotExecutable {
        /// As it was given.
        program: String,
        /// The system's answer.
        source: io::Error,
        /// What to do.
        hint: &'static str,
    },
}

// === impl Ended ===

impl Ended {
    fn by(signal: &Signal) -> Self {
        let code = 128 + signal.number;
        Self {
            code: u8::try_from(code).unwrap_or(u8::MAX),
        }
    }
}

// === impl ExecError ===

impl ExecError {
    fn start(program: &OsStr, source: io::Error) -> Self {
        let program = program.to_string_lossy().into_owned();
        let hint = match source.kind() {
            io::ErrorKind::NotFound => return Self::NotFound { program },
            io::ErrorKind::PermissionDenied => {
                "it must be a file with the executable bit, on a volume that is not mounted noexec"
            }
            io::ErrorKind::ArgumentListTooLong => {
                "its environment and arguments are too large together: name fewer or smaller objects, or have them written as files"
            }
            _ if source.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
                "a script needs a first line such as #!/bin/sh, and a binary must be for this machine's architecture"
            }
            _ => "see to the cause and start attache again",
        };
        Self::NotExecutable {
            program,
            source,
            hint,
        }
    }

    /// The code that attache exits with: 127 for a program that is not found and 126 for one that
    /// cannot be executed, as shells do (POSIX, XCU 2.8.2); else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 127,
            Self::NotExecutable { .. } => 126,
            Self::NoCommand | Self::Missing { .. } => 1,
        }
    }
}

/// Runs the command until it ends for good: by itself, or because attache is asked to end. It is
/// started once attache is ready and every object is there that is not optional.
///
/// # Errors
/// [`ExecError`]: it was not started.
pub async fn run(exec: Exec, mut inputs: Inputs) -> Result<Ended, ExecError> {
    let environment = std::mem::take(&mut inputs.environment);
    let program = Program::new(exec.argv.clone(), environment, inputs.children.clone());
    let kept = if exec.environment_wins {
        program.inherited()
    } else {
        BTreeSet::new()
    };
    let mut sources = Sources::new(&exec.env_from, &inputs.names, kept);
    if let Some(ended) = wait(&exec, &mut inputs, &mut sources).await? {
        return Ok(ended);
    }
    Driver::new(exec, program, sources, &inputs)
        .run(inputs)
        .await
}

/// Waits until the command can be started; `Some` if attache is asked to end before that.
async fn wait(
    exec: &Exec,
    inputs: &mut Inputs,
    sources: &mut Sources,
) -> Result<Option<Ended>, ExecError> {
    let Inputs {
        reader,
        readiness,
        signals,
        shutdown,
        ..
    } = inputs;
    if let Err(pending) = readiness.check() {
        info!(?pending, "the command is started once attache is ready");
    }
    let there = async {
        readiness.ready().await;
        loop {
            sources.observe(&reader.snapshot());
            if sources.complete() {
                return;
            }
            if reader.changed().await.is_none() {
                // Nothing more comes.
                std::future::pending().await
            }
        }
    };
    let timeout = async {
        match exec.wait_timeout {
            Some(timeout) => sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = there => Ok(None),
        ended = signals.end() => Ok(Some(ended)),
        () = shutdown.requested() => Ok(Some(Ended::by(&signals::term()))),
        () = timeout => late(exec, inputs, sources).map(|()| None),
    }
}

/// The wait is over: whether the command can be started all the same.
fn late(exec: &Exec, inputs: &Inputs, sources: &mut Sources) -> Result<(), ExecError> {
    let snapshot = inputs.reader.snapshot();
    sources.observe(&snapshot);
    let pending = inputs.readiness.check().err().unwrap_or_default();
    if exec.stale_ok && sources.complete() {
        warn!(
            ?pending,
            "not read in time: the command is started with restored content, as --stale-ok says"
        );
        return Ok(());
    }
    let hint = if sources.complete() {
        "see to what is missing, as the log says, raise --wait-timeout, or start with the content of --state-dir by --stale-ok"
    } else {
        "create what is missing or let attache read it, mark it as optional (NAME,optional), or raise --wait-timeout"
    };
    let mut missing = sources.missing(&snapshot);
    // The same object, in readiness' words.
    let named = |pending: &&Arc<str>| {
        let subject = format!("{pending} ");
        missing.iter().any(|reason| reason.starts_with(&subject))
    };
    let others = pending.iter().filter(|pending| !named(pending));
    let others: Vec<String> = others.map(|name| format!("{name} (not ready)")).collect();
    missing.extend(others);
    Err(ExecError::Missing {
        waited: exec.wait_timeout.unwrap_or_default(),
        missing,
        hint,
    })
}

#[cfg(test)]
mod tests;
