//! The command as a process: how it is started, signalled and ended.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus};

use procfs::process::Process;
use rustix::process::{Pid, Resource, getpgid, getpgrp, getrlimit};

use super::ExecError;
use super::env::Variables;
use crate::config::Signal;
use crate::process::{Child, Children, Dispositions, WITHHELD};

/// What the kernel puts beside arguments and environment, generously.
const BESIDE: usize = 16 << 10;
/// The kernel gives them at least so much (`ARG_MAX`), and at most this, whatever the stack's limit
/// (execve(2), "Limits on size of arguments and environment").
const LEAST_ROOM: usize = 128 << 10;
const MOST_ROOM: usize = 6 << 20;

/// The command, as it can be started again and again.
#[derive(Debug)]
pub(super) struct Program {
    argv: Vec<OsString>,
    inherited: Vec<(OsString, OsString)>,
    /// attache is in the foreground of the terminal that is its stdin.
    terminal: bool,
    children: Children,
}

/// The command while it runs.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    terminal: bool,
}

// === impl Program ===

impl Program {
    /// `environment` is attache's own.
    pub(super) fn new(
        argv: Vec<OsString>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        children: Children,
    ) -> Self {
        let environment = environment.into_iter();
        Self {
            argv,
            inherited: environment
                .filter(|(name, _)| WITHHELD.iter().all(|own| name != own))
                .collect(),
            terminal: in_foreground(),
            children,
        }
    }

    /// The names that attache's environment gives the command.
    pub(super) fn inherited(&self) -> BTreeSet<OsString> {
        let mut names = BTreeSet::new();
        names.extend(self.inherited.iter().map(|(name, _)| name.clone()));
        names
    }

    /// How many bytes are left beside its arguments and environment; `None` if the kernel would
    /// refuse to start it for their size.
    pub(super) fn room(&self, variables: &Variables) -> Option<usize> {
        let pointer = size_of::<usize>();
        let of = |name: &OsStr, value: &OsStr| name.len() + value.len() + 2 + pointer;
        let argv = self.argv.iter().map(|arg| arg.len() + 1 + pointer);
        let inherited = self.inherited.iter().map(|(name, value)| of(name, value));
        let given = variables
            .iter()
            .map(|(name, value)| of(name.as_ref(), value));
        let used: usize = argv.chain(inherited).chain(given).sum();
        let stack = getrlimit(Resource::Stack).current.unwrap_or(u64::MAX);
        let room = usize::try_from(stack / 4).unwrap_or(usize::MAX);
        room.clamp(LEAST_ROOM, MOST_ROOM).checked_sub(used + BESIDE)
    }

    /// Starts it with attache's environment under `variables`.
    pub(super) fn start(&self, variables: &Variables) -> Result<Running, ExecError> {
        let (program, args) = self.argv.split_first().ok_or(ExecError::NoCommand)?;
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(self.inherited.iter().map(|(name, value)| (name, value)))
            .envs(variables.iter());
        // In a terminal, a process group of its own would be in the background: only the foreground
        // group reads from it and gets its Ctrl-C.
        if !self.terminal {
            command.process_group(0);
        }
        let child = self.children.spawn(&mut command);
        let child = child.map_err(|error| ExecError::start(program, error))?;
        Ok(Running {
            child,
            terminal: self.terminal,
        })
    }
}

/// Whether stdin is a terminal, and attache in its foreground process group.
fn in_foreground() -> bool {
    let stat = || Process::myself().and_then(|process| process.stat());
    io::stdin().is_terminal() && stat().is_ok_and(|stat| stat.tpgid == stat.pgrp)
}

// === impl Running ===

impl Running {
    pub(super) fn id(&self) -> i32 {
        self.child.id()
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        self.child.ended().await
    }

    /// Asks it to end by `signal`. What it started and leaves behind in its process group is killed
    /// then, so that nothing of it runs beside its successor.
    pub(super) fn stop(&self, signal: &Signal) -> io::Result<()> {
        if !self.terminal {
            self.child.take_group();
        }
        self.child.signal(signal)
    }

    pub(super) fn signal(&self, signal: &Signal) -> io::Result<()> {
        self.child.signal(signal)
    }

    /// Ends it, with all of its process group if it leads one.
    pub(super) fn kill(&self) -> io::Result<()> {
        if self.terminal {
            return self.child.kill();
        }
        self.child.signal_group(&Signal {
            number: rustix::process::Signal::KILL.as_raw(),
            name: "KILL".to_owned(),
        })
    }

    /// Whether the signal cannot end it: it catches it, or the default does not end a process. One
    /// that is gone survives everything.
    pub(super) fn survives(&self, signal: &Signal) -> bool {
        let read = Process::new(self.id()).and_then(|process| Dispositions::of(&process));
        let signal = rustix::process::Signal::from_named_raw(signal.number);
        read.map_or(true, |read| {
            signal.is_some_and(|signal| read.survives(signal))
        })
    }

    /// Whether what the terminal sends to attache reaches the command without it: while they share
    /// a process group. A shell with job control has made one of its own.
    pub(super) fn shares_terminal(&self) -> bool {
        let group = || getpgid(Pid::from_raw(self.id()));
        self.terminal && group().is_ok_and(|group| group == getpgrp())
    }
}

/// The exit code that stands for how a process ended: its own, or 128+n for a signal.
pub(super) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_attache_alone_is_not_inherited() {
        let environment = ["ATTACHE_TOKEN", "FAILPOINT", "ATTACHE_PORT", "HOME"];
        let environment = environment.map(|name| (OsString::from(name), OsString::new()));
        let program = Program::new(vec!["app".into()], environment, Children::default());
        let inherited: Vec<OsString> = program.inherited().into_iter().collect();
        assert_eq!(inherited, ["ATTACHE_PORT", "HOME"]);
    }

    /// What has room by our count is started by the kernel, and what it refuses has none.
    #[tokio::test]
    async fn room_is_what_the_kernel_gives() {
        let program = Program::new(vec!["/bin/true".into()], [], Children::default());
        let with = |count: usize| -> Variables {
            let variables = (0..count).map(|n| (format!("V{n}"), "x".repeat(100_000).into()));
            variables.collect()
        };
        let most = (0..100)
            .take_while(|count| program.room(&with(*count)).is_some())
            .count()
            - 1;
        assert!(most > 0);
        program.start(&with(most)).unwrap();
        // The margin is less than one more such variable.
        let error = program.start(&with(most + 1)).unwrap_err();
        assert_eq!(error.exit_code(), 126);
    }

    #[test]
    fn exit_codes_are_those_of_shells() {
        for (status, code) in [(0, 0), (3 << 8, 3), (255 << 8, 255), (9, 137), (15, 143)] {
            assert_eq!(exit_code(ExitStatus::from_raw(status)), code);
        }
    }
}
