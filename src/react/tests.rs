use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;
use crate::actions::{Attempt, Change};
use crate::config::{Action, ObjectKind, ObjectName, Timing, WebhookAction, When};
use crate::shutdown::{self, Trigger};
use crate::state::RuleState;
use crate::store::{Kind, ObjectRef, RawObject, ScopeSpec, ScopeWriter, Selects, Writer, new};

mod filing;
mod resume;

/// One attempt as the app saw it.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    rule: String,
    number: u32,
    keys: String,
    at: Duration,
    since: std::time::Instant,
    content_hash: String,
    /// How far the action was.
    progress: Option<Value>,
    /// The app had read that content already.
    in_vain: bool,
}

/// What the next attempts of any rule do: how long they take, and whom they reach. Further ones
/// succeed at once.
type Plan = VecDeque<(Duration, Reached)>;

/// The tag of a content of `a`; `None` for none.
type Tag = Option<String>;

/// An app that reads `a` at some moment of an attempt that reaches it.
#[derive(Debug, Default)]
struct App {
    /// What it may have read last.
    has: BTreeSet<Tag>,
    /// What it could read since the attempt under way began.
    reads: Option<BTreeSet<Tag>>,
}

struct World {
    writer: Writer,
    reader: Reader,
    scopes: Vec<ScopeWriter>,
    board: Board,
    metrics: Metrics,
    calls: Arc<Mutex<Vec<Call>>>,
    plan: Arc<Mutex<Plan>>,
    app: Arc<Mutex<App>>,
    /// How often an action was asked to notice the world.
    notices: Arc<Mutex<u64>>,
    readiness: Readiness,
    version: u32,
    task: JoinHandle<()>,
    _trigger: Trigger,
}

const QUIET: Duration = Duration::from_millis(250);
const SETTLE: Settle = Settle {
    quiet: QUIET,
    longest: Duration::from_secs(1),
};
/// Longer than all retries and waits.
const LONG: Duration = Duration::from_secs(60);

fn secs(n: f64) -> Duration {
    Duration::from_secs_f64(n)
}

fn reference(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::ConfigMap, "default", name)
}

/// A rule for one object; its action never runs, as the tests bring their own.
fn rule(name: &str, object: &str) -> Rule {
    let object = ObjectName {
        namespace: None,
        name: object.to_owned(),
    };
    Rule {
        name: name.to_owned(),
        identity: name.to_owned(),
        when: When {
            object: Some((ObjectKind::ConfigMap, object)),
            keys: Vec::new(),
        },
        after_mount: None,
        timing: Timing {
            settle: None,
            splay: Duration::ZERO,
            min_interval: Duration::ZERO,
            retries: 4,
        },
        action: Action::Webhook(WebhookAction::new("http://127.0.0.1/".parse().unwrap())),
    }
}

fn keys(change: &Change) -> String {
    let object = |o: &crate::actions::ChangedObject| {
        format!(
            "{}:{}",
            o.reference.name,
            o.keys.keys().collect::<Vec<_>>().join(",")
        )
    };
    let objects: Vec<_> = change.objects.iter().map(object).collect();
    objects.join(" ")
}

/// The tag of the content of `a` that readers find.
fn content(reader: &Reader) -> Tag {
    let snapshot = reader.snapshot();
    let object = snapshot.get(&reference("a"))?;
    Some(object.content().etag().as_str().to_owned())
}

impl App {
    fn attempted(&mut self, reached: Reached) {
        let reads = self.reads.take().unwrap();
        match reached {
            Reached::Yes => self.has = reads,
            Reached::Perhaps => self.has.extend(reads),
            Reached::No => {}
        }
    }
}

impl World {
    /// Objects `a` and `b`, each synced with `k` = `0`.
    fn new(rules: Vec<Rule>) -> Self {
        let mut world = Self::resuming(rules, |_| None);
        world.sync_all();
        world
    }

    fn sync_all(&mut self) {
        for (index, name) in ["a", "b"].into_iter().enumerate() {
            let raw = self.raw(name, &[("k", "0")]);
            let scope = &self.scopes[index];
            scope.replace(vec![scope.freeze(raw)]);
        }
    }

    /// Objects `a` and `b`, neither read yet, and rules that an earlier attache kept state of.
    fn resuming(rules: Vec<Rule>, restored: impl Fn(&Rule) -> Option<RuleState>) -> Self {
        Self::filing(rules, &[], restored)
    }

    /// The same, with files to write.
    fn filing(
        rules: Vec<Rule>,
        files: &[FilesRule],
        restored: impl Fn(&Rule) -> Option<RuleState>,
    ) -> Self {
        let (writer, reader) = new(1 << 20);
        let (board, metrics) = (Board::default(), Metrics::new());
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let plan: Arc<Mutex<Plan>> = Arc::default();
        let (seen, planned, start) = (Arc::clone(&calls), Arc::clone(&plan), Instant::now());
        let app: Arc<Mutex<App>> = Arc::default();
        let (apps, read) = (Arc::clone(&app), reader.clone());
        let act: Act = Box::new(move |rule, change, attempt: Attempt, progress: Progress| {
            let newest = BTreeSet::from([content(&read)]);
            seen.lock().unwrap().push(Call {
                rule: rule.name.clone(),
                number: attempt.number,
                keys: keys(&change),
                at: start.elapsed(),
                since: change.since,
                content_hash: change.content_hash.clone(),
                progress: progress.get(),
                in_vain: apps.lock().unwrap().has == newest,
            });
            apps.lock().unwrap().reads = Some(newest);
            let app = Arc::clone(&apps);
            let (takes, reached) = planned
                .lock()
                .unwrap()
                .pop_front()
                .unwrap_or((Duration::ZERO, Reached::Yes));
            Box::pin(async move {
                sleep(takes).await;
                app.lock().unwrap().attempted(reached);
                if reached != Reached::Yes {
                    progress.set(Some(json!("made"))).await;
                }
                reached
            })
        });
        let notices: Arc<Mutex<u64>> = Arc::default();
        let noticing = Arc::clone(&notices);
        let notice: Notice = Box::new(move |_, _| {
            let mut notices = noticing.lock().unwrap();
            *notices += 1;
            Box::pin(std::future::ready(Some(json!(*notices))))
        });
        let names = Names::new("default".into());
        let readiness = Readiness::default();
        let filing = Filing::new(
            files,
            &names,
            board.clone(),
            metrics.clone(),
            &readiness,
            false,
        );
        readiness.seal();
        let lanes = rules.into_iter();
        let lanes = lanes.map(|rule| {
            let restored = restored(&rule);
            Lane::new(rule, &names, SETTLE, restored.as_ref())
        });
        let reactor = Reactor::new(
            lanes.collect(),
            filing,
            Keeper::default(),
            (act, notice),
            board.clone(),
            metrics.clone(),
        );
        let (trigger, shutdown) = shutdown::channel();
        let task = tokio::spawn(follow(reactor, reader.clone(), shutdown));
        let scope = |name| writer.scope(ScopeSpec::declared(Selects::Named(reference(name))));
        let scopes = vec![scope("a"), scope("b")];
        Self {
            scopes,
            writer,
            reader,
            board,
            metrics,
            calls,
            plan,
            app,
            notices,
            readiness,
            version: 0,
            task,
            _trigger: trigger,
        }
    }

    fn raw(&mut self, name: &str, data: &[(&str, &str)]) -> RawObject {
        self.version += 1;
        RawObject {
            uid: "u".into(),
            resource_version: self.version.to_string(),
            data: data
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
            ..RawObject::empty(reference(name))
        }
    }

    fn put(&mut self, name: &str, data: &[(&str, &str)]) {
        let raw = self.raw(name, data);
        let scope = &self.scopes[usize::from(name == "b")];
        scope.upsert(scope.freeze(raw));
        if let Some(reads) = &mut self.app.lock().unwrap().reads {
            reads.insert(content(&self.reader));
        }
    }

    /// Plans attempts that succeed, or fail without reaching anybody.
    fn plan(&self, plan: &[(f64, bool)]) {
        let reached = |ok| if ok { Reached::Yes } else { Reached::No };
        let plan = plan.iter().map(|(takes, ok)| (*takes, reached(*ok)));
        self.plan_reaching(&plan.collect::<Vec<_>>());
    }

    fn plan_reaching(&self, plan: &[(f64, Reached)]) {
        let plan = plan.iter().map(|(takes, reached)| (secs(*takes), *reached));
        *self.plan.lock().unwrap() = plan.collect();
    }

    /// Whether all that the app may have read last is the newest content.
    fn has_the_newest(&self) {
        let newest = BTreeSet::from([content(&self.reader)]);
        assert_eq!(self.app.lock().unwrap().has, newest);
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The attempts so far, without their times.
    fn told(&self) -> Vec<String> {
        let show = |c: &Call| format!("{}#{} {}", c.rule, c.number, c.keys);
        self.calls().iter().map(show).collect()
    }
}

/// Lets the baseline be seen.
async fn ready(rules: Vec<Rule>) -> World {
    let world = World::new(rules);
    sleep(LONG).await;
    assert!(world.calls().is_empty(), "the first sync is the baseline");
    assert!(world.board.notes().changes.is_empty());
    world.app.lock().unwrap().has = BTreeSet::from([content(&world.reader)]);
    world
}

#[tokio::test(start_paused = true)]
async fn a_change_is_journaled_at_once_and_told_after_the_settle_time() {
    let mut world = ready(vec![rule("r", "a")]).await;
    let start = Instant::now();
    world.put("a", &[("k", "1"), ("l", "1")]);
    sleep(Duration::from_millis(1)).await;
    let note = world.board.notes().changes[0].clone();
    assert_eq!(
        (note.kind, &*note.name, &*note.resource_version),
        ("ConfigMap", "a", "3")
    );
    assert_eq!(
        (note.added, note.changed),
        (vec!["l".to_owned()], vec!["k".to_owned()])
    );
    assert_eq!(world.metrics.changes.get(), 1);
    assert!(world.calls().is_empty());
    sleep(LONG).await;
    assert_eq!(world.told(), ["r#1 a:l,k"]);
    assert!(start.elapsed() >= QUIET);
    // What the rule is not for is journaled alone.
    world.put("b", &[("k", "1")]);
    sleep(LONG).await;
    assert_eq!((world.told().len(), world.metrics.changes.get()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_state_undone_within_the_settle_time_tells_nobody() {
    let mut world = ready(vec![rule("r", "a")]).await;
    world.put("a", &[("k", "1")]);
    sleep(QUIET / 2).await;
    world.put("a", &[("k", "0")]);
    sleep(LONG).await;
    assert!(world.calls().is_empty());
    assert_eq!(world.metrics.changes.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_storm_is_told_of_a_few_times_the_last_state_among_them() {
    let mut world = ready(vec![rule("r", "a")]).await;
    for n in 1..=1000 {
        world.put("a", &[("k", &n.to_string())]);
        sleep(Duration::from_millis(2)).await;
    }
    let before = world.calls().len();
    sleep(LONG).await;
    let calls = world.calls();
    assert!((2..=4).contains(&calls.len()), "{calls:?}");
    assert_eq!(calls.len(), before + 1, "the last state was told of");
}

#[tokio::test(start_paused = true)]
async fn without_a_settle_time_it_is_told_at_once() {
    let none = Settle {
        quiet: Duration::ZERO,
        longest: Duration::ZERO,
    };
    let mut world = ready(vec![Rule {
        timing: Timing {
            settle: Some(none),
            ..rule("r", "a").timing
        },
        ..rule("r", "a")
    }])
    .await;
    world.put("a", &[("k", "1")]);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.told(), ["r#1 a:k"]);
}

#[tokio::test(start_paused = true)]
async fn rules_run_in_their_order_and_failures_do_not_hold_up_others() {
    let mut world = ready(vec![rule("one", "a"), rule("two", "a"), rule("three", "b")]).await;
    // The first takes 5 s and fails; the second comes after it; so does the third.
    world.plan(&[(5.0, false)]);
    world.put("a", &[("k", "1")]);
    world.put("b", &[("k", "1")]);
    sleep(secs(1.0)).await;
    assert_eq!(world.told(), ["one#1 a:k"]);
    world.put("b", &[("k", "2")]);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(
        world.metrics.changes.get(),
        3,
        "the journal goes on meanwhile"
    );
    sleep(LONG).await;
    let told = world.told();
    let (retries, firsts): (Vec<_>, Vec<_>) = told.iter().partition(|call| call.contains("#2"));
    assert_eq!(
        firsts,
        ["one#1 a:k", "two#1 a:k", "three#1 b:k", "three#1 b:k"]
    );
    assert_eq!(retries, ["one#2 a:k"]);
}

#[tokio::test(start_paused = true)]
async fn five_attempts_back_off_then_the_next_change_brings_all_that_was_missed() {
    let mut world = ready(vec![rule("r", "a")]).await;
    world.plan(&[(0.0, false); 5]);
    world.put("a", &[("k", "1")]);
    sleep(LONG).await;
    let calls = world.calls();
    let numbers: Vec<_> = calls.iter().map(|c| c.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    for (pair, expected) in calls.windows(2).zip([1.0, 2.0, 4.0, 8.0]) {
        let waited = (pair[1].at - pair[0].at).as_secs_f64();
        let range = expected * 0.9..expected * 1.1 + 0.01;
        assert!(range.contains(&waited), "{waited} s for {expected} s");
    }
    sleep(LONG).await;
    assert_eq!(world.calls().len(), 5, "it gave up");
    world.put("a", &[("k", "1"), ("l", "1")]);
    sleep(LONG).await;
    assert_eq!(world.told()[5..], ["r#1 a:l,k"]);
    world.put("a", &[("k", "1"), ("l", "2")]);
    sleep(LONG).await;
    assert_eq!(
        world.told()[6..],
        ["r#1 a:l"],
        "success made the rest the baseline"
    );
}

#[tokio::test(start_paused = true)]
async fn a_newer_change_supersedes_the_retry() {
    let mut world = ready(vec![rule("r", "a")]).await;
    world.plan(&[(0.0, false), (0.0, false), (0.0, false)]);
    world.put("a", &[("k", "1")]);
    // After the third attempt, 4 s before the fourth.
    sleep(QUIET + secs(3.5)).await;
    assert_eq!(world.calls().len(), 3);
    world.put("a", &[("k", "1"), ("l", "1")]);
    sleep(LONG).await;
    assert_eq!(world.told()[3..], ["r#1 a:l,k"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_during_a_failing_attempt_supersedes_its_retry() {
    let slow = Settle {
        quiet: secs(3.0),
        longest: secs(9.0),
    };
    let mut world = ready(vec![Rule {
        timing: Timing {
            settle: Some(slow),
            ..rule("r", "a").timing
        },
        ..rule("r", "a")
    }])
    .await;
    world.plan(&[(1.0, false)]);
    world.put("a", &[("k", "1")]);
    sleep(secs(3.5)).await;
    assert_eq!(world.calls().len(), 1);
    world.put("a", &[("k", "1"), ("l", "1")]);
    sleep(LONG).await;
    assert_eq!(world.told()[1..], ["r#1 a:l,k"]);
}

#[tokio::test(start_paused = true)]
async fn a_state_that_returns_during_retries_leaves_nothing_to_do() {
    let mut world = ready(vec![rule("r", "a")]).await;
    world.plan(&[(0.0, false); 5]);
    world.put("a", &[("k", "1")]);
    sleep(LONG).await;
    world.board.problem("r", Some("failed".into()));
    world.put("a", &[("k", "0")]);
    sleep(LONG).await;
    assert_eq!(world.calls().len(), 5);
    assert_eq!(world.board.notes().problems, BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn a_state_that_an_attempt_may_have_shown_is_taken_back() {
    let mut world = ready(vec![rule("r", "a")]).await;
    // During the retries, and after the last of them.
    for attempts in [1, 5] {
        let start = world.calls().len();
        world.plan_reaching(&vec![(0.0, Reached::Perhaps); attempts]);
        world.put("a", &[("k", "1"), ("l", "1")]);
        let until_then = if attempts == 1 { secs(0.5) } else { LONG };
        sleep(until_then).await;
        assert_eq!(world.calls().len(), start + attempts);
        world.put("a", &[("k", "0")]);
        sleep(LONG).await;
        let told = world.told();
        assert_eq!(told[start + attempts..], ["r#1 a:k,l"]);
        // That was a success, and nothing is left.
        world.put("a", &[("k", "0"), ("m", "1")]);
        sleep(LONG).await;
        assert_eq!(world.told()[start + attempts + 1..], ["r#1 a:m"]);
        world.put("a", &[("k", "0")]);
        sleep(LONG).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_that_came_and_went_during_an_attempt_is_taken_back() {
    for reached in [Reached::Yes, Reached::Perhaps, Reached::No] {
        let mut world = ready(vec![rule("r", "a")]).await;
        world.plan_reaching(&[(5.0, reached)]);
        world.put("a", &[("k", "1")]);
        sleep(secs(1.0)).await;
        world.put("a", &[("k", "1"), ("l", "1")]);
        sleep(secs(1.0)).await;
        world.put("a", &[("k", "1")]);
        sleep(LONG).await;
        let expected = match reached {
            Reached::Yes => "r#1 a:l",
            Reached::Perhaps => "r#1 a:k,l",
            Reached::No => "r#1 a:k",
        };
        assert_eq!(world.told()[1..], [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_during_an_attempt_is_told_of_afterwards() {
    for succeeds in [true, false] {
        let mut world = ready(vec![rule("r", "a")]).await;
        world.plan(&[(5.0, succeeds)]);
        world.put("a", &[("k", "1")]);
        sleep(secs(1.0)).await;
        assert_eq!(world.calls().len(), 1);
        world.put("a", &[("k", "1"), ("l", "1")]);
        sleep(LONG).await;
        let expected = if succeeds { "r#1 a:l" } else { "r#1 a:l,k" };
        assert_eq!(world.told()[1..], [expected]);
        // One that is undone while the attempt runs was told, so its undoing is a change.
        world.plan(&[(5.0, true)]);
        world.put("a", &[("k", "2"), ("l", "1")]);
        sleep(secs(1.0)).await;
        world.put("a", &[("k", "1"), ("l", "1")]);
        sleep(LONG).await;
        assert_eq!(world.told()[2..], ["r#1 a:k", "r#1 a:k"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_waits_for_its_mount_and_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("k");
    std::fs::write(&file, "0").unwrap();
    let waiting = Rule {
        after_mount: Some(dir.path().to_owned()),
        ..rule("mounted", "a")
    };
    let mut world = ready(vec![waiting, rule("other", "a")]).await;
    world.put("a", &[("k", "1")]);
    sleep(LONG).await;
    assert_eq!(world.told(), ["other#1 a:k"]);
    let problem = world.board.notes().problems["mounted afterMount"].clone();
    assert!(problem.contains("waiting for the mount"), "{problem}");
    assert!(problem.contains("ConfigMap default/a"), "{problem}");
    // Superseded while it waits: what the mount held meanwhile does not count.
    world.put("a", &[("k", "2")]);
    sleep(LONG).await;
    std::fs::write(&file, "1").unwrap();
    sleep(LONG).await;
    assert_eq!(world.told().len(), 2);
    let before = std::time::Instant::now();
    std::fs::write(&file, "2").unwrap();
    sleep(LONG).await;
    assert_eq!(world.told()[2..], ["mounted#1 a:k"]);
    let since = world.calls()[2].since;
    assert!(
        since > before,
        "an app could not read it before the mount had it"
    );
    assert_eq!(world.board.notes().problems, BTreeMap::new());
    // Undone while it waits: nothing is left to do.
    world.put("a", &[("k", "3")]);
    sleep(LONG).await;
    world.put("a", &[("k", "2")]);
    sleep(LONG).await;
    let told = world.told();
    assert_eq!(
        told.iter()
            .filter(|call| call.starts_with("mounted"))
            .count(),
        1
    );
    assert_eq!(world.board.notes().problems, BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn a_rule_without_an_object_is_for_all_that_is_declared() {
    let all = Rule {
        when: When::default(),
        ..rule("r", "")
    };
    let mut world = ready(vec![all]).await;
    let demand = world
        .writer
        .scope(ScopeSpec::on_demand(Selects::Named(reference("c"))));
    demand.replace(vec![demand.freeze(world.raw("c", &[("k", "0")]))]);
    sleep(LONG).await;
    demand.upsert(demand.freeze(world.raw("c", &[("k", "1")])));
    sleep(LONG).await;
    assert!(world.calls().is_empty());
    world.put("b", &[("k", "1")]);
    world.put("a", &[("k", "1")]);
    sleep(LONG).await;
    assert_eq!(world.told(), ["r#1 a:k b:k"]);
}

#[tokio::test(start_paused = true)]
async fn it_ends_at_shutdown_and_lives_on_without_sources() {
    let mut world = ready(vec![rule("r", "a")]).await;
    world.put("a", &[("k", "1")]);
    // The scopes go with their writers, the content that rules saw does not.
    world.scopes.clear();
    world.writer = new(1).0;
    sleep(LONG).await;
    assert!(!world.task.is_finished());
    drop(world._trigger);
    timeout(LONG, world.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_webhook_is_called_with_what_changed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let none = Settle {
        quiet: Duration::ZERO,
        longest: Duration::ZERO,
    };
    let hook = Action::Webhook(WebhookAction::new(url.parse().unwrap()));
    let rules = vec![Rule {
        action: hook,
        ..rule("r", "a")
    }];
    let (writer, mut reader) = new(1 << 20);
    let (trigger, shutdown) = shutdown::channel();
    let (board, metrics) = (Board::default(), Metrics::new());
    let scope = writer.scope(ScopeSpec::declared(Selects::Named(reference("a"))));
    let put = |value: &str| {
        scope.replace(vec![scope.freeze(RawObject {
            data: [("k".to_owned(), value.to_owned())].into(),
            ..RawObject::empty(reference("a"))
        })]);
    };
    put("0");
    reader
        .wait_for(|snapshot| !snapshot.entries().is_empty())
        .await
        .unwrap();
    let notes = board.clone();
    let inputs = Inputs {
        rules,
        files: Vec::new(),
        names: Names::new("default".into()),
        settle: none,
        reader,
        board,
        metrics,
        tools: Tools::none(),
        state: None,
        ready_from_state: false,
    };
    let task = tokio::spawn(React::new(inputs, &Readiness::default()).run(shutdown));
    // The baseline has been seen once the task has run.
    tokio::task::yield_now().await;
    put("1");
    let (mut stream, _) = timeout(LONG, listener.accept()).await.unwrap().unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"}]}") {
        assert!(stream.read_buf(&mut request).await.unwrap() > 0);
    }
    let request = String::from_utf8(request).unwrap();
    assert!(request.contains(r#""changed":["k"]"#), "{request}");
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    let noted = async {
        while notes.notes().actions.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, noted).await.unwrap();
    assert_eq!(notes.notes().actions[0].outcome, "ok");
    trigger.stop();
    timeout(LONG, task).await.unwrap().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// An app that reads the content at any moment of an attempt that reaches it has the last
    /// state in the end, whatever came when and however its attempts failed; it is never told in
    /// vain, nor too often.
    #[test]
    fn the_last_state_is_always_told_and_none_in_vain(
        states in prop::collection::vec((0_u8..3, 0_u8..2, 0_u64..1200), 1..40),
        failures in prop::collection::vec((0_u64..6000, 0_u8..5), 40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = ready(vec![rule("r", "a")]).await;
            let plan = failures.iter().enumerate().map(|(n, (takes, how))| {
                let reached = match how {
                    0 => Reached::No,
                    1 | 2 => Reached::Perhaps,
                    _ => Reached::Yes,
                };
                // Never five failures in a row; half of the attempts take no time.
                let reached = if n % 5 == 4 { Reached::Yes } else { reached };
                (takes.saturating_sub(3000) as f64 / 1000.0, reached)
            });
            world.plan_reaching(&plan.collect::<Vec<_>>());
            for (k, l, gap) in states {
                let (k, l) = (k.to_string(), l.to_string());
                let data = [("k", &*k), ("l", &*l)];
                // A zero is no key at all.
                let data: Vec<_> = data.into_iter().filter(|(_, v)| *v != "0").collect();
                world.put("a", &data);
                // Now and then a pause for all that is due.
                let pause = gap >= 1000;
                sleep(if pause { LONG } else { Duration::from_millis(gap) }).await;
                if pause {
                    world.has_the_newest();
                }
            }
            sleep(LONG).await;
            world.has_the_newest();
            let calls = world.calls();
            assert!(calls.iter().all(|call| !call.in_vain), "{calls:?}");
            let firsts: Vec<_> = calls.iter().filter(|call| call.number == 1).collect();
            for pair in firsts.windows(2) {
                assert!(pair[1].at - pair[0].at >= QUIET, "{pair:?}");
            }
        });
    }
}
