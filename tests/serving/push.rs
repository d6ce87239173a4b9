//! Who waits for changes, over real sockets.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream as Socket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use attache::api::Api;
use attache::api::push::Waiting;
use attache::http::{Limits, Meters};
use attache::shutdown::{Shutdown, channel as shutdown_channel};
use attache::store::demand::{Unmet, channel};
use attache::store::{Kind, ObjectRef, ScopeSpec, Selects};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::support::*;

const OBJECT: &str = "/kv/default/web";
/// A client that waits for a change, whatever there is.
const LONG_POLL: &[u8] =
    b"GET /kv/default/web?wait=1m HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: *\r\n\r\n";
const EVENTS: &str = "Accept: text/event-stream\r\n";

/// A store whose clients may all wait, served.
async fn start_for(connections: usize) -> (Served, Store) {
    let (store, limits) = roomy(connections);
    let served = serve_with(router(&store.api), limits, Meters::default()).await;
    (served, store)
}

fn roomy(connections: usize) -> (Store, Limits) {
    let mut store = store(None);
    let api = Arc::get_mut(&mut store.api).unwrap();
    api.waiting = Waiting::new(connections);
    (store, Limits::new(connections))
}

/// Sets the one key GREETING.
fn set(store: &Store, version: usize, value: &str) {
    let raw = object(
        configmap("web"),
        &version.to_string(),
        &[("GREETING", value)],
    );
    store.web.upsert(store.web.freeze(raw));
}

/// Lets the server run until the condition holds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "not in time: {what}");
        ticks.tick().await;
    }
}

fn waiting(api: &Api) -> i64 {
    api.metrics.http_long_polls.get() + api.metrics.http_streams.get()
}

/// A client of a stream; it knows no more of HTTP than chunks.
struct Events {
    stream: TcpStream,
    /// Without the framing of chunks, from the first event that was not taken yet.
    text: String,
    raw: Vec<u8>,
    head: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    name: String,
    id: Option<String>,
    data: String,
}

impl Events {
    async fn open(port: u16, path: &str, headers: &str) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        Self::on(stream, path, headers).await
    }

    async fn on(mut stream: TcpStream, path: &str, headers: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{EVENTS}{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let (text, raw, head) = Default::default();
        let mut events = Self {
            stream,
            text,
            raw,
            head,
        };
        let end = loop {
            if let Some(at) = events.raw.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(events.fill().await, "a head");
        };
        events.head = String::from_utf8(events.raw.drain(..end).collect()).unwrap();
        events
    }

    /// Reads more; false at the end.
    async fn fill(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.raw);
        let read = tokio::time::timeout(PATIENCE, read)
            .await
            .expect("more in time");
        read.is_ok_and(|read| read > 0)
    }

    /// Moves whole chunks from what was read to the text; false after the last.
    fn unchunk(&mut self) -> bool {
        while let Some(line) = self.raw.windows(2).position(|w| w == b"\r\n") {
            let size = std::str::from_utf8(&self.raw[..line]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            if self.raw.len() < line + 2 + size + 2 {
                return true;
            }
            let chunk = self.raw[line + 2..line + 2 + size].to_vec();
            self.text.push_str(&String::from_utf8(chunk).unwrap());
            self.raw.drain(..line + 2 + size + 2);
            if size == 0 {
                return false;
            }
        }
        true
    }

    /// The next event; `None` at the clean end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = parse(block);
                self.text = rest.to_owned();
                match event {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let more = self.unchunk();
            if self.text.contains("\n\n") {
                continue;
            }
            if !more {
                return None;
            }
            if !self.fill().await {
                panic!("cut off: {:?} {:?}", self.text, self.raw);
            }
        }
    }
}

fn parse(block: &str) -> Option<Event> {
    let mut event = Event::default();
    for line in block.lines() {
        match line.split_once(':').unwrap() {
            ("event", name) => event.name = name.trim().into(),
            ("id", id) => event.id = Some(id.trim().into()),
            ("data", data) => event.data = data.trim().into(),
            ("" | "retry", _) => {}
            (other, _) => panic!("{other}"),
        }
    }
    (!event.data.is_empty()).then_some(event)
}

#[tokio::test]
async fn a_long_poll_answers_at_once_on_change_or_at_its_end() {
    let (served, store) = start(None).await;
    let mut client = Client::connect(served.port).await;
    for path in [OBJECT, "/kv/default/web/GREETING"] {
        let etag = client
            .get(path, "")
            .await
            .header("etag")
            .unwrap()
            .to_owned();
        let held = format!("If-None-Match: {etag}\r\n");
        // Another tag, none at all, or nothing there: at once.
        for (path, header, status) in [
            (path, "If-None-Match: \"other\"\r\n", 200),
            (path, "", 200),
            ("/kv/default/web/none", &*held, 404),
        ] {
            let path = format!("{path}?wait=10m");
            let began = Instant::now();
            assert_eq!(
                client.get(&path, header).await.status,
                status,
                "{path} {header}"
            );
            assert!(began.elapsed() < PATIENCE);
        }
        let unchanged = client.get(&format!("{path}?wait=20ms"), &held).await;
        assert_eq!(
            (unchanged.status, unchanged.header("etag")),
            (304, Some(&*etag))
        );
        assert_eq!(unchanged.header("preference-applied"), None);

        let prefers = format!("{held}Prefer: respond-async, wait=600\r\n");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{prefers}\r\n");
        client.send(request.as_bytes()).await;
        until("it waits", || waiting(&store.api) == 1).await;
        store.db.lost(Instant::now(), "a change of something else");
        let version = 100 + path.len();
        set(&store, version, path);
        let changed = client.reply(false).await.unwrap();
        assert_eq!(changed.status, 200);
        assert!(changed.text().contains(path));
        assert_eq!(changed.header("preference-applied"), Some("wait=600"));
        assert_eq!(changed.header("vary"), Some("Prefer"));
        assert_eq!(waiting(&store.api), 0);
    }
    for query in [
        "wait=soon",
        "wait",
        "watch=x",
        "watch&wait=5",
        "wait=5&wait=6",
    ] {
        let refused = client.get(&format!("{OBJECT}?{query}"), "").await;
        assert_eq!(refused.status, 400, "{query}");
        refused.problem();
    }
}

#[tokio::test]
async fn a_long_poll_sees_an_object_go() {
    let (served, store) = start(None).await;
    let mut client = Client::connect(served.port).await;
    client.send(LONG_POLL).await;
    until("it waits", || waiting(&store.api) == 1).await;
    store.web.remove(&configmap("web"), "7f1c", "43");
    assert_eq!(client.reply(false).await.unwrap().status, 404);
}

#[tokio::test]
async fn a_stream_tells_each_change_and_the_loss_of_contact() {
    let (served, store) = start(None).await;
    let mut client = Client::connect(served.port).await;
    let etag = client
        .get(OBJECT, "")
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    let mut events = Events::open(served.port, OBJECT, "").await;
    let head = events.head.to_ascii_lowercase();
    for header in [
        "content-type: text/event-stream\r\n",
        "cache-control: no-store\r\n",
        "x-accel-buffering: no\r\n",
    ] {
        assert!(head.contains(header), "{head}");
    }
    let first = events.next().await.unwrap();
    assert_eq!(
        (&*first.name, first.id.as_deref()),
        ("snapshot", Some(&*etag))
    );
    assert_eq!(
        first.data,
        "{\"resourceVersion\":\"42\",\"data\":{\"GREETING\":\"hello\\n\",\"empty\":\"\"},\
         \"binaryData\":{\"logo\":\"AJ+Slg==\"}}"
    );
    // Who has it already hears of the next change alone; and of the state of a Secret that is named.
    let last = format!("Last-Event-ID: {etag}\r\n");
    let mut resumed = Events::open(served.port, OBJECT, &last).await;
    let mut secret = Events::open(served.port, "/kv/default/secret:db/password?watch", "").await;
    assert!(secret.next().await.unwrap().data.contains(SECRET));
    let raw = object(
        configmap("web"),
        "43",
        &[("GREETING", "bye"), ("empty", "")],
    );
    let mut raw = raw;
    raw.binary_data
        .insert("logo".into(), vec![0, 159, 146, 150]);
    store.web.upsert(store.web.freeze(raw));
    let etag = client
        .get(OBJECT, "")
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    for events in [&mut events, &mut resumed] {
        let change = events.next().await.unwrap();
        let data = "{\"key\":\"GREETING\",\"value\":\"bye\",\"resourceVersion\":\"43\"}";
        assert_eq!((&*change.name, &*change.data), ("change", data));
        assert_eq!(change.id.as_deref(), Some(&*etag));
    }
    store.web.lost(Instant::now(), "connection refused");
    let stale = events.next().await.unwrap();
    assert_eq!((&*stale.name, stale.id), ("stale", None));
    assert_eq!(
        stale.data,
        "{\"ageSeconds\":0,\"reason\":\"connection refused\"}"
    );
    store.web.live();
    let fresh = events.next().await.unwrap();
    assert_eq!((&*fresh.name, &*fresh.data), ("fresh", "{}"));

    // The head alone, and the client of old that reads to the end.
    client
        .send(b"HEAD /kv/default/web?watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let head = client.reply(true).await.unwrap();
    assert_eq!(
        (head.status, head.header("content-type")),
        (200, Some("text/event-stream"))
    );
    let mut old = TcpStream::connect((Ipv4Addr::LOCALHOST, served.port))
        .await
        .unwrap();
    old.write_all(b"GET /kv/default/web?watch HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    until("it is open", || store.api.metrics.http_streams.get() == 4).await;
    store.draining.stop();
    let mut text = String::new();
    old.read_to_string(&mut text).await.unwrap();
    assert!(
        text.contains("\r\n\r\nretry: 1000\n\nevent: snapshot\n"),
        "{text}"
    );
    let metrics = client.get("/-/metrics", "").await;
    assert!(
        metrics
            .text()
            .contains("attache_http_stream_events_total 9\n"),
        "{}",
        metrics.text()
    );
}

#[tokio::test]
async fn the_drain_ends_what_waits() {
    let (served, store) = start(None).await;
    let mut events = Events::open(served.port, OBJECT, "").await;
    events.next().await.unwrap();
    let mut client = Client::connect(served.port).await;
    client.send(LONG_POLL).await;
    until("both wait", || waiting(&store.api) == 2).await;
    store.draining.stop();
    assert_eq!(client.reply(false).await.unwrap().status, 304);
    assert_eq!(events.next().await, None);
    // Who comes later is not kept either.
    assert_eq!(
        client
            .get("/kv/default/web?wait=1m", "If-None-Match: *\r\n")
            .await
            .status,
        304
    );
    let mut late = Events::open(served.port, OBJECT, "").await;
    assert_eq!(late.next().await, None);
    served.trigger.stop();
    served.task.await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_makes_room() {
    let (served, store) = start_for(8).await;
    let mut leaving = Vec::new();
    for number in 0..6 {
        let mut client = Client::connect(served.port).await;
        let stream = format!("GET {OBJECT} HTTP/1.1\r\nHost: localhost\r\n{EVENTS}\r\n");
        client
            .send([LONG_POLL, stream.as_bytes()][number % 2])
            .await;
        leaving.push(client);
    }
    until("all wait", || waiting(&store.api) == 6).await;
    let mut client = Client::connect(served.port).await;
    for path in ["/kv/default/web?wait=1m", "/kv/default/web?watch"] {
        let refused = client.get(path, "If-None-Match: *\r\n").await;
        assert_eq!(
            (refused.status, refused.header("retry-after")),
            (503, Some("10"))
        );
        assert!(refused.problem().contains("--max-connections"));
    }
    // Others are served as ever.
    assert_eq!(client.get(OBJECT, "").await.status, 200);
    drop(leaving);
    until("none waits", || waiting(&store.api) == 0).await;
    let brief = client
        .get("/kv/default/web?wait=1ms", "If-None-Match: *\r\n")
        .await;
    assert_eq!(brief.status, 304);
}

#[tokio::test]
async fn what_nobody_watches_is_demanded_and_awaited() {
    let (demander, demands) = channel(4);
    let (served, store) = start(Some(demander)).await;
    let writer = store.writer.clone();
    let (sent, scopes) = std::sync::mpsc::channel();
    let answers = answer_demands(demands, move |demand| {
        let reference = named(&demand);
        if &*reference.name == "forbidden" {
            demand
                .reply
                .send(Err(Unmet::Forbidden("no".into())))
                .unwrap();
            return;
        }
        assert!(demand.awaited, "it may not exist yet");
        let scope = writer.scope(ScopeSpec::on_demand(demand.selects));
        scope.replace(vec![]);
        sent.send(scope).unwrap();
        demand.reply.send(Ok(())).unwrap();
    });
    let mut events = Events::open(served.port, "/kv/other/new", "").await;
    let absent = events.next().await.unwrap();
    assert_eq!(absent.id.as_deref(), Some("\"absent\""));
    assert_eq!(absent.data, "{\"resourceVersion\":null,\"data\":null}");
    let scope = scopes.recv().unwrap();
    assert!(scope.reads().take(), "it counts as read");
    let new = ObjectRef::new(Kind::ConfigMap, "other", "new");
    scope.upsert(scope.freeze(object(new, "5", &[("k", "v")])));
    let created = events.next().await.unwrap();
    assert_eq!(
        (&*created.name, &*created.data),
        (
            "snapshot",
            "{\"resourceVersion\":\"5\",\"data\":{\"k\":\"v\"}}"
        )
    );
    assert!(scope.reads().take());

    let mut client = Client::connect(served.port).await;
    let late = store
        .writer
        .scope(ScopeSpec::declared(Selects::Named(configmap("late"))));
    for (path, status) in [
        ("/kv/other/forbidden", 403),
        ("/kv/default/secret:other", 403),
        ("/kv/default/late", 503),
    ] {
        for query in ["?watch", "/key?watch", "?wait=1m"] {
            let refused = client
                .get(&format!("{path}{query}"), "If-None-Match: *\r\n")
                .await;
            assert_eq!(refused.status, status, "{path}{query}");
            refused.problem();
        }
    }
    drop(late);
    answers.abort();
}

#[tokio::test]
async fn a_slow_consumer_skips_to_the_newest_state() {
    let (served, store) = start_for(64).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket
        .connect((Ipv4Addr::LOCALHOST, served.port).into())
        .await
        .unwrap();
    let mut slow = Events::on(stream, OBJECT, "").await;
    let mut quick = Events::open(served.port, OBJECT, "").await;
    quick.next().await.unwrap();
    let sent = &store.api.metrics.http_stream_events;
    for number in 0..200 {
        set(
            &store,
            100 + number,
            &format!("{number}:{}", "x".repeat(200_000)),
        );
        let change = loop {
            let event = quick.next().await.unwrap();
            if event
                .data
                .contains(&format!("\"GREETING\",\"value\":\"{number}:"))
            {
                break event;
            }
        };
        assert_eq!(change.name, "change");
    }
    // As it was not read from, most was never made for it: 200 states have 40 MB.
    let (mut seen, before) = (0, sent.get());
    let last = loop {
        let event = slow.next().await.unwrap();
        seen += 1;
        if event.data.contains("\"value\":\"199:") {
            break event;
        }
    };
    assert!(seen < 100, "{seen} events");
    assert!(sent.get() - before < 5);
    assert!(last.id.is_some());
}

fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Connects so many times, and asks on each connection.
fn ask_all(port: u16, times: usize, request: &str) -> Vec<Socket> {
    let asked = (0..times).map(|_| {
        let mut socket = Socket::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE * 3)).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        socket
    });
    asked.collect()
}

/// Reads on each connection until `end` came; what was read before stays with the caller.
fn read_all(sockets: &mut [Socket], end: &str) -> usize {
    let mut complete = 0;
    for socket in sockets {
        let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&read).contains(end) {
            match socket.read(&mut buffer) {
                Ok(count) if count > 0 => read.extend_from_slice(&buffer[..count]),
                _ => break,
            }
        }
        complete += usize::from(String::from_utf8_lossy(&read).contains(end));
    }
    complete
}

const MANY: usize = 5_000;

#[tokio::test]
async fn one_change_reaches_thousands_and_each_costs_little() {
    let _alone = QUIET.write().await;
    raise_open_files();
    let (store, limits) = roomy(8192);
    set(&store, 100, "first");
    let served = serve_unguarded(router(&store.api), limits, Meters::default()).await;
    let port = served.port;
    let etag = Client::connect(port).await.get(OBJECT, "").await;
    let etag = etag.header("etag").unwrap().to_owned();
    let poll = format!(
        "GET {OBJECT}?wait=10m HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {etag}\r\n\r\n"
    );
    let stream = format!("GET {OBJECT} HTTP/1.1\r\nHost: localhost\r\n{EVENTS}\r\n");
    let before = resident_bytes();
    for (version, request, wake) in [
        (101, poll, "\r\n\r\n{\"GREETING\":\"101\"}"),
        (102, stream, "\"102\""),
    ] {
        let blocking = tokio::task::spawn_blocking(move || ask_all(port, MANY, &request));
        let mut sockets = blocking.await.unwrap();
        until("all wait", || {
            waiting(&store.api) == i64::try_from(MANY).unwrap()
        })
        .await;
        let each = resident_bytes().saturating_sub(before) / MANY;
        assert!(each <= 24 * 1024, "{each} bytes each");
        set(&store, version, &version.to_string());
        let reading = tokio::task::spawn_blocking(move || {
            let complete = read_all(&mut sockets, wake);
            (sockets, complete)
        });
        let (sockets, complete) = reading.await.unwrap();
        assert_eq!(complete, MANY);
        drop(sockets);
        until("none waits", || waiting(&store.api) == 0).await;
    }
}

/// Follows the object, breaking off and coming back with what it has, until it has the last state.
async fn follow_brokenly(
    port: u16,
    seed: u64,
    mut over: Shutdown,
    end: Arc<str>,
) -> BTreeMap<String, String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut last, mut held) = (String::new(), BTreeMap::new());
    loop {
        let resume = match &*last {
            "" => String::new(),
            last => format!("Last-Event-ID: {last}\r\n"),
        };
        let mut events = Events::open(port, OBJECT, &resume).await;
        for _ in 0..random.usize(1..12) {
            let event = tokio::select! {
                () = over.requested(), if *last == *end => return held,
                event = events.next() => event.unwrap(),
            };
            let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
            match &*event.name {
                "snapshot" => held = serde_json::from_value(data["data"].clone()).unwrap(),
                "change" => {
                    let key = data["key"].as_str().unwrap().to_owned();
                    match data["value"].as_str() {
                        Some(value) => drop(held.insert(key, value.to_owned())),
                        None => drop(held.remove(&key)),
                    }
                }
                other => panic!("{other}"),
            }
            if let Some(id) = event.id {
                last = id;
            }
        }
    }
}

#[tokio::test]
async fn clients_that_break_off_at_random_all_end_on_the_last_state() {
    let (served, store) = start_for(512).await;
    let (done, over) = shutdown_channel();
    let mut random = fastrand::Rng::with_seed(7);
    let mut states = |version: usize| {
        let mut data = Vec::new();
        for key in ["A", "B", "C", "D"] {
            if random.bool() {
                data.push((key, ["0", "1"][random.usize(0..2)]));
            }
        }
        object(configmap("web"), &version.to_string(), &data)
    };
    let changes: Vec<_> = (0..1_000).map(|n| states(100 + n)).collect();
    // Known beforehand, so that clients know when they are done.
    let last = changes.last().unwrap().clone();
    let end: Arc<str> = store
        .web
        .freeze(last.clone())
        .content()
        .etag()
        .as_str()
        .into();
    set(&store, 99, "begin");
    let clients: Vec<_> = (0..200)
        .map(|seed| {
            tokio::spawn(follow_brokenly(
                served.port,
                seed,
                over.clone(),
                Arc::clone(&end),
            ))
        })
        .collect();
    for raw in changes {
        store.web.upsert(store.web.freeze(raw));
        tokio::task::yield_now().await;
    }
    done.stop();
    for client in clients {
        let held = tokio::time::timeout(PATIENCE * 3, client)
            .await
            .expect("in time");
        assert_eq!(held.unwrap(), last.data);
    }
}
