use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::store::{
    Kind, Object, Reader, ScopeSpec, ScopeWriter, Selects, Writer, new as new_store,
};

const SECRET_VALUE: &str = "hunter2";

/// A store and a state directory.
struct World {
    dir: TempDir,
    writer: Writer,
    reader: Reader,
}

fn reference(kind: Kind, name: &str) -> ObjectRef {
    ObjectRef::new(kind, "default", name)
}

fn raw(kind: Kind, name: &str, version: u32, value: &str) -> RawObject {
    let mut raw = RawObject::empty(reference(kind, name));
    raw.uid = format!("uid of {name}");
    raw.resource_version = version.to_string();
    raw.data.insert("key".into(), value.into());
    raw
}

fn web(version: u32, value: &str) -> RawObject {
    raw(Kind::ConfigMap, "web", version, value)
}

fn named(kind: Kind, name: &str) -> ScopeSpec {
    ScopeSpec::declared(Selects::Named(reference(kind, name)))
}

fn selector(labels: &str) -> ScopeSpec {
    ScopeSpec::declared(Selects::Selector {
        kind: Kind::ConfigMap,
        namespace: None,
        labels: labels.into(),
    })
}

fn fill(scope: &ScopeWriter, objects: Vec<RawObject>) {
    let frozen: Vec<Arc<Object>> = objects.into_iter().map(|o| scope.freeze(o)).collect();
    scope.replace(frozen);
}

impl World {
    fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    fn at(dir: TempDir) -> Self {
        let (writer, reader) = new_store(usize::MAX);
        Self {
            dir,
            writer,
            reader,
        }
    }

    fn open(&self) -> (StateDir, Restored) {
        StateDir::open(self.dir.path(), true).unwrap()
    }

    fn restored(&self) -> Restored {
        self.open().1
    }

    fn keep(&self) {
        self.keep_in(&self.open().0);
    }

    fn keep_in(&self, state: &StateDir) {
        state.keep_content(&self.reader.snapshot()).unwrap();
    }

    /// A scope with these objects, kept.
    fn kept(&self, spec: ScopeSpec, objects: Vec<RawObject>) -> ScopeWriter {
        let scope = self.writer.scope(spec);
        fill(&scope, objects);
        self.keep();
        scope
    }

    /// Every file, by its path in the directory, with its inode: another after each replacement.
    fn files(&self) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        let mut dirs = vec![self.dir.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    dirs.push(entry.path());
                } else {
                    let path = entry.path();
                    let name = path.strip_prefix(self.dir.path()).unwrap();
                    let inode = fs::symlink_metadata(&path).unwrap().ino();
                    found.insert(name.to_str().unwrap().to_owned(), inode);
                }
            }
        }
        found
    }

    /// The one file whose name ends so.
    fn file(&self, end: &str) -> PathBuf {
        let files = self.files();
        let mut found = files.keys().filter(|name| name.ends_with(end));
        let name = found.next().unwrap_or_else(|| panic!("{end} in {files:?}"));
        assert_eq!(found.next(), None, "{files:?}");
        self.dir.path().join(name)
    }
}

/// The file of an object in the namespace `default`.
fn file_of(name: &str) -> String {
    seal::hash(&format!("default/{name}"))
}

fn objects(restored: &Restored, scope: &str) -> Option<Vec<RawObject>> {
    let scope = restored.scopes.get(scope)?;
    Some(scope.objects.iter().map(|(raw, _)| raw.clone()).collect())
}

fn rule_state() -> RuleState {
    let told = [("key".to_owned(), "\"etag\"".to_owned())].into();
    RuleState {
        told: [(reference(Kind::Secret, "web"), told)].into(),
        shown: [(
            reference(Kind::ConfigMap, "web"),
            [("gone".to_owned(), false)].into(),
        )]
        .into(),
        acted: Some("2026-01-02T03:04:05.006007008Z".parse().unwrap()),
        progress: Some(serde_json::json!({"pods": ["a", "b"], "done": 1})),
    }
}

fn contents() -> impl Strategy<Value = RawObject> {
    let key = "[-._a-zA-Z0-9]{1,12}";
    let text = prop::collection::btree_map(key, any::<String>(), 0..4);
    let bytes = prop::collection::btree_map(key, prop::collection::vec(any::<u8>(), 0..40), 0..4);
    let annotations = prop::collection::btree_map(key, any::<String>(), 0..2);
    let about = (annotations, any::<String>(), any::<u32>());
    (text, bytes, about).prop_map(
        |(data, binary_data, (annotations, uid, version))| RawObject {
            uid,
            resource_version: version.to_string(),
            annotations,
            // A key is in one of both.
            data: data
                .into_iter()
                .filter(|(key, _)| !binary_data.contains_key(key))
                .collect(),
            binary_data,
            ..web(0, "")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_content_comes_back_as_it_was(content in contents(), member in contents()) {
        let world = World::new();
        let _named = world.kept(named(Kind::ConfigMap, "web"), vec![content.clone()]);
        let other = RawObject { reference: reference(Kind::ConfigMap, "member"), ..member };
        let _selected = world.kept(selector("app=web"), vec![other.clone()]);
        let restored = world.restored();
        prop_assert_eq!(objects(&restored, "ConfigMap default/web"), Some(vec![content]));
        prop_assert_eq!(objects(&restored, "ConfigMap */app=web"), Some(vec![other]));
        prop_assert_eq!(restored.scopes.len(), 2);
        for scope in restored.scopes.values() {
            prop_assert!(scope.contact <= Instant::now());
            prop_assert!(scope.contact.elapsed() < Duration::from_secs(600));
        }
    }

    #[test]
    fn any_state_of_a_rule_comes_back_as_it_was(
        identity: String,
        told in prop::collection::btree_map("[a-z]{1,3}", any::<String>(), 0..4),
        shown in prop::collection::btree_map("[a-z]{1,3}", any::<bool>(), 0..4),
        second in prop::option::of(0..4_000_000_000_i64),
        progress in prop::option::of(any::<i64>()),
    ) {
        let world = World::new();
        let state = RuleState {
            told: [(reference(Kind::ConfigMap, "a"), told)].into(),
            shown: [(reference(Kind::Secret, "b"), shown)].into(),
            acted: second.map(|second| Timestamp::from_second(second).unwrap()),
            progress: progress.map(Value::from),
        };
        world.open().0.keep_rule(&identity, &state).unwrap();
        let restored = world.restored();
        prop_assert_eq!(restored.rule(&identity), Some(&state));
        let other = format!("{identity}!");
        prop_assert_eq!(restored.rule(&other), None);
    }
}

#[test]
fn a_file_that_is_damaged_anywhere_is_set_aside() {
    let world = World::new();
    let _scope = world.kept(named(Kind::ConfigMap, "web"), vec![web(1, "v")]);
    world.open().0.keep_rule("rule", &rule_state()).unwrap();
    let scope = "ConfigMap default/web";
    for end in ["/scope", &file_of("web"), &seal::hash("rule")] {
        let path = world.file(end);
        let aside = PathBuf::from(format!("{}.damaged", path.display()));
        let good = fs::read(&path).unwrap();
        let flips = (0..good.len()).flat_map(|at| [0x01, 0x80].map(|bit| (at, bit)));
        let flipped = flips.map(|(at, bit)| {
            let mut bytes = good.clone();
            bytes[at] ^= bit;
            bytes
        });
        let cut = (0..good.len()).map(|length| good[..length].to_vec());
        let longer = [&good[..], b"\n"].concat();
        for bad in flipped.chain(cut).chain([longer]) {
            fs::write(&path, &bad).unwrap();
            let restored = world.restored();
            let text = String::from_utf8_lossy(&bad);
            assert_eq!(fs::read(&aside).unwrap(), bad, "{text}");
            assert!(!path.exists(), "{text}");
            let of_rule = end == seal::hash("rule");
            assert_eq!(restored.rule("rule").is_some(), !of_rule, "{text}");
            assert_eq!(restored.scopes.contains_key(scope), of_rule, "{text}");
            // The object is removed with a scope of which nothing is known, at the latest.
            fs::remove_file(&aside).unwrap();
            fs::write(&path, &good).unwrap();
        }
    }
    assert!(world.restored().scopes.contains_key(scope));
}

#[test]
fn a_file_of_another_name_is_not_taken_for_this() {
    let world = World::new();
    let both = vec![web(1, "v"), raw(Kind::ConfigMap, "other", 1, "v")];
    let _scope = world.kept(selector("a"), both);
    fs::copy(world.file(&file_of("web")), world.file(&file_of("other"))).unwrap();
    assert_eq!(objects(&world.restored(), "ConfigMap */a"), None);
    assert!(
        world
            .file(&format!("{}.damaged", file_of("other")))
            .exists()
    );
}

#[test]
fn what_is_no_regular_file_is_set_aside() {
    let world = World::new();
    let _scope = world.kept(named(Kind::ConfigMap, "web"), vec![web(1, "v")]);
    let path = world.file(&file_of("web"));
    fs::rename(&path, world.dir.path().join("elsewhere")).unwrap();
    symlink(world.dir.path().join("elsewhere"), &path).unwrap();
    assert!(world.restored().scopes.is_empty());
    let dir = path.parent().unwrap();
    fs::remove_dir_all(dir).unwrap();
    fs::write(dir, "a file").unwrap();
    world.keep();
    assert_eq!(world.restored().scopes.len(), 1);
    assert_eq!(
        fs::read(format!("{}.damaged", dir.display())).unwrap(),
        b"a file"
    );
}

#[test]
fn only_what_changed_is_written() {
    let world = World::new();
    let (state, _) = world.open();
    let scope = world.writer.scope(selector("a"));
    fill(
        &scope,
        vec![web(1, "v"), raw(Kind::ConfigMap, "other", 1, "v")],
    );
    world.keep_in(&state);
    let first = world.files();
    world.keep_in(&state);
    assert_eq!(world.files(), first);
    scope.upsert(scope.freeze(web(2, "w")));
    world.keep_in(&state);
    let second = world.files();
    let changed: Vec<_> = first.iter().filter(|(k, v)| second[*k] != **v).collect();
    assert!(
        changed.len() == 1 && changed[0].0.ends_with(&file_of("web")),
        "{changed:?}"
    );
    state.keep_rule("rule", &rule_state()).unwrap();
    let third = world.files();
    state.keep_rule("rule", &rule_state()).unwrap();
    drop(state);
    let (state, _) = world.open();
    state.keep_rule("rule", &rule_state()).unwrap();
    assert_eq!(world.files(), third);
    state.keep_rule("rule", &RuleState::default()).unwrap();
    assert_ne!(world.files(), third);
}

#[test]
fn what_was_restored_and_is_read_as_it_was_is_not_written_again() {
    let world = World::new();
    drop(world.kept(selector("a"), vec![web(1, "v")]));
    let before = world.files();
    let (state, mut restored) = world.open();
    let scope = world.writer.scope(selector("a"));
    let kept = restored.scopes.remove("ConfigMap */a").unwrap();
    let since = kept.objects[0].1;
    scope.restore(kept.objects, kept.contact);
    world.keep_in(&state);
    fill(&scope, vec![web(1, "v")]);
    world.keep_in(&state);
    assert_eq!(world.files(), before);
    let snapshot = world.reader.snapshot();
    let object = snapshot.get(&reference(Kind::ConfigMap, "web")).unwrap();
    assert_eq!(object.content().since(), since);
}

#[test]
fn metadata_alone_is_kept_too() {
    let world = World::new();
    let (state, _) = world.open();
    let scope = world.writer.scope(named(Kind::ConfigMap, "web"));
    fill(&scope, vec![web(1, "v")]);
    world.keep_in(&state);
    let mut paused = web(2, "v");
    paused
        .annotations
        .insert("attache.dev/pause".into(), "true".into());
    scope.upsert(scope.freeze(paused.clone()));
    world.keep_in(&state);
    drop(state);
    assert_eq!(
        objects(&world.restored(), "ConfigMap default/web"),
        Some(vec![paused])
    );
}

#[test]
fn what_went_is_not_restored() {
    let world = World::new();
    let named = world.kept(named(Kind::ConfigMap, "web"), vec![web(1, "v")]);
    let other = raw(Kind::ConfigMap, "other", 1, "v");
    let selected = world.kept(selector("a"), vec![web(1, "v"), other.clone()]);
    let (state, _) = world.open();
    named.remove(&reference(Kind::ConfigMap, "web"), "", "2");
    fill(&selected, vec![other.clone()]);
    world.keep_in(&state);
    assert!(
        world.files().keys().all(|f| !f.ends_with(&file_of("web"))),
        "{:?}",
        world.files()
    );
    drop(state);
    let restored = world.restored();
    assert_eq!(objects(&restored, "ConfigMap default/web"), Some(vec![]));
    assert_eq!(objects(&restored, "ConfigMap */a"), Some(vec![other]));
}

#[test]
fn what_is_too_large_to_hold_did_not_go() {
    let world = World::new();
    drop(world.kept(named(Kind::ConfigMap, "web"), vec![web(1, "v")]));
    let scope = world.writer.scope(named(Kind::ConfigMap, "web"));
    scope.replace_with(
        Vec::new(),
        vec![(reference(Kind::ConfigMap, "web"), 1 << 30)],
    );
    world.keep();
    assert_eq!(
        objects(&world.restored(), "ConfigMap default/web"),
        Some(vec![web(1, "v")])
    );
}

#[test]
fn what_a_crash_leaves_is_removed_and_what_is_not_ours_stays() {
    let world = World::new();
    let _scope = world.kept(selector("a"), vec![web(1, "v")]);
    world.open().0.keep_rule("rule", &rule_state()).unwrap();
    let before = world.files();
    let web_file = world.file(&file_of("web"));
    let dir = web_file.parent().unwrap();
    let rules = world.dir.path().join("rules");
    // Half-written, and members that no list names: they came or went at that moment.
    fs::write(dir.join("scope.new"), "attache-st").unwrap();
    fs::write(dir.join(format!("{}.new", file_of("web"))), "").unwrap();
    fs::write(rules.join(format!("{}.new", seal::hash("rule"))), "").unwrap();
    fs::copy(&web_file, dir.join(file_of("unlisted"))).unwrap();
    let foreign = [
        dir.join("notes.txt"),
        rules.join("README.new"),
        world.dir.path().join("x"),
    ];
    for path in &foreign {
        fs::write(path, "mine").unwrap();
    }
    let restored = world.restored();
    assert_eq!(objects(&restored, "ConfigMap */a"), Some(vec![web(1, "v")]));
    assert_eq!(restored.rule("rule"), Some(&rule_state()));
    for path in &foreign {
        assert_eq!(fs::read(path).unwrap(), b"mine");
        fs::remove_file(path).unwrap();
    }
    assert_eq!(world.files(), before);
}

#[test]
fn a_scope_of_which_a_part_is_missing_is_not_restored_until_it_is_kept_anew() {
    let world = World::new();
    let both = vec![raw(Kind::ConfigMap, "other", 1, "v"), web(1, "v")];
    let _scope = world.kept(selector("a"), both.clone());
    fs::remove_file(world.file(&file_of("other"))).unwrap();
    assert!(world.restored().scopes.is_empty());
    world.keep();
    assert_eq!(objects(&world.restored(), "ConfigMap */a"), Some(both));
}

#[test]
fn scopes_that_were_not_read_or_are_not_declared_are_not_kept() {
    let world = World::new();
    let reference = reference(Kind::ConfigMap, "web");
    let demanded = world
        .writer
        .scope(ScopeSpec::on_demand(Selects::Named(reference)));
    let directory = Selects::Directory("/etc/app".into());
    let local = world.writer.scope(ScopeSpec::declared(directory));
    for scope in [&demanded, &local] {
        fill(scope, vec![web(1, "v")]);
    }
    let pending = world.writer.scope(named(Kind::ConfigMap, "pending"));
    world.keep();
    assert_eq!(world.restored().scopes, BTreeMap::new());
    fill(&pending, vec![]);
    world.keep();
    assert_eq!(
        objects(&world.restored(), "ConfigMap default/pending"),
        Some(vec![])
    );
}

#[test]
fn scopes_that_are_configured_no_longer_go_once_all_others_are_read() {
    let world = World::new();
    drop(world.kept(named(Kind::ConfigMap, "web"), vec![web(1, "v")]));
    drop(world.kept(named(Kind::Secret, "web"), vec![]));
    assert_eq!(
        world.restored().scopes.len(),
        1,
        "the second had been read when the first was gone"
    );
    drop(world.kept(named(Kind::ConfigMap, "web"), vec![web(1, "v")]));
    let (state, restored) = world.open();
    let kept = restored.scopes;
    world.keep_in(&state);
    let first = world.writer.scope(named(Kind::ConfigMap, "first"));
    let second = world.writer.scope(named(Kind::ConfigMap, "second"));
    fill(&first, vec![]);
    world.keep_in(&state);
    drop(state);
    let (state, restored) = world.open();
    assert!(
        kept.keys().all(|name| restored.scopes.contains_key(name)),
        "{restored:?}"
    );
    fill(&second, vec![]);
    world.keep_in(&state);
    drop(state);
    let restored = world.restored();
    let names: Vec<_> = restored.scopes.keys().collect();
    assert_eq!(
        names,
        ["ConfigMap default/first", "ConfigMap default/second"]
    );
}

#[test]
fn secrets_are_kept_if_asked_for_and_removed_if_not() {
    let world = World::new();
    let secret = raw(Kind::Secret, "web", 1, SECRET_VALUE);
    let _map = world.kept(named(Kind::ConfigMap, "web"), vec![web(1, "v")]);
    let _secret = world.kept(named(Kind::Secret, "web"), vec![secret.clone()]);
    let restored = world.restored();
    assert_eq!(objects(&restored, "Secret default/web"), Some(vec![secret]));
    assert!(!format!("{restored:?}").contains(SECRET_VALUE));
    // One that was set aside holds it, too.
    let holds = |world: &World| {
        let holds = |file: &&String| {
            let text = fs::read(world.dir.path().join(file)).unwrap();
            String::from_utf8_lossy(&text).contains(SECRET_VALUE)
        };
        let files = world.files();
        files.keys().filter(holds).cloned().collect::<Vec<_>>()
    };
    let kept = world.dir.path().join(&holds(&world)[0]);
    fs::write(
        format!("{}.damaged", kept.display()),
        format!("x{SECRET_VALUE}"),
    )
    .unwrap();
    assert_eq!(holds(&world).len(), 2);
    let (state, restored) = StateDir::open(world.dir.path(), false).unwrap();
    assert_eq!(restored.scopes.len(), 1);
    assert_eq!(holds(&world), Vec::<String>::new());
    world.keep_in(&state);
    assert_eq!(holds(&world), Vec::<String>::new());
    drop(state);
    assert_eq!(
        world.restored().scopes.len(),
        1,
        "an absent Secret would be restored as deleted"
    );
}

#[test]
fn nobody_else_may_read_it() {
    let world = World::new();
    let dir = world.dir.path().join("made/here");
    let (state, _) = StateDir::open(&dir, true).unwrap();
    let scope = world.writer.scope(named(Kind::Secret, "web"));
    fill(&scope, vec![raw(Kind::Secret, "web", 1, SECRET_VALUE)]);
    world.keep_in(&state);
    state.keep_rule("rule", &rule_state()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let files = world.files();
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files.keys() {
        let path = world.dir.path().join(file);
        assert_eq!(mode(&path), 0o600, "{file}");
        let parents = path.ancestors().take_while(|p| *p != world.dir.path());
        for dir in parents.skip(1) {
            assert_eq!(mode(dir), 0o700, "{}", dir.display());
        }
    }
    drop(state);
    let wide = dir.join("rules");
    fs::set_permissions(&wide, fs::Permissions::from_mode(0o755)).unwrap();
    let _open = StateDir::open(&dir, true).unwrap();
    assert_eq!(mode(&wide), 0o700);
}

#[test]
fn a_newer_version_is_left_alone_until_there_is_something_to_keep() {
    let world = World::new();
    let _scope = world.kept(named(Kind::ConfigMap, "web"), vec![web(1, "v")]);
    let path = world.file(&file_of("web"));
    let name = path.strip_prefix(world.dir.path()).unwrap();
    let body = br#"{"unlike": "today"}"#;
    let newer = seal::sealed_as(name.to_str().unwrap(), "2", body);
    fs::write(&path, &newer).unwrap();
    let (state, restored) = world.open();
    assert_eq!(restored.scopes, BTreeMap::new());
    assert_eq!(fs::read(&path).unwrap(), newer);
    world.keep_in(&state);
    drop(state);
    assert_eq!(
        objects(&world.restored(), "ConfigMap default/web"),
        Some(vec![web(1, "v")])
    );
    let older = seal::sealed_as(name.to_str().unwrap(), "0", body);
    fs::write(&path, &older).unwrap();
    assert_eq!(world.restored().scopes, BTreeMap::new());
    assert!(!path.exists());
}

#[test]
fn a_directory_is_for_one_attache_at_a_time() {
    let world = World::new();
    let (first, _) = world.open();
    let error = StateDir::open(world.dir.path(), true).unwrap_err();
    assert!(matches!(error, StateError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("its own --state-dir"), "{error}");
    drop(first);
    world.open();
}

#[test]
fn a_directory_that_cannot_be_is_told() {
    let world = World::new();
    let file = world.dir.path().join("file");
    fs::write(&file, "").unwrap();
    for dir in [&file, &file.join("below")] {
        let error = StateDir::open(dir, true).unwrap_err().to_string();
        assert!(error.contains("give a directory of its own"), "{error}");
    }
    let error = StateDir::open(Path::new("/proc/attache"), true).unwrap_err();
    assert!(matches!(error, StateError::System { .. }), "{error}");
}

#[test]
fn contact_is_kept_as_it_was_lost_and_refreshed_at_most_once_a_minute() {
    let world = World::new();
    let (state, _) = world.open();
    let scope = world.writer.scope(named(Kind::ConfigMap, "web"));
    fill(&scope, vec![web(1, "v")]);
    world.keep_in(&state);
    let first = world.files();
    scope.live();
    world.keep_in(&state);
    assert_eq!(world.files(), first, "within a minute");
    let hour = Duration::from_secs(3600);
    let lost = Instant::now().checked_sub(2 * hour).unwrap();
    scope.lost(lost, "gone");
    world.keep_in(&state);
    let second = world.files();
    assert_ne!(second, first);
    world.keep_in(&state);
    assert_eq!(world.files(), second, "still lost");
    drop(state);
    let (state, restored) = world.open();
    let contact = restored.scopes["ConfigMap default/web"].contact;
    assert!(contact.elapsed() > hour, "{:?}", contact.elapsed());
    scope.live();
    world.keep_in(&state);
    drop(state);
    let contact = world.restored().scopes["ConfigMap default/web"].contact;
    assert!(contact.elapsed() < hour, "{:?}", contact.elapsed());
}

/// A file system of a few pages; `None` where this user may not mount one.
struct Small(TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=128k", "none"])
            .arg(dir.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(dir)),
            _ => None,
        }
    }

    /// Makes it read-only, for as long as this is held: by a second mount over the first, which
    /// is writable to whoever has a file open.
    fn read_only(&self) -> ReadOnly<'_> {
        let mount = |arguments: &[&str]| {
            let mut mount = Command::new("mount");
            mount.args(arguments).arg(self.0.path());
            assert!(mount.status().unwrap().success(), "{arguments:?}");
        };
        mount(&["--bind", self.0.path().to_str().unwrap()]);
        mount(&["-o", "remount,bind,ro"]);
        ReadOnly(self)
    }

    fn unmount(&self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

struct ReadOnly<'a>(&'a Small);

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        self.0.unmount();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.unmount();
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn a_full_or_read_only_volume_leaves_what_was_kept_and_is_told() {
    let Some(small) = Small::mount() else {
        eprintln!("skipped: it takes root to mount a small file system");
        return;
    };
    let world = World::new();
    let dir = small.0.path().join("state");
    let (state, _) = StateDir::open(&dir, true).unwrap();
    let scope = world.writer.scope(selector("a"));
    let other = |version| raw(Kind::ConfigMap, "other", version, "v");
    fill(&scope, vec![web(1, "small"), other(1)]);
    world.keep_in(&state);
    state.keep_rule("rule", &rule_state()).unwrap();
    let large = web(2, &"x".repeat(256 << 10));
    fill(&scope, vec![large, other(2)]);
    let error = state.keep_content(&world.reader.snapshot()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("make room") && !text.contains("xxx"),
        "{text}"
    );
    let read_only = small.read_only();
    fill(&scope, vec![web(3, "small"), other(3)]);
    let errors = [
        state.keep_content(&world.reader.snapshot()).unwrap_err(),
        state.keep_rule("rule", &RuleState::default()).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("such as an emptyDir"), "{error}");
    }
    drop(state);
    let error = StateDir::open(&dir, true).unwrap_err();
    assert!(error.to_string().contains("such as an emptyDir"), "{error}");
    drop(read_only);
    let (state, restored) = StateDir::open(&dir, true).unwrap();
    // What failed does not hold up what fits.
    let kept = vec![other(2), web(1, "small")];
    assert_eq!(objects(&restored, "ConfigMap */a"), Some(kept));
    assert_eq!(restored.rule("rule"), Some(&rule_state()));
    world.keep_in(&state);
    drop(state);
    let (_, restored) = StateDir::open(&dir, true).unwrap();
    let kept = vec![other(3), web(3, "small")];
    assert_eq!(objects(&restored, "ConfigMap */a"), Some(kept));
}
