//! Which programs run, and the system calls that reap.

use std::collections::{HashMap, HashSet};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use procfs::process::{Process, Stat};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, getpid, kill_process_group, wait,
    waitid, waitpid,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Orphans;

/// How long an orphan is left for somebody else to claim it.
const CLAIM: Duration = Duration::from_secs(1);
/// The exit code of a program whose status is lost.
const UNKNOWN: i32 = 255;

/// Whether there is a zombie, which is left as it is.
const PEEK: WaitIdOptions = WaitIdOptions::EXITED
    .union(WaitIdOptions::NOHANG)
    .union(WaitIdOptions::NOWAIT);

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
    /// Its process group is killed when it has ended.
    takes_group: bool,
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
        let entry = Entry {
            tell,
            held: false,
            takes_group: false,
        };
        self.running.insert(pid, entry);
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

    /// Has the program's process group killed when it ends.
    pub(super) fn take_group(&mut self, pid: Pid) {
        if let Some(entry) = self.running.get_mut(&pid) {
            entry.takes_group = true;
        }
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
        let pids: Vec<(Pid, bool)> = free.map(|(pid, e)| (*pid, e.takes_group)).collect();
        for (pid, takes_group) in pids {
            // Before it is reaped, for then the group's number may be another's.
            if takes_group && is_zombie(pid) {
                let _ = kill_process_group(pid, Signal::KILL);
            }
            match waitpid(Some(pid), WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.ended(pid, status),
                Ok(None) => {}
                // Somebody else has reaped it. It has ended, but nobody can say that it was a success.
                Err(_) => self.ended_with(pid, ExitStatus::from_raw(UNKNOWN << 8)),
            }
        }
    }

    /// As long as a program is held, or its group is yet to be killed, orphans are left as well: P_ALL
    /// would take it with them.
    fn reap_all(&mut self) {
        let not_now = |entry: &Entry| entry.held || entry.takes_group;
        while !self.running.values().any(not_now) {
            let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) else {
                return;
            };
            self.ended(pid, status);
        }
    }

    /// Looks at most once in [`CLAIM`], for it has to read all of /proc.
    fn reap_unclaimed(&mut self, now: Instant) {
        if !matches!(waitid(WaitId::All, PEEK), Ok(Some(_))) {
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

fn is_zombie(pid: Pid) -> bool {
    matches!(waitid(WaitId::Pid(pid), PEEK), Ok(Some(_)))
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
