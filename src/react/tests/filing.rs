//! Files before actions.

use std::path::Path;

use super::*;
use crate::config::{FilesFrom, FilesRule, FilesTo, NamedObject};

/// `a`'s keys to `dir`.
fn files(dir: &Path) -> FilesRule {
    files_of("a", dir)
}

fn files_of(object: &str, dir: &Path) -> FilesRule {
    FilesRule {
        name: "files[0]".into(),
        from: FilesFrom::Object(NamedObject {
            kind: ObjectKind::ConfigMap,
            object: ObjectName {
                namespace: None,
                name: object.into(),
            },
            optional: false,
        }),
        to: FilesTo::Dir {
            dir: dir.to_owned(),
            mode: 0o644,
            items: None,
        },
    }
}

fn read(dir: &Path) -> Option<String> {
    std::fs::read_to_string(dir.join("k")).ok()
}

#[tokio::test(start_paused = true)]
async fn readiness_waits_for_the_first_write_and_a_restart_of_attache_finds_it() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("config");
    for _ in 0..2 {
        let mut world = World::filing(vec![rule("r", "a")], &[files(&dir)], |_| None);
        assert!(world.readiness.check().is_err());
        world.sync_all();
        timeout(LONG, world.readiness.ready()).await.unwrap();
        assert_eq!(read(&dir).as_deref(), Some("0"));
        assert!(world.calls().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_comes_after_the_files_that_hold_its_objects_and_others_do_not_wait() {
    let place = tempfile::tempdir().unwrap();
    let (dir, obstacle) = (place.path().join("etc/config"), place.path().join("etc"));
    let rules = vec![rule("r", "a"), rule("other", "b")];
    let mut world = World::filing(rules, &[files(&dir)], |_| None);
    std::fs::write(&obstacle, "in the way").unwrap();
    world.sync_all();
    sleep(LONG).await;
    let problem = world.board.notes().problems["files[0]"].clone();
    assert!(problem.contains("etc"), "{problem}");
    world.put("a", &[("k", "1")]);
    world.put("b", &[("k", "1")]);
    sleep(LONG).await;
    assert_eq!(world.told(), ["other#1 b:k"]);
    assert!(world.board.notes().problems.contains_key("r files"));
    let before = std::time::Instant::now();
    std::fs::remove_file(&obstacle).unwrap();
    sleep(LONG).await;
    assert_eq!(world.told()[1..], ["r#1 a:k"]);
    assert_eq!(read(&dir).as_deref(), Some("1"));
    // A process that started before the files were there has not read them.
    assert!(world.calls()[1].since >= before - Duration::from_millis(50));
    assert_eq!(world.board.notes().problems, BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_object_leaves_its_files() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("config");
    let mut world = World::filing(Vec::new(), &[files(&dir)], |_| None);
    world.sync_all();
    sleep(LONG).await;
    world.scopes[0].replace(Vec::new());
    sleep(LONG).await;
    assert_eq!(read(&dir).as_deref(), Some("0"));
    world.put("a", &[("k", "2")]);
    sleep(LONG).await;
    assert_eq!(read(&dir).as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn an_action_waits_while_another_object_of_the_directory_is_missing() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("config");
    let rules = [files_of("a", &dir), files_of("b", &dir)];
    let mut world = World::filing(vec![rule("r", "a")], &rules, |_| None);
    let raw = world.raw("a", &[("k", "0")]);
    world.scopes[0].replace(vec![world.scopes[0].freeze(raw)]);
    sleep(LONG).await;
    world.put("a", &[("k", "1")]);
    sleep(LONG).await;
    assert_eq!((world.told(), read(&dir)), (Vec::new(), None));
    let raw = world.raw("b", &[("other", "0")]);
    world.scopes[1].replace(vec![world.scopes[1].freeze(raw)]);
    sleep(LONG).await;
    assert_eq!(world.told(), ["r#1 a:k"]);
    assert_eq!(read(&dir).as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn files_of_restored_content_make_ready_once_it_was_read() {
    for value in ["0", "1"] {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("config");
        let mut world = World::filing(Vec::new(), &[files(&dir)], |_| None);
        let now = std::time::Instant::now();
        let raw = world.raw("a", &[("k", "0")]);
        world.scopes[0].restore(vec![(raw, now)], now);
        sleep(LONG).await;
        assert_eq!(read(&dir).as_deref(), Some("0"));
        assert!(world.readiness.check().is_err());
        let raw = world.raw("a", &[("k", value)]);
        world.scopes[0].replace(vec![world.scopes[0].freeze(raw)]);
        timeout(LONG, world.readiness.ready()).await.unwrap();
        assert_eq!(read(&dir).as_deref(), Some(value));
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_failed_is_tried_again_even_if_the_old_content_is_wanted_again() {
    let place = tempfile::tempdir().unwrap();
    let (dir, obstacle) = (place.path().join("etc/config"), place.path().join("etc"));
    let (board, names) = (Board::default(), Names::new("default".into()));
    let (metrics, readiness) = (Metrics::new(), Readiness::default());
    let mut filing = Filing::new(&[files(&dir)], &names, board, metrics, &readiness, false);
    let (writer, reader) = new(1 << 20);
    let scope = writer.scope(ScopeSpec::declared(Selects::Named(reference("a"))));
    let snapshots = ["0", "1"].map(|value| {
        let data = [("k".to_owned(), value.to_owned())].into();
        scope.replace(vec![scope.freeze(RawObject {
            data,
            ..RawObject::empty(reference("a"))
        })]);
        reader.snapshot()
    });
    let observe = |filing: &mut Filing, number: usize| {
        let mut seen = super::super::seen::Seen::default();
        seen.observe(&snapshots[number]);
        filing.observe(&snapshots[number], &seen);
    };
    observe(&mut filing, 0);
    let filed = filing.begin(Instant::now()).pop().unwrap().await;
    filing.filed(filed, Instant::now());
    assert_eq!(filing.deadline(), None);
    observe(&mut filing, 1);
    std::fs::remove_dir_all(&obstacle).unwrap();
    std::fs::write(&obstacle, "in the way").unwrap();
    let failing = filing.begin(Instant::now()).pop().unwrap().await;
    observe(&mut filing, 0);
    filing.filed(failing, Instant::now());
    let deadline = filing.deadline().unwrap();
    std::fs::remove_file(&obstacle).unwrap();
    let filed = filing.begin(deadline).pop().unwrap().await;
    filing.filed(filed, deadline);
    assert_eq!(read(&dir).as_deref(), Some("0"));
    assert_eq!(filing.deadline(), None);
}
