//! Bodies, trailers, expectations.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::support::*;

#[tokio::test]
async fn chunks_and_trailers_go_both_ways_as_they_come() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let mut client = proxied.connect().await;
    client
        .send("POST /upload HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        .await;
    let mut api = server.accept().await;
    let head = api.head().await;
    assert!(head.contains("te: trailers\r\n") && head.contains("transfer-encoding: chunked\r\n"));
    api.expect("3\r\none\r\n").await;
    // The second part goes when the first has arrived: nothing is gathered.
    client.send("3\r\ntwo\r\n").await;
    api.expect("3\r\ntwo\r\n").await;
    client.send("0\r\nx-sum: 6\r\n\r\n").await;
    api.expect("0\r\nx-sum: 6\r\n\r\n").await;
    api.send("HTTP/1.1 200 OK\r\nTrailer: x-end\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    assert!(client.head().await.contains("trailer: x-end\r\n"));
    api.send("2\r\nhi\r\n").await;
    client.expect("2\r\nhi\r\n").await;
    api.send("0\r\nx-end: yes\r\n\r\n").await;
    client.expect("0\r\nx-end: yes\r\n\r\n").await;
}

/// Both ends of a request that waits for a 100 before it sends its four bytes.
async fn expecting(server: &Server, proxied: &Proxied) -> (Socket, Socket) {
    let mut client = proxied.connect().await;
    let head =
        "PUT /big HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    client.send(head).await;
    let mut api = server.accept().await;
    assert!(api.head().await.contains("expect: 100-continue\r\n"));
    (client, api)
}

#[tokio::test]
async fn a_body_is_asked_for_when_the_server_asks() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let (mut client, mut api) = expecting(&server, &proxied).await;
    api.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.expect("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("body").await;
    api.expect("body").await;
    api.send("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 201 Created\r\n"));
    client.expect("ok").await;
    // Both connections serve on.
    client.get("/next", "").await;
    assert!(api.head().await.starts_with("GET /next "));
}

#[tokio::test]
async fn a_body_that_is_refused_is_never_sent() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let (mut client, mut api) = expecting(&server, &proxied).await;
    api.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        .await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("\r\n\r\nno"));
    assert_eq!(api.rest().await, "", "no body reached the server");
}

#[tokio::test]
async fn a_server_that_knows_no_expectation_gets_the_body_after_a_while() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let (mut client, mut api) = expecting(&server, &proxied).await;
    client.expect("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("body").await;
    api.expect("body").await;
}

#[tokio::test]
async fn a_slow_reader_slows_the_server() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let mut client = proxied.connect().await;
    client.get("/logs", "").await;
    let mut api = server.accept().await;
    api.head().await;
    api.send("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        .await;
    client.head().await;
    let part = vec![b'x'; 1 << 20];
    let mut taken = 0;
    // What the kernel's buffers hold is taken, then no more.
    while let Ok(written) = timeout(Duration::from_secs(1), api.stream.write(&part)).await {
        taken += written.unwrap();
        assert!(
            taken < 64 << 20,
            "{taken} bytes were taken from the server and read by nobody"
        );
    }
}

#[tokio::test]
async fn what_the_filter_refuses_reaches_no_server() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let mut client = proxied.connect().await;
    client
        .get("/api/v1/namespaces/default/pods/web/%65xec", "")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{head}");
    client.expect("Forbidden\n").await;
    client.get("/api", "").await;
    let mut api = server.accept().await;
    assert!(api.head().await.starts_with("GET /api HTTP/1.1\r\n"));
}

#[tokio::test]
async fn the_servers_path_goes_before_every_path_but_its_own() {
    let server = Server::start().await;
    server.kubeconfig("/k8s/clusters/c-1", "t");
    for (flags, path, sent) in [
        (&[][..], "/api?x=1", "/k8s/clusters/c-1/api?x=1"),
        (&[], "/k8s/clusters/c-1/api", "/k8s/clusters/c-1/api"),
        (
            &["--append-server-path"],
            "/k8s/clusters/c-1/api",
            "/k8s/clusters/c-1/k8s/clusters/c-1/api",
        ),
    ] {
        let proxied = Proxied::start(&server, flags).await;
        let mut client = proxied.connect().await;
        client.get(path, "").await;
        let mut api = server.accept().await;
        assert!(
            api.head()
                .await
                .starts_with(&format!("GET {sent} HTTP/1.1\r\n")),
            "{path}"
        );
    }
}
