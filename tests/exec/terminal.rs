//! `attache exec` in a terminal.

use std::process::Command;

use crate::support::{World, output};

/// Plays the person at a terminal: `session(argv)`, then `say` and `expect`.
const PERSON: &str = r#"
import os, pty, select, sys, time

pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(PS1='READY> ', TERM='dumb')
    os.execvp(sys.argv[1], sys.argv[1:])
seen, at = b'', 0

def expect(text):
    global seen, at
    deadline = time.monotonic() + 60
    while (found := seen.find(text, at)) < 0:
        left = deadline - time.monotonic()
        if left < 0 or not select.select([terminal], [], [], left)[0]:
            sys.exit(f'no {text} in {seen}')
        try: seen += os.read(terminal, 4096)
        except OSError: sys.exit(f'no {text} in {seen}, and it ended')
    at = found + len(text)

def say(text): os.write(terminal, text)

def foreground(name):
    # The shell says that a job is in the foreground before it is.
    deadline = time.monotonic() + 60
    while True:
        try:
            if open(f'/proc/{os.tcgetpgrp(terminal)}/comm').read().strip() == name: return
        except FileNotFoundError: pass
        if time.monotonic() > deadline: sys.exit(f'{name} is not in the foreground: {seen}')

def end():
    # What it prints last must be read for it to end.
    global seen
    while True:
        try: more = os.read(terminal, 4096)
        except OSError: break
        if not more: break
        seen += more
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"#;

/// Runs attache with this command at a terminal, and this script as the person.
fn session(command: &[&str], script: &str) {
    let world = World::new();
    let attache = world.exec(&["-q"], command);
    let mut person = Command::new("python3");
    person.args(["-c", &format!("{PERSON}\n{script}")]);
    person.arg(attache.get_program()).args(attache.get_args());
    for (name, value) in attache.get_envs() {
        person.env(name, value.unwrap());
    }
    let (code, _, stderr) = output(person);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn a_shell_has_job_control() {
    session(
        &["bash", "--norc", "--noprofile", "-i"],
        r#"
expect(b'READY> ')
say(b'sleep 100 &\n')
expect(b'[1] ')
expect(b'READY> ')
say(b'fg\n')
expect(b'sleep 100\r\n')
foreground('sleep')
say(b'\x1a')
expect(b'Stopped')
expect(b'READY> ')
say(b'jobs\n')
expect(b'Stopped')
expect(b'READY> ')
say(b'fg\n')
expect(b'sleep 100\r\n')
foreground('sleep')
say(b'\x03')
expect(b'READY> ')
say(b'echo rc=$?\n')
expect(b'rc=130')
expect(b'READY> ')
say(b'exit 5\n')
code = end()
assert code == 5, (code, seen)
assert b'job control' not in seen, seen
"#,
    );
}

/// Counts INT, and says how many when a line comes.
const COUNTS: &str = r"
import signal, sys
count = 0
def interrupted(*_):
    global count
    count += 1
    print('interrupted', count, flush=True)
signal.signal(signal.SIGINT, interrupted)
print('up', flush=True)
sys.stdin.readline()
sys.exit(10 + count)
";

#[test]
fn an_interrupt_from_the_terminal_comes_once_and_ends_only_the_command() {
    session(
        &["python3", "-c", COUNTS],
        r#"
expect(b'up')
say(b'\x03')
expect(b'interrupted 1')
say(b'\x03')
expect(b'interrupted 2')
say(b'\n')
code = end()
assert code == 12, (code, seen)
"#,
    );
}
