//! How a connection closes whose client still sends: the answer arrives, and a client that is
//! gone is missed.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

use super::support::*;

/// Less than what is read and dropped.
const LARGE: usize = 1024 * 1024;

const REFUSED: &str = "/api/v1/namespaces/default/pods/web/exec";

/// A client that holds little back: most of what it sends is on its way, or waits to be.
async fn uploader(proxied: &Proxied) -> Socket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(256 * 1024).unwrap();
    let mut client = proxied.connect().await;
    client.stream = socket.connect(proxied.address).await.unwrap();
    client
}

fn post(path: &str, host: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n")
}

#[tokio::test]
async fn a_client_that_sends_all_before_it_reads_gets_its_refusal() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let www = format!("--www={}", dir.path().display());
    let proxied = Proxied::start(&server, &[&www]).await;
    for (path, host, status) in [
        (REFUSED, "localhost", "403 Forbidden"),
        ("/api", "evil.example", "403 Forbidden"),
        ("/static/a", "localhost", "405 Method Not Allowed"),
        ("/a//b", "localhost", "307 Temporary Redirect"),
    ] {
        let mut client = uploader(&proxied).await;
        client.send(&post(path, host, LARGE)).await;
        client.send(&"x".repeat(LARGE)).await;
        let head = client.head().await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{head}"
        );
        assert!(head.contains("connection: close\r\n"), "{head}");
        assert!(!client.rest().await.contains("HTTP/1.1"));
    }
}

#[tokio::test]
async fn an_answer_of_the_server_that_comes_before_the_body_arrives() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let mut client = uploader(&proxied).await;
    client.send(&post("/api", "localhost", LARGE)).await;
    let mut api = server.accept().await;
    api.head().await;
    api.send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
        .await;
    api.finish_sending().await;
    client.send(&"x".repeat(LARGE)).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert_eq!(client.rest().await, "big");
}

#[tokio::test]
async fn a_client_that_never_ends_is_cut_off() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let mut client = proxied.connect().await;
    client
        .send(&post(REFUSED, "localhost", usize::MAX >> 1))
        .await;
    let endless = async {
        let chunk = [b'x'; 64 * 1024];
        while client.stream.write_all(&chunk).await.is_ok() {}
    };
    let ended = tokio::time::timeout(LIMIT, endless).await;
    ended.expect("the connection is reset");
}

#[tokio::test]
async fn a_client_that_leaves_bytes_unread_is_missed() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let mut left = Vec::new();
    for (request, unread) in [
        (
            "POST /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
            "body",
        ),
        (
            "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET /b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ),
    ] {
        let mut client = proxied.connect().await;
        client.send(request).await;
        let mut api = server.accept().await;
        api.head().await;
        api.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        client.head().await;
        client.send(unread).await;
        left.push(api);
    }
    for mut api in left {
        assert_eq!(api.rest().await, "");
    }
}
