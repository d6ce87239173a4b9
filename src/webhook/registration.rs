//! The caBundle of every webhook in the MutatingWebhookConfiguration: what API servers hold the
//! certificate against.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::api::{Api, Failure, Object, STRATEGIC_MERGE_PATCH};

/// Where they are.
const COLLECTION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// Keeps the caBundle, and knows since when it has been what.
pub(super) struct Registration {
    object: Object,
    /// What all webhooks were seen to have, and since when.
    seen: Option<(String, Instant)>,
}

/// The configuration at one moment.
pub(super) struct Registered {
    version: String,
    webhooks: Vec<Webhook>,
}

#[derive(Deserialize)]
struct Configuration {
    metadata: Metadata,
    #[serde(default)]
    webhooks: Vec<Webhook>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    name: String,
    client_config: ClientConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientConfig {
    #[serde(default)]
    ca_bundle: String,
}

// === impl Registration ===

impl Registration {
    /// Of the configuration with this name.
    pub(super) fn new(configuration: String) -> Self {
        Self {
            object: Object {
                what: format!("mutatingwebhookconfiguration {configuration}"),
                collection: COLLECTION.to_owned(),
                name: configuration,
            },
            seen: None,
        }
    }

    /// Looks what is registered.
    ///
    /// # Errors
    /// [`Failure`]; without any webhook, too.
    pub(super) async fn look(&mut self, api: &impl Api) -> Result<Registered, Failure> {
        let configuration: Configuration = self.object.get(api).await?;
        let registered = Registered {
            version: configuration.metadata.resource_version,
            webhooks: configuration.webhooks,
        };
        if registered.webhooks.is_empty() {
            return Err(Failure::Odd {
                what: self.object.what.clone(),
                fault: "has no webhooks; apply the manifests again",
            });
        }
        match registered.bundle() {
            Some(bundle) => self.saw(bundle),
            None => self.seen = None,
        }
        Ok(registered)
    }

    /// For how long every look has found that all webhooks have `bundle`.
    pub(super) fn held_for(&self, bundle: &str) -> Option<Duration> {
        let seen = self.seen.as_ref().filter(|(seen, _)| seen == bundle);
        seen.map(|(_, since)| since.elapsed())
    }

    /// Gives all webhooks `bundle`, if they have not; whether that was so.
    ///
    /// # Errors
    /// [`Failure`]; a conflict if the configuration has changed since it was looked at.
    pub(super) async fn set(
        &mut self,
        api: &impl Api,
        registered: &Registered,
        bundle: &str,
    ) -> Result<bool, Failure> {
        if registered.bundle().as_deref() == Some(bundle) {
            return Ok(false);
        }
        let encoded = STANDARD.encode(bundle);
        let entry = |webhook: &Webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": encoded}});
        let webhooks: Vec<_> = registered.webhooks.iter().map(entry).collect();
        let patch = json!({
            "metadata": {"resourceVersion": registered.version},
            "webhooks": webhooks,
        });
        let patched = self.object.patch(api, STRATEGIC_MERGE_PATCH, &patch).await;
        patched.inspect_err(|_| self.seen = None)?;
        self.saw(bundle.to_owned());
        Ok(true)
    }

    fn saw(&mut self, bundle: String) {
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != bundle) {
            self.seen = Some((bundle, Instant::now()));
        }
    }
}

// === impl Registered ===

impl Registered {
    /// What all webhooks have; none if that differs, or is no text.
    pub(super) fn bundle(&self) -> Option<String> {
        let (first, others) = self.webhooks.split_first()?;
        let bundle = &first.client_config.ca_bundle;
        let same = |other: &Webhook| other.client_config.ca_bundle == *bundle;
        let decoded = STANDARD
            .decode(bundle)
            .ok()
            .filter(|_| others.iter().all(same));
        String::from_utf8(decoded?).ok()
    }
}
