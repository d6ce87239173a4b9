//! What is not attache's own: static files, and the API server's.

use std::time::Instant;

use http::{Request, Response, StatusCode};
use http_body_util::Either;
use hyper::body::{Body as _, Incoming};

use super::www::Www;
use super::{Refusal, Route, Router};
use crate::config;
use crate::http::{self as server, Body, Peer};
use crate::proxy::{Proxy, policy, reply};

/// Who answers what is not attache's own.
pub struct Outside {
    proxy: Proxy,
    www: Option<Www>,
    /// Where the API begins; it has the paths that it and the static files could both serve, if
    /// it is the longer one.
    api_prefix: String,
    /// Whether the Host filter holds here, too.
    filters_hosts: bool,
}

// === impl Outside ===

impl Outside {
    /// The API server through `proxy`, and the files that `config` names; for any host unless
    /// the configuration has a filter.
    #[must_use]
    pub fn new(proxy: Proxy, config: &config::Proxy) -> Self {
        Self {
            proxy,
            www: config.www.clone().map(Www::new),
            api_prefix: config.api_prefix.clone(),
            filters_hosts: config.filter.is_some(),
        }
    }

    /// Who serves a file for `path`. A path that is not clean is left to the proxy's redirect.
    fn files(&self, path: &str) -> Option<&Www> {
        let www = self.www.as_ref().filter(|www| www.serves(path))?;
        let is_api = path.starts_with(&self.api_prefix) && self.api_prefix.len() > www.prefix_len();
        (!is_api && policy::is_clean(path)).then_some(www)
    }
}

// === impl Router ===

impl Router {
    /// Answers what is `outside`, and ends the connection where that leaves the request's body
    /// unread (RFC 9112, sections 6.3 and 9.3).
    pub(super) async fn answer_outside(
        &self,
        outside: &Outside,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> Response<Body> {
        let started = Instant::now();
        let has_body = !request.body().is_end_stream();
        let (route, mut answer) = match self.admit_outside(outside, &request) {
            Err(refusal) => {
                self.meter.refused(refusal.status);
                (None, reply::refused(refusal.status, &refusal.detail))
            }
            Ok(()) => match outside.files(request.uri().path()) {
                Some(www) => (Some(Route::Www), www.answer(&request.into_parts().0).await),
                None => (
                    Some(Route::Proxy),
                    outside.proxy.answer(request, peer).await,
                ),
            },
        };
        if has_body && (route != Some(Route::Proxy) || is_own(&answer)) {
            server::close(answer.headers_mut());
        }
        if let Some(route) = route {
            self.meter.answered(route, answer.status(), started);
        }
        answer
    }

    /// The Host filter, if it holds here.
    fn admit_outside(&self, outside: &Outside, request: &Request<Incoming>) -> Result<(), Refusal> {
        let Some(hosts) = self.hosts.as_ref().filter(|_| outside.filters_hosts) else {
            return Ok(());
        };
        hosts.admit(request.uri(), request.version(), request.headers())?;
        hosts.admit_origin(request.headers())
    }
}

/// Whether an answer of the proxy's is its own: those are held whole, and given without the
/// request's body or after its end. A tunnel is no such answer.
fn is_own(answer: &Response<Body>) -> bool {
    matches!(answer.body(), Either::Left(_)) && answer.status() != StatusCode::SWITCHING_PROTOCOLS
}
