//! What is not attache's own goes to the API server: `kubectl proxy`, with streams, tunnels and
//! the caller's own credentials kept as they are.
//!
//! Reading order: [`policy`] (pure: what may go, and as which path), [`Proxy::answer`], then one
//! exchange: its headers (`headers`), how it is sent and sent again (`exchange`), its bodies
//! (`body`, `expect`), what an upgrade becomes (`tunnel`), and the answers that are the proxy's
//! own (`reply`).

use std::time::{Duration, Instant};

use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt as _, Either};
use hyper::body::{Body as _, Incoming};

use crate::config;
use crate::http::{Body, MustStay, Peer};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use crate::upstream::Upstream;

mod body;
mod exchange;
mod expect;
mod headers;
pub mod policy;
pub(crate) mod reply;
mod tunnel;

use body::Download;
use exchange::{Contact, Outgoing};
use expect::Expectation;
use policy::{Policy, Verdict};

/// Sends requests on to the API server.
pub struct Proxy {
    upstream: Upstream,
    policy: Policy,
    /// How long the head of an answer may take.
    timeout: Option<Duration>,
    metrics: Metrics,
    contact: Contact,
    stop: Shutdown,
}

// === impl Proxy ===

impl Proxy {
    /// A proxy for `upstream`; streams without end and tunnels end at `stop`.
    #[must_use]
    pub fn new(
        upstream: Upstream,
        config: &config::Proxy,
        metrics: Metrics,
        stop: Shutdown,
    ) -> Self {
        let policy = Policy::new(
            config.filter.clone(),
            &config.api_prefix,
            &upstream.server_path(),
            config.append_server_path,
        );
        Self {
            upstream,
            policy,
            timeout: config.request_timeout,
            metrics,
            contact: Contact::default(),
            stop,
        }
    }

    /// Answers a request of `peer`: with the API server's answer, unless the filter refuses it or
    /// there is none.
    pub async fn answer(&self, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        let started = Instant::now();
        let method = request.method().clone();
        let uri = request.uri().clone();
        let answer = match self.policy.decide(&method, uri.path(), uri.query()) {
            Verdict::Forward(target) => self.forward(request, target, peer).await,
            Verdict::Redirect(location) => reply::moved(&method, &location),
            Verdict::Forbidden => reply::forbidden(),
            Verdict::NotFound => reply::not_found(),
            Verdict::TooLong => reply::too_long(),
            Verdict::Malformed(reason) => reply::malformed(reason),
        };
        tracing::debug!(
            %method,
            path = uri.path(),
            status = answer.status().as_u16(),
            elapsed = ?started.elapsed(),
            "proxied"
        );
        answer
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        target: http::uri::PathAndQuery,
        peer: &Peer,
    ) -> Response<Body> {
        // A client that leaves ends what is done for it.
        let stay = peer.must_stay();
        let endless = policy::is_long_running(target.path(), target.query());
        let upgrade = headers::upgrade(&request);
        let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let mut outgoing = Outgoing {
            identity: headers::identity(&parts.headers),
            method: parts.method,
            target,
            headers: parts.headers,
        };
        let expectation = Expectation::of(&outgoing.headers, &body);
        let request = headers::Request {
            method: &outgoing.method,
            has_body: !body.is_end_stream(),
            upgrade: upgrade.as_ref(),
            peer: peer.address(),
        };
        headers::to_server(&mut outgoing.headers, &request);
        let is_head = outgoing.method == Method::HEAD;
        let timeout = self.timeout.filter(|_| !endless && upgrade.is_none());
        match self.exchange(outgoing, body, &expectation, timeout).await {
            Ok(answer) if answer.status() == http::StatusCode::SWITCHING_PROTOCOLS => {
                match client {
                    Some(client) => tunnel::open(answer, client, self.stop.clone()),
                    None => reply::bad_gateway("it changed the protocol without being asked to"),
                }
            }
            Ok(answer) => self.download(answer, stay, expectation, endless && !is_head),
            Err(failure) => failure.reply(),
        }
    }

    /// The API server's answer as the caller's.
    fn download(
        &self,
        answer: Response<Incoming>,
        stay: MustStay,
        expectation: Expectation,
        endless: bool,
    ) -> Response<Body> {
        let (mut parts, body) = answer.into_parts();
        // Ours, not the API server's (RFC 9110, section 2.5).
        parts.version = Version::HTTP_11;
        let refused = expectation.answered();
        headers::to_client(&mut parts.headers, refused.is_some());
        let stop = endless.then(|| self.stop.clone());
        let body = Download::new(body, stay, refused, stop);
        Response::from_parts(parts, Either::Right(body.boxed_unsync()))
    }
}
