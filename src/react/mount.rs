//! Waiting until a mounted copy of an object has caught up with the snapshot.
//!
//! The kubelet swaps a volume's `..data` link when it syncs the pod, long after the watch had the
//! change (37 to 86 s). Plain files are compared alike. Files that belong to no key are let be, so
//! that a projected volume works.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::ledger::{Ledger, Pending};

/// How often the directory is read when nothing is noticed.
const POLL: Duration = Duration::from_secs(1);
/// After this long the wait is logged: the kubelet should have synced the pod by then.
const LONG_WAIT: Duration = Duration::from_secs(120);

/// What the directory is to hold.
#[derive(Debug)]
pub(super) struct Expected {
    present: Vec<(String, Bytes)>,
    absent: Vec<String>,
}

// === impl Expected ===

impl Expected {
    /// The keys that the rule is for, of every object that it is to be told of.
    pub(super) fn new(ledger: &Ledger, pending: &Pending) -> Self {
        let contents = pending.contents.iter().filter_map(|(_, c)| c.as_ref());
        let present: Vec<_> = contents
            .flat_map(|content| content.values())
            .filter(|(key, _)| ledger.wants(key))
            .map(|(key, value)| (key.to_string(), value.bytes.clone()))
            .collect();
        let removed = pending.change.objects.iter().flat_map(|o| &o.keys.removed);
        let absent = removed
            .filter(|key| !present.iter().any(|(present, _)| present == *key))
            .cloned()
            .collect();
        Self { present, absent }
    }

    fn held_by(&self, dir: &Path) -> bool {
        let same = |(key, bytes): &(String, Bytes)| {
            let path = dir.join(key);
            let length = std::fs::metadata(&path)
                .ok()
                .filter(|m| m.is_file())
                .map(|m| m.len());
            length == Some(bytes.len() as u64)
                && std::fs::read(path).is_ok_and(|read| read == bytes[..])
        };
        // An unmounted directory lacks every key, removed ones as well.
        dir.is_dir()
            && self.present.iter().all(same)
            && !self.absent.iter().any(|key| dir.join(key).exists())
    }
}

/// Returns once `dir` holds what is expected. `since` is when the rule began to wait.
pub(super) async fn caught_up(rule: &str, dir: PathBuf, expected: Expected, since: Instant) {
    let noticed = Arc::new(Notify::new());
    // Without a watch the poll alone notices, a second late at most.
    let mut watcher = None;
    let mut warned = false;
    while !expected.held_by(&dir) {
        if watcher.is_none() {
            watcher = watch(&dir, &noticed);
            if watcher.is_some() {
                // What happened before the watch began was not noticed.
                continue;
            }
        }
        if !warned && since.elapsed() >= LONG_WAIT {
            warned = true;
            tracing::warn!(
                rule,
                mount = %dir.display(),
                waited = since.elapsed().as_secs(),
                "the mount has not caught up with the change; attache waits on. Is it a volume of \
                 the same object, mounted without subPath?"
            );
        }
        tokio::select! {
            () = noticed.notified() => {}
            () = sleep(POLL) => {}
        }
    }
}

fn watch(dir: &Path, noticed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let noticed = Arc::clone(noticed);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the directory must not wake its reader.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            noticed.notify_one();
        }
    })
    .ok()?;
    watcher.watch(dir, RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn expected(present: &[(&str, &str)], absent: &[&str]) -> Expected {
        Expected {
            present: present
                .iter()
                .map(|(key, value)| ((*key).to_owned(), Bytes::copy_from_slice(value.as_bytes())))
                .collect(),
            absent: absent.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    /// Writes a version of a volume as the kubelet does: files, `..data`, links to the keys.
    fn publish(dir: &Path, version: &str, files: &[(&str, &str)]) {
        std::fs::create_dir(dir.join(version)).unwrap();
        for (key, value) in files {
            std::fs::write(dir.join(version).join(key), value).unwrap();
        }
        symlink(version, dir.join("..data_tmp")).unwrap();
        std::fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
        for (key, _) in files {
            let _ = symlink(Path::new("..data").join(key), dir.join(key));
        }
    }

    #[test]
    fn compares_keys_byte_for_byte_and_lets_foreign_files_be() {
        let dir = tempfile::tempdir().unwrap();
        let holds = |present: &[_], absent: &[_]| expected(present, absent).held_by(dir.path());
        publish(
            dir.path(),
            "..1",
            &[("a", "1"), ("b", "2"), ("foreign", "x")],
        );
        assert!(holds(&[("a", "1"), ("b", "2")], &["gone"]));
        assert!(!holds(&[("a", "2")], &[]));
        assert!(!holds(&[("a", "1"), ("new", "")], &[]));
        assert!(!holds(&[("a", "1")], &["b"]));
        assert!(!expected(&[], &["a"]).held_by(&dir.path().join("unmounted")));
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_the_swap() {
        let dir = tempfile::tempdir().unwrap();
        publish(dir.path(), "..1", &[("a", "1"), ("old", "1")]);
        let wait = caught_up(
            "r",
            dir.path().to_owned(),
            expected(&[("a", "2")], &["old"]),
            Instant::now(),
        );
        tokio::pin!(wait);
        let early = tokio::time::timeout(Duration::from_secs(300), &mut wait).await;
        assert!(early.is_err(), "nothing was swapped yet");
        publish(dir.path(), "..2", &[("a", "2")]);
        std::fs::remove_file(dir.path().join("old")).unwrap();
        wait.await;
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_a_directory_to_appear() {
        let dir = tempfile::tempdir().unwrap();
        let mount = dir.path().join("mount");
        let wait = caught_up(
            "r",
            mount.clone(),
            expected(&[("a", "1")], &[]),
            Instant::now(),
        );
        tokio::pin!(wait);
        let early = tokio::time::timeout(Duration::from_secs(5), &mut wait).await;
        assert!(early.is_err());
        std::fs::create_dir(&mount).unwrap();
        std::fs::write(mount.join("a"), "1").unwrap();
        wait.await;
    }
}
