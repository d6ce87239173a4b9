use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::config;
use crate::config::{Glob, ProcessMatch};

/// A child that ends with the test.
struct App(Child);

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl App {
    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

/// A shell under a name of its own. It runs `script` and leaves a file once that is done with.
fn app(dir: &Path, name: &str, script: &str) -> App {
    let shell = dir.join(name);
    if !shell.exists() {
        std::fs::copy("/bin/sh", &shell).unwrap();
    }
    let ready = dir.join("ready");
    let script = format!(
        "{script}\n: > {}\nwhile :; do sleep 0.05; done",
        ready.display()
    );
    // Another test's child may hold the copy open for writing until it has called exec (ETXTBSY).
    let child = until("the app to start", || {
        let mut command = Command::new(&shell);
        command
            .arg("-c")
            .arg(&script)
            .stdin(Stdio::null())
            .spawn()
            .ok()
    });
    let app = App(child);
    until("the app to be ready", || ready.exists().then_some(()));
    std::fs::remove_file(ready).unwrap();
    app
}

/// A name that no other run of the tests uses at the same time.
fn unique(name: &str) -> String {
    format!("attache-{name}-{}", std::process::id())
}

fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "waited for {what}"
        );
        std::thread::yield_now();
    }
}

fn action(target: ProcessMatch, signal: Signal, name: &str) -> SignalAction {
    SignalAction {
        target,
        signal: config::Signal {
            number: signal.as_raw(),
            name: name.to_owned(),
        },
    }
}

fn named(name: &str) -> ProcessMatch {
    ProcessMatch::Name(name.to_owned())
}

#[test]
fn the_master_alone_gets_the_signal_by_name_glob_and_pidfile() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    // The worker is a fork of the same executable, and ends with it.
    let script = format!(
        "trap 'echo master >> {0}' HUP
         (trap 'echo worker >> {0}' HUP; while kill -0 $$; do sleep 0.05; done) 2>/dev/null &",
        log.display()
    );
    let name = unique("master");
    let app = app(dir.path(), &name, &script);
    let pidfile = dir.path().join("pid");
    writeln!(std::fs::File::create(&pidfile).unwrap(), "{}", app.pid()).unwrap();
    let glob = Glob::new(&format!("*/{name} -c *")).unwrap();
    let targets = [
        named(&name),
        ProcessMatch::Cmdline(glob),
        ProcessMatch::Pidfile(pidfile),
    ];
    for (round, target) in targets.into_iter().enumerate() {
        let report = signal(&action(target, Signal::HUP, "HUP"), Instant::now()).unwrap();
        assert_eq!(report.sent.len(), 1, "{report:?}");
        assert_eq!(
            (report.sent[0].pid, &*report.sent[0].name),
            (app.pid(), &*name)
        );
        until("the signal", || {
            let text = std::fs::read_to_string(&log).ok()?;
            assert!(!text.contains("worker"));
            (text.lines().count() == round + 1).then_some(())
        });
    }
}

#[test]
fn a_signal_that_would_end_the_app_is_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let mut app = app(dir.path(), &unique("deaf"), ":");
    let target = || named(&unique("deaf"));
    let error = signal(&action(target(), Signal::HUP, "HUP"), Instant::now()).unwrap_err();
    assert!(matches!(error, SignalError::NotCaught { .. }), "{error}");
    assert!(
        error.to_string().contains("does not catch SIGHUP"),
        "{error}"
    );
    // Ignored by default, so harmless.
    let report = signal(&action(target(), Signal::WINCH, "WINCH"), Instant::now()).unwrap();
    assert_eq!(report.sent[0].pid, app.pid());
    assert!(app.0.try_wait().unwrap().is_none(), "the app lives");
}

#[test]
fn a_failure_names_those_that_had_the_signal_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let name = unique("both");
    let told = app(dir.path(), &name, "trap : HUP");
    let deaf = app(dir.path(), &name, ":");
    let error = signal(&action(named(&name), Signal::HUP, "HUP"), Instant::now()).unwrap_err();
    let SignalError::Partly { sent, error } = error else {
        panic!("{error}")
    };
    assert_eq!((sent.len(), sent[0].pid), (1, told.pid()));
    assert!(error.to_string().contains(&format!("PID {}", deaf.pid())));
}

#[test]
fn a_process_that_started_after_the_content_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(dir.path(), &unique("fresh"), "trap : HUP");
    let hour_ago = Instant::now()
        .checked_sub(Duration::from_secs(3600))
        .unwrap();
    let action = action(named(&unique("fresh")), Signal::HUP, "HUP");
    let report = signal(&action, hour_ago).unwrap();
    assert_eq!((report.sent.len(), report.current[0].pid), (0, app.pid()));
    assert_eq!(signal(&action, Instant::now()).unwrap().sent.len(), 1);
}

#[test]
fn errors_say_what_was_looked_for_and_what_to_do() {
    let text = |target| {
        signal(&action(target, Signal::HUP, "HUP"), Instant::now())
            .unwrap_err()
            .to_string()
    };
    let error = text(named("no-such-app"));
    assert!(error.contains("\"no-such-app\""), "{error}");
    assert!(error.contains("shareProcessNamespace: true"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let pidfile = dir.path().join("pid");
    let by_file = || ProcessMatch::Pidfile(pidfile.clone());
    assert!(text(by_file()).contains("mount its directory"));
    for (content, expected) in [
        ("x", "holds no process ID"),
        ("-1", "holds no process ID"),
        (&std::process::id().to_string(), "attache itself"),
        (&i32::MAX.to_string(), "no process has its PID"),
    ] {
        std::fs::write(&pidfile, content).unwrap();
        assert!(text(by_file()).contains(expected), "{}", text(by_file()));
    }
    let unknown = action_number(64);
    assert_eq!(
        signal(&unknown, Instant::now()),
        Err(SignalError::Unsupported(64))
    );
}

fn action_number(signal: i32) -> SignalAction {
    SignalAction {
        target: named("x"),
        signal: config::Signal {
            number: signal,
            name: "RT".to_owned(),
        },
    }
}

#[test]
fn attache_never_matches_itself() {
    let own = std::env::current_exe().unwrap();
    let name = own.file_name().unwrap().to_str().unwrap();
    let error = signal(&action(named(name), Signal::WINCH, "WINCH"), Instant::now()).unwrap_err();
    assert!(matches!(error, SignalError::NotFound { .. }), "{error}");
}

#[test]
fn refusal_names_both_users() {
    let error = SignalError::NotPermitted {
        process: Found {
            pid: 7,
            name: "nginx".into(),
        },
        theirs: 101,
        ours: 65532,
        also: "",
    };
    let text = error.to_string();
    for part in ["nginx (PID 7)", "UID 101", "UID 65532", "runAsUser", "KILL"] {
        assert!(text.contains(part), "{text}");
    }
}
