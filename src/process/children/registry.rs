//! Which programs run, and the system calls that reap.

use std::collections::{HashMap, HashSet};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use procfs::process::{Process, Stat};
use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus, getpid, wait, waitid, waitpid,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Orphans;

/// How long an orphan is left for somebody else to claim it.
const CLAIM: Duration = Duration::from_secs(1);
/// The exit code of a program whose status is lost.
const UNKNOWN: i32 = 255;

/// The programs that run. Whoever starts or reaps holds its lock.
#[derive(Debug, Default)]
pub(super) struct Registry {
    orphans: Orphans,
    /// Whether orphans come here although this is not PID 1.
    pub(super) adopts: bool,
    running: HashMap<Pid, Entry>,
    /// Zombies that nobody claimed when last looked: process ID and start time, which name a process.
    unclaimed: HashSet<(i32, u64)>,
    /// When to look for them again.
    look: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    tell: watch::Sender<Option<ExitStatus>>,
    /// Not to be reaped yet.
    held: bool,
}

// === impl Registry ===

impl Registry {
    pub(super) fn new(orphans: Orphans) -> Self {
        Self {
            orphans,
            ..Self::default()
        }
    }

    /// Takes in a program that has just been started.
    pub(super) fn register(&mut self, pid: Pid) -> watch::Receiver<Option<ExitStatus>> {
        let (tell, status) = watch::channel(None);
        self.running.insert(pid, Entry { tell, held: false });
        status
    }

    /// Whether the program has not been reaped.
    pub(super) fn has(&self, pid: Pid) -> bool {
        self.running.contains_key(&pid)
    }

    /// Sets whether the program may be reaped; `false` if it was already.
    pub(super) fn hold(&mut self, pid: Pid, held: bool) -> bool {
        let entry = self.running.get_mut(&pid);
        entry.map(|entry| entry.held = held).is_some()
    }

    /// Reaps what has ended; when to call this again, if not only upon SIGCHLD.
    pub(super) fn collect(&mut self, now: Instant) -> Option<Instant> {
        self.reap_programs();
        if !self.adopts && getpid() != Pid::INIT {
            return None;
        }
        match self.orphans {
            Orphans::AtOnce => self.reap_all(),
            Orphans::Unclaimed => self.reap_unclaimed(now),
        }
        self.look
    }

    fn reap_programs(&mut self) {
        let free = self.running.iter().filter(|(_, entry)| !entry.held);
        let pids: Vec<Pid> = free.map(|(pid, _)| *pid).collect();
        for pid in pids {
            match waitpid(Some(pid), WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.ended(pid, status),
                Ok(None) => {}
                // Somebody else has reaped it. It has ended, but nobody can say that it was a success.
                Err(_) => self.ended_with(pid, ExitStatus::from_raw(UNKNOWN << 8)),
            }
        }
    }

    /// As long as a program is held, orphans are left as well: P_ALL would take it with them.
    fn reap_all(&mut self) {
        while !self.running.values().any(|entry| entry.held) {
            let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) else {
                return;
            };
            self.ended(pid, status);
        }
    }

    /// Looks at most once in [`CLAIM`], for it has to read all of /proc.
    fn reap_unclaimed(&mut self, now: Instant) {
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if !matches!(waitid(WaitId::All, peek), Ok(Some(_))) {
            self.unclaimed.clear();
            self.look = None;
            return;
        }
        if *self.look.get_or_insert(now + CLAIM) > now {
            return;
        }
        self.look = Some(now + CLAIM);
        let own = getpid().as_raw_nonzero().get();
        let before = std::mem::take(&mut self.unclaimed);
        for stat in processes().filter(|stat| stat.ppid == own && stat.state == 'Z') {
            let zombie = (stat.pid, stat.starttime);
            let Some(pid) = Pid::from_raw(stat.pid).filter(|pid| !self.has(*pid)) else {
                continue;
            };
            if before.contains(&zombie) {
                // Whoever claimed it after all leaves ECHILD, which is as good.
                let _ = waitpid(Some(pid), WaitOptions::NOHANG);
            } else {
                self.unclaimed.insert(zombie);
            }
        }
    }

    fn ended(&mut self, pid: Pid, status: WaitStatus) {
        self.ended_with(pid, ExitStatus::from_raw(status.as_raw()));
    }

    fn ended_with(&mut self, pid: Pid, status: ExitStatus) {
        if let Some(entry) = self.running.remove(&pid) {
            entry.tell.send_replace(Some(status));
        }
    }
}

/// Whether any process of this group is not a zombie.
pub(super) fn group_lives(group: i32) -> bool {
    processes().any(|stat| stat.pgrp == group && !matches!(stat.state, 'Z' | 'X'))
}

fn processes() -> impl Iterator<Item = Stat> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Process::new(pid).ok()?.stat().ok())
}
