//! An HTTP endpoint that keeps what webhooks send it.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, Method, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

type Calls = mpsc::UnboundedSender<Call>;

/// A request as it came.
#[derive(Debug)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.get(name)?;
        Some(value.to_str().expect("text"))
    }
}

/// Answers every request with 204 and hands it over.
pub struct Receiver {
    /// Zero for a Unix socket.
    port: u16,
    calls: mpsc::UnboundedReceiver<Call>,
    accept: JoinHandle<()>,
}

impl Receiver {
    pub async fn start() -> Self {
        Self::start_tcp(None).await
    }

    /// With TLS by this certificate and key, both in PEM.
    pub async fn start_tls(certificate: &Path, key: &Path) -> Self {
        use rustls::pki_types::pem::PemObject as _;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};

        let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a key of that certificate");
        Self::start_tcp(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_tcp(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a local address").port();
        Self::new(port, |calls| async move {
            while let Ok((stream, _)) = listener.accept().await {
                match &tls {
                    None => answer(stream, calls.clone()),
                    // A client that does not trust it calls nobody.
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            answer(stream, calls.clone());
                        }
                    }
                }
            }
        })
    }

    /// On a Unix socket.
    pub fn start_unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        Self::new(0, |calls| async move {
            while let Ok((stream, _)) = listener.accept().await {
                answer(stream, calls.clone());
            }
        })
    }

    fn new<F>(port: u16, accept: impl FnOnce(Calls) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, calls) = mpsc::unbounded_channel();
        Self {
            port,
            calls,
            accept: tokio::spawn(accept(sender)),
        }
    }

    /// A rule that calls this endpoint, with more fields of the rule.
    pub fn rule(&self, fields: &str) -> String {
        format!(
            "{{webhook: {{url: \"http://127.0.0.1:{}/\"}}, {fields}}}",
            self.port
        )
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next body, which is JSON; panics when none comes.
    pub async fn next(&mut self) -> Value {
        self.next_call().await.json()
    }

    /// The next request; panics when none comes.
    pub async fn next_call(&mut self) -> Call {
        let next = tokio::time::timeout(Duration::from_secs(60), self.calls.recv());
        next.await.expect("a call").expect("the endpoint runs")
    }

    /// The next request that has come already.
    pub fn another(&mut self) -> Option<Call> {
        self.calls.try_recv().ok()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// Answers whatever comes on a connection.
fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, calls: Calls) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let calls = calls.clone();
        async move {
            let (head, body) = request.into_parts();
            // Of a request that was cut off nobody hears.
            if let Ok(body) = body.collect().await {
                let _ = calls.send(Call {
                    method: head.method,
                    path: head.uri.path().to_owned(),
                    headers: head.headers,
                    body: body.to_bytes(),
                });
            }
            let response = Response::builder()
                .status(204)
                .body(Full::<Bytes>::default());
            Ok::<_, Infallible>(response.expect("a valid response"))
        }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::spawn(connection);
}
