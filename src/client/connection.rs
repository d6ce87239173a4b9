//! One exchange over one connection.

use std::pin::{Pin, pin};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::{Failure, Problem};
use crate::config::Endpoint;

/// What the sidecar answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// An answer whose body is still to come.
pub(super) struct Answering {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Incoming,
    connection: Connection,
}

/// It only moves while it is polled; it may end before the answer is read.
struct Connection {
    running: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
    /// Without it the connection would take itself for unused.
    sender: SendRequest<Full<Bytes>>,
}

/// GETs `path`, an origin-form target without characters that need encoding.
pub(super) async fn get(endpoint: &Endpoint, path: &str) -> Result<Answer, Failure> {
    exchange(endpoint, Request::get(path), Bytes::new()).await
}

/// Sends a request and reads the whole answer. The target is as in [`get`].
pub(super) async fn exchange(
    endpoint: &Endpoint,
    head: hyper::http::request::Builder,
    body: Bytes,
) -> Result<Answer, Failure> {
    let mut answering = send(endpoint, head, body).await?;
    let whole = answering.whole().await;
    let body = whole.map_err(|error| unreachable(endpoint, error))?;
    Ok(Answer {
        status: answering.status,
        body,
    })
}

/// Sends a request and reads the head of the answer. The target is as in [`get`].
pub(super) async fn send(
    endpoint: &Endpoint,
    head: hyper::http::request::Builder,
    body: Bytes,
) -> Result<Answering, Failure> {
    let mut request = head
        .body(Full::new(body))
        .map_err(|error| unreachable(endpoint, error))?;
    // The name that the Host filter lets in whatever the address is.
    let host = HeaderValue::from_static("localhost");
    request.headers_mut().insert(HOST, host);
    let answering = match endpoint {
        Endpoint::Tcp(address) => match TcpStream::connect(address).await {
            Ok(stream) => over(Box::new(stream), request).await,
            Err(error) => return Err(unreachable(endpoint, error)),
        },
        Endpoint::Unix(socket) => match UnixStream::connect(socket).await {
            Ok(stream) => over(Box::new(stream), request).await,
            Err(error) => return Err(unreachable(endpoint, error)),
        },
    };
    answering.map_err(|error| unreachable(endpoint, error))
}

/// One type for both, so that hyper's client is compiled once.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn over(stream: Box<dyn Stream>, request: Request<Full<Bytes>>) -> hyper::Result<Answering> {
    let (sender, running) = http1::handshake(TokioIo::new(stream)).await?;
    let mut connection = Connection {
        running: Some(Box::pin(running)),
        sender,
    };
    let sent = connection.sender.send_request(request);
    let (head, body) = connection.beside(sent).await?.into_parts();
    Ok(Answering {
        status: head.status,
        headers: head.headers,
        body,
        connection,
    })
}

fn unreachable(endpoint: &Endpoint, reason: impl std::fmt::Display) -> Failure {
    Failure::Unreachable {
        at: endpoint.to_string(),
        reason: reason.to_string(),
    }
}

// === impl Answer ===

impl Answer {
    /// The problem it tells, as far as it tells one.
    pub(super) fn problem(&self) -> Problem {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

// === impl Answering ===

impl Answering {
    /// The next part of the body; `None` at its end.
    pub(super) async fn chunk(&mut self) -> hyper::Result<Option<Bytes>> {
        loop {
            let frame = self.connection.beside(self.body.frame()).await;
            let Some(frame) = frame else { return Ok(None) };
            // Trailers are passed over.
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// The rest of the body.
    pub(super) async fn whole(&mut self) -> hyper::Result<Bytes> {
        let whole = self.connection.beside((&mut self.body).collect()).await?;
        Ok(whole.to_bytes())
    }
}

// === impl Connection ===

impl Connection {
    /// Waits for `work`, which gets nowhere without the connection. How the connection ends, `work`
    /// tells.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if let Some(running) = &mut self.running {
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = running => self.running = None,
            }
        }
        work.await
    }
}

// === impl Endpoint ===

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}
