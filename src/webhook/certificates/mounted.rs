//! A certificate that someone else makes and renews, as cert-manager does: files in a directory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::{Unusable, pair};

/// Why a mounted certificate is not taken.
#[derive(Debug, thiserror::Error)]
pub(in crate::webhook) enum MountedError {
    /// A file is missing or cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is read, but cannot be served.
    #[error("{}: {error}", dir.display())]
    Unusable {
        /// Where it is.
        dir: PathBuf,
        /// Why.
        error: Unusable,
    },
}

/// What a directory holds.
#[derive(Clone)]
pub(in crate::webhook) struct Mounted {
    /// `tls.crt` and `tls.key`, which belong together.
    pub(in crate::webhook) pair: Arc<CertifiedKey>,
    /// `ca.crt`; none if there is no such file, or nothing in it: then somebody else sees to the
    /// caBundle.
    pub(in crate::webhook) bundle: Option<String>,
}

// === impl Mounted ===

impl Mounted {
    /// Reads `dir`, on the blocking pool.
    ///
    /// # Errors
    /// [`MountedError`].
    pub(in crate::webhook) async fn read(dir: &Path) -> Result<Self, MountedError> {
        // The kubelet swaps this symlink: what is read is then of one generation.
        let swapped = tokio::fs::canonicalize(dir.join("..data")).await;
        let generation = swapped.unwrap_or_else(|_| dir.to_owned());
        let read = async |name| {
            let content = tokio::fs::read(generation.join(name)).await;
            content.map_err(|error| MountedError::Read {
                path: dir.join(name),
                error,
            })
        };
        let (certificate, key) = (read("tls.crt").await?, read("tls.key").await?);
        let bundle = match read("ca.crt").await {
            Ok(bundle) => String::from_utf8(bundle).ok(),
            Err(MountedError::Read { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                None
            }
            Err(error) => return Err(error),
        };
        let pair = pair(&certificate, &key).map_err(|error| MountedError::Unusable {
            dir: dir.to_owned(),
            error,
        })?;
        Ok(Self {
            pair: Arc::new(pair),
            bundle: bundle.filter(|bundle| !bundle.trim().is_empty()),
        })
    }
}

/// `bundle`, and as many of the certificates that were trusted `before` as it has itself: other replicas
/// may still serve a certificate of those, since the kubelets renew the files one after the other.
/// None if all of `bundle` is trusted already.
pub(in crate::webhook) fn joined(bundle: &str, before: &str) -> Option<String> {
    let (ours, theirs) = (blocks(bundle), blocks(before));
    if ours.iter().all(|block| theirs.contains(block)) {
        return None;
    }
    let older = theirs.iter().filter(|block| !ours.contains(block));
    let kept = ours.iter().chain(older.take(ours.len()));
    Some(kept.flat_map(|block| [block, "\n"]).collect())
}

/// The certificates in a PEM text.
fn blocks(pem: &str) -> Vec<&str> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut blocks = Vec::new();
    let mut rest = pem;
    while let Some(begin) = rest.find(BEGIN) {
        rest = &rest[begin..];
        let Some(end) = rest.find(END) else { break };
        let (block, after) = rest.split_at(end + END.len());
        blocks.push(block);
        rest = after;
    }
    blocks
}
