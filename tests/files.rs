//! Files on real file systems: a reader beside ten thousand changes, a full disk, a read-only one.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "clippy takes only test functions themselves for tests"
)]

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use attache::config::{FilesFrom, FilesRule, FilesTo, NamedObject, ObjectKind, ObjectName};
use attache::files::{FilesError, Source, Target};
use attache::store::{Kind, Object, ObjectRef, RawObject};
use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;

const CHANGES: usize = 10_000;

fn target(to: FilesTo) -> Target {
    let from = FilesFrom::Object(NamedObject {
        kind: ObjectKind::ConfigMap,
        object: ObjectName {
            namespace: None,
            name: "web".into(),
        },
        optional: false,
    });
    let name = "files[0]".into();
    Target::of(&[FilesRule { name, from, to }]).remove(0)
}

fn directory(dir: &Path) -> Target {
    target(FilesTo::Dir {
        dir: dir.to_owned(),
        mode: 0o644,
        items: None,
    })
}

fn source(pairs: &[(&str, &str)]) -> [Source; 1] {
    let reference = ObjectRef::new(Kind::ConfigMap, "default", "web");
    let mut raw = RawObject::empty(reference.clone());
    for (key, value) in pairs {
        raw.data.insert((*key).to_owned(), (*value).to_owned());
    }
    let content = Arc::clone(Object::freeze(raw, None).content());
    [vec![(reference, content)]]
}

/// A directory in memory, where there is one: ten thousand changes are synced quickly there.
fn fast_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// What a reader has seen.
#[derive(Default)]
struct Seen {
    sets: AtomicUsize,
    with_toggled: AtomicUsize,
    values: AtomicUsize,
    numbers: AtomicUsize,
}

/// Reads until told to stop. As with a volume of the kubelet's, a version that is swapped out is
/// removed, also under a reader that has begun with it: what is missing counts if `..data` is still
/// the same.
fn read_on(dir: &Path, stop: &AtomicBool, seen: &Seen) {
    let data = || fs::read_link(dir.join("..data")).expect("..data is always there");
    let number = |text: &str| -> usize { text.parse().expect("a whole number") };
    let mut last = 0;
    while !stop.load(Ordering::Relaxed) {
        let before = data();
        match read_set(&dir.join(&before)) {
            Ok((a, b, toggled)) => {
                assert_eq!(a, b, "a mixed set");
                assert!(toggled.as_ref().is_none_or(|t| *t == a), "a mixed set");
                if toggled.is_some() != (number(&a) % 2 == 1) {
                    assert_ne!(data(), before, "a set with a key too many or too few");
                    continue;
                }
                assert!(last <= number(&a), "an older set after a newer one");
                let is_new = usize::from(last < number(&a));
                seen.numbers.fetch_add(is_new, Ordering::Relaxed);
                last = number(&a);
                seen.sets.fetch_add(1, Ordering::Relaxed);
                let toggled = usize::from(toggled.is_some());
                seen.with_toggled.fetch_add(toggled, Ordering::Relaxed);
            }
            Err(error) => assert_ne!(data(), before, "a set lacks a key: {error}"),
        }
        for key in ["a", "b"] {
            let before = data();
            match fs::read_to_string(dir.join(key)) {
                Ok(text) => {
                    assert!(last <= number(&text), "an older value after a newer set");
                    seen.values.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => assert_ne!(data(), before, "{key} is missing: {error}"),
            }
        }
    }
}

/// The keys of one version, through one open directory.
fn read_set(version: &Path) -> io::Result<(String, String, Option<String>)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(version, flags, Mode::empty())?;
    let read = |key: &str| -> io::Result<String> {
        let file = rustix::fs::openat(&dir, key, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut text = String::new();
        fs::File::from(file).read_to_string(&mut text)?;
        Ok(text)
    };
    let toggled = match read("toggled") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        other => Some(other?),
    };
    Ok((read("a")?, read("b")?, toggled))
}

#[test]
fn a_reader_never_sees_a_missing_or_mixed_set_in_ten_thousand_changes() {
    let dir = fast_directory();
    let target = directory(dir.path());
    let change = |number: usize| {
        let text = number.to_string();
        let mut pairs = vec![("a", text.as_str()), ("b", &text)];
        if number % 2 == 1 {
            pairs.push(("toggled", &text));
        }
        assert!(target.render(&source(&pairs)).unwrap().written);
    };
    change(0);
    let (stop, seen) = (AtomicBool::new(false), Seen::default());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_on(dir.path(), &stop, &seen));
        for number in 1..=CHANGES {
            change(number);
            if reader.is_finished() {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    eprintln!(
        "{} sets read ({} of them new, {} with the toggled key) and {} values by their links",
        count(&seen.sets),
        count(&seen.numbers),
        count(&seen.with_toggled),
        count(&seen.values)
    );
    assert!(count(&seen.numbers) > 100, "the reader hardly saw a change");
    assert!(count(&seen.with_toggled) > 0 && count(&seen.values) > 100);
    let last = CHANGES.to_string();
    assert_eq!(fs::read_to_string(dir.path().join("b")).unwrap(), last);
    assert!(!dir.path().join("toggled").is_symlink());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4, "no leftovers");
}

/// A small file system of its own, unmounted when dropped.
struct Mount(TempDir);

impl Mount {
    /// `None`, with a message, where nothing may be mounted; with `MUST_MOUNT` set that is a failure.
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        match run(
            "mount",
            &["-t", "tmpfs", "-o", "size=64k", "tmpfs"],
            dir.path(),
        ) {
            Ok(()) => Some(Self(dir)),
            Err(reason) => {
                assert!(std::env::var_os("MUST_MOUNT").is_none(), "{reason}");
                eprintln!("SKIPPED: a tmpfs cannot be mounted here: {reason}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, option: &str) {
        run("mount", &["-o", &format!("remount,{option}")], self.path()).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(reason) = run("umount", &["-l"], self.0.path()) {
            eprintln!("{reason}");
        }
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> Result<(), String> {
    let output = Command::new(program).args(arguments).arg(path).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

#[test]
fn a_full_disk_leaves_the_old_set_and_is_recovered_from() {
    let Some(mount) = Mount::new() else { return };
    let (dir, file) = (mount.path().join("d"), mount.path().join("f"));
    let single = |mode| {
        target(FilesTo::File {
            file: file.clone(),
            key: "large".into(),
            mode,
        })
    };
    let old = source(&[("a", "old"), ("large", &"o".repeat(20_000))]);
    directory(&dir).render(&old).unwrap();
    let before = listing(&dir);

    // Beside the old set there is no room for this one, though the disk could hold it alone.
    let new = source(&[
        ("a", "new"),
        ("large", &"n".repeat(44_000)),
        ("more", "new"),
    ]);
    for _ in 0..3 {
        let error = directory(&dir).render(&new).unwrap_err();
        assert!(matches!(error, FilesError::Full { .. }), "{error}");
        assert!(error.to_string().contains("sizeLimit"), "{error}");
        assert_eq!(listing(&dir), before, "the old set, and nothing half made");
        let error = single(0o644).render(&new).unwrap_err();
        assert!(matches!(error, FilesError::Full { .. }), "{error}");
        assert_eq!(fs::read_dir(mount.path()).unwrap().count(), 1);
    }
    // What fills it may be what a crash has left.
    directory(&dir).render(&source(&[("a", "old")])).unwrap();
    let orphan = dir.join("..2026_11_21_14_30_28.123456789");
    fs::create_dir(&orphan).unwrap();
    fs::write(orphan.join("large"), "x".repeat(40_000)).unwrap();
    directory(&dir).render(&new).unwrap();
    assert_eq!(fs::read_to_string(dir.join("more")).unwrap(), "new");
    assert!(!orphan.exists());

    mount.remount("size=256k");
    single(0o644).render(&new).unwrap();
    single(0o600).render(&old).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().len(), 20_000);
    directory(&dir).render(&old).unwrap();
    assert_eq!(listing(&dir).len(), before.len());
}

#[test]
fn a_read_only_disk_leaves_the_old_set_and_is_recovered_from() {
    let Some(mount) = Mount::new() else { return };
    let (dir, file) = (mount.path().join("d"), mount.path().join("f"));
    let single = target(FilesTo::File {
        file: file.clone(),
        key: "a".into(),
        mode: 0o644,
    });
    let (old, new) = (source(&[("a", "old")]), source(&[("a", "new")]));
    directory(&dir).render(&old).unwrap();
    single.render(&old).unwrap();
    let before = listing(&dir);
    mount.remount("ro");
    assert!(
        !directory(&dir).render(&old).unwrap().written,
        "nothing to do"
    );
    assert!(!single.render(&old).unwrap().written);
    let absent = directory(&mount.path().join("other"));
    for target in [&directory(&dir), &single, &absent] {
        let error = target.render(&new).unwrap_err();
        assert!(matches!(error, FilesError::ReadOnly { .. }), "{error}");
        assert!(error.to_string().contains("emptyDir"), "{error}");
    }
    assert!(
        single.render(&source(&[("b", "")])).is_err(),
        "a key that went"
    );
    assert_eq!(listing(&dir), before);
    assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    mount.remount("rw");
    for target in [&directory(&dir), &single, &absent] {
        assert!(target.render(&new).unwrap().written);
    }
    assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "new");
    assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    assert_eq!(listing(&dir).len(), before.len());
}

/// Every name with its inode: nothing was made, replaced or removed while this stays the same.
fn listing(dir: &Path) -> Vec<(String, u64)> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, entry.path().symlink_metadata().unwrap().ino())
        })
        .collect();
    names.sort();
    names
}

#[test]
fn modes_are_as_asked_whatever_the_umask() {
    // Of the whole process: no other test here looks at modes.
    let before = rustix::process::umask(Mode::from_raw_mode(0o077));
    let dir = tempfile::tempdir().unwrap();
    let (made, file) = (dir.path().join("made/d"), dir.path().join("made/f"));
    let sources = source(&[("a", "1")]);
    directory(&made).render(&sources).unwrap();
    target(FilesTo::File {
        file: file.clone(),
        key: "a".into(),
        mode: 0o666,
    })
    .render(&sources)
    .unwrap();
    rustix::process::umask(before);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let made_by_attache = [dir.path().join("made"), made.clone(), made.join("..data")];
    for directory in made_by_attache {
        assert_eq!(mode(&directory), 0o755, "{}", directory.display());
    }
    assert_eq!(mode(&made.join("a")), 0o644);
    assert_eq!(mode(&file), 0o666);
}
