//! An API server whose watches are late: it passes on requests at once, and a watch's events after
//! a while.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Passes requests on to an API server with the rights of a client; ends when dropped.
#[derive(Debug)]
pub struct LateWatches {
    addr: SocketAddr,
    dir: TempDir,
    accept: JoinHandle<()>,
}

impl LateWatches {
    /// Events are late by a random number of milliseconds, and stay in order.
    pub async fn start(client: Client, late: RangeInclusive<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a local address");
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (client, late) = (client.clone(), late.clone());
                let service = service_fn(move |request| {
                    let (client, late) = (client.clone(), late.clone());
                    async move {
                        forward(request, client, late)
                            .await
                            .map_err(io::Error::other)
                    }
                });
                tokio::spawn(async move {
                    // A client that leaves ends its connection in an error.
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { addr, dir, accept }
    }

    /// A kubeconfig for it.
    pub fn kubeconfig(&self) -> PathBuf {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "late",
            "contexts": [{"name": "late", "context": {"cluster": "late", "user": "late"}}],
            "clusters": [{"name": "late", "cluster": {"server": format!("http://{}", self.addr)}}],
            "users": [{"name": "late", "user": {}}],
        });
        let path = self.dir.path().join("kubeconfig");
        std::fs::write(&path, config.to_string()).expect("a kubeconfig");
        path
    }
}

impl Drop for LateWatches {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

type Streamed = UnsyncBoxBody<Bytes, io::Error>;

async fn forward(
    request: Request<Incoming>,
    client: Client,
    late: RangeInclusive<u64>,
) -> Result<Response<Streamed>, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let target = head.uri.path_and_query().expect("a path").as_str();
    let mut passed = Request::builder().method(head.method).uri(target);
    for name in [ACCEPT, CONTENT_TYPE] {
        if let Some(value) = head.headers.get(&name) {
            passed = passed.header(name, value);
        }
    }
    let answer = client.send(passed.body(Body::from(body.to_vec()))?).await?;
    let (answer, body) = answer.into_parts();
    let response = Response::builder()
        .status(answer.status)
        .header(CONTENT_TYPE, "application/json");
    let is_watch = head
        .uri
        .query()
        .is_some_and(|query| query.contains("watch="));
    let body = if is_watch {
        delayed(body, late)
    } else {
        let whole = Full::new(body.collect().await?.to_bytes());
        whole
            .map_err(|never: Infallible| match never {})
            .boxed_unsync()
    };
    Ok(response.body(body)?)
}

fn delayed(mut body: Body, late: RangeInclusive<u64>) -> Streamed {
    let (events, receiver) = mpsc::unbounded_channel::<(Instant, Frame<Bytes>)>();
    tokio::spawn(async move {
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = events.closed() => return,
            };
            let Some(Ok(frame)) = frame else { return };
            let due = Instant::now() + Duration::from_millis(fastrand::u64(late.clone()));
            if events.send((due, frame)).is_err() {
                return;
            }
        }
    });
    let frames = stream::unfold(receiver, |mut receiver| async {
        let (due, frame) = receiver.recv().await?;
        sleep_until(due).await;
        Some((Ok(frame), receiver))
    });
    StreamBody::new(frames).boxed_unsync()
}
