//! The command of `attache watch --exec`, run once for a state.
//!
//! It shares attache's process group, output and environment, without what is attache's alone: what
//! a terminal sends to attache it gets, too. When attache ends, a command that runs is left alone.

use std::convert::Infallible;
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};

use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;

use super::model::Shown;
use super::subject::Subject;
use crate::process::{Children, WITHHELD};

/// Runs it.
pub(super) struct Runner<'a> {
    /// The program and its arguments.
    pub(super) argv: &'a [OsString],
    pub(super) subject: &'a Subject<'a>,
    pub(super) children: Children,
}

// === impl Runner ===

impl Runner<'_> {
    /// Runs the command to its end, with a key's bytes, or an object's line, on its standard input.
    ///
    /// # Errors
    /// How it failed.
    pub(super) async fn run(&self, shown: &Shown) -> Result<(), String> {
        let program = self.argv.first().cloned().unwrap_or_default();
        let program = program.to_string_lossy();
        let failed = |error: io::Error| format!("{program} could not be run: {error}");
        let mut child = self
            .children
            .spawn(&mut self.command(shown))
            .map_err(failed)?;
        let stdin = child.stdin.take();
        let stdin = stdin.map(|stdin| pipe::Sender::from_owned_fd(stdin.into()));
        let stdin = stdin.transpose().map_err(failed)?;
        let fed = async {
            if let Some(mut stdin) = stdin {
                // A key's bytes are its own; an object is a line of text.
                let end: &[u8] = if self.subject.key.is_some() {
                    b""
                } else {
                    b"\n"
                };
                // A command that does not read is none the worse for it.
                let _ = stdin.write_all(&[&shown.value, end].concat()).await;
            }
            pending::<Infallible>().await
        };
        let status = tokio::select! {
            biased;
            status = child.ended() => status,
            never = fed => match never {},
        };
        judge(status).map_or(Ok(()), |how| Err(format!("{program} {how}")))
    }

    fn command(&self, shown: &Shown) -> Command {
        let Subject {
            namespace,
            name,
            key,
            ..
        } = self.subject;
        let (program, args) = self.argv.split_first().unzip();
        let mut command = Command::new(program.cloned().unwrap_or_default());
        command
            .args(args.unwrap_or_default())
            .stdin(Stdio::piped())
            .env("ATTACHE_WATCH_NAMESPACE", namespace)
            .env("ATTACHE_WATCH_NAME", name);
        // One that attache has inherited is another's.
        for withheld in WITHHELD {
            command.env_remove(withheld);
        }
        let version = shown.resource_version.as_deref();
        for (variable, value) in [
            ("ATTACHE_WATCH_KEY", *key),
            ("ATTACHE_WATCH_RESOURCE_VERSION", version),
        ] {
            match value {
                Some(value) => command.env(variable, value),
                None => command.env_remove(variable),
            };
        }
        command
    }
}

/// How a command failed; `None` if it did not.
fn judge(status: ExitStatus) -> Option<String> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exited with {code}")),
        (None, Some(signal)) => Some(format!("was ended by signal {signal}")),
        (None, None) => Some(format!("ended: {status}")),
    }
}
