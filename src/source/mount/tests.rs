use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::shutdown::{self, Trigger};
use crate::store::{self, Contact, Kind, Reader, ScopeSpec, Selects, Snapshot};

fn reference() -> ObjectRef {
    ObjectRef::new(Kind::ConfigMap, "default", "web")
}

fn start(path: &Path) -> (Reader, Trigger) {
    let (writer, reader) = store::new(1 << 20);
    let scope = writer.scope(ScopeSpec::declared(Selects::Named(reference())));
    let (trigger, shutdown) = shutdown::channel();
    tokio::spawn(run(reference(), path.to_owned(), scope, shutdown));
    (reader, trigger)
}

async fn until(reader: &mut Reader, condition: impl FnMut(&Snapshot) -> bool) -> Arc<Snapshot> {
    timeout(Duration::from_secs(20), reader.wait_for(condition))
        .await
        .unwrap_or_else(|_| panic!("still {:?}", reader.snapshot()))
        .unwrap()
}

fn value(snapshot: &Snapshot, key: &str) -> Option<String> {
    let object = snapshot.get(&reference())?;
    Some(object.content().get(key)?.text()?.to_owned())
}

/// What the kubelet's `AtomicWriter` does: a new directory, `..data_tmp` renamed over `..data`,
/// symlinks for the keys, the old directory removed.
fn swap(volume: &Path, generation: u32, keys: &[(&str, &str)]) {
    let old = fs::read_link(volume.join("..data")).ok();
    let fresh = format!("..2024_{generation}");
    fs::create_dir(volume.join(&fresh)).unwrap();
    for (key, value) in keys {
        fs::write(volume.join(&fresh).join(key), value).unwrap();
    }
    symlink(&fresh, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    for entry in fs::read_dir(volume).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.starts_with("..") && !keys.iter().any(|(key, _)| *key == name) {
            fs::remove_file(volume.join(name)).unwrap();
        }
    }
    for (key, _) in keys {
        let _ = symlink(format!("..data/{key}"), volume.join(key));
    }
    if let Some(old) = old {
        fs::remove_dir_all(volume.join(old)).unwrap();
    }
}

#[tokio::test]
async fn serves_a_plain_directory() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("k"), "v").unwrap();
    fs::write(dir.path().join(".hidden"), "h").unwrap();
    fs::write(dir.path().join("binary"), [0xff, 0]).unwrap();
    fs::write(dir.path().join("..no"), "x").unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    let (mut reader, _trigger) = start(dir.path());
    let snapshot = until(&mut reader, |s| s.scopes()[0].synced()).await;
    let content = snapshot.get(&reference()).unwrap().content();
    let keys: Vec<&str> = content.values().keys().map(|key| &**key).collect();
    assert_eq!(keys, [".hidden", "binary", "k"]);
    assert!(content.get("binary").unwrap().binary && !content.get("k").unwrap().binary);
    fs::remove_file(dir.path().join("k")).unwrap();
    until(&mut reader, |s| value(s, "k").is_none()).await;
}

#[tokio::test]
async fn follows_the_kubelet_and_an_emptied_volume_is_empty() {
    let volume = tempfile::tempdir().unwrap();
    swap(volume.path(), 0, &[("a", "0"), ("b", "0")]);
    let (mut reader, _trigger) = start(volume.path());
    until(&mut reader, |s| value(s, "b").as_deref() == Some("0")).await;
    swap(volume.path(), 1, &[("a", "1"), ("c", "1")]);
    let snapshot = until(&mut reader, |s| value(s, "c").as_deref() == Some("1")).await;
    assert_eq!(value(&snapshot, "b"), None);
    swap(volume.path(), 2, &[]);
    let empty = |s: &Snapshot| {
        s.get(&reference())
            .is_some_and(|o| o.content().values().is_empty())
    };
    until(&mut reader, empty).await;
    swap(volume.path(), 3, &[("a", "3")]);
    until(&mut reader, |s| value(s, "a").as_deref() == Some("3")).await;
}

#[tokio::test]
async fn readers_never_see_a_mix_of_two_swaps() {
    let volume = tempfile::tempdir().unwrap();
    let generation = |n: u32| n.to_string();
    let swap_to = move |path: &Path, n: u32| {
        let text = generation(n);
        let keys: Vec<String> = (0..8).map(|key| format!("key{key}")).collect();
        let pairs: Vec<(&str, &str)> = keys.iter().map(|k| (k.as_str(), text.as_str())).collect();
        swap(path, n, &pairs);
    };
    swap_to(volume.path(), 0);
    let (mut reader, _trigger) = start(volume.path());
    until(&mut reader, |s| s.scopes()[0].synced()).await;

    let done = Arc::new(AtomicBool::new(false));
    let kubelet = {
        let (path, done) = (volume.path().to_owned(), Arc::clone(&done));
        tokio::task::spawn_blocking(move || {
            for n in 1..=400 {
                swap_to(&path, n);
            }
            done.store(true, Ordering::Release);
        })
    };
    let mut states = 0;
    loop {
        let snapshot = until(&mut reader, |_| true).await;
        if let Some(object) = snapshot.get(&reference()) {
            let values = object.content().values();
            assert_eq!(values.len(), 8);
            let first = values["key0"].text();
            assert!(
                values.values().all(|v| v.text() == first),
                "{:?}",
                object.content()
            );
            states += 1;
            if first == Some("400") {
                break;
            }
        }
        until_changed(&mut reader).await;
    }
    kubelet.await.unwrap();
    assert!(done.load(Ordering::Acquire) && states > 0);
}

async fn until_changed(reader: &mut Reader) {
    timeout(Duration::from_secs(20), reader.changed())
        .await
        .unwrap_or_else(|_| panic!("the last swap was never seen"))
        .unwrap();
}

#[tokio::test]
async fn an_absent_volume_is_not_synced_until_it_appears_and_stays_when_it_goes() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("volume");
    let (mut reader, _trigger) = start(&path);
    let snapshot = until(&mut reader, |s| s.scopes()[0].contact().reason().is_some()).await;
    assert!(!snapshot.scopes()[0].synced());
    fs::create_dir(&path).unwrap();
    fs::write(path.join("k"), "v").unwrap();
    until(&mut reader, |s| value(s, "k").as_deref() == Some("v")).await;
    fs::rename(&path, parent.path().join("away")).unwrap();
    let lost = |s: &Snapshot| matches!(s.scopes()[0].contact(), Contact::Lost { .. });
    let snapshot = until(&mut reader, lost).await;
    assert_eq!(value(&snapshot, "k").as_deref(), Some("v"));
    fs::rename(parent.path().join("away"), &path).unwrap();
    until(&mut reader, |s| {
        matches!(s.scopes()[0].contact(), Contact::Live)
    })
    .await;
}

#[tokio::test]
async fn a_file_too_large_keeps_the_whole_last_version() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "1").unwrap();
    let (mut reader, _trigger) = start(dir.path());
    until(&mut reader, |s| value(s, "a").is_some()).await;
    fs::File::create(dir.path().join("b"))
        .unwrap()
        .set_len(17 << 20)
        .unwrap();
    let snapshot = until(&mut reader, |s| s.scopes()[0].contact().reason().is_some()).await;
    assert_eq!(value(&snapshot, "a").as_deref(), Some("1"));
    fs::remove_file(dir.path().join("b")).unwrap();
    until(&mut reader, |s| s.scopes()[0].contact().reason().is_none()).await;
}
