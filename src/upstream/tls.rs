//! TLS to the API server: which authorities its certificate is held against, and which certificate
//! of a client it sees.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kube::Config;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use super::plugin::Given;

/// How old the authorities may be that were read from a file.
const ROOTS_AGE: Duration = Duration::from_secs(60);

/// How connections are secured. Reads files: blocking.
///
/// # Errors
/// What of it cannot be used, in words without what is secret in it.
pub(super) fn client_config(
    config: &Config,
    given: Option<&Given>,
) -> Result<ClientConfig, String> {
    let verifier = Arc::new(Verifier {
        roots: roots(config)?,
        algorithms: ring::default_provider().signature_verification_algorithms,
    });
    let builder = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let identity = match given.and_then(|given| given.identity.as_ref()) {
        Some((chain, key)) => Some((chain.clone().into_bytes(), key.clone().into_bytes())),
        None => identity(config)?,
    };
    let Some((chain, key)) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let malformed = "the client certificate or its key is malformed";
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| malformed)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
    let chain = chain.map_err(|_| malformed)?;
    if chain.is_empty() {
        return Err(malformed.to_owned());
    }
    let built = builder.with_client_auth_cert(chain, key);
    built.map_err(|error| format!("the client certificate or its key cannot be used: {error}"))
}

/// A client certificate and its key, in PEM.
type Identity = (Vec<u8>, Vec<u8>);

/// The user's: data goes before a file.
fn identity(config: &Config) -> Result<Option<Identity>, String> {
    let auth = &config.auth_info;
    let load = |what: &str, data: Option<&str>, file: Option<&String>| match (data, file) {
        (Some(data), _) => {
            let decoded = BASE64.decode(data).map(Some);
            decoded.map_err(|_| format!("the {what}-data is no base64"))
        }
        (None, Some(path)) => {
            let read = std::fs::read(path).map(Some);
            read.map_err(|error| format!("the {what} {path}: {error}"))
        }
        (None, None) => Ok(None),
    };
    let data = auth.client_certificate_data.as_deref();
    let certificate = load("client-certificate", data, auth.client_certificate.as_ref())?;
    let data = auth.client_key_data.as_ref().map(|key| key.expose_secret());
    match (
        certificate,
        load("client-key", data, auth.client_key.as_ref())?,
    ) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err("the kubeconfig's client certificate has no client-key".to_owned()),
        (None, Some(_)) => Err("the kubeconfig's client key has no client-certificate".to_owned()),
    }
}

/// The authorities; `None` where any certificate will do.
fn roots(config: &Config) -> Result<Option<Roots>, String> {
    if config.accept_invalid_certs {
        return Ok(None);
    }
    let store = match (&config.root_cert_file, &config.root_cert) {
        (Some(path), _) => {
            let read = from_file(path);
            read.map_err(|error| format!("the certificate authority {}: {error}", path.display()))?
        }
        (None, Some(certificates)) => {
            let certificates = certificates.iter().cloned().map(CertificateDer::from);
            store(certificates).map_err(|error| format!("the certificate authority: {error}"))?
        }
        (None, None) if is_in_clear(config) => RootCertStore::empty(),
        (None, None) => system()?,
    };
    Ok(Some(Roots {
        path: config.root_cert_file.clone(),
        read: Mutex::new((Arc::new(store), Instant::now())),
    }))
}

/// Whether there is no TLS at all.
fn is_in_clear(config: &Config) -> bool {
    let proxy = config.proxy_url.as_ref();
    config.cluster_url.scheme_str() == Some("http")
        && proxy.is_none_or(|proxy| proxy.scheme_str() != Some("https"))
}

/// What the machine has of them, or `$SSL_CERT_FILE` and `$SSL_CERT_DIR` name.
fn system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        return Err(
            "this machine or image has no certificate authorities: give the API server's by --certificate-authority"
                .to_owned(),
        );
    }
    Ok(store)
}

fn from_file(path: &Path) -> Result<RootCertStore, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    store(certificates.map_err(|error| error.to_string())?.into_iter())
}

fn store(
    certificates: impl Iterator<Item = CertificateDer<'static>>,
) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store.add(certificate).map_err(|error| error.to_string())?;
    }
    if store.is_empty() {
        return Err("no certificate in it".to_owned());
    }
    Ok(store)
}

/// Authorities, read again from the file they are of, if they are of one.
#[derive(Debug)]
struct Roots {
    path: Option<PathBuf>,
    read: Mutex<(Arc<RootCertStore>, Instant)>,
}

// === impl Roots ===

impl Roots {
    /// Where the file cannot be read, the last: better than no connection at all.
    fn now(&self) -> Arc<RootCertStore> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.path
            && read.1.elapsed() >= ROOTS_AGE
        {
            read.1 = Instant::now();
            match from_file(path) {
                Ok(store) => read.0 = Arc::new(store),
                Err(error) => {
                    let path = path.display().to_string();
                    tracing::warn!(
                        path,
                        error,
                        "attache keeps the certificate authorities that it read before"
                    );
                }
            }
        }
        Arc::clone(&read.0)
    }
}

/// Holds a server's certificate against authorities; without them any will do.
#[derive(Debug)]
struct Verifier {
    roots: Option<Roots>,
    algorithms: WebPkiSupportedAlgorithms,
}

// === impl Verifier ===

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &roots.now(),
                intermediates,
                now,
                self.algorithms.all,
            )?;
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.roots {
            Some(_) => verify_tls12_signature(message, cert, dss, &self.algorithms),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.roots {
            Some(_) => verify_tls13_signature(message, cert, dss, &self.algorithms),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
