//! What a signal does to a process, read from /proc.

use std::io::Read as _;

use procfs::process::Process;
use procfs::{ProcError, ProcResult};
use rustix::process::Signal;

/// Whose a process is, and which signals do to it what is not their default: three lines of
/// proc_pid_status(5). procfs' own reader is for all sixty of them, 40 kB of code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dispositions {
    /// The real user ID.
    pub(crate) uid: u32,
    ignored: u64,
    caught: u64,
}

// === impl Dispositions ===

impl Dispositions {
    /// Those of `process`.
    ///
    /// # Errors
    /// [`ProcError::NotFound`] if it is gone.
    pub(crate) fn of(process: &Process) -> ProcResult<Self> {
        let mut status = Vec::new();
        process.open_relative("status")?.read_to_end(&mut status)?;
        parse(&String::from_utf8_lossy(&status)).ok_or(ProcError::Incomplete(None))
    }

    /// Whether it ignores the signal.
    pub(crate) fn ignores(&self, signal: Signal) -> bool {
        self.ignored & bit(signal) != 0
    }

    /// Whether the signal cannot end it by its default: it has a handler, or the default is
    /// another.
    pub(crate) fn survives(&self, signal: Signal) -> bool {
        self.caught & bit(signal) != 0 || !ends_by_default(signal)
    }
}

fn bit(signal: Signal) -> u64 {
    1 << (signal.as_raw() - 1)
}

fn parse(status: &str) -> Option<Dispositions> {
    let value = |key: &str| {
        let mut lines = status.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
    };
    let mask = |key| u64::from_str_radix(value(key)?.trim(), 16).ok();
    Some(Dispositions {
        uid: value("Uid")?.split_whitespace().next()?.parse().ok()?,
        ignored: mask("SigIgn")?,
        caught: mask("SigCgt")?,
    })
}

/// Whether the signal's default action ends the process (signal(7), "Standard signals").
fn ends_by_default(signal: Signal) -> bool {
    ![
        Signal::CHILD,
        Signal::CONT,
        Signal::STOP,
        Signal::TSTP,
        Signal::TTIN,
        Signal::TTOU,
        Signal::URG,
        Signal::WINCH,
    ]
    .contains(&signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_user_and_the_masks() {
        let status = "Name:\tUid: 7\\nUid:\nState:\tS (sleeping)\nUid:\t1000\t0\t0\t0\n\
                      SigBlk:\tffffffffffffffff\nSigIgn:\t0000000000000001\nSigCgt:\t0000000180014a02\n";
        let read = parse(status).unwrap();
        assert_eq!(read.uid, 1000);
        assert!(read.ignores(Signal::HUP) && !read.ignores(Signal::INT));
        assert!(read.survives(Signal::INT) && !read.survives(Signal::HUP));
        assert!(read.survives(Signal::CHILD));
        assert_eq!(parse("Uid:\t1000\nSigIgn:\t0\n"), None);
    }

    #[test]
    fn reads_what_procfs_reads() {
        let own = Process::myself().unwrap();
        let status = own.status().unwrap();
        let expected = Dispositions {
            uid: status.ruid,
            ignored: status.sigign,
            caught: status.sigcgt,
        };
        assert_eq!(Dispositions::of(&own).unwrap(), expected);
    }
}
