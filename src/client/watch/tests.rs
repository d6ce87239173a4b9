use std::cell::RefCell;
use std::io;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::client::tests::{answer, head, listen};
use crate::config::{Endpoint, ObjectKind, ObjectName};

const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\nretry: 1000\n\n";

/// What was printed, flush by flush.
struct Printed(UnboundedSender<String>, Vec<u8>);

impl Write for Printed {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.1.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.1)).into_owned();
        self.0
            .send(text)
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

fn watch_of(endpoint: Endpoint, key: Option<&str>) -> Watch {
    Watch {
        endpoint,
        kind: ObjectKind::ConfigMap,
        object: ObjectName {
            namespace: Some("prod".into()),
            name: "web".into(),
        },
        key: key.map(Into::into),
        command: Vec::new(),
    }
}

/// Watches while `sidecar` serves; returns the failure, if that was its end, and what was said.
async fn watched(
    watch_of: &Watch,
    sidecar: impl AsyncFnOnce(UnboundedReceiver<String>),
) -> (Option<Failure>, Vec<String>) {
    let (printed, lines) = unbounded_channel();
    let said = RefCell::new(Vec::new());
    let say = |text: &str| said.borrow_mut().push(text.to_owned());
    let watching = watch(watch_of, Printed(printed, Vec::new()), &say);
    let (done, ()) = tokio::join!(watching, sidecar(lines));
    (done.err(), said.into_inner())
}

/// The next stream that is asked for, with the head of the request.
async fn stream(listener: &TcpListener) -> (TcpStream, String) {
    let (mut stream, head) = asked(listener).await;
    stream.write_all(STREAM.as_bytes()).await.unwrap();
    (stream, head)
}

async fn asked(listener: &TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let head = head(&mut stream).await.to_lowercase();
    assert!(head.contains("\r\naccept: text/event-stream\r\n"), "{head}");
    (stream, head)
}

async fn refuse(listener: &TcpListener, status: &str, detail: &str) -> String {
    let (mut stream, head) = asked(listener).await;
    let text = answer(status, &format!(r#"{{"detail":"{detail}"}}"#));
    stream.write_all(text.as_bytes()).await.unwrap();
    head
}

fn snapshot(id: &str, data: &str) -> String {
    format!("event: snapshot\nid: {id}\ndata: {{\"resourceVersion\":\"1\",\"data\":{data}}}\n\n")
}

fn change(id: &str, value: &str) -> String {
    format!(
        "event: change\nid: {id}\ndata: {{\"key\":\"K\",\"value\":{value},\"resourceVersion\":\"2\"}}\n\n"
    )
}

#[tokio::test(start_paused = true)]
async fn an_object_is_printed_now_and_after_each_change() {
    let (listener, endpoint) = listen().await;
    let (failure, said) = watched(&watch_of(endpoint, None), async |mut lines| {
        let (mut stream, head) = stream(&listener).await;
        assert!(head.starts_with("get /kv/prod/web http/1.1\r\n"), "{head}");
        assert!(!head.contains("last-event-id"), "{head}");
        let mut send = async |text: &str| stream.write_all(text.as_bytes()).await.unwrap();
        send(&snapshot("\"absent\"", "null")).await;
        send(&snapshot("\"a\"", r#"{"B":"2","A":"1"}"#)).await;
        assert_eq!(lines.recv().await.unwrap(), "{\"A\":\"1\",\"B\":\"2\"}\n");
        send("event: stale\ndata: {\"ageSeconds\":3,\"reason\":\"no route\"}\n\n").await;
        send("event: stale\ndata: {\"ageSeconds\":9,\"reason\":\"no route\"}\n\n").await;
        send("event: fresh\ndata: {}\n\n").await;
        let change = change("\"b\"", "\"v\"");
        let (first, rest) = change.split_at(20);
        send(first).await;
        tokio::task::yield_now().await;
        send(rest).await;
        assert_eq!(
            lines.recv().await.unwrap(),
            "{\"A\":\"1\",\"B\":\"2\",\"K\":\"v\"}\n"
        );
        send(&snapshot("\"absent\"", "null")).await;
        drop(stream);
        refuse(&listener, "403 Forbidden", "not yours").await;
        assert_eq!(lines.recv().await, None);
    })
    .await;
    let failure = failure.unwrap();
    assert_eq!(
        (failure.to_string().as_str(), failure.exit_code()),
        ("not yours", 1)
    );
    let [lost_source, has_source, rest @ ..] = &said[..] else {
        panic!("{said:?}");
    };
    assert!(lost_source.contains("no route"), "{said:?}");
    assert!(has_source.contains("has its source again"), "{said:?}");
    assert!(
        rest.iter()
            .any(|text| text == "ConfigMap prod/web does not exist any more"),
        "{said:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_lost_is_resumed_and_told_once() {
    let (listener, endpoint) = listen().await;
    let (failure, said) = watched(&watch_of(endpoint, None), async |mut lines| {
        let (mut first, _) = stream(&listener).await;
        first
            .write_all(snapshot("\"a\"", "{}").as_bytes())
            .await
            .unwrap();
        assert_eq!(lines.recv().await.unwrap(), "{}\n");
        let half =
            "event: change\ndata: {\"key\":\"H\",\"value\":\"1\",\"resourceVersion\":\"2\"}\n\n";
        first.write_all(half.as_bytes()).await.unwrap();
        drop(first);
        let head = refuse(&listener, "503 Service Unavailable", "too many").await;
        assert!(head.contains("\r\nlast-event-id: \"a\"\r\n"), "{head}");
        // Gone before it has answered.
        drop(asked(&listener).await);
        let (mut next, head) = stream(&listener).await;
        assert!(head.contains("\r\nlast-event-id: \"a\"\r\n"), "{head}");
        next.write_all(change("\"b\"", "\"v\"").as_bytes())
            .await
            .unwrap();
        assert_eq!(lines.recv().await.unwrap(), "{\"K\":\"v\"}\n");
        // What cannot be read is asked for as a whole.
        next.write_all(change("\"c\"", "7").as_bytes())
            .await
            .unwrap();
        let head = refuse(&listener, "405 Method Not Allowed", "no").await;
        assert!(!head.contains("last-event-id"), "{head}");
    })
    .await;
    assert_eq!(failure.unwrap().exit_code(), 1);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].contains("it has ended") && said[1].contains("cannot be read"),
        "{said:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_stream_and_heartbeats_keep_it() {
    let (listener, endpoint) = listen().await;
    let (_, said) = watched(&watch_of(endpoint, Some("K")), async |mut lines| {
        let (mut first, _) = stream(&listener).await;
        let value = r#"{"key":"K","value":"AP8=","encoding":"base64","resourceVersion":"1"}"#;
        let text = format!("event: snapshot\nid: \"a\"\ndata: {value}\n\n");
        first.write_all(text.as_bytes()).await.unwrap();
        assert_eq!(lines.recv().await.unwrap(), "\0\u{fffd}\n");
        for _ in 0..10 {
            sleep(Duration::from_secs(40)).await;
            first.write_all(b":\n\n").await.unwrap();
        }
        let still = timeout(Duration::from_secs(44), listener.accept()).await;
        assert!(still.is_err());
        let head = refuse(&listener, "403 Forbidden", "no").await;
        assert!(
            head.starts_with("get /kv/prod/web/k http/1.1\r\n"),
            "{head}"
        );
        drop(first);
    })
    .await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("silent for 45s"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn only_a_sidecar_that_answers_at_first_is_waited_for() {
    let (listener, endpoint) = listen().await;
    drop(listener);
    let (failure, said) = watched(&watch_of(endpoint, None), async |_| {}).await;
    assert_eq!((failure.unwrap().exit_code(), said.len()), (2, 0));

    let (listener, endpoint) = listen().await;
    let (failure, said) = watched(&watch_of(endpoint, None), async |_| {
        refuse(&listener, "503 Service Unavailable", "starting").await;
        let (mut old, _) = asked(&listener).await;
        old.write_all(answer("200 OK", "{}").as_bytes())
            .await
            .unwrap();
    })
    .await;
    let failure = failure.unwrap();
    assert_eq!(failure.exit_code(), 1);
    assert!(failure.to_string().contains("older version"), "{failure}");
    assert!(said.len() == 1 && said[0].contains("starting"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_has_gone_ends_the_watch() {
    let (listener, endpoint) = listen().await;
    let (failure, _) = watched(&watch_of(endpoint, None), async |lines| {
        drop(lines);
        let (mut stream, _) = stream(&listener).await;
        stream
            .write_all(snapshot("\"a\"", "{}").as_bytes())
            .await
            .unwrap();
    })
    .await;
    assert!(failure.is_none(), "{failure:?}");
}

#[test]
fn delays_double_to_half_a_minute() {
    let watch = watch_of(Endpoint::Unix("/s".into()), None);
    let subject = Subject {
        kind: ObjectKind::Secret,
        namespace: "a",
        name: "b",
        key: None,
    };
    let (newest, _) = tokio::sync::watch::channel(None);
    let mut follower = Follower::new(&watch, &subject, newest, &|_| {});
    let longest = [1, 2, 4, 8, 16, 30, 30, 30].map(Duration::from_secs);
    for longest in longest {
        let delay = follower.delay();
        assert!(longest / 2 <= delay && delay <= longest, "{delay:?}");
    }
    follower.held();
    assert!(follower.delay() <= FIRST_DELAY);
}
