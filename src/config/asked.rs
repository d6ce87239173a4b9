//! Annotations of pods and namespaces: what they ask of an injected sidecar.

use std::collections::BTreeMap;

use super::errors::Faults;
use super::model::Asked;

/// The prefix of attache's annotations and labels.
pub const PREFIX: &str = "attache.dev/";

/// Reads annotations, by their names without [`PREFIX`].
///
/// # Errors
/// Every fault, each with the annotation it is in; unknown ones among them.
pub fn asked(annotations: &BTreeMap<String, String>) -> Result<Asked, Faults> {
    let _ = annotations;
    Err(Faults::default())
}
