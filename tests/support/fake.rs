//! An API server that says what the test tells it to, request by request.
//!
//! The test takes each request in turn and answers it, in the manner of kube-rs' controller-rs
//! fixtures. Answers have the form that a real kube-apiserver gives them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// How long a request that the test expects may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was asked, as recorded.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    /// Decoded pairs, in the order of the URL.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Asked {
    /// The value of a query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether this is a watch rather than a list or a get.
    pub fn is_watch(&self) -> bool {
        matches!(self.query("watch"), Some("1" | "true"))
    }

    /// The bearer token.
    pub fn token(&self) -> Option<&str> {
        self.headers
            .get("authorization")?
            .to_str()
            .ok()?
            .strip_prefix("Bearer ")
    }
}

/// A request that waits for its answer. Dropped without one, its connection ends.
#[derive(Debug)]
pub struct Waiting {
    pub asked: Asked,
    answer: oneshot::Sender<Response<Body>>,
}

/// The scripted server, plain HTTP/1.1 and HTTP/2 on a loopback port.
#[derive(Debug)]
pub struct FakeApiServer {
    addr: SocketAddr,
    incoming: mpsc::UnboundedReceiver<Waiting>,
    /// Requests that came while another one was expected.
    aside: VecDeque<Waiting>,
    record: Arc<Mutex<Vec<Asked>>>,
    dir: TempDir,
    accept: JoinHandle<()>,
}

impl FakeApiServer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a local address");
        let (requests, incoming) = mpsc::unbounded_channel();
        let record = Arc::<Mutex<Vec<Asked>>>::default();
        let accept = tokio::spawn(accept(listener, requests, record.clone()));
        Self {
            addr,
            incoming,
            aside: VecDeque::new(),
            record,
            dir: tempfile::tempdir().expect("a temporary directory"),
            accept,
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A kubeconfig for this server without credentials.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig_at(self.addr, None)
    }

    /// A kubeconfig that reads its bearer token from a file.
    pub fn kubeconfig_with_token(&self, token_file: &Path) -> PathBuf {
        self.kubeconfig_at(self.addr, Some(token_file))
    }

    /// A kubeconfig for `addr`, which may be a relay's.
    pub fn kubeconfig_at(&self, addr: SocketAddr, token_file: Option<&Path>) -> PathBuf {
        let user = token_file.map_or(json!({}), |file| json!({"tokenFile": file}));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
            "clusters": [{"name": "fake", "cluster": {"server": format!("http://{addr}")}}],
            "users": [{"name": "fake", "user": user}],
        });
        let path = self.dir.path().join(format!("{}.kubeconfig", addr.port()));
        std::fs::write(&path, config.to_string()).expect("a kubeconfig");
        path
    }

    /// The next request; panics when none comes.
    pub async fn next(&mut self) -> Waiting {
        self.expect("any request", |_| true).await
    }

    /// The next list or get of this path.
    pub async fn next_list(&mut self, path: &str) -> Waiting {
        self.expect(&format!("list {path}"), |asked| {
            asked.path == path && !asked.is_watch()
        })
        .await
    }

    /// The next watch of this path.
    pub async fn next_watch(&mut self, path: &str) -> Waiting {
        self.expect(&format!("watch {path}"), |asked| {
            asked.path == path && asked.is_watch()
        })
        .await
    }

    /// The next request that `wanted` accepts; those before it wait for their turn.
    pub async fn expect(&mut self, what: &str, wanted: impl Fn(&Asked) -> bool) -> Waiting {
        if let Some(at) = self.aside.iter().position(|request| wanted(&request.asked)) {
            return self.aside.remove(at).expect("found above");
        }
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let request = self.incoming.recv().await.expect("the server runs");
                if wanted(&request.asked) {
                    return request;
                }
                self.aside.push_back(request);
            }
        });
        match found.await {
            Ok(request) => request,
            Err(_) => panic!("no {what}; asked so far: {:#?}", self.asked()),
        }
    }

    /// All requests so far, in their order.
    pub fn asked(&self) -> Vec<Asked> {
        self.record
            .lock()
            .expect("no panic while recording")
            .clone()
    }
}

impl Drop for FakeApiServer {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// A ConfigMap as the server sends it, managedFields included.
pub fn config_map(
    namespace: &str,
    name: &str,
    resource_version: &str,
    data: &[(&str, &str)],
) -> Value {
    let data: serde_json::Map<_, _> = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name, "namespace": namespace, "resourceVersion": resource_version,
            "uid": format!("uid-of-{name}"), "creationTimestamp": "2024-01-01T00:00:00Z",
            "managedFields": [{"manager": "kubectl", "operation": "Update", "apiVersion": "v1",
                "time": "2024-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {}}}],
        },
        "data": data,
    })
}

fn status(code: StatusCode, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16(),
    })
}

impl Waiting {
    /// 200 with one page of a list; `continue_token` leads to the next page.
    pub fn list(self, resource_version: &str, items: &[Value], continue_token: Option<&str>) {
        let mut metadata = json!({"resourceVersion": resource_version});
        if let Some(token) = continue_token {
            metadata["continue"] = json!(token);
        }
        // A list's items carry no kind of their own.
        let items: Vec<Value> = items.iter().cloned().map(without_kind).collect();
        self.json(
            StatusCode::OK,
            &json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": items}),
        );
    }

    /// 200 and a stream of events, held open.
    pub fn watch(self) -> WatchStream {
        let (lines, receiver) = mpsc::unbounded_channel();
        let frames = stream::unfold(receiver, |mut receiver: mpsc::UnboundedReceiver<_>| async {
            receiver.recv().await.map(|frame| (frame, receiver))
        });
        self.respond(
            Response::builder()
                .header("content-type", "application/json")
                .body(StreamBody::new(frames).boxed_unsync())
                .expect("a valid response"),
        );
        WatchStream { lines }
    }

    /// 410: the resourceVersion or the continue token is too old.
    pub fn gone(self) {
        self.fail(
            StatusCode::GONE,
            "Expired",
            "The resourceVersion for the provided watch is too old.",
        );
    }

    /// 429 with Retry-After in seconds.
    pub fn too_many_requests(self, retry_after: u32) {
        let body = status(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            "too many requests, please try again later",
        );
        self.answer_with(StatusCode::TOO_MANY_REQUESTS, Some(retry_after), &body);
    }

    /// 503 with Retry-After in seconds.
    pub fn unavailable(self, retry_after: u32) {
        let body = status(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            "apiserver not ready",
        );
        self.answer_with(StatusCode::SERVICE_UNAVAILABLE, Some(retry_after), &body);
    }

    /// 401.
    pub fn unauthorized(self) {
        self.fail(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized");
    }

    /// 500.
    pub fn internal_error(self) {
        self.fail(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "Internal error occurred: etcdserver: request timed out",
        );
    }

    /// 404 of a named object.
    pub fn not_found(self) {
        let name = self
            .asked
            .path
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        self.fail(
            StatusCode::NOT_FOUND,
            "NotFound",
            &format!("configmaps \"{name}\" not found"),
        );
    }

    /// 403.
    pub fn forbidden(self) {
        self.fail(
            StatusCode::FORBIDDEN,
            "Forbidden",
            "configmaps is forbidden: User \"pod\" cannot list resource \"configmaps\"",
        );
    }

    /// A Status with this code.
    pub fn fail(self, code: StatusCode, reason: &str, message: &str) {
        let body = status(code, reason, message);
        self.answer_with(code, None, &body);
    }

    /// This JSON.
    pub fn json(self, code: StatusCode, body: &Value) {
        self.answer_with(code, None, body);
    }

    /// 200 with bytes that may be no JSON at all.
    pub fn raw(self, body: &'static str) {
        self.respond(Response::new(
            Full::from(body).map_err(never).boxed_unsync(),
        ));
    }

    fn answer_with(self, code: StatusCode, retry_after: Option<u32>, body: &Value) {
        let mut response = Response::builder()
            .status(code)
            .header("content-type", "application/json");
        if let Some(seconds) = retry_after {
            response = response.header("retry-after", seconds);
        }
        let body = Full::from(format!("{body}\n"))
            .map_err(never)
            .boxed_unsync();
        self.respond(response.body(body).expect("a valid response"));
    }

    fn respond(self, response: Response<Body>) {
        // A client that gave up meanwhile is a case to test, not a fault of the test.
        let _ = self.answer.send(response);
    }
}

/// A watch's open stream. Dropped, it ends as a watch does at its timeout.
#[derive(Debug)]
pub struct WatchStream {
    lines: mpsc::UnboundedSender<Result<Frame<Bytes>, io::Error>>,
}

impl WatchStream {
    pub fn added(&self, object: Value) {
        self.event("ADDED", &object);
    }

    pub fn modified(&self, object: Value) {
        self.event("MODIFIED", &object);
    }

    pub fn deleted(&self, object: Value) {
        self.event("DELETED", &object);
    }

    pub fn bookmark(&self, resource_version: &str) {
        self.event(
            "BOOKMARK",
            &json!({"kind": "ConfigMap", "apiVersion": "v1",
                "metadata": {"resourceVersion": resource_version, "creationTimestamp": null}}),
        );
    }

    /// An ERROR event with code 410: the form in which a server reports a version that is too old.
    pub fn gone(&self, version: &str) {
        let message = format!("too old resource version: {version} (9999)");
        self.event("ERROR", &status(StatusCode::GONE, "Expired", &message));
    }

    /// An ERROR event of another kind.
    pub fn error(&self, code: StatusCode, reason: &str, message: &str) {
        self.event("ERROR", &status(code, reason, message));
    }

    /// One line of the stream.
    pub fn event(&self, kind: &str, object: &Value) {
        self.raw(format!("{}\n", json!({"type": kind, "object": object})));
    }

    /// Bytes as they are: half a line, garbage.
    pub fn raw(&self, bytes: impl Into<Bytes>) {
        // As above: the client may be gone.
        let _ = self.lines.send(Ok(Frame::data(bytes.into())));
    }

    /// Ends in the middle: the connection (HTTP/1.1) or the stream (HTTP/2) is reset.
    pub fn reset(self) {
        let _ = self.lines.send(Err(io::ErrorKind::ConnectionReset.into()));
    }

    /// Until the client has closed the stream.
    pub async fn closed(&self) {
        tokio::time::timeout(PATIENCE, self.lines.closed())
            .await
            .expect("the client closes its watch");
    }
}

fn without_kind(mut item: Value) -> Value {
    if let Some(fields) = item.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    item
}

fn never(impossible: Infallible) -> io::Error {
    match impossible {}
}

async fn accept(
    listener: TcpListener,
    requests: mpsc::UnboundedSender<Waiting>,
    record: Arc<Mutex<Vec<Asked>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (requests, record) = (requests.clone(), record.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let mut asked = asked(&request);
            let (requests, record) = (requests.clone(), record.clone());
            async move {
                if !request.body().is_end_stream() {
                    let body = request.into_body().collect().await;
                    asked.body = body.map_err(io::Error::other)?.to_bytes();
                }
                record
                    .lock()
                    .expect("no panic while recording")
                    .push(asked.clone());
                let (answer, answered) = oneshot::channel();
                let taken = requests.send(Waiting { asked, answer });
                taken.map_err(|_| io::Error::from(io::ErrorKind::ConnectionAborted))?;
                answered
                    .await
                    .map_err(|_| io::Error::from(io::ErrorKind::ConnectionReset))
            }
        });
        tokio::spawn(async move {
            // A connection that the script breaks ends in an error.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn asked(request: &Request<Incoming>) -> Asked {
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    let query = request.uri().query().unwrap_or_default();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    Asked {
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        query: pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| (decode(key), decode(value)))
            .collect(),
        headers: request.headers().clone(),
        body: Bytes::new(),
    }
}
