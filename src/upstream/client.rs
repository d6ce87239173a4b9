//! The clients: of the watches, on one HTTP/2 connection, and of proxied requests, over HTTP/1.1,
//! so that every request can become a tunnel.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::config::AuthInfo;
use tokio::time::Instant;

use super::UpstreamError;
use super::authorization::{Authorization, impersonation, sign};
use super::body::RequestBody;
use super::connection::{self, HttpVersions, Https, PING};
use super::heard::{Heard, Opened};
use super::loaded::Loaded;
use super::plugin::Plugin;
use super::slot::Lasting;
use super::tls;
use super::words::causes;

/// The most bytes of a proxied exchange that one connection buffers, and of an answer's head.
const MAX_BUFFER: usize = 64 * 1024;

/// The idle connections that are kept for a next proxied request.
const MAX_IDLE: usize = 32;

/// Whose request goes to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// attache's: its token, client certificate and impersonation.
    Own,
    /// The caller's, who sent an Authorization of its own: nothing is added, not even a client
    /// certificate, which the API server would believe before the token.
    Caller,
}

/// Sends requests to the API server; cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: legacy::Client<Https, RequestBody>,
    shared: Arc<Shared>,
    /// Given to [`Upstream::refresh`](super::Upstream::refresh) when the API server refuses the
    /// credentials.
    pub generation: u64,
}

struct Shared {
    server: Uri,
    authorization: Authorization,
    impersonation: HeaderMap,
    /// When a plugin is to be asked for other credentials.
    renew: Option<Instant>,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is no connection: nothing was sent.
    #[error("{}", causes(.0))]
    Connect(#[source] legacy::Error),
    /// The request's target or its body cannot be sent: the caller's fault, and no answer can come.
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
            Self::Body(_) => false,
        }
    }
}

// === impl Client ===

impl Lasting for Client {
    fn lasts(&self) -> bool {
        self.shared.renew.is_none_or(|renew| Instant::now() < renew)
    }
}

impl Client {
    /// Makes a client. Reads files and runs credential plugins: blocking.
    pub(super) fn new(
        loaded: &Loaded,
        keepalive: Option<Duration>,
        heard: Heard,
        versions: HttpVersions,
        identity: Identity,
        generation: u64,
    ) -> Result<Self, UpstreamError> {
        let mut config = loaded.config.clone();
        let mut plugin = loaded.plugin.as_ref();
        if identity == Identity::Caller {
            config.auth_info = AuthInfo::default();
            plugin = None;
        }
        let given = plugin.map(Plugin::get).transpose()?;
        let given = given.as_ref();
        let tls = tls::client_config(&config, given)?;
        let https = connection::https(&config, &tls, keepalive, heard, versions)?;
        let mut http = legacy::Client::builder(TokioExecutor::new());
        http.timer(TokioTimer::new()).pool_timer(TokioTimer::new());
        match versions {
            HttpVersions::All => http
                .http2_keep_alive_interval(PING)
                .http2_keep_alive_timeout(PING)
                .http2_keep_alive_while_idle(true),
            HttpVersions::Http1 => http
                .pool_max_idle_per_host(MAX_IDLE)
                .http1_max_buf_size(MAX_BUFFER),
        };
        let shared = Shared {
            authorization: Authorization::new(&config.auth_info, given)?,
            impersonation: impersonation(&config.auth_info)?,
            renew: given.and_then(|given| given.renew),
            server: config.cluster_url,
        };
        Ok(Self {
            http: http.build(https),
            shared: Arc::new(shared),
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
        let Shared {
            server,
            authorization,
            impersonation,
            ..
        } = &*self.shared;
        sign(request.headers_mut(), authorization, impersonation);
        *request.uri_mut() =
            below(server, request.uri()).map_err(|error| SendError::Body(error.to_string()))?;
        let began = std::time::Instant::now();
        let sent = self.http.request(request).await;
        sent.map_err(|error| {
            if error.is_connect() {
                return SendError::Connect(error);
            }
            match find::<BodyError>(&error) {
                Some(fault) => SendError::Body(fault.to_string()),
                None => SendError::Broken {
                    reused: opened(&error).is_some_and(|opened| opened < began),
                    error,
                },
            }
        })
    }
}

/// The target on the server, below the path of the server's own URL.
fn below(server: &Uri, target: &Uri) -> Result<Uri, http::Error> {
    let prefix = server.path().trim_end_matches('/');
    let target = target.path_and_query().cloned();
    let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut parts = server.clone().into_parts();
    parts.path_and_query = Some(if prefix.is_empty() {
        target
    } else {
        PathAndQuery::try_from(format!("{prefix}{target}"))?
    });
    Ok(Uri::from_parts(parts)?)
}

/// When the connection was opened on which `error` occurred.
fn opened(error: &legacy::Error) -> Option<std::time::Instant> {
    let mut extras = http::Extensions::new();
    error.connect_info()?.get_extras(&mut extras);
    extras.get::<Opened>().map(|opened| opened.0)
}

/// Why a request's body cannot be read to its end: how it says so to [`Client::send`].
#[derive(Debug, thiserror::Error)]
#[error("{}", causes(.0))]
pub struct BodyError(#[source] pub hyper::Error);

/// The first cause of this type. An `io::Error` shows its cause's cause, and hides its cause, which
/// may be one, too.
fn find<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let hidden = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(found) = hidden.and_then(|inner| find(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_found_in_an_io_error_in_another() {
        // As hyper-rustls tells of a failed handshake.
        let tls = rustls::Error::DecryptError;
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        assert!(find::<rustls::Error>(&error).is_some());
        assert!(find::<BodyError>(&error).is_none());
    }

    #[test]
    fn a_target_is_below_the_path_of_the_server() {
        let below = |server: &str, target: &str| {
            let (server, target) = (server.parse().unwrap(), target.parse().unwrap());
            below(&server, &target).map(|uri| uri.to_string())
        };
        let at = "/api/v1?a=b";
        assert_eq!(below("https://a:1", at).unwrap(), "https://a:1/api/v1?a=b");
        assert_eq!(below("https://a/", at).unwrap(), "https://a/api/v1?a=b");
        assert_eq!(
            below("https://a/k8s/", at).unwrap(),
            "https://a/k8s/api/v1?a=b"
        );
        let long = format!("/{}", "a".repeat(65_530));
        assert!(below("https://a/k8s/clusters/c-1234567890", &long).is_err());
    }
}
