//! Programs that attache starts, and the only place where anything is reaped.
//!
//! One reaper handles SIGCHLD. A program that was started here is waited for by its process ID, and
//! its status goes to whoever holds the [`Child`]. What else ends are orphans, which the kernel
//! gives to PID 1 or to a subreaper; [`Orphans`] says what becomes of them, because others
//! start programs of their own: an `exec` plugin of a kubeconfig is one, and its status must be left
//! to who runs it. Where no orphans come, nothing but the programs started here is reaped.

mod registry;

use std::io;
use std::os::fd::OwnedFd;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, kill_process_group, pidfd_open, pidfd_send_signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout, timeout_at};

use super::handle;
use crate::config::Signal;
use registry::Registry;

/// How often a group whose leader has ended is looked at.
const GROUP_POLL: Duration = Duration::from_millis(50);

/// How long a process that got KILL may take to be gone.
pub(super) const KILLED: Duration = Duration::from_secs(5);

/// What becomes of processes that end as children of this one and that [`Children`] did not start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orphans {
    /// They are reaped at once. Only where nothing else in this process starts programs: it would
    /// lose their status, and std's `wait` fails.
    AtOnce,
    /// They are reaped once they have been left for at least a second, which those who wait for
    /// their own programs do not do.
    #[default]
    Unclaimed,
}

/// Starts programs and knows when they end; cheap to clone. No program's end is known, and none is
/// reaped, unless [`Children::reap`] runs.
#[derive(Clone, Debug, Default)]
pub struct Children {
    registry: Arc<Mutex<Registry>>,
}

/// A program that runs. Dropping it leaves it running; it is reaped all the same.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    /// Names this process for good, also when its number is another's.
    handle: OwnedFd,
    status: watch::Receiver<Option<ExitStatus>>,
    /// Its standard input, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// Its standard output, if that is a pipe.
    pub stdout: Option<ChildStdout>,
    /// Its standard error, if that is a pipe.
    pub stderr: Option<ChildStderr>,
    children: Children,
}

/// Keeps the leader of a group from being reaped, and so its number from being another group's.
struct Held<'a>(&'a Child);

// === impl Children ===

impl Children {
    /// Makes the one that starts and reaps programs in this process; there must not be another.
    #[must_use]
    pub fn new(orphans: Orphans) -> Self {
        Self {
            registry: Arc::new(Mutex::new(Registry::new(orphans))),
        }
    }

    /// From now on the orphans among all descendants come to this process, as they do to PID 1
    /// (PR_SET_CHILD_SUBREAPER(2const)).
    ///
    /// # Errors
    /// The system's.
    pub fn become_subreaper(&self) -> io::Result<()> {
        let own = rustix::process::getpid();
        rustix::process::set_child_subreaper(Some(own))?;
        self.registry().adopts = true;
        Ok(())
    }

    /// Starts `command`. It is reaped once it ends, whoever waits for it or not.
    ///
    /// # Errors
    /// The system's. Then nothing runs.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        // Held until the child is known: nobody reaps in between, neither it nor the process that
        // std forks and waits for itself when the program cannot be executed.
        let mut registry = self.registry();
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(error) => {
                // Nobody could end it otherwise.
                child.kill()?;
                child.wait()?;
                return Err(error.into());
            }
        };
        Ok(Child {
            pid,
            handle,
            status: registry.register(pid),
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            children: self.clone(),
        })
    }

    /// Reaps until the process ends: the programs, and whatever orphans come to this process.
    ///
    /// # Errors
    /// The system's, when SIGCHLD cannot be handled.
    pub async fn reap(self) -> io::Result<std::convert::Infallible> {
        let mut ended = signal(SignalKind::child())?;
        loop {
            let again = self.registry().collect(Instant::now());
            let Some(again) = again else {
                ended.recv().await;
                continue;
            };
            tokio::select! {
                _ = ended.recv() => {}
                () = sleep_until(again) => {}
            }
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Child ===

impl Child {
    /// Its process ID.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Waits until it has ended; its status, also when asked again.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = self.status.wait_for(Option::is_some).await;
        match ended.ok().and_then(|status| *status) {
            Some(status) => status,
            // Only the registry tells, and it lives as long as this does.
            None => std::future::pending().await,
        }
    }

    /// Sends a signal to it alone; nothing happens if it has ended.
    ///
    /// # Errors
    /// The system's.
    pub fn signal(&self, signal: &Signal) -> io::Result<()> {
        unless_gone(pidfd_send_signal(&self.handle, named(signal)?))
    }

    /// Kills it alone; nothing happens if it has ended.
    ///
    /// # Errors
    /// The system's.
    pub fn kill(&self) -> io::Result<()> {
        let kill = rustix::process::Signal::KILL;
        unless_gone(pidfd_send_signal(&self.handle, kill))
    }

    /// Sends a signal to all of its process group, which it must lead; nothing happens once it has
    /// been reaped, since the group's number may then be another's.
    ///
    /// # Errors
    /// The system's.
    pub fn signal_group(&self, signal: &Signal) -> io::Result<()> {
        self.send_group(named(signal)?)
    }

    /// Has what is left of its process group, which it must lead, killed once it has ended. Until
    /// then, no orphans are reaped that would be [at once](Orphans::AtOnce).
    pub fn take_group(&self) {
        self.children.registry().take_group(self.pid);
    }

    /// Ends its process group, which it must lead: TERM, and KILL for those who are left after
    /// `grace`. Returns once none is left, or has been killed; at once if it was reaped before.
    /// Dropped on the way, it sends no more.
    ///
    /// # Errors
    /// The system's, or that it is still there long after KILL.
    pub async fn end_group(&mut self, grace: Duration) -> io::Result<()> {
        let Some(held) = Held::new(self) else {
            return Ok(());
        };
        let child = held.0;
        let deadline = Instant::now() + grace;
        child.send_group(rustix::process::Signal::TERM)?;
        if let Ok(ended) = timeout_at(deadline, child.group_ended()).await {
            return ended;
        }
        child.send_group(rustix::process::Signal::KILL)?;
        match timeout(KILLED, handle::ended(&child.handle)).await {
            Ok(ended) => ended,
            Err(_) => Err(io::Error::other(
                "it is still there after SIGKILL, and waits for a disk or a network file system",
            )),
        }
    }

    /// Waits until it and all of its group have ended. It is not reaped before that.
    async fn group_ended(&self) -> io::Result<()> {
        handle::ended(&self.handle).await?;
        let mut ask = interval(GROUP_POLL);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while registry::group_lives(self.id()) {
            ask.tick().await;
        }
        Ok(())
    }

    fn send_group(&self, signal: rustix::process::Signal) -> io::Result<()> {
        let registry = self.children.registry();
        if !registry.has(self.pid) {
            return Ok(());
        }
        unless_gone(kill_process_group(self.pid, signal))
    }
}

// === impl Held ===

impl<'a> Held<'a> {
    /// `None` if it has been reaped.
    fn new(child: &'a Child) -> Option<Self> {
        let held = child.children.registry().hold(child.pid, true);
        held.then_some(Self(child))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut registry = self.0.children.registry();
        registry.hold(self.0.pid, false);
        // Its SIGCHLD may have come and gone; the reaper learns of a later one by itself.
        registry.collect(Instant::now());
    }
}

fn named(signal: &Signal) -> io::Result<rustix::process::Signal> {
    rustix::process::Signal::from_named_raw(signal.number).ok_or_else(|| {
        let what = format!("signal {} is not one of Linux' named ones", signal.number);
        io::Error::new(io::ErrorKind::InvalidInput, what)
    })
}

fn unless_gone(sent: Result<(), Errno>) -> io::Result<()> {
    match sent {
        Err(Errno::SRCH) => Ok(()),
        sent => Ok(sent?),
    }
}

#[cfg(test)]
mod tests;
