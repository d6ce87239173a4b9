use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::output::{MAX_BYTES, MAX_LINE, MAX_LINES};
use super::*;
use crate::actions::ChangedObject;
use crate::store::diff::KeyChanges;
use crate::store::{Kind, ObjectRef};
use crate::telemetry::tests::Log;

/// How long anything may take that is waited for.
const LIMIT: Duration = Duration::from_secs(60);

/// Two objects that have keys in common.
fn change() -> Change {
    let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
    let object = |kind, name, version: &str, added: &[&str], changed: &[&str]| ChangedObject {
        reference: ObjectRef::new(kind, "shop", name),
        resource_version: version.into(),
        keys: KeyChanges {
            added: texts(added),
            changed: texts(changed),
            removed: Vec::new(),
        },
        annotations: BTreeMap::new(),
    };
    Change {
        objects: vec![
            object(Kind::ConfigMap, "web", "4711", &["new", "a"], &["edit"]),
            object(Kind::Secret, "db", "4712", &["a"], &["password"]),
        ],
        since: std::time::Instant::now(),
        content_hash: "hash".into(),
    }
}

fn command(argv: &[&str]) -> CommandAction {
    CommandAction {
        argv: argv.iter().map(|arg| (*arg).to_owned()).collect(),
        timeout: LIMIT,
        grace: LIMIT,
    }
}

fn sh(script: &str) -> CommandAction {
    command(&["/bin/sh", "-c", script])
}

fn children() -> (Children, JoinHandle<()>) {
    let children = Children::default();
    let reaper = children.clone().reap();
    let reaper = tokio::spawn(async move { drop(reaper.await) });
    (children, reaper)
}

async fn run_with(action: &CommandAction, change: &Change) -> Result<Outcome, CommandError> {
    let (children, _reaper) = children();
    let run = run("onChange[2]", action, change, &children);
    timeout(LIMIT, run).await.expect("the action ends")
}

async fn run_it(action: &CommandAction) -> Result<Outcome, CommandError> {
    run_with(action, &change()).await
}

impl Log {
    /// The fields of each event.
    fn fields(&self) -> Vec<Value> {
        let events = self.events().into_iter();
        events.map(|mut event| event["fields"].take()).collect()
    }

    /// The lines of one stream.
    fn lines(&self, stream: &str) -> Vec<String> {
        let mut events = self.fields();
        events.retain(|event| event["stream"] == stream);
        let lines = events.iter().map(|event| event["line"].as_str().unwrap());
        lines.map(str::to_owned).collect()
    }

    /// How many lines and bytes the last event says were left out.
    fn dropped(&self) -> (u64, u64) {
        let events = self.fields();
        let last = events.last().unwrap();
        assert!(last["message"].as_str().unwrap().contains("not logged"));
        (
            last["lines"].as_u64().unwrap(),
            last["bytes"].as_u64().unwrap(),
        )
    }
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn a_program_learns_what_changed_from_its_environment_and_input() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "cd {}; pwd -P >&2; env > env; cat > stdin",
        dir.path().display()
    );
    let Outcome::Done(detail) = run_it(&sh(&script)).await.unwrap() else {
        panic!("skipped")
    };
    assert!(detail.starts_with("/bin/sh exited with 0 in "), "{detail}");
    let env = read(dir.path().join("env"));
    for expected in [
        "ATTACHE_RULE=onChange[2]",
        "ATTACHE_KIND=ConfigMap",
        "ATTACHE_NAMESPACE=shop",
        "ATTACHE_NAME=web",
        "ATTACHE_RESOURCE_VERSION=4711",
        "ATTACHE_OBJECTS=ConfigMap shop/web\nSecret shop/db",
        "ATTACHE_ADDED=a\nnew",
        "ATTACHE_CHANGED=edit\npassword",
        "ATTACHE_REMOVED=",
    ] {
        assert!(env.contains(&format!("{expected}\n")), "{expected}: {env}");
    }
    // Inherited.
    let path = std::env::var("PATH").unwrap();
    assert!(env.contains(&format!("PATH={path}\n")), "{env}");
    let input: Value = serde_json::from_str(&read(dir.path().join("stdin"))).unwrap();
    let expected = json!({"changes": [
        {"kind": "ConfigMap", "namespace": "shop", "name": "web", "resourceVersion": "4711",
         "added": ["new", "a"], "changed": ["edit"], "removed": []},
        {"kind": "Secret", "namespace": "shop", "name": "db", "resourceVersion": "4712",
         "added": ["a"], "changed": ["password"], "removed": []},
    ]});
    assert_eq!(input, expected);
}

#[test]
fn what_is_attaches_own_is_withheld() {
    let mut command = Command::new("x");
    environment::set(&mut command, "r", &change());
    let withheld: Vec<_> = command.get_envs().filter(|(_, v)| v.is_none()).collect();
    let names: Vec<_> = withheld.iter().map(|(name, _)| name.to_str()).collect();
    assert_eq!(names, [Some("ATTACHE_TOKEN"), Some("FAILPOINT")]);
}

#[tokio::test]
async fn a_change_that_exceeds_a_variable_or_a_pipe_is_told_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut change = change();
    let keys: Vec<String> = (0..20_000)
        .map(|n| format!("some-long-key-{n:06}"))
        .collect();
    change.objects[0].keys.added = keys.clone();
    let script = "printf %s \"$ATTACHE_ADDED\" > $0/env; cat > $0/stdin";
    let mut action = sh(script);
    action.argv.push(dir.path().to_str().unwrap().to_owned());
    run_with(&action, &change).await.unwrap();
    let env = read(dir.path().join("env"));
    assert!((60_000..=65_536).contains(&env.len()), "{}", env.len());
    assert!(env.lines().skip(1).all(|line| line.len() == keys[0].len()));
    let input: Value = serde_json::from_str(&read(dir.path().join("stdin"))).unwrap();
    assert_eq!(input["changes"][0]["added"], json!(keys));
    // Nobody need read it.
    run_with(&command(&["true"]), &change).await.unwrap();
    run_with(&sh("exec 0<&-; sleep 0.1"), &change)
        .await
        .unwrap();
}

#[tokio::test]
async fn failures_say_what_to_do_and_show_no_argument() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    std::fs::write(&plain, "x").unwrap();
    let plain = plain.to_str().unwrap();
    for (action, expected, reached) in [
        (
            command(&["/no/such", "SECRET"]),
            "/no/such not found",
            false,
        ),
        (
            command(&["no-such-program"]),
            "or run the app by attache exec",
            false,
        ),
        (
            command(&[plain, "SECRET"]),
            "cannot be executed: Permission denied",
            false,
        ),
        (command(&["a\0b"]), "was not started", false),
        (sh("echo SECRET >&2; exit 3"), "/bin/sh exited with 3", true),
        (
            sh("kill -KILL $$; : SECRET"),
            "/bin/sh was ended by signal 9",
            true,
        ),
    ] {
        let error = run_it(&action).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("SECRET"), "{text}");
        assert_eq!(error.may_have_reached(), reached, "{text}");
    }
}

/// Waits until a file names a process.
async fn pid_in(path: &Path) -> i32 {
    let mut ask = tokio::time::interval(Duration::from_millis(10));
    let wait = async {
        loop {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            if let Ok(pid) = text.trim().parse() {
                return pid;
            }
            ask.tick().await;
        }
    };
    timeout(LIMIT, wait).await.expect("a process")
}

fn runs(pid: i32) -> bool {
    let stat = procfs::process::Process::new(pid).and_then(|p| p.stat());
    stat.is_ok_and(|stat| stat.state != 'Z')
}

async fn gone(pid: i32) {
    let mut ask = tokio::time::interval(Duration::from_millis(10));
    let wait = async {
        while runs(pid) {
            ask.tick().await;
        }
    };
    assert!(timeout(LIMIT, wait).await.is_ok(), "{pid} runs on");
}

#[tokio::test]
async fn what_takes_too_long_is_ended_with_its_group() {
    let dir = tempfile::tempdir().unwrap();
    for (name, trap) in [("heeds", ":"), ("ignores", "trap '' TERM")] {
        let pid = dir.path().join(name);
        let script = format!(
            "{trap}; sh -c 'echo $$ > {}; while :; do sleep 0.05; done' & while :; do sleep 0.05; done",
            pid.display()
        );
        let mut action = sh(&script);
        action.timeout = Duration::from_millis(500);
        action.grace = Duration::from_millis(300);
        let error = run_it(&action).await.unwrap_err();
        assert!(error.may_have_reached());
        let text = error.to_string();
        assert!(text.contains("took longer than 500ms"), "{text}");
        gone(pid_in(&pid).await).await;
    }
}

#[tokio::test]
async fn who_is_left_behind_with_the_pipes_holds_nothing_up() {
    let (log, _guard) = Log::start();
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let script = format!(
        "echo first >&2
         sh -c 'echo $$ > {0}.new; mv {0}.new {0}; while :; do echo more; done' &
         while [ ! -e {0} ]; do sleep 0.01; done",
        pid.display()
    );
    run_it(&sh(&script)).await.unwrap();
    assert_eq!(log.lines("stderr"), ["first"]);
    // Its next line meets a closed pipe.
    gone(pid_in(&pid).await).await;
}

#[tokio::test]
async fn a_program_is_left_alone_when_attache_ends() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let action = sh(&format!("echo $$ > {}; exec sleep 60", pid.display()));
    let (children, reaper) = children();
    let (change, runner) = (change(), children.clone());
    let task = tokio::spawn(async move { run("r", &action, &change, &runner).await.map(drop) });
    let pid = pid_in(&pid).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert!(runs(pid));
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    gone(pid.as_raw_nonzero().get()).await;
    reaper.abort();
}

#[tokio::test]
async fn both_outputs_are_logged_by_line_with_the_rule() {
    let (log, _guard) = Log::start();
    run_it(&sh("echo one; echo two >&2; printf 'three\\r\\n\\nno end'"))
        .await
        .unwrap();
    assert_eq!(log.lines("stdout"), ["one", "three", "", "no end"]);
    assert_eq!(log.lines("stderr"), ["two"]);
    assert_eq!(log.fields()[0]["rule"], "onChange[2]");
    assert_eq!(log.fields().len(), 5, "nothing was left out");
}

#[tokio::test]
async fn ten_thousand_lines_are_read_and_the_first_ones_logged() {
    let (log, _guard) = Log::start();
    let script = "i=0; while [ $i -lt 10000 ]; do echo line $i; i=$((i+1)); done";
    run_it(&sh(script)).await.unwrap();
    let lines = log.lines("stdout");
    assert_eq!(lines.len(), MAX_LINES);
    assert_eq!(lines[MAX_LINES - 1], format!("line {}", MAX_LINES - 1));
    let bytes: usize = (MAX_LINES..10_000).map(|n| format!("line {n}").len()).sum();
    assert_eq!(log.dropped(), (10_000 - MAX_LINES as u64, bytes as u64));
    assert_eq!(log.fields().len(), MAX_LINES + 1);
}

#[tokio::test]
async fn long_lines_are_cut_and_binary_is_made_text() {
    let (log, _guard) = Log::start();
    run_it(&sh(
        "head -c 1000000 /dev/zero | tr '\\0' x; echo; printf '\\377\\033[31m\\n'",
    ))
    .await
    .unwrap();
    let lines = log.lines("stdout");
    assert_eq!(lines[0], "x".repeat(MAX_LINE));
    assert_eq!(lines[1], "\u{fffd}\u{1b}[31m");
    assert_eq!(log.dropped(), (0, 1_000_000 - MAX_LINE as u64));
}

#[tokio::test]
async fn a_run_logs_so_many_bytes_and_no_more() {
    let (log, _guard) = Log::start();
    run_it(&sh("head -c 4000 /dev/zero | tr '\\0' y > \"$0\"; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do cat \"$0\"; echo; done; echo short; rm \"$0\"").at_temp())
        .await
        .unwrap();
    let lines = log.lines("stdout");
    let fit = MAX_BYTES / 4000;
    assert_eq!(lines.len(), fit);
    assert!(lines.iter().all(|line| line.len() == 4000));
    assert_eq!(
        log.dropped(),
        (21 - fit as u64, (20 - fit as u64) * 4000 + 5)
    );
}

impl CommandAction {
    /// Gives the script a file's name as `$0`.
    fn at_temp(mut self) -> Self {
        let name = format!("attache-output-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        self.argv.push(path.to_str().unwrap().to_owned());
        self
    }
}
