use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use prometheus_client::metrics::counter::Counter;
use tokio::time::advance;

use super::*;
use crate::shutdown::{self, Shutdown, Trigger};
use crate::store::{Kind, ObjectRef, ScopeSpec, ScopeWriter, Selects, Writer, new};

fn mode(query: &str, headers: &[(&str, &str)]) -> Result<Mode, StatusCode> {
    let mut request = Request::get("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let query = Query::parse(Some(query), &["wait", "watch"]).unwrap();
    Mode::of(&head, &query).map_err(|refusal| refusal.status())
}

fn wait(seconds: u64, preferred: bool) -> Result<Mode, StatusCode> {
    let most = Duration::from_secs(seconds);
    Ok(Mode::Wait(Wait { most, preferred }))
}

#[test]
fn parameters_outrank_headers() {
    let held = ("if-none-match", "\"a\"");
    let prefer = ("prefer", "wait=7");
    let events = ("accept", "text/event-stream");
    let bad = Err(StatusCode::BAD_REQUEST);
    for (query, headers, expected) in [
        ("", &[][..], Ok(Mode::Once)),
        ("", &[held, ("accept", "*/*")], Ok(Mode::Once)),
        ("wait=60s", &[held], wait(60, false)),
        ("wait=60", &[held, prefer, events], wait(60, false)),
        ("wait=1h", &[held], wait(600, false)),
        ("", &[held, prefer], wait(7, true)),
        ("", &[held, ("prefer", "wait=86400")], wait(600, true)),
        // Who has nothing waits for nothing.
        ("wait=60s", &[], Ok(Mode::Once)),
        ("", &[prefer], Ok(Mode::Once)),
        ("wait=soon", &[], bad),
        ("", &[held, ("prefer", "wait=soon")], Ok(Mode::Once)),
        ("", &[events], Ok(Mode::Stream)),
        ("", &[events, held, prefer], Ok(Mode::Stream)),
        ("watch", &[held], Ok(Mode::Stream)),
        ("watch=1", &[prefer], Ok(Mode::Stream)),
        ("watch=false", &[events], Ok(Mode::Once)),
        ("watch=0&wait=5", &[held], wait(5, false)),
        ("watch&wait=5", &[held], bad),
        ("watch=maybe", &[], bad),
    ] {
        assert_eq!(mode(query, headers), expected, "{query} {headers:?}");
    }
}

#[test]
fn three_of_four_may_wait_and_leave_their_room_behind() {
    let (waiting, gauge) = (Waiting::new(8), Gauge::default());
    let peer = Peer::default();
    let mut waiters: Vec<_> = (0..6)
        .map(|_| {
            waiting
                .enter(&gauge, &peer)
                .unwrap_or_else(|_| panic!("no room"))
        })
        .collect();
    assert_eq!(gauge.get(), 6);
    let refusal = waiting.enter(&gauge, &peer).err().unwrap();
    assert_eq!(refusal.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refusal.headers()["retry-after"], "10");
    waiters.pop();
    assert!(waiting.clone().enter(&gauge, &peer).is_ok());
    drop(waiters);
    assert_eq!(gauge.get(), 0);
    assert!(Waiting::new(1).enter(&gauge, &peer).is_ok());
}

/// A state whose head and entries are chosen freely.
struct Fake {
    etag: ETag,
    head: Option<ETag>,
    tags: Arc<Tags>,
}

impl State for Fake {
    fn etag(&self) -> &ETag {
        &self.etag
    }

    fn head(&self) -> Option<&ETag> {
        self.head.as_ref()
    }

    fn tags(&self) -> Arc<Tags> {
        Arc::clone(&self.tags)
    }

    fn snapshot(&self) -> Bytes {
        "\"all\"".into()
    }

    fn change(&self, key: &str) -> Bytes {
        format!("{key:?}").into()
    }
}

fn tag(text: &str) -> ETag {
    ETag::of_bytes(text.as_bytes())
}

/// A scope that is in contact or not, and how often its subject was asked for.
struct Scene {
    scope: ScopeWriter,
    reader: Reader,
    trigger: Trigger,
    drain: Shutdown,
    asked: Arc<AtomicUsize>,
    _writer: Writer,
}

// === impl Scene ===

impl Scene {
    fn new() -> Self {
        let (writer, reader) = new(1 << 20);
        let reference = ObjectRef::new(Kind::ConfigMap, "default", "web");
        let scope = writer.scope(ScopeSpec::declared(Selects::Named(reference)));
        let (trigger, drain) = shutdown::channel();
        Self {
            scope,
            reader,
            trigger,
            drain,
            asked: Arc::default(),
            _writer: writer,
        }
    }

    /// Shows the text of `of`, such as `head a=1 b=2`, as a state; nothing while it is empty.
    fn events(&self, of: &Arc<std::sync::Mutex<&'static str>>, last: Option<&[u8]>) -> Events {
        let (of, asked) = (Arc::clone(of), Arc::clone(&self.asked));
        let subject: Subject = Box::new(move |snapshot| {
            asked.fetch_add(1, Ordering::Relaxed);
            let text = *of.lock().unwrap();
            let mut words = text.split_whitespace();
            let state = words.next().map(|head| -> Box<dyn State> {
                let entries = words.map(|entry| entry.split_once('=').unwrap());
                let tags = entries.map(|(key, value)| (key.into(), tag(value)));
                Box::new(Fake {
                    etag: tag(text),
                    head: Some(tag(head)),
                    tags: Arc::new(tags.collect()),
                })
            });
            let contact = snapshot.scopes()[0].contact().clone();
            Moment { state, contact }
        });
        let (reader, drain) = (self.reader.clone(), self.drain.clone());
        Events::new(reader, subject, drain, Counter::default(), last)
    }
}

async fn text(events: &mut Events) -> String {
    String::from_utf8(events.next().await.unwrap().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_head_or_of_existence_is_a_snapshot() {
    let scene = Scene::new();
    scene.scope.replace(vec![]);
    let of = Arc::new(std::sync::Mutex::new("h a=1 b=1"));
    let mut events = scene.events(&of, None);
    let snapshot = |text: &str| {
        let id = tag(text);
        format!("event: snapshot\nid: {}\ndata: \"all\"\n\n", id.as_str())
    };
    let first = text(&mut events).await;
    assert_eq!(first, format!("retry: 1000\n\n{}", snapshot("h a=1 b=1")));
    let absent =
        "event: snapshot\nid: \"absent\"\ndata: {\"resourceVersion\":null,\"data\":null}\n\n";
    for (next, expected) in [
        ("h2 a=1 b=1", snapshot("h2 a=1 b=1")),
        (
            "h2 b=2 c=1",
            format!(
                "event: change\nid:\ndata: \"b\"\n\nevent: change\nid:\ndata: \"c\"\n\n\
                 event: change\nid: {}\ndata: \"a\"\n\n",
                tag("h2 b=2 c=1").as_str()
            ),
        ),
        ("", absent.into()),
        ("h2", snapshot("h2")),
    ] {
        *of.lock().unwrap() = next;
        assert_eq!(text(&mut events).await, expected, "{next}");
    }
}

#[tokio::test(start_paused = true)]
async fn says_each_15_s_that_it_is_alive_and_reads_on() {
    let scene = Scene::new();
    scene.scope.replace(vec![]);
    let of = Arc::new(std::sync::Mutex::new("h a=1"));
    let id = tag("h a=1");
    // The client has that state: nothing but the head of the stream.
    let mut events = scene.events(&of, Some(id.as_bytes()));
    assert_eq!(text(&mut events).await, "retry: 1000\n\n");
    for _ in 0..3 {
        let (asked, began) = (scene.asked.load(Ordering::Relaxed), Instant::now());
        assert_eq!(text(&mut events).await, ":\n\n");
        assert_eq!(began.elapsed(), KEEP_ALIVE);
        assert!(scene.asked.load(Ordering::Relaxed) > asked);
    }
    // A client that was slow for long gets one comment, not all of them.
    advance(KEEP_ALIVE * 10).await;
    assert_eq!(text(&mut events).await, ":\n\n");
    let began = Instant::now();
    assert_eq!(text(&mut events).await, ":\n\n");
    assert_eq!(began.elapsed(), KEEP_ALIVE);
}

#[tokio::test(start_paused = true)]
async fn contact_is_told_once_and_its_lack_of_knowledge_ends_the_stream() {
    let scene = Scene::new();
    scene.scope.replace(vec![]);
    let since = std::time::Instant::now();
    scene.scope.lost(since, "connection\nrefused");
    let of = Arc::new(std::sync::Mutex::new("h a=1"));
    let mut events = scene.events(&of, Some(tag("h a=1").as_bytes()));
    let stale = "event: stale\ndata: {\"ageSeconds\":0,\"reason\":\"connection\\nrefused\"}\n\n";
    assert_eq!(text(&mut events).await, format!("retry: 1000\n\n{stale}"));
    scene.scope.lost(since, "another reason");
    assert_eq!(text(&mut events).await, ":\n\n");
    scene.scope.live();
    assert_eq!(text(&mut events).await, "event: fresh\ndata: {}\n\n");
    scene.trigger.stop();
    assert!(events.next().await.is_none());

    let unread = Scene::new();
    assert!(unread.events(&of, None).next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_with_its_wait_a_change_or_the_drain() {
    let scene = Scene::new();
    scene.scope.replace(vec![]);
    let api = Api::over(scene.reader.clone(), scene.drain.clone());
    let status = Arc::new(std::sync::Mutex::new(StatusCode::NOT_MODIFIED));
    let asked = AtomicUsize::new(0);
    let answer = || {
        asked.fetch_add(1, Ordering::Relaxed);
        let mut answer = super::super::whole("");
        *answer.status_mut() = *status.lock().unwrap();
        answer
    };
    let wait = |seconds, preferred| Wait {
        most: Duration::from_secs(seconds),
        preferred,
    };
    let peer = Peer::default();
    let poll = |wait| api.long_poll(api.reader.clone(), wait, &peer, &answer);
    let began = Instant::now();
    let answered = poll(wait(600, true)).await;
    assert_eq!(answered.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(answered.headers()["preference-applied"], "wait=600");
    assert_eq!(answered.headers()["vary"], "Prefer");
    assert_eq!(began.elapsed(), Duration::from_secs(600));
    assert!(asked.load(Ordering::Relaxed) >= 10, "it counts as read");

    let began = Instant::now();
    assert_eq!(
        poll(wait(0, false)).await.status(),
        StatusCode::NOT_MODIFIED
    );
    assert_eq!(began.elapsed(), Duration::ZERO);
    let change = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        // A change of something else, then one that concerns it.
        scene.scope.lost(std::time::Instant::now(), "elsewhere");
        tokio::time::sleep(Duration::from_secs(5)).await;
        *status.lock().unwrap() = StatusCode::OK;
        scene.scope.live();
        assert_eq!(api.metrics.http_long_polls.get(), 1);
    };
    let (answered, ()) = tokio::join!(poll(wait(60, false)), change);
    assert_eq!(answered.status(), StatusCode::OK);
    assert!(answered.headers().get("preference-applied").is_none());
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    assert_eq!(api.metrics.http_long_polls.get(), 0);

    *status.lock().unwrap() = StatusCode::NOT_MODIFIED;
    let stop = async { scene.trigger.stop() };
    let (answered, ()) = tokio::join!(poll(wait(60, false)), stop);
    assert_eq!(answered.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}
