//! Which processes a rule means, read from /proc.

use std::io::Read as _;
use std::path::Path;

use procfs::process::Process;

use super::{Found, SignalError};
use crate::config::ProcessMatch;

/// `PF_KTHREAD` of proc_pid_stat(5)'s flags.
const KERNEL_THREAD: u32 = 0x0020_0000;
/// The kernel cuts a command's name to this many bytes (`TASK_COMM_LEN` without its NUL).
const COMM_LENGTH: usize = 15;
/// How many process names an error lists.
const NAMES_LISTED: usize = 10;

/// A live process of user space, as it was a moment ago.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) pid: i32,
    parent: i32,
    /// In clock ticks since boot; with the PID, names one process for good.
    pub(super) start: u64,
    /// The executable's file name; `None` where it may not be read.
    exe: Option<String>,
    comm: String,
    args: Vec<String>,
}

// === impl Candidate ===

impl Candidate {
    /// Reads one process; `None` if it is gone, a zombie or a kernel thread.
    pub(super) fn read(pid: i32) -> Option<Self> {
        let process = Process::new(pid).ok()?;
        let stat = process.stat().ok()?;
        if matches!(stat.state, 'Z' | 'X' | 'x') || stat.flags & KERNEL_THREAD != 0 {
            return None;
        }
        let mut args = Vec::new();
        if let Ok(mut file) = process.open_relative("cmdline") {
            // What cannot be read stays empty, and matches no glob.
            let _ = file.read_to_end(&mut args);
        }
        Some(Self {
            pid,
            parent: stat.ppid,
            start: stat.starttime,
            exe: process.exe().ok().as_deref().and_then(exe_name),
            comm: stat.comm,
            args: String::from_utf8_lossy(&args)
                .split('\0')
                .filter(|arg| !arg.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }

    pub(super) fn found(&self) -> Found {
        Found {
            pid: self.pid,
            name: self.exe.clone().unwrap_or_else(|| self.comm.clone()),
        }
    }

    pub(super) fn matches(&self, target: &ProcessMatch) -> bool {
        match target {
            ProcessMatch::Name(name) => self.is_named(name),
            ProcessMatch::Cmdline(glob) => {
                !self.args.is_empty() && glob.is_match(&self.args.join(" "))
            }
            // The number in the file was all there is to match.
            ProcessMatch::Pidfile(_) => true,
        }
    }

    /// Whether it is the pod's pause container, PID 1 where a pod shares its process namespace. It is
    /// never meant, and if it ends, so does the whole pod.
    fn is_pause(&self) -> bool {
        self.pid == 1 && self.comm == "pause"
    }

    pub(super) fn is_named(&self, name: &str) -> bool {
        let by_file = match &self.exe {
            Some(exe) => exe == name,
            // Another user's executable cannot be read; its name, cut short, always can.
            None => {
                let cut = &name.as_bytes()[..name.len().min(COMM_LENGTH)];
                self.comm.as_bytes() == cut
            }
        };
        // An interpreter or a multi-call binary has its link's name there.
        by_file || self.args.first().is_some_and(|arg| title_name(arg) == name)
    }
}

/// The file name of an executable, also of one that was replaced on disk (proc_pid_exe(5)).
fn exe_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    Some(name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned())
}

/// The program's name in `argv[0]`: its file name, or what precedes the colon of a title that a
/// process gave itself (`nginx: master process /usr/sbin/nginx`).
fn title_name(arg: &str) -> &str {
    let program = arg.split_once(": ").map_or(arg, |(program, _)| program);
    program
        .rsplit_once('/')
        .map_or(program, |(_, name)| name)
        .trim_start_matches('-')
}

/// All processes that `target` matches and whose parent it does not; attache and the pod's pause
/// container left out.
pub(super) fn find(target: &ProcessMatch) -> Result<Vec<Candidate>, SignalError> {
    let found = match target {
        ProcessMatch::Pidfile(path) => vec![by_pidfile(path)?],
        ProcessMatch::Name(_) | ProcessMatch::Cmdline(_) => {
            let mut all = everybody();
            all.retain(|candidate| candidate.matches(target) && !candidate.is_pause());
            masters(all)
        }
    };
    if found.is_empty() {
        return Err(not_found(target));
    }
    Ok(found)
}

fn masters(mut matching: Vec<Candidate>) -> Vec<Candidate> {
    let pids: Vec<i32> = matching.iter().map(|candidate| candidate.pid).collect();
    matching.retain(|candidate| !pids.contains(&candidate.parent));
    matching
}

/// Every process but attache.
pub(super) fn everybody() -> Vec<Candidate> {
    let own = own_pid();
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own)
        .filter_map(Candidate::read)
        .collect()
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

fn by_pidfile(path: &Path) -> Result<Candidate, SignalError> {
    let wrong = |reason: String| SignalError::Pidfile {
        path: path.to_owned(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        wrong(format!(
            "{error}: the app writes it once it runs; mount its directory into both containers"
        ))
    })?;
    let pid: i32 = text
        .trim()
        .parse()
        .ok()
        .filter(|pid| *pid > 0)
        .ok_or_else(|| wrong("it holds no process ID".to_owned()))?;
    if pid == own_pid() {
        return Err(wrong(format!(
            "PID {pid} is attache itself: set shareProcessNamespace: true in the pod's spec, so \
             that attache sees the app's process IDs"
        )));
    }
    let candidate = Candidate::read(pid).ok_or_else(|| {
        wrong(format!(
            "no process has its PID {pid}: check that the app runs, and set \
             shareProcessNamespace: true in the pod's spec"
        ))
    })?;
    if candidate.is_pause() {
        return Err(wrong(format!(
            "PID {pid} is the pod's pause container: the file is one of a time without \
             shareProcessNamespace; have the app write it anew when it starts"
        )));
    }
    Ok(candidate)
}

/// Says what was looked for, and what there is instead.
pub(super) fn not_found(target: &ProcessMatch) -> SignalError {
    let looked_for = match target {
        ProcessMatch::Name(name) => format!("with the executable name {name:?}"),
        ProcessMatch::Cmdline(glob) => {
            format!("with a command line like {:?}", glob.text())
        }
        ProcessMatch::Pidfile(path) => format!("by the pidfile {}", path.display()),
    };
    let mut names: Vec<String> = everybody().iter().map(|c| c.found().name).collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(NAMES_LISTED);
    names.truncate(NAMES_LISTED);
    let mut seen = match names.is_empty() {
        true => "no process but itself".to_owned(),
        false => names.join(", "),
    };
    if more > 0 {
        seen.push_str(&format!(" and {more} more"));
    }
    SignalError::NotFound { looked_for, seen }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Glob;

    fn candidate(pid: i32, parent: i32, exe: Option<&str>, comm: &str, args: &[&str]) -> Candidate {
        Candidate {
            pid,
            parent,
            start: 0,
            exe: exe.and_then(|path| exe_name(Path::new(path))),
            comm: comm.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        }
    }

    fn names(candidate: &Candidate, name: &str) -> bool {
        candidate.matches(&ProcessMatch::Name(name.to_owned()))
    }

    #[test]
    fn a_name_is_the_executables_or_that_of_argv0() {
        let title = "nginx: master process /usr/sbin/nginx -g daemon off;";
        let nginx = candidate(7, 1, Some("/usr/sbin/nginx"), "nginx", &[title]);
        assert!(names(&nginx, "nginx"));
        let upgraded = candidate(7, 1, Some("/usr/sbin/nginx (deleted)"), "nginx", &[]);
        assert!(names(&upgraded, "nginx"));
        let python = candidate(
            7,
            1,
            Some("/usr/bin/python3.13"),
            "python3",
            &["python3", "a"],
        );
        assert!(names(&python, "python3.13") && names(&python, "python3"));
        let busybox = candidate(
            7,
            1,
            Some("/bin/busybox"),
            "httpd",
            &["/usr/sbin/httpd", "-f"],
        );
        assert!(names(&busybox, "httpd") && names(&busybox, "busybox"));
        let login = candidate(7, 1, Some("/bin/dash"), "sh", &["-sh"]);
        assert!(names(&login, "sh"));
        let editor = candidate(7, 1, Some("/usr/bin/vi"), "vi", &["vi", "/etc/nginx/nginx"]);
        assert!(!names(&editor, "nginx"));
    }

    #[test]
    fn another_users_executable_goes_by_its_short_name() {
        let hidden = candidate(7, 1, None, "a-very-long-exe", &[]);
        assert!(names(&hidden, "a-very-long-executable"));
        assert!(!names(&hidden, "a-very-long"));
        let readable = candidate(7, 1, Some("/a-very-long-other"), "a-very-long-exe", &[]);
        assert!(!names(&readable, "a-very-long-executable"));
    }

    #[test]
    fn a_glob_sees_the_arguments_joined_by_spaces() {
        let glob = |text| ProcessMatch::Cmdline(Glob::new(text).unwrap());
        let java = candidate(
            7,
            1,
            Some("/bin/java"),
            "java",
            &["java", "-jar", "/opt/app.jar"],
        );
        assert!(java.matches(&glob("java*/opt/app.jar")));
        assert!(!java.matches(&glob("app.jar")));
        assert!(!candidate(7, 1, None, "x", &[]).matches(&glob("*")));
    }

    #[test]
    fn the_pause_container_is_no_app() {
        let pause = candidate(1, 0, Some("/pause"), "pause", &["/pause"]);
        assert!(pause.is_pause());
        // Another user's executable cannot be read.
        assert!(candidate(1, 0, None, "pause", &[]).is_pause());
        assert!(!candidate(7, 1, Some("/pause"), "pause", &["/pause"]).is_pause());
        assert!(!candidate(1, 0, Some("/nginx"), "nginx", &[]).is_pause());
    }

    #[test]
    fn a_master_is_told_and_its_workers_are_not() {
        let nginx = |pid, parent| candidate(pid, parent, Some("/nginx"), "nginx", &[]);
        let found = masters(vec![nginx(7, 1), nginx(8, 7), nginx(9, 7), nginx(20, 3)]);
        let pids: Vec<_> = found.iter().map(|c| c.pid).collect();
        assert_eq!(pids, [7, 20]);
    }
}
