//! What is not attache's own: the API server's.

use std::time::Instant;

use http::{Request, Response};
use hyper::body::Incoming;

use super::{Route, Router};
use crate::http::{Body, Peer};
use crate::proxy::{Proxy, reply};

/// Who answers what is not attache's own.
pub struct Outside {
    proxy: Proxy,
    /// Whether the Host filter holds here, too.
    filters_hosts: bool,
}

// === impl Outside ===

impl Outside {
    /// The API server, through `proxy`, for any host unless `filters_hosts`.
    #[must_use]
    pub fn new(proxy: Proxy, filters_hosts: bool) -> Self {
        Self {
            proxy,
            filters_hosts,
        }
    }
}

// === impl Router ===

impl Router {
    pub(super) async fn answer_outside(
        &self,
        outside: &Outside,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> Response<Body> {
        let started = Instant::now();
        if let Some(hosts) = self.hosts.as_ref().filter(|_| outside.filters_hosts)
            && let Err(refusal) = hosts.admit(request.uri(), request.version(), request.headers())
        {
            self.meter.refused(refusal.status);
            return reply::refused(refusal.status, &refusal.detail);
        }
        let answer = outside.proxy.answer(request, peer).await;
        self.meter.answered(Route::Proxy, answer.status(), started);
        answer
    }
}
