//! The whole of it in-process: real commands, and a store filled by hand.

use tokio::task::JoinHandle;

use super::*;
use crate::config::{EnvFrom, ObjectKind, ObjectName, Reload, Timing};
use crate::process::Orphans;
use crate::readiness::Pending;
use crate::shutdown::{self, Trigger};
use crate::store::{self, Kind, ObjectRef, RawObject, ScopeSpec, ScopeWriter, Selects};

/// How long anything may take that is waited for.
const LIMIT: Duration = Duration::from_secs(60);

struct World {
    scope: ScopeWriter,
    reader: Reader,
    readiness: Readiness,
    pending: Option<Pending>,
    board: Board,
    metrics: Metrics,
    trigger: Trigger,
    shutdown: Shutdown,
    version: u32,
}

impl World {
    /// Not ready until [`World::ready`].
    fn new() -> Self {
        let (writer, reader) = store::new(1 << 20);
        let readiness = Readiness::default();
        let pending = readiness.pending("the first write");
        readiness.seal();
        let (trigger, shutdown) = shutdown::channel();
        Self {
            scope: writer.scope(ScopeSpec::declared(Selects::Directory("/d".into()))),
            reader,
            readiness,
            pending: Some(pending),
            board: Board::default(),
            metrics: Metrics::new(),
            trigger,
            shutdown,
            version: 0,
        }
    }

    fn ready(&mut self) {
        self.pending = None;
    }

    fn put(&mut self, value: &str) {
        let mut raw = RawObject::empty(ObjectRef::new(Kind::ConfigMap, "default", "web"));
        self.version += 1;
        raw.resource_version = self.version.to_string();
        raw.data.insert("V".into(), value.into());
        self.scope.upsert(self.scope.freeze(raw));
    }

    fn start(&self, exec: Exec) -> JoinHandle<Result<Ended, ExecError>> {
        let children = Children::new(Orphans::Unclaimed);
        let reaper = tokio::spawn(children.clone().reap());
        let inputs = Inputs {
            reader: self.reader.clone(),
            readiness: self.readiness.clone(),
            board: self.board.clone(),
            metrics: self.metrics.clone(),
            names: Names::new("default".into()),
            settle: Settle {
                quiet: Duration::from_secs(1),
                longest: Duration::from_secs(1),
            },
            children,
            environment: std::env::vars_os().collect(),
            signals: Signals::none(),
            shutdown: self.shutdown.clone(),
        };
        tokio::spawn(async move {
            let ended = run(exec, inputs).await;
            reaper.abort();
            ended
        })
    }

    async fn eventually(&self, what: &str, condition: impl Fn(&Board) -> bool) {
        let until = async {
            while !condition(&self.board) {
                tokio::task::yield_now().await;
            }
        };
        let met = tokio::time::timeout(LIMIT, until).await;
        assert!(met.is_ok(), "{what}: {:?}", self.board.notes());
    }

    fn problem(&self) -> Option<String> {
        self.board.notes().problems.get("exec").cloned()
    }
}

fn exec(script: &str, reload: Reload) -> Exec {
    Exec {
        argv: ["sh", "-c", script].map(OsString::from).into(),
        env_from: vec![EnvFrom {
            kind: ObjectKind::ConfigMap,
            object: ObjectName {
                namespace: None,
                name: "web".into(),
            },
            optional: false,
            prefix: String::new(),
        }],
        environment_wins: false,
        reload,
        stop_signal: signals::term(),
        stop_timeout: LIMIT,
        timing: Timing {
            settle: Some(Settle {
                quiet: Duration::ZERO,
                longest: Duration::ZERO,
            }),
            splay: Duration::ZERO,
            min_interval: Duration::ZERO,
            retries: 0,
        },
        wait_timeout: Some(Duration::from_secs(60)),
        stale_ok: false,
        keep: false,
    }
}

/// Waits without a process of its own for a signal; never longer than a test.
const WAITS: &str = "exec sleep 120";

#[tokio::test(start_paused = true)]
async fn it_waits_for_readiness_and_for_objects() {
    let mut world = World::new();
    world.scope.replace(vec![]);
    let error = world.start(exec("exit 0", Reload::Restart)).await.unwrap();
    let error = error.unwrap_err();
    assert_eq!(error.exit_code(), 1);
    let text = error.to_string();
    assert!(
        text.contains(
            "within 60s: ConfigMap default/web does not exist; the first write (not ready); create"
        ),
        "{text}"
    );
    // Content alone does not suffice.
    world.put("3");
    let error = world.start(exec("exit $V", Reload::Restart)).await.unwrap();
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("60s: the first write (not ready); see"),
        "{text}"
    );
    world.ready();
    let ended = world.start(exec("exit $V", Reload::Restart)).await.unwrap();
    assert_eq!(ended.unwrap(), Ended { code: 3 });
}

#[tokio::test(start_paused = true)]
async fn stale_content_will_do_if_told_so() {
    let mut world = World::new();
    let stale = Exec {
        stale_ok: true,
        ..exec("exit $V", Reload::Restart)
    };
    // But not without any.
    let error = world.start(stale.clone()).await.unwrap().unwrap_err();
    assert!(matches!(error, ExecError::Missing { .. }), "{error}");
    world.put("4");
    let ended = world.start(stale).await.unwrap();
    assert_eq!(ended.unwrap(), Ended { code: 4 });
}

#[tokio::test]
async fn told_to_stop_before_the_command_runs_it_never_does() {
    let world = World::new();
    world.trigger.stop();
    let ended = world.start(exec("exit 3", Reload::Restart)).await.unwrap();
    assert_eq!(ended.unwrap(), Ended { code: 143 });
}

#[tokio::test]
async fn told_to_stop_it_stops_the_command() {
    let mut world = World::new();
    world.ready();
    world.put("0");
    let running = world.start(exec(WAITS, Reload::Restart));
    tokio::task::yield_now().await;
    world.trigger.stop();
    assert_eq!(running.await.unwrap().unwrap(), Ended { code: 143 });
}

#[tokio::test]
async fn a_restart_stands_on_the_board_and_in_the_metrics() {
    let mut world = World::new();
    world.ready();
    world.put("0");
    // The second command ends by itself.
    let script = format!("[ $V = 0 ] || exit 5; {WAITS}");
    let running = world.start(exec(&script, Reload::Restart));
    tokio::task::yield_now().await;
    world.put("1");
    assert_eq!(running.await.unwrap().unwrap(), Ended { code: 5 });
    let notes = world.board.notes();
    let [note] = &notes.actions.into_iter().collect::<Vec<_>>()[..] else {
        panic!("one action");
    };
    assert_eq!((note.action, note.outcome), ("restart", "ok"));
    assert_eq!(note.objects, ["ConfigMap default/web"]);
    let metrics = world.metrics.encode();
    let line = r#"attache_actions_total{kind="exec",result="ok"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_command_that_would_die_of_the_signal_is_a_problem() {
    let mut world = World::new();
    world.ready();
    world.put("0");
    let hup = Signal {
        number: 1,
        name: "HUP".into(),
    };
    let running = world.start(exec(WAITS, Reload::Signal(hup)));
    tokio::task::yield_now().await;
    world.put("1");
    world
        .eventually("a problem", |board| !board.notes().problems.is_empty())
        .await;
    assert!(world.problem().unwrap().contains("does not catch HUP"));
    assert_eq!(world.board.notes().actions[0].outcome, "retrying");
    assert!(!running.is_finished());
    world.trigger.stop();
    assert_eq!(running.await.unwrap().unwrap(), Ended { code: 143 });
}

#[tokio::test]
async fn without_reload_the_board_says_that_there_is_newer_content() {
    let mut world = World::new();
    world.ready();
    world.put("0");
    let running = world.start(exec(WAITS, Reload::None));
    tokio::task::yield_now().await;
    world.put("1");
    world
        .eventually("a problem", |board| !board.notes().problems.is_empty())
        .await;
    assert!(world.problem().unwrap().contains("ConfigMap default/web"));
    world.put("0");
    world
        .eventually("none", |board| board.notes().problems.is_empty())
        .await;
    world.trigger.stop();
    assert_eq!(running.await.unwrap().unwrap(), Ended { code: 143 });
}
