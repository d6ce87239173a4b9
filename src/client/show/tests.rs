use std::cell::RefCell;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::ObjectKind;
use crate::process::Children;

const SUBJECT: Subject<'_> = Subject {
    kind: ObjectKind::ConfigMap,
    namespace: "prod",
    name: "web",
    key: Some("K"),
};

fn state(value: &str, resource_version: Option<&str>) -> Newest {
    Some(Arc::new(Shown {
        value: value.to_owned().into(),
        resource_version: resource_version.map(str::to_owned),
    }))
}

/// Runs `script` in `dir` for what `drive` sends; returns what was said.
async fn run(
    subject: &Subject<'_>,
    dir: &Path,
    script: &str,
    drive: impl AsyncFnOnce(tokio::sync::watch::Sender<Newest>),
) -> Vec<String> {
    let script = format!("cd {}; {script}", dir.display());
    let argv = ["/bin/sh", "-c", &script].map(OsString::from);
    let children = Children::default();
    let show: Show<'_, Vec<u8>> = Show::Run(Runner {
        argv: &argv,
        subject,
        children: children.clone(),
    });
    let said = RefCell::new(Vec::new());
    let say = |text: &str| said.borrow_mut().push(text.to_owned());
    let (sender, newest) = tokio::sync::watch::channel(None);
    let shown = async {
        let (shown, ()) = tokio::join!(show.follow(subject, newest, &say), drive(sender));
        shown.unwrap();
    };
    let all = async {
        tokio::select! {
            () = shown => {}
            Err(error) = children.reap() => panic!("{error}"),
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .unwrap();
    said.into_inner()
}

async fn until(path: &Path, content: &str) {
    let has = || fs::read_to_string(path).is_ok_and(|text| text == content);
    while !has() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_command_gets_the_value_and_what_it_is_of() {
    let dir = tempfile::tempdir().unwrap();
    let script = "cat >in; env | grep ^ATTACHE_WATCH | sort >env";
    run(&SUBJECT, dir.path(), script, async |sender| {
        sender.send_replace(state("no end", Some("7")));
    })
    .await;
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(read("in"), "no end");
    assert_eq!(
        read("env"),
        "ATTACHE_WATCH_KEY=K\nATTACHE_WATCH_NAME=web\nATTACHE_WATCH_NAMESPACE=prod\n\
         ATTACHE_WATCH_RESOURCE_VERSION=7\n"
    );
    let object = Subject {
        key: None,
        ..SUBJECT
    };
    run(&object, dir.path(), script, async |sender| {
        sender.send_replace(state("{}", None));
    })
    .await;
    assert_eq!(read("in"), "{}\n");
    assert_eq!(
        read("env"),
        "ATTACHE_WATCH_NAME=web\nATTACHE_WATCH_NAMESPACE=prod\n"
    );
}

#[tokio::test]
async fn what_changes_during_a_run_is_one_run_for_the_newest_state() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let script = "echo \"$(cat)\" >>log; until [ -e gate ]; do sleep 0.01; done; echo end >>log";
    run(&SUBJECT, dir.path(), script, async |sender| {
        sender.send_replace(state("1", None));
        until(&log, "1\n").await;
        for value in ["2", "3", "4"] {
            sender.send_replace(state(value, None));
            tokio::task::yield_now().await;
        }
        fs::write(dir.path().join("gate"), "").unwrap();
    })
    .await;
    assert_eq!(fs::read_to_string(&log).unwrap(), "1\nend\n4\nend\n");
}

#[tokio::test]
async fn a_command_that_fails_is_told_and_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let script = "read value; echo $value >>log; [ $value = 2 ] && kill -9 $$; exit $value";
    let said = run(&SUBJECT, dir.path(), script, async |sender| {
        sender.send_replace(None);
        // The two take turns at going first.
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
        sender.send_replace(state("1", None));
        until(&log, "1\n").await;
        sender.send_replace(state("2", None));
        until(&log, "1\n2\n").await;
        sender.send_replace(state("0", None));
        until(&log, "1\n2\n0\n").await;
        sender.send_replace(None);
    })
    .await;
    assert_eq!(
        said,
        [
            "key K of ConfigMap prod/web does not exist yet: waiting for it",
            "/bin/sh exited with 1; the next change of key K of ConfigMap prod/web runs it again",
            "/bin/sh was ended by signal 9; the next change of key K of ConfigMap prod/web runs it again",
            "key K of ConfigMap prod/web does not exist any more",
        ]
    );
}

#[tokio::test]
async fn a_command_need_not_read_and_need_not_exist() {
    let dir = tempfile::tempdir().unwrap();
    let large = "x".repeat(1 << 20);
    let said = run(
        &SUBJECT,
        dir.path(),
        "exec <&-; echo >done",
        async |sender| {
            sender.send_replace(state(&large, None));
        },
    )
    .await;
    assert_eq!(
        (said.len(), dir.path().join("done").exists()),
        (0, true),
        "{said:?}"
    );
    let said = run(
        &SUBJECT,
        dir.path(),
        "exec /does/not/exist 2>&-",
        async |sender| {
            sender.send_replace(state("", None));
        },
    )
    .await;
    assert!(said[0].contains("exited with 127"), "{said:?}");
    let runner = Runner {
        argv: &["/does/not/exist".into()],
        subject: &SUBJECT,
        children: Children::default(),
    };
    let shown = state("", None).unwrap();
    let failed = runner.run(&shown).await.unwrap_err();
    assert!(
        failed.starts_with("/does/not/exist could not be run: "),
        "{failed}"
    );
}
