//! An HTTP endpoint that keeps what webhooks send it.

use std::convert::Infallible;
use std::time::Duration;

use ::http::Response;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Answers every request with 204 and hands its JSON body over.
pub struct Receiver {
    port: u16,
    bodies: mpsc::UnboundedReceiver<Value>,
    accept: JoinHandle<()>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a local address").port();
        let (sender, bodies) = mpsc::unbounded_channel();
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sender = sender.clone();
                let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let sender = sender.clone();
                    async move {
                        if let Ok(body) = request.into_body().collect().await
                            && let Ok(json) = serde_json::from_slice(&body.to_bytes())
                        {
                            let _ = sender.send(json);
                        }
                        let response = Response::builder()
                            .status(204)
                            .body(Full::<Bytes>::default());
                        Ok::<_, Infallible>(response.expect("a valid response"))
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Self {
            port,
            bodies,
            accept,
        }
    }

    /// A rule that calls this endpoint, with more fields of the rule.
    pub fn rule(&self, fields: &str) -> String {
        format!(
            "{{webhook: {{url: \"http://127.0.0.1:{}/\"}}, {fields}}}",
            self.port
        )
    }

    /// The bodies that came and were not handed over yet.
    pub fn received(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.bodies.try_recv().ok()).collect()
    }

    /// The next body; panics when none comes.
    pub async fn next(&mut self) -> Value {
        let next = tokio::time::timeout(Duration::from_secs(60), self.bodies.recv());
        next.await.expect("a call").expect("the endpoint runs")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accept.abort();
    }
}
