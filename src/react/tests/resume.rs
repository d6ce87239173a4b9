//! What pauses, what rests, and what goes on where an earlier attache ended.

use super::*;
use crate::config::{RestartAction, WhichPods};

/// What is kept of a rule that was told that `k` of `a` was `value`.
fn told(value: &str) -> RuleState {
    let content = frozen("a", &[("k", value)], std::time::Instant::now());
    let tags = content.iter().map(|(k, tag)| (k.clone(), tag.clone()));
    RuleState {
        told: [(reference("a"), tags.collect())].into(),
        ..RuleState::default()
    }
}

/// The ETag of each key of such an object.
fn frozen(
    name: &str,
    data: &[(&str, &str)],
    since: std::time::Instant,
) -> BTreeMap<String, String> {
    let (writer, reader) = new(1 << 20);
    let scope = writer.scope(ScopeSpec::declared(Selects::Named(reference(name))));
    scope.restore(vec![(kept(name, data), since)], since);
    let snapshot = reader.snapshot();
    let values = snapshot.get(&reference(name)).unwrap().content().values();
    values
        .iter()
        .map(|(key, value)| (key.to_string(), value.etag.as_str().to_owned()))
        .collect()
}

/// An object as an earlier attache held it.
fn kept(name: &str, data: &[(&str, &str)]) -> RawObject {
    RawObject {
        uid: "u".into(),
        resource_version: "1".into(),
        data: data
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
        ..RawObject::empty(reference(name))
    }
}

/// `a` is read for the first time, holding that.
fn sync(world: &mut World, value: &str) {
    let raw = world.raw("a", &[("k", value)]);
    world.scopes[0].replace(vec![world.scopes[0].freeze(raw)]);
}

fn pause(world: &mut World, value: Option<&str>, data: &[(&str, &str)]) {
    let mut raw = world.raw("a", data);
    let annotation = value.map(|value| (crate::store::PAUSE.to_owned(), value.to_owned()));
    raw.annotations.extend(annotation);
    world.scopes[0].upsert(world.scopes[0].freeze(raw));
}

fn restart_of_pods() -> Rule {
    Rule {
        action: Action::Restart(RestartAction::Pods {
            which: WhichPods::Annotation,
            max_unavailable: 1,
            evict: false,
            timeout: LONG,
        }),
        ..rule("r", "a")
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_actions_and_says_so_and_its_end_acts_once_on_the_newest_state() {
    let mut world = ready(vec![rule("r", "a")]).await;
    pause(&mut world, Some("true"), &[("k", "1")]);
    sleep(LONG).await;
    pause(&mut world, Some("true"), &[("k", "2")]);
    sleep(LONG).await;
    assert_eq!(world.told(), [""; 0]);
    let problem = world.board.notes().problems["r paused"].clone();
    assert!(problem.contains("ConfigMap default/a"), "{problem}");
    pause(&mut world, None, &[("k", "2")]);
    sleep(LONG).await;
    assert_eq!(world.told(), ["r#1 a:k"]);
    assert_eq!(world.board.notes().problems, BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn a_pause_without_a_change_and_any_other_value_hold_nothing() {
    let mut world = ready(vec![rule("r", "a")]).await;
    for (value, expected) in [(Some("true"), 0), (None, 0), (Some("false"), 0)] {
        pause(&mut world, value, &[("k", "0")]);
        sleep(LONG).await;
        assert_eq!(world.calls().len(), expected, "{value:?}");
    }
    pause(&mut world, Some("yes"), &[("k", "1")]);
    sleep(LONG).await;
    assert_eq!(world.told(), ["r#1 a:k"]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_comes_during_retries_stops_them() {
    let mut world = ready(vec![rule("r", "a")]).await;
    world.plan(&[(0.0, false); 5]);
    world.put("a", &[("k", "1")]);
    sleep(QUIET + secs(0.5)).await;
    let before = world.calls().len();
    pause(&mut world, Some("true"), &[("k", "1")]);
    sleep(LONG).await;
    assert_eq!(world.calls().len(), before);
    pause(&mut world, None, &[("k", "1")]);
    sleep(LONG).await;
    assert!(world.calls().len() > before);
}

#[tokio::test(start_paused = true)]
async fn it_rests_between_actions_and_then_acts_on_the_newest_state() {
    let mut resting = rule("r", "a");
    resting.timing.min_interval = Duration::from_secs(30);
    let mut world = ready(vec![resting]).await;
    let start = world.calls.lock().unwrap().len();
    assert_eq!(start, 0);
    for value in ["1", "2", "3"] {
        world.put("a", &[("k", value)]);
        sleep(secs(2.0)).await;
    }
    sleep(LONG).await;
    let calls = world.calls();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls[1].at - calls[0].at >= Duration::from_secs(30));
    world.has_the_newest();
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_attache_alone_tells_nobody() {
    let mut world = World::resuming(vec![rule("r", "a")], |_| Some(told("0")));
    sync(&mut world, "0");
    sleep(LONG).await;
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_came_while_attache_was_away_is_told_of_once() {
    let mut world = World::resuming(vec![rule("r", "a")], |_| Some(told("0")));
    sleep(LONG).await;
    assert_eq!(world.told(), [""; 0], "nothing is known yet");
    sync(&mut world, "1");
    sleep(LONG).await;
    assert_eq!(world.told(), ["r#1 a:k"]);
}

#[tokio::test(start_paused = true)]
async fn content_that_was_kept_and_not_told_is_told_once_the_source_answers() {
    let mut world = World::resuming(vec![rule("r", "a")], |_| Some(told("0")));
    let since = std::time::Instant::now();
    let contact = since;
    world.scopes[0].restore(vec![(kept("a", &[("k", "1")]), since)], contact);
    sleep(LONG).await;
    assert_eq!(world.told(), [""; 0], "it may have changed again");
    sync(&mut world, "1");
    sleep(LONG).await;
    assert_eq!(world.told(), ["r#1 a:k"]);
    assert_eq!(
        world.calls()[0].since,
        since,
        "a process that started since then has it"
    );
}

#[tokio::test(start_paused = true)]
async fn content_that_was_kept_and_is_outdated_is_told_to_nobody() {
    for (newest, calls) in [("2", 1), ("0", 0)] {
        let mut world = World::resuming(vec![rule("r", "a")], |_| Some(told("0")));
        let since = std::time::Instant::now();
        world.scopes[0].restore(vec![(kept("a", &[("k", "1")]), since)], since);
        sleep(LONG).await;
        // Another version than the one that was kept.
        world.version = 1;
        sync(&mut world, newest);
        sleep(LONG).await;
        assert_eq!(world.told().len(), calls, "{newest}");
        if calls > 0 {
            world.has_the_newest();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_was_kept_and_never_told_of_is_new() {
    let mut world = World::resuming(vec![rule("r", "a")], |_| Some(RuleState::default()));
    let since = std::time::Instant::now();
    world.scopes[0].restore(vec![(kept("a", &[("k", "1")]), since)], since);
    sleep(LONG).await;
    sync(&mut world, "1");
    sleep(LONG).await;
    assert_eq!(world.told(), ["r#1 a:k"]);
    let world = World::resuming(vec![rule("r", "a")], |_| None);
    world.scopes[0].restore(vec![(kept("a", &[("k", "1")]), since)], since);
    sleep(LONG).await;
    assert_eq!(
        world.told(),
        [""; 0],
        "a rule without state begins with what is there"
    );
}

#[tokio::test(start_paused = true)]
async fn what_an_interrupted_attempt_may_have_shown_is_taken_back() {
    let state = RuleState {
        shown: [(reference("a"), [("k".to_owned(), true)].into())].into(),
        ..told("0")
    };
    let mut world = World::resuming(vec![rule("r", "a")], |_| Some(state.clone()));
    sync(&mut world, "0");
    sleep(LONG).await;
    assert_eq!(world.told(), ["r#1 a:k"]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_went_while_attache_was_away_is_told_of_and_a_named_object_is_not() {
    for (selects, expected) in [
        (Selects::Named(reference("a")), &[][..]),
        (
            Selects::Selector {
                kind: Kind::ConfigMap,
                namespace: None,
                labels: "app=web".into(),
            },
            &["r#1 a:k"],
        ),
    ] {
        let everything = Rule {
            when: When::default(),
            ..rule("r", "a")
        };
        let mut world = World::resuming(vec![everything], |_| Some(told("0")));
        world.scopes.clear();
        let scope = world.writer.scope(ScopeSpec::declared(selects));
        scope.replace(Vec::new());
        world.scopes.push(scope);
        sleep(LONG).await;
        assert_eq!(world.told(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_goes_by_what_it_noticed_when_the_newest_change_came() {
    let mut world = ready(vec![restart_of_pods()]).await;
    world.put("a", &[("k", "1")]);
    sleep(secs(0.1)).await;
    world.put("a", &[("k", "2")]);
    sleep(LONG).await;
    assert_eq!(*world.notices.lock().unwrap(), 2);
    assert_eq!(world.calls()[0].progress, Some(json!(2)));
    // Undone, and what was noticed of it forgotten.
    world.put("a", &[("k", "3")]);
    world.put("a", &[("k", "2")]);
    sleep(LONG).await;
    world.put("a", &[("k", "4")]);
    sleep(LONG).await;
    let calls = world.calls();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!(
        calls[1].progress,
        Some(json!(*world.notices.lock().unwrap()))
    );
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_action_goes_on_where_it_was_unless_the_content_changed() {
    // The hash of a content, as an action is told it.
    let (probe, hashes) = (Arc::new(Mutex::new(Vec::new())), ["1", "2"]);
    for value in hashes {
        let mut world = ready(vec![restart_of_pods()]).await;
        world.put("a", &[("k", value)]);
        sleep(LONG).await;
        let hash = world.calls()[0].content_hash.clone();
        probe.lock().unwrap().push(hash);
    }
    let hash = probe.lock().unwrap()[0].clone();
    let state = RuleState {
        progress: Some(json!({"contentHash": hash, "value": "half-way"})),
        ..told("0")
    };
    for (value, progress, notices) in [("1", json!("half-way"), 0), ("2", json!(1), 1)] {
        let mut world = World::resuming(vec![restart_of_pods()], |_| Some(state.clone()));
        sync(&mut world, value);
        sleep(LONG).await;
        assert_eq!(world.calls()[0].progress, Some(progress));
        assert_eq!(*world.notices.lock().unwrap(), notices);
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_was_missing_at_the_start_counts_once_it_comes() {
    for (value, expected) in [("0", &[][..]), ("1", &["r#1 a:k"])] {
        let mut world = World::resuming(vec![rule("r", "a")], |_| Some(told("0")));
        world.scopes[0].replace(Vec::new());
        sleep(LONG).await;
        assert_eq!(world.told(), [""; 0]);
        world.put("a", &[("k", value)]);
        sleep(LONG).await;
        assert_eq!(world.told(), expected);
        world.put("a", &[("k", "2")]);
        sleep(LONG).await;
        assert_eq!(world.told().len(), expected.len() + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_done_for_a_content_is_forgotten_once_another_came() {
    let mut world = ready(vec![rule("r", "a")]).await;
    world.plan(&[(0.0, false); 6]);
    world.put("a", &[("k", "1")]);
    sleep(LONG).await;
    let made = Some(json!("made"));
    let progress = |world: &World| world.calls().pop().unwrap().progress;
    assert_eq!(progress(&world), made, "a retry goes on");
    world.put("a", &[("k", "2")]);
    sleep(secs(0.1)).await;
    world.put("a", &[("k", "1")]);
    sleep(QUIET + secs(0.1)).await;
    assert_eq!(world.calls().len(), 6);
    assert_eq!(progress(&world), None);
}
