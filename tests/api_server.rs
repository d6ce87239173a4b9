//! The whole application in-process against a real etcd and kube-apiserver.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here fails the test that asked"
)]

mod support;

#[macro_use]
#[path = "api_server/through.rs"]
mod through;

#[path = "api_server/actions.rs"]
mod actions;
#[path = "api_server/clients.rs"]
mod clients;
#[path = "api_server/controller.rs"]
mod controller;
#[path = "api_server/crash.rs"]
mod crash;
#[allow(unreachable_pub, reason = "as in the support: nothing outside uses it")]
#[path = "api_server/differential.rs"]
mod differential;
#[path = "api_server/discovery.rs"]
mod discovery;
#[path = "api_server/doctor.rs"]
mod doctor;
#[path = "api_server/examples.rs"]
mod examples;
#[path = "api_server/injecting.rs"]
mod injecting;
#[path = "api_server/kubectl.rs"]
mod kubectl;
#[path = "api_server/restarts.rs"]
mod restarts;
#[path = "api_server/webhook.rs"]
mod webhook;
#[path = "api_server/writes.rs"]
mod writes;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::control_plane::{ConfigMaps, ControlPlane};
use support::eventually;
use support::receiver::Receiver;
use support::relay::Relay;
use support::sidecar::Sidecar;

const LIMIT: Duration = Duration::from_secs(60);

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A sidecar in `namespace` with the rights of `kubeconfig`.
async fn sidecar_with(kubeconfig: &Path, namespace: &str, flags: &[&str]) -> Sidecar {
    let mut all = vec!["--kubeconfig", text(kubeconfig), "-n", namespace];
    all.extend(flags);
    Sidecar::start(&all).await
}

/// A sidecar that watches `web` in `namespace` with the administrator's rights.
async fn watching(plane: &ControlPlane, namespace: &str, flags: &[&str]) -> Sidecar {
    let flags = [&["--configmap", "web"], flags].concat();
    sidecar_with(&plane.admin_kubeconfig(), namespace, &flags).await
}

/// Reads a path over and over until told to stop; counts, and panics on anything but 200.
struct Reading {
    stop: Arc<AtomicBool>,
    reads: tokio::task::JoinHandle<usize>,
}

impl Reading {
    fn start(url: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let reads = tokio::spawn(async move {
            let mut reads = 0;
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            while !stopped.load(Ordering::Relaxed) {
                let response = support::http::get(&url, &[])
                    .await
                    .expect("attache answers");
                assert_eq!(
                    response.status(),
                    200,
                    "a read failed after {reads} good ones"
                );
                reads += 1;
                pace.tick().await;
            }
            reads
        });
        Self { stop, reads }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        assert!(self.reads.await.expect("every read succeeded") > 10);
    }
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn every_one_of_a_thousand_patches_is_served() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let maps = plane.config_maps(&namespace).await;
    maps.create("web", &[("GREETING", "start")]).await;
    let sidecar = watching(plane, &namespace, &[]).await;
    let path = format!("/kv/{namespace}/web/GREETING");
    sidecar.serves(&path, "start").await;
    for patch in 0..1_000 {
        let value = format!("patch {patch}");
        let version = maps.set("web", "GREETING", &value).await;
        eventually(format!("{value} is served"), LIMIT, async || {
            let response = sidecar.get(&path, &[]).await;
            *response.body() == value && response.headers()["x-resource-version"] == *version
        })
        .await;
    }
    assert_eq!(
        sidecar.metric("attache_changes_total").await,
        1_000.0,
        "each seen as a change"
    );
    assert_eq!(sidecar.metric("attache_watch_reconnects_total").await, 0.0);
    let changes = sidecar.changes().await;
    assert_eq!(changes.len(), 100);
    assert_eq!(changes[99]["changed"], json!(["GREETING"]));
    assert!(
        !sidecar.text("/-/status").await.1.contains("patch 999"),
        "status shows no values"
    );
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_change_of_labels_alone_is_no_change() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let maps = plane.config_maps(&namespace).await;
    maps.create("web", &[("GREETING", "hello")]).await;
    let mut hook = Receiver::start().await;
    let rule = hook.rule("settle: 0s");
    let sidecar = watching(plane, &namespace, &["--on-change", &rule]).await;
    let path = format!("/kv/{namespace}/web");
    eventually("synced", LIMIT, async || sidecar.text(&path).await.0 == 200).await;
    let etag = sidecar.get(&path, &[]).await.headers()["etag"].clone();
    let version = maps
        .patch("web", &json!({"metadata": {"labels": {"a": "b"}}}))
        .await;
    eventually("the new resourceVersion is served", LIMIT, async || {
        sidecar.get(&path, &[]).await.headers()["x-resource-version"] == *version
    })
    .await;
    assert_eq!(sidecar.get(&path, &[]).await.headers()["etag"], etag);
    // A change of content afterwards is the first that anyone hears of.
    let version = maps.set("web", "GREETING", "bye").await;
    assert_eq!(
        hook.next().await["changes"][0]["resourceVersion"],
        json!(version)
    );
    assert_eq!(sidecar.changes().await.len(), 1);
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn the_api_server_goes_away_for_half_a_minute() {
    let mut plane = ControlPlane::start().await;
    let namespace = plane.namespace().await;
    let maps = plane.config_maps(&namespace).await;
    maps.create("web", &[("GREETING", "before")]).await;
    maps.create("quiet", &[("K", "unchanged")]).await;
    let mut hook = Receiver::start().await;
    let rule = hook.rule("settle: 0s");
    let flags = ["--configmap", "quiet", "--on-change", &rule];
    let sidecar = watching(&plane, &namespace, &flags).await;
    let (web, quiet) = (
        format!("/kv/{namespace}/web/GREETING"),
        format!("/kv/{namespace}/quiet/K"),
    );
    sidecar.serves(&web, "before").await;
    sidecar.serves(&quiet, "unchanged").await;
    let reading = [
        Reading::start(sidecar.url(&web)),
        Reading::start(sidecar.url(&quiet)),
    ];
    plane.stop_apiserver();
    for seconds in [1, 28] {
        eventually(format!("an Age of {seconds} s"), LIMIT, async || {
            sidecar.age(&quiet).await >= Some(seconds) && sidecar.age(&web).await >= Some(seconds)
        })
        .await;
    }
    plane.start_apiserver().await;
    let version = plane
        .config_maps(&namespace)
        .await
        .set("web", "GREETING", "after")
        .await;
    sidecar.serves(&web, "after").await;
    for path in [&web, &quiet] {
        eventually("no Age once in contact", LIMIT, async || {
            sidecar.age(path).await.is_none()
        })
        .await;
    }
    let told = hook.next().await;
    assert_eq!(told["changes"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["changes"][0]["resourceVersion"], json!(version));
    for reading in reading {
        reading.end().await;
    }
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_watch_whose_history_was_compacted_loses_no_change() {
    let mut plane = ControlPlane::start().await;
    let namespace = plane.namespace().await;
    let maps = plane.config_maps(&namespace).await;
    maps.create("web", &[("GREETING", "before"), ("GONE", "soon")])
        .await;
    let relay = Relay::start(plane.addr()).await;
    let kubeconfig = plane.kubeconfig_via(&plane.admin_kubeconfig(), relay.addr());
    let flags = ["--configmap", "web"];
    let sidecar = sidecar_with(&kubeconfig, &namespace, &flags).await;
    let path = format!("/kv/{namespace}/web/GREETING");
    sidecar.serves(&path, "before").await;
    let reading = Reading::start(sidecar.url(&path));
    // What happens now does not reach attache.
    relay.freeze();
    for round in 0..20 {
        maps.set("web", "GREETING", &format!("unseen {round}"))
            .await;
    }
    maps.patch("web", &json!({"data": {"GREETING": "last", "GONE": null}}))
        .await;
    plane.stop_apiserver();
    plane.compact_etcd().await;
    plane.start_apiserver().await;
    relay.pass();
    relay.cut();
    sidecar.serves(&path, "last").await;
    let (status, _) = sidecar.text(&format!("/kv/{namespace}/web/GONE")).await;
    assert_eq!(status, 404);
    let lists = sidecar.metric("attache_watch_lists_total").await;
    assert_eq!(lists, 2.0, "the watch got 410 and listed again");
    reading.end().await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn certificate_authority_and_token_are_rotated() {
    let mut plane = ControlPlane::start().await;
    let namespace = plane.namespace().await;
    plane
        .config_maps(&namespace)
        .await
        .create("web", &[("GREETING", "0")])
        .await;
    plane
        .allow(
            "pod",
            &namespace,
            "configmaps",
            &["get", "list", "watch"],
            &["web"],
        )
        .await;
    let kubeconfig = plane.pod_kubeconfig();
    let flags = ["--configmap", "web"];
    let sidecar = sidecar_with(&kubeconfig, &namespace, &flags).await;
    let path = format!("/kv/{namespace}/web/GREETING");
    sidecar.serves(&path, "0").await;
    let reading = Reading::start(sidecar.url(&path));
    let change = async |plane: &ControlPlane, value: &str| {
        plane
            .config_maps(&namespace)
            .await
            .set("web", "GREETING", value)
            .await;
        sidecar.serves(&path, value).await;
        assert_eq!(sidecar.age(&path).await, None);
    };
    plane.rotate_serving_certificate().await;
    change(&plane, "the certificate is new").await;
    plane.rotate_ca().await;
    change(&plane, "the certificate authority is new").await;
    plane.rotate_token().await;
    eventually("the old token is refused", LIMIT, async || {
        sidecar.status().await["scopes"][0]["reason"]
            .as_str()
            .is_some_and(|r| r.contains("401"))
    })
    .await;
    plane.deliver_token();
    change(&plane, "the token is new").await;
    reading.end().await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_half_open_connection_is_noticed_within_forty_seconds() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let maps = plane.config_maps(&namespace).await;
    maps.create("web", &[("GREETING", "before")]).await;
    let relay = Relay::start(plane.addr()).await;
    let kubeconfig = plane.kubeconfig_via(&plane.admin_kubeconfig(), relay.addr());
    let flags = ["--configmap", "web"];
    let sidecar = sidecar_with(&kubeconfig, &namespace, &flags).await;
    let path = format!("/kv/{namespace}/web/GREETING");
    sidecar.serves(&path, "before").await;
    relay.freeze();
    // New connections work; the one in use stays dead without a word.
    relay.pass();
    let frozen = Instant::now();
    maps.set("web", "GREETING", "after").await;
    let within = Duration::from_secs(40);
    eventually("the change arrives", within, async || {
        sidecar.text(&path).await == (200, "after".into())
    })
    .await;
    assert!(relay.total() >= 2, "noticed after {:?}", frozen.elapsed());
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn forty_watches_share_one_connection_and_a_role_for_one_name_suffices() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let maps = plane.config_maps(&namespace).await;
    let names: Vec<_> = (0..40).map(|n| format!("map-{n}")).collect();
    for name in &names {
        maps.create(name, &[("NAME", name)]).await;
    }
    let user = plane.kubeconfig(&format!("many-{namespace}"));
    let rights: Vec<_> = names.iter().map(String::as_str).collect();
    let verbs = ["get", "list", "watch"];
    plane
        .allow(
            &format!("many-{namespace}"),
            &namespace,
            "configmaps",
            &verbs,
            &rights,
        )
        .await;
    let relay = Relay::start(plane.addr()).await;
    let kubeconfig = plane.kubeconfig_via(&user, relay.addr());
    let mut flags: Vec<&str> = vec![];
    for name in &names {
        flags.extend(["--configmap", name.as_str()]);
    }
    let sidecar = sidecar_with(&kubeconfig, &namespace, &flags).await;
    for name in &names {
        sidecar
            .serves(&format!("/kv/{namespace}/{name}/NAME"), name)
            .await;
    }
    eventually("one connection", LIMIT, async || relay.live() == 1).await;
    maps.set("map-39", "NAME", "changed").await;
    sidecar
        .serves(&format!("/kv/{namespace}/map-39/NAME"), "changed")
        .await;
    assert_eq!(relay.live(), 1);
    // What the Role does not name is refused in the API server's own words.
    maps.create("other", &[("K", "v")]).await;
    let (status, body) = sidecar.text(&format!("/kv/{namespace}/other")).await;
    assert_eq!(status, 403);
    assert!(body.contains("cannot list resource"), "{body}");
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn selectors_secrets_and_objects_read_on_demand() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let maps = plane.config_maps(&namespace).await;
    let labels = [("app", "web")];
    maps.create_labelled("first", &labels, &[("K", "1")]).await;
    maps.create("unlabelled", &[("K", "2")]).await;
    plane
        .create_secret(&namespace, "db", &[("password", "hunter2")])
        .await;
    plane
        .create_secret(&namespace, "unnamed", &[("password", "hunter3")])
        .await;
    let kubeconfig = plane.admin_kubeconfig();
    let flags = ["--configmap-selector", "app=web", "--secret", "db"];
    let sidecar = sidecar_with(&kubeconfig, &namespace, &flags).await;
    sidecar
        .serves(&format!("/kv/{namespace}/first/K"), "1")
        .await;
    sidecar
        .serves(&format!("/kv/{namespace}/secret:db/password"), "hunter2")
        .await;
    assert_eq!(sidecar.text("/-/ready").await.0, 200);
    assert_eq!(
        sidecar
            .text(&format!("/kv/{namespace}/secret:unnamed"))
            .await
            .0,
        403
    );
    // Members come and go by their labels.
    maps.create_labelled("second", &labels, &[("K", "new")])
        .await;
    sidecar
        .serves(&format!("/kv/{namespace}/second/K"), "new")
        .await;
    maps.delete("second").await;
    eventually("a deleted member is gone", LIMIT, async || {
        sidecar.text(&format!("/kv/{namespace}/second/K")).await.0 == 404
    })
    .await;
    // An object that nobody named is fetched, and then followed.
    let path = format!("/kv/{namespace}/unlabelled/K");
    assert_eq!(
        sidecar.text(&path).await,
        (200, "2".into()),
        "the first read waits for it"
    );
    maps.set("unlabelled", "K", "3").await;
    sidecar.serves(&path, "3").await;
    assert_eq!(
        sidecar.text(&format!("/kv/{namespace}/nowhere")).await.0,
        404
    );
    for text in [
        sidecar.text("/-/status").await.1,
        sidecar.text("/-/metrics").await.1,
    ] {
        assert!(!text.contains("hunter"), "a Secret's value in {text}");
    }
}

/// Patches `objects` ConfigMaps in parallel, `each` times; the last resourceVersion of each.
async fn storm(maps: &ConfigMaps, objects: usize, each: usize) -> Vec<String> {
    let lanes: Vec<_> = (0..objects)
        .map(|lane| {
            let maps = maps.clone();
            tokio::spawn(async move {
                let mut version = String::new();
                for patch in 0..each {
                    version = maps
                        .set(&format!("storm-{lane}"), "K", &format!("{patch}"))
                        .await;
                }
                version
            })
        })
        .collect();
    let mut versions = Vec::new();
    for lane in lanes {
        versions.push(lane.await.unwrap());
    }
    versions
}

/// The signals that status reports as sent.
async fn signals_sent(sidecar: &Sidecar) -> usize {
    let status = sidecar.status().await;
    let sent = |action: &&Value| action["action"] == "signal" && action["outcome"] == "ok";
    status["actions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(sent)
        .count()
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn large_objects_are_listed_few_at_a_time_and_refused_beyond_the_bound() {
    let mut plane = ControlPlane::start().await;
    let namespace = plane.namespace().await;
    let maps = plane.config_maps(&namespace).await;
    let large = "x".repeat(800_000);
    for number in 0..6 {
        let name = format!("large-{number}");
        maps.create_labelled(&name, &[("app", "web")], &[("K", &large)])
            .await;
    }
    let kubeconfig = plane.admin_kubeconfig();
    let flags = |size| ["--configmap-selector", "app=web", "--max-bytes", size];
    let all = sidecar_with(&kubeconfig, &namespace, &flags("8Mi")).await;
    let few = sidecar_with(&kubeconfig, &namespace, &flags("3Mi")).await;
    let codes = async |sidecar: &Sidecar| {
        let mut codes = Vec::new();
        for number in 0..6 {
            let path = format!("/kv/{namespace}/large-{number}/K");
            codes.push(sidecar.text(&path).await.0);
        }
        codes
    };
    let (held, refused) = (vec![200; 6], vec![200, 200, 200, 507, 507, 507]);
    for lists in [1.0, 2.0] {
        for (sidecar, wanted) in [(&all, &held), (&few, &refused)] {
            eventually("listed", LIMIT, async || {
                sidecar.metric("attache_watch_lists_total").await >= lists
                    && sidecar.text("/-/ready").await.0 == 200
            })
            .await;
            assert_eq!(codes(sidecar).await, *wanted);
        }
        plane.expire_watches().await;
    }
    let refused = few.status().await["scopes"][0]["refused"].clone();
    assert_eq!(
        refused.as_object().map(serde_json::Map::len),
        Some(3),
        "{refused}"
    );
    // Followed from where the list of many pages was.
    maps.set("large-0", "K", "small").await;
    let path = format!("/kv/{namespace}/large-0/K");
    all.serves(&path, "small").await;
    few.serves(&path, "small").await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_storm_is_a_few_signals_and_what_was_undone_is_none() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let maps = plane.config_maps(&namespace).await;
    let (objects, each) = (4, 250);
    for lane in 0..objects {
        let name = format!("storm-{lane}");
        maps.create_labelled(&name, &[("storm", "yes")], &[("K", "start")])
            .await;
    }
    let mut app = support::child::Child::counting_hups();
    let mut hook = Receiver::start().await;
    let signal = format!(
        "{{signal: {{pidfile: {}, signal: HUP}}}}",
        text(app.pidfile())
    );
    let webhook = hook.rule("settle: 250ms:1s");
    let kubeconfig = plane.admin_kubeconfig();
    let flags = [
        "--configmap-selector",
        "storm=yes",
        "--settle",
        "250ms:1s",
        "--on-change",
        &signal,
        "--on-change",
        &webhook,
    ];
    let sidecar = sidecar_with(&kubeconfig, &namespace, &flags).await;
    eventually("ready", LIMIT, async || {
        sidecar.text("/-/ready").await.0 == 200
    })
    .await;
    let began = Instant::now();
    let versions = storm(&maps, objects, each).await;
    let took = began.elapsed();
    // The last state of every object is among what was told.
    let mut told = std::collections::BTreeMap::new();
    let mut calls = 0;
    while told.len() < objects
        || (0..objects).any(|lane| told[&format!("storm-{lane}")] != json!(versions[lane]))
    {
        let call = hook.next().await;
        calls += 1;
        for change in call["changes"].as_array().unwrap() {
            told.insert(
                change["name"].as_str().unwrap().to_owned(),
                change["resourceVersion"].clone(),
            );
        }
    }
    // One a second at most, and one after the end: 4 for a storm of two seconds.
    let most = usize::try_from(took.as_secs()).unwrap() + 2;
    assert!(calls <= most, "{calls} calls for a storm of {took:?}");
    // The shell counts when it gets to it.
    let sent = signals_sent(&sidecar).await;
    assert!(
        (1..=most).contains(&sent),
        "{sent} signals for a storm of {took:?}"
    );
    eventually("each signal arrived", LIMIT, async || app.hups() == sent).await;
    // There and back inside the settle time: nothing to tell. The next change is told alone.
    let last = format!("{}", each - 1);
    for value in ["elsewhere", last.as_str()] {
        maps.set("storm-0", "K", value).await;
    }
    // (An object of its own shows that the settle time has passed.)
    eventually("the undone change was seen", LIMIT, async || {
        sidecar.metric("attache_changes_total").await >= 1.0
            && sidecar.text(&format!("/kv/{namespace}/storm-0/K")).await.1 == last
    })
    .await;
    let settled = Instant::now();
    eventually("the settle time is over", LIMIT, async || {
        settled.elapsed() > Duration::from_millis(1_500)
    })
    .await;
    assert_eq!(app.hups(), sent, "a signal for a state that was undone");
    let version = maps.set("storm-1", "K", "told").await;
    let call = hook.next().await;
    assert_eq!(call["changes"].as_array().unwrap().len(), 1, "{call}");
    assert_eq!(call["changes"][0]["resourceVersion"], json!(version));
    eventually("one more signal", LIMIT, async || app.hups() == sent + 1).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn nginx_reloads_by_its_master_once_its_mount_has_caught_up() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let maps = plane.config_maps(&namespace).await;
    let nginx = support::nginx::Nginx::prepare();
    maps.create("nginx", &[("default.conf", &nginx.site("one"))])
        .await;
    nginx.mount(&nginx.site("one"));
    let nginx = nginx.start().await;
    assert_eq!(nginx.page().await, "one");
    let (master, workers) = (nginx.master(), nginx.workers());
    let kubeconfig = plane.admin_kubeconfig();
    let rule = format!(
        "{{when: {{configMap: nginx}}, signal: {{process: nginx}}, afterMount: {}, settle: 0s}}",
        text(nginx.mounted())
    );
    let flags = ["--on-change", &rule];
    let sidecar = sidecar_with(&kubeconfig, &namespace, &flags).await;
    eventually("synced", LIMIT, async || {
        sidecar.text(&format!("/kv/{namespace}/nginx")).await.0 == 200
    })
    .await;
    maps.set("nginx", "default.conf", &nginx.site("two")).await;
    eventually("the rule waits for the mount", LIMIT, async || {
        sidecar.status().await["problems"]
            .to_string()
            .contains("mount")
    })
    .await;
    assert_eq!(
        nginx.page().await,
        "one",
        "the mount is behind: nginx was not told"
    );
    nginx.mount(&nginx.site("two"));
    eventually("nginx serves the new page", LIMIT, async || {
        nginx.page().await == "two"
    })
    .await;
    assert_eq!(nginx.master(), master, "the master lives on");
    eventually("with new workers", LIMIT, async || {
        nginx
            .workers()
            .iter()
            .all(|worker| !workers.contains(worker))
    })
    .await;
    let actions = sidecar.status().await["actions"].clone();
    let done: Vec<&Value> = actions
        .as_array()
        .unwrap()
        .iter()
        .filter(|action| action["outcome"] == "ok")
        .collect();
    assert_eq!(done.len(), 1, "{actions}");
    assert!(
        done[0]["detail"]
            .as_str()
            .unwrap()
            .contains(&master.to_string()),
        "{actions}"
    );
}
