//! The webhook that injects: its configuration, and who answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use super::api::{Api, ApiError};
use super::findings::Finding;
use super::running::Invocation;
use crate::config::{self, Job};

/// What is known of the webhook.
#[derive(Debug, Default)]
pub(super) struct Webhook {
    /// Since when there is its configuration; `None` if there is none, or it cannot be read.
    pub(super) since: Option<Timestamp>,
    /// Whether it is known that there is none.
    pub(super) absent: bool,
    /// Its flags, as far as its pods say them.
    pub(super) flags: Option<Box<config::Webhook>>,
    /// Where its Services are: it is not asked about its own pods.
    pub(super) namespaces: Vec<String>,
}

/// Looks at the MutatingWebhookConfiguration `name`, and at the Service that it names.
pub(super) async fn examine(api: &Api, name: &str) -> (Webhook, Vec<Finding>) {
    let path =
        format!("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}");
    let mut webhook = Webhook::default();
    let configuration = match api.get(&path).await {
        Ok(configuration) => configuration,
        Err(error) => {
            webhook.absent = error.is_missing();
            return (webhook, vec![unread(name, &error)]);
        }
    };
    let created = configuration.pointer("/metadata/creationTimestamp");
    webhook.since = created.and_then(|at| at.as_str()?.parse().ok());
    let mut found = configured(name, &configuration);
    let fails = fails(&configuration);
    for (namespace, service) in services(&configuration) {
        found.extend(answers(api, &namespace, &service, fails).await);
        webhook.flags = flags(api, &namespace, &service).await.or(webhook.flags);
        webhook.namespaces.push(namespace);
    }
    (webhook, found)
}

fn unread(name: &str, error: &ApiError) -> Finding {
    if error.is_missing() {
        return Finding::note(format!(
            "there is no MutatingWebhookConfiguration {name}: pods get a sidecar by attache inject alone; install the \
             webhook, or name its configuration by --configuration"
        ));
    }
    if error.is_forbidden() {
        return Finding::note(format!(
            "the webhook is not looked at, for you may not get mutatingwebhookconfigurations: {error}"
        ));
    }
    Finding::unknown(format!("MutatingWebhookConfiguration {name}: {error}"))
}

/// The entries of a configuration.
fn entries(configuration: &Value) -> impl Iterator<Item = &Value> {
    let entries = configuration.get("webhooks").and_then(Value::as_array);
    entries.into_iter().flatten()
}

/// What a configuration says of certificates and failures.
fn configured(name: &str, configuration: &Value) -> Vec<Finding> {
    let shown = format!("MutatingWebhookConfiguration {name}");
    let mut found = Vec::new();
    for entry in entries(configuration) {
        let entry_name = entry
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let bundle = entry
            .pointer("/clientConfig/caBundle")
            .and_then(Value::as_str);
        let bundle = bundle.unwrap_or_default();
        if bundle.is_empty() {
            found.push(Finding::error(format!(
                "{shown}: {entry_name} has no caBundle, so that the API server trusts no webhook and pods get no sidecar: \
                 attache webhook writes it once it runs and may patch the configuration; see its log"
            )));
        } else if !is_pem(bundle) {
            found.push(Finding::error(format!(
                "{shown}: the caBundle of {entry_name} holds no certificate: take it out, and attache webhook writes its own"
            )));
        }
        if entry.get("failurePolicy").and_then(Value::as_str) == Some("Fail") {
            found.push(Finding::warning(format!(
                "{shown}: {entry_name} has failurePolicy: Fail: while the webhook is down, no pod that it is for is created; \
                 Ignore creates them without a sidecar"
            )));
        }
    }
    if entries(configuration).next().is_none() {
        found.push(Finding::error(format!(
            "{shown} has no webhooks: apply the manifests again"
        )));
    }
    if found.is_empty() {
        found.push(Finding::ok(format!(
            "{shown} has its caBundle, and lets pods pass while it is down"
        )));
    }
    found
}

fn is_pem(bundle: &str) -> bool {
    let Ok(pem) = STANDARD.decode(bundle) else {
        return false;
    };
    let mut certificates = CertificateDer::pem_slice_iter(&pem);
    matches!(certificates.next(), Some(Ok(_)))
}

/// Whether pods are refused while the webhook is down.
fn fails(configuration: &Value) -> bool {
    let policy = |entry: &Value| entry.get("failurePolicy").and_then(Value::as_str) == Some("Fail");
    entries(configuration).any(policy)
}

/// The Services that are called, each once: namespace, name.
fn services(configuration: &Value) -> Vec<(String, String)> {
    let service = |entry: &Value| {
        let service = entry.pointer("/clientConfig/service")?;
        let text = |key: &str| Some(service.get(key)?.as_str()?.to_owned());
        Some((text("namespace")?, text("name")?))
    };
    let mut services: Vec<_> = entries(configuration).filter_map(service).collect();
    services.sort_unstable();
    services.dedup();
    services
}

/// Whether a Service has somebody behind it.
async fn answers(api: &Api, namespace: &str, name: &str, fails: bool) -> Vec<Finding> {
    let shown = format!("Service {namespace}/{name}");
    let query = format!("&labelSelector=kubernetes.io%2Fservice-name%3D{name}");
    let path =
        |version| format!("/apis/discovery.k8s.io/{version}/namespaces/{namespace}/endpointslices");
    let slices = match api.list(&path("v1"), &query).await {
        // Before 1.21.
        Err(error) if error.is_missing() => api.list(&path("v1beta1"), &query).await,
        slices => slices,
    };
    match slices {
        Ok(slices) => vec![ready_endpoints(&shown, namespace, &slices, fails)],
        Err(error) => vec![Finding::note(format!(
            "whether {shown}, the webhook's, has ready endpoints is not known: {error}"
        ))],
    }
}

/// An endpoint whose readiness is not said is ready (`discovery.k8s.io/v1`, EndpointConditions).
fn ready_endpoints(shown: &str, namespace: &str, slices: &[Value], fails: bool) -> Finding {
    let endpoints = slices
        .iter()
        .filter_map(|slice| slice.get("endpoints")?.as_array());
    let is_ready = |endpoint: &&Value| {
        endpoint
            .pointer("/conditions/ready")
            .and_then(Value::as_bool)
            != Some(false)
    };
    let ready = endpoints.flatten().filter(is_ready).count();
    if ready > 0 {
        return Finding::ok(format!(
            "{shown}, the webhook's, has {ready} ready endpoints"
        ));
    }
    let effect = match fails {
        true => "no pod that it is for can be created",
        false => "pods are created without a sidecar",
    };
    Finding::error(format!(
        "the webhook is down: {shown} has no ready endpoint, and {effect}; see kubectl -n {namespace} get pods, and their logs"
    ))
}

/// The flags of the webhook, from one of the pods behind its Service.
async fn flags(api: &Api, namespace: &str, name: &str) -> Option<Box<config::Webhook>> {
    let service = api
        .get(&format!("/api/v1/namespaces/{namespace}/services/{name}"))
        .await
        .ok()?;
    let labels = service.pointer("/spec/selector")?.as_object()?;
    let pairs: Vec<_> = labels
        .iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
        .collect();
    let query = format!("&labelSelector={}", super::api::encode(&pairs.join(",")));
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let pods = api.list(&path, &query).await.ok()?;
    pods.iter().find_map(of_pod)
}

fn of_pod(pod: &Value) -> Option<Box<config::Webhook>> {
    let pod = super::pod::Pod::read(pod).ok()?;
    let mut containers = pod.spec.containers.iter();
    containers.find_map(
        |container| match Invocation::of_container(container).job() {
            Ok(Job::Webhook(webhook)) => Some(webhook),
            _ => None,
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::findings::Level;

    fn entry(bundle: &str, policy: &str) -> Value {
        json!({"name": "pods.attache.dev", "failurePolicy": policy, "clientConfig": {
            "caBundle": bundle, "service": {"namespace": "attache-system", "name": "attache-webhook"}}})
    }

    #[test]
    fn a_configuration_without_a_certificate_or_that_fails_is_told() {
        let pem = STANDARD.encode("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let levels = |entries: &[Value]| {
            let found = configured("attache", &json!({"webhooks": entries}));
            found
                .iter()
                .map(|finding| finding.level)
                .collect::<Vec<_>>()
        };
        assert_eq!(levels(&[entry(&pem, "Ignore")]), [Level::Ok]);
        assert_eq!(
            levels(&[entry("", "Ignore"), entry(&pem, "Ignore")]),
            [Level::Error]
        );
        assert_eq!(levels(&[entry("bm9uZQ==", "Ignore")]), [Level::Error]);
        assert_eq!(levels(&[entry(&pem, "Fail")]), [Level::Warning]);
        assert_eq!(levels(&[]), [Level::Error]);
        let two = json!({"webhooks": [entry(&pem, "Ignore"), entry(&pem, "Fail")]});
        assert_eq!(
            services(&two),
            [("attache-system".to_owned(), "attache-webhook".to_owned())]
        );
        assert!(fails(&two));
    }

    #[test]
    fn a_service_without_ready_endpoints_is_a_webhook_that_is_down() {
        let of =
            |slices: Value| ready_endpoints("Service n/w", "n", slices.as_array().unwrap(), false);
        let ready = json!([{"endpoints": [{"conditions": {"ready": false}}, {"conditions": {}}]}]);
        assert_eq!(
            of(ready),
            Finding::ok("Service n/w, the webhook's, has 1 ready endpoints")
        );
        for none in [
            json!([]),
            json!([{"endpoints": null}]),
            json!([{"endpoints": [{"conditions": {"ready": false}}]}]),
        ] {
            let found = of(none);
            assert_eq!(found.level, Level::Error);
            assert!(
                found.text.contains("created without a sidecar"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn the_flags_of_the_webhook_stand_in_its_pod() {
        let pod = json!({"spec": {"containers": [
            {"name": "x"}, {"name": "webhook", "args": ["webhook", "--allow-restart=rollout"],
                "env": [{"name": "ATTACHE_IMAGE", "value": "registry.example/attache"}]}]}});
        let flags = of_pod(&pod).unwrap();
        assert!(flags.platform.allow_rollout);
        assert_eq!(flags.platform.image, "registry.example/attache");
        assert!(
            of_pod(&json!({"spec": {"containers": [{"name": "x", "args": ["run"]}]}})).is_none()
        );
    }
}
