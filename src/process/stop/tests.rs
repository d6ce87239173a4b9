use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::config::Glob;

/// How long anything may take that is waited for.
const LIMIT: Duration = Duration::from_secs(60);

/// A child that ends with the test.
struct App(Child);

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl App {
    /// A shell that runs `script` and then waits for ever, known by its directory's name.
    async fn start(dir: &Path, name: &str, script: &str) -> Self {
        let ready = dir.join(name);
        let script = format!(
            "{script}; : > {}; while :; do sleep 0.05; done",
            ready.display()
        );
        let child = Command::new("/bin/sh")
            .args(["-c", &script])
            .stdin(Stdio::null())
            .spawn();
        let app = Self(child.unwrap());
        let mut ask = tokio::time::interval(Duration::from_millis(10));
        let wait = async {
            while !ready.exists() {
                ask.tick().await;
            }
        };
        assert!(timeout(LIMIT, wait).await.is_ok(), "{name} is not ready");
        app
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

/// Those whose command line names the directory.
fn within(dir: &Path) -> ProcessMatch {
    let glob = Glob::new(&format!("/bin/sh*{}*", dir.display())).unwrap();
    ProcessMatch::Cmdline(glob)
}

fn pids(found: &[Found]) -> Vec<i32> {
    found.iter().map(|found| found.pid).collect()
}

#[tokio::test]
async fn term_suffices_with_a_handler_or_without_and_who_ignores_it_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut handler = App::start(dir.path(), "handler", "trap 'exit 3' TERM").await;
    let mut plain = App::start(dir.path(), "plain", ":").await;
    let mut deaf = App::start(dir.path(), "deaf", "trap '' TERM").await;
    let grace = Duration::from_secs(2);
    let target = within(dir.path());
    let now = Older::Than(Instant::now());
    let stopped = stop(&target, &now, grace, async |_| {});
    let stopped = timeout(LIMIT, stopped).await.unwrap().unwrap();
    let mut ended = pids(&stopped.ended);
    ended.sort_unstable();
    let mut expected = [handler.pid(), plain.pid()];
    expected.sort_unstable();
    assert_eq!(ended, expected);
    assert_eq!(pids(&stopped.killed), [deaf.pid()]);
    assert!(stopped.current.is_empty());
    let code = |app: &mut App| app.0.wait().unwrap();
    use std::os::unix::process::ExitStatusExt as _;
    assert_eq!(code(&mut handler).code(), Some(3));
    assert_eq!(code(&mut plain).signal(), Some(15));
    assert_eq!(code(&mut deaf).signal(), Some(9));
    // Nobody is left to be found.
    let error = stop(&target, &now, grace, async |_| {}).await;
    let error = error.unwrap_err();
    assert!(!error.may_have_reached());
    let text = error.to_string();
    assert!(text.contains("shareProcessNamespace: true"), "{text}");
}

#[tokio::test]
async fn what_started_with_the_new_content_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut app = App::start(dir.path(), "app", ":").await;
    let hour_ago = Instant::now()
        .checked_sub(Duration::from_secs(3600))
        .unwrap();
    let older = Older::Than(hour_ago);
    let target = within(dir.path());
    let stopped = stop(&target, &older, LIMIT, async |_| {}).await.unwrap();
    assert_eq!(pids(&stopped.current), [app.pid()]);
    assert!(stopped.ended.is_empty() && stopped.killed.is_empty());
    assert!(app.0.try_wait().unwrap().is_none(), "it lives");
}

/// However soon a process starts in the place of one that was ended, a further attempt with the same
/// content lets it be.
#[tokio::test]
async fn a_further_attempt_ends_only_those_that_the_first_one_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = App::start(dir.path(), "first", ":").await;
    let mut noted = Vec::new();
    let now = Older::Than(Instant::now());
    let note = async |instances: Vec<Instance>| noted = instances;
    let stopped = stop(&within(dir.path()), &now, LIMIT, note).await.unwrap();
    assert_eq!(pids(&stopped.ended), [first.pid()]);
    first.0.wait().unwrap();
    assert_eq!(noted.len(), 1);
    let kept = serde_json::to_value(&noted).unwrap();
    let mut second = App::start(dir.path(), "second", ":").await;
    let these = Older::These(serde_json::from_value(kept).unwrap());
    let target = within(dir.path());
    let stopped = stop(&target, &these, LIMIT, async |_| {}).await.unwrap();
    assert_eq!(pids(&stopped.current), [second.pid()]);
    assert!(second.0.try_wait().unwrap().is_none(), "it lives");
}

#[test]
fn what_happened_all_the_same_is_told() {
    let found = |pid| Found {
        pid,
        name: "web".into(),
    };
    let error = StopError::Partly {
        ended: vec![found(7)],
        error: Box::new(StopError::StillThere(found(8))),
    };
    assert!(error.may_have_reached());
    let text = error.to_string();
    assert!(text.starts_with("web (PID 8) is still there"), "{text}");
    assert!(text.ends_with("; web (PID 7) ended"), "{text}");
}
