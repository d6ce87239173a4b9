use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::client::tests::{answer, head, listen};
use crate::config::ObjectName;

/// A request: its first line, its head in lower case, its body.
type Asked = (String, String, Vec<u8>);

/// Answers one request after another.
async fn sidecar(listener: TcpListener, answers: &[String]) -> Vec<Asked> {
    let mut asked = Vec::new();
    for answer in answers {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = head(&mut stream).await;
        let first = head.lines().next().unwrap().to_owned();
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1);
        let length = length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        asked.push((first, head, body));
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    asked
}

fn web() -> ObjectName {
    ObjectName {
        namespace: Some("prod".into()),
        name: "web".into(),
    }
}

fn set_of(endpoint: Endpoint, values: &[(&str, &str)], files: &[(&str, ValueFrom)]) -> Set {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let files = files.iter();
    Set {
        endpoint,
        object: web(),
        values: values.iter().map(owned).collect(),
        files: files
            .map(|(key, from)| ((*key).to_owned(), from.clone()))
            .collect(),
        if_match: None,
        timeout: Duration::from_secs(30),
    }
}

#[tokio::test]
async fn text_is_merged_at_once_and_bytes_go_by_their_key() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text");
    std::fs::write(&text, "line\n").unwrap();
    let (listener, endpoint) = listen().await;
    let files = [("B", ValueFrom::Stdin), ("F", ValueFrom::File(text))];
    let set_of = set_of(endpoint, &[("A", "1=\"ü\""), ("Z", "")], &files);
    let answers = [answer("200 OK", "{}"), answer("200 OK", "{}")];
    let mut stdin = &b"\xff\0"[..];
    let (asked, done) = tokio::join!(sidecar(listener, &answers), set(&set_of, &mut stdin));
    done.unwrap();
    let [(first, head, body), (next, next_head, bytes)] = &asked[..] else {
        panic!("{asked:?}");
    };
    assert_eq!(first, "POST /kv/prod/web HTTP/1.1");
    assert!(
        head.contains("\r\ncontent-type: application/json\r\n"),
        "{head}"
    );
    assert!(!head.contains("if-match"), "{head}");
    assert_eq!(body, r#"{"A":"1=\"ü\"","F":"line\n","Z":""}"#.as_bytes());
    assert_eq!(
        (&**next, &**bytes),
        ("PUT /kv/prod/web/B HTTP/1.1", &b"\xff\0"[..])
    );
    assert!(
        next_head.contains("application/octet-stream"),
        "{next_head}"
    );
}

#[tokio::test]
async fn a_write_is_held_against_an_etag_and_told_in_the_sidecars_words() {
    let (listener, endpoint) = listen().await;
    let mut set_of = set_of(endpoint, &[("A", "1")], &[]);
    set_of.if_match = Some("\"x\"".into());
    let refused = [answer(
        "412 Precondition Failed",
        r#"{"detail":"it is \"y\" now"}"#,
    )];
    let mut stdin = io::empty();
    let (asked, done) = tokio::join!(sidecar(listener, &refused), set(&set_of, &mut stdin));
    assert!(asked[0].1.contains("\r\nif-match: \"x\"\r\n"), "{asked:?}");
    let failure = done.unwrap_err();
    assert_eq!(
        (failure.to_string().as_str(), failure.exit_code()),
        ("it is \"y\" now", 1)
    );
}

#[tokio::test]
async fn what_cannot_be_guarded_or_read_is_not_begun() {
    let (listener, endpoint) = listen().await;
    let mut guarded = set_of(endpoint.clone(), &[("A", "1")], &[("B", ValueFrom::Stdin)]);
    guarded.if_match = Some("*".into());
    let failure = set(&guarded, &mut &b"\xff"[..]).await.unwrap_err();
    assert!(failure.to_string().contains("--if-match"), "{failure}");
    let files = [("B", ValueFrom::File("/does/not/exist".into()))];
    let missing = set_of(endpoint.clone(), &[], &files);
    let failure = set(&missing, &mut io::empty()).await.unwrap_err();
    let says = "cannot read the value of B from /does/not/exist: ";
    assert!(failure.to_string().starts_with(says), "{failure}");
    let large = set_of(endpoint, &[], &[("B", ValueFrom::Stdin)]);
    let failure = set(&large, &mut io::repeat(b'x')).await.unwrap_err();
    assert!(failure.to_string().contains("1 MiB"), "{failure}");
    assert_eq!(failure.exit_code(), 1);
    // Nothing has come.
    let accepted = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(accepted.is_err());
}

#[tokio::test]
async fn a_refusal_half_way_says_what_is_written() {
    let (listener, endpoint) = listen().await;
    let set_of = set_of(endpoint, &[("A", "1")], &[("B", ValueFrom::Stdin)]);
    let answers = [
        answer("200 OK", "{}"),
        answer("413 Content Too Large", r#"{"detail":"over 1 MiB"}"#),
    ];
    let mut stdin = &b"\xff"[..];
    let (_, done) = tokio::join!(sidecar(listener, &answers), set(&set_of, &mut stdin));
    assert_eq!(
        done.unwrap_err().to_string(),
        "over 1 MiB (this was the value of B; what was given before it is written)"
    );
}

fn unset_of(endpoint: Endpoint) -> Unset {
    Unset {
        endpoint,
        object: web(),
        keys: ["A", "B"].map(str::to_owned).into(),
        timeout: Duration::from_secs(30),
    }
}

#[tokio::test]
async fn keys_are_removed_at_once_in_the_sidecars_namespace() {
    let (listener, endpoint) = listen().await;
    let mut unset_of = unset_of(endpoint);
    unset_of.object.namespace = None;
    let answers = [
        answer("200 OK", r#"{"namespace":"dev"}"#),
        answer("200 OK", "{}"),
    ];
    let (asked, done) = tokio::join!(sidecar(listener, &answers), unset(&unset_of));
    done.unwrap();
    let (first, head, body) = &asked[1];
    assert_eq!(first, "PATCH /kv/dev/web HTTP/1.1");
    assert!(
        head.contains("\r\ncontent-type: application/merge-patch+json\r\n"),
        "{head}"
    );
    assert_eq!(body, br#"{"A":null,"B":null}"#);
}

#[tokio::test]
async fn keys_of_what_does_not_exist_are_removed() {
    for (body, done) in [
        (r#"{"detail":"ConfigMap prod/web does not exist"}"#, true),
        (r#"{"kind":"Status","message":"not found"}"#, false),
        ("404 page not found", false),
    ] {
        let (listener, endpoint) = listen().await;
        let unset_of = unset_of(endpoint);
        let answers = [answer("404 Not Found", body)];
        let (_, removed) = tokio::join!(sidecar(listener, &answers), unset(&unset_of));
        assert_eq!(removed.is_ok(), done, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_may_have_been_made() {
    let (_listener, endpoint) = listen().await;
    let failure = unset(&unset_of(endpoint)).await.unwrap_err();
    let told = failure.to_string();
    assert!(
        told.contains("within 30s; it may have been written"),
        "{told}"
    );
    assert_eq!(failure.exit_code(), 2);
}
