//! What is watched, as its user is told of it.

use std::fmt;

use crate::config::ObjectKind;

/// Tells the user something, beside the output.
pub type Say<'a> = &'a dyn Fn(&str);

/// What is watched.
pub(super) struct Subject<'a> {
    pub(super) kind: ObjectKind,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) key: Option<&'a str>,
}

// === impl Subject ===

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            namespace, name, ..
        } = self;
        if let Some(key) = self.key {
            write!(f, "key {key} of ")?;
        }
        match self.kind {
            ObjectKind::ConfigMap => write!(f, "ConfigMap {namespace}/{name}"),
            ObjectKind::Secret => write!(f, "Secret {namespace}/{name}"),
        }
    }
}
