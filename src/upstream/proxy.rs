//! The clients of proxied requests: HTTP/1.1, so that every request can become a tunnel.

use std::io;
use std::time::{Duration, Instant};

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::ConfigExt as _;
use kube::config::AuthInfo;
use kube::{Config, Error};
use tower::util::{BoxCloneSyncService, Either};
use tower::{BoxError, ServiceBuilder, ServiceExt as _};

use super::UpstreamError;
use super::body::RequestBody;
use super::connection::{self, HttpVersions};
use super::heard::{Heard, Opened};
use super::words::causes;

/// The most bytes of an exchange that one connection buffers, and of an answer's head.
const MAX_BUFFER: usize = 64 * 1024;

/// The idle connections that are kept for a next request.
const MAX_IDLE: usize = 32;

const IMPERSONATE_USER: HeaderName = HeaderName::from_static("impersonate-user");
const IMPERSONATE_GROUP: HeaderName = HeaderName::from_static("impersonate-group");

/// Whose request goes to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// attache's: its token, client certificate and impersonation.
    Own,
    /// The caller's, who sent an Authorization of its own: nothing is added, not even a client
    /// certificate, which the API server would believe before the token.
    Caller,
}

/// Sends proxied requests; cheap to clone.
#[derive(Clone)]
pub struct ProxyClient {
    service: BoxCloneSyncService<Request<RequestBody>, Response<Incoming>, BoxError>,
    impersonation: HeaderMap,
    /// Given to [`Upstream::refresh`](super::Upstream::refresh) when the API server refuses the
    /// credentials.
    pub generation: u64,
}

/// Why a proxied request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is no connection: nothing was sent.
    #[error("{}", causes(.0))]
    Connect(#[source] legacy::Error),
    /// The request's body failed: the caller's fault, and no answer can come.
    #[error("{0}")]
    Body(String),
    /// The connection ended before an answer began.
    #[error("{}", causes(.error))]
    Broken {
        /// How.
        #[source]
        error: legacy::Error,
        /// It had served other requests and was idle, so that it may have been gone before this
        /// one was sent.
        reused: bool,
    },
    /// A token could not be had.
    #[error("no credentials: {0}")]
    Credentials(String),
}

// === impl SendError ===

impl SendError {
    /// Whether TLS failed, at the server's certificate or at ours.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        match self {
            Self::Connect(error) | Self::Broken { error, .. } => {
                find::<rustls::Error>(error).is_some()
            }
            Self::Body(_) | Self::Credentials(_) => false,
        }
    }
}

// === impl ProxyClient ===

impl ProxyClient {
    /// Makes a client. Runs exec plugins: blocking.
    pub(super) fn new(
        mut config: Config,
        keepalive: Option<Duration>,
        identity: Identity,
        generation: u64,
    ) -> Result<Self, UpstreamError> {
        if identity == Identity::Caller {
            config.auth_info = AuthInfo::default();
        }
        let auth = config.auth_layer()?;
        if auth.is_some() {
            connection::has_token(&mut config);
        }
        // What the watches hear is theirs alone.
        let https = connection::https(&config, keepalive, Heard::new(), HttpVersions::Http1)?;
        let mut http = legacy::Client::builder(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(MAX_IDLE)
            .http1_max_buf_size(MAX_BUFFER);
        let stack = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .layer(match auth {
                Some(auth) => Either::Left(auth),
                None => Either::Right(tower::layer::util::Identity::new()),
            })
            .map_err(BoxError::from)
            .service(http.build::<_, RequestBody>(https));
        Ok(Self {
            service: BoxCloneSyncService::new(stack.map_err(Into::into)),
            impersonation: impersonation(&config.auth_info)?,
            generation,
        })
    }

    /// Sends a request whose target is a path below the server's own, and returns once the
    /// answer's head is there.
    ///
    /// # Errors
    /// [`SendError`]; an answer of any status is none.
    pub async fn send(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendError> {
        // As with kubectl, who asks to be someone is not made someone else.
        let headers = request.headers_mut();
        if !self.impersonation.is_empty() && !headers.contains_key(IMPERSONATE_USER) {
            remove_impersonation(headers);
            headers.extend(self.impersonation.clone());
        }
        let began = Instant::now();
        let sent = self.service.clone().oneshot(request).await;
        sent.map_err(|error| match error.downcast::<legacy::Error>() {
            Ok(error) if error.is_connect() => SendError::Connect(*error),
            Ok(error) => match find::<BodyError>(&*error) {
                Some(fault) => SendError::Body(fault.to_string()),
                None => SendError::Broken {
                    reused: opened(&error).is_some_and(|opened| opened < began),
                    error: *error,
                },
            },
            Err(error) => SendError::Credentials(causes(&*error)),
        })
    }
}

/// When the connection was opened on which `error` occurred.
fn opened(error: &legacy::Error) -> Option<Instant> {
    let mut extras = http::Extensions::new();
    error.connect_info()?.get_extras(&mut extras);
    extras.get::<Opened>().map(|opened| opened.0)
}

/// Groups and the like without a user are nobody's: with ours they would be ours.
fn remove_impersonation(headers: &mut HeaderMap) {
    let asked: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("impersonate-"))
        .cloned()
        .collect();
    for name in asked {
        headers.remove(name);
    }
}

fn impersonation(auth: &AuthInfo) -> Result<HeaderMap, Error> {
    let value = |text: &String| HeaderValue::try_from(text).map_err(|e| Error::HttpError(e.into()));
    let mut headers = HeaderMap::new();
    if let Some(user) = &auth.impersonate {
        headers.insert(IMPERSONATE_USER, value(user)?);
    }
    for group in auth.impersonate_groups.iter().flatten() {
        headers.append(IMPERSONATE_GROUP, value(group)?);
    }
    Ok(headers)
}

/// Why a request's body cannot be read to its end: how it says so to [`ProxyClient::send`].
#[derive(Debug, thiserror::Error)]
#[error("{}", causes(.0))]
pub struct BodyError(#[source] pub hyper::Error);

/// The first cause of this type.
fn find<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        // An io::Error shows its cause's cause, and hides its cause.
        let hidden = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        let hidden = hidden.and_then(|inner| inner.downcast_ref::<E>());
        if let Some(found) = error.downcast_ref::<E>().or(hidden) {
            return Some(found);
        }
        next = error.source();
    }
    None
}
