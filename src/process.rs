//! Other processes of the pod: found through /proc, signalled by pidfd.
//!
//! Processes are found afresh each time, and only those whose parent does not match: a master, not
//! its workers. A process is opened by pidfd, matched again, so that a recycled PID is never hit,
//! and signalled only if that cannot end it by the signal's default. [`stop`] is for what is meant to
//! end. Programs that attache starts itself are [`Children`].

mod children;
mod dispositions;
mod find;
mod handle;
mod look;
mod stop;

use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use procfs::process::Process;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::config::{ProcessMatch, SignalAction};
pub use children::{Child, Children, Orphans};
pub(crate) use dispositions::Dispositions;
use find::Candidate;
pub use look::{Running, attaches, rehearse};
pub use stop::{Instance, Older, StopError, Stopped, stop};

/// The inode of the PID namespace that the kernel boots with (`PROC_PID_INIT_INO` in Linux'
/// `include/linux/proc_ns.h`).
const HOST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Variables of attache's own environment that are no program's business: a secret, and a switch of
/// tests.
pub const WITHHELD: [&str; 2] = ["ATTACHE_TOKEN", "FAILPOINT"];

/// A process that a rule matches. Displays as `nginx (PID 7)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The process ID, in attache's PID namespace.
    pub pid: i32,
    /// The name of its executable.
    pub name: String,
}

/// What became of every process that matched.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Signalled {
    /// Those that got the signal.
    pub sent: Vec<Found>,
    /// Those that started after the content was there, and so have read it already.
    pub current: Vec<Found>,
    /// Those of other users, which may not be signalled: where any other one had the signal, they are
    /// another container's.
    pub foreign: Vec<Found>,
}

/// Why a signal did not reach a process. The message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// Nothing matches.
    #[error(
        "no process found {looked_for} (attache sees {seen}): check that the app runs, and set \
         shareProcessNamespace: true in the pod's spec"
    )]
    NotFound {
        /// What was looked for.
        looked_for: String,
        /// The processes that attache sees.
        seen: String,
    },
    /// The pidfile names no process.
    #[error("pidfile {}: {reason}", path.display())]
    Pidfile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The signal would end the process.
    #[error(
        "{process} does not catch SIG{signal}, whose default would end it, so it was not sent: \
         either the app is still starting, or it reloads upon another signal"
    )]
    NotCaught {
        /// The process.
        process: Found,
        /// The signal's name.
        signal: String,
    },
    /// The kernel forbids it.
    #[error(
        "not permitted to signal {process}, which runs as UID {theirs} and attache as UID {ours}: \
         give both containers the same runAsUser, or attache runAsUser: 0 with the KILL capability \
         (which does nothing for a non-root user){also}"
    )]
    NotPermitted {
        /// The process.
        process: Found,
        /// Its user.
        theirs: u32,
        /// Our user.
        ours: u32,
        /// What else may be the cause; empty where the UIDs differ.
        also: &'static str,
    },
    /// The kernel or /proc answered with something else.
    #[error("{process}: {error}")]
    Failed {
        /// The process.
        process: Found,
        /// The system's answer.
        error: String,
    },
    /// Some processes had the signal, and one did not.
    #[error("{error}; {} had the signal and will get it again", names(sent))]
    Partly {
        /// Those that had it.
        sent: Vec<Found>,
        /// Why the first of the others did not.
        error: Box<SignalError>,
    },
    /// Not one of Linux' named signals.
    #[error("signal {0} is not one of Linux' named signals: name another in the rule")]
    Unsupported(i32),
}

// === impl Found ===

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (PID {})", self.name, self.pid)
    }
}

/// The processes in one line, separated by commas.
#[must_use]
pub fn names(processes: &[Found]) -> String {
    let names: Vec<String> = processes.iter().map(Found::to_string).collect();
    names.join(", ")
}

/// Whether attache shares the node's PID namespace (`hostPID: true`), where a rule could match
/// processes of other pods.
#[must_use]
pub fn in_host_pid_namespace() -> bool {
    std::fs::metadata("/proc/self/ns/pid").is_ok_and(|m| m.ino() == HOST_PID_NAMESPACE)
}

/// Signals every process that `action` matches, except those that started after `since`, the moment
/// from which a starting process could read the new content. Never attache itself. Processes of another
/// user are an error only if it reached no other one: it must not come again and again for their sake.
///
/// # Errors
/// [`SignalError`]: the first, after all other processes have had their signal.
pub fn signal(action: &SignalAction, since: Instant) -> Result<Signalled, SignalError> {
    let signal = Signal::from_named_raw(action.signal.number)
        .ok_or(SignalError::Unsupported(action.signal.number))?;
    let mut report = Signalled::default();
    let (mut error, mut forbidden) = (None, None);
    for candidate in find::find(&action.target)? {
        let process = candidate.found();
        if started_after(candidate.start, since) {
            report.current.push(process);
            continue;
        }
        match send(action, signal, &candidate) {
            Ok(true) => report.sent.push(process),
            Ok(false) => {}
            Err(failed @ SignalError::NotPermitted { theirs, ours, .. }) if theirs != ours => {
                report.foreign.push(process);
                forbidden = forbidden.or(Some(failed));
            }
            Err(failed) => error = error.or(Some(failed)),
        }
    }
    if report.sent.is_empty() && report.current.is_empty() {
        error = error.or(forbidden);
    }
    match error {
        Some(error) if report.sent.is_empty() => Err(error),
        Some(error) => Err(SignalError::Partly {
            sent: report.sent,
            error: Box::new(error),
        }),
        None if report == Signalled::default() => Err(find::not_found(&action.target)),
        None => Ok(report),
    }
}

/// A process that was found, matched again after it was opened.
#[derive(Debug)]
struct Opened {
    process: Found,
    handle: OwnedFd,
    dispositions: Dispositions,
}

// === impl Opened ===

impl Opened {
    /// `None` if the process went, or became another, in the meantime.
    fn new(candidate: &Candidate, target: &ProcessMatch) -> Result<Option<Self>, SignalError> {
        let process = candidate.found();
        let failed = |error: &dyn fmt::Display| SignalError::Failed {
            process: process.clone(),
            error: error.to_string(),
        };
        let Some(pid) = Pid::from_raw(candidate.pid) else {
            return Ok(None);
        };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(failed(&format_args!("pidfd_open: {error}"))),
        };
        // The PID may have changed hands before it was opened.
        let again = Candidate::read(candidate.pid);
        if !again.is_some_and(|now| now.start == candidate.start && now.matches(target)) {
            return Ok(None);
        }
        match Process::new(candidate.pid).and_then(|p| Dispositions::of(&p)) {
            Ok(dispositions) => Ok(Some(Self {
                process,
                handle,
                dispositions,
            })),
            Err(procfs::ProcError::NotFound(_)) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Sends the signal; `false` if the process went in the meantime.
    fn send(&self, signal: Signal) -> Result<bool, SignalError> {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// What the kernel's answer to a signal means.
    fn refused(&self, error: Errno) -> SignalError {
        let process = self.process.clone();
        if !matches!(error, Errno::PERM | Errno::ACCESS) {
            return SignalError::Failed {
                process,
                error: format!("cannot be signalled: {error}"),
            };
        }
        let ours = rustix::process::geteuid().as_raw();
        SignalError::NotPermitted {
            process,
            theirs: self.dispositions.uid,
            ours,
            also: if self.dispositions.uid == ours {
                "; the UIDs being the same, a seccomp, AppArmor or SELinux profile forbids it"
            } else {
                ""
            },
        }
    }
}

/// Sends the signal; `false` if the process went, or became another, in the meantime.
fn send(action: &SignalAction, signal: Signal, candidate: &Candidate) -> Result<bool, SignalError> {
    let Some(opened) = Opened::new(candidate, &action.target)? else {
        return Ok(false);
    };
    if !opened.dispositions.survives(signal) {
        return Err(SignalError::NotCaught {
            process: opened.process,
            signal: action.signal.name.clone(),
        });
    }
    opened.send(signal)
}

/// Whether a process that started at `start`, in clock ticks since boot (proc_pid_stat(5)), did so
/// after `since`. In doubt, it did not: a signal too many does less harm than one too few.
fn started_after(start: u64, since: Instant) -> bool {
    let rate = procfs::ticks_per_second().max(1);
    // Read before the process' age, so that the time between the two makes the process older.
    let content_age = since.elapsed();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = Duration::try_from(now).unwrap_or_default();
    let ticks = |n: u64| {
        Duration::from_secs(n / rate) + Duration::from_nanos(n % rate * 1_000_000_000 / rate)
    };
    now.saturating_sub(ticks(start)) + ticks(1) < content_age
}

#[cfg(test)]
mod tests;
