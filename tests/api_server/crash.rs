//! attache is killed at each step from a change to the note that it was acted upon, and started
//! again: the directory is whole, the app is told, and nothing is restarted for what it has.

#[path = "crash/site.rs"]
mod site;
#[path = "crash/subject.rs"]
mod subject;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;

use super::{LIMIT, restarts};
use crate::support::control_plane::ControlPlane;
use crate::support::relay::Relay;
use crate::support::{eventually, http};
use site::{DirectoryReader, Site, get, outcomes};
use subject::{Kind, Subject};

/// A step at which attache is killed: its failpoint, what the directory then holds, and how far
/// the action is.
#[derive(Clone, Copy, Debug)]
struct Step {
    failpoint: &'static str,
    directory: &'static [&'static str],
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Neither done nor intended.
    NotYet,
    /// Its intent is kept.
    Intended,
    /// Done, and not noted.
    Done,
    /// Done and noted.
    Noted,
}

const fn step(failpoint: &'static str, directory: &'static [&'static str], action: Action) -> Step {
    Step {
        failpoint,
        directory,
        action,
    }
}

/// The content is kept while the files are written.
const CONTENT_KEPT: Step = step("state-content-kept", &["1", "2"], Action::NotYet);
const BEFORE_SWAP: Step = step("files-before-swap", &["1"], Action::NotYet);
const AFTER_SWAP: Step = step("files-after-swap", &["2"], Action::NotYet);
/// The first note of the rule once the files are written.
const NOTING_INTENT: Step = step("files-after-swap,state-rule-before", &["2"], Action::NotYet);
const INTENT_NOTED: Step = step("rule-before-act", &["2"], Action::Intended);
const ACTED: Step = step("rule-after-act", &["2"], Action::Done);
const NOTING: Step = step("rule-after-act,state-rule-before", &["2"], Action::Done);
const NOTED: Step = step("rule-after-act,state-rule-kept", &["2"], Action::Noted);

const STEPS: [Step; 8] = [
    CONTENT_KEPT,
    BEFORE_SWAP,
    AFTER_SWAP,
    NOTING_INTENT,
    INTENT_NOTED,
    ACTED,
    NOTING,
    NOTED,
];

/// What becomes of the content while attache is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    Nothing,
    Changed,
    Reverted,
}

/// Kills attache at `step` of the change from 1 to 2.
async fn kill(kind: Kind, step: Step, away: Away, state: bool) -> (Site, Vec<String>) {
    let plane = ControlPlane::shared().await;
    let name = format!("{kind:?}, {}, {away:?}", step.failpoint);
    let mut site = Site::new(name, plane, kind, state).await;
    let attache = site.start(Some(step.failpoint)).await;
    site.ready(&attache).await;
    site.subject.begin();
    if let Subject::Signal(app) | Subject::Process(app) = &site.subject {
        eventually(site.say("the program runs"), LIMIT, async || {
            app.starts() == 1
        })
        .await;
    }
    if state {
        site.settled(&attache, "1").await;
    }
    site.arm();
    let version = site.set("2").await;
    site.killed(attache).await;
    let held = site.held();
    assert!(
        step.directory.contains(&&*held),
        "{}",
        site.say(&format!("the files hold {held}"))
    );
    let act = site.subject.act("2", &version);
    (site, act)
}

/// Kills attache at `step` of a change, starts it again, and once more.
async fn survives(kind: Kind, step: Step, away: Away) {
    let (mut site, act) = kill(kind, step, away, true).await;
    let reading = DirectoryReader::start(&site);
    if matches!(step.action, Action::Done | Action::Noted) {
        // Before the content changes again, it reads what it was told of.
        acted(&mut site, act.len()).await;
    }
    let (value, last) = match away {
        Away::Nothing => ("2", vec![]),
        Away::Changed | Away::Reverted => {
            let value = if away == Away::Changed { "3" } else { "1" };
            let version = site.set(value).await;
            (value, site.subject.act(value, &version))
        }
    };
    let attache = site.start(None).await;
    site.ready(&attache).await;
    site.holds(value).await;
    site.settled(&attache, value).await;
    let possible = possible(kind, step, away, &act, &last);
    let fewest = possible.iter().map(Vec::len).min().unwrap();
    let acts = acted(&mut site, fewest).await;
    let ran = outcomes(&attache).await;
    let said = format!("{acts:?} instead of {possible:?}, {ran:?}");
    let said = format!("{}\n{}", site.say(&said), attache.stderr());
    assert!(possible.contains(&acts), "{said}");
    if away == Away::Nothing {
        let outcome = match step.action {
            Action::Noted => None,
            Action::Done if !kind.may_repeat() => Some("skipped"),
            Action::NotYet | Action::Intended | Action::Done => Some("ok"),
        };
        assert!(ran.iter().eq(outcome.iter()), "{said}");
    }
    drop(attache);
    nothing_more_happens(&mut site, value, &acts).await;
    reading.end().await;
}

/// What may have been heard of, given what is of 2 and what of the newest content, if that is
/// another.
fn possible(
    kind: Kind,
    step: Step,
    away: Away,
    act: &[String],
    last: &[String],
) -> Vec<Vec<String>> {
    let both = [act, last].concat();
    let told = match (away, step.action) {
        (Away::Nothing, _) | (_, Action::Done | Action::Noted) => both,
        // It was told of 1, and nothing else was shown since.
        (Away::Reverted, Action::NotYet) => vec![],
        (Away::Reverted, Action::Intended) | (Away::Changed, _) => last.to_vec(),
    };
    let mut possible = vec![told.clone()];
    if kind.may_repeat() && away == Away::Nothing && step.action == Action::Done {
        possible.push([act, &told].concat());
    }
    possible
}

/// What the subject heard of, once that is as much as expected.
async fn acted(site: &mut Site, count: usize) -> Vec<String> {
    let mut acts = Vec::new();
    let what = site.say(&format!("{count} acts"));
    eventually(what, LIMIT, async || {
        acts = site.subject.acts().await;
        acts.len() >= count
    })
    .await;
    acts
}

/// Another attache finds nothing to do for what was told.
async fn nothing_more_happens(site: &mut Site, value: &str, acts: &[String]) {
    let attache = site.start(None).await;
    site.ready(&attache).await;
    site.go_through_another_change(&attache).await;
    site.settled(&attache, value).await;
    assert_eq!(outcomes(&attache).await, [""; 0], "{}", site.say("actions"));
    assert_eq!(site.held(), value);
    site.subject.assert_whole().await;
    assert_eq!(site.subject.acts().await, acts, "{}", site.say("acts"));
}

/// Every step, one beside the other.
async fn survives_each(kind: Kind, away: Away) {
    join_all(STEPS.map(|step| survives(kind, step, away))).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_signal_comes_once_and_may_come_twice_where_its_sending_was_not_noted() {
    survives_each(Kind::Signal, Away::Nothing).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_webhook_is_called_once_and_may_be_called_twice_where_its_call_was_not_noted() {
    survives_each(Kind::Webhook, Away::Nothing).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_command_runs_once_and_may_run_twice_where_its_end_was_not_noted() {
    survives_each(Kind::Command, Away::Nothing).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_process_is_restarted_once() {
    survives_each(Kind::Process, Away::Nothing).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn there_is_one_rollout() {
    survives_each(Kind::Rollout, Away::Nothing).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn each_pod_is_restarted_once() {
    survives_each(Kind::Pods, Away::Nothing).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_change_while_attache_is_away_is_told() {
    survives_each(Kind::Command, Away::Changed).await;
    survives_each(Kind::Process, Away::Changed).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_change_undone_while_attache_is_away_is_told_to_whoever_may_have_seen_it() {
    survives_each(Kind::Command, Away::Reverted).await;
    survives_each(Kind::Process, Away::Reverted).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn pods_that_are_left_are_restarted_by_the_next_attache() {
    let plane = ControlPlane::shared().await;
    let mut site = Site::new("midway".into(), plane, Kind::Pods, true).await;
    let attache = site.start(None).await;
    site.ready(&attache).await;
    site.settled(&attache, "1").await;
    let version = site.set("2").await;
    let first = acted(&mut site, 1).await;
    drop(attache);
    assert_eq!(first.len(), 1, "the next pod waits for a replacement");
    assert_eq!(site.held(), "2");
    let reading = DirectoryReader::start(&site);
    let attache = site.start(None).await;
    site.ready(&attache).await;
    site.settled(&attache, "2").await;
    let expected = site.subject.act("2", &version);
    assert_eq!(acted(&mut site, expected.len()).await, expected);
    drop(attache);
    nothing_more_happens(&mut site, "2", &expected).await;
    reading.end().await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn without_a_state_directory_nobody_is_told_and_the_files_are_completed() {
    let steps = [BEFORE_SWAP, AFTER_SWAP, INTENT_NOTED, ACTED];
    join_all(steps.map(|step| async move {
        let (mut site, act) = kill(Kind::Command, step, Away::Nothing, false).await;
        let attache = site.start(None).await;
        site.ready(&attache).await;
        site.holds("2").await;
        site.go_through_another_change(&attache).await;
        assert_eq!(outcomes(&attache).await, [""; 0], "{}", site.say("actions"));
        let done = step.action == Action::Done;
        let expected = if done { act } else { vec![] };
        assert_eq!(site.subject.acts().await, expected, "{}", site.say("acts"));
        // It watches all the same.
        let version = site.set("3").await;
        let expected = [expected, site.subject.act("3", &version)].concat();
        assert_eq!(acted(&mut site, expected.len()).await, expected);
    }))
    .await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn state_is_served_while_the_api_server_is_away() {
    let plane = ControlPlane::shared().await;
    let mut site = Site::new("away".into(), plane, Kind::Command, true).await;
    let relay = Relay::start(plane.addr()).await;
    let kubeconfig = plane.kubeconfig_via(&plane.admin_kubeconfig(), relay.addr());
    let attache = site.start_with(&kubeconfig, &[], None).await;
    site.ready(&attache).await;
    site.settled(&attache, "1").await;
    drop(attache);
    relay.refuse();
    std::fs::remove_dir_all(site.files()).unwrap();
    let key = format!("/kv/{}/web/A", site.namespace);
    for (flags, ready) in [(&[][..], 503), (&["--ready-from-state"][..], 200)] {
        let attache = site.start_with(&kubeconfig, flags, None).await;
        // A key's link comes after the set, as the kubelet makes it.
        let links = ["A", "B", "other"].map(|key| site.files().join(key));
        let what = site.say("the files are written from state");
        eventually(what, LIMIT, async || links.iter().all(|link| link.exists())).await;
        assert_eq!(site.held(), "1");
        let served = http::get(&attache.url(&key), &[]).await.unwrap();
        assert_eq!(served.status(), 200);
        assert_eq!(*served.body(), "1");
        assert!(served.headers().contains_key("age"), "{served:?}");
        eventually(site.say(&format!("ready is {ready}")), LIMIT, async || {
            get(&attache, "/-/ready").await.0 == ready
        })
        .await;
        if ready == 200 {
            // It changed meanwhile, and the API server is back.
            site.set("2").await;
            relay.pass();
            site.settled(&attache, "2").await;
            assert_eq!(site.subject.acts().await, ["2"]);
            let served = http::get(&attache.url(&key), &[]).await.unwrap();
            assert!(!served.headers().contains_key("age"), "{served:?}");
        }
    }
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn damaged_state_is_set_aside() {
    let plane = ControlPlane::shared().await;
    let mut site = Site::new("damaged".into(), plane, Kind::Command, true).await;
    let attache = site.start(None).await;
    site.ready(&attache).await;
    site.settled(&attache, "1").await;
    drop(attache);
    // Without the list of its objects, nothing of a scope is restored.
    let rounds = [("2", true, 1), ("3", false, 2)];
    for (told, (value, is_scope, count)) in rounds.into_iter().enumerate() {
        let files = files_below(&site.state()).into_iter();
        let files = files.filter(|file| file.extension().is_none());
        let mut damaged = files
            .filter(|file| file.ends_with("scope") == is_scope && !file.ends_with("lock"))
            .collect::<Vec<_>>();
        for file in &damaged {
            let mut bytes = std::fs::read(file).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(file, bytes).unwrap();
        }
        assert_eq!(damaged.len(), count, "a scope; an object and a rule");
        let attache = site.start(None).await;
        site.ready(&attache).await;
        damaged.retain(|file| !file.with_extension("damaged").exists());
        assert!(damaged.is_empty(), "{damaged:?}\n{}", attache.stderr());
        site.go_through_another_change(&attache).await;
        assert_eq!(outcomes(&attache).await, [""; 0], "{}", attache.stderr());
        site.set(value).await;
        site.settled(&attache, value).await;
        let expected = ["2", "3"];
        assert_eq!(site.subject.acts().await, expected[..=told]);
    }
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn no_value_of_a_secret_is_in_the_state_directory_unless_asked_for() {
    const VALUE: &str = "correct horse battery";
    let plane = ControlPlane::shared().await;
    let site = Site::new("secrets".into(), plane, Kind::Command, true).await;
    plane
        .create_secret(&site.namespace, "db", &[("password", VALUE)])
        .await;
    let holds_value = || {
        let encoded = STANDARD.encode(VALUE);
        files_below(&site.state()).iter().any(|file| {
            let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
            text.contains(VALUE) || text.contains(&encoded)
        })
    };
    let admin = plane.admin_kubeconfig();
    let rule = "{when: {secret: db}, command: [\"true\"]}";
    let secret = ["--secret", "db", "--on-change", rule];
    for (flags, kept) in [
        (&[][..], false),
        (&["--state-secrets"][..], true),
        (&[], false),
    ] {
        let attache = site
            .start_with(&admin, &[&secret[..], flags].concat(), None)
            .await;
        site.ready(&attache).await;
        eventually(site.say("the rule's state is kept"), LIMIT, async || {
            files_below(&site.state().join("rules")).len() == 1 && (!kept || holds_value())
        })
        .await;
        // What is kept of the ConfigMap after a later change, is kept after the Secret.
        site.go_through_another_change(&attache).await;
        assert_eq!(holds_value(), kept);
    }
}

/// All files below a directory, however deep.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => files.push(path),
        }
    }
    files
}
