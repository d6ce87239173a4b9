//! attache as PID 1 of a PID namespace of its own, as in a container.

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::signals::TRAPS;
use crate::support::{Run, World, eventually, output};

/// The same command in a new PID namespace.
fn as_pid_1(attache: &Command) -> Command {
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    unshare.arg(attache.get_program()).args(attache.get_args());
    unshare.env_clear();
    let variables = attache.get_envs();
    unshare.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    unshare
}

/// Leaves 10,000 orphans to PID 1, and ends with 6 once none of them is left, not even as a zombie.
const ORPHANS: &str = "import os, time
assert os.getppid() == 1
parent = os.fork()
if parent == 0:
    for _ in range(10000):
        if os.fork() == 0: os._exit(0)
    os._exit(0)
os.waitpid(parent, 0)
def processes(): return sorted(int(n) for n in os.listdir('/proc') if n.isdigit())
deadline = time.monotonic() + 60
while processes() != [1, os.getpid()]:
    assert time.monotonic() < deadline, processes()[:10]
os._exit(6)";

#[test]
fn ten_thousand_orphans_are_reaped() {
    let world = World::new();
    let attache = world.exec(&["--stop-timeout=1s"], &["python3", "-c", ORPHANS]);
    let (code, _, stderr) = output(as_pid_1(&attache));
    assert_eq!(code, 6, "{stderr}");
}

#[test]
fn signals_reach_the_command_and_its_status_is_attaches() {
    let world = World::new();
    let attache = world.exec(&[], &["bash", "-c", TRAPS]);
    let mut run = Run::start(as_pid_1(&attache));
    eventually("the command runs", || !world.lines("pid").is_empty());
    let unshare = run.pid().as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"));
    let attache = children.unwrap().trim().parse().unwrap();
    let attache = Pid::from_raw(attache).unwrap();
    let mut expected = Vec::new();
    for (name, signal) in [
        ("HUP", Signal::HUP),
        ("INT", Signal::INT),
        ("USR1", Signal::USR1),
        ("TERM", Signal::TERM),
    ] {
        kill_process(attache, signal).unwrap();
        expected.push(name.to_owned());
        eventually(name, || world.lines("got") == expected);
    }
    assert_eq!(run.end(), Some(7));
}
