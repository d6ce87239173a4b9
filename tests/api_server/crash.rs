//! attache is killed at each step from a change to the note that it was acted upon, and started
//! again: the directory is whole, the app is told, and nothing is restarted for what it has.

#[path = "crash/site.rs"]
mod site;
#[path = "crash/subject.rs"]
mod subject;

use futures_util::future::join_all;

use super::{LIMIT, restarts};
use crate::support::control_plane::ControlPlane;
use crate::support::eventually;
use site::{DirectoryReader, Site, outcomes};
use subject::{Kind, Subject};

/// A step at which attache is killed: its failpoint, what the directory then holds, and how far
/// the action is.
#[derive(Clone, Copy, Debug)]
struct Step {
    failpoint: &'static str,
    directory: &'static [&'static str],
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
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
    let was_told = step.action >= Action::Done || away == Away::Nothing;
    let expected = match away {
        // It was told of 1, and of nothing since.
        Away::Reverted if step.action == Action::NotYet => vec![],
        _ if was_told => [act.clone(), last].concat(),
        _ => last,
    };
    let acts = acted(&mut site, expected.len()).await;
    let twice = [&act[..], &act].concat();
    let may_repeat = kind.may_repeat() && away == Away::Nothing && step.action == Action::Done;
    assert!(
        acts == expected || may_repeat && acts == twice,
        "{}\n{}",
        site.say(&format!("{acts:?} instead of {expected:?}")),
        attache.stderr()
    );
    let outcome = match (away, step.action) {
        (Away::Nothing, Action::Noted) | (Away::Reverted, Action::NotYet) => None,
        (Away::Nothing, Action::Done) if !kind.may_repeat() => Some("skipped"),
        _ => Some("ok"),
    };
    let ran = outcomes(&attache).await;
    assert!(
        ran.iter().eq(outcome.iter()),
        "{}",
        site.say(&format!("{ran:?}"))
    );
    drop(attache);
    nothing_more_happens(&mut site, value, &acts).await;
    reading.end().await;
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

/// Every step with nothing else happening, one beside the other.
async fn survives_each(kind: Kind) {
    let cells = STEPS.map(|step| survives(kind, step, Away::Nothing));
    join_all(cells).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_signal_comes_once_and_may_come_twice_where_its_sending_was_not_noted() {
    survives_each(Kind::Signal).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_webhook_is_called_once_and_may_be_called_twice_where_its_call_was_not_noted() {
    survives_each(Kind::Webhook).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_command_runs_once_and_may_run_twice_where_its_end_was_not_noted() {
    survives_each(Kind::Command).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_process_is_restarted_once() {
    survives_each(Kind::Process).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn there_is_one_rollout() {
    survives_each(Kind::Rollout).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn each_pod_is_restarted_once() {
    survives_each(Kind::Pods).await;
}
