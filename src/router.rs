//! Who answers: the Host filter first, then attache's own endpoints. What is left over will be
//! the API server's.
//!
//! Reading order: `host` (who may ask at all), [`Router`] (where a request goes), then how it
//! is counted.

use std::sync::Arc;
use std::time::Instant;

use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Either;
use hyper::body::{Body as _, Incoming};
use regex_lite::Regex;

use crate::api::kv::{Target, target};
use crate::api::problem::{problem, read_only};
use crate::api::{Answer, Api};
use crate::http::{Body, Handler};

mod host;
mod meter;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the router does not dispatch to it yet")
)]
mod www;

use host::HostFilter;
use meter::Meter;

/// The longest request target that is answered, in bytes; a longer one gets 414.
pub const MAX_TARGET: usize = 8 * 1024;

/// The largest request head that is answered, in bytes: names, values and four more a header,
/// as they are sent. A larger one gets 431.
pub const MAX_HEAD: usize = 32 * 1024;

/// A route of ours. Metrics name it by its pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Object,
    Key,
    Live,
    Ready,
    Metrics,
    Status,
    /// No route of ours.
    Other,
}

impl Route {
    const ALL: [Route; 7] = [
        Route::Object,
        Route::Key,
        Route::Live,
        Route::Ready,
        Route::Metrics,
        Route::Status,
        Route::Other,
    ];

    fn pattern(self) -> &'static str {
        match self {
            Route::Object => "/kv/{namespace}/{name}",
            Route::Key => "/kv/{namespace}/{name}/{key}",
            Route::Live => "/-/live",
            Route::Ready => "/-/ready",
            Route::Metrics => "/-/metrics",
            Route::Status => "/-/status",
            Route::Other => "other",
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
    routes: matchit::Router<Route>,
    meter: Meter,
}

// === impl Router ===

impl Router {
    /// The main listener's: all routes, for the hosts that one of `accept_hosts` matches.
    ///
    /// # Errors
    /// Never, unless two of our own routes collide.
    pub fn new(api: Arc<Api>, accept_hosts: Vec<Regex>) -> Result<Self, matchit::InsertError> {
        let hosts = Some(HostFilter::new(accept_hosts));
        let ours = &Route::ALL[..Route::ALL.len() - 1];
        Self::with(api, hosts, ours)
    }

    /// The admin listener's: live, ready and metrics, for any host.
    ///
    /// # Errors
    /// Never, unless two of our own routes collide.
    pub fn admin(api: Arc<Api>) -> Result<Self, matchit::InsertError> {
        Self::with(api, None, &[Route::Live, Route::Ready, Route::Metrics])
    }

    fn with(
        api: Arc<Api>,
        hosts: Option<HostFilter>,
        served: &[Route],
    ) -> Result<Self, matchit::InsertError> {
        let mut routes = matchit::Router::new();
        for route in served {
            routes.insert(route.pattern(), *route)?;
        }
        let meter = Meter::new(&api.metrics);
        Ok(Self {
            api,
            hosts,
            routes,
            meter,
        })
    }

    async fn answer(&self, request: &Parts) -> Answer {
        let started = Instant::now();
        if let Err(refusal) = self.admit(request) {
            self.meter.refused(refusal.status);
            return problem(refusal.status, refusal.detail);
        }
        let (route, answer) = self.dispatch(request).await;
        self.meter.answered(route, answer.status(), started);
        answer
    }

    /// What holds for every route: the host, and the size of the head.
    fn admit(&self, request: &Parts) -> Result<(), Refusal> {
        if let Some(hosts) = &self.hosts {
            hosts.admit(request)?;
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

    async fn dispatch(&self, request: &Parts) -> (Route, Answer) {
        let path = request.uri.path();
        let Ok(matched) = self.routes.at(path) else {
            return (Route::Other, self.elsewhere(request));
        };
        let route = *matched.value;
        if request.method != Method::GET && request.method != Method::HEAD {
            return (route, read_only());
        }
        let answer = match route {
            Route::Object | Route::Key => {
                let segment = |name| matched.params.get(name);
                let (namespace, name) = (segment("namespace"), segment("name"));
                self.kv(request, namespace, name, segment("key")).await
            }
            Route::Live => self.api.live(),
            Route::Ready => self.api.ready(),
            Route::Metrics => self.api.metrics(),
            Route::Status => self.api.status(),
            Route::Other => self.elsewhere(request),
        };
        (route, answer)
    }

    async fn kv(
        &self,
        request: &Parts,
        namespace: Option<&str>,
        name: Option<&str>,
        key: Option<&str>,
    ) -> Answer {
        if request.uri.query().is_some_and(|query| !query.is_empty()) {
            let detail = "this route takes no query parameters: leave out everything from the ? on";
            return problem(StatusCode::BAD_REQUEST, detail);
        }
        match Target::parse(namespace.unwrap_or_default(), name.unwrap_or_default(), key) {
            Ok(target) => self.api.kv(&target, &request.headers).await,
            Err(malformed) => malformed.into(),
        }
    }

    /// What no route of ours matched. Paths outside `/kv` and `/-/` belong to the API server
    /// (`kubectl proxy` serves them there): its proxy goes here.
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
                 /kv/{namespace}/{configmap}/{key}, /-/live, /-/ready, /-/metrics or /-/status",
            ),
        }
    }
}

impl Handler for Router {
    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let (request, body) = request.into_parts();
        // Our routes read no bodies. What is left unread must not be taken for a next request
        // (RFC 9112, sections 6.3 and 9.3), so the connection ends.
        let unread = !body.is_end_stream();
        drop(body);
        let mut answer = self.answer(&request).await;
        if unread {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
        answer.map(Either::Left)
    }
}

fn size(headers: &HeaderMap) -> usize {
    let sizes = headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 4);
    sizes.sum()
}

#[cfg(test)]
mod tests;
