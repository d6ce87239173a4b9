//! When content was written, as far as the API server tells it.
//!
//! `metadata.managedFields` has a time for each manager of fields. A server before Kubernetes 1.25
//! leaves it as it is where a manager gives a field that it has another value, which is what most
//! changes are. By that time, pods made between two such changes are younger than the content that
//! they lack. And no server moves it for a field that only goes. To restart a pod that has the content
//! is better than not to restart one that lacks it: where the time may be an earlier one, it is none.

use jiff::Timestamp;
use serde::Deserialize;

use super::ChangedObject;
use super::api::{Api, ApiError};

/// The first version that moves the time with the value.
const KEEPS_TIMES: Version = Version {
    major: 1,
    minor: 25,
};

/// The version of Kubernetes that an API server serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    major: u32,
    minor: u32,
}

/// What is answered at `/version`, as far as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct VersionInfo {
    major: String,
    minor: String,
    git_version: String,
}

// === impl VersionInfo ===

impl VersionInfo {
    /// The version. Vendors write `25+` for a minor version of their own build, and some leave both
    /// numbers empty: then it is taken from `gitVersion`, as in `v1.25.3+k3s1`.
    pub(super) fn version(&self) -> Option<Version> {
        let version = |major: &str, minor: &str| {
            Some(Version {
                major: leading_number(major)?,
                minor: leading_number(minor)?,
            })
        };
        version(&self.major, &self.minor).or_else(|| {
            let (major, rest) = self.git_version.split_once('.')?;
            version(major, rest)
        })
    }
}

fn leading_number(text: &str) -> Option<u32> {
    let text = text.trim();
    let text = text.strip_prefix('v').unwrap_or(text);
    text.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// When the newest of these objects was written, by the clock of the API server; `None` if that
/// cannot be known: the server is an old one or does not tell its version, keys have gone, or an
/// object is from a file, or gone, or attache may watch it and not get it.
///
/// # Errors
/// It cannot be known now: what is newer than the content would be taken for older.
pub(super) async fn written<'a>(
    api: &Api,
    objects: impl IntoIterator<Item = &'a ChangedObject>,
) -> Result<Option<Timestamp>, ApiError> {
    let objects: Vec<_> = objects.into_iter().collect();
    let untold = |object: &&ChangedObject| {
        object.resource_version.is_empty() || !object.keys.removed.is_empty()
    };
    if objects.iter().any(untold) || api.version().await < Some(KEEPS_TIMES) {
        return Ok(None);
    }
    let mut newest = None;
    for object in objects {
        let written = match api.metadata(&object.reference).await {
            Ok(named) => named.metadata.written(),
            Err(error) if error.is_transient() => return Err(error),
            Err(_) => None,
        };
        if written.is_none() {
            return Ok(None);
        }
        newest = newest.max(written);
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_version_is_read_in_whatever_form_vendors_give_it() {
        for (info, expected) in [
            (json!({"major": "1", "minor": "25"}), Some((1, 25))),
            (json!({"major": "1", "minor": "25+"}), Some((1, 25))),
            (json!({"major": "1", "minor": "9"}), Some((1, 9))),
            (json!({"major": "2", "minor": "0"}), Some((2, 0))),
            (json!({"major": "1", "minor": " 33-eks"}), Some((1, 33))),
            (
                json!({"major": "", "minor": "", "gitVersion": "v1.24.17+k3s1"}),
                Some((1, 24)),
            ),
            (json!({"gitVersion": "1.31.0"}), Some((1, 31))),
            (json!({"major": "1", "minor": "+"}), None),
            (json!({"major": "1", "minor": "99999999999"}), None),
            (json!({"gitVersion": "unknown"}), None),
            (json!({"gitVersion": "v1"}), None),
            (json!({}), None),
        ] {
            let read: VersionInfo = serde_json::from_value(info.clone()).unwrap();
            let read = read.version().map(|read| (read.major, read.minor));
            assert_eq!(read, expected, "{info}");
        }
    }

    #[test]
    fn times_are_trusted_from_the_version_that_keeps_them() {
        for (major, minor, trusted) in [
            (0, 99, false),
            (1, 9, false),
            (1, 24, false),
            (1, 25, true),
            (1, 33, true),
            (2, 0, true),
        ] {
            let version = Version { major, minor };
            assert_eq!(version >= KEEPS_TIMES, trusted, "{version:?}");
        }
    }
}
