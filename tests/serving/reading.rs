//! What a well-behaved client gets.

use std::time::{Duration, Instant};

use attache::status::ChangeNote;
use attache::store::demand::{Unmet, channel};
use attache::store::{Kind, ObjectRef, ScopeSpec, Selects};

use super::support::*;

#[tokio::test]
async fn a_key_is_its_raw_bytes() {
    let (served, _store) = start(None).await;
    let mut client = Client::connect(served.port).await;
    let reply = client.get("/kv/default/web/GREETING", "").await;
    assert_eq!((reply.status, reply.text()), (200, "hello\n"));
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(reply.header("content-length"), Some("6"));
    assert_eq!(reply.header("x-resource-version"), Some("42"));
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    assert_eq!(reply.header("cache-status"), Some("attache; hit"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert!(reply.header("date").is_some() && reply.header("age").is_none());

    let binary = client.get("/kv/default/web/logo", "").await;
    assert_eq!(
        binary.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(binary.body, [0, 159, 146, 150]);
    let empty = client.get("/kv/default/web/empty", "").await;
    assert_eq!(
        (empty.status, empty.header("content-length")),
        (200, Some("0"))
    );
    let secret = client.get("/kv/default/secret:db/password", "").await;
    assert_eq!(secret.text(), SECRET);
}

#[tokio::test]
async fn an_object_is_json_of_its_text() {
    let (served, _store) = start(None).await;
    let reply = Client::connect(served.port)
        .await
        .get("/kv/default/web", "")
        .await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.text(), "{\"GREETING\":\"hello\\n\",\"empty\":\"\"}\n");
}

#[tokio::test]
async fn what_the_client_holds_is_not_sent_again() {
    let (served, store) = start(None).await;
    let mut client = Client::connect(served.port).await;
    for (path, edit, undo) in [
        ("/kv/default/web", "43", "44"),
        ("/kv/default/web/GREETING", "45", "46"),
    ] {
        let full = client.get(path, "").await;
        let etag = full.header("etag").unwrap().to_owned();
        for held in [etag.clone(), format!("\"x\", W/{etag}"), "*".into()] {
            let header = format!("If-None-Match: {held}\r\n");
            let reply = client.get(path, &header).await;
            assert_eq!(
                (reply.status, reply.header("etag")),
                (304, Some(&*etag)),
                "{held}"
            );
            for same in ["cache-control", "cache-status", "x-resource-version"] {
                assert_eq!(reply.header(same), full.header(same));
            }
            assert_eq!(reply.header("content-type"), None);
        }
        let header = format!("If-None-Match: {etag}\r\n");
        let edited = object(configmap("web"), edit, &[("GREETING", path)]);
        store.web.upsert(store.web.freeze(edited));
        let reply = client.get(path, &header).await;
        assert_eq!(reply.status, 200, "a new value is sent");
        let object = object(configmap("web"), undo, &[("GREETING", "hello\n")]);
        store.web.replace(vec![store.web.freeze(object)]);
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let (served, _store) = start(None).await;
    let mut client = Client::connect(served.port).await;
    for path in [
        "/kv/default/web",
        "/kv/default/web/GREETING",
        "/kv/default/none",
        "/-/live",
    ] {
        let get = client.get(path, "").await;
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.send(request.as_bytes()).await;
        let head = client.reply(true).await.unwrap();
        assert_eq!(head.status, get.status);
        for name in ["content-length", "content-type", "etag"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
    // A body would have been taken for the start of this answer.
    assert_eq!(client.get("/-/live", "").await.text(), "ok\n");
}

#[tokio::test]
async fn age_grows_out_of_contact_and_goes_with_it() {
    let (served, store) = start(None).await;
    let mut client = Client::connect(served.port).await;
    let since = Instant::now().checked_sub(Duration::from_secs(90)).unwrap();
    store.web.lost(since, "connection refused");
    for header in ["", "If-None-Match: *\r\n"] {
        let reply = client.get("/kv/default/web/GREETING", header).await;
        let age: u64 = reply.header("age").unwrap().parse().unwrap();
        assert!((90..200).contains(&age), "{age}");
    }
    store.web.live();
    let reply = client.get("/kv/default/web/GREETING", "").await;
    assert_eq!(reply.header("age"), None);
}

#[tokio::test]
async fn what_is_not_there_says_what_to_do() {
    let (served, store) = start(None).await;
    let gone = store
        .writer
        .scope(ScopeSpec::declared(Selects::Named(configmap("gone"))));
    gone.replace(vec![]);
    let late = store
        .writer
        .scope(ScopeSpec::declared(Selects::Named(configmap("late"))));
    let big = store
        .writer
        .scope(ScopeSpec::declared(Selects::Named(configmap("big"))));
    let huge = "x".repeat(2 << 20);
    big.replace(vec![big.freeze(object(
        configmap("big"),
        "1",
        &[("k", &huge)],
    ))]);
    let mut client = Client::connect(served.port).await;
    for (path, status, says) in [
        ("/kv/default/gone/k", 404, "does not exist"),
        ("/kv/default/web/none", 404, "no key none"),
        ("/kv/default/other", 404, "--configmap default/other"),
        ("/kv/default/secret:other/k", 403, "--secret default/other"),
        ("/kv/default/late", 503, "first time"),
        ("/kv/default/big", 507, "--max-bytes"),
    ] {
        let reply = client.get(path, "").await;
        assert_eq!(reply.status, status, "{path}");
        assert!(reply.problem().contains(says), "{}", reply.problem());
        let retry = (status == 503).then_some("1");
        assert_eq!(reply.header("retry-after"), retry, "{path}");
    }
    late.lost(Instant::now(), "connection refused");
    let reply = client.get("/kv/default/late", "").await;
    assert_eq!(reply.status, 503);
    assert!(reply.problem().contains("connection refused"));
}

#[tokio::test]
async fn a_first_read_demands_and_the_next_one_hits() {
    let (demander, demands) = channel(4);
    let (served, store) = start(Some(demander)).await;
    let writer = store.writer.clone();
    let mut scopes = Vec::new();
    let answers = answer_demands(demands, move |demand| {
        let reference = named(&demand);
        let scope = writer.scope(ScopeSpec::on_demand(demand.selects));
        let fetched = object(reference, "9", &[("k", "fetched")]);
        scope.replace(vec![scope.freeze(fetched)]);
        scopes.push(scope);
        demand.reply.send(Ok(())).unwrap();
    });
    let mut client = Client::connect(served.port).await;
    let first = client.get("/kv/other/new/k", "").await;
    assert_eq!((first.status, first.text()), (200, "fetched"));
    assert_eq!(
        first.header("cache-status"),
        Some("attache; fwd=uri-miss; stored")
    );
    let second = client.get("/kv/other/new/k", "").await;
    assert_eq!(second.header("cache-status"), Some("attache; hit"));
    // Secrets are never demanded.
    let secret = client.get("/kv/other/secret:new/k", "").await;
    assert_eq!(secret.status, 403);
    let metrics = client.get("/-/metrics", "").await;
    assert!(
        metrics
            .text()
            .contains("attache_scope_objects{scope=\"on-demand\"} 1\n")
    );
    assert!(!metrics.text().contains("other/new"), "labels are bounded");
    answers.abort();
}

#[tokio::test]
async fn an_unmet_demand_has_its_own_status() {
    let (demander, demands) = channel(4);
    let (served, _store) = start(Some(demander)).await;
    let answers = answer_demands(demands, |demand| {
        let unmet = match &*named(&demand).name {
            "missing" => Unmet::NotFound("configmaps \"missing\" not found".into()),
            "forbidden" => Unmet::Forbidden("User \"x\" cannot get".into()),
            "many" => Unmet::TooMany { limit: 256 },
            "down" => Unmet::Unavailable {
                message: "connection refused".into(),
                after: Duration::from_secs(7),
            },
            _ => return,
        };
        demand.reply.send(Err(unmet)).unwrap();
    });
    let mut client = Client::connect(served.port).await;
    for (name, status, says, retries) in [
        ("missing", 404, "\"missing\" not found", false),
        ("forbidden", 403, "User \"x\" cannot get", false),
        ("many", 503, "256 objects", true),
        ("down", 503, "connection refused", true),
        ("dropped", 503, "stopping", true),
    ] {
        let reply = client.get(&format!("/kv/default/{name}"), "").await;
        assert_eq!(reply.status, status, "{name}");
        assert!(reply.problem().contains(says), "{}", reply.problem());
        assert_eq!(reply.header("retry-after").is_some(), retries, "{name}");
    }
    answers.abort();
}

#[tokio::test]
async fn health_and_status_tell_all_but_values() {
    let (served, store) = start(None).await;
    let mut client = Client::connect(served.port).await;
    let pending = store.api.readiness.pending("ConfigMap default/late");
    store.api.readiness.seal();
    let ready = client.get("/-/ready", "").await;
    assert_eq!(ready.status, 503);
    assert_eq!(
        ready.text(),
        "{\"ready\":false,\"pending\":[\"ConfigMap default/late\"]}\n"
    );
    drop(pending);
    let ready = client.get("/-/ready", "").await;
    assert_eq!(
        (ready.status, ready.text()),
        (200, "{\"ready\":true,\"pending\":[]}\n")
    );

    store.db.lost(Instant::now(), "watch: forbidden");
    store
        .api
        .board
        .problem("web.yaml", Some("line 3: not YAML".into()));
    store.api.board.change(ChangeNote {
        time: "2024-05-01T00:00:00Z".parse().unwrap(),
        kind: "ConfigMap",
        namespace: "default".into(),
        name: "web".into(),
        resource_version: "42".into(),
        added: vec!["GREETING".into()],
        changed: vec![],
        removed: vec![],
    });
    let reply = client.get("/-/status", "").await;
    let status = reply.json();
    assert_eq!(status["namespace"], "default");
    assert_eq!(status["ready"], true);
    assert_eq!(status["objects"][0]["name"], "web");
    assert_eq!(status["objects"][0]["resourceVersion"], "42");
    assert_eq!(status["objects"][0]["keys"]["GREETING"], 6);
    assert_eq!(status["objects"][1]["keys"]["password"], SECRET.len());
    assert_eq!(status["scopes"][0]["contact"], "live");
    assert_eq!(status["scopes"][1]["contact"], "lost");
    assert_eq!(status["scopes"][1]["ageSeconds"], 0);
    assert_eq!(status["scopes"][1]["reason"], "watch: forbidden");
    assert_eq!(status["changes"][0]["added"][0], "GREETING");
    assert_eq!(status["actions"], serde_json::json!([]));
    assert_eq!(status["problems"]["web.yaml"], "line 3: not YAML");

    let metrics = client.get("/-/metrics", "").await;
    for line in [
        "attache_scope_live{scope=\"ConfigMap default/web\"} 1",
        "attache_scope_live{scope=\"Secret default/db\"} 0",
        "attache_scope_objects{scope=\"Secret default/db\"} 1",
    ] {
        assert!(
            metrics.text().lines().any(|l| l == line),
            "{line}\n{}",
            metrics.text()
        );
    }
    for reply in [&reply, &metrics] {
        assert!(!reply.text().contains(SECRET) && !reply.text().contains("hello"));
    }
}

#[tokio::test]
async fn metrics_forget_a_scope_that_went() {
    let (served, store) = start(None).await;
    let mut client = Client::connect(served.port).await;
    let scope = store
        .writer
        .scope(ScopeSpec::declared(Selects::Named(ObjectRef::new(
            Kind::ConfigMap,
            "default",
            "brief",
        ))));
    assert!(
        client
            .get("/-/metrics", "")
            .await
            .text()
            .contains("default/brief")
    );
    drop(scope);
    assert!(
        !client
            .get("/-/metrics", "")
            .await
            .text()
            .contains("default/brief")
    );
}
