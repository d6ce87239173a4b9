//! Servers that go away, clients that do, and attache itself.

use super::support::*;

const STREAM: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_client_that_leaves_a_quiet_stream_ends_it() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    for answered in [true, false] {
        let mut client = proxied.connect().await;
        client.get("/api/v1/pods?watch=1", "").await;
        let mut api = server.accept().await;
        api.head().await;
        if answered {
            api.send(STREAM).await;
            // The head comes at once, before any event.
            client.head().await;
        }
        drop(client);
        assert_eq!(api.rest().await, "", "answered: {answered}");
    }
}

#[tokio::test]
async fn a_connection_that_died_idle_is_replaced_for_a_safe_request() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let mut client = proxied.connect().await;
    for request in [
        "GET /b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /b HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "POST /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    ] {
        client.get("/a", "").await;
        let mut api = server.accept().await;
        api.head().await;
        api.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        client.head().await;
        client.send(request).await;
        api.head().await;
        drop(api);
        if !request.contains("Upgrade") && request.starts_with("GET") {
            let mut api = server.accept().await;
            assert!(api.head().await.starts_with("GET /b "));
            api.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                .await;
            assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        } else {
            // It may have been done: that is for the caller to find out.
            assert!(client.head().await.starts_with("HTTP/1.1 502 "));
        }
    }
}

#[tokio::test]
async fn a_new_connection_that_breaks_is_told() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let mut client = proxied.connect().await;
    client.get("/a", "").await;
    let mut api = server.accept().await;
    api.head().await;
    drop(api);
    assert!(client.head().await.starts_with("HTTP/1.1 502 "));
}

#[tokio::test]
async fn no_server_is_a_status_that_says_why() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let _kubeconfig = server.close();
    let mut client = proxied.connect().await;
    client.get("/api/v1/pods", "Connection: close\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{head}");
    assert!(
        head.contains("content-type: application/json\r\n"),
        "{head}"
    );
    let status: serde_json::Value = serde_json::from_str(&client.rest().await).unwrap();
    assert_eq!(status["kind"], "Status");
    assert_eq!(status["code"], 502);
    assert_eq!(status["status"], "Failure");
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("Connection refused"), "{message}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_passed_on_as_whole() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let mut client = proxied.connect().await;
    client.get("/a", "").await;
    let mut api = server.accept().await;
    api.head().await;
    api.send(&format!("{STREAM}2\r\nhi\r\n")).await;
    client.head().await;
    client.expect("2\r\nhi\r\n").await;
    drop(api);
    assert_eq!(
        client.rest().await,
        "",
        "no last chunk: it would say that this was all"
    );
}

#[tokio::test]
async fn only_what_ends_by_itself_is_given_the_timeout() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &["--request-timeout=2s"]).await;
    let mut client = proxied.connect().await;
    client.get("/api/v1/pods", "").await;
    let mut api = server.accept().await;
    api.head().await;
    let head = client.head().await;
    assert!(
        head.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"),
        "{head}"
    );
    let mut client = proxied.connect().await;
    client.get("/api/v1/pods?watch=true", "").await;
    let mut api = server.accept().await;
    api.head().await;
    assert!(
        client
            .stays_silent(std::time::Duration::from_millis(2_500))
            .await
    );
    api.send(STREAM).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn the_timeout_begins_when_the_body_has_gone() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &["--request-timeout=2s"]).await;
    let mut client = proxied.connect().await;
    client
        .send("PUT /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\n")
        .await;
    let mut api = server.accept().await;
    api.head().await;
    for _ in 0..4 {
        assert!(
            client
                .stays_silent(std::time::Duration::from_millis(700))
                .await
        );
        client.send("ab").await;
        api.expect("ab").await;
    }
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
}

#[tokio::test]
async fn an_answer_bears_our_own_version() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let mut client = proxied.connect().await;
    client.get("/a", "").await;
    let mut api = server.accept().await;
    api.head().await;
    api.send("HTTP/1.0 200 OK\r\n\r\nall of it").await;
    drop(api);
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    client.expect("9\r\nall of it\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn at_the_end_watches_end_and_answers_are_finished() {
    let server = Server::start().await;
    let mut proxied = Proxied::start(&server, &[]).await;
    let mut watch = proxied.connect().await;
    watch.get("/api/v1/pods?watch=1", "").await;
    let mut watched = server.accept().await;
    watched.head().await;
    watched.send(&format!("{STREAM}4\r\none\n\r\n")).await;
    watch.head().await;
    watch.expect("4\r\none\n\r\n").await;
    let mut midst = proxied.connect().await;
    midst.get("/api/v1/pods?watch=1", "").await;
    let mut halved = server.accept().await;
    halved.head().await;
    halved.send(&format!("{STREAM}3\r\none\r\n")).await;
    midst.head().await;
    midst.expect("3\r\none\r\n").await;
    let mut list = proxied.connect().await;
    list.get("/api/v1/pods", "").await;
    let mut listed = server.accept().await;
    listed.head().await;
    listed
        .send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        .await;
    list.head().await;
    list.expect("abc").await;
    proxied.ask_to_stop();
    // As a server that ends a watch: its client begins another.
    assert_eq!(watch.rest().await, "0\r\n\r\n");
    assert_eq!(watched.rest().await, "");
    // An event that has begun is waited for.
    halved.send("4\r\ntwo\n\r\n3\r\nthr\r\n").await;
    assert_eq!(midst.rest().await, "4\r\ntwo\n\r\n0\r\n\r\n");
    listed.send("def").await;
    assert_eq!(list.rest().await, "def");
    proxied.ended().await;
}
