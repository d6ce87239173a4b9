//! Who answers: the Host filter first, then attache's own endpoints; what is left over is the
//! API server's.
//!
//! Reading order: `host` (who may ask at all), [`Router`] (where a request goes), `outside` (what
//! is not attache's own), then how it is counted.

use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use regex_lite::Regex;

use crate::api::body::RequestBody;
use crate::api::kv::{self, Target, target};
use crate::api::problem::{problem, read_only};
use crate::api::query::Query;
use crate::api::{Answer, Api, discover, writes};
use crate::config::OWN_ROUTES;
use crate::http::{self as server, Body, Handler, Peer};

mod host;
mod meter;
mod outside;
mod www;

use host::HostFilter;
use meter::Meter;
pub use outside::Outside;

/// The longest request target that our own routes answer, in bytes; a longer one gets 414.
pub const MAX_TARGET: usize = 8 * 1024;

/// The largest request head that our own routes answer, in bytes: names, values and four more a header,
/// as they are sent. A larger one gets 431.
pub const MAX_HEAD: usize = 32 * 1024;

/// A route of ours. Metrics name it by its pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Object,
    Key,
    Services,
    Service,
    Live,
    Ready,
    Metrics,
    Status,
    OpenApi,
    /// No route of ours.
    Other,
    /// The API server's.
    Proxy,
    /// A static file.
    Www,
}

impl Route {
    const ALL: [Route; 12] = [
        Route::Object,
        Route::Key,
        Route::Services,
        Route::Service,
        Route::Live,
        Route::Ready,
        Route::Metrics,
        Route::Status,
        Route::OpenApi,
        Route::Other,
        Route::Proxy,
        Route::Www,
    ];

    fn is_ours(self) -> bool {
        !matches!(self, Route::Other | Route::Proxy | Route::Www)
    }

    fn pattern(self) -> &'static str {
        match self {
            Route::Object => "/kv/{namespace}/{name}",
            Route::Key => "/kv/{namespace}/{name}/{key}",
            Route::Services => "/discover/{namespace}",
            Route::Service => "/discover/{namespace}/{service}",
            Route::Live => "/-/live",
            Route::Ready => "/-/ready",
            Route::Metrics => "/-/metrics",
            Route::Status => "/-/status",
            Route::OpenApi => "/-/openapi.json",
            Route::Other => "other",
            Route::Proxy => "proxy",
            Route::Www => "www",
        }
    }
}

/// Why no route sees a request.
struct Refusal {
    status: StatusCode,
    detail: String,
}

impl Refusal {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, detail }
    }
}

/// A listener's routes.
pub struct Router {
    api: Arc<Api>,
    /// `None` on the admin listener: the kubelet sends the pod's IP.
    hosts: Option<HostFilter>,
    own_routes: bool,
    routes: matchit::Router<Route>,
    /// Who answers what is not ours.
    outside: Option<Outside>,
    meter: Meter,
}

// === impl Router ===

impl Router {
    /// The main listener's, for the hosts that one of `accept_hosts` matches: our own routes if
    /// `own_routes`, and what is `outside`.
    ///
    /// # Errors
    /// Never, unless two of our own routes collide.
    pub fn new(
        api: Arc<Api>,
        accept_hosts: Vec<Regex>,
        own_routes: bool,
        outside: Option<Outside>,
    ) -> Result<Self, matchit::InsertError> {
        let hosts = Some(HostFilter::new(accept_hosts));
        let served = Route::ALL.into_iter();
        let served: Vec<Route> = served.filter(|r| own_routes && r.is_ours()).collect();
        Self::with(api, hosts, &served, outside)
    }

    /// The admin listener's: live, ready and metrics, for any host.
    ///
    /// # Errors
    /// Never, unless two of our own routes collide.
    pub fn admin(api: Arc<Api>) -> Result<Self, matchit::InsertError> {
        let served = [Route::Live, Route::Ready, Route::Metrics];
        Self::with(api, None, &served, None)
    }

    fn with(
        api: Arc<Api>,
        hosts: Option<HostFilter>,
        served: &[Route],
        outside: Option<Outside>,
    ) -> Result<Self, matchit::InsertError> {
        let mut routes = matchit::Router::new();
        for route in served {
            routes.insert(route.pattern(), *route)?;
        }
        let meter = Meter::new(&api.metrics);
        Ok(Self {
            api,
            hosts,
            own_routes: !served.is_empty(),
            routes,
            outside,
            meter,
        })
    }

    /// Who answers a request for `path`, if not our own routes.
    fn outside(&self, path: &str) -> Option<&Outside> {
        let ours = self.own_routes && is_own(path);
        self.outside.as_ref().filter(|_| !ours)
    }

    async fn answer(&self, request: &Parts, body: &mut RequestBody, peer: &Peer) -> Answer {
        let started = Instant::now();
        if let Err(refusal) = self.admit(request) {
            self.meter.refused(refusal.status);
            return problem(refusal.status, refusal.detail);
        }
        let (route, answer) = self.dispatch(request, body, peer).await;
        self.meter.answered(route, answer.status(), started);
        answer
    }

    /// What holds for every route: the host, and the size of the head.
    fn admit(&self, request: &Parts) -> Result<(), Refusal> {
        if let Some(hosts) = &self.hosts {
            hosts.admit(&request.uri, request.version, &request.headers)?;
        }
        let target = request.uri.path().len() + request.uri.query().map_or(0, |q| q.len() + 1);
        if target > MAX_TARGET {
            return Err(Refusal::new(
                StatusCode::URI_TOO_LONG,
                format!("the request target has {target} bytes: send at most {MAX_TARGET}"),
            ));
        }
        let head = target + size(&request.headers);
        if head > MAX_HEAD {
            return Err(Refusal::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                format!("the request's head has {head} bytes: send at most {MAX_HEAD}"),
            ));
        }
        Ok(())
    }

    async fn dispatch(
        &self,
        request: &Parts,
        body: &mut RequestBody,
        peer: &Peer,
    ) -> (Route, Answer) {
        let path = request.uri.path();
        let Ok(matched) = self.routes.at(path) else {
            return (Route::Other, self.elsewhere(request));
        };
        let route = *matched.value;
        let segment = |name| matched.params.get(name);
        let namespace = segment("namespace").unwrap_or_default();
        let reads = request.method == Method::GET || request.method == Method::HEAD;
        let answer = match route {
            Route::Object | Route::Key => {
                let name = segment("name").unwrap_or_default();
                match Target::parse(namespace, name, segment("key")) {
                    Ok(target) if reads => self.read(request, &target, peer).await,
                    // Boxed, so that a connection that only reads does not hold room for it.
                    Ok(target) => Box::pin(self.write(request, &target, body)).await,
                    Err(malformed) => malformed.into(),
                }
            }
            _ if !reads => read_only(),
            Route::Services | Route::Service => {
                let service = segment("service");
                Box::pin(self.discover(request, namespace, service, peer)).await
            }
            Route::Live => self.api.live(),
            Route::Ready => self.api.ready(),
            Route::Metrics => self.api.metrics(),
            Route::Status => self.api.status(),
            Route::OpenApi => self.api.openapi(),
            Route::Other | Route::Proxy | Route::Www => self.elsewhere(request),
        };
        (route, answer)
    }

    async fn read(&self, request: &Parts, target: &Target<'_>, peer: &Peer) -> Answer {
        match Query::parse(request.uri.query(), kv::PARAMETERS) {
            Ok(query) => self.api.kv(target, &query, request, peer).await,
            Err(refusal) => refusal,
        }
    }

    async fn write(&self, request: &Parts, target: &Target<'_>, body: &mut RequestBody) -> Answer {
        // The app may write, a page in somebody's browser may not.
        let admitted = self
            .hosts
            .as_ref()
            .map(|h| h.admit_origin(&request.headers));
        if let Some(Err(refusal)) = admitted {
            return problem(refusal.status, refusal.detail);
        }
        let query = Query::parse(request.uri.query(), writes::PARAMETERS);
        self.api.write(target, query, request, body).await
    }

    async fn discover(
        &self,
        request: &Parts,
        namespace: &str,
        service: Option<&str>,
        peer: &Peer,
    ) -> Answer {
        let known = match service {
            Some(_) => discover::OF_SERVICE,
            None => discover::OF_NAMESPACE,
        };
        match Query::parse(request.uri.query(), known) {
            Ok(query) => {
                let asked = self.api.discover(namespace, service, &query, request, peer);
                asked.await
            }
            Err(refusal) => refusal,
        }
    }

    /// What no route of ours matched, and nobody else answers.
    fn elsewhere(&self, request: &Parts) -> Answer {
        let path = request.uri.path();
        if request.method == Method::CONNECT {
            return read_only();
        }
        match path.strip_prefix("/kv") {
            Some(rest) if self.hosts.is_some() && (rest.is_empty() || rest.starts_with('/')) => {
                target::misshapen(rest)
            }
            _ => problem(
                StatusCode::NOT_FOUND,
                "attache serves nothing here: read /kv/{namespace}/{configmap}, \
                 /kv/{namespace}/{configmap}/{key}, /discover/{namespace}, \
                 /discover/{namespace}/{service}, /-/live, /-/ready, /-/metrics, /-/status or \
                 /-/openapi.json",
            ),
        }
    }
}

impl Handler for Router {
    async fn handle(&self, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        if let Some(outside) = self.outside(request.uri().path()) {
            // Boxed, so that a connection that only reads keys does not hold room for it.
            return Box::pin(self.answer_outside(outside, request, peer)).await;
        }
        let (request, body) = request.into_parts();
        let mut body = RequestBody::new(body);
        let mut answer = self.answer(&request, &mut body, peer).await;
        if body.is_unread() {
            // What is left of it must not be taken for a next request (RFC 9112, sections 6.3
            // and 9.3).
            server::close(answer.headers_mut());
        }
        answer
    }
}

/// Whether `path` is one of ours, or where one of ours could be.
fn is_own(path: &str) -> bool {
    let first = path
        .strip_prefix('/')
        .and_then(|path| path.split('/').next());
    first.is_some_and(|first| OWN_ROUTES.contains(&first))
}

fn size(headers: &HeaderMap) -> usize {
    let sizes = headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 4);
    sizes.sum()
}

#[cfg(test)]
mod tests;
