//! Whose credentials a request bears, and what happens when they are refused.

use super::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno";

#[tokio::test]
async fn ours_are_added_only_where_the_caller_brings_none() {
    let server = Server::start().await;
    let flags = ["--as=bob", "--as-group=a", "--as-group=b"];
    let proxied = Proxied::start(&server, &flags).await;
    let mut client = proxied.connect().await;
    client
        .get(
            "/mine",
            "Impersonate-Group: theirs\r\nImpersonate-Uid: 0\r\n",
        )
        .await;
    let mut api = server.accept().await;
    let head = api.head().await;
    for line in [
        "authorization: Bearer our-token\r\n",
        "impersonate-user: bob\r\n",
        "impersonate-group: a\r\n",
        "impersonate-group: b\r\n",
        "x-forwarded-for: 127.0.0.1\r\n",
    ] {
        assert!(head.contains(line), "no {line:?} in {head}");
    }
    assert!(
        !head.contains("theirs") && !head.contains("impersonate-uid"),
        "{head}"
    );
    api.send(OK).await;
    client.head().await;
    // A page's WebSocket can set no Authorization, and brings its token so.
    let mut page = proxied.connect().await;
    page.get(
        "/watched",
        "Sec-WebSocket-Protocol: v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.dGhlaXJz\r\n",
    )
    .await;
    let mut api = server.accept().await;
    let head = api.head().await;
    assert!(!head.contains("our-token"), "{head}");
    drop((page, api));
    let mut other = proxied.connect().await;
    other
        .get("/theirs", "Authorization: Bearer theirs\r\n")
        .await;
    // Their request has a connection of its own: ours may carry a client certificate.
    let mut api = server.accept().await;
    let head = api.head().await;
    assert!(head.contains("authorization: Bearer theirs\r\n"), "{head}");
    assert!(
        !head.contains("our-token") && !head.contains("impersonate"),
        "{head}"
    );
}

#[tokio::test]
async fn a_refused_token_is_read_again_and_the_request_sent_again() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let mut client = proxied.connect().await;
    client
        .send("DELETE /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let mut api = server.accept().await;
    api.head().await;
    server.kubeconfig("", "next-token");
    api.send(UNAUTHORIZED).await;
    let mut api = server.accept().await;
    let head = api.head().await;
    assert!(
        head.starts_with("DELETE /a ") && head.contains("Bearer next-token\r\n"),
        "{head}"
    );
    api.send(OK).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_refused_request_with_a_body_makes_the_next_one_work() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let mut client = proxied.connect().await;
    let post = "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi";
    client.send(post).await;
    let mut api = server.accept().await;
    api.head().await;
    api.expect("hi").await;
    server.kubeconfig("", "next-token");
    api.send(UNAUTHORIZED).await;
    assert!(client.head().await.starts_with("HTTP/1.1 401 "));
    client.expect("no").await;
    client.send(post).await;
    let mut api = server.accept().await;
    assert!(api.head().await.contains("Bearer next-token\r\n"));
}

#[tokio::test]
async fn a_callers_own_refusal_is_the_callers() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let mut client = proxied.connect().await;
    client.get("/a", "Authorization: Bearer theirs\r\n").await;
    let mut api = server.accept().await;
    api.head().await;
    api.send(UNAUTHORIZED).await;
    assert!(client.head().await.starts_with("HTTP/1.1 401 "));
    client.expect("no").await;
    // The same connection goes on: nothing was made anew.
    client.get("/b", "Authorization: Bearer theirs\r\n").await;
    assert!(api.head().await.starts_with("GET /b "));
}
