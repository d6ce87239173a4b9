//! Writes through attache: what becomes of them on a real API server.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response};
use serde_json::{Value, json};

use crate::support::control_plane::ControlPlane;
use crate::support::late::LateWatches;
use crate::support::sidecar::Sidecar;
use crate::{LIMIT, sidecar_with};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Clients that write at once.
const WRITERS: usize = 16;

async fn writing(plane: &ControlPlane, namespace: &str, flags: &[&str]) -> Arc<Sidecar> {
    let flags = [&["--allow-writes"], flags].concat();
    Arc::new(sidecar_with(&plane.admin_kubeconfig(), namespace, &flags).await)
}

fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8_lossy(answer.body()).into_owned()
}

fn header(answer: &Response<Bytes>, name: &str) -> String {
    answer.headers()[name].to_str().unwrap().to_owned()
}

async fn post(sidecar: &Sidecar, path: &str, body: &Value) -> Response<Bytes> {
    sidecar
        .send(Method::POST, path, &[JSON], body.to_string())
        .await
}

/// Runs a task for each number below `count`, and waits for all.
async fn all<F: Future<Output = ()> + Send + 'static>(count: usize, task: impl Fn(usize) -> F) {
    let tasks: Vec<_> = (0..count).map(|n| tokio::spawn(task(n))).collect();
    for task in tasks {
        task.await.expect("every client is content");
    }
}

/// What curl prints, and the status on a line of its own.
async fn curl(args: Vec<String>) -> String {
    let curl = move || {
        Command::new("curl")
            .args(["-sS", "-w", "\n%{http_code}"])
            .args(args)
            .output()
    };
    let output = tokio::task::spawn_blocking(curl).await.unwrap();
    let output = output.expect("curl is at hand");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn the_key_value_service_over_config_maps_works_as_it_did() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let port = port.to_string();
    let flags = ["--create-on-read", "--port", &port];
    let sidecar = writing(plane, &namespace, &flags).await;
    let url = format!("http://localhost:{port}/kv/{namespace}/flags");
    // Its smoke test: read, write, read.
    assert_eq!(curl(vec![url.clone()]).await, "{}\n\n200");
    let pair = "{\"key\":\"value\",\"key2\":\"value2\"}";
    let post: Vec<String> = [
        "-X",
        "POST",
        "-H",
        "Content-Type: application/json",
        "-d",
        pair,
        &url,
    ]
    .map(str::to_owned)
    .into();
    assert_eq!(curl(post).await, format!("{pair}\n\n200"));
    assert_eq!(curl(vec![url]).await, format!("{pair}\n\n200"));
    // The rest of its paths, bodies and statuses; an object that is not there is made.
    let path = format!("/kv/{namespace}/flags");
    let send = async |method, path: &str, body: &str| {
        let answer = sidecar.send(method, path, &[JSON], body.to_owned()).await;
        (answer.status().as_u16(), text(&answer))
    };
    let whole = "{\"key\":\"other\",\"key2\":\"value2\"}\n";
    assert_eq!(
        send(Method::PUT, &path, "{\"key\":\"other\"}").await,
        (200, whole.into())
    );
    let key = format!("{path}?key=key");
    let deleted = (200, "{\"success\": true}".to_owned());
    let absent = (404, "{\"success\": false}".to_owned());
    assert_eq!(send(Method::DELETE, &key, "").await, deleted);
    assert_eq!(send(Method::DELETE, &key, "").await, absent);
    assert_eq!(
        send(Method::DELETE, &format!("{path}/key2"), "").await,
        deleted
    );
    assert_eq!(send(Method::GET, &path, "").await, (200, "{}\n".into()));
    let nowhere = format!("/kv/{namespace}/nowhere?key=key");
    assert_eq!(send(Method::DELETE, &nowhere, "").await, absent);
    for (method, name) in [
        (Method::POST, "posted"),
        (Method::PUT, "put"),
        (Method::PATCH, "patched"),
    ] {
        let path = format!("/kv/{namespace}/{name}");
        let made = (200, "{\"a\":\"1\"}\n".to_owned());
        assert_eq!(send(method, &path, "{\"a\":\"1\"}").await, made);
        assert_eq!(send(Method::GET, &path, "").await, made);
    }
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn sixteen_writers_of_distinct_keys_lose_nothing_and_see_no_conflict() {
    const EACH: usize = 200;
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let two = [
        writing(plane, &namespace, &["--configmap", "shared,optional"]).await,
        writing(plane, &namespace, &[]).await,
    ];
    let path = format!("/kv/{namespace}/shared");
    all(WRITERS, |writer| {
        let (sidecar, path) = (Arc::clone(&two[writer % 2]), path.clone());
        async move {
            for n in 0..EACH {
                let key = format!("k-{writer}-{n}");
                let answer = if n % 2 == 0 {
                    post(&sidecar, &path, &json!({&key: n.to_string()})).await
                } else {
                    let path = format!("{path}/{key}");
                    sidecar.send(Method::PUT, &path, &[], n.to_string()).await
                };
                assert_eq!(answer.status(), 200, "{key}: {}", text(&answer));
            }
        }
    })
    .await;
    let expected: BTreeMap<String, String> = (0..WRITERS)
        .flat_map(|writer| (0..EACH).map(move |n| (format!("k-{writer}-{n}"), n.to_string())))
        .collect();
    for sidecar in &two {
        super::eventually("both attaches have all of it", LIMIT, async || {
            let (_, body) = sidecar.text(&path).await;
            serde_json::from_str::<BTreeMap<String, String>>(&body)
                .ok()
                .as_ref()
                == Some(&expected)
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_counter_by_compare_and_set_ends_exact() {
    const EACH: usize = 20;
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let two = [
        writing(plane, &namespace, &["--configmap", "counter,optional"]).await,
        writing(plane, &namespace, &[]).await,
    ];
    let path = format!("/kv/{namespace}/counter/n");
    // All want to be the first to make it, and one is.
    let made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    all(WRITERS, |writer| {
        let (sidecar, path) = (Arc::clone(&two[writer % 2]), path.clone());
        let made = Arc::clone(&made);
        async move {
            let once = [("if-none-match", "*")];
            let answer = sidecar.send(Method::PUT, &path, &once, "0").await;
            match answer.status().as_u16() {
                200 => _ = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
                status => assert_eq!(status, 412, "{}", text(&answer)),
            }
        }
    })
    .await;
    assert_eq!(made.load(std::sync::atomic::Ordering::Relaxed), 1);
    all(WRITERS, |writer| {
        let (sidecar, path) = (Arc::clone(&two[writer % 2]), path.clone());
        async move {
            let mut done = 0;
            while done < EACH {
                let read = sidecar.get(&path, &[]).await;
                assert_eq!(read.status(), 200);
                let next = text(&read).parse::<usize>().unwrap() + 1;
                let seen = header(&read, "etag");
                let matching = [("if-match", &*seen)];
                let answer = sidecar
                    .send(Method::PUT, &path, &matching, next.to_string())
                    .await;
                match answer.status().as_u16() {
                    200 => done += 1,
                    status => {
                        assert_eq!(status, 412, "{}", text(&answer));
                        assert_ne!(header(&answer, "etag"), seen, "refused for what it is");
                    }
                }
            }
        }
    })
    .await;
    for sidecar in &two {
        sidecar.serves(&path, &(WRITERS * EACH).to_string()).await;
    }
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn what_was_written_is_read_however_late_the_watch_is() {
    const CLIENTS: usize = 25;
    const EACH: usize = 200;
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let maps = plane.config_maps(&namespace).await;
    for name in ["named", "read"] {
        maps.create(name, &[]).await;
    }
    maps.create_labelled("selected", &[("app", "web")], &[])
        .await;
    let late = LateWatches::start(plane.admin().await, 20..=100).await;
    let flags = [
        "--allow-writes",
        "--configmap",
        "named",
        "--configmap-selector",
        "app=web",
    ];
    let sidecar = Arc::new(sidecar_with(&late.kubeconfig(), &namespace, &flags).await);
    assert_eq!(sidecar.text(&format!("/kv/{namespace}/read")).await.0, 200);
    // Named, selected, read before, and not there.
    let names = ["named", "selected", "read", "new-1", "new-2"];
    all(CLIENTS, |client| {
        let name = names[client % names.len()];
        let path = format!("/kv/{namespace}/{name}/client-{client}");
        let sidecar = Arc::clone(&sidecar);
        async move {
            for n in 0..EACH {
                let written = sidecar.send(Method::PUT, &path, &[], n.to_string()).await;
                assert_eq!(written.status(), 200, "{}", text(&written));
                assert_eq!(
                    header(&written, "cache-status"),
                    "attache; fwd=method; stored"
                );
                let read = sidecar.get(&path, &[]).await;
                assert_eq!(
                    (read.status().as_u16(), text(&read)),
                    (200, n.to_string()),
                    "{path}"
                );
                let version = |answer| header(answer, "x-resource-version").parse::<u64>().unwrap();
                assert!(version(&read) >= version(&written), "{path}");
            }
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn what_the_api_server_refuses_has_its_status_and_its_words() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let maps = plane.config_maps(&namespace).await;
    maps.create("fixed", &[("A", "1")]).await;
    maps.patch("fixed", &json!({"immutable": true})).await;
    let sidecar = writing(plane, &namespace, &[]).await;
    let put = async |path: String, body: String| sidecar.send(Method::PUT, &path, &[], body).await;
    let answer = put(format!("/kv/{namespace}/fixed/A"), "2".into()).await;
    assert_eq!(answer.status(), 403);
    assert!(text(&answer).contains("is immutable"), "{}", text(&answer));
    // As much as Kubernetes allows, whose keys do not count, and a byte more.
    let half = 1 << 19;
    for key in ["first", "second"] {
        let answer = put(format!("/kv/{namespace}/large/{key}"), "x".repeat(half)).await;
        assert_eq!(answer.status(), 200, "{}", text(&answer));
    }
    let answer = put(format!("/kv/{namespace}/large/third"), "x".into()).await;
    assert_eq!(answer.status(), 413, "{}", text(&answer));
    assert!(text(&answer).contains("1048576"), "{}", text(&answer));
    let answer = put("/kv/no-such-namespace/web/A".into(), "1".into()).await;
    assert_eq!(answer.status(), 404);
    assert!(
        text(&answer).contains("create the namespace"),
        "{}",
        text(&answer)
    );
    let answer = post(
        &sidecar,
        &format!("/kv/{namespace}/web"),
        &json!({"no key": "1"}),
    )
    .await;
    assert_eq!(answer.status(), 422);
    let answer = put(format!("/kv/{namespace}/secret:db/password"), "1".into()).await;
    assert_eq!(answer.status(), 403);
    let foreign = [JSON, ("origin", "https://evil.example")];
    let path = format!("/kv/{namespace}/web");
    let answer = sidecar
        .send(Method::POST, &path, &foreign, "{\"A\":\"1\"}")
        .await;
    assert_eq!(answer.status(), 403);
    assert_eq!(
        sidecar.text(&path).await.0,
        404,
        "nothing was made of any of it"
    );
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_role_that_only_reads_is_told_which_verb_is_missing() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let maps = plane.config_maps(&namespace).await;
    maps.create("web", &[("A", "1")]).await;
    let reads = ["get", "list", "watch"];
    let user = format!("reader-{namespace}");
    let kubeconfig = plane.kubeconfig(&user);
    plane
        .allow(&user, &namespace, "configmaps", &reads, &[])
        .await;
    let flags = ["--allow-writes", "--create-on-read"];
    let sidecar = sidecar_with(&kubeconfig, &namespace, &flags).await;
    let path = format!("/kv/{namespace}/web/A");
    let told = |answer: &Response<Bytes>, verb: &str| {
        assert_eq!(answer.status(), 403, "{}", text(answer));
        let grant = format!("grant the verb {verb} on configmaps");
        assert!(text(answer).contains(&grant), "{}", text(answer));
    };
    told(&sidecar.send(Method::PUT, &path, &[], "2").await, "patch");
    told(&sidecar.send(Method::DELETE, &path, &[], "").await, "patch");
    told(
        &sidecar.get(&format!("/kv/{namespace}/missing"), &[]).await,
        "create",
    );
    sidecar.serves(&path, "1").await;
    // With get, patch and create on names alone, what is there is written.
    let writes = ["get", "list", "watch", "patch"];
    let user = format!("writer-{namespace}");
    let kubeconfig = plane.kubeconfig(&user);
    plane
        .allow(&user, &namespace, "configmaps", &writes, &["web"])
        .await;
    let sidecar = sidecar_with(&kubeconfig, &namespace, &["--allow-writes"]).await;
    let answer = sidecar.send(Method::PUT, &path, &[], "2").await;
    assert_eq!(answer.status(), 200, "{}", text(&answer));
    sidecar.serves(&path, "2").await;
    assert_eq!(
        sidecar.send(Method::DELETE, &path, &[], "").await.status(),
        200
    );
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_key_goes_from_text_to_bytes_and_back() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let sidecar = writing(plane, &namespace, &[]).await;
    let whole = format!("/kv/{namespace}/web");
    let path = format!("{whole}/blob");
    assert_eq!(
        post(&sidecar, &whole, &json!({"A": "1"})).await.status(),
        200
    );
    for (value, content_type, data) in [
        (
            &b"text"[..],
            "text/plain; charset=utf-8",
            "{\"A\":\"1\",\"blob\":\"text\"}\n",
        ),
        (
            b"\xff\x00\xfe",
            "application/octet-stream",
            "{\"A\":\"1\"}\n",
        ),
        (
            b"gr\xc3\xbc\xc3\x9fe",
            "text/plain; charset=utf-8",
            "{\"A\":\"1\",\"blob\":\"grüße\"}\n",
        ),
        (
            b"",
            "text/plain; charset=utf-8",
            "{\"A\":\"1\",\"blob\":\"\"}\n",
        ),
    ] {
        let written = sidecar.send(Method::PUT, &path, &[], value).await;
        let read = sidecar.get(&path, &[]).await;
        for answer in [&written, &read] {
            assert_eq!(answer.status(), 200, "{}", text(answer));
            assert_eq!(
                (&answer.body()[..], &*header(answer, "content-type")),
                (value, content_type)
            );
        }
        assert_eq!(header(&written, "etag"), header(&read, "etag"));
        assert_eq!(sidecar.text(&whole).await, (200, data.into()));
    }
    let merged = ("content-type", "application/merge-patch+json");
    let patch = "{\"A\":null,\"blob\":\"x\",\"gone\":null}";
    let answer = sidecar.send(Method::PATCH, &whole, &[merged], patch).await;
    assert_eq!(
        (answer.status().as_u16(), &*text(&answer)),
        (200, "{\"blob\":\"x\"}\n")
    );
    // The object's tag, of a write, is that of a read.
    let tag = header(&answer, "etag");
    assert_eq!(
        sidecar
            .get(&whole, &[("if-none-match", &tag)])
            .await
            .status(),
        304
    );
    let matching = [JSON, ("if-match", &tag)];
    let send = async || {
        sidecar
            .send(Method::POST, &whole, &matching, "{\"B\":\"2\"}")
            .await
    };
    assert_eq!(send().await.status(), 200);
    assert_eq!(send().await.status(), 412);
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn writes_go_to_the_api_server_where_nothing_else_asks_it() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let volume = tempfile::tempdir().unwrap();
    let mount = format!("web={}", volume.path().display());
    let flags = ["--mount", &mount, "--no-on-demand", "--no-proxy"];
    let sidecar = writing(plane, &namespace, &flags).await;
    let put = async |name: &str| {
        let path = format!("/kv/{namespace}/{name}/A");
        let answer = sidecar.send(Method::PUT, &path, &[], "1").await;
        (answer.status().as_u16(), text(&answer))
    };
    assert_eq!(put("other").await, (200, "1".to_owned()));
    // It says why, and not that writes are off.
    let (status, told) = put("web").await;
    assert_eq!(status, 405, "{told}");
    assert!(!told.contains("--allow-writes"), "{told}");
}
