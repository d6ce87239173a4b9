//! Looking without signalling: which processes a rule would reach, and which attache runs here.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;

use procfs::process::{Process, Status};
use rustix::process::{Pid, Signal, test_kill_process};

use super::find::{self, Candidate};
use super::{Found, Opened, SignalError};
use crate::config::{self, ProcessMatch};

/// A process that runs attache's binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The process ID.
    pub pid: i32,
    /// Its arguments, the program's name first.
    pub args: Vec<OsString>,
    /// Its environment as it was started with; `None` where it may not be read.
    pub environment: Option<Vec<(OsString, OsString)>>,
}

/// The processes that `target` matches now, each with what would keep `signal` from reaching it. Without a
/// signal it is meant to end. Nothing is sent.
///
/// # Errors
/// [`SignalError`], where nothing matches.
pub fn rehearse(
    target: &ProcessMatch,
    signal: Option<&config::Signal>,
) -> Result<Vec<Result<Found, SignalError>>, SignalError> {
    let mut report = Vec::new();
    for candidate in find::find(target)? {
        let checked = Opened::new(&candidate, target).transpose();
        report.extend(checked.map(|opened| check(opened?, signal)));
    }
    if report.is_empty() {
        return Err(find::not_found(target));
    }
    Ok(report)
}

fn check(opened: Opened, signal: Option<&config::Signal>) -> Result<Found, SignalError> {
    if let Some(named) = signal {
        let number =
            Signal::from_named_raw(named.number).ok_or(SignalError::Unsupported(named.number))?;
        if !opened.dispositions.survives(number) {
            return Err(SignalError::NotCaught {
                process: opened.process,
                signal: named.name.clone(),
            });
        }
    }
    match Pid::from_raw(opened.process.pid).map(test_kill_process) {
        Some(Err(error)) => Err(opened.refused(error)),
        _ => Ok(opened.process),
    }
}

/// The processes of this PID namespace that run a binary called attache, but this one, by their PIDs.
/// On a node /proc shows those of its pods' containers too, which are not beside the caller.
#[must_use]
pub fn attaches() -> Vec<Running> {
    let mut found: Vec<_> = find::everybody()
        .into_iter()
        .filter(|candidate| candidate.is_named("attache") && is_here(candidate.pid))
        .filter_map(|candidate| Running::read(&candidate))
        .collect();
    found.sort_unstable_by_key(|running| running.pid);
    found
}

/// Whether a process is of the PID namespace that /proc shows, rather than of one within it. Anybody
/// may read that from its status, and nobody but its user the link `ns/pid`.
fn is_here(pid: i32) -> bool {
    let status = Process::new(pid).and_then(|process| process.status());
    status.is_ok_and(|status| !is_nested(&status))
}

/// `NSpid` of proc_pid_status(5) has an ID for each PID namespace, from that of /proc to the process'
/// own. A kernel built without namespaces has no such line.
fn is_nested(status: &Status) -> bool {
    status.nspid.as_ref().is_some_and(|ids| ids.len() > 1)
}

// === impl Running ===

impl Running {
    fn read(candidate: &Candidate) -> Option<Self> {
        let process = Process::new(candidate.pid).ok()?;
        let lines = |file: &str| -> Option<Vec<Vec<u8>>> {
            let mut bytes = Vec::new();
            let mut file = process.open_relative(file).ok()?;
            file.read_to_end(&mut bytes).ok()?;
            // Each ends in a NUL; an argument may be empty.
            if bytes.last() == Some(&0) {
                bytes.pop();
            }
            Some(bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect())
        };
        let pair = |line: Vec<u8>| {
            let at = line.iter().position(|byte| *byte == b'=')?;
            let value = line.get(at + 1..).unwrap_or_default().to_vec();
            let name = line.get(..at).unwrap_or_default().to_vec();
            Some((OsString::from_vec(name), OsString::from_vec(value)))
        };
        Some(Self {
            pid: candidate.pid,
            args: lines("cmdline")?
                .into_iter()
                .map(OsString::from_vec)
                .collect(),
            environment: lines("environ").map(|all| all.into_iter().filter_map(pair).collect()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use procfs::FromRead as _;

    use super::*;

    #[test]
    fn a_process_with_more_than_one_id_is_of_a_namespace_within() {
        let own = std::fs::read_to_string("/proc/self/status").unwrap();
        let nested = |ids: Option<&str>| {
            let lines = own.lines().filter(|line| !line.starts_with("NSpid:"));
            let mut text: String = lines.map(|line| format!("{line}\n")).collect();
            text.extend(ids.map(|ids| format!("NSpid:\t{ids}\n")));
            is_nested(&Status::from_read(text.as_bytes()).unwrap())
        };
        assert!(!nested(Some("4711")));
        assert!(nested(Some("4711\t7")) && nested(Some("4711\t7\t1")));
        assert!(!nested(None));
        // A test may itself run in a namespace within, but its /proc is that namespace's.
        assert!(is_here(i32::try_from(std::process::id()).unwrap()));
        assert!(!is_here(i32::MAX), "there is none");
    }

    #[test]
    fn a_signal_is_rehearsed_and_not_sent() {
        let mut child = Command::new("sleep")
            .arg("1000")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let pidfile = dir.path().join("pid");
        std::fs::write(&pidfile, child.id().to_string()).unwrap();
        let target = ProcessMatch::Pidfile(pidfile);
        let signal = |number, name: &str| config::Signal {
            number,
            name: name.to_owned(),
        };
        let hup = rehearse(&target, Some(&signal(1, "HUP"))).unwrap();
        assert!(
            matches!(hup[..], [Err(SignalError::NotCaught { .. })]),
            "{hup:?}"
        );
        let winch = rehearse(&target, Some(&signal(28, "WINCH"))).unwrap();
        assert!(winch[0].is_ok(), "{winch:?}");
        assert!(rehearse(&target, None).unwrap()[0].is_ok());
        assert!(child.try_wait().unwrap().is_none(), "it still runs");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(rehearse(&target, None).is_err());
    }

    #[test]
    fn arguments_and_environment_are_read() {
        let mut child = Command::new("sleep")
            .arg("1000")
            .env_clear()
            .env("A", "b=c")
            .spawn()
            .unwrap();
        let candidate = Candidate::read(i32::try_from(child.id()).unwrap());
        let running = Running::read(&candidate.unwrap()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(running.args, ["sleep", "1000"]);
        assert_eq!(running.environment, Some(vec![("A".into(), "b=c".into())]));
    }
}
