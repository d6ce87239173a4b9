use std::time::{Duration, Instant};

use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::*;
use crate::shutdown;
use crate::store::demand::{self, Unmet};
use crate::store::discovered::{Endpoint, EndpointPort, EndpointSlice, Service};
use crate::store::{
    self, Discovered, Object, ObjectRef, RawObject, ScopeSpec, ScopeWriter, Writer,
};

/// Services and EndpointSlices of namespace `default`.
struct Cluster {
    writer: Writer,
    services: ScopeWriter,
    slices: ScopeWriter,
    api: Api,
    _trigger: shutdown::Trigger,
}

fn all(kind: Kind) -> Selects {
    let namespace = "default".into();
    Selects::Namespace { kind, namespace }
}

fn api(discovery: Option<Discovery>) -> (Api, shutdown::Trigger) {
    let (trigger, drain) = shutdown::channel();
    let (_, reader) = store::new(1 << 20);
    let api = Api {
        discovery,
        waiting: push::Waiting::new(64),
        ..Api::over(reader, drain)
    };
    (api, trigger)
}

/// Nothing is read yet.
fn silent(spec: fn(Selects) -> ScopeSpec, max_bytes: usize) -> Cluster {
    let (writer, reader) = store::new(max_bytes);
    let services = writer.scope(spec(all(Kind::Service)));
    let slices = writer.scope(spec(all(Kind::EndpointSlice)));
    let (api, trigger) = api(Some(Discovery::new(reader, None)));
    Cluster {
        writer,
        services,
        slices,
        api,
        _trigger: trigger,
    }
}

/// Service `web` with one endpoint.
fn cluster() -> Cluster {
    let cluster = silent(ScopeSpec::on_demand, 1 << 20);
    cluster.services.replace(vec![web("1", "10.0.0.1")]);
    let slice = slice("1", "web", &["10.1.0.7"]);
    cluster.slices.replace(vec![slice]);
    cluster
}

fn object(kind: Kind, name: &str, version: &str, discovered: Discovered) -> Arc<Object> {
    let mut raw = RawObject::empty(ObjectRef::new(kind, "default", name));
    raw.uid = name.into();
    raw.resource_version = version.into();
    raw.discovered = Some(Box::new(discovered));
    Object::freeze(raw, None)
}

fn web(version: &str, cluster_ip: &str) -> Arc<Object> {
    let service = Service {
        service_type: "ClusterIP".into(),
        cluster_ip: cluster_ip.into(),
        ..Service::default()
    };
    object(Kind::Service, "web", version, Discovered::Service(service))
}

fn slice(version: &str, service: &str, addresses: &[&str]) -> Arc<Object> {
    let endpoints = addresses.iter().map(|address| Endpoint {
        addresses: vec![(*address).into()],
        ready: true,
        serving: true,
        ..Endpoint::default()
    });
    let slice = EndpointSlice {
        service: service.into(),
        ports: vec![EndpointPort {
            name: "http".into(),
            port: Some(8080),
        }],
        endpoints: endpoints.collect(),
    };
    let name = format!("{service}-a");
    object(
        Kind::EndpointSlice,
        &name,
        version,
        Discovered::EndpointSlice(slice),
    )
}

/// The answer, with the body read as JSON; null of an empty one.
async fn get(api: &Api, path: &str, headers: &[(http::HeaderName, &str)]) -> Response<Value> {
    let (head, body) = asked(api, path, headers).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Response::from_parts(head, serde_json::from_slice(&body).unwrap_or_default())
}

async fn asked(api: &Api, path: &str, headers: &[(http::HeaderName, &str)]) -> Answer {
    let mut request = Request::get(format!("/discover/{path}"));
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let head = request.body(()).unwrap().into_parts().0;
    let (path, query) = path
        .split_once('?')
        .map_or((path, None), |(p, q)| (p, Some(q)));
    let (namespace, service) = path
        .split_once('/')
        .map_or((path, None), |(n, s)| (n, Some(s)));
    let query = Query::parse(query, OF_SERVICE).unwrap();
    let peer = Peer::default();
    api.discover(namespace, service, &query, &head, &peer).await
}

/// The next events of a stream: type, data and id.
async fn events(stream: &mut Answer) -> Vec<(String, Value, String)> {
    assert_eq!(stream.status(), StatusCode::OK);
    loop {
        let frame = stream.frame().await.expect("the stream goes on").unwrap();
        let frame = frame.into_data().unwrap();
        let events = std::str::from_utf8(&frame).unwrap().split("\n\n");
        let events = events.filter(|event| event.starts_with("event:"));
        let events = events.map(|event| {
            let field = |name: &str| {
                let mut lines = event.lines();
                let line = lines.find_map(|line| line.strip_prefix(name));
                line.map(|line| line.trim_start().to_owned())
            };
            let data = serde_json::from_str(&field("data:").unwrap()).unwrap();
            (
                field("event:").unwrap(),
                data,
                field("id:").unwrap_or_default(),
            )
        });
        let events: Vec<_> = events.collect();
        if !events.is_empty() {
            return events;
        }
    }
}

async fn refused(api: &Api, path: &str) -> (u16, String) {
    let answer = get(api, path, &[]).await;
    let detail = answer.body()["detail"].as_str().unwrap().to_owned();
    (answer.status().as_u16(), detail)
}

#[tokio::test]
async fn a_view_is_json_with_a_tag_and_no_version() {
    let cluster = cluster();
    for (path, body) in [
        ("default", json!({"web": "10.0.0.1"})),
        (
            "default/web?ready=true",
            json!({"name": "web", "namespace": "default", "type": "ClusterIP",
                "clusterIP": "10.0.0.1", "ports": [], "endpoints": [{"address": "10.1.0.7",
                "ports": {"http": 8080}, "ready": true, "serving": true, "terminating": false}]}),
        ),
    ] {
        let full = get(&cluster.api, path, &[]).await;
        assert_eq!((full.status(), full.body()), (StatusCode::OK, &body));
        let etag = full.headers()[ETAG].to_str().unwrap();
        for (header, value) in [
            ("content-type", "application/json"),
            ("cache-control", "no-cache"),
            ("cache-status", "attache; hit"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(full.headers()[header], value);
        }
        for none in ["x-resource-version", "age"] {
            assert!(!full.headers().contains_key(none), "{none}");
        }
        let held = get(&cluster.api, path, &[(IF_NONE_MATCH, etag)]).await;
        assert_eq!(held.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(held.headers()[ETAG], etag);
        assert_eq!(held.headers()[CACHE_CONTROL], "no-cache");
        assert!(!held.headers().contains_key(CONTENT_TYPE) && held.body().is_null());
    }
    let (status, detail) = refused(&cluster.api, "default/none").await;
    assert_eq!(status, 404);
    assert!(
        detail.contains("Service default/none does not exist"),
        "{detail}"
    );
}

#[tokio::test]
async fn either_scope_out_of_contact_gives_the_age() {
    let cluster = cluster();
    let ago = |seconds| {
        Instant::now()
            .checked_sub(Duration::from_secs(seconds))
            .unwrap()
    };
    cluster.slices.lost(ago(100), "away");
    let age = async |path| {
        let answer = get(&cluster.api, path, &[]).await;
        let age = answer.headers().get(AGE);
        age.map(|age| age.to_str().unwrap().parse::<u64>().unwrap())
    };
    assert_eq!(age("default").await, None, "it is made of Services alone");
    assert!(age("default/web").await.unwrap() >= 100);
    cluster.services.lost(ago(200), "away, too");
    assert!(age("default/web").await.unwrap() >= 200);
    assert!(age("default").await.unwrap() >= 200);
}

#[tokio::test]
async fn reads_keep_both_scopes() {
    let cluster = cluster();
    let (services, slices) = (cluster.services.reads(), cluster.slices.reads());
    let taken = || (services.take(), slices.take());
    taken();
    get(&cluster.api, "default", &[]).await;
    assert_eq!(taken(), (true, false));
    get(&cluster.api, "default/web", &[]).await;
    assert_eq!(taken(), (true, true));
    let discovery = cluster.api.discovery.as_ref().unwrap();
    let query = Query::default();
    let target = Target::parse("default", Some("web"), &query).unwrap();
    let subject = discovery.subject(Arc::new(target));
    let moment = subject(&discovery.reader.snapshot());
    assert_eq!(taken(), (true, true));
    assert!(matches!(moment.contact, Contact::Live));
    let state = moment.state.unwrap();
    assert_eq!(
        state.tags().keys().collect::<Vec<_>>(),
        [&Box::from("10.1.0.7")]
    );
    assert!(state.head().is_some());
    let plain = get(&cluster.api, "default/web", &[]).await;
    assert_eq!(
        plain.headers()[ETAG],
        state.etag().as_str(),
        "as a plain GET gives it"
    );
    let snapshot: Value = serde_json::from_slice(&state.snapshot()).unwrap();
    assert_eq!(snapshot["service"], *plain.body());
    cluster.services.replace(vec![]);
    assert!(subject(&discovery.reader.snapshot()).state.is_none());
    drop(cluster.slices);
    let moment = subject(&discovery.reader.snapshot());
    assert!(
        matches!(moment.contact, Contact::Never { .. }),
        "nobody watches it"
    );
}

#[tokio::test]
async fn what_is_not_read_yet_or_cannot_be_says_so() {
    let cluster = silent(ScopeSpec::declared, 1 << 20);
    for path in ["default", "default/web"] {
        let answer = get(&cluster.api, path, &[]).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()[RETRY_AFTER], "1");
    }
    cluster.services.replace(vec![web("1", "10.0.0.1")]);
    cluster.slices.served(false);
    cluster
        .slices
        .lost(Instant::now(), "the words of the server");
    let (status, detail) = refused(&cluster.api, "default/web").await;
    assert_eq!(status, 501, "{detail}");
    for part in ["discovery.k8s.io/v1", "the words of the server", "upgrade"] {
        assert!(detail.contains(part), "{detail}");
    }
    assert_eq!(
        get(&cluster.api, "default", &[]).await.status(),
        200,
        "the map still works"
    );
    cluster.slices.served(true);
    assert_eq!(refused(&cluster.api, "default/web").await.0, 503);
    let (status, detail) = refused(&cluster.api, "elsewhere").await;
    assert_eq!(status, 404);
    assert!(detail.contains("--discover elsewhere"), "{detail}");
    let (api, _trigger) = api(None);
    let (status, detail) = refused(&api, "default").await;
    assert_eq!(status, 404);
    assert!(detail.contains("discovery needs an API server"), "{detail}");
}

#[tokio::test]
async fn what_does_not_fit_is_not_left_out_in_silence() {
    let cluster = silent(ScopeSpec::on_demand, 2_000);
    cluster.services.replace(vec![web("1", "10.0.0.1")]);
    let addresses: Vec<_> = (0..100).map(|n| format!("10.1.0.{n}")).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    cluster.slices.replace(vec![slice("1", "web", &addresses)]);
    for path in ["default/web", "default/web?watch"] {
        let (status, detail) = refused(&cluster.api, path).await;
        assert_eq!(status, 507);
        assert!(detail.contains("--max-bytes"), "{detail}");
    }
    assert_eq!(get(&cluster.api, "default", &[]).await.status(), 200);
}

#[tokio::test]
async fn a_namespace_nobody_watches_is_asked_for() {
    let (writer, reader) = store::new(1 << 20);
    let (demander, mut demands) = demand::channel(4);
    let (api, _trigger) = api(Some(Discovery::new(reader, Some(demander))));
    let asked = get(&api, "default/web", &[]);
    let answered = async {
        let mut scopes = Vec::new();
        for _ in 0..2 {
            let demand = demands.recv().await.unwrap();
            let scope = writer.scope(ScopeSpec::on_demand(demand.selects.clone()));
            scope.replace(if demand.selects == all(Kind::Service) {
                vec![web("1", "10.0.0.1")]
            } else {
                vec![]
            });
            scopes.push((scope, demand.selects, demand.reply));
        }
        // Both were asked for before either was answered.
        assert_ne!(scopes[0].1, scopes[1].1);
        let replies = scopes
            .into_iter()
            .map(|(scope, _, reply)| (scope, reply.send(Ok(()))));
        replies.map(|(scope, _)| scope).collect::<Vec<_>>()
    };
    let (answer, scopes) = tokio::join!(asked, answered);
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.headers()["cache-status"],
        "attache; fwd=uri-miss; stored"
    );
    drop(scopes);
    for (unmet, status) in [
        (Unmet::Unserved("not here".into()), 501),
        (Unmet::Forbidden("not you".into()), 403),
        (Unmet::TooMany { limit: 1 }, 503),
    ] {
        let asked = refused(&api, "default");
        let answered = async {
            let demand = demands.recv().await.unwrap();
            demand.reply.send(Err(unmet.clone())).unwrap();
        };
        let ((got, detail), ()) = tokio::join!(asked, answered);
        assert_eq!(got, status, "{detail}");
        assert!(
            detail.contains("the Services of namespace default"),
            "{detail}"
        );
        assert!(
            got != 503 || detail.contains("--discover default"),
            "{detail}"
        );
    }
}

#[test]
fn a_view_is_made_once_a_change() {
    let views = Views::default();
    let target = |path: &str, ready| {
        let query = Query::parse(ready, OF_SERVICE).unwrap();
        Arc::new(Target::parse("default", Some(path), &query).unwrap())
    };
    let (web_target, ready) = (target("web", None), target("web", Some("ready=true")));
    let cluster = cluster();
    let get = |target: &Arc<Target>| {
        let discovery = cluster.api.discovery.as_ref().unwrap();
        let snapshot = discovery.reader.snapshot();
        Scopes::whole(target, &snapshot)
            .ok()
            .unwrap()
            .view(target, &views)
    };
    let first = get(&web_target).unwrap();
    assert!(Arc::ptr_eq(&first, &get(&web_target).unwrap()));
    let other = get(&ready).unwrap();
    assert!(!Arc::ptr_eq(&first, &other), "another filter, another view");
    // What changes beside it leaves it as it is.
    cluster.slices.upsert(slice("2", "other", &["10.1.0.9"]));
    assert!(Arc::ptr_eq(&first, &get(&web_target).unwrap()));
    cluster.slices.upsert(slice("3", "web", &["10.1.0.8"]));
    let second = get(&web_target).unwrap();
    assert_ne!(first.etag(), second.etag());
    assert!(second.entries().contains_key("10.1.0.8"));
    cluster.services.upsert(web("4", "10.0.0.2"));
    assert_ne!(second.etag(), get(&web_target).unwrap().etag());
    cluster.services.replace(vec![]);
    assert!(get(&web_target).is_none());
    // A namespace read anew after it was forgotten is another, whatever it is made of.
    let third = cluster
        .writer
        .scope(ScopeSpec::on_demand(all(Kind::Service)));
    third.replace(vec![web("4", "10.0.0.2")]);
    drop(third);
    assert!(get(&web_target).is_none());
    for n in 0..200 {
        get(&target(&format!("s{n}"), None));
    }
    assert_eq!(views.len(), 64, "bounded");
}

#[tokio::test(start_paused = true)]
async fn streams_send_what_changes_and_begin_anew_where_the_service_itself_does() {
    let cluster = cluster();
    let api = &cluster.api;
    let mut map = asked(api, "default?watch", &[]).await;
    let mut endpoints = asked(api, "default/web?watch", &[]).await;
    let of = async |path: &str| {
        let answer = get(api, path, &[]).await;
        let etag = answer.headers()[ETAG].to_str().unwrap().to_owned();
        (answer.into_body(), etag)
    };
    let event = |kind: &str, data: Value, id: &str| (kind.to_owned(), data, id.to_owned());
    let (full, id) = of("default").await;
    let first = event("snapshot", json!({"data": full}), &id);
    assert_eq!(events(&mut map).await, [first]);
    let (full, id) = of("default/web").await;
    let first = event("snapshot", json!({"service": full}), &id);
    assert_eq!(events(&mut endpoints).await, [first]);
    cluster.slices.upsert(slice("2", "web", &["10.1.0.8"]));
    let (full, id) = of("default/web").await;
    let value = &full["endpoints"][0];
    let new = json!({"key": "10.1.0.8", "value": value, "resourceVersion": null});
    let gone = json!({"key": "10.1.0.7", "value": null, "resourceVersion": null});
    let step = [event("change", new, ""), event("change", gone, &id)];
    assert_eq!(events(&mut endpoints).await, step);
    cluster.services.upsert(web("3", "10.0.0.3"));
    let (full, id) = of("default/web").await;
    let anew = event("snapshot", json!({"service": full}), &id);
    assert_eq!(events(&mut endpoints).await, [anew]);
    let change = json!({"key": "web", "value": "10.0.0.3", "resourceVersion": "3"});
    let change = event("change", change, &of("default").await.1);
    assert_eq!(
        events(&mut map).await,
        [change],
        "slices are not its matter"
    );
    cluster.slices.lost(Instant::now(), "away");
    let stale = events(&mut endpoints).await;
    assert_eq!(
        (&*stale[0].0, &stale[0].1["reason"]),
        ("stale", &json!("away"))
    );
    cluster.services.upsert(web("4", ""));
    let (full, id) = of("default").await;
    let anew = event("snapshot", json!({"data": full}), &id);
    assert_eq!(
        events(&mut map).await,
        [anew],
        "the address went, the Service did not"
    );
    cluster.services.replace(vec![]);
    let absent = json!({"resourceVersion": null, "data": null});
    let absent = event("snapshot", absent, "\"absent\"");
    assert_eq!(events(&mut endpoints).await, [absent]);
    cluster.services.replace(vec![web("5", "10.0.0.5")]);
    assert_eq!(events(&mut endpoints).await[0].0, "snapshot");
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_answered_on_a_change_of_the_view_alone() {
    let cluster = cluster();
    let full = get(&cluster.api, "default/web", &[]).await;
    let etag = full.headers()[ETAG].to_str().unwrap();
    let held = [(IF_NONE_MATCH, etag)];
    let began = tokio::time::Instant::now();
    let waited = get(&cluster.api, "default/web?wait=60s", &held).await;
    assert_eq!(waited.status(), StatusCode::NOT_MODIFIED);
    assert!(began.elapsed() >= Duration::from_secs(60));
    let waits = get(&cluster.api, "default/web?wait=60s", &held);
    let changes = async {
        tokio::task::yield_now().await;
        cluster.slices.upsert(slice("2", "other", &["10.1.0.9"]));
        tokio::task::yield_now().await;
        cluster.slices.upsert(slice("3", "web", &["10.1.0.8"]));
    };
    let (changed, ()) = tokio::join!(waits, changes);
    assert_eq!(changed.body()["endpoints"][0]["address"], "10.1.0.8");
}
