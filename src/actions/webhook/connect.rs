//! The way to an endpoint: TCP or a Unix socket, and TLS on it for `https`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::error::{WebhookError, broken, unfit};
use crate::config::WebhookAction;

/// A connection of either kind.
pub(super) type Stream = Box<dyn Duplex>;

/// What both kinds of connection can.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Connects to the endpoint, so far that a request can be sent.
///
/// # Errors
/// [`WebhookError::Request`] for want of certificate authorities, [`WebhookError::Connection`]
/// for want of an endpoint, or of one that proves who it is.
pub(super) async fn connect(action: &WebhookAction) -> Result<Stream, WebhookError> {
    let url = &action.url;
    let host = url.host().unwrap_or_default();
    let https = url.scheme_str() == Some("https");
    let tls = if https {
        Some(tls(action, host).await?)
    } else {
        None
    };
    let stream: Stream = match &action.unix_socket {
        Some(path) => Box::new(unix(action, path).await?),
        None => {
            let port = url.port_u16().unwrap_or(if https { 443 } else { 80 });
            let connected = TcpStream::connect(format!("{host}:{port}")).await;
            Box::new(connected.map_err(|error| {
                broken(action, false, &error, "check that the app listens there")
            })?)
        }
    };
    let Some((connector, name)) = tls else {
        return Ok(stream);
    };
    match connector.connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(broken(action, false, &error, mistrust(&error))),
    }
}

async fn unix(action: &WebhookAction, path: &Path) -> Result<UnixStream, WebhookError> {
    UnixStream::connect(path).await.map_err(|error| {
        let advice = if error.kind() == io::ErrorKind::PermissionDenied {
            "let the user that attache runs as write to the socket"
        } else {
            "check that the app listens on it, and that both containers mount its directory"
        };
        let error = io::Error::other(format!("the socket {}: {error}", path.display()));
        broken(action, false, &error, advice)
    })
}

async fn tls(
    action: &WebhookAction,
    host: &str,
) -> Result<(TlsConnector, ServerName<'static>), WebhookError> {
    // An IPv6 address has brackets in a URL (RFC 3986, section 3.2.2), and none in a certificate.
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned());
    let name = name.map_err(|_| {
        let reason = "no certificate can be for its host: give a host name or an address";
        unfit(action, reason.to_owned())
    })?;
    let roots = match &action.certificate_authority {
        Some(path) => authorities(path).await,
        None => system_authorities().await,
    };
    let roots = roots.map_err(|reason| unfit(action, reason))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unfit(action, error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((TlsConnector::from(Arc::new(config)), name))
}

async fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let said = |what: String| {
        let path = path.display();
        format!("certificateAuthority {path}: {what}: give a file of certificates in PEM")
    };
    let pem = tokio::fs::read(path).await;
    let pem = pem.map_err(|error| said(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| said(error.to_string()))?;
        let added = roots.add(certificate);
        added.map_err(|error| said(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(said("it holds no certificate".to_owned()));
    }
    Ok(roots)
}

/// What the image has of them, or `$SSL_CERT_FILE` and `$SSL_CERT_DIR` name.
async fn system_authorities() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let loading = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
    let mut reason = String::new();
    if let Ok(found) = loading.await {
        roots.add_parsable_certificates(found.certs);
        if let Some(error) = found.errors.first() {
            reason = format!(" ({error})");
        }
    }
    if roots.is_empty() {
        return Err(format!(
            "there are no certificate authorities in this image{reason}: set certificateAuthority to a PEM file"
        ));
    }
    Ok(roots)
}

/// What to do about a failed handshake.
fn mistrust(error: &io::Error) -> &'static str {
    let cause = error.get_ref().and_then(|e| e.downcast_ref());
    match cause {
        Some(rustls::Error::InvalidCertificate(error)) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "renew the app's certificate"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "use a host in the URL that the app's certificate is for"
            }
            _ => {
                "set certificateAuthority to the PEM file of the authority that issued the app's certificate"
            }
        },
        _ => "check that the app speaks TLS there, or use http://",
    }
}
