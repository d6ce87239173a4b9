//! What the replicas share, as the Secret holds it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use super::{Unusable, pair};

/// The certificate (Kubernetes API, `kubernetes.io/tls` Secrets).
const CERTIFICATE: &str = "tls.crt";
/// Its key.
const KEY: &str = "tls.key";
/// All authorities that are to be trusted: what the caBundle is. Made from [`STATE`]; for people.
const BUNDLE: &str = "ca.crt";
/// The authorities with their keys, and what cannot be told from certificates without parsing
/// them: when they end.
const STATE: &str = "state.json";

/// A Secret's `data`, decoded.
pub(in crate::webhook) type Data = BTreeMap<String, Vec<u8>>;

/// Authorities and a certificate. It has no `Debug`: most of it is secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub(in crate::webhook) struct Contents {
    /// What is to be trusted, the oldest first.
    pub(in crate::webhook) authorities: Vec<Authority>,
    /// What is served; none where it was damaged.
    pub(in crate::webhook) leaf: Option<Leaf>,
}

/// A CA of ours.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::webhook) struct Authority {
    /// The common name of its subject, which no other one has.
    pub(in crate::webhook) name: String,
    /// PEM.
    pub(in crate::webhook) certificate: String,
    /// PEM (PKCS #8); none once a newer one issues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::webhook) key: Option<String>,
    pub(in crate::webhook) not_before: Timestamp,
    pub(in crate::webhook) not_after: Timestamp,
}

/// A serving certificate.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::webhook) struct Leaf {
    /// PEM.
    pub(in crate::webhook) certificate: String,
    /// PEM (PKCS #8).
    pub(in crate::webhook) key: String,
    pub(in crate::webhook) not_after: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    authorities: Vec<Authority>,
    certificate_not_after: Timestamp,
}

// === impl Contents ===

impl Contents {
    /// What `data` holds; none if there are no authorities in it.
    pub(in crate::webhook) fn read(data: &Data) -> Option<Self> {
        let state: State = serde_json::from_slice(data.get(STATE)?).ok()?;
        let text = |key| String::from_utf8(data.get(key)?.clone()).ok();
        let leaf = text(CERTIFICATE).zip(text(KEY));
        let leaf = leaf.map(|(certificate, key)| Leaf {
            certificate,
            key,
            not_after: state.certificate_not_after,
        });
        (!state.authorities.is_empty()).then_some(Self {
            authorities: state.authorities,
            leaf,
        })
    }

    /// The same as a Secret's `data`; none without a certificate.
    pub(in crate::webhook) fn data(&self) -> Option<Data> {
        let leaf = self.leaf.as_ref()?;
        let state = State {
            authorities: self.authorities.clone(),
            certificate_not_after: leaf.not_after,
        };
        Some(Data::from([
            (BUNDLE.to_owned(), self.bundle().into_bytes()),
            (STATE.to_owned(), serde_json::to_vec(&state).ok()?),
            (
                CERTIFICATE.to_owned(),
                leaf.certificate.clone().into_bytes(),
            ),
            (KEY.to_owned(), leaf.key.clone().into_bytes()),
        ]))
    }

    /// What is to be trusted, in PEM.
    pub(in crate::webhook) fn bundle(&self) -> String {
        let certificates = self.authorities.iter().map(|a| a.certificate.as_str());
        certificates.collect()
    }

    /// Which authority has issued the certificate, if a client that trusts it would take the
    /// certificate at `now` under every one of `names`, and the key is its own.
    pub(super) fn issuer(&self, names: &[String], now: Timestamp) -> Option<usize> {
        let pair = self.leaf.as_ref()?.pair().ok()?;
        let issued = |authority: &Authority| authority.vouches(&pair, names, now);
        self.authorities.iter().rposition(|a| issued(a).is_some())
    }
}

// === impl Leaf ===

impl Leaf {
    /// As handshakes need it.
    ///
    /// # Errors
    /// [`Unusable`].
    pub(in crate::webhook) fn pair(&self) -> Result<CertifiedKey, Unusable> {
        pair(self.certificate.as_bytes(), self.key.as_bytes())
    }
}

// === impl Authority ===

impl Authority {
    /// Whether it is valid at `now`; both ends are included (RFC 5280, section 4.1.2.5).
    pub(super) fn is_valid(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    fn vouches(&self, pair: &CertifiedKey, names: &[String], now: Timestamp) -> Option<()> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.certificate.as_bytes()).ok()?;
        roots.add(root).ok()?;
        let provider = Arc::new(default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().ok()?;
        let (certificate, chain) = pair.cert.split_first()?;
        let seconds = u64::try_from(now.as_second()).ok()?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        for name in names {
            let name = ServerName::try_from(name.as_str()).ok()?;
            let verified = verifier.verify_server_cert(certificate, chain, &name, &[], now);
            verified.ok()?;
        }
        Some(())
    }
}
