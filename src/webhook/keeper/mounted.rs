//! A mounted certificate, read again and again.

use std::path::PathBuf;
use std::sync::Arc;

use crate::webhook::api::Failure;
use crate::webhook::certificates::{Mounted, Serving, joined};

/// Serves what a directory holds.
pub(super) struct Files {
    dir: PathBuf,
    serving: Arc<Serving>,
    /// What is served.
    served: Option<Mounted>,
    /// What was last read, and is served once its authorities have been registered.
    next: Option<Mounted>,
}

// === impl Files ===

impl Files {
    pub(super) fn new(dir: PathBuf, serving: Arc<Serving>) -> Self {
        Self {
            dir,
            serving,
            served: None,
            next: None,
        }
    }

    /// Reads the directory, and serves what it holds; if that comes with another `ca.crt` than
    /// what is served, from the second time on that it is read. Yields the caBundle that is to be,
    /// which was `before`; none if there is no `ca.crt`.
    ///
    /// # Errors
    /// [`Failure::Mounted`]; the last good certificate is served on.
    pub(super) async fn refresh(
        &mut self,
        before: Option<&str>,
    ) -> Result<Option<String>, Failure> {
        let read = Mounted::read(&self.dir).await?;
        let same_authorities = |other: &Option<Mounted>| {
            other
                .as_ref()
                .is_some_and(|other| other.bundle == read.bundle)
        };
        if self.served.is_none() || same_authorities(&self.served) || same_authorities(&self.next) {
            let served = self.served.as_ref().map(|served| &served.pair.cert);
            if served != Some(&read.pair.cert) {
                self.serving.swap(Arc::clone(&read.pair));
                tracing::info!(dir = %self.dir.display(), "the mounted certificate is served from now on");
            }
            self.served = Some(read.clone());
        }
        let before = before.unwrap_or_default();
        let bundle = read.bundle.as_deref();
        let bundle = bundle.map(|ours| joined(ours, before).unwrap_or_else(|| before.to_owned()));
        self.next = Some(read);
        Ok(bundle)
    }
}
