//! How the API server is connected to.

use std::time::Duration;

use http::Uri;
use hyper_rustls::builderstates::WantsProtocols1;
use hyper_rustls::{
    FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream,
};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use kube::Config;
use rustls::ClientConfig;
use tokio::time::timeout;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceExt as _};

use super::UpstreamError;
use super::heard::{Connector, Heard, Listening, Noted, boxed};
use super::words::shown;

/// How often an idle connection is pinged, and how long an answer may take: a half-open
/// connection is noticed within twice that.
pub(super) const PING: Duration = Duration::from_secs(15);

/// How long after the first unanswered probe of an idle TCP connection the next one goes out, and
/// how many may stay unanswered.
const PROBE: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;

/// How long it may take until a request can be sent: TCP, the kubeconfig's proxy, and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Which versions of HTTP a connection may speak.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HttpVersions {
    /// What the server prefers.
    All,
    /// HTTP/1.1 alone, which knows upgrades.
    Http1,
}

/// How a client of either kind connects.
pub(super) type Https = BoxCloneSyncService<Uri, MaybeHttpsStream<Noted>, BoxError>;

/// The way to the API server: through the kubeconfig's proxy if it names one, then TLS.
pub(super) fn https(
    config: &Config,
    tls: &ClientConfig,
    keepalive: Option<Duration>,
    heard: Heard,
    versions: HttpVersions,
) -> Result<Https, UpstreamError> {
    let connector = connector(config, tls, tcp(keepalive, versions))?;
    let builder = over_tls(config, tls)?;
    let listening = Listening { connector, heard };
    Ok(in_time(match versions {
        HttpVersions::All => builder.enable_all_versions().wrap_connector(listening),
        HttpVersions::Http1 => builder.enable_http1().wrap_connector(listening),
    }))
}

fn over_tls(
    config: &Config,
    tls: &ClientConfig,
) -> Result<HttpsConnectorBuilder<WantsProtocols1>, UpstreamError> {
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls.clone())
        .https_or_http();
    match config.tls_server_name.clone().map(TryInto::try_into) {
        Some(Ok(name)) => Ok(builder.with_server_name_resolver(FixedServerNameResolver::new(name))),
        Some(Err(_)) => Err("the tls-server-name is no name of a server"
            .to_owned()
            .into()),
        None => Ok(builder),
    }
}

/// Gives up on a server, or a proxy, that accepts and stays silent.
fn in_time(https: HttpsConnector<Listening>) -> Https {
    BoxCloneSyncService::new(https.map_future(|connecting| async {
        let connected = timeout(CONNECT_TIMEOUT, connecting).await;
        connected.unwrap_or_else(|_| Err(Late.into()))
    }))
}

/// Why there is no connection after [`CONNECT_TIMEOUT`].
#[derive(Debug, thiserror::Error)]
#[error("no connection within {} s", CONNECT_TIMEOUT.as_secs())]
struct Late;

fn tcp(keepalive: Option<Duration>, versions: HttpVersions) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    // For connections over HTTP/1.1, which cannot be pinged.
    let keepalive = Some(keepalive.unwrap_or(PING)).filter(|period| !period.is_zero());
    tcp.set_keepalive(keepalive);
    match versions {
        HttpVersions::All => tcp.set_tcp_user_timeout(Some(2 * PING)),
        // That timeout would also end an upload or a tunnel whose reader pauses: it counts a
        // closed window as no answer (tcp(7)).
        HttpVersions::Http1 => {
            // Each of them would turn probing on.
            tcp.set_keepalive_interval(keepalive.map(|_| PROBE));
            tcp.set_keepalive_retries(keepalive.map(|_| PROBES));
        }
    }
    tcp
}

fn connector(
    config: &Config,
    tls: &ClientConfig,
    tcp: HttpConnector,
) -> Result<Connector, UpstreamError> {
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
            let tls = over_tls(config, tls)?.enable_http1().wrap_connector(tcp);
            Ok(boxed(with_credentials(
                Tunnel::new(proxy.clone(), tls),
                &proxy,
            )))
        }
        _ => Err(UpstreamError::Proxy(shown(&proxy))),
    }
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

#[cfg(test)]
mod tests;
