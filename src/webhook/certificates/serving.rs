//! The certificate that handshakes get: swapped in place, so that connections go on.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// What the API server may speak: its client asks for HTTP/2 first, which the listener has not.
const ALPN: &[u8] = b"http/1.1";

/// Why a certificate and its key cannot be served. Says nothing of what they hold.
#[derive(Debug, thiserror::Error)]
pub(in crate::webhook) enum Unusable {
    /// No certificate at all, or none that PEM holds.
    #[error("tls.crt holds no PEM certificate")]
    Certificate,
    /// The same for the key.
    #[error("tls.key holds no PEM private key")]
    Key,
    /// They are read, but do not serve.
    #[error("tls.crt and tls.key cannot be served: {0}")]
    Pair(rustls::Error),
}

/// The certificate of the moment; none at first, and then handshakes fail.
#[derive(Default)]
pub(in crate::webhook) struct Serving(RwLock<Option<Arc<CertifiedKey>>>);

// === impl Serving ===

impl Serving {
    /// What a TLS listener needs, for HTTP/1.1. It keeps no sessions: a resumed one would show
    /// no certificate.
    pub(in crate::webhook) fn config(self: &Arc<Self>) -> Arc<ServerConfig> {
        // Fails only if a provider is installed already, which serves as well.
        let _ = default_provider().install_default();
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }

    /// Serves this pair from the next handshake on.
    pub(in crate::webhook) fn swap(&self, pair: Arc<CertifiedKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(pair);
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}

/// A certificate (the chain that is sent, its own first) and its key, out of PEM; a key of
/// another certificate is refused.
///
/// # Errors
/// [`Unusable`].
pub(in crate::webhook) fn pair(certificate: &[u8], key: &[u8]) -> Result<CertifiedKey, Unusable> {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| Unusable::Certificate)?;
    if chain.is_empty() {
        return Err(Unusable::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Unusable::Key)?;
    CertifiedKey::from_der(chain, key, &default_provider()).map_err(Unusable::Pair)
}
