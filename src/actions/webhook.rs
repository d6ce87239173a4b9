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
//! An answer of 2xx is success, or one of those that the rule expects. Redirects are not followed.
//! Each call has a connection of its own, and reads the files of the rule anew.

mod connect;
mod error;
mod headers;

use bytes::Bytes;
use futures_util::future;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use super::{Change, Outcome, payload};
use crate::config::WebhookAction;
use connect::Stream;
pub use error::WebhookError;
use error::{broken, target, unfit};

/// How much of an answer's body is awaited; it is not used.
const MAX_ANSWER: usize = 64 * 1024;
/// What to do about a connection that broke.
const NO_ANSWER: &str = "check that the app listens there and answers in HTTP/1.1";
const AGENT: &str = concat!("attache/", env!("CARGO_PKG_VERSION"));

/// Calls the endpoint once.
///
/// # Errors
/// [`WebhookError`]
pub async fn run(action: &WebhookAction, change: &Change) -> Result<Outcome, WebhookError> {
    let deadline = Instant::now() + action.timeout;
    let late = |connected| WebhookError::Timeout {
        method: action.method.clone(),
        target: target(action),
        timeout: action.timeout,
        connected,
    };
    let ready = async {
        let headers = headers::read(action).await?;
        let request = request(action, change, headers)?;
        Ok((request, connect::connect(action).await?))
    };
    let (request, stream) = timeout_at(deadline, ready)
        .await
        .map_err(|_| late(false))??;
    let status = timeout_at(deadline, exchange(action, request, stream))
        .await
        .map_err(|_| late(true))??;
    let (method, target) = (action.method.clone(), target(action));
    let expected = if action.expect.is_empty() {
        status.is_success()
    } else {
        action.expect.contains(&status)
    };
    if !expected {
        return Err(WebhookError::Status {
            method,
            target,
            status,
            expect: action.expect.clone(),
        });
    }
    Ok(Outcome::Done(format!(
        "{method} {target} answered {status}"
    )))
}

async fn exchange(
    action: &WebhookAction,
    request: Request<Full<Bytes>>,
    stream: Stream,
) -> Result<StatusCode, WebhookError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(action, true, &error, NO_ANSWER))?;
    let answer = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| broken(action, true, &error, NO_ANSWER))?;
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

/// A request with `headers`, which stand for those that attache would set itself.
fn request(
    action: &WebhookAction,
    change: &Change,
    headers: HeaderMap,
) -> Result<Request<Full<Bytes>>, WebhookError> {
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
            .map_err(|error| unfit(action, error.to_string()))?
            .into();
        request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let mut request = request
        .body(Full::new(body))
        .map_err(|error| unfit(action, error.to_string()))?;
    request.headers_mut().extend(headers);
    Ok(request)
}

#[cfg(test)]
mod tests;
