//! The status attache ends with.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use crate::support::{World, output};

#[test]
fn it_ends_with_the_commands_status() {
    let world = World::new();
    for (script, expected) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("kill -USR1 $$", 138),
    ] {
        let (code, _, stderr) = output(world.exec(&[], &["bash", "-c", script]));
        assert_eq!(code, expected, "{script}: {stderr}");
    }
}

#[test]
fn what_cannot_be_executed_ends_it_as_shells_do() {
    let world = World::new();
    let make = |name: &str, text: &str, mode| {
        let path = world.file(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let plain = make("plain", "#!/bin/sh\n", 0o644);
    let orphan = make("orphan", "#!/nonexistent/sh\n", 0o755);
    let garbage = make("garbage", "\x7fELF garbage", 0o755);
    for (program, expected, says) in [
        ("no-such-program", 127, "PATH"),
        ("/nonexistent/program", 127, "PATH"),
        (&orphan, 127, "interpreter"),
        (&plain, 126, "executable bit"),
        (&garbage, 126, "architecture"),
        (world.manifests().to_str().unwrap(), 126, "executable bit"),
    ] {
        let (code, _, stderr) = output(world.exec(&[], &[program]));
        assert_eq!(code, expected, "{program}: {stderr}");
        assert!(
            stderr.contains(program) && stderr.contains(says),
            "{stderr}"
        );
    }
}

#[test]
fn before_the_command_runs_a_signal_ends_it_at_once() {
    let world = World::new();
    for (signal, expected) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut run = world.run(&["--env-from=none", "--wait-timeout=0"], "exit 0");
        run.wait_for_log("once attache is ready");
        run.signal(signal);
        assert_eq!(run.end(), Some(expected), "{}", run.log());
    }
}
