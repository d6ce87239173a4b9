//! What the API server's version means for attache.

use super::findings::Finding;
use crate::upstream::Version;

/// The oldest version that attache is made for.
const OLDEST: Version = Version(1, 28);
/// The first that says when content was written, by managedFields.
const KEEPS_TIMES: Version = Version(1, 25);

pub(super) fn version(version: Version) -> Finding {
    let Version(major, minor) = version;
    let shown = format!("Kubernetes {major}.{minor}");
    if version >= Version::NATIVE_SIDECARS {
        return Finding::ok(format!("{shown}: native sidecars"));
    }
    let mut text = format!(
        "{shown} has no native sidecars (1.29 has): attache is a plain container, which Jobs do not get, and which \
         needs --shutdown-delay"
    );
    if version < OLDEST {
        text.push_str("; it is older than what attache is made for (1.28)");
    }
    if version < KEEPS_TIMES {
        text.push_str(
            "; before 1.25 it does not say when content was written, so that pods that have it already are restarted too",
        );
    }
    Finding::warning(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::findings::Level;

    #[test]
    fn an_old_server_says_what_is_missing() {
        assert_eq!(version(Version(1, 33)).level, Level::Ok);
        let plain = version(Version(1, 28));
        assert_eq!(plain.level, Level::Warning);
        assert!(!plain.text.contains("made for"));
        let old = version(Version(1, 20));
        assert!(old.text.contains("made for") && old.text.contains("before 1.25"));
    }
}
