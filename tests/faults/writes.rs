//! Writes while the API server, the network or others get in the way.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::support::eventually;
use super::support::fake::{Asked, FakeApiServer, Waiting, WatchStream, config_map};
use super::support::sidecar::Sidecar;
use super::{LIMIT, PATH, sidecar, sidecar_with, web};

const WEB: &str = "/api/v1/namespaces/default/configmaps/web";
const JSON: (&str, &str) = ("content-type", "application/json");

/// A sidecar that may write and watches nothing.
async fn writing(fake: &FakeApiServer) -> Arc<Sidecar> {
    Arc::new(sidecar(fake, &["--allow-writes", "--no-on-demand"]).await)
}

/// One that may write and watches `default/web`, synced at resourceVersion 10 with the value `one`.
async fn watching(fake: &mut FakeApiServer) -> (Arc<Sidecar>, WatchStream) {
    let sidecar = sidecar(fake, &["--allow-writes", "--configmap", "web"]).await;
    let list = fake.next_list(PATH).await;
    list.list("10", &[web("10", "one")], None);
    let stream = fake.next_watch(PATH).await.watch();
    sidecar.serves("/kv/default/web/GREETING", "one").await;
    (Arc::new(sidecar), stream)
}

fn spawn(
    sidecar: &Arc<Sidecar>,
    method: Method,
    path: &'static str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> JoinHandle<Response<Bytes>> {
    let sidecar = Arc::clone(sidecar);
    let owned = headers
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    let headers: Vec<(String, String)> = owned.collect();
    tokio::spawn(async move {
        let headers: Vec<_> = headers.iter().map(|(n, v)| (&**n, &**v)).collect();
        sidecar.send(method, path, &headers, body).await
    })
}

async fn patch(fake: &mut FakeApiServer) -> Waiting {
    let patch = |asked: &Asked| asked.method == Method::PATCH;
    let patch = fake.expect("a patch", patch).await;
    assert_eq!(patch.asked.path, WEB);
    assert_eq!(patch.asked.query("fieldManager"), Some("attache"));
    assert_eq!(
        patch.asked.headers["content-type"],
        "application/merge-patch+json"
    );
    patch
}

fn sent(waiting: &Waiting) -> Value {
    serde_json::from_slice(&waiting.asked.body).unwrap()
}

fn conflict(waiting: Waiting) {
    let message =
        "Operation cannot be fulfilled on configmaps \"web\": the object has been modified";
    waiting.fail(StatusCode::CONFLICT, "Conflict", message);
}

fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8_lossy(answer.body()).into_owned()
}

#[tokio::test]
async fn conflicts_are_the_api_servers_and_attaches_business_alone() {
    let mut fake = FakeApiServer::start().await;
    let sidecar = writing(&fake).await;
    let write = spawn(
        &sidecar,
        Method::POST,
        "/kv/default/web",
        &[JSON],
        "{\"B\":\"2\"}",
    );
    for _ in 0..7 {
        let patch = patch(&mut fake).await;
        assert_eq!(
            sent(&patch),
            json!({"data": {"B": "2"}, "binaryData": {"B": null}})
        );
        conflict(patch);
    }
    // Deleted meanwhile, made anew by somebody else, and so patched after all.
    patch(&mut fake).await.not_found();
    let create = fake
        .expect("a create", |asked| asked.method == Method::POST)
        .await;
    assert_eq!(create.asked.path, PATH);
    assert_eq!(sent(&create)["data"], json!({"B": "2"}));
    create.fail(
        StatusCode::CONFLICT,
        "AlreadyExists",
        "configmaps \"web\" already exists",
    );
    let data = [("A", "1"), ("B", "2")];
    let object = config_map("default", "web", "40", &data);
    patch(&mut fake).await.json(StatusCode::OK, &object);
    let answer = write.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(text(&answer), "{\"A\":\"1\",\"B\":\"2\"}\n");
    assert_eq!(answer.headers()["x-resource-version"], "40");
    assert_eq!(
        answer.headers()["cache-status"],
        "attache; fwd=method",
        "nobody watches it"
    );
    assert_eq!(
        sidecar.metric("attache_writes_total{outcome=\"ok\"}").await,
        1.0
    );
}

#[tokio::test]
async fn removing_keys_makes_no_object() {
    let mut fake = FakeApiServer::start().await;
    let sidecar = writing(&fake).await;
    let nulls = "{\"A\":null}";
    let write = spawn(&sidecar, Method::PATCH, "/kv/default/web", &[JSON], nulls);
    patch(&mut fake).await.not_found();
    let answer = write.await.unwrap();
    assert_eq!(answer.status(), 404);
    assert!(
        text(&answer).contains("ConfigMap default/web does not exist"),
        "{}",
        text(&answer)
    );
}

#[tokio::test]
async fn a_storm_of_conflicts_without_end_is_a_503() {
    let mut fake = FakeApiServer::start().await;
    let sidecar = writing(&fake).await;
    let mut write = spawn(&sidecar, Method::POST, "/kv/default/web", &[JSON], "{}");
    let answer = loop {
        tokio::select! {
            answer = &mut write => break answer.unwrap(),
            waiting = patch(&mut fake) => conflict(waiting),
        }
    };
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "1");
    assert!(
        text(&answer).contains("by others all the time"),
        "{}",
        text(&answer)
    );
}

#[tokio::test]
async fn a_refusal_is_passed_on_with_its_words() {
    let mut fake = FakeApiServer::start().await;
    let sidecar = writing(&fake).await;
    let write = || spawn(&sidecar, Method::PUT, "/kv/default/web/A", &[], "1");
    let (first, second) = (write(), patch(&mut fake).await);
    second.too_many_requests(7);
    let answer = first.await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (503, &"7".parse().unwrap())
    );
    let (write, patch) = (write(), patch(&mut fake).await);
    let message =
        "configmaps \"web\" is forbidden: User \"pod\" cannot patch resource \"configmaps\"";
    patch.fail(StatusCode::FORBIDDEN, "Forbidden", message);
    let answer = write.await.unwrap();
    assert_eq!(answer.status(), 403);
    assert!(
        text(&answer).contains("grant the verb patch on configmaps"),
        "{}",
        text(&answer)
    );
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_is_told_as_that() {
    let mut fake = FakeApiServer::start().await;
    let sidecar = writing(&fake).await;
    let write = spawn(&sidecar, Method::PUT, "/kv/default/web/A", &[], "1");
    drop(patch(&mut fake).await);
    let answer = write.await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(
        text(&answer).contains("may have been made"),
        "{}",
        text(&answer)
    );
    assert_eq!(fake.asked().len(), 1, "it is the client's to try again");
    // Nobody listens there: the request cannot have gone anywhere.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let kubeconfig = fake.kubeconfig_at(free.local_addr().unwrap(), None);
    drop(free);
    let flags = ["--allow-writes", "--no-on-demand"];
    let sidecar = Arc::new(sidecar_with(&kubeconfig, &flags).await);
    let answer = spawn(&sidecar, Method::PUT, "/kv/default/web/A", &[], "1");
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(
        text(&answer).contains("nothing was written"),
        "{}",
        text(&answer)
    );
}

#[tokio::test]
async fn a_write_is_answered_once_it_can_be_read() {
    let mut fake = FakeApiServer::start().await;
    let (sidecar, stream) = watching(&mut fake).await;
    let path = "/kv/default/web/GREETING";
    let write = spawn(&sidecar, Method::PUT, path, &[], "two");
    patch(&mut fake)
        .await
        .json(StatusCode::OK, &web("11", "two"));
    // The API server has it; a read asked now, and a write that is answered now, would differ.
    for _ in 0..50 {
        assert_eq!(sidecar.text(path).await, (200, "one".into()));
    }
    assert!(!write.is_finished(), "answered before it can be read");
    stream.modified(web("11", "two"));
    let answer = write.await.unwrap();
    assert_eq!(sidecar.text(path).await, (200, "two".into()));
    assert_eq!((answer.status().as_u16(), &*text(&answer)), (200, "two"));
    assert_eq!(
        answer.headers()["cache-status"],
        "attache; fwd=method; stored"
    );
    let read = sidecar.get(path, &[]).await;
    for header in [
        "etag",
        "x-resource-version",
        "content-type",
        "cache-control",
    ] {
        assert_eq!(answer.headers()[header], read.headers()[header], "{header}");
    }
    // A watch that says nothing holds a write up for a while, and no longer.
    let write = spawn(&sidecar, Method::PUT, path, &[], "three");
    patch(&mut fake)
        .await
        .json(StatusCode::OK, &web("12", "three"));
    let answer = write.await.unwrap();
    assert_eq!((answer.status().as_u16(), &*text(&answer)), (200, "three"));
    assert_eq!(answer.headers()["cache-status"], "attache; fwd=stale");
}

#[tokio::test]
async fn a_condition_is_judged_by_what_the_api_server_has() {
    let mut fake = FakeApiServer::start().await;
    let (sidecar, stream) = watching(&mut fake).await;
    let path = "/kv/default/web/GREETING";
    let etag = sidecar.get(path, &[]).await.headers()["etag"]
        .to_str()
        .unwrap()
        .to_owned();
    let held = [("if-match", &*etag)];
    // What is held would do, but somebody has labelled the object: once more.
    let write = spawn(&sidecar, Method::PUT, path, &held, "two");
    let first = patch(&mut fake).await;
    assert_eq!(sent(&first)["metadata"], json!({"resourceVersion": "10"}));
    conflict(first);
    fake.next_list(WEB)
        .await
        .json(StatusCode::OK, &web("11", "one"));
    let second = patch(&mut fake).await;
    assert_eq!(sent(&second)["metadata"], json!({"resourceVersion": "11"}));
    stream.modified(web("12", "two"));
    second.json(StatusCode::OK, &web("12", "two"));
    assert_eq!(write.await.unwrap().status(), 200);
    // What is held would not do, but it may be old: the API server is asked before it is refused.
    let write = spawn(&sidecar, Method::PUT, path, &held, "three");
    fake.next_list(WEB)
        .await
        .json(StatusCode::OK, &web("13", "other"));
    // A client that reads again, to decide anew, must not get what it has.
    for _ in 0..50 {
        assert_eq!(sidecar.text(path).await, (200, "two".into()));
    }
    assert!(!write.is_finished(), "refused before it can be seen why");
    stream.modified(web("13", "other"));
    let answer = write.await.unwrap();
    assert_eq!(answer.status(), 412);
    assert_eq!(answer.headers()["x-resource-version"], "13");
    assert_ne!(answer.headers()["etag"], etag);
    // To create only: there is something.
    let once = [("if-none-match", "*")];
    let write = spawn(&sidecar, Method::PUT, path, &once, "three");
    fake.next_list(WEB)
        .await
        .json(StatusCode::OK, &web("13", "other"));
    assert_eq!(write.await.unwrap().status(), 412);
    assert_eq!(
        sidecar
            .metric("attache_writes_total{outcome=\"precondition\"}")
            .await,
        2.0
    );
}

#[tokio::test]
async fn a_condition_on_what_is_gone_is_refused_once_a_read_shows_that() {
    let mut fake = FakeApiServer::start().await;
    let (sidecar, stream) = watching(&mut fake).await;
    let any = [("if-match", "*")];
    let path = "/kv/default/web/GREETING";
    let write = spawn(&sidecar, Method::PUT, path, &any, "two");
    patch(&mut fake).await.not_found();
    fake.next_list(WEB).await.not_found();
    // The watch is late: a client that reads again and writes anew would go round in circles.
    for _ in 0..50 {
        assert_eq!(sidecar.get(path, &[]).await.status(), 200);
    }
    assert!(!write.is_finished());
    stream.deleted(web("11", "one"));
    assert_eq!(write.await.unwrap().status(), 412);
    assert_eq!(sidecar.get(path, &[]).await.status(), 404);
}

#[tokio::test]
async fn a_key_is_deleted_if_the_api_server_has_it() {
    let mut fake = FakeApiServer::start().await;
    let (sidecar, stream) = watching(&mut fake).await;
    // It is held as absent, but was set meanwhile.
    let write = spawn(&sidecar, Method::DELETE, "/kv/default/web?key=NEW", &[], "");
    let set = config_map("default", "web", "11", &[("GREETING", "one"), ("NEW", "x")]);
    fake.next_list(WEB).await.json(StatusCode::OK, &set);
    let guarded = patch(&mut fake).await;
    let expected = json!({
        "metadata": {"resourceVersion": "11"}, "data": {"NEW": null}, "binaryData": {"NEW": null},
    });
    assert_eq!(sent(&guarded), expected);
    stream.modified(web("12", "one"));
    guarded.json(StatusCode::OK, &web("12", "one"));
    let answer = write.await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &*text(&answer)),
        (200, "{\"success\": true}")
    );
    let write = spawn(&sidecar, Method::DELETE, "/kv/default/web/NEW", &[], "");
    fake.next_list(WEB)
        .await
        .json(StatusCode::OK, &web("12", "one"));
    let answer = write.await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &*text(&answer)),
        (404, "{\"success\": false}")
    );
    let write = spawn(&sidecar, Method::DELETE, "/kv/default/web/NEW", &[], "");
    fake.next_list(WEB).await.not_found();
    assert_eq!(write.await.unwrap().status(), 404);
}

#[tokio::test]
async fn what_nobody_watched_is_watched_once_it_is_written() {
    let mut fake = FakeApiServer::start().await;
    let sidecar = Arc::new(sidecar(&fake, &["--allow-writes"]).await);
    let write = spawn(
        &sidecar,
        Method::POST,
        "/kv/default/web",
        &[JSON],
        "{\"GREETING\":\"two\"}",
    );
    patch(&mut fake)
        .await
        .json(StatusCode::OK, &web("11", "two"));
    // A list that an API server's cache answers may be from before.
    fake.next_list(PATH)
        .await
        .list("10", &[web("10", "one")], None);
    let stream = fake.next_watch(PATH).await.watch();
    stream.modified(web("11", "two"));
    let answer = write.await.unwrap();
    assert_eq!(
        answer.headers()["cache-status"],
        "attache; fwd=method; stored"
    );
    assert_eq!(
        sidecar.text("/kv/default/web/GREETING").await,
        (200, "two".into())
    );
}

#[tokio::test]
async fn a_write_under_way_is_finished_while_attache_stops() {
    let mut fake = FakeApiServer::start().await;
    let (sidecar, _stream) = watching(&mut fake).await;
    let url = sidecar.url("/kv/default/web/GREETING");
    let write = tokio::spawn(async move {
        let request = http::Request::put(url).body(Bytes::from_static(b"two"));
        super::support::http::send(request.unwrap()).await
    });
    let patch = patch(&mut fake).await;
    let sidecar = Arc::into_inner(sidecar).expect("held by this test alone");
    let stopping = tokio::spawn(sidecar.stop());
    patch.json(StatusCode::OK, &web("11", "two"));
    let answer = write.await.unwrap().expect("an answer");
    assert_eq!((answer.status().as_u16(), &*text(&answer)), (200, "two"));
    stopping.await.unwrap();
}

#[tokio::test]
async fn what_is_not_to_be_written_reaches_nobody() {
    let fake = FakeApiServer::start().await;
    let reading = sidecar(&fake, &["--no-on-demand"]).await;
    let answer = reading
        .send(Method::PUT, "/kv/default/web/A", &[], "1")
        .await;
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.headers()["allow"], "GET, HEAD");
    assert!(text(&answer).contains("--allow-writes"));
    let volume = tempfile::tempdir().unwrap();
    std::fs::write(volume.path().join("A"), "mounted").unwrap();
    let mount = format!("mounted={}", volume.path().display());
    let flags = ["--allow-writes", "--no-on-demand", "--mount", &mount];
    let sidecar = sidecar(&fake, &flags).await;
    sidecar.serves("/kv/default/mounted/A", "mounted").await;
    let large = "x".repeat((1 << 20) + 1);
    let larger = "x".repeat((3 << 20) + 1);
    let foreign = ("origin", "https://evil.example");
    for (method, path, headers, body, status) in [
        (Method::PUT, "/kv/default/mounted/A", &[][..], "1", 405),
        (Method::PUT, "/kv/default/secret:db/A", &[], "1", 403),
        (Method::PUT, "/kv/default/web/A", &[foreign], "1", 403),
        (Method::DELETE, "/kv/default/web?key=A", &[foreign], "", 403),
        (Method::DELETE, "/kv/default/web", &[], "", 400),
        (Method::POST, "/kv/default/web/A", &[JSON], "{}", 405),
        (Method::POST, "/kv/default/web", &[], "{}", 415),
        (Method::POST, "/kv/default/web", &[JSON], "", 400),
        (Method::POST, "/kv/default/web", &[JSON], "{\"A\":1}", 422),
        (
            Method::POST,
            "/kv/default/web",
            &[JSON],
            "{\"A B\":\"1\"}",
            422,
        ),
        (Method::PUT, "/kv/default/web/A%20B", &[], "1", 400),
        (Method::PUT, "/kv/default/web/A", &[], &large, 413),
        (Method::PUT, "/kv/default/web/A", &[], &larger, 413),
    ] {
        let answer = sidecar
            .send(method.clone(), path, headers, body.to_owned())
            .await;
        assert_eq!(
            answer.status(),
            status,
            "{method} {path}: {}",
            text(&answer)
        );
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    assert!(fake.asked().is_empty(), "{:#?}", fake.asked());
}

#[tokio::test]
async fn a_read_creates_only_if_told_to_and_only_for_a_plain_get() {
    let mut fake = FakeApiServer::start().await;
    let flags = [
        "--allow-writes",
        "--create-on-read",
        "--configmap",
        "web,optional",
    ];
    let sidecar = Arc::new(sidecar(&fake, &flags).await);
    fake.next_list(PATH).await.list("10", &[], None);
    let stream = fake.next_watch(PATH).await.watch();
    eventually("known to be missing", LIMIT, async || {
        sidecar.text("/kv/default/web/KEY").await.0 == 404
    })
    .await;
    for headers in [
        ("sec-fetch-site", "cross-site"),
        ("origin", "http://localhost"),
    ] {
        assert_eq!(
            sidecar.get("/kv/default/web", &[headers]).await.status(),
            404
        );
    }
    let head = sidecar.send(Method::HEAD, "/kv/default/web", &[], "").await;
    assert_eq!(head.status(), 404);
    assert_eq!(fake.asked().len(), 2, "a list and a watch");
    let read = spawn(&sidecar, Method::GET, "/kv/default/web", &[], "");
    let create = fake
        .expect("a create", |asked| asked.method == Method::POST)
        .await;
    assert_eq!(
        sent(&create)["metadata"],
        json!({"namespace": "default", "name": "web"})
    );
    let empty = config_map("default", "web", "11", &[]);
    stream.added(empty.clone());
    create.json(StatusCode::CREATED, &empty);
    let answer = read.await.unwrap();
    assert_eq!((answer.status().as_u16(), &*text(&answer)), (200, "{}\n"));
    assert_eq!(answer.headers()["cache-status"], "attache; hit");
}
