//! Commands that real apps are told by.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use attache::actions::{Change, ChangedObject, Outcome, command};
use attache::config::CommandAction;
use attache::process::Children;
use attache::store::diff::KeyChanges;
use attache::store::{Kind, ObjectRef};

use super::LIMIT;
use super::support::nginx::Nginx;

fn change() -> Change {
    let keys = KeyChanges {
        changed: vec!["default.conf".into()],
        ..KeyChanges::default()
    };
    Change {
        objects: vec![ChangedObject {
            reference: ObjectRef::new(Kind::ConfigMap, "default", "nginx"),
            resource_version: "7".into(),
            keys,
            annotations: BTreeMap::new(),
        }],
        since: Instant::now(),
        content_hash: "hash".into(),
    }
}

#[tokio::test]
async fn nginx_is_reloaded_by_its_own_command() {
    let nginx = Nginx::prepare();
    nginx.mount(&nginx.site("one"));
    let nginx = nginx.start().await;
    let (master, workers) = (nginx.master(), nginx.workers());
    assert_eq!(nginx.page().await, "one");
    let children = Children::default();
    let reaper = children.clone().reap();
    let reaper = tokio::spawn(async move { drop(reaper.await) });
    let mut argv = nginx.command();
    argv.extend(["-s", "reload"].map(str::to_owned));
    let action = CommandAction {
        argv,
        timeout: LIMIT,
        grace: Duration::from_secs(5),
    };
    nginx.mount(&nginx.site("two"));
    let outcome = command::run("onChange[0]", &action, &change(), &children).await;
    assert!(matches!(outcome, Ok(Outcome::Done(_))), "{outcome:?}");
    nginx.reloaded("two", &workers).await;
    assert_eq!(nginx.master(), master, "the master lives on");
    // A configuration that it refuses is the command's failure.
    nginx.mount("nonsense;");
    let refused = command::run("onChange[0]", &action, &change(), &children).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("nginx exited with 1"), "{error}");
    assert_eq!(nginx.page().await, "two");
    reaper.abort();
}
