//! The relay and the scripted API server do what the tests of this tier rely on.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::eventually;
use crate::support::fake::{FakeApiServer, config_map};
use crate::support::relay::Relay;

const LIMIT: Duration = Duration::from_secs(30);

/// Sends back what it gets.
async fn echo() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

async fn serve_echo(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
    }
}

async fn says(stream: &mut TcpStream, text: &str) -> bool {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut back = vec![0; text.len()];
    matches!(
        timeout(Duration::from_millis(300), stream.read_exact(&mut back)).await,
        Ok(Ok(_)) if back == text.as_bytes()
    )
}

#[tokio::test]
async fn a_relay_passes_freezes_and_cuts() {
    let listener = echo().await;
    let relay = Relay::start(listener.local_addr().unwrap()).await;
    tokio::spawn(serve_echo(listener));

    let mut old = TcpStream::connect(relay.addr()).await.unwrap();
    assert!(says(&mut old, "before").await);
    assert_eq!((relay.live(), relay.total()), (1, 1));

    relay.freeze();
    assert!(!says(&mut old, "lost").await, "accepted, but not answered");
    relay.pass();
    assert!(
        !says(&mut old, "still lost").await,
        "a frozen connection stays so"
    );
    let mut new = TcpStream::connect(relay.addr()).await.unwrap();
    assert!(says(&mut new, "after").await);
    assert_eq!((relay.live(), relay.total()), (2, 2));

    relay.cut();
    let error = new.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    eventually("no live connection", LIMIT, async || relay.live() == 0).await;

    relay.refuse();
    let mut refused = TcpStream::connect(relay.addr()).await.unwrap();
    assert!(refused.read_u8().await.is_err());
    relay.pass();
    let mut last = TcpStream::connect(relay.addr()).await.unwrap();
    assert!(says(&mut last, "again").await);
}

#[tokio::test]
async fn the_fake_answers_as_it_is_told() {
    let mut fake = FakeApiServer::start().await;
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let base = format!(
        "http://{}/api/v1/namespaces/default/configmaps",
        fake.addr()
    );
    let path = "/api/v1/namespaces/default/configmaps";
    let get = |query: &str| tokio::spawn(client.get(format!("{base}?{query}").parse().unwrap()));

    let response = get("limit=1&fieldSelector=metadata.name%3Da");
    let request = fake.next_list(path).await;
    assert_eq!(
        request.asked.query("fieldSelector"),
        Some("metadata.name=a")
    );
    request.list(
        "7",
        &[config_map("default", "a", "5", &[("k", "v")])],
        Some("more"),
    );
    let body = response
        .await
        .unwrap()
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    let list: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        list["metadata"],
        serde_json::json!({"resourceVersion": "7", "continue": "more"})
    );
    assert_eq!(list["items"][0]["data"]["k"], "v");

    let response = get("watch=1&resourceVersion=7");
    let stream = fake.next_watch(path).await.watch();
    let mut body = response.await.unwrap().unwrap().into_body();
    stream.bookmark("8");
    let line = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(
        line.starts_with(b"{") && line.ends_with(b"}\n"),
        "one line per event"
    );
    stream.gone("8");
    let line = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let event: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["code"]),
        (&"ERROR".into(), &410.into())
    );
    stream.reset();
    assert!(body.frame().await.unwrap().is_err(), "a broken connection");

    let response = get("limit=1");
    fake.next().await.too_many_requests(3);
    let response = response.await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "3");

    let response = get("limit=2");
    drop(fake.next().await);
    assert!(response.await.unwrap().is_err(), "no answer at all");
    assert_eq!(fake.asked().len(), 4);
}
