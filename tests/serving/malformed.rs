//! Input that no well-behaved client sends: each gets its documented answer, and leaves nothing.

use std::time::Duration;

use attache::http::{Limits, Meters};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::support::*;

#[derive(Debug, Clone, Copy)]
enum Expect {
    /// 200.
    Served,
    /// A problem of ours with this status.
    Problem(u16),
    /// hyper's answer: this status, no body, then the end.
    Bare(u16),
    /// The end, without an answer.
    Closed,
}
use Expect::{Bare, Closed, Problem, Served};

const H: &str = "HTTP/1.1\r\nHost: localhost\r\n";

/// `GET target` with a good host.
fn get(target: &str, expect: Expect) -> (Vec<u8>, Expect) {
    (format!("GET {target} {H}\r\n").into_bytes(), expect)
}

fn raw(request: impl Into<Vec<u8>>, expect: Expect) -> (Vec<u8>, Expect) {
    (request.into(), expect)
}

fn targets() -> Vec<(Vec<u8>, Expect)> {
    let long = |n| "a".repeat(n);
    vec![
        get("/kv/default/web/%", Problem(400)),
        get("/kv/default/web/%4", Problem(400)),
        get("/kv/default/web/%zz", Problem(400)),
        get("/kv/default/web/%ff%fe", Problem(400)),
        get("/kv/default/web/%00", Problem(400)),
        get("/kv/default/web/GREETING%00", Problem(400)),
        get("/kv/default/web%2FGREETING", Problem(400)),
        get("/kv/default/web/..", Problem(400)),
        get("/kv/default/web/%2e%2e", Problem(400)),
        get("/kv/default/../default/web", Problem(404)),
        get("/kv/../../etc/passwd", Problem(404)),
        get("/kv/default/%2e%2e%2fweb/k", Problem(400)),
        get("/kv/default//GREETING", Problem(400)),
        get("/kv//web/GREETING", Problem(400)),
        get("//kv/default/web/GREETING", Problem(404)),
        get("/kv/default/web/", Problem(404)),
        get("/kv/Default/web", Problem(400)),
        get("/kv/default/WEB", Problem(400)),
        get("/kv/default/secret:", Problem(400)),
        get("/kv/default/web/a%20b", Problem(400)),
        get("/kv/default/web/GREETING?x=1", Problem(400)),
        get("/kv/default/web/%47REETING", Served),
        get("/KV/default/web", Problem(404)),
        get(&format!("/kv/default/{}", long(300)), Problem(400)),
        get(&format!("/kv/default/web/{}", long(300)), Problem(400)),
        get(&format!("/kv/default/web/{}", long(9_000)), Problem(414)),
        get(&format!("/kv/default/web?{}", long(9_000)), Problem(414)),
        get(&format!("/{}", long(200_000)), Bare(431)),
        get("/kv/default/web/\u{e4}", Problem(400)),
        get("/kv/default/web GREETING", Bare(400)),
        get("http://localhost/kv/default/web", Served),
        get("http://evil.example/kv/default/web", Problem(403)),
        get("https://localhost/kv/default/web", Problem(400)),
        get("kv/default/web", Bare(400)),
        get("*", Problem(404)),
    ]
}

fn heads() -> Vec<(Vec<u8>, Expect)> {
    let path = "/kv/default/web/GREETING";
    let header = |n| format!("X: {}\r\n", "a".repeat(n));
    vec![
        raw(format!("GET {path} HTTP/1.1\r\n\r\n"), Problem(400)),
        raw(format!("GET {path} HTTP/1.0\r\n\r\n"), Problem(403)),
        raw(
            format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"),
            Served,
        ),
        raw(
            format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
            Problem(403),
        ),
        raw(
            format!("GET {path} HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n"),
            Problem(403),
        ),
        raw(
            format!("GET {path} HTTP/1.1\r\nHost:\r\n\r\n"),
            Problem(403),
        ),
        raw(
            format!("GET {path} HTTP/1.1\r\nHost: \u{e4}\r\n\r\n"),
            Problem(403),
        ),
        raw(
            format!("GET {path} {H}Host: localhost\r\n\r\n"),
            Problem(400),
        ),
        raw(
            format!("GET {path} {H}{}\r\n", header(40_000)),
            Problem(431),
        ),
        raw(format!("GET {path} {H}{}\r\n", header(200_000)), Bare(431)),
        raw(
            format!("GET {path} {H}{}\r\n", "X: y\r\n".repeat(200)),
            Bare(431),
        ),
        raw(format!("GET {path} {H}no colon\r\n\r\n"), Bare(400)),
        raw(format!("GET {path} {H}X : y\r\n\r\n"), Bare(400)),
        raw(format!("GET {path} {H}X: a\0b\r\n\r\n"), Bare(400)),
        raw(format!("GET {path} {H} folded\r\n\r\n"), Bare(400)),
        raw(
            format!("POST {path} {H}Content-Length: 0\r\n\r\n"),
            Problem(405),
        ),
        raw(format!("DELETE {path} {H}\r\n"), Problem(405)),
        raw(format!("BREW {path} {H}\r\n"), Problem(405)),
        raw(format!("get {path} {H}\r\n"), Problem(405)),
        raw(format!("G@T {path} {H}\r\n"), Bare(400)),
        raw(format!("CONNECT localhost:80 {H}\r\n"), Problem(405)),
        raw(format!("CONNECT evil.example:443 {H}\r\n"), Problem(403)),
        raw(format!("OPTIONS * {H}\r\n"), Problem(404)),
        raw(
            format!("GET {path} HTTP/9.9\r\nHost: localhost\r\n\r\n"),
            Bare(400),
        ),
        raw(format!("GET {path}\r\n\r\n"), Bare(400)),
        raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Closed),
        raw([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0], Bare(400)),
        raw("\r\n\r\n\r\n\0\0\0\0", Bare(400)),
        raw(format!("GET {path} HT"), Closed),
        raw("", Closed),
    ]
}

fn bodies() -> Vec<(Vec<u8>, Expect)> {
    let get = format!("GET /kv/default/web/GREETING {H}");
    let smuggled = "GET /-/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    vec![
        raw(format!("{get}Content-Length: 5\r\n\r\nhello"), Served),
        raw(format!("{get}Content-Length: 5\r\n\r\n"), Served),
        raw(format!("{get}Content-Length: 1000000\r\n\r\n"), Served),
        raw(
            format!("{get}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
            Served,
        ),
        raw(format!("{get}Content-Length: -1\r\n\r\n"), Bare(400)),
        raw(
            format!("{get}Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
            Bare(400),
        ),
        raw(
            format!("{get}Content-Length: 99999999999999999999\r\n\r\n"),
            Bare(400),
        ),
        raw(format!("{get}Transfer-Encoding: gzip\r\n\r\n"), Bare(400)),
        raw(
            format!("{get}Transfer-Encoding: chunked, identity\r\n\r\n"),
            Bare(400),
        ),
        raw(
            format!(
                "{get}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
                smuggled.len()
            ),
            Served,
        ),
        raw(
            format!("{get}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\nzz\r\n{smuggled}"),
            Served,
        ),
    ]
}

async fn check(port: u16, request: &[u8], expect: Expect) {
    let shown = String::from_utf8_lossy(&request[..request.len().min(120)]).into_owned();
    let mut client = Client::connect(port).await;
    client.send(request).await;
    let head = request.starts_with(b"HEAD");
    let reply = client.reply(head).await;
    match (expect, reply) {
        (Served, Some(reply)) => assert_eq!(reply.status, 200, "{shown}"),
        (Problem(status), Some(reply)) => {
            assert_eq!(reply.status, status, "{shown}\n{reply:?}");
            assert!(reply.problem().len() > 20, "{shown}");
            assert_eq!(reply.header("allow").is_some(), status == 405, "{shown}");
        }
        (Bare(status), Some(reply)) => {
            assert_eq!(
                (reply.status, reply.body.len()),
                (status, 0),
                "{shown}\n{reply:?}"
            );
            client.closed().await;
        }
        (Closed, None) => {}
        (expect, reply) => panic!("{shown}\nexpected {expect:?}, got {reply:?}"),
    }
}

#[tokio::test]
async fn each_gets_its_documented_answer_and_memory_stays() {
    let _alone = QUIET.write().await;
    let store = store(None);
    let limits = Limits {
        header_read_timeout: Duration::from_millis(200),
        ..Limits::new(64)
    };
    let served = serve_unguarded(router(&store.api), limits, Meters::default()).await;
    let table = [targets(), heads(), bodies()].concat();
    assert!(table.len() >= 40, "{}", table.len());
    for _ in 0..3 {
        for (request, expect) in &table {
            check(served.port, request, *expect).await;
        }
    }
    let before = resident_bytes();
    for _ in 0..10 {
        for (request, expect) in &table {
            check(served.port, request, *expect).await;
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown <= 1 << 20, "grew by {grown} bytes");
}

#[tokio::test]
async fn a_body_ends_its_connection_and_is_never_a_second_request() {
    let (served, _store) = start(None).await;
    for (request, expect) in bodies() {
        let mut client = Client::connect(served.port).await;
        client.send(&request).await;
        let reply = client.reply(false).await.expect("an answer");
        if let Served = expect {
            assert_eq!(reply.header("connection"), Some("close"));
        }
        client.closed().await;
    }
}

#[test]
fn no_bytes_make_a_fault_of_ours() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (served, _store) = runtime.block_on(start(None));
    let mut runner = TestRunner::new(Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let target = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        "/kv/[ -~]{0,40}".prop_map(String::into_bytes),
    ];
    let outcome = runner.run(&target, |target| {
        let request = [
            b"GET ",
            &target[..],
            b" ",
            H.as_bytes(),
            b"Connection: close\r\n\r\n",
        ];
        let status = runtime.block_on(async {
            let mut client = Client::connect(served.port).await;
            client.send(&request.concat()).await;
            client.reply(false).await.map(|reply| reply.status)
        });
        prop_assert!(matches!(status, Some(200..500)), "{status:?}");
        Ok(())
    });
    outcome.unwrap();
}
