//! Requests over a plain connection: TLS is the listener's.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prometheus_client::metrics::counter::Counter;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::config::Platform;
use crate::http::{Limits, Meters, listen};
use crate::shutdown::{self, Trigger};

/// Says what the test last told it to.
struct Fake(Arc<Mutex<Result<Annotations, String>>>);

impl Ask for Fake {
    async fn ask(&self, _: &str) -> Result<Annotations, String> {
        self.0.lock().unwrap().clone()
    }
}

struct Scene {
    base: String,
    reviews: Arc<Reviews<Fake>>,
    says: Arc<Mutex<Result<Annotations, String>>>,
    metrics: WebhookMetrics,
    stopping: Trigger,
    _draining: Trigger,
    serving: JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn scene() -> Scene {
    let says = Arc::new(Mutex::new(Ok(Annotations::new())));
    let metrics = WebhookMetrics::new(Counter::default(), Counter::default());
    let (stopping, unready) = shutdown::channel();
    let (draining, drain) = shutdown::channel();
    let reviews = Reviews {
        annotations: Annotations::from([("secrets".into(), "of-the-platform".into())]),
        policy: Policy {
            platform: Platform {
                image: "attache:test".into(),
                allow_rollout: false,
                allow_pods: false,
            },
            deny: true,
        },
        namespaces: Namespaces::new(Fake(Arc::clone(&says))),
        native: watch::channel(true).1,
        metrics: metrics.clone(),
        room: room(),
        stopping: unready,
    };
    let reviews = Arc::new(reviews);
    let bound = listen::bind(IpAddr::V4(Ipv4Addr::LOCALHOST), 0).await;
    let listeners = bound.unwrap();
    let base = format!("http://{}", listeners[0].address().unwrap());
    let serving = server::serve(
        listeners,
        Arc::clone(&reviews),
        Limits::new(8),
        Meters::default(),
        drain,
    );
    Scene {
        base,
        reviews,
        says,
        metrics,
        stopping,
        _draining: draining,
        serving: tokio::spawn(serving),
    }
}

impl Scene {
    async fn send(&self, method: &str, path: &str, kind: &str, body: Vec<u8>) -> Response<Bytes> {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(CONTENT_TYPE, kind)
            .body(Full::new(body.into()))
            .unwrap();
        let (head, body) = client.request(request).await.unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    /// What becomes of a pod without annotations of its own.
    async fn review(&self) -> Value {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u", "namespace": "shop", "operation": "CREATE",
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "object": {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "app", "image": "app"}]}},
            },
        });
        let kind = "application/json; charset=utf-8";
        let answer = self
            .send("POST", MUTATE, kind, review.to_string().into())
            .await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
        let answer: Value = serde_json::from_slice(answer.body()).unwrap();
        answer["response"].clone()
    }
}

fn patch(response: &Value) -> String {
    use base64::Engine as _;
    let patch = response["patch"].as_str().unwrap();
    let patch = base64::engine::general_purpose::STANDARD.decode(patch);
    String::from_utf8(patch.unwrap()).unwrap()
}

#[tokio::test]
async fn a_namespaces_annotations_go_over_the_platforms_and_their_lack_is_told() {
    let scene = scene().await;
    *scene.says.lock().unwrap() = Err("the API server is away".into());
    let response = scene.review().await;
    assert_eq!(response["allowed"], true);
    assert!(patch(&response).contains("--secret=of-the-platform"));
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(warning.contains("namespace shop are left out"), "{warning}");
    assert!(warning.contains("the API server is away"), "{warning}");
    let unknown = Namespace { result: "unknown" };
    let failures = &scene.metrics.namespace_failures;
    assert_eq!(failures.get_or_create(&unknown).get(), 1);
}

#[tokio::test]
async fn a_namespace_that_says_something_is_heard() {
    let scene = scene().await;
    let says = [("secrets", "of-the-namespace"), ("configmaps", "web")];
    let says = says.map(|(name, text)| (name.to_owned(), text.to_owned()));
    *scene.says.lock().unwrap() = Ok(says.into());
    let patch = patch(&scene.review().await);
    assert!(patch.contains("--secret=of-the-namespace"), "{patch}");
    assert!(patch.contains("--configmap=web"), "{patch}");
    assert!(!patch.contains("of-the-platform"), "{patch}");
}

#[tokio::test]
async fn what_is_no_review_is_a_problem() {
    let scene = scene().await;
    let json = "application/json";
    let too_long = vec![b' '; LONGEST_REVIEW + 1];
    for (method, path, kind, body, status) in [
        ("GET", "/", json, vec![], 404),
        ("POST", "/mutate/", json, vec![b'{'], 404),
        ("GET", "/-/metrics", json, vec![], 404),
        ("GET", MUTATE, json, vec![], 405),
        ("POST", MUTATE, "application/yaml", vec![b'{'], 415),
        ("POST", MUTATE, json, vec![b'{'], 400),
        ("POST", MUTATE, json, too_long, 413),
    ] {
        let answer = scene.send(method, path, kind, body).await;
        assert_eq!(answer.status(), status, "{method} {path}");
        let kind = &answer.headers()[CONTENT_TYPE];
        assert_eq!(kind, "application/problem+json", "{method} {path}");
    }
    let malformed = Review {
        outcome: "failed",
        reason: "malformed",
    };
    assert_eq!(scene.metrics.reviews.get_or_create(&malformed).get(), 3);
}

#[tokio::test]
async fn once_it_stops_every_answer_ends_its_connection() {
    let scene = scene().await;
    let json = "application/json";
    let before = scene.send("GET", "/", json, vec![]).await;
    assert!(before.headers().get("connection").is_none());
    scene.stopping.stop();
    let after = scene.send("GET", "/", json, vec![]).await;
    assert_eq!(after.headers()["connection"], "close");
}

#[tokio::test]
async fn a_review_waits_while_as_much_is_parsed_as_there_is_memory_for() {
    let scene = scene().await;
    let all = u32::try_from(PARSED).unwrap();
    let taken = scene.reviews.room.acquire_many(all).await.unwrap();
    let review = scene.review();
    tokio::pin!(review);
    let waits = tokio::time::timeout(Duration::from_millis(100), &mut review).await;
    assert!(waits.is_err());
    drop(taken);
    assert_eq!(review.await["allowed"], true);
    assert_eq!(scene.reviews.room.available_permits(), PARSED);
}
