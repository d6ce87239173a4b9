//! Connections: how many, for how long, and how they end.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use attache::http::{Body, Handler, Limits, Meters, Peer, listen, serve};
use attache::shutdown::channel;
use http::{Request, Response};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::sync::Notify;

use super::support::*;

/// Answers `/`, panics on `/panic`, and waits on `/wait` until it is released; so it does on
/// `/switch`, and then switches protocols.
#[derive(Default)]
struct Scripted {
    handled: AtomicUsize,
    reached: Notify,
    released: Notify,
}

impl Handler for Scripted {
    async fn handle(&self, request: Request<Incoming>, _: &Peer) -> Response<Body> {
        self.handled.fetch_add(1, Ordering::Relaxed);
        match request.uri().path() {
            "/panic" => panic!("asked to"),
            "/wait" => {
                self.reached.notify_one();
                self.released.notified().await;
            }
            "/switch" => {
                self.reached.notify_one();
                self.released.notified().await;
                let switching = Response::builder()
                    .status(101)
                    .header("connection", "Upgrade")
                    .header("upgrade", "echo");
                return switching.body(Either::Left(Full::default())).unwrap();
            }
            _ => {}
        }
        Response::new(Either::Left(Full::from("done")))
    }
}

#[tokio::test]
async fn a_panic_ends_its_connection_and_no_other() {
    let meters = Meters::default();
    let served = serve_with(Arc::<Scripted>::default(), Limits::new(8), meters.clone()).await;
    let mut other = Client::connect(served.port).await;
    assert_eq!(other.get("/", "").await.status, 200);
    let mut client = Client::connect(served.port).await;
    client
        .send(b"GET /panic HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    client.closed().await;
    assert_eq!(other.get("/", "").await.status, 200);
    assert_eq!(meters.open.get(), 1);
}

#[tokio::test]
async fn connections_over_the_limit_wait_their_turn() {
    let meters = Meters::default();
    let served = serve_with(Arc::<Scripted>::default(), Limits::new(2), meters.clone()).await;
    let mut first = Client::connect(served.port).await;
    let mut second = Client::connect(served.port).await;
    assert_eq!(first.get("/", "").await.status, 200);
    assert_eq!(second.get("/", "").await.status, 200);
    let mut third = Client::connect(served.port).await;
    third
        .send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    // Two more answers, so that the loop has had its turn.
    assert_eq!(first.get("/", "").await.status, 200);
    assert_eq!(second.get("/", "").await.status, 200);
    assert_eq!(meters.open.get(), 2);
    drop(first);
    assert_eq!(third.reply(false).await.unwrap().status, 200);
    assert_eq!(meters.open.get(), 2);
}

#[tokio::test]
async fn a_head_that_does_not_come_closes_the_connection() {
    let limits = Limits {
        header_read_timeout: Duration::from_millis(200),
        ..Limits::new(8)
    };
    let served = serve_with(Arc::<Scripted>::default(), limits, Meters::default()).await;
    for begun in [
        &b""[..],
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
    ] {
        let mut client = Client::connect(served.port).await;
        client.send(begun).await;
        client.closed().await;
    }
    let mut idle = Client::connect(served.port).await;
    assert_eq!(idle.get("/", "").await.status, 200);
    idle.closed().await;
}

#[tokio::test]
async fn a_request_in_hand_is_answered_after_the_stop() {
    let handler = Arc::<Scripted>::default();
    let served = serve_with(Arc::clone(&handler), Limits::new(8), Meters::default()).await;
    let mut idle = Client::connect(served.port).await;
    assert_eq!(idle.get("/", "").await.status, 200);
    let mut client = Client::connect(served.port).await;
    // The second request is read too, and dropped with the connection: the first answer says so.
    let two =
        b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.send(two).await;
    handler.reached.notified().await;
    served.trigger.stop();
    idle.closed().await;
    handler.released.notify_one();
    let reply = client.reply(false).await.unwrap();
    assert_eq!(
        (reply.status, reply.header("connection")),
        (200, Some("close"))
    );
    served.task.await.unwrap();
}

#[tokio::test]
async fn a_protocol_is_switched_after_the_stop_as_before() {
    let handler = Arc::<Scripted>::default();
    let served = serve_with(Arc::clone(&handler), Limits::new(8), Meters::default()).await;
    let mut client = Client::connect(served.port).await;
    let upgrade =
        b"GET /switch HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    client.send(upgrade).await;
    handler.reached.notified().await;
    served.trigger.stop();
    handler.released.notify_one();
    let reply = client.reply(false).await.unwrap();
    assert_eq!(
        (reply.status, reply.header("connection")),
        (101, Some("Upgrade"))
    );
    served.task.await.unwrap();
}

#[tokio::test]
async fn an_answer_to_what_is_no_request_arrives_though_more_comes() {
    let served = serve_with(
        Arc::<Scripted>::default(),
        Limits::new(8),
        Meters::default(),
    )
    .await;
    let mut client = Client::connect(served.port).await;
    // A client that holds little back: most of the head waits to be sent when the answer comes.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(256 * 1024).unwrap();
    let address = (Ipv4Addr::LOCALHOST, served.port).into();
    client.stream = socket.connect(address).await.unwrap();
    let head = format!("GET /{} HTTP/1.1\r\n", "a".repeat(1024 * 1024));
    client.stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(client.reply(false).await.unwrap().status, 431);
    client.closed().await;
}

#[tokio::test]
async fn a_drain_ends_in_time_whatever_hangs() {
    let handler = Arc::<Scripted>::default();
    let meters = Meters::default();
    let limits = Limits {
        drain: Duration::from_millis(300),
        ..Limits::new(8)
    };
    let served = serve_with(Arc::clone(&handler), limits, meters.clone()).await;
    let mut client = Client::connect(served.port).await;
    client
        .send(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    handler.reached.notified().await;
    served.trigger.stop();
    let ended = tokio::time::timeout(PATIENCE, served.task).await;
    ended.expect("an end in time").unwrap();
    client.closed().await;
    assert_eq!(meters.open.get(), 0);
}

#[tokio::test]
async fn what_is_queued_at_the_stop_is_served() {
    let served = serve_with(
        Arc::<Scripted>::default(),
        Limits::new(2),
        Meters::default(),
    )
    .await;
    let mut open = [
        Client::connect(served.port).await,
        Client::connect(served.port).await,
    ];
    for client in &mut open {
        assert_eq!(client.get("/", "").await.status, 200);
    }
    let mut queued = Vec::new();
    for _ in 0..6 {
        let mut client = Client::connect(served.port).await;
        client
            .send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        queued.push(client);
    }
    served.trigger.stop();
    for client in &mut queued {
        let reply = client.reply(false).await.expect("an answer");
        assert_eq!(
            (reply.status, reply.header("connection")),
            (200, Some("close"))
        );
        client.closed().await;
    }
    served.task.await.unwrap();
}

#[tokio::test]
async fn a_stop_under_load_loses_no_request_that_was_read() {
    let handler = Arc::<Scripted>::default();
    let served = serve_with(Arc::clone(&handler), Limits::new(256), Meters::default()).await;
    let port = served.port;
    let clients: Vec<_> = (0..64)
        .map(|_| {
            tokio::spawn(async move {
                let mut answered = 0;
                let mut client = Client::connect(port).await;
                loop {
                    client
                        .send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        .await;
                    // Cut off inside an answer, this panics.
                    let Some(reply) = client.reply(false).await else {
                        return answered;
                    };
                    assert_eq!(reply.body, b"done");
                    answered += 1;
                    if reply.header("connection") == Some("close") {
                        client.closed().await;
                        return answered;
                    }
                }
            })
        })
        .collect();
    while handler.handled.load(Ordering::Relaxed) < 2_000 {
        tokio::task::yield_now().await;
    }
    let stopped = Instant::now();
    served.trigger.stop();
    served.task.await.unwrap();
    assert!(
        stopped.elapsed() < Duration::from_secs(5),
        "{:?}",
        stopped.elapsed()
    );
    let mut answered = 0;
    for client in clients {
        answered += client.await.unwrap();
    }
    assert_eq!(answered, handler.handled.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_unix_socket_serves_too() {
    let _shared = QUIET.read().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("attache.sock");
    let listeners = vec![listen::bind_unix(&path).unwrap()];
    let (trigger, shutdown) = channel();
    let store = store(None);
    let limits = Limits::new(8);
    let task = tokio::spawn(serve(
        listeners,
        router(&store.api),
        limits,
        Meters::default(),
        shutdown,
    ));
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let request = b"GET /kv/default/web/GREETING HTTP/1.0\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(
        reply.starts_with("HTTP/1.0 200") && reply.ends_with("\r\n\r\nhello\n"),
        "{reply}"
    );
    trigger.stop();
    task.await.unwrap();
    assert!(!path.exists());
}
