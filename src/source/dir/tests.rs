use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::shutdown::{self, Trigger};
use crate::store::{self, Contact, Kind, Lookup, Reader, ScopeSpec, Selects, Snapshot};

struct Running {
    reader: Reader,
    board: Board,
    _trigger: Trigger,
}

fn start(path: &Path) -> Running {
    let (writer, reader) = store::new(1 << 20);
    let scope = writer.scope(ScopeSpec::declared(Selects::Directory(
        path.display().to_string().into(),
    )));
    let board = Board::default();
    let (trigger, shutdown) = shutdown::channel();
    let options = Options {
        path: path.to_owned(),
        namespace: "default".into(),
        secrets: [ObjectRef::new(Kind::Secret, "default", "db")].into(),
    };
    tokio::spawn(run(options, scope, board.clone(), shutdown));
    Running {
        reader,
        board,
        _trigger: trigger,
    }
}

impl Running {
    async fn until(
        &mut self,
        what: &str,
        condition: impl FnMut(&Snapshot) -> bool,
    ) -> Arc<Snapshot> {
        timeout(Duration::from_secs(20), self.reader.wait_for(condition))
            .await
            .unwrap_or_else(|_| {
                panic!(
                    "waited for {what}; {:?} {:?}",
                    self.reader.snapshot(),
                    self.board.notes()
                )
            })
            .unwrap()
    }

    async fn until_value(&mut self, name: &str, value: &str) -> Arc<Snapshot> {
        self.until(&format!("{name} = {value}"), |s| {
            get(s, name).as_deref() == Some(value)
        })
        .await
    }

    async fn until_live(&mut self) -> Arc<Snapshot> {
        self.until("contact", |s| {
            matches!(s.scopes()[0].contact(), Contact::Live)
        })
        .await
    }

    async fn until_lost(&mut self, reason: &str) -> Arc<Snapshot> {
        self.until(reason, |s| {
            s.scopes()[0]
                .contact()
                .reason()
                .is_some_and(|r| r.contains(reason))
        })
        .await
    }
}

fn get(snapshot: &Snapshot, name: &str) -> Option<String> {
    let object = snapshot.get(&ObjectRef::new(Kind::ConfigMap, "default", name))?;
    Some(object.content().get("k")?.text()?.to_owned())
}

fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{k: {value}}}\n")
}

fn write(dir: &TempDir, name: &str, text: &str) {
    fs::write(dir.path().join(name), text).unwrap();
}

#[tokio::test]
async fn serves_manifests_and_named_secrets_and_follows_writes() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.yaml", &config_map("a", "one"));
    write(
        &dir,
        "b.json",
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"},"data":{"k":"two"}}"#,
    );
    write(
        &dir,
        "s.yml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {k: s}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: other}\n",
    );
    for ignored in [".a.yaml.swp", ".c.yaml", "c.yaml~", "#c.yaml#", "c.txt"] {
        write(&dir, ignored, &config_map("c", "no"));
    }
    fs::create_dir(dir.path().join("sub.yaml")).unwrap();
    fs::write(dir.path().join("sub.yaml/c.yaml"), config_map("c", "no")).unwrap();

    let mut running = start(dir.path());
    let first = running.until_live().await;
    assert_eq!(first.entries().len(), 3);
    assert_eq!(get(&first, "b").as_deref(), Some("two"));
    assert!(matches!(
        first.lookup(Kind::Secret, "default", "db"),
        Lookup::Found(..)
    ));
    assert!(matches!(
        first.lookup(Kind::Secret, "default", "other"),
        Lookup::Missing(_)
    ));
    assert!(running.board.notes().problems.is_empty());

    write(&dir, "a.yaml", &config_map("a", "changed"));
    let second = running.until_value("a", "changed").await;
    let b = ObjectRef::new(Kind::ConfigMap, "default", "b");
    assert!(Arc::ptr_eq(first.get(&b).unwrap(), second.get(&b).unwrap()));

    write(&dir, "c.yaml", &config_map("c", "new"));
    running.until_value("c", "new").await;
    fs::remove_file(dir.path().join("c.yaml")).unwrap();
    running.until("c is gone", |s| get(s, "c").is_none()).await;
}

#[tokio::test]
async fn follows_saves_that_rename_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.yaml", &config_map("a", "v0"));
    let mut running = start(dir.path());
    running.until_value("a", "v0").await;
    for round in 1..5 {
        let value = format!("v{round}");
        write(&dir, "sedXyz", &config_map("a", &value));
        fs::rename(dir.path().join("sedXyz"), dir.path().join("a.yaml")).unwrap();
        running.until_value("a", &value).await;
    }
    // As vim does with a backup: the original goes away first.
    fs::rename(dir.path().join("a.yaml"), dir.path().join("a.yaml~")).unwrap();
    write(&dir, "a.yaml", &config_map("a", "vim"));
    running.until_value("a", "vim").await;
}

#[tokio::test]
async fn a_malformed_document_keeps_the_last_good_version_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let both = |a: &str, b: &str| format!("{a}---\n{b}");
    write(
        &dir,
        "x.yaml",
        &both(&config_map("a", "a1"), &config_map("b", "b1")),
    );
    let mut running = start(dir.path());
    running.until_value("b", "b1").await;

    // `b` becomes malformed, `a` changes in the same save.
    write(
        &dir,
        "x.yaml",
        &both(&config_map("a", "a2"), &config_map("b", "8080")),
    );
    running.until_value("a", "a2").await;
    let stale = running.until_lost("x.yaml").await;
    assert_eq!(get(&stale, "b").as_deref(), Some("b1"));
    assert!(stale.scopes()[0].synced() && stale.scopes()[0].contact().age().is_some());
    let problem = &running.board.notes().problems[&dir.path().join("x.yaml").display().to_string()];
    assert_eq!(
        problem,
        "line 9: ConfigMap default/b: data.k must be a string, but is a number: put it in quotes"
    );

    write(&dir, "x.yaml", "kind: [\n");
    let stale = running
        .until_lost("x.yaml: line 1: unclosed bracket '['")
        .await;
    assert_eq!(get(&stale, "a").as_deref(), Some("a2"));

    write(&dir, "x.yaml", &config_map("b", "b3"));
    let fixed = running.until_value("b", "b3").await;
    assert_eq!(get(&fixed, "a"), None);
    running.until_live().await;
    assert!(running.board.notes().problems.is_empty());
}

#[tokio::test]
async fn is_synced_even_if_a_file_is_malformed_at_first() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "good.yaml", &config_map("good", "v"));
    write(&dir, "bad.yaml", "{");
    fs::write(dir.path().join("binary.yaml"), [0xff]).unwrap();
    let mut running = start(dir.path());
    let snapshot = running.until_value("good", "v").await;
    assert!(snapshot.scopes()[0].synced());
    running.until_lost("bad.yaml").await;
    assert_eq!(running.board.notes().problems.len(), 2);
}

#[tokio::test]
async fn the_first_of_two_wins_and_the_other_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "1.yaml", &config_map("a", "first"));
    write(
        &dir,
        "2.yaml",
        &(config_map("a", "second") + "---\n" + &config_map("b", "v")),
    );
    let mut running = start(dir.path());
    let snapshot = running.until_live().await;
    assert_eq!(get(&snapshot, "a").as_deref(), Some("first"));
    assert_eq!(get(&snapshot, "b").as_deref(), Some("v"));
    let problems = running.board.notes().problems;
    assert_eq!(
        problems[&dir.path().join("2.yaml").display().to_string()],
        "ConfigMap default/a is ignored here: it stands in 1.yaml already"
    );
    fs::remove_file(dir.path().join("1.yaml")).unwrap();
    running.until_value("a", "second").await;
    assert!(running.board.notes().problems.is_empty());
}

#[tokio::test]
async fn waits_for_a_directory_that_appears_vanishes_and_is_replaced() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("dir");
    let mut running = start(&path);
    let snapshot = running.until_lost("cannot read").await;
    assert!(!snapshot.scopes()[0].synced());

    let make = |at: &Path, value: &str| {
        fs::create_dir(at).unwrap();
        fs::write(at.join("a.yaml"), config_map("a", value)).unwrap();
    };
    make(&path, "v1");
    running.until_value("a", "v1").await;

    fs::remove_dir_all(&path).unwrap();
    running.until_lost("cannot read").await;
    assert!(running.reader.snapshot().scopes()[0].synced());
    make(&path, "v2");
    running.until_value("a", "v2").await;
    running.until_live().await;

    // Replaced by rename, and then by a symlink that moves: each time the new one is watched.
    let next = parent.path().join("next");
    make(&next, "v3");
    fs::rename(&path, parent.path().join("old")).unwrap();
    fs::rename(&next, &path).unwrap();
    running.until_value("a", "v3").await;
    fs::write(path.join("a.yaml"), config_map("a", "v4")).unwrap();
    running.until_value("a", "v4").await;

    let target = parent.path().join("target");
    make(&target, "v5");
    fs::remove_dir_all(&path).unwrap();
    symlink(&target, &path).unwrap();
    running.until_value("a", "v5").await;
    fs::write(target.join("a.yaml"), config_map("a", "v6")).unwrap();
    running.until_value("a", "v6").await;
}

#[tokio::test]
async fn a_burst_ends_with_its_last_state() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.yaml", &config_map("a", "v0"));
    let mut running = start(dir.path());
    running.until_value("a", "v0").await;
    let path = dir.path().to_owned();
    tokio::task::spawn_blocking(move || {
        for round in 1..=500 {
            fs::write(path.join("tmp"), config_map("a", &format!("v{round}"))).unwrap();
            fs::rename(path.join("tmp"), path.join("a.yaml")).unwrap();
        }
    })
    .await
    .unwrap();
    running.until_value("a", "v500").await;
}

#[tokio::test]
async fn an_unreadable_file_keeps_its_objects() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.yaml", &config_map("a", "v1"));
    let mut running = start(dir.path());
    running.until_value("a", "v1").await;
    let file = fs::OpenOptions::new()
        .write(true)
        .open(dir.path().join("a.yaml"))
        .unwrap();
    file.set_len(17 << 20).unwrap();
    let stale = running.until_lost("larger than 16 MiB").await;
    assert_eq!(get(&stale, "a").as_deref(), Some("v1"));
    // Permissions do not bind root, under whom tests may run: only that nothing is lost.
    fs::set_permissions(dir.path().join("a.yaml"), fs::Permissions::from_mode(0o600)).unwrap();
    write(&dir, "a.yaml", &config_map("a", "v2"));
    running.until_value("a", "v2").await;
    running.until_live().await;
}
