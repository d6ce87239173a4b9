//! The annotations attache reads; all others are dropped on decoding.

use std::collections::BTreeMap;

/// Our own prefix.
const PREFIX: &str = "attache.dev/";

/// Names the pods to restart, in a tutorial controller whose users may come to attache.
const POD_DELETE_MATCH: &str = "magalix.com/podDeleteMatch";

/// Whether attache reads the annotation of that name.
#[must_use]
pub fn is_read(name: &str) -> bool {
    name.starts_with(PREFIX) || name == POD_DELETE_MATCH
}

/// The annotations attache reads.
#[must_use]
pub fn kept(annotations: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    kept.extend(annotations.into_iter().filter(|(name, _)| is_read(name)));
    kept
}
