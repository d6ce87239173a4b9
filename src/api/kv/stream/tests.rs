use futures_util::FutureExt as _;
use http::Request;
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value as Json, json};

use super::super::PARAMETERS;
use super::*;
use crate::api::Api;
use crate::api::push::Waiting;
use crate::api::query::Query;
use crate::http::Body;
use crate::shutdown;
use crate::store::demand;
use crate::store::{
    Kind, ObjectRef, RawObject, Reader, ScopeSpec, ScopeWriter, Selects, Writer, new,
};

fn reference() -> ObjectRef {
    ObjectRef::new(Kind::ConfigMap, "default", "web")
}

/// Values are text, or binary where they begin with `!`.
fn raw(version: &str, data: &[(&str, &str)]) -> RawObject {
    let mut raw = RawObject::empty(reference());
    raw.resource_version = version.into();
    raw.uid = "7f1c".into();
    for (key, value) in data {
        match value.strip_prefix('!') {
            Some(bytes) => drop(raw.binary_data.insert((*key).into(), bytes.into())),
            None => drop(raw.data.insert((*key).into(), (*value).into())),
        }
    }
    raw
}

struct Scene {
    api: Api,
    scope: ScopeWriter,
    reader: Reader,
    _stop: shutdown::Trigger,
    _writer: Writer,
}

impl Scene {
    fn new() -> Self {
        let (writer, reader) = new(1 << 20);
        let scope = writer.scope(ScopeSpec::declared(Selects::Named(reference())));
        scope.replace(vec![]);
        let (stop, drain) = shutdown::channel();
        Self {
            api: Api {
                waiting: Waiting::new(8),
                ..Api::over(reader.clone(), drain)
            },
            scope,
            reader,
            _stop: stop,
            _writer: writer,
        }
    }

    fn set(&self, data: Option<&[(&str, &str)]>) {
        let version = self.reader.snapshot().version().to_string();
        let object = data.map(|data| self.scope.freeze(raw(&version, data)));
        self.scope.replace(object.into_iter().collect());
    }

    fn open(&self, key: Option<&'static str>, last: &str) -> Body {
        let mut request = Request::get("/");
        if !last.is_empty() {
            request = request.header("last-event-id", last);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let target = Target::parse("default", "web", key).unwrap();
        let peer = Peer::default();
        let answer = self.api.followed(&target, &head, &peer).now_or_never();
        let answer = answer.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        answer.into_body()
    }
}

/// What is to be sent now; `None` if that is nothing.
fn pull(body: &mut Body) -> Option<String> {
    let frame = body.frame().now_or_never()?.unwrap().unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

/// A client after WHATWG HTML, section 9.2.6, that keeps what the events say.
#[derive(Default)]
struct Client {
    last: String,
    /// What it holds: the data of an object, or the value of a key.
    held: Option<Json>,
}

impl Client {
    /// Takes one event, without its empty line.
    fn take(&mut self, event: &str) -> Option<(String, Json)> {
        let (mut name, mut data) = (String::new(), None);
        for line in event.lines() {
            let (field, value) = line.split_once(':').unwrap();
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => name = value.into(),
                "id" => self.last = value.into(),
                "data" => {
                    assert!(data.is_none(), "data is one line");
                    data = Some(serde_json::from_str::<Json>(value).unwrap());
                }
                "" | "retry" => {}
                other => panic!("{other} is no field"),
            }
        }
        let data = data?;
        self.apply(&name, &data);
        Some((name, data))
    }

    fn apply(&mut self, name: &str, data: &Json) {
        let value = |data: &Json| match &data["encoding"] {
            Json::Null => data["value"].clone(),
            _ => json!({ "base64": data["value"] }),
        };
        let of_object =
            data.get("data").is_some() || self.held.as_ref().is_some_and(Json::is_object);
        match name {
            "stale" | "fresh" => {}
            "snapshot" if data.get("data").is_some() => {
                let mut held = data["data"].clone();
                for (key, bytes) in data["binaryData"].as_object().into_iter().flatten() {
                    held[key] = json!({ "base64": bytes });
                }
                self.held = Some(held);
            }
            "change" if of_object => {
                let held = self.held.as_mut().unwrap().as_object_mut().unwrap();
                let key = data["key"].as_str().unwrap().to_owned();
                match value(data) {
                    Json::Null => drop(held.remove(&key).expect("there was one")),
                    value => drop(held.insert(key, value)),
                }
            }
            "snapshot" | "change" => self.held = Some(json!([value(data)])),
            other => panic!("{other} is no event"),
        }
    }
}

/// What a client should hold while the object has that data.
fn expected(data: Option<&[(&str, &str)]>, key: Option<&str>) -> Json {
    let value = |value: &str| match value.strip_prefix('!') {
        Some(bytes) => json!({ "base64": STANDARD.encode(bytes) }),
        None => json!(value),
    };
    match (key, data) {
        (Some(key), data) => {
            let found = data.into_iter().flatten().find(|(k, _)| *k == key);
            json!([found.map(|(_, v)| value(v))])
        }
        (None, None) => Json::Null,
        (None, Some(data)) => data
            .iter()
            .map(|(k, v)| ((*k).to_owned(), value(v)))
            .collect(),
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_is_sent_whole_then_key_by_key() {
    let scene = Scene::new();
    let mut body = scene.open(None, "");
    let absent = pull(&mut body).unwrap();
    assert_eq!(
        absent,
        "retry: 1000\n\nevent: snapshot\nid: \"absent\"\n\
         data: {\"resourceVersion\":null,\"data\":null}\n\n"
    );
    scene.set(Some(&[("A", "one\r\ntwo"), ("B", "!\u{1}\u{2}")]));
    let version = scene
        .reader
        .snapshot()
        .get(&reference())
        .unwrap()
        .resource_version()
        .to_owned();
    let snapshot = pull(&mut body).unwrap();
    let data = format!(
        "data: {{\"resourceVersion\":\"{version}\",\"data\":{{\"A\":\"one\\r\\ntwo\"}},\
         \"binaryData\":{{\"B\":\"AQI=\"}}}}\n\n"
    );
    assert!(snapshot.ends_with(&data), "{snapshot}");
    assert_eq!(pull(&mut body), None);
    // Nothing but metadata.
    scene.set(Some(&[("A", "one\r\ntwo"), ("B", "!\u{1}\u{2}")]));
    assert_eq!(pull(&mut body), None);
    scene.set(Some(&[("A", "three"), ("C", "!x")]));
    let object = Arc::clone(scene.reader.snapshot().get(&reference()).unwrap());
    let (version, id) = (object.resource_version(), object.content().etag().as_str());
    assert_eq!(
        pull(&mut body).unwrap(),
        format!(
            "event: change\nid:\ndata: {{\"key\":\"A\",\"value\":\"three\",\"resourceVersion\":\"{version}\"}}\n\n\
             event: change\nid:\ndata: {{\"key\":\"C\",\"value\":\"eA==\",\"encoding\":\"base64\",\"resourceVersion\":\"{version}\"}}\n\n\
             event: change\nid: {id}\ndata: {{\"key\":\"B\",\"value\":null,\"resourceVersion\":\"{version}\"}}\n\n"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_comes_and_goes() {
    let scene = Scene::new();
    let mut body = scene.open(Some("A"), "");
    let absent = pull(&mut body).unwrap();
    assert_eq!(
        absent,
        "retry: 1000\n\nevent: snapshot\nid: \"absent\"\n\
         data: {\"key\":\"A\",\"value\":null,\"resourceVersion\":null}\n\n"
    );
    scene.set(Some(&[("B", "1")]));
    assert_eq!(pull(&mut body), None, "it concerns another key");
    scene.set(Some(&[("A", "1")]));
    let object = Arc::clone(scene.reader.snapshot().get(&reference()).unwrap());
    let (version, id) = (
        object.resource_version(),
        &object.content().get("A").unwrap().etag,
    );
    let came = pull(&mut body).unwrap();
    let id = id.as_str();
    assert_eq!(
        came,
        format!(
            "event: change\nid: {id}\ndata: {{\"key\":\"A\",\"value\":\"1\",\"resourceVersion\":\"{version}\"}}\n\n"
        )
    );
    scene.set(None);
    assert_eq!(
        pull(&mut body).unwrap(),
        "event: change\nid: \"absent\"\ndata: {\"key\":\"A\",\"value\":null,\"resourceVersion\":null}\n\n"
    );
    let mut resumed = scene.open(Some("A"), "\"absent\"");
    assert_eq!(pull(&mut resumed).unwrap(), "retry: 1000\n\n");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_held_any_more_ends_the_stream() {
    let scene = Scene::new();
    scene.set(Some(&[("A", "1")]));
    let mut body = scene.open(None, "");
    assert!(pull(&mut body).is_some());
    drop(scene.scope);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_secret_that_a_directory_does_not_serve_is_refused_rather_than_awaited() {
    let (writer, reader) = new(1 << 20);
    let secret = |name| ObjectRef::new(Kind::Secret, "default", name);
    let mut spec = ScopeSpec::declared(Selects::Directory("/etc/config".into()));
    spec.named = Arc::new([secret("named")].into());
    let scope = writer.scope(spec);
    scope.replace(vec![]);
    let (_stop, drain) = shutdown::channel();
    let api = Api::over(reader, drain);
    let (head, ()) = Request::get("/").body(()).unwrap().into_parts();
    for (name, status) in [("secret:unnamed", 404), ("secret:named", 200), ("web", 200)] {
        let target = Target::parse("default", name, None).unwrap();
        let answer = api.followed(&target, &head, &Peer::default()).await;
        assert_eq!(answer.status(), status, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_what_leaves_its_selector_is_told_as_who_reads() {
    let (writer, reader) = new(1 << 20);
    let scope = writer.scope(ScopeSpec::declared(Selects::Selector {
        kind: Kind::ConfigMap,
        namespace: None,
        labels: "app=web".into(),
    }));
    scope.replace(vec![scope.freeze(raw("1", &[("A", "1")]))]);
    let (_stop, drain) = shutdown::channel();
    let api = Api::over(reader, drain);
    let request = Request::get("/").header("if-none-match", "*");
    let (head, ()) = request.body(()).unwrap().into_parts();
    let (target, peer) = (
        Target::parse("default", "web", None).unwrap(),
        Peer::default(),
    );
    let ask = async |query| {
        let query = Query::parse(query, PARAMETERS).unwrap();
        api.kv(&target, &query, &head, &peer).await.status()
    };
    let leave = async { scope.replace(vec![]) };
    let (waited, ()) = tokio::join!(ask(Some("wait=60")), leave);
    assert_eq!(waited, ask(None).await);
}

#[tokio::test(start_paused = true)]
async fn what_another_fetched_in_vain_is_awaited_before_it_is_followed() {
    let (writer, reader) = new(1 << 20);
    // Its reader did not await it: the source is about to let go of it.
    let unawaited = writer.scope(ScopeSpec::on_demand(Selects::Named(reference())));
    unawaited.replace(vec![]);
    let (demander, mut demands) = demand::channel(1);
    let (_stop, drain) = shutdown::channel();
    let api = Api {
        demander: Some(demander),
        ..Api::over(reader, drain)
    };
    let (head, ()) = Request::get("/").body(()).unwrap().into_parts();
    let (target, peer) = (
        Target::parse("default", "web", None).unwrap(),
        Peer::default(),
    );
    let source = async {
        let demand = demands.recv().await.unwrap();
        assert!(demand.awaited);
        drop(unawaited);
        let awaited = writer.scope(ScopeSpec::on_demand(demand.selects));
        awaited.replace(vec![]);
        demand.reply.send(Ok(())).unwrap();
        awaited
    };
    let both = async { tokio::join!(api.followed(&target, &head, &peer), source) };
    let both = tokio::time::timeout(std::time::Duration::from_secs(10), both).await;
    let (answer, awaited) = both.expect("it is asked for");
    let mut body = answer.into_body();
    assert!(pull(&mut body).unwrap().contains("\"absent\""));
    awaited.replace(vec![awaited.freeze(raw("7", &[("A", "1")]))]);
    assert!(pull(&mut body).unwrap().contains("\"data\":{\"A\":\"1\"}"));
}

#[derive(Debug, Clone)]
enum Step {
    /// The object has this data now, or does not exist.
    Set(Option<Vec<(&'static str, &'static str)>>),
    Lose,
    Regain,
    /// There is room for a frame. The connection breaks off after so many of its events, if it has more.
    Pull(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few values, so that earlier states come back.
    let value = prop::sample::select(vec!["0", "1", "!1", "\n"]);
    let key = prop::sample::select(vec!["A", "B", "C"]);
    let data = prop::collection::btree_map(key, value, 0..3).prop_map(|d| d.into_iter().collect());
    let step = prop_oneof![
        6 => prop::option::weighted(0.8, data).prop_map(Step::Set),
        1 => Just(Step::Lose),
        1 => Just(Step::Regain),
        6 => (0..6_usize).prop_map(Step::Pull),
    ];
    prop::collection::vec(step, 1..40)
}

/// Every client ends on the last state, wherever it broke off; and while it has an id, it has what that is
/// the id of.
fn follow(steps: &[Step], key: Option<&'static str>) {
    let scene = Scene::new();
    let id = || {
        let snapshot = scene.reader.snapshot();
        let (subject, target) = (subject, Target::parse("default", "web", key).unwrap());
        let moment = subject(&target)(&snapshot);
        let etag = moment
            .state
            .map_or_else(ETag::absent, |state| state.etag().clone());
        etag.as_str().to_owned()
    };
    let mut present: Option<Vec<_>> = None;
    let mut states = BTreeMap::from([(id(), expected(None, key))]);
    let (mut client, mut body) = (Client::default(), scene.open(key, ""));
    for step in steps
        .iter()
        .chain([&Step::Pull(usize::MAX), &Step::Pull(usize::MAX)])
    {
        match step {
            Step::Set(data) => {
                present.clone_from(data);
                scene.set(data.as_deref());
                states.insert(id(), expected(data.as_deref(), key));
            }
            Step::Lose => scene.scope.lost(std::time::Instant::now(), "down"),
            Step::Regain => scene.scope.live(),
            Step::Pull(most) => {
                let Some(frame) = pull(&mut body) else {
                    continue;
                };
                let events: Vec<&str> = frame.split_terminator("\n\n").collect();
                for event in events.iter().take(*most) {
                    client.take(event);
                    if !client.last.is_empty() {
                        assert_eq!(client.held.as_ref(), Some(&states[&client.last]));
                    }
                }
                if *most < events.len() {
                    body = scene.open(key, &client.last);
                }
            }
        }
    }
    assert_eq!(client.held, Some(expected(present.as_deref(), key)));
    assert_eq!(client.last, id());
}

#[test]
fn every_client_ends_on_the_last_state() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 500,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&(steps(), any::<bool>()), |(steps, of_key)| {
        runtime.block_on(async { follow(&steps, of_key.then_some("A")) });
        Ok(())
    });
    outcome.unwrap();
}
