//! What is not attache's own: static files, and the API server's.

use std::time::Instant;

use http::{Request, Response};
use hyper::body::Incoming;

use super::www::Www;
use super::{Route, Router};
use crate::config;
use crate::http::{Body, Peer};
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
    pub(super) async fn answer_outside(
        &self,
        outside: &Outside,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> Response<Body> {
        let started = Instant::now();
        let hosts = self.hosts.as_ref().filter(|_| outside.filters_hosts);
        if let Some(hosts) = hosts
            && let Err(refusal) = hosts
                .admit(request.uri(), request.version(), request.headers())
                .and_then(|()| hosts.admit_origin(request.headers()))
        {
            self.meter.refused(refusal.status);
            return reply::refused(refusal.status, &refusal.detail);
        }
        let (route, answer) = match outside.files(request.uri().path()) {
            Some(www) => {
                let (request, body) = request.into_parts();
                let mut answer = www.answer(&request).await;
                super::close_unless_read(&body, &mut answer);
                (Route::Www, answer)
            }
            None => (Route::Proxy, outside.proxy.answer(request, peer).await),
        };
        self.meter.answered(route, answer.status(), started);
        answer
    }
}
