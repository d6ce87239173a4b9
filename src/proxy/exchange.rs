//! One request to the API server and its answer, sent again where that is safe.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::UPGRADE;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper::body::{Body as _, Incoming};

use super::body::Progress;
use super::expect::Expectation;
use super::{Proxy, policy, reply};
use crate::http::Body;
use crate::metrics;
use crate::upstream::{Client, Identity, RequestBody, SendError, UpstreamError};

/// A request as the API server is to get it, but for its body.
#[derive(Clone)]
pub(super) struct Outgoing {
    pub(super) identity: Identity,
    pub(super) method: Method,
    pub(super) target: PathAndQuery,
    pub(super) headers: HeaderMap,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Client(#[from] UpstreamError),
    #[error("{0}")]
    Send(#[from] SendError),
    #[error("it did not answer within {0:?}, as --request-timeout asks")]
    Timeout(Duration),
}

/// Whether the last proxied request had an answer, so that an outage is told once.
#[derive(Default)]
pub(super) struct Contact {
    lost: AtomicBool,
}

// === impl Proxy ===

impl Proxy {
    /// Sends `outgoing` and returns the answer's head.
    pub(super) async fn exchange(
        &self,
        outgoing: Outgoing,
        body: Incoming,
        expectation: &Expectation,
        timeout: Option<Duration>,
    ) -> Result<Response<Incoming>, Failure> {
        let progress = Progress::begin();
        let sending = async {
            if body.is_end_stream() {
                self.send_until_answered(outgoing).await
            } else {
                let upload = RequestBody::new(expectation.upload(body, progress.clone()));
                self.send_once(outgoing, upload, expectation).await
            }
        };
        let answered = match timeout {
            None => sending.await,
            Some(limit) => {
                let answered = progress.within(limit, sending).await;
                answered.unwrap_or(Err(Failure::Timeout(limit)))
            }
        };
        match &answered {
            Ok(_) => self.contact.kept(),
            Err(failure) => {
                let reason = failure.reason();
                let series = metrics::Reason { reason };
                self.metrics.proxy_errors.get_or_create(&series).inc();
                if failure.is_the_callers() {
                    tracing::debug!(%failure, "a request's body broke off");
                } else {
                    self.contact.lost(&self.upstream.server(), failure);
                }
            }
        }
        answered
    }

    /// Without a body a request can be sent again: with newer credentials if the API server
    /// refused it (401) or could not be trusted, and once if it is safe (RFC 9110, section 9.2.1),
    /// asks for no upgrade (a WebSocket's GET may start a command) and the connection broke, as
    /// one that was idle for long may.
    async fn send_until_answered(&self, outgoing: Outgoing) -> Result<Response<Incoming>, Failure> {
        let (mut renewed, mut resent) = (false, false);
        loop {
            let client = self.upstream.proxy_client(outgoing.identity).await?;
            let sent = client
                .send(outgoing.clone().with(RequestBody::empty()))
                .await;
            let broken = matches!(sent, Err(SendError::Broken { .. }));
            if !renewed
                && self
                    .renews(&client, outgoing.identity, &outgoing.target, &sent)
                    .await
            {
                renewed = true;
                // What broke off may have been done.
                if !broken || outgoing.is_repeatable() {
                    continue;
                }
            }
            match sent {
                Err(SendError::Broken { reused: true, .. })
                    if !resent && outgoing.is_repeatable() =>
                {
                    resent = true;
                }
                sent => return Ok(sent?),
            }
        }
    }

    /// With a body the next request is the one that gains by newer credentials.
    async fn send_once(
        &self,
        outgoing: Outgoing,
        body: RequestBody,
        expectation: &Expectation,
    ) -> Result<Response<Incoming>, Failure> {
        let (identity, target) = (outgoing.identity, outgoing.target.clone());
        let client = self.upstream.proxy_client(identity).await?;
        let mut request = outgoing.with(body);
        expectation.listen(&mut request);
        let sent = client.send(request).await;
        self.renews(&client, identity, &target, &sent).await;
        Ok(sent?)
    }

    /// Reads the credentials again where their age may be why there is no answer, or this one.
    async fn renews(
        &self,
        client: &Client,
        identity: Identity,
        target: &PathAndQuery,
        sent: &Result<Response<Incoming>, SendError>,
    ) -> bool {
        let stale = match sent {
            // That of a pod, a service or a node says nothing of our credentials.
            Ok(answer) => {
                answer.status() == StatusCode::UNAUTHORIZED
                    && identity == Identity::Own
                    && !policy::is_subresource_proxy(target.path())
            }
            Err(error) => error.is_tls(),
        };
        // Boxed, for it is rare and large: every request would carry room for it.
        stale && Box::pin(self.upstream.renew(client.generation)).await
    }
}

// === impl Outgoing ===

impl Outgoing {
    fn is_repeatable(&self) -> bool {
        self.method.is_safe() && !self.headers.contains_key(UPGRADE)
    }

    fn with(self, body: RequestBody) -> Request<RequestBody> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from(self.target);
        *request.headers_mut() = self.headers;
        request
    }
}

// === impl Failure ===

impl Failure {
    /// The metric's label.
    fn reason(&self) -> &'static str {
        match self {
            Self::Client(_) => "credentials",
            Self::Send(SendError::Connect(_)) => "connect",
            Self::Send(SendError::Broken { .. }) => "broken",
            Self::Send(SendError::Body(_)) => "body",
            Self::Timeout(_) => "timeout",
        }
    }

    /// Whether the API server has no part in it.
    fn is_the_callers(&self) -> bool {
        matches!(self, Self::Send(SendError::Body(_)))
    }

    /// What the caller gets.
    pub(super) fn reply(&self) -> Response<Body> {
        match self {
            Self::Timeout(_) => reply::gateway_timeout(&self.to_string()),
            Self::Send(SendError::Body(reason)) => reply::malformed(reason),
            _ => reply::bad_gateway(&self.to_string()),
        }
    }
}

// === impl Contact ===

impl Contact {
    fn kept(&self) {
        if self.lost.swap(false, Ordering::Relaxed) {
            tracing::info!("the API server answers proxied requests again");
        }
    }

    fn lost(&self, server: &str, failure: &Failure) {
        if self.lost.swap(true, Ordering::Relaxed) {
            tracing::debug!(server, %failure, "a proxied request failed");
        } else {
            tracing::warn!(server, %failure, "a proxied request failed; its caller gets a Status, and each next one is tried anew");
        }
    }
}
