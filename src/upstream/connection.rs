//! How the API server is connected to, and the client of the watches: one HTTP/2 connection,
//! pinged, with its last sign of life noted.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::{Client, Config, Error};
use tower::util::{BoxCloneSyncService, Either};
use tower::{BoxError, ServiceBuilder, ServiceExt as _};
use tower_service::Service;

/// How often an idle connection is pinged, and how long an answer may take: a half-open
/// connection is noticed within twice that.
const PING: Duration = Duration::from_secs(15);

/// How long a TCP connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Notes when the API server last sent a byte. Cheap to clone; shared by all connections.
#[derive(Debug, Clone)]
pub struct Heard {
    start: Instant,
    millis: Arc<AtomicU64>,
}

// === impl Heard ===

impl Heard {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            millis: Arc::default(),
        }
    }

    fn now(&self) {
        let millis = self.start.elapsed().as_millis();
        self.millis
            .store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When that was, to the millisecond; the start if never.
    #[must_use]
    pub fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }
}

/// Makes a client whose requests share one connection. Runs exec plugins: blocking.
pub(super) fn client(
    config: &Config,
    keepalive: Option<Duration>,
    heard: &Heard,
) -> Result<Client, Error> {
    // ALPN picks HTTP/2 wherever the server has it; a proxy in between may not.
    let https = https(config, keepalive, heard.clone(), HttpVersions::All)?;
    let mut http = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(PING)
        .http2_keep_alive_while_idle(true);
    let stack = ServiceBuilder::new()
        .map_request(|request: Request<Body>| request.map(RequestBody::new))
        .layer(config.base_uri_layer())
        .layer(match config.auth_layer()? {
            Some(auth) => Either::Left(auth),
            None => Either::Right(tower::layer::util::Identity::new()),
        })
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http.build::<_, RequestBody>(https));
    Ok(Client::new(stack, config.default_namespace.clone()))
}

/// Which versions of HTTP a connection may speak.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HttpVersions {
    /// What the server prefers.
    All,
    /// HTTP/1.1 alone, which knows upgrades.
    Http1,
}

/// The body of a request to the API server, watched or proxied: one type, so that the HTTP stack
/// is compiled once.
pub struct RequestBody(UnsyncBoxBody<Bytes, BoxError>);

// === impl RequestBody ===

impl RequestBody {
    /// Keeps any body.
    pub fn new<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(body.map_err(Into::into).boxed_unsync())
    }

    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(Empty::new())
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// How a client of either kind connects.
pub(super) type Https = HttpsConnector<Listening>;

/// The way to the API server: through the kubeconfig's proxy if it names one, then TLS.
pub(super) fn https(
    config: &Config,
    keepalive: Option<Duration>,
    heard: Heard,
    versions: HttpVersions,
) -> Result<Https, Error> {
    let connector = connector(config, keepalive)?;
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config()?)
        .https_or_http();
    let builder = match config.tls_server_name.clone().map(TryInto::try_into) {
        Some(Ok(name)) => builder.with_server_name_resolver(FixedServerNameResolver::new(name)),
        Some(Err(error)) => return Err(Error::Service(Box::new(error))),
        None => builder,
    };
    let listening = Listening { connector, heard };
    Ok(match versions {
        HttpVersions::All => builder.enable_all_versions().wrap_connector(listening),
        HttpVersions::Http1 => builder.enable_http1().wrap_connector(listening),
    })
}

fn connector(config: &Config, keepalive: Option<Duration>) -> Result<Connector, Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    // For connections over HTTP/1.1, which cannot be pinged.
    tcp.set_keepalive(Some(keepalive.unwrap_or(PING)).filter(|period| !period.is_zero()));
    tcp.set_tcp_user_timeout(Some(2 * PING));
    let Some(proxy) = config.proxy_url.clone() else {
        return Ok(boxed(tcp));
    };
    match proxy.scheme_str() {
        Some("socks5") => Ok(boxed(SocksV5::new(proxy, tcp))),
        Some("http") => Ok(boxed(with_credentials(
            Tunnel::new(proxy.clone(), tcp),
            &proxy,
        ))),
        Some("https") => {
            let tls = config.rustls_https_connector_with_connector(tcp)?;
            Ok(boxed(with_credentials(
                Tunnel::new(proxy.clone(), tls),
                &proxy,
            )))
        }
        _ => {
            let proxy_url = Box::new(proxy);
            Err(Error::ProxyProtocolUnsupported { proxy_url })
        }
    }
}

/// One type for every way to connect: the HTTP/2 stack above it is large, and compiled once.
type Connector = BoxCloneSyncService<Uri, Box<dyn Io>, BoxError>;

/// A connection of any kind.
trait Io: Connection + Read + Write + Send + Unpin {}

impl<T: Connection + Read + Write + Send + Unpin> Io for T {}

fn boxed<C>(connector: C) -> Connector
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Io + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let erased = connector.map_response(|io| Box::new(io) as Box<dyn Io>);
    BoxCloneSyncService::new(erased.map_err(Into::into))
}

/// The proxy URL's `user:password@`, as Basic credentials (RFC 9110, section 11.7.2).
fn with_credentials<C>(tunnel: Tunnel<C>, proxy: &Uri) -> Tunnel<C> {
    use base64::Engine as _;
    let Some((user, _)) = proxy.authority().and_then(|a| a.as_str().split_once('@')) else {
        return tunnel;
    };
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(user).collect();
    let basic = format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(decoded)
    );
    match http::HeaderValue::try_from(basic) {
        Ok(mut value) => {
            value.set_sensitive(true);
            tunnel.with_auth(value)
        }
        Err(_) => tunnel,
    }
}

/// A connector whose connections note every byte that arrives.
#[derive(Clone)]
pub(super) struct Listening {
    connector: Connector,
    heard: Heard,
}

impl Service<Uri> for Listening {
    type Response = Noted;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Noted, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.connector.call(uri);
        let heard = self.heard.clone();
        Box::pin(async move {
            Ok(Noted {
                io: connecting.await?,
                heard,
            })
        })
    }
}

pub(super) struct Noted {
    io: Box<dyn Io>,
    heard: Heard,
}

impl Connection for Noted {
    fn connected(&self) -> Connected {
        self.io.connected()
    }
}

impl Read for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if matches!(read, Poll::Ready(Ok(()))) {
            self.heard.now();
        }
        read
    }
}

impl Write for Noted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
}
