//! A served store, and a client that sees every byte.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use attache::api::Api;
use attache::api::push::Waiting;
use attache::http::listen::BoundAddress;
use attache::http::{Handler, Limits, Meters, listen, serve};
use attache::router::Router;
use attache::shutdown::{Trigger, channel};
use attache::store::demand::{Demand, Demander};
use attache::store::{self, Kind, ObjectRef, RawObject, ScopeSpec, ScopeWriter, Selects, Writer};
use regex_lite::Regex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{RwLock, RwLockReadGuard, mpsc};
use tokio::task::JoinHandle;

/// Nothing here takes nearly this long; a test that hangs fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Held shared by every test, and alone by the one that measures memory.
pub static QUIET: RwLock<()> = RwLock::const_new(());

pub const SECRET: &str = "hunter2-never-shown";

/// A running server. Its scopes live as long as it does.
pub struct Served {
    pub port: u16,
    pub trigger: Trigger,
    pub task: JoinHandle<()>,
    _shared: Option<RwLockReadGuard<'static, ()>>,
}

/// The store behind a [`Served`] router.
pub struct Store {
    pub writer: Writer,
    pub draining: Trigger,
    pub api: Arc<Api>,
    pub web: ScopeWriter,
    pub db: ScopeWriter,
}

pub async fn serve_with<H: Handler>(handler: Arc<H>, limits: Limits, meters: Meters) -> Served {
    let shared = QUIET.read().await;
    let mut served = serve_unguarded(handler, limits, meters).await;
    served._shared = Some(shared);
    served
}

pub async fn serve_unguarded<H: Handler>(
    handler: Arc<H>,
    limits: Limits,
    meters: Meters,
) -> Served {
    let listeners = listen::bind(Ipv4Addr::LOCALHOST.into(), 0).await.unwrap();
    let BoundAddress::Tcp(address) = listeners[0].address().unwrap() else {
        panic!("not TCP")
    };
    let (trigger, shutdown) = channel();
    Served {
        port: address.port(),
        trigger,
        task: tokio::spawn(serve(listeners, handler, limits, meters, shutdown)),
        _shared: None,
    }
}

/// The object that a demand is for.
pub fn named(demand: &Demand) -> ObjectRef {
    match &demand.selects {
        Selects::Named(reference) => reference.clone(),
        other => panic!("{other} is no object"),
    }
}

pub fn configmap(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::ConfigMap, "default", name)
}

pub fn object(reference: ObjectRef, version: &str, data: &[(&str, &str)]) -> RawObject {
    let mut raw = RawObject::empty(reference);
    raw.resource_version = version.into();
    raw.uid = "7f1c".into();
    for (key, value) in data {
        raw.data.insert((*key).into(), (*value).into());
    }
    raw
}

/// ConfigMap `default/web` (GREETING, empty, and binary `logo`) and Secret `default/db`.
pub fn store(demander: Option<Demander>) -> Store {
    let (writer, reader) = store::new(1 << 20);
    let web = writer.scope(ScopeSpec::declared(Selects::Named(configmap("web"))));
    let mut raw = object(
        configmap("web"),
        "42",
        &[("GREETING", "hello\n"), ("empty", "")],
    );
    raw.binary_data
        .insert("logo".into(), vec![0, 159, 146, 150]);
    web.replace(vec![web.freeze(raw)]);
    let secret = ObjectRef::new(Kind::Secret, "default", "db");
    let db = writer.scope(ScopeSpec::declared(Selects::Named(secret.clone())));
    db.replace(vec![db.freeze(object(
        secret,
        "7",
        &[("password", SECRET)],
    ))]);
    let (draining, drain) = channel();
    let api = Arc::new(Api {
        demander,
        max_bytes: 1 << 20,
        waiting: Waiting::new(64),
        ..Api::over(reader, drain)
    });
    Store {
        writer,
        draining,
        api,
        web,
        db,
    }
}

pub fn router(api: &Arc<Api>) -> Arc<Router> {
    let hosts = [r"^localhost$", r"^127\.0\.0\.1$", r"^\[::1\]$"];
    let hosts = hosts.map(|h| Regex::new(h).unwrap()).to_vec();
    Arc::new(Router::new(Arc::clone(api), hosts, true, None).unwrap())
}

pub async fn start(demander: Option<Demander>) -> (Served, Store) {
    let store = store(demander);
    let served = serve_with(router(&store.api), Limits::new(64), Meters::default()).await;
    (served, store)
}

/// Answers demands with `answer` until the demander is gone.
pub fn answer_demands(
    mut demands: mpsc::Receiver<Demand>,
    mut answer: impl FnMut(Demand) + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(demand) = demands.recv().await {
            answer(demand);
        }
    })
}

pub fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// One response, as it was sent.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n == name);
        found.next().map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The detail of a well-formed problem with this reply's status.
    pub fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let json = self.json();
        assert_eq!(json["status"], self.status);
        assert_eq!(json["type"], "about:blank");
        assert!(json["title"].is_string());
        json["detail"].as_str().unwrap().to_owned()
    }
}

pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        // A server that has answered already may have closed: the reply tells.
        let _ = self.stream.write_all(bytes).await;
    }

    pub async fn get(&mut self, path: &str, headers: &str) -> Reply {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        self.send(request.as_bytes()).await;
        self.reply(false).await.expect("an answer")
    }

    /// The next whole response; `None` if the server closed before the first byte of one.
    pub async fn reply(&mut self, head: bool) -> Option<Reply> {
        tokio::time::timeout(PATIENCE, self.read_reply(head))
            .await
            .expect("an answer in time")
    }

    async fn read_reply(&mut self, head: bool) -> Option<Reply> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if self.fill().await == 0 {
                assert!(
                    self.buffer.is_empty(),
                    "cut off inside a head: {:?}",
                    self.buffer
                );
                return None;
            }
        };
        let text = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let mut lines = text.trim_end().split("\r\n");
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers: Vec<_> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned()))
            .collect();
        let mut reply = Reply {
            status,
            headers,
            body: Vec::new(),
        };
        let length = match reply.header("content-length") {
            Some(length) if !head && status != 304 => length.parse().unwrap(),
            _ => 0,
        };
        while self.buffer.len() < length {
            assert_ne!(self.fill().await, 0, "cut off inside a body");
        }
        reply.body = self.buffer.drain(..length).collect();
        Some(reply)
    }

    /// A reset counts as an end: what mattered was read before it.
    async fn fill(&mut self) -> usize {
        self.stream.read_buf(&mut self.buffer).await.unwrap_or(0)
    }

    /// Waits for the server to close, without a further byte.
    pub async fn closed(&mut self) {
        let read = tokio::time::timeout(PATIENCE, self.fill()).await;
        assert_eq!(read.expect("closed in time"), 0, "{:?}", self.buffer);
    }
}
