//! The `command` action: runs a program that is told what changed.
//!
//! The program runs in attache's working directory and with its environment, without
//! `ATTACHE_TOKEN`. These are added:
//!
//! | variable | value |
//! |---|---|
//! | `ATTACHE_RULE` | the rule's name, as `onChange[0]` |
//! | `ATTACHE_KIND`, `ATTACHE_NAMESPACE`, `ATTACHE_NAME`, `ATTACHE_RESOURCE_VERSION` | the first changed object's |
//! | `ATTACHE_OBJECTS` | every changed object, one `Kind namespace/name` a line |
//! | `ATTACHE_ADDED`, `ATTACHE_CHANGED`, `ATTACHE_REMOVED` | keys of all changed objects, sorted, one a line |
//!
//! A list longer than 64 KiB is cut after its last whole line, for the kernel takes 128 KiB a
//! variable (execve(2)). Standard input is the JSON that a [`webhook`](super::webhook) gets, whole;
//! a program need not read it. Values are never given.
//!
//! Both outputs are logged by line, within the bounds of [`output`]. They are logged as they are:
//! what must not be in the log must not be printed. The action is over when the program ends; what a
//! process that it left behind prints later is not read.
//!
//! A program that takes longer than `timeout` gets TERM, and after `grace` KILL, with all of its
//! process group. When attache ends, a program that runs is left alone.

mod environment;
pub mod output;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::pin::{Pin, pin};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::time::{Instant, timeout};

use super::{Change, Outcome, payload};
use crate::config::CommandAction;
use crate::process::{Child, Children};
use output::Output;

/// Why a program failed. Its arguments and its output are not shown: they may be secret.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such program.
    #[error(
        "{program} not found, or not the interpreter or loader that it needs: attache's own image \
         holds no other program; give the path of one in a volume that both containers mount, or \
         run the app by attache exec"
    )]
    NotFound {
        /// The program.
        program: String,
    },
    /// It cannot be executed.
    #[error(
        "{program} cannot be executed: {error}: it must be a program for this machine, with the \
         mode to be executed by attache's user, in a volume that is not mounted noexec"
    )]
    NotExecutable {
        /// The program.
        program: String,
        /// The system's answer.
        error: io::Error,
    },
    /// It was not started for another reason.
    #[error("{program} was not started: {error}")]
    NotStarted {
        /// The program.
        program: String,
        /// The system's answer.
        error: io::Error,
    },
    /// It runs, and cannot be talked to; so it was killed.
    #[error("{program} was killed, as its input and output cannot be connected: {error}")]
    Unconnected {
        /// The program.
        program: String,
        /// The system's answer.
        error: io::Error,
    },
    /// It ended with another exit status than 0.
    #[error("{program} exited with {code}: its output is in attache's log")]
    Exit {
        /// The program.
        program: String,
        /// The exit status.
        code: i32,
    },
    /// It was ended by a signal.
    #[error("{program} was ended by signal {signal}")]
    Signal {
        /// The program.
        program: String,
        /// The signal's number.
        signal: i32,
    },
    /// It took too long.
    #[error("{program} took longer than {timeout:?}: {what}; see why, or raise the timeout")]
    Timeout {
        /// The program.
        program: String,
        /// The time it had.
        timeout: Duration,
        /// What became of it.
        what: String,
    },
}

// === impl CommandError ===

impl CommandError {
    /// Whether the program may have acted all the same.
    #[must_use]
    pub fn may_have_reached(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::NotExecutable { .. } | Self::NotStarted { .. } => false,
            Self::Unconnected { .. }
            | Self::Exit { .. }
            | Self::Signal { .. }
            | Self::Timeout { .. } => true,
        }
    }

    fn not_started(program: String, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound { program },
            io::ErrorKind::PermissionDenied => Self::NotExecutable { program, error },
            _ if error.raw_os_error() == Some(NO_EXEC_FORMAT) => {
                Self::NotExecutable { program, error }
            }
            _ => Self::NotStarted { program, error },
        }
    }
}

/// The kernel does not know the file's format: another machine's, or a script without `#!`.
const NO_EXEC_FORMAT: i32 = rustix::io::Errno::NOEXEC.raw_os_error();

/// Runs the program once. Dropped, it leaves the program running.
///
/// # Errors
/// [`CommandError`]
pub async fn run(
    rule: &str,
    action: &CommandAction,
    change: &Change,
    children: &Children,
) -> Result<Outcome, CommandError> {
    let start = Instant::now();
    let program = action.argv.first().cloned().unwrap_or_default();
    let not_started = |error| CommandError::not_started(program.clone(), error);
    let input = payload::json(change).map_err(|error| not_started(error.into()))?;
    let mut command = Command::new(&program);
    command
        .args(action.argv.iter().skip(1))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    environment::set(&mut command, rule, change);
    let mut child = children.spawn(&mut command).map_err(not_started)?;
    let (stdin, mut output) = match connect(rule, &mut child) {
        Ok(connected) => connected,
        Err(error) => {
            // Its leader at least is a child of ours, which may always be killed.
            let _ = child.end_group(Duration::ZERO).await;
            return Err(CommandError::Unconnected { program, error });
        }
    };
    let ended = attend(&mut child, action, stdin, &input, &mut output).await;
    output.finish();
    match ended {
        Ok(status) => judge(program, status, start.elapsed()),
        Err(what) => Err(CommandError::Timeout {
            program,
            timeout: action.timeout,
            what,
        }),
    }
}

fn connect(rule: &str, child: &mut Child) -> io::Result<(Option<pipe::Sender>, Output)> {
    let sender = |stdin: ChildStdin| pipe::Sender::from_owned_fd(stdin.into());
    let stdin = child.stdin.take().map(sender).transpose()?;
    let receiver = |file: OwnedFd| pipe::Receiver::from_owned_fd(file);
    let stdout = child.stdout.take().map(OwnedFd::from);
    let stderr = child.stderr.take().map(OwnedFd::from);
    let stdout = stdout.map(receiver).transpose()?;
    let stderr = stderr.map(receiver).transpose()?;
    Ok((stdin, Output::new(rule, stdout, stderr)))
}

/// Feeds the program, reads what it prints and waits for its end; if that takes too long, ends it
/// and says what became of it.
async fn attend(
    child: &mut Child,
    action: &CommandAction,
    stdin: Option<pipe::Sender>,
    input: &[u8],
    output: &mut Output,
) -> Result<ExitStatus, String> {
    let mut talk = pin!(async {
        tokio::join!(feed(stdin, input), output.follow());
        pending::<Infallible>().await
    });
    let ended = timeout(action.timeout, child.ended());
    if let Ok(status) = meanwhile(talk.as_mut(), ended).await {
        return Ok(status);
    }
    let grace = action.grace;
    match meanwhile(talk, child.end_group(grace)).await {
        Ok(()) => Err(format!(
            "its process group got SIGTERM, and SIGKILL if any was left after {grace:?}"
        )),
        Err(error) => Err(format!("it runs on, for it cannot be ended: {error}")),
    }
}

/// Goes on with the talk, which has no end, until the work is done.
async fn meanwhile<T>(
    talk: Pin<&mut impl Future<Output = Infallible>>,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        biased;
        done = work => done,
        never = talk => match never {},
    }
}

/// A program that does not read, or ends before it has, is none the worse for it.
async fn feed(stdin: Option<pipe::Sender>, input: &[u8]) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(input).await;
    }
}

fn judge(program: String, status: ExitStatus, took: Duration) -> Result<Outcome, CommandError> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(Outcome::Done(format!(
            "{program} exited with 0 in {:.3} s",
            took.as_secs_f64()
        ))),
        (_, Some(signal)) => Err(CommandError::Signal { program, signal }),
        (code, None) => Err(CommandError::Exit {
            program,
            code: code.unwrap_or_default(),
        }),
    }
}

#[cfg(test)]
mod tests;
