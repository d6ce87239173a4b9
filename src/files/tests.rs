use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use rustix::io::Errno;

use super::*;
use crate::config::{FilesItem, NamedObject, ObjectKind, ObjectName, Selector, SelectorNamespace};
use crate::store::{Kind, Object, RawObject};

mod directory;
mod interrupted;
mod set;
mod single;

/// How a step ends that a test chose.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// As SIGKILL would: nothing after it is done, not even what undoes.
    Crash,
    /// With an error.
    Error(Errno),
}

thread_local! {
    static NEXT: Cell<Option<(usize, End)>> = const { Cell::new(None) };
}

/// What a crash panics with.
const CRASH: &str = "crash";

/// Called before every step that changes the disk.
pub(super) fn step() -> io::Result<()> {
    match NEXT.take() {
        Some((0, End::Crash)) => std::panic::resume_unwind(Box::new(CRASH)),
        Some((0, End::Error(error))) => Err(error.into()),
        Some((left, end)) => {
            NEXT.set(Some((left - 1, end)));
            Ok(())
        }
        None => Ok(()),
    }
}

/// Renders, ending the step of that number. `None` if it crashed, and whether the step was reached.
fn interrupted(
    target: &Target,
    sources: &[Source],
    at: usize,
    end: End,
) -> (Option<Result<Rendered, FilesError>>, bool) {
    NEXT.set(Some((at, end)));
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target.render(sources)));
    let reached = NEXT.take().is_none();
    match ended {
        Ok(result) => (Some(result), reached),
        Err(payload) => {
            assert_eq!(
                payload.downcast_ref::<&str>(),
                Some(&CRASH),
                "not the crash"
            );
            (None, reached)
        }
    }
}

fn content<V: AsRef<str>>(pairs: &[(&str, V)]) -> Arc<Content> {
    let mut raw = RawObject::empty(ObjectRef::new(Kind::ConfigMap, "default", "web"));
    for (key, value) in pairs {
        raw.insert_bytes((*key).to_owned(), value.as_ref().as_bytes().to_vec());
    }
    Arc::clone(Object::freeze(raw, None).content())
}

/// A source of one object of that name.
fn source<V: AsRef<str>>(name: &str, pairs: &[(&str, V)]) -> Source {
    vec![(
        ObjectRef::new(Kind::ConfigMap, "default", name),
        content(pairs),
    )]
}

fn named(optional: bool) -> FilesFrom {
    FilesFrom::Object(NamedObject {
        kind: ObjectKind::ConfigMap,
        object: ObjectName {
            namespace: None,
            name: "web".into(),
        },
        optional,
    })
}

fn selected() -> FilesFrom {
    FilesFrom::Selected(Selector {
        kind: ObjectKind::ConfigMap,
        namespace: SelectorNamespace::Default,
        labels: "app=web".into(),
    })
}

fn item(key: &str, path: &str, mode: Option<u32>) -> FilesItem {
    FilesItem {
        key: key.into(),
        path: path.into(),
        mode,
    }
}

fn rule(from: FilesFrom, to: FilesTo) -> FilesRule {
    FilesRule {
        name: "files[0]".into(),
        from,
        to,
    }
}

fn to_dir(dir: &Path, items: Option<Vec<FilesItem>>) -> FilesTo {
    FilesTo::Dir {
        dir: dir.to_owned(),
        mode: 0o644,
        items,
    }
}

fn to_file(file: &Path, mode: u32) -> FilesTo {
    FilesTo::File {
        file: file.to_owned(),
        key: "a".into(),
        mode,
    }
}

fn target(rules: &[FilesRule]) -> Target {
    let mut targets = Target::of(rules);
    assert_eq!(targets.len(), 1, "{targets:?}");
    targets.remove(0)
}

/// Every key of one named object to a directory.
fn all_to(dir: &Path) -> Target {
    target(&[rule(named(false), to_dir(dir, None))])
}

/// What is in a directory: its names, each with what a link points to, a file holds, or `/`.
/// A version's name is `..VERSION`.
fn listing(dir: &Path) -> BTreeMap<String, String> {
    let version = |text: &str| {
        let digits = |c: char| if c.is_ascii_digit() { '0' } else { c };
        let form: String = text.chars().map(digits).collect();
        if form.contains("..0000_00_00_00_00_00.000000000") {
            form.replace("..0000_00_00_00_00_00.000000000", "..VERSION")
        } else {
            text.to_owned()
        }
    };
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            let what = if kind.is_symlink() {
                let to = fs::read_link(entry.path()).unwrap();
                format!("-> {}", version(to.to_str().unwrap()))
            } else if kind.is_dir() {
                "/".to_owned()
            } else {
                fs::read_to_string(entry.path()).unwrap()
            };
            (version(entry.file_name().to_str().unwrap()), what)
        })
        .collect()
}

fn expect(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, what)| ((*name).to_owned(), (*what).to_owned()))
        .collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn rules_of_one_directory_share_a_target() {
    let dir = |path: &str| rule(named(false), to_dir(Path::new(path), None));
    let file = |path: &str| rule(named(false), to_file(Path::new(path), 0o644));
    let targets = Target::of(&[
        dir("/a/"),
        file("/b/c"),
        dir("/b"),
        dir("/a"),
        file("/b//./c"),
        dir("/./a/."),
        dir("/a/.."),
    ]);
    let seen: Vec<_> = targets
        .iter()
        .map(|target| (target.path().to_str().unwrap(), target.rules().len()))
        .collect();
    assert_eq!(seen, [("/a", 3), ("/b/c", 2), ("/b", 1), ("/a/..", 1)]);
}

#[test]
fn errors_say_what_to_do() {
    let message = |errno: Errno| FilesError::of("write", "/etc/app/key")(errno.into()).to_string();
    for (errno, advice) in [
        (Errno::NOSPC, "sizeLimit"),
        (Errno::DQUOT, "sizeLimit"),
        (Errno::ROFS, "emptyDir"),
        (Errno::ACCESS, "fsGroup"),
        (Errno::PERM, "runAsUser"),
        (Errno::BUSY, "subPath"),
        (Errno::NOTDIR, "move it away"),
        (Errno::IO, "node's log"),
    ] {
        let message = message(errno);
        assert!(
            message.starts_with("cannot write /etc/app/key: "),
            "{message}"
        );
        assert!(message.contains(advice), "{message}");
    }
}
