//! The client of bench/watches: holds watches of one ConfigMap, and tells when each event arrived.
//!
//! `watchers URL NAME`, where URL is the proxy's or the API server's and NAME the ConfigMap in `default`;
//! TOKEN and CA_FILE in the environment are for the API server. An event's number is what follows
//! `event=` in it. Each line on stdin is answered by one on stdout:
//!
//! - `open`: one more watch, on a connection of its own that has just read the ConfigMap, as
//!   informers do; answers with the nanoseconds from the watch request to its first event.
//! - `event N`: answers when every watch has event N, or after ten seconds, with the times of
//!   arrival in nanoseconds since the epoch.
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a benchmark that cannot run says so"
)]

use std::collections::HashMap;
use std::io::BufRead;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::sync::{Notify, mpsc};
use tower_service::Service;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(obey());
}

async fn obey() {
    let mut arguments = std::env::args().skip(1);
    let (url, name) = arguments
        .next()
        .zip(arguments.next())
        .expect("watchers URL NAME");
    let mut client = Client::new(url, &name);
    let arrivals = Arc::new(Arrivals::default());
    let mut commands = lines();
    let mut watches = 0;
    while let Some(command) = commands.recv().await {
        if let Some(event) = command.strip_prefix("event ") {
            let event = event.parse().expect("an event's number");
            let times = arrivals.all(event, watches).await;
            println!("{}", times.join(" "));
        } else {
            let first = client.open(watches, Arc::clone(&arrivals)).await;
            watches += 1;
            println!("{}", first.as_nanos());
        }
    }
}

/// Standard input's lines; a thread reads them.
fn lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let _ = sender.send(line.expect("a line of text"));
        }
    });
    receiver
}

/// Makes connections, and asks on them.
struct Client {
    connector: HttpsConnector<HttpConnector>,
    url: Uri,
    object: String,
    watch: String,
    token: Option<String>,
}

// === impl Client ===

impl Client {
    fn new(url: String, name: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        if let Some(file) = std::env::var_os("CA_FILE") {
            for certificate in CertificateDer::pem_file_iter(file).expect("a readable CA file") {
                let added = roots.add(certificate.expect("a certificate"));
                added.expect("a usable certificate");
            }
        }
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let collection = "/api/v1/namespaces/default/configmaps";
        Self {
            connector,
            url: url.parse().expect("a URL"),
            object: format!("{collection}/{name}"),
            watch: format!(
                "{collection}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3D{name}"
            ),
            token: std::env::var("TOKEN").ok(),
        }
    }

    /// Opens a watch, and follows it from then on.
    async fn open(&mut self, watch: usize, arrivals: Arc<Arrivals>) -> Duration {
        let stream = self.connector.call(self.url.clone()).await;
        let stream = stream.expect("a connection");
        let (mut sender, connection) = http1::handshake(stream).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        let object = self.ask(&mut sender, &self.object).await;
        object.collect().await.expect("the ConfigMap");

        sender.ready().await.expect("a kept connection");
        let began = Instant::now();
        let mut events = self.ask(&mut sender, &self.watch).await;
        let mut data = next(&mut events).await;
        let first = began.elapsed();
        tokio::spawn(async move {
            // Dropped, it would say that the connection is not needed any more.
            let _sender = sender;
            let mut unfinished = Vec::new();
            loop {
                let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
                unfinished.extend_from_slice(&data);
                while let Some(end) = unfinished.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = unfinished.drain(..=end).collect();
                    arrivals.note(number(&line), watch, now);
                }
                data = next(&mut events).await;
            }
        });
        first
    }

    async fn ask(&self, sender: &mut SendRequest<Empty<Bytes>>, path: &str) -> Incoming {
        let host = self.url.authority().map_or("", |host| host.as_str());
        let mut request = Request::get(path).header(header::HOST, host);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::new()).expect("a valid request");
        let response = sender.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.into_body()
    }
}

/// The bytes that come next; a watch that ends was not to end.
async fn next(events: &mut Incoming) -> Bytes {
    let Some(Ok(frame)) = events.frame().await else {
        eprintln!("a watch ended");
        std::process::exit(1);
    };
    frame.into_data().unwrap_or_default()
}

/// The number of an event.
fn number(line: &[u8]) -> u32 {
    let line = String::from_utf8_lossy(line);
    let (_, rest) = line.split_once("event=").expect("a numbered event");
    let end = rest.find(|c: char| !c.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())]
        .parse()
        .expect("an event's number")
}

/// Which watch got which event when, in time since the epoch.
#[derive(Default)]
struct Arrivals {
    events: Mutex<HashMap<u32, HashMap<usize, Duration>>>,
    changed: Notify,
}

// === impl Arrivals ===

impl Arrivals {
    fn note(&self, event: u32, watch: usize, at: Duration) {
        let mut events = self.events.lock().expect("no panic before");
        let twice = events.entry(event).or_default().insert(watch, at);
        assert!(twice.is_none(), "watch {watch} got event {event} twice");
        self.changed.notify_one();
    }

    /// The times at which the watches got the event, once all have it or ten seconds are over.
    async fn all(&self, event: u32, watches: usize) -> Vec<String> {
        let complete = async {
            while self.count(event) < watches {
                self.changed.notified().await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(10), complete).await;
        let events = self.events.lock().expect("no panic before");
        let times = events.get(&event).into_iter().flat_map(HashMap::values);
        times.map(|at| at.as_nanos().to_string()).collect()
    }

    fn count(&self, event: u32) -> usize {
        let events = self.events.lock().expect("no panic before");
        events.get(&event).map_or(0, HashMap::len)
    }
}
