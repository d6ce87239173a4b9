//! The `webhook` action: one HTTP/1.1 request, whose body names what changed.
//!
//! Every method but GET and HEAD carries a body of type `application/json`:
//!
//! ```json
//! {"changes": [{"kind": "ConfigMap", "namespace": "default", "name": "web",
//!               "resourceVersion": "4711",
//!               "added": ["new.conf"], "changed": ["nginx.conf"], "removed": []}]}
//! ```
//!
//! `changes` holds at least one object, sorted by kind, namespace and name; several if they changed
//! within the rule's settle time. Keys are those that differ from what the endpoint last answered
//! with 2xx to, of those that the rule is for. `resourceVersion` is empty for an object that comes
//! from files, and for one that went. Values are never sent: read them from `/kv`.
//!
//! An answer of 2xx is success. Redirects are not followed.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::{Change, Outcome, payload};
use crate::config::WebhookAction;

/// How much of an answer's body is awaited; it is not used.
const MAX_ANSWER: usize = 64 * 1024;
const AGENT: &str = concat!("attache/", env!("CARGO_PKG_VERSION"));

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The URL or the method makes no request.
    #[error("{method} {target} cannot be requested: {reason}")]
    Request {
        /// The method.
        method: Method,
        /// The URL without its query.
        target: String,
        /// What is wrong.
        reason: String,
    },
    /// No connection, or it broke.
    #[error("{method} {target}: {reason}: check that the app listens there")]
    Connection {
        /// The method.
        method: Method,
        /// The URL without its query.
        target: String,
        /// What the system or the protocol says.
        reason: String,
        /// Whether there was a connection, so that the request may have arrived.
        connected: bool,
    },
    /// No complete answer in time.
    #[error("{method} {target}: no complete answer within {timeout:?}")]
    Timeout {
        /// The method.
        method: Method,
        /// The URL without its query.
        target: String,
        /// The rule's timeout.
        timeout: Duration,
        /// Whether there was a connection, so that the request may have arrived.
        connected: bool,
    },
    /// An answer other than 2xx.
    #[error("{method} {target} answered {status}{}", if status.is_redirection() {
        "; redirects are not followed: give the final URL"
    } else {
        ""
    })]
    Status {
        /// The method.
        method: Method,
        /// The URL without its query.
        target: String,
        /// The answer's status.
        status: StatusCode,
    },
}

// === impl WebhookError ===

impl WebhookError {
    /// Whether the endpoint may have acted upon the request all the same.
    #[must_use]
    pub fn may_have_reached(&self) -> bool {
        match self {
            Self::Request { .. } => false,
            Self::Connection { connected, .. } | Self::Timeout { connected, .. } => *connected,
            Self::Status { .. } => true,
        }
    }
}

/// Calls the endpoint once.
///
/// # Errors
/// [`WebhookError`]
pub async fn run(action: &WebhookAction, change: &Change) -> Result<Outcome, WebhookError> {
    let deadline = Instant::now() + action.timeout;
    let late = |connected| WebhookError::Timeout {
        method: action.method.clone(),
        target: target(&action.url),
        timeout: action.timeout,
        connected,
    };
    let request = request(action, change)?;
    let stream = timeout_at(deadline, connect(action))
        .await
        .map_err(|_| late(false))??;
    let status = timeout_at(deadline, exchange(action, request, stream))
        .await
        .map_err(|_| late(true))??;
    let (method, target) = (action.method.clone(), target(&action.url));
    if !status.is_success() {
        return Err(WebhookError::Status {
            method,
            target,
            status,
        });
    }
    Ok(Outcome::Done(format!(
        "{method} {target} answered {status}"
    )))
}

/// The URL as it may be shown: user information and the query may be secret.
fn target(url: &Uri) -> String {
    let host = url.host().unwrap_or_default();
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("http://{host}{port}{}", url.path())
}

fn broken(action: &WebhookAction, connected: bool, error: &dyn std::error::Error) -> WebhookError {
    WebhookError::Connection {
        method: action.method.clone(),
        target: target(&action.url),
        reason: with_causes(error),
        connected,
    }
}

async fn connect(action: &WebhookAction) -> Result<TcpStream, WebhookError> {
    let host = action.url.host().unwrap_or_default();
    let port = action.url.port_u16().unwrap_or(80);
    TcpStream::connect(format!("{host}:{port}"))
        .await
        .map_err(|error| broken(action, false, &error))
}

async fn exchange(
    action: &WebhookAction,
    request: Request<Full<Bytes>>,
    stream: TcpStream,
) -> Result<StatusCode, WebhookError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(action, true, &error))?;
    let answer = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| broken(action, true, &error))?;
        let status = response.status();
        // Awaited so that the endpoint is not cut off; the status alone counts.
        let _ = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await;
        Ok(status)
    };
    // What ends a connection reaches the answer as well; the connection alone never decides.
    let driver = async {
        let _ = connection.await;
        future::pending().await
    };
    tokio::select! {
        biased;
        status = answer => status,
        status = driver => status,
    }
}

fn request(action: &WebhookAction, change: &Change) -> Result<Request<Full<Bytes>>, WebhookError> {
    let unfit = |reason: String| WebhookError::Request {
        method: action.method.clone(),
        target: target(&action.url),
        reason,
    };
    let path = action
        .url
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let host = action.url.host().unwrap_or_default();
    let host = match action.url.port_u16() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let mut request = Request::builder()
        .method(action.method.clone())
        .uri(path)
        .header(HOST, host)
        .header(USER_AGENT, AGENT);
    let mut body = Bytes::new();
    if action.method != Method::GET && action.method != Method::HEAD {
        body = payload::json(change)
            .map_err(|error| unfit(error.to_string()))?
            .into();
        request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    request
        .body(Full::new(body))
        .map_err(|error| unfit(error.to_string()))
}

/// hyper keeps what the system said in an error's source.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
