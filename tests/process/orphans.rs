//! The reaper where orphans come to it, in processes of its own: it takes every child there is.

use std::process::{Command, Stdio};
use std::time::Duration;

use attache::process::{Children, Orphans};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{interval, timeout};

/// Set where the test may reap whatever there is.
const ALONE: &str = "ATTACHE_TEST_REAPS_ORPHANS";
const LIMIT: Duration = Duration::from_secs(60);

fn started(orphans: Orphans) -> (Children, JoinHandle<()>) {
    let children = Children::new(orphans);
    children.become_subreaper().unwrap();
    let reaper = children.clone().reap();
    (children, tokio::spawn(async move { drop(reaper.await) }))
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

/// Runs the test of this name alone in another process, in which it may reap whatever there is.
fn alone(test: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("orphans::{test}")])
        .args(["--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

fn zombies() -> bool {
    let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::All, peek), Ok(Some(_)))
}

/// 10,000 zombies come at once, when their parent ends that never waited for them.
async fn ten_thousand(children: &Children) {
    let script = "import os, sys
for _ in range(10000):
    if os.fork() == 0: os._exit(0)
sys.stdin.read()
os._exit(6)";
    let mut command = Command::new("python3");
    command.args(["-c", script]).stdin(Stdio::piped());
    let mut parent = children.spawn(&mut command).unwrap();
    let list = format!("/proc/{0}/task/{0}/children", parent.id());
    eventually("10,000 zombies", || {
        let list = std::fs::read_to_string(&list).unwrap();
        list.split_whitespace().count() == 10_000
    })
    .await;
    drop(parent.stdin.take());
    let status = timeout(LIMIT, parent.ended()).await.unwrap();
    assert_eq!(status.code(), Some(6));
    eventually("all reaped", || !zombies()).await;
}

#[tokio::test]
async fn ten_thousand_orphans_are_reaped_at_once() {
    if std::env::var_os(ALONE).is_none() {
        return alone("ten_thousand_orphans_are_reaped_at_once");
    }
    let (children, _reaper) = started(Orphans::AtOnce);
    ten_thousand(&children).await;
}

#[tokio::test]
async fn orphans_that_nobody_claims_are_reaped_and_a_librarys_program_is_left_to_it() {
    let name = "orphans_that_nobody_claims_are_reaped_and_a_librarys_program_is_left_to_it";
    if std::env::var_os(ALONE).is_none() {
        return alone(name);
    }
    let (children, _reaper) = started(Orphans::Unclaimed);
    let library = spawn_blocking(|| {
        (0..200).all(|_| {
            Command::new("sh")
                .args(["-c", "exit 9"])
                .status()
                .unwrap()
                .code()
                == Some(9)
        })
    });
    ten_thousand(&children).await;
    assert!(library.await.unwrap(), "each had its status");
}
