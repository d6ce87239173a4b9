//! Watches and tunnels, event by event and byte by byte.
//!
//! No time is asserted. That the head comes before there is an event, and each event before the
//! next is made, shows that nothing is held back.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;

use super::case::steady;
use super::filters::{SPDY, WEBSOCKET};
use super::groups::{Comparison, Group};
use super::wire::{Connection, Head};
use crate::support::assets::server_minor;
use crate::support::control_plane::{ConfigMaps, ControlPlane};
use crate::support::eventually;
use crate::support::proxy::Proxy;

/// How long the API server may take to notice on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A watch through a proxy.
struct Watch {
    connection: Connection,
    head: Head,
    /// Lines may be cut anywhere into chunks.
    pending: Vec<u8>,
}

impl Watch {
    async fn open(proxy: &Proxy, target: &str) -> Self {
        let mut connection = Connection::open(proxy.address()).await;
        connection.send(format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: differential/1\r\n\r\n",
            proxy.address()
        ));
        let head = connection.head().await.expect("an answer");
        Self {
            connection,
            head,
            pending: Vec::new(),
        }
    }

    /// The next line, as it came; `None` at the end of the body.
    async fn line(&mut self) -> Option<String> {
        loop {
            let end = self.pending.iter().position(|byte| *byte == b'\n');
            if let Some(end) = end {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Some(String::from_utf8(line).expect("UTF-8"));
            }
            let chunk = self.connection.chunk().await?;
            self.pending.extend(chunk);
        }
    }
}

/// Follows one object through a proxy: what the client sees, and when it does.
async fn followed(proxy: &Proxy, maps: &ConfigMaps, namespace: &str, name: &'static str) -> String {
    let base = match name {
        "old watch path" => format!("/api/v1/watch/namespaces/{namespace}/configmaps?"),
        _ => format!("/api/v1/namespaces/{namespace}/configmaps?watch=1&"),
    };
    let options = match name {
        "bookmarks" => "&allowWatchBookmarks=true",
        "end by the server" => "&timeoutSeconds=3",
        _ => "",
    };
    let object = name.replace(' ', "-").to_lowercase();
    let target = format!("{base}labelSelector=of%3D{object}{options}");
    // There is nothing yet: the head comes alone.
    let mut watch = Watch::open(proxy, &target).await;
    let mut seen = format!("{}\n", watch.head.status);
    for (name, value) in &watch.head.headers {
        if ["content-type", "transfer-encoding", "content-length"].contains(&name.as_str()) {
            seen.push_str(&format!("{name}: {value}\n"));
        }
    }
    maps.create_labelled(&object, &[("of", &object)], &[("K", "0")])
        .await;
    seen.push_str(&event(&mut watch, namespace, proxy).await);
    for value in ["1", "2", "3"] {
        maps.set(&object, "K", value).await;
        seen.push_str(&event(&mut watch, namespace, proxy).await);
    }
    // More than a buffer's worth, in one event.
    maps.set(&object, "LARGE", &"x".repeat(300_000)).await;
    seen.push_str(&event(&mut watch, namespace, proxy).await);
    maps.delete(&object).await;
    seen.push_str(&event(&mut watch, namespace, proxy).await);
    if name == "end by the server" {
        assert_eq!(watch.line().await, None, "the API server ends the watch");
        seen.push_str("the end\n");
    }
    seen
}

async fn event(watch: &mut Watch, namespace: &str, proxy: &Proxy) -> String {
    loop {
        let line = watch.line().await.expect("the watch goes on");
        let event: Value = serde_json::from_str(&line).expect("JSON, a line");
        // The API server sends them when it likes.
        if event["type"] != "BOOKMARK" {
            let mut line = line;
            let large = "x".repeat(300_000);
            line = line.replace(&large, "(300 kB)");
            return steady(&line, proxy, namespace);
        }
    }
}

/// Watches of one object each, with events made one by one.
pub async fn watches(comparison: &mut Comparison, plane: &ControlPlane, pair: &[Proxy; 2]) {
    let namespaces = comparison.namespaces().clone();
    let maps = [
        plane.config_maps(&namespaces[0]).await,
        plane.config_maps(&namespaces[1]).await,
    ];
    for name in [
        "JSON lines",
        "bookmarks",
        "old watch path",
        "end by the server",
    ] {
        let kubectl = followed(&pair[0], &maps[0], &namespaces[0], name).await;
        let subject = followed(&pair[1], &maps[1], &namespaces[1], name).await;
        comparison.judge(name, "a watch, event by event", &kubectl, &subject);
    }
    for (side, name) in [(0, "kubectl"), (1, "the other")] {
        gone(plane, &pair[side], &namespaces[side], name).await;
    }
}

/// The API server's count of watches of PodTemplates, which nothing else watches.
async fn registered(plane: &ControlPlane) -> f64 {
    let request = ::http::Request::get("/metrics");
    let request = request.body(Vec::new()).expect("a request");
    let text = plane.admin().await.request_text(request).await;
    let text = text.expect("metrics");
    let name = match server_minor() {
        ..23 => "apiserver_longrunning_gauge{",
        23.. => "apiserver_longrunning_requests{",
    };
    let lines = text.lines().filter(|line| {
        line.starts_with(name)
            && line.contains("resource=\"podtemplates\"")
            && line.contains("verb=\"WATCH\"")
    });
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// A client that leaves ends its watch at the API server: of many, none stays.
async fn gone(plane: &ControlPlane, proxy: &Proxy, namespace: &str, name: &str) {
    const MANY: u16 = 300;
    /// One proxy at a time.
    static COUNTING: Mutex<()> = Mutex::const_new(());
    let _counting = COUNTING.lock().await;
    let target = format!("/api/v1/namespaces/{namespace}/podtemplates?watch=1");
    let mut watches = Vec::new();
    for _ in 0..MANY {
        watches.push(Watch::open(proxy, &target).await);
    }
    let during = registered(plane).await;
    assert!(during >= f64::from(MANY), "{name}: {during} watches");
    drop(watches);
    eventually(
        format!("{name} ends the watches of clients that left"),
        LIMIT,
        async || registered(plane).await < 1.0,
    )
    .await;
}

/// Watches from a version that the API server has no more: 200 and an ERROR event. `plane` has no
/// watch cache.
pub async fn expired(comparison: &mut Comparison, plane: &ControlPlane) {
    let group = Group::new("an expired version", &[], Vec::new());
    let pair = comparison.pair(&plane.admin_kubeconfig(), &group).await;
    let pair = pair.expect("no flags, which any kubectl knows");
    let maps = plane.config_maps("default").await;
    let old = maps.create("expired", &[("K", "0")]).await;
    maps.set("expired", "K", "1").await;
    plane.compact_etcd().await;
    let target = format!("/api/v1/namespaces/default/configmaps?watch=1&resourceVersion={old}");
    let mut seen = Vec::new();
    for proxy in &pair {
        let mut watch = Watch::open(proxy, &target).await;
        let event = watch.line().await.expect("an event");
        assert!(
            event.contains("\"code\":410"),
            "an expired version: {event}"
        );
        let end = watch.line().await;
        seen.push(steady(
            &format!("{}\n{event}{end:?}", watch.head.status),
            proxy,
            "(none)",
        ));
    }
    maps.delete("expired").await;
    comparison.judge("an expired version: 410", &target, &seen[0], &seen[1]);
}

/// What a client gets through a tunnel.
async fn tunnelled(proxy: &Proxy, name: &'static str) -> String {
    let request = match name {
        "tunnel: SPDY" => format!("POST /tunnel?x=%2F HTTP/1.1\r\nHost: {{host}}\r\nUser-Agent: x\r\n{SPDY}\r\n\r\n"),
        "tunnel: an unknown protocol" => {
            "GET /tunnel HTTP/1.1\r\nHost: {host}\r\nUser-Agent: x\r\nConnection: keep-alive, upgrade\r\nUpgrade: frob/9\r\nX-Kept: 1\r\n\r\n".to_owned()
        }
        "tunnel: the caller's own Authorization" => {
            format!("GET /tunnel HTTP/1.1\r\nHost: {{host}}\r\nUser-Agent: x\r\nAuthorization: Bearer caller\r\n{WEBSOCKET}\r\n\r\n")
        }
        "tunnel: forwarded and hop-by-hop headers" => format!(
            "GET /tunnel HTTP/1.1\r\nHost: {{host}}\r\nUser-Agent: x\r\nX-Forwarded-For: 10.1.2.3\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nProxy-Connection: x\r\n{WEBSOCKET}\r\n\r\n"
        ),
        "tunnel: an encoded path" => {
            format!("GET /a%2Fb/%61/tunnel?c=%20 HTTP/1.1\r\nHost: {{host}}\r\nUser-Agent: x\r\n{WEBSOCKET}\r\n\r\n")
        }
        _ => format!("GET /tunnel HTTP/1.1\r\nHost: {{host}}\r\nUser-Agent: x\r\n{WEBSOCKET}\r\n\r\n"),
    };
    let request = request.replace("{host}", &proxy.address().to_string());
    let mut connection = Connection::open(proxy.address()).await;
    let early = name == "tunnel: bytes right after the request";
    connection.send(request + if early { "early " } else { "" });
    let head = connection.head().await.expect("an answer");
    let mut seen = format!("{}\n", head.status);
    let mut headers = head.headers.clone();
    headers.retain(|(name, _)| name != "date");
    headers.sort();
    for (name, value) in &headers {
        seen.push_str(&format!("{name}: {value}\n"));
    }
    if head.status != 101 {
        return seen;
    }
    let hello = hello(&mut connection).await;
    seen.push_str(&hello);
    connection.send("ping.");
    let mut echoed = connection.exactly(5).await;
    if echoed == b"early" {
        echoed.extend(connection.exactly(6).await);
    }
    seen.push_str(&format!("echo {:?}\n", String::from_utf8_lossy(&echoed)));
    // Bytes of every value, more than the sockets hold.
    let bytes: Vec<u8> = (0..4_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    connection.send(bytes.clone());
    let back = connection.exactly(bytes.len()).await;
    seen.push_str(&format!("4 MB unchanged: {}\n", back == bytes));
    if name == "tunnel: a half-close" {
        connection.half_close();
        let rest = connection.rest().await;
        seen.push_str(&format!("after it {:?}\n", String::from_utf8_lossy(&rest)));
    }
    steady(&seen, proxy, "(none)")
}

/// What the upstream received: a length on a line of its own, then that many bytes.
async fn hello(connection: &mut Connection) -> String {
    let mut length = Vec::new();
    while length.last() != Some(&b'\n') {
        let byte = connection.exactly(1).await;
        assert!(!byte.is_empty(), "the tunnel goes on");
        length.extend(byte);
    }
    let length = String::from_utf8_lossy(&length).trim().parse();
    let hello = connection.exactly(length.expect("a length")).await;
    String::from_utf8_lossy(&hello).into_owned()
}

/// Tunnels to the upstream that echoes.
pub async fn tunnels(comparison: &mut Comparison, kubeconfig: &Path) {
    let group = Group::new("tunnels", &[], Vec::new());
    let Some(pair) = comparison.pair(kubeconfig, &group).await else {
        return;
    };
    for name in [
        "tunnel: a WebSocket",
        "tunnel: SPDY",
        "tunnel: an unknown protocol",
        "tunnel: the caller's own Authorization",
        "tunnel: forwarded and hop-by-hop headers",
        "tunnel: an encoded path",
        "tunnel: bytes right after the request",
        "tunnel: a half-close",
    ] {
        let mut seen = Vec::new();
        for proxy in &pair {
            seen.push(tunnelled(proxy, name).await);
        }
        comparison.judge(name, name, &seen[0], &seen[1]);
    }
}
