//! Signals that attache gets reach its command.

use rustix::process::Signal;

use crate::support::{World, eventually, exists};

/// Adds the name of each signal it gets to a file; ends with 7 upon TERM. `read` is left now and then,
/// for bash puts off a trap that came just before it.
pub const TRAPS: &str = r#"
for name in HUP INT QUIT USR1 USR2; do trap "echo $name >> $DIR/got" $name; done
trap 'echo TERM >> $DIR/got; exit 7' TERM
echo $$ > $DIR/pid
while :; do read -r -t 0.2 line; done
"#;

#[test]
fn signals_reach_the_command() {
    let world = World::new();
    let mut run = world.run(&[], TRAPS);
    eventually("the command runs", || !world.lines("pid").is_empty());
    let mut expected = Vec::new();
    for (name, signal) in [
        ("HUP", Signal::HUP),
        ("INT", Signal::INT),
        ("QUIT", Signal::QUIT),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
        ("TERM", Signal::TERM),
    ] {
        run.signal(signal);
        expected.push(name.to_owned());
        eventually(name, || world.lines("got") == expected);
    }
    assert_eq!(run.end(), Some(7));
}

#[test]
fn the_stop_signal_stands_for_term() {
    let world = World::new();
    let script = "trap 'exit 8' QUIT; echo up > $DIR/up; while :; do read -r line; done";
    let mut run = world.run(&["--stop-signal=QUIT"], script);
    eventually("the command runs", || !world.lines("up").is_empty());
    assert_eq!(run.stop(), Some(8));
}

/// Ignores TERM, as does the process it started.
const DEAF: &str = r#"
trap '' TERM
bash -c 'echo $$ > $DIR/grandchild; while :; do read -r line; done' < /dev/zero &
while [ ! -s $DIR/grandchild ]; do :; done
echo up > $DIR/up
while :; do read -r line; done
"#;

#[test]
fn a_command_that_does_not_end_is_killed_with_its_group() {
    let world = World::new();
    let mut run = world.run(&["--stop-timeout=300ms"], DEAF);
    eventually("the command runs", || !world.lines("up").is_empty());
    assert_eq!(run.stop(), Some(137));
    assert_eq!(run.logged("killing it"), 1, "{}", run.log());
    let grandchild = &world.lines("grandchild")[0];
    eventually("its group is gone", || !exists(grandchild));
}

#[test]
fn a_second_term_does_not_wait() {
    let world = World::new();
    let mut run = world.run(&["--stop-timeout=1h"], DEAF);
    eventually("the command runs", || !world.lines("up").is_empty());
    run.signal(Signal::TERM);
    run.wait_for_log("stopping the command");
    assert_eq!(run.stop(), Some(137));
}

#[test]
fn a_signal_that_is_ignored_stays_so() {
    let world = World::new();
    // As nohup does.
    let attache = world.exec(&[], &["bash", "-c", "grep SigIgn /proc/self/status"]);
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", "trap '' HUP; \"$@\"", "bash"]);
    // Without `env` and what it is told.
    shell.args(attache.get_args().skip(1));
    let (code, stdout, stderr) = crate::support::output(shell);
    assert_eq!(code, 0, "{stderr}");
    let mask = stdout.trim().rsplit('\t').next().unwrap();
    let mask = u64::from_str_radix(mask, 16).unwrap();
    assert_eq!(mask & 1, 1, "HUP is ignored: {stdout}");
}
