//! The API server's version.

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use serde::Deserialize;

use super::call::CallError;
use super::lease::Lease;
use super::status::Status;

/// A version of Kubernetes: major, minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u16, pub u16);

/// Why the version is not known.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// There is no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The API server, or something before it, does not say it.
    #[error("the API server does not say its version: {0}")]
    Unsaid(String),
}

/// The answer of `/version` (`k8s.io/apimachinery/pkg/version.Info`), as far as it is of use.
#[derive(Deserialize)]
struct Info {
    major: String,
    /// With a `+` behind it in some managed clusters.
    minor: String,
}

// === impl Version ===

impl Version {
    /// The first whose nodes run native sidecars (KEP-753) by default.
    pub const NATIVE_SIDECARS: Self = Self(1, 29);

    fn read(body: &[u8]) -> Option<Self> {
        let info: Info = serde_json::from_slice(body).ok()?;
        let minor = info.minor.trim_end_matches(|c: char| !c.is_ascii_digit());
        Some(Self(info.major.parse().ok()?, minor.parse().ok()?))
    }
}

// === impl Lease ===

impl Lease {
    /// Asks the API server for its version.
    ///
    /// # Errors
    /// [`VersionError`].
    pub async fn version(&self) -> Result<Version, VersionError> {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = Uri::from_static("/version");
        let answer = self.call(&request).await?;
        if answer.status() != StatusCode::OK {
            return Err(VersionError::Unsaid(Status::of(&answer).message));
        }
        Version::read(answer.body())
            .ok_or_else(|| VersionError::Unsaid("the answer holds no numbers".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_managed_clusters_minor_version_has_a_plus_behind_it() {
        let version = Version::read(br#"{"major":"1","minor":"29+","gitVersion":"v1.29.3-eks"}"#);
        assert_eq!(version, Some(Version::NATIVE_SIDECARS));
        assert!(Version(1, 20) < Version::NATIVE_SIDECARS);
        assert!(Version::read(br#"{"minor":"29"}"#).is_none());
    }
}
