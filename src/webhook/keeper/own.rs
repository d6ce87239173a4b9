//! A certificate of attache's own, in a Secret that the replicas share.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::status::Status;
use crate::webhook::api::{Api, Failure, MERGE_PATCH, Object};
use crate::webhook::certificates::{Contents, Data, Leaf, Serving, Wanted, advance};

/// Whoever reads the Secret, knows what was last in it, and serves that.
pub(super) struct Own {
    pub(super) object: Object,
    pub(super) wanted: Wanted,
    pub(super) serving: Arc<Serving>,
    pub(super) status: Status,
    /// What was last in the Secret, and is put back if it is lost.
    pub(super) known: Option<Contents>,
}

/// The Secret at one moment.
struct Held {
    version: String,
    data: Data,
}

#[derive(Deserialize)]
struct Secret {
    metadata: Metadata,
    #[serde(default)]
    data: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
}

// === impl Own ===

impl Own {
    /// Reads the Secret, does what is due, serves what it then holds. `trusted` says of a bundle
    /// whether API servers have had time to trust it. Yields the bundle.
    ///
    /// # Errors
    /// [`Failure`]; what was served before is served on, or what the Secret holds if only its
    /// renewal failed.
    pub(super) async fn refresh(
        &mut self,
        api: &impl Api,
        now: Timestamp,
        trusted: impl Fn(&str) -> bool,
    ) -> Result<String, Failure> {
        let held = self.read(api).await?;
        let read = held.as_ref().and_then(|held| Contents::read(&held.data));
        if let Some(read) = &read {
            self.adopt(read);
        } else if self.known.is_some() {
            tracing::warn!(
                secret = self.object.what,
                "the certificate's Secret is lost or damaged; attache writes it again as it was"
            );
        }
        let next = advance(
            read.as_ref().or(self.known.as_ref()),
            &self.wanted,
            now,
            trusted,
        )?;
        if let Some(data) = next.data()
            && held.as_ref().is_none_or(|held| !held.has(&data))
        {
            self.write(api, held.as_ref(), &data).await?;
            self.status.certificate_writes.inc();
            let expires = next.leaf.as_ref().map(|leaf| leaf.not_after.to_string());
            tracing::info!(
                secret = self.object.what,
                authorities = next.authorities.len(),
                expires,
                "the webhook's certificate was written; all replicas serve it from now on"
            );
        }
        self.adopt(&next);
        Ok(next.bundle())
    }

    async fn read(&self, api: &impl Api) -> Result<Option<Held>, Failure> {
        let secret: Secret = match self.object.get(api).await {
            Ok(secret) => secret,
            Err(Failure::Missing(_)) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let mut data = Data::new();
        for (key, value) in secret.data {
            // The API server takes no other than base64; a stranger's would be damage like any.
            data.insert(key, STANDARD.decode(value).unwrap_or_default());
        }
        Ok(Some(Held {
            version: secret.metadata.resource_version,
            data,
        }))
    }

    async fn write(&self, api: &impl Api, held: Option<&Held>, data: &Data) -> Result<(), Failure> {
        let mut encoded = serde_json::Map::new();
        for (key, value) in data {
            encoded.insert(key.clone(), Value::String(STANDARD.encode(value)));
        }
        match held {
            Some(held) => {
                let patch = json!({
                    "metadata": {"resourceVersion": held.version},
                    "data": encoded,
                });
                self.object.patch(api, MERGE_PATCH, &patch).await
            }
            None => {
                let secret = json!({
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "type": "kubernetes.io/tls",
                    "metadata": {"name": self.object.name},
                    "data": encoded,
                });
                self.object.create(api, &secret).await
            }
        }
    }

    /// Serves the certificate in `contents`, if it can be served and is another.
    fn adopt(&mut self, contents: &Contents) {
        let leaf = |contents: &Contents| contents.leaf.clone();
        let earlier = self.known.as_ref().and_then(leaf);
        let Some(Ok(pair)) = contents.leaf.as_ref().map(Leaf::pair) else {
            return;
        };
        if earlier != contents.leaf {
            self.serving.swap(Arc::new(pair));
            if let Some(leaf) = &contents.leaf {
                self.status.set_not_after(leaf.not_after);
                tracing::debug!(expires = %leaf.not_after, "a certificate is served from now on");
            }
        }
        self.known = Some(contents.clone());
    }
}

// === impl Held ===

impl Held {
    /// Whether it holds `data`, whatever else it holds.
    fn has(&self, data: &Data) -> bool {
        data.iter()
            .all(|(key, value)| self.data.get(key) == Some(value))
    }
}
