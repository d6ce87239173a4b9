use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};

use super::*;

/// Answers one connection after another with `answers` and returns the request lines.
async fn sidecar(listener: TcpListener, answers: Vec<String>) -> Vec<String> {
    let mut requests = Vec::new();
    for answer in answers {
        let (mut stream, _) = listener.accept().await.unwrap();
        requests.push(request_line(&mut stream).await);
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    requests
}

async fn request_line(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    head(stream).await.lines().next().unwrap().to_owned()
}

/// The head of a request, up to its empty line.
pub(super) async fn head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(
        head.to_lowercase().contains("\r\nhost: localhost\r\n"),
        "{head}"
    );
    head
}

pub(super) fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn get_of(endpoint: Endpoint, namespace: Option<&str>, key: Option<&str>) -> Get {
    Get {
        endpoint,
        kind: ObjectKind::ConfigMap,
        object: ObjectName {
            namespace: namespace.map(Into::into),
            name: "web".into(),
        },
        key: key.map(Into::into),
        timeout: Duration::from_secs(30),
    }
}

pub(super) async fn listen() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    (listener, endpoint)
}

#[tokio::test]
async fn a_value_is_printed_as_it_is() {
    let (listener, endpoint) = listen().await;
    let mut get_of = get_of(endpoint, Some("prod"), Some("KEY"));
    get_of.kind = ObjectKind::Secret;
    let mut out = Vec::new();
    let serving = sidecar(listener, vec![answer("200 OK", "no newline")]);
    let (requests, result) = tokio::join!(serving, get(&get_of, &mut out));
    result.unwrap();
    assert_eq!(out, b"no newline");
    assert_eq!(requests, ["GET /kv/prod/secret:web/KEY HTTP/1.1"]);
}

#[tokio::test]
async fn the_sidecar_is_asked_for_its_namespace() {
    let (listener, endpoint) = listen().await;
    let get_of = get_of(endpoint, None, None);
    let mut out = Vec::new();
    let answers = vec![
        answer("200 OK", r#"{"namespace":"dev","objects":[]}"#),
        answer("200 OK", "{}"),
    ];
    let (requests, result) = tokio::join!(sidecar(listener, answers), get(&get_of, &mut out));
    result.unwrap();
    assert_eq!(
        requests,
        ["GET /-/status HTTP/1.1", "GET /kv/dev/web HTTP/1.1"]
    );
    assert_eq!(out, b"{}");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_sidecars_words() {
    for (body, says) in [
        (r#"{"title":"Not Found","detail":"name it"}"#, "name it"),
        ("plain", "the sidecar answered 404 Not Found"),
    ] {
        let (listener, endpoint) = listen().await;
        let get_of = get_of(endpoint, Some("prod"), None);
        let mut out = Vec::new();
        let serving = sidecar(listener, vec![answer("404 Not Found", body)]);
        let (_, result) = tokio::join!(serving, get(&get_of, &mut out));
        let failure = result.unwrap_err();
        assert_eq!(
            (failure.to_string().as_str(), failure.exit_code()),
            (says, 1)
        );
        assert!(out.is_empty());
    }
}

#[tokio::test]
async fn nobody_there_says_how_to_start_it() {
    let (listener, endpoint) = listen().await;
    drop(listener);
    let failure = get(&get_of(endpoint, Some("a"), None), &mut Vec::new())
        .await
        .unwrap_err();
    assert!(failure.to_string().contains("attache run"), "{failure}");
    assert_eq!(failure.exit_code(), 2);
}

#[tokio::test]
async fn a_connection_that_ends_or_talks_nonsense_is_a_failure() {
    for text in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        "SSH-2.0-OpenSSH\r\n\r\n",
    ] {
        let (listener, endpoint) = listen().await;
        let get_of = get_of(endpoint, Some("a"), None);
        let mut out = Vec::new();
        let serving = sidecar(listener, vec![text.to_owned()]);
        let (_, result) = tokio::join!(serving, get(&get_of, &mut out));
        assert_eq!(result.unwrap_err().exit_code(), 2, "{text}");
        assert!(out.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_with_the_timeout() {
    let (_listener, endpoint) = listen().await;
    let asked = Healthcheck {
        endpoint,
        probe: Probe::Live,
        timeout: Duration::from_secs(1),
    };
    let failure = healthcheck(&asked).await.unwrap_err();
    let told = failure.to_string();
    assert!(
        told.starts_with("no answer") && told.ends_with(" within 1s"),
        "{told}"
    );
}

#[tokio::test]
async fn a_probe_over_a_unix_socket_tells_what_is_pending() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let asked = Healthcheck {
        endpoint: Endpoint::Unix(path),
        probe: Probe::Ready,
        timeout: Duration::from_secs(30),
    };
    let pending =
        r#"{"detail":"wait","pending":["ConfigMap a/b","ConfigMap c/d","ConfigMap e/f"]}"#;
    let status = r#"{"scopes":[
        {"name":"ConfigMap a/b","contact":"never","reason":"403 Forbidden"},
        {"name":"ConfigMap c/d","contact":"live"},
        {"name":"ConfigMap */x=y","contact":"live","refused":{"ConfigMap e/f":"no room"}}]}"#;
    let unready = answer("503 Service Unavailable", pending);
    let serving = async {
        for (path, text) in [
            ("ready", unready.clone()),
            ("status", answer("200 OK", status)),
            ("ready", unready),
            ("status", answer("404 Not Found", "")),
            ("ready", answer("200 OK", "ok")),
        ] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let line = format!("GET /-/{path} HTTP/1.1");
            assert_eq!(request_line(&mut stream).await, line);
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    };
    let asking = async {
        let ask = || healthcheck(&asked);
        (ask().await, ask().await, ask().await)
    };
    let ((), (first, second, third)) = tokio::join!(serving, asking);
    assert_eq!(
        first.unwrap_err().to_string(),
        "not ready: ConfigMap a/b (403 Forbidden), ConfigMap c/d, ConfigMap e/f (no room)"
    );
    // A listener for probes alone has no reasons.
    assert_eq!(
        second.unwrap_err().to_string(),
        "not ready: ConfigMap a/b, ConfigMap c/d, ConfigMap e/f"
    );
    third.unwrap();
}
