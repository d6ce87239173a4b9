//! Upgrades.

use super::support::*;

const UPGRADE: &str =
    "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n";

async fn tunnel(server: &Server, proxied: &Proxied, early: &str) -> (Socket, Socket) {
    let mut client = proxied.connect().await;
    client
        .send(&format!(
            "POST /x HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}Content-Length: 0\r\n\r\n{early}"
        ))
        .await;
    let mut api = server.accept().await;
    let head = api.head().await;
    for line in [
        "connection: Upgrade\r\n",
        "upgrade: SPDY/3.1\r\n",
        "authorization: Bearer our-token\r\n",
    ] {
        assert!(head.contains(line), "no {line:?} in {head}");
    }
    api.send(SWITCHING).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for line in [
        "upgrade: SPDY/3.1\r\n",
        "x-stream-protocol-version: v4.channel.k8s.io\r\n",
    ] {
        assert!(head.contains(line), "no {line:?} in {head}");
    }
    (client, api)
}

#[tokio::test]
async fn bytes_go_both_ways_and_each_half_closes_by_itself() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    // What the client sends before the answer is not lost.
    let (mut client, mut api) = tunnel(&server, &proxied, "early").await;
    api.expect("early").await;
    client.send("\0ping").await;
    api.expect("\0ping").await;
    api.send("pong").await;
    client.expect("pong").await;
    client.finish_sending().await;
    assert_eq!(api.rest().await, "", "the half-close arrived");
    api.send("still here").await;
    client.expect("still here").await;
    drop(api);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn what_the_server_sends_with_its_101_arrives() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let mut client = proxied.connect().await;
    client.get("/x", UPGRADE).await;
    let mut api = server.accept().await;
    api.head().await;
    api.send(&format!("{SWITCHING}first")).await;
    client.head().await;
    client.expect("first").await;
}

#[tokio::test]
async fn a_refused_upgrade_is_an_answer() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let mut client = proxied.connect().await;
    for status in ["403 Forbidden", "200 OK"] {
        client.get("/x", UPGRADE).await;
        let mut api = server.accept().await;
        api.head().await;
        api.send(&format!(
            "HTTP/1.1 {status}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nwhy"
        ))
        .await;
        let head = client.head().await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{head}"
        );
        client.expect("why").await;
    }
}

#[tokio::test]
async fn a_tunnel_ends_with_attache() {
    let server = Server::start().await;
    let mut proxied = Proxied::start(&server, &[]).await;
    let (mut client, mut api) = tunnel(&server, &proxied, "").await;
    proxied.ask_to_stop();
    assert_eq!(client.rest().await, "");
    assert_eq!(api.rest().await, "");
    proxied.ended().await;
}

#[tokio::test]
async fn a_tunnel_counts_as_a_connection() {
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &["--max-connections=1"]).await;
    let (client, api) = tunnel(&server, &proxied, "").await;
    let mut waiting = proxied.connect().await;
    waiting.get("/api", "").await;
    assert!(
        waiting
            .stays_silent(std::time::Duration::from_millis(300))
            .await
    );
    drop((client, api));
    let mut api = server.accept().await;
    assert!(api.head().await.starts_with("GET /api "));
}
