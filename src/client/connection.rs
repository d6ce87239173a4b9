//! One GET over one connection.

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::Failure;
use crate::config::Endpoint;

/// What the sidecar answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// GETs `path`, an origin-form target without characters that need encoding.
pub(super) async fn get(endpoint: &Endpoint, path: &str) -> Result<Answer, Failure> {
    let exchanged = match endpoint {
        Endpoint::Tcp(address) => match TcpStream::connect(address).await {
            Ok(stream) => exchange(Box::new(stream), path).await,
            Err(error) => Err(error.to_string()),
        },
        Endpoint::Unix(socket) => match UnixStream::connect(socket).await {
            Ok(stream) => exchange(Box::new(stream), path).await,
            Err(error) => Err(error.to_string()),
        },
    };
    exchanged.map_err(|reason| Failure::Unreachable {
        at: endpoint.to_string(),
        reason,
    })
}

/// One type for both, so that hyper's client is compiled once.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn exchange(stream: Box<dyn Stream>, path: &str) -> Result<Answer, String> {
    let request = Request::get(path)
        // The name that the Host filter lets in whatever the address is.
        .header(hyper::header::HOST, "localhost")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answered = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let answering = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>(Answer {
                status: head.status,
                body,
            })
        };
        tokio::pin!(connection, answering);
        // The connection only moves while it is polled; it may end before the answer is read.
        tokio::select! {
            answer = &mut answering => answer,
            closed = &mut connection => {
                closed?;
                answering.await
            }
        }
    };
    answered.await.map_err(|error| error.to_string())
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
