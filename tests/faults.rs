//! The whole application in-process against a scripted API server: faults that a real one does
//! not produce on demand. What is scripted was seen on a real one first.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here fails the test that asked"
)]

#[path = "faults/demands.rs"]
mod demands;
#[path = "faults/discovery.rs"]
mod discovery;
mod support;

#[path = "faults/writes.rs"]
mod writes;

use std::time::Duration;

use serde_json::json;
use support::eventually;
use support::fake::{FakeApiServer, WatchStream, config_map};
use support::sidecar::Sidecar;

const PATH: &str = "/api/v1/namespaces/default/configmaps";
const LIMIT: Duration = Duration::from_secs(30);

fn web(version: &str, value: &str) -> serde_json::Value {
    config_map("default", "web", version, &[("GREETING", value)])
}

/// A sidecar that watches `default/web`, synced at resourceVersion 10 with the value `one`.
async fn synced(fake: &mut FakeApiServer) -> (Sidecar, WatchStream) {
    let sidecar = sidecar(fake, &["--configmap", "web"]).await;
    fake.next_list(PATH)
        .await
        .list("10", &[web("10", "one")], None);
    let watch = fake.next_watch(PATH).await;
    assert_eq!(watch.asked.query("resourceVersion"), Some("10"));
    assert_eq!(
        watch.asked.query("fieldSelector"),
        Some("metadata.name=web")
    );
    assert_eq!(watch.asked.query("allowWatchBookmarks"), Some("true"));
    let stream = watch.watch();
    sidecar.serves("/kv/default/web/GREETING", "one").await;
    (sidecar, stream)
}

/// A sidecar of the scripted server's.
async fn sidecar(fake: &FakeApiServer, flags: &[&str]) -> Sidecar {
    sidecar_with(&fake.kubeconfig(), flags).await
}

async fn sidecar_with(kubeconfig: &std::path::Path, flags: &[&str]) -> Sidecar {
    let kubeconfig = ["--kubeconfig", kubeconfig.to_str().unwrap()];
    Sidecar::start(&[&kubeconfig, flags].concat()).await
}

#[tokio::test]
async fn a_dropped_watch_resumes_where_it_was_and_reads_go_on_with_an_age() {
    let mut fake = FakeApiServer::start().await;
    let (sidecar, stream) = synced(&mut fake).await;
    stream.modified(web("11", "two"));
    sidecar.serves("/kv/default/web/GREETING", "two").await;
    assert_eq!(sidecar.age("/kv/default/web").await, None);
    stream.reset();
    eventually("an Age while out of contact", LIMIT, async || {
        sidecar.age("/kv/default/web").await.is_some()
    })
    .await;
    sidecar.serves("/kv/default/web/GREETING", "two").await;
    let watch = fake.next_watch(PATH).await;
    assert_eq!(
        watch.asked.query("resourceVersion"),
        Some("11"),
        "resumed, not listed again"
    );
    let _quiet = watch.watch();
    eventually(
        "no Age once in contact, though nothing changed",
        LIMIT,
        async || sidecar.age("/kv/default/web").await.is_none(),
    )
    .await;
}

#[tokio::test]
async fn an_expired_watch_lists_again_and_misses_nothing() {
    let mut fake = FakeApiServer::start().await;
    let (sidecar, stream) = synced(&mut fake).await;
    stream.gone("10");
    fake.next_list(PATH)
        .await
        .list("40", &[web("35", "missed")], None);
    sidecar.serves("/kv/default/web/GREETING", "missed").await;
    let watch = fake.next_watch(PATH).await;
    assert_eq!(watch.asked.query("resourceVersion"), Some("40"));
    let stream = watch.watch();
    stream.modified(web("41", "three"));
    sidecar.serves("/kv/default/web/GREETING", "three").await;
}

#[tokio::test]
async fn an_http_410_lists_again_too() {
    let mut fake = FakeApiServer::start().await;
    let (sidecar, stream) = synced(&mut fake).await;
    stream.reset();
    fake.next_watch(PATH).await.gone();
    fake.next_list(PATH)
        .await
        .list("50", &[web("50", "fresh")], None);
    sidecar.serves("/kv/default/web/GREETING", "fresh").await;
}

#[tokio::test]
async fn garbage_in_the_stream_keeps_the_last_good_content_and_lists_again() {
    let mut fake = FakeApiServer::start().await;
    let (sidecar, stream) = synced(&mut fake).await;
    stream.raw("{\"type\":\"MODIFIED\",\"object\":{\"metadata\":17}}\n");
    eventually("status names the fault", LIMIT, async || {
        sidecar.status().await["scopes"][0]["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("not one the API would send"))
    })
    .await;
    assert_eq!(
        sidecar.text("/kv/default/web/GREETING").await,
        (200, "one".into())
    );
    fake.next_list(PATH)
        .await
        .list("12", &[web("12", "recovered")], None);
    sidecar
        .serves("/kv/default/web/GREETING", "recovered")
        .await;
}

#[tokio::test]
async fn errors_at_start_are_retried_and_nothing_wrong_is_served() {
    let mut fake = FakeApiServer::start().await;
    let sidecar = sidecar(&fake, &["--configmap", "web"]).await;
    fake.next_list(PATH).await.internal_error();
    eventually("status says why", LIMIT, async || {
        sidecar.status().await["scopes"][0]["reason"]
            .as_str()
            .is_some_and(|r| r.contains("500"))
    })
    .await;
    let answer = sidecar.get("/kv/default/web/GREETING", &[]).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    let (status, ready) = sidecar.text("/-/ready").await;
    assert_eq!(status, 503);
    assert!(ready.contains("ConfigMap default/web"), "{ready}");
    fake.next_list(PATH).await.raw("no JSON at all");
    fake.next_list(PATH)
        .await
        .list("10", &[web("10", "at last")], None);
    sidecar.serves("/kv/default/web/GREETING", "at last").await;
    assert_eq!(sidecar.text("/-/ready").await.0, 200);
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let mut fake = FakeApiServer::start().await;
    let _sidecar = sidecar(&fake, &["--configmap", "web"]).await;
    let refused = tokio::time::Instant::now();
    fake.next_list(PATH).await.too_many_requests(3);
    let _again = fake.next_list(PATH).await;
    assert!(
        refused.elapsed() >= Duration::from_secs(3),
        "asked again after {:?}",
        refused.elapsed()
    );
}

#[tokio::test]
async fn a_list_of_several_pages_shows_at_its_end_only() {
    let mut fake = FakeApiServer::start().await;
    let flags = ["--configmap-selector", "app=web"];
    let sidecar = sidecar(&fake, &flags).await;
    let object = |name: &str| config_map("default", name, "9", &[("K", name)]);
    let page = fake.next_list(PATH).await;
    assert_eq!(page.asked.query("labelSelector"), Some("app=web"));
    page.list("10", &[object("a")], Some("more"));
    let page = fake.next_list(PATH).await;
    assert_eq!(page.asked.query("continue"), Some("more"));
    assert_eq!(
        sidecar.status().await["objects"],
        json!([]),
        "half a list is visible"
    );
    // The token expired: the list starts over.
    page.gone();
    let page = fake.next_list(PATH).await;
    assert_eq!(page.asked.query("continue"), None);
    page.list("20", &[object("a")], Some("more"));
    fake.next_list(PATH).await.list("20", &[object("b")], None);
    sidecar.serves("/kv/default/b/K", "b").await;
    assert_eq!(
        sidecar.status().await["objects"].as_array().unwrap().len(),
        2
    );
}

#[tokio::test]
async fn a_rotated_token_is_read_again_after_a_401() {
    let mut fake = FakeApiServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "old").unwrap();
    let kubeconfig = fake.kubeconfig_with_token(&token);
    let sidecar = sidecar_with(&kubeconfig, &["--configmap", "web"]).await;
    let list = fake.next_list(PATH).await;
    assert_eq!(list.asked.token(), Some("old"));
    std::fs::write(&token, "new").unwrap();
    list.unauthorized();
    let list = fake.next_list(PATH).await;
    assert_eq!(list.asked.token(), Some("new"));
    list.list("10", &[web("10", "one")], None);
    sidecar.serves("/kv/default/web/GREETING", "one").await;
}

#[tokio::test]
async fn a_role_taken_away_leaves_the_last_good_content_and_says_so() {
    let mut fake = FakeApiServer::start().await;
    let (sidecar, stream) = synced(&mut fake).await;
    stream.reset();
    fake.next_watch(PATH).await.forbidden();
    eventually("status says 403", LIMIT, async || {
        sidecar.status().await["scopes"][0]["reason"]
            .as_str()
            .is_some_and(|r| r.contains("403"))
    })
    .await;
    assert_eq!(
        sidecar.text("/kv/default/web/GREETING").await,
        (200, "one".into())
    );
    assert!(sidecar.age("/kv/default/web").await.is_some());
    assert_eq!(sidecar.text("/-/ready").await.0, 200, "once ready, ready");
    let _restored = fake.next_watch(PATH).await.watch();
    eventually("in contact again", LIMIT, async || {
        sidecar.age("/kv/default/web").await.is_none()
    })
    .await;
}

#[tokio::test]
async fn concurrent_first_reads_share_one_fetch_and_a_404_is_remembered() {
    let mut fake = FakeApiServer::start().await;
    let sidecar = sidecar(&fake, &[]).await;
    let reads: Vec<_> = (0..20)
        .map(|_| {
            let url = sidecar.url("/kv/default/web/GREETING");
            tokio::spawn(async move { support::http::get(&url, &[]).await.unwrap() })
        })
        .collect();
    fake.next_list(PATH)
        .await
        .list("10", &[web("10", "one")], None);
    let _watch = fake.next_watch(PATH).await.watch();
    for read in reads {
        assert_eq!(read.await.unwrap().body(), "one");
    }
    assert_eq!(
        fake.asked().len(),
        2,
        "one list and one watch: {:#?}",
        fake.asked()
    );
    let missing = || sidecar.text("/kv/default/missing");
    let (first, ()) = tokio::join!(missing(), async {
        fake.next_list(PATH).await.list("11", &[], None);
    });
    assert_eq!(first.0, 404);
    assert_eq!(missing().await.0, 404);
    assert_eq!(fake.asked().len(), 3, "the second 404 asked nobody");
    let url = sidecar.url("/kv/default/missing");
    eventually("asked again after a second", LIMIT, async || {
        tokio::spawn({
            let url = url.clone();
            async move { support::http::get(&url, &[]).await }
        });
        fake.asked().len() > 3
    })
    .await;
}

#[tokio::test]
async fn a_forbidden_object_read_on_demand_is_the_api_servers_403() {
    let mut fake = FakeApiServer::start().await;
    let sidecar = sidecar(&fake, &[]).await;
    let (answer, ()) = tokio::join!(sidecar.text("/kv/default/web"), async {
        fake.next_list(PATH).await.forbidden();
    });
    assert_eq!(answer.0, 403);
    assert!(answer.1.contains("forbidden"), "{}", answer.1);
    assert_eq!(
        sidecar.text("/kv/default/secret:db").await.0,
        403,
        "Secrets only when named"
    );
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn an_object_over_the_bound_is_refused_and_found_when_it_shrinks() {
    let mut fake = FakeApiServer::start().await;
    let flags = ["--configmap", "web", "--max-bytes", "1Ki"];
    let sidecar = sidecar(&fake, &flags).await;
    let large = "x".repeat(2_000);
    fake.next_list(PATH)
        .await
        .list("10", &[web("10", &large)], None);
    let stream = fake.next_watch(PATH).await.watch();
    eventually("refused with the reason", LIMIT, async || {
        let (status, body) = sidecar.text("/kv/default/web").await;
        status == 507 && body.contains("--max-bytes")
    })
    .await;
    assert!(
        sidecar.status().await["scopes"][0]["refused"]
            .to_string()
            .contains("max-bytes")
    );
    stream.modified(web("11", "small"));
    sidecar.serves("/kv/default/web/GREETING", "small").await;
}

#[tokio::test]
async fn a_read_during_the_fetch_of_another_joins_it() {
    let mut fake = FakeApiServer::start().await;
    let sidecar = sidecar(&fake, &[]).await;
    let read = || {
        let url = sidecar.url("/kv/default/web/GREETING");
        tokio::spawn(async move { support::http::get(&url, &[]).await.unwrap() })
    };
    let first = read();
    let list = fake.next_list(PATH).await;
    let second = read();
    // The second has been asked once a third request on its heels was answered.
    assert_eq!(sidecar.text("/-/live").await.0, 200);
    list.list("10", &[web("10", "one")], None);
    for read in [first, second] {
        let answer = read.await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.body()[..]),
            (200, &b"one"[..])
        );
    }
}

#[tokio::test]
async fn a_throttled_fetch_is_not_repeated_before_its_time() {
    let mut fake = FakeApiServer::start().await;
    let sidecar = sidecar(&fake, &[]).await;
    let get = || sidecar.get("/kv/default/web", &[]);
    let (first, ()) = tokio::join!(get(), async {
        fake.next_list(PATH).await.too_many_requests(20);
    });
    for answer in [first, get().await, get().await] {
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "20");
    }
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn what_a_selector_may_hold_is_not_missing_before_its_first_list() {
    let mut fake = FakeApiServer::start().await;
    let flags = [
        "--configmap-selector",
        "app=web",
        "--secret-selector",
        "app=db",
        "--no-on-demand",
    ];
    let sidecar = sidecar(&fake, &flags).await;
    for name in ["web", "secret:db"] {
        let answer = sidecar.get(&format!("/kv/default/{name}"), &[]).await;
        assert_eq!(answer.status(), 503, "{name}");
        assert!(answer.headers().contains_key("retry-after"));
    }
    assert_eq!(sidecar.text("/kv/elsewhere/web").await.0, 404);
    fake.next_list(PATH).await.list("10", &[], None);
    eventually("known to be missing", LIMIT, async || {
        sidecar.text("/kv/default/web").await.0 == 404
    })
    .await;
}

#[tokio::test]
async fn the_age_grows_through_a_watch_that_is_accepted_and_then_expired() {
    let mut fake = FakeApiServer::start().await;
    let (sidecar, stream) = synced(&mut fake).await;
    stream.reset();
    let age = async || sidecar.age("/kv/default/web").await;
    eventually("an Age of 2 s", LIMIT, async || age().await >= Some(2)).await;
    // Nobody has answered the next watch so far. Now it is accepted, and refused in the stream.
    fake.next_watch(PATH).await.watch().gone("10");
    let relist = fake.next_list(PATH).await;
    assert!(age().await >= Some(2), "{:?}", age().await);
    relist.too_many_requests(1);
    let relist = fake.next_list(PATH).await;
    assert!(age().await >= Some(3), "{:?}", age().await);
    relist.list("40", &[web("35", "fresh")], None);
    sidecar.serves("/kv/default/web/GREETING", "fresh").await;
    assert_eq!(age().await, None);
}

#[tokio::test]
async fn a_list_over_the_bound_holds_what_fits_and_names_the_rest() {
    let mut fake = FakeApiServer::start().await;
    let flags = [
        "--configmap-selector",
        "app=web",
        "--max-bytes",
        "1Ki",
        "--no-on-demand",
    ];
    let sidecar = sidecar(&fake, &flags).await;
    let large = "x".repeat(600);
    let object = |name: &str| config_map("default", name, "9", &[("K", &large)]);
    fake.next_list(PATH)
        .await
        .list("10", &[object("a")], Some("more"));
    let small = config_map("default", "c", "9", &[("K", "small")]);
    let rest = [object("b"), small];
    fake.next_list(PATH).await.list("10", &rest, None);
    sidecar.serves("/kv/default/a/K", &large).await;
    let (status, body) = sidecar.text("/kv/default/b").await;
    assert_eq!(status, 507, "{body}");
    assert!(body.contains("601 bytes on top of 607 held"), "{body}");
    sidecar.serves("/kv/default/c/K", "small").await;
    assert_eq!(
        sidecar.text("/-/ready").await.0,
        200,
        "the selector was listed"
    );
}

#[tokio::test]
async fn a_page_of_large_objects_is_asked_for_again_with_fewer() {
    let mut fake = FakeApiServer::start().await;
    let flags = ["--configmap-selector", "app=web", "--no-on-demand"];
    let sidecar = sidecar(&fake, &flags).await;
    let large = "x".repeat(1_000_000);
    let object = |name: &str| config_map("default", name, "9", &[("K", &large)]);
    let three = [object("a"), object("b"), object("c")];
    let all = fake.next_list(PATH).await;
    assert_eq!(all.asked.query("limit"), Some("50"));
    all.list("10", &three, None);
    let fewer = fake.next_list(PATH).await;
    assert_eq!(fewer.asked.query("limit"), Some("25"));
    fewer.list("11", &[object("a")], Some("more"));
    // The same page again, by the same token; nothing is taken of the one that was too long.
    for limit in ["25", "12"] {
        let page = fake.next_list(PATH).await;
        assert_eq!(page.asked.query("limit"), Some(limit));
        assert_eq!(page.asked.query("continue"), Some("more"));
        match limit {
            "25" => page.list("11", &three, None),
            _ => page.list("11", &[object("b")], None),
        }
    }
    let watch = fake.next_watch(PATH).await;
    assert_eq!(watch.asked.query("resourceVersion"), Some("11"));
    sidecar.serves("/kv/default/b/K", &large).await;
    assert_eq!(sidecar.text("/kv/default/c").await.0, 404);
    assert_eq!(sidecar.metric("attache_watch_lists_total").await, 1.0);
    // It lists on with few, and with more once they are small.
    watch.gone();
    for (limit, next) in [("12", Some("more")), ("24", None)] {
        let page = fake.next_list(PATH).await;
        assert_eq!(page.asked.query("limit"), Some(limit));
        page.list("20", &[web("20", "small")], next);
    }
    sidecar.serves("/kv/default/web/GREETING", "small").await;
}
