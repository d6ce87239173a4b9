use std::io::Write as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::Stdio;

use procfs::process::Process;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// How long anything may take that is waited for.
const LIMIT: Duration = Duration::from_secs(60);

fn children() -> (Children, JoinHandle<()>) {
    let children = Children::default();
    let reaper = children.clone().reap();
    let reaper = tokio::spawn(async move { drop(reaper.await) });
    (children, reaper)
}

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::null());
    command
}

fn signal_named(number: i32, name: &str) -> Signal {
    Signal {
        number,
        name: name.into(),
    }
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let poll = async {
        let mut ask = interval(Duration::from_millis(10));
        while !condition() {
            ask.tick().await;
        }
    };
    let met = timeout(LIMIT, poll).await;
    assert!(met.is_ok(), "not within {LIMIT:?}: {what}");
}

async fn status(child: &mut Child) -> ExitStatus {
    timeout(LIMIT, child.ended()).await.expect("it ends")
}

#[tokio::test]
async fn every_child_has_its_own_status_also_when_asked_again() {
    let (children, _reaper) = children();
    let mut all: Vec<(i32, Child)> = (0..40)
        .map(|code| {
            let child = children.spawn(&mut sh(&format!("exit {code}")));
            (code, child.unwrap())
        })
        .collect();
    for (code, child) in &mut all {
        assert_eq!(status(child).await.code(), Some(*code));
        assert_eq!(status(child).await.code(), Some(*code));
    }
}

#[tokio::test]
async fn a_signal_reaches_it_and_later_ones_reach_nobody() {
    let (children, _reaper) = children();
    let mut child = children.spawn(&mut sh("kill -STOP $$")).unwrap();
    child.signal(&signal_named(15, "TERM")).unwrap();
    child.signal(&signal_named(18, "CONT")).unwrap();
    let stopped_or_ended = async {
        // TERM may come before the shell has stopped itself, CONT then too.
        while timeout(Duration::from_millis(20), child.ended())
            .await
            .is_err()
        {
            child.signal(&signal_named(18, "CONT")).unwrap();
        }
    };
    timeout(LIMIT, stopped_or_ended).await.unwrap();
    assert_eq!(status(&mut child).await.signal(), Some(15));
    child.signal(&signal_named(9, "KILL")).unwrap();
    child.kill().unwrap();
    child.signal_group(&signal_named(9, "KILL")).unwrap();
    child.end_group(LIMIT).await.unwrap();
    let unknown = child.signal(&signal_named(99, "X")).unwrap_err();
    assert_eq!(unknown.kind(), io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_dropped_child_runs_on_and_is_reaped() {
    let (children, _reaper) = children();
    let mut command = sh("read x");
    let mut child = children.spawn(command.stdin(Stdio::piped())).unwrap();
    let (id, mut stdin) = (child.id(), child.stdin.take().unwrap());
    drop(child);
    assert_eq!(Process::new(id).unwrap().stat().unwrap().pid, id);
    stdin.write_all(b"go\n").unwrap();
    eventually("reaped", || Process::new(id).is_err()).await;
}

#[tokio::test]
async fn what_cannot_be_executed_is_the_callers_error() {
    let (children, _reaper) = children();
    let error = children.spawn(&mut Command::new("/no/such/program"));
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotFound);
    let mut child = children.spawn(&mut sh("exit 3")).unwrap();
    assert_eq!(status(&mut child).await.code(), Some(3));
}

/// A process that others started keeps its status: here they are this process' other tests.
#[tokio::test]
async fn what_others_started_is_theirs() {
    let (children, _reaper) = children();
    let mut theirs = sh("exit 7").spawn().unwrap();
    let mut ours = children.spawn(&mut sh("exit 8")).unwrap();
    assert_eq!(status(&mut ours).await.code(), Some(8));
    assert_eq!(theirs.wait().unwrap().code(), Some(7));
}

/// A group's leader whose child tells its process ID in `file` once both are ready.
fn leader(children: &Children, file: &Path, leader: &str, member: &str) -> Child {
    let script = format!(
        "{leader}\nsh -c '{member}\necho $$ > {0}.new; mv {0}.new {0}; while :; do sleep 0.05; done' &
         while :; do sleep 0.05; done",
        file.display()
    );
    children
        .spawn(sh(&script).process_group(0))
        .expect("sh starts")
}

async fn member(file: &Path) -> Process {
    let mut pid = None;
    eventually("a member", || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        pid = text.trim().parse().ok();
        pid.is_some()
    })
    .await;
    Process::new(pid.unwrap()).unwrap()
}

fn gone(process: &Process) -> bool {
    process.stat().map_or(true, |stat| stat.state == 'Z')
}

#[tokio::test]
async fn a_group_that_heeds_term_is_ended_without_kill() {
    let (children, _reaper) = children();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let (last, goodbye) = (
        "trap \"exit 4\" TERM",
        "trap \"sleep 0.2; : > $0; exit\" TERM",
    );
    let goodbye = goodbye.replace("$0", &format!("{}.bye", file.display()));
    let mut child = leader(&children, &file, last, &goodbye);
    let other = member(&file).await;
    timeout(LIMIT, child.end_group(LIMIT * 2))
        .await
        .unwrap()
        .unwrap();
    // The leader ended first, and the other one had its time nevertheless.
    assert!(gone(&other));
    assert!(dir.path().join("pid.bye").exists());
    assert_eq!(status(&mut child).await.code(), Some(4));
}

#[tokio::test]
async fn whoever_ignores_term_is_killed_with_the_group_also_after_its_leader() {
    let (children, _reaper) = children();
    let dir = tempfile::tempdir().unwrap();
    for (name, first, second, signal) in [
        ("both", "trap '' TERM", "", Some(9)),
        ("member", "trap 'exit 5' TERM", "trap \"\" TERM", None),
    ] {
        let file = dir.path().join(name);
        let mut child = leader(&children, &file, first, second);
        let other = member(&file).await;
        let end = child.end_group(Duration::from_millis(300));
        timeout(LIMIT, end).await.unwrap().unwrap();
        eventually("the other one is killed", || gone(&other)).await;
        let status = status(&mut child).await;
        assert_eq!(status.signal(), signal, "{name}");
    }
}
