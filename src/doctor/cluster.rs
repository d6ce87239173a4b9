//! A cluster from outside: the webhook, the pods that should carry an attache, and those that do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::access::Access;
use super::api::{Api, ApiError, Subject};
use super::carry::{self, Lacks};
use super::findings::{Finding, Findings};
use super::pod::{Container, Metadata, Pod, Sidecar};
use super::running::{Invocation, MemoryFile};
use super::targets::{Listing, listing};
use super::webhook::{self, Webhook};
use super::{fit, here, named};
use crate::config::{Cluster, Config, Job, Namespaces};
use crate::inject::{self, rights::rights};
use crate::upstream::{Upstream, Version};

/// Looks at the cluster.
pub(super) async fn examine(cluster: &Cluster, findings: &mut Findings) {
    let upstream = match Upstream::new(cluster.connection.clone()).await {
        Ok(upstream) => upstream,
        Err(error) => return findings.add([Finding::unknown(error.to_string())]),
    };
    let api = Api::new(&upstream);
    let Some(version) = here::reached(&api, &upstream, findings).await else {
        return;
    };
    let (webhook, found) = webhook::examine(&api, &cluster.configuration).await;
    findings.add(found);
    let mut tour = Tour {
        api: &api,
        native: version >= Version::NATIVE_SIDECARS,
        webhook,
        named: !cluster.targets.is_empty(),
        access: Access::default(),
        namespaces: BTreeMap::new(),
        seen: BTreeSet::new(),
        lacks: Lacks::default(),
        pods: 0,
        carrying: 0,
    };
    let namespace = match &cluster.namespaces {
        Namespaces::Named(namespace) => Some(namespace.clone()),
        Namespaces::Default => Some(upstream.default_namespace()),
        Namespaces::All => None,
    };
    for listing in listings(&api, cluster, namespace.as_deref(), findings).await {
        tour.list(&listing, findings).await;
    }
    findings.add(tour.lacks.findings());
    let place = namespace.map_or("all namespaces".to_owned(), |n| format!("namespace {n}"));
    findings.add([Finding::ok(format!(
        "{} of {} live pods looked at in {place} carry attache",
        tour.carrying, tour.pods
    ))]);
}

/// The pods to look at.
async fn listings(
    api: &Api,
    cluster: &Cluster,
    namespace: Option<&str>,
    findings: &mut Findings,
) -> Vec<Listing> {
    let path = match namespace {
        Some(namespace) => format!("/api/v1/namespaces/{namespace}/pods"),
        None => "/api/v1/pods".to_owned(),
    };
    let query = String::new();
    if cluster.targets.is_empty() {
        return vec![Listing { path, query }];
    }
    let Some(namespace) = namespace else {
        let text = "KIND/NAME is in one namespace: give it by -n, and leave out -A";
        findings.add([Finding::unknown(text)]);
        return Vec::new();
    };
    let mut listings = Vec::new();
    for target in &cluster.targets {
        match listing(api, namespace, target).await {
            Ok(listing) => listings.push(listing),
            Err(finding) => findings.add([finding]),
        }
    }
    listings
}

/// A walk over pods.
struct Tour<'a> {
    api: &'a Api,
    native: bool,
    webhook: Webhook,
    /// The pods were asked for by name, or by that of their workload.
    named: bool,
    access: Access,
    namespaces: BTreeMap<String, Metadata>,
    /// The workloads whose configuration was looked at: all their pods have the same.
    seen: BTreeSet<(String, String)>,
    lacks: Lacks,
    pods: usize,
    carrying: usize,
}

// === impl Tour ===

impl Tour<'_> {
    /// A page at a time, for a cluster's pods are many.
    async fn list(&mut self, listing: &Listing, findings: &mut Findings) {
        let before = self.pods;
        let mut token = String::new();
        loop {
            let page = self.api.page(&listing.path, &listing.query, &token).await;
            let (pods, next) = match page {
                Ok(page) => page,
                Err(error) => {
                    let text = format!("pods cannot be listed ({}): {error}", listing.path);
                    return findings.add([Finding::unknown(text)]);
                }
            };
            for pod in &pods {
                self.pod(pod, findings).await;
            }
            if next.is_empty() {
                break;
            }
            token = next;
        }
        if self.named && self.pods == before {
            let text = format!(
                "there is no live pod of what was asked for ({})",
                listing.path
            );
            findings.add([Finding::error(text)]);
        }
    }

    async fn pod(&mut self, raw: &Value, findings: &mut Findings) {
        let pod = match Pod::read(raw) {
            Ok(pod) => pod,
            Err(error) => {
                let name = raw.pointer("/metadata/name").and_then(Value::as_str);
                let text = format!("pod {} cannot be read: {error}", name.unwrap_or_default());
                return findings.add([Finding::unknown(text)]);
            }
        };
        if !pod.is_live() {
            return;
        }
        self.pods += 1;
        if let Some(sidecar) = pod.sidecar() {
            self.carrying += 1;
            return self.carried(&pod, sidecar, findings).await;
        }
        let namespace = self.namespace(&pod.metadata.namespace, findings).await;
        if carry::is_wanted(&pod, &namespace, &self.webhook) {
            let (surroundings, platform) =
                carry::surroundings(&pod, &namespace, &self.webhook, self.native);
            let now = inject::inject(raw, &surroundings, &platform);
            self.lacks.add(carry::lack(&pod, &now, &self.webhook), &pod);
        } else if self.named {
            findings.add([Finding::warning(format!(
                "{} carries no attache, and neither its label nor its namespace's asks for one: label it \
                 attache.dev/inject: enabled, or use attache inject",
                pod.shown()
            ))]);
        }
    }

    /// Labels and annotations of a namespace.
    async fn namespace(&mut self, name: &str, findings: &mut Findings) -> Metadata {
        if let Some(known) = self.namespaces.get(name) {
            return known.clone();
        }
        let read = self.api.get(&format!("/api/v1/namespaces/{name}")).await;
        let metadata = match read.and_then(|object| metadata(&object)) {
            Ok(metadata) => metadata,
            Err(error) => {
                findings.add([Finding::note(format!(
                    "namespace {name} cannot be read, so that only the pods' own labels count: {error}"
                ))]);
                Metadata::default()
            }
        };
        self.namespaces.insert(name.to_owned(), metadata.clone());
        metadata
    }

    async fn carried(&mut self, pod: &Pod, sidecar: Sidecar<'_>, findings: &mut Findings) {
        let about = |found: Vec<Finding>| {
            let found = found.into_iter();
            found
                .map(|finding| finding.about(&pod.shown()))
                .collect::<Vec<_>>()
        };
        findings.add(about(fit::status(pod, sidecar)));
        let owner = pod.owner();
        let workload = owner.map(|owner| owner.replica_set.clone().unwrap_or(owner.shown()));
        let workload = workload.unwrap_or_else(|| pod.metadata.name.clone());
        let key = (pod.metadata.namespace.clone(), workload);
        if !self.seen.insert(key) {
            return;
        }
        let config = match self.configured(pod, sidecar.container).await {
            Ok(config) => config,
            Err(fault) => {
                let text = format!("what its attache does is not known: {fault}");
                return findings.add(about(vec![Finding::unknown(text)]));
            }
        };
        let place = pod.place(&config);
        findings.add(about(fit::spec(pod, sidecar, &config, &place)));
        findings.add(about(
            here::budget(self.api, pod, &config)
                .await
                .into_iter()
                .collect(),
        ));
        // Another kubeconfig's user is not the pod's ServiceAccount.
        if config.source.dir.is_none() && config.connection.kubeconfig.is_none() {
            let rights = rights(&config, &place);
            let (namespace, account) = (pod.metadata.namespace.clone(), pod.service_account());
            let who = format!("ServiceAccount {namespace}/{account}");
            let subject = Subject::ServiceAccount(namespace, account.to_owned());
            findings.add(self.access.check(self.api, &subject, &who, &rights).await);
            findings.add(named::named(self.api, &config, &place).await);
        }
    }

    /// What a container's attache is to do.
    async fn configured(&self, pod: &Pod, container: &Container) -> Result<Config, String> {
        let mut invocation = Invocation::of_container(container);
        let mut file = None;
        if let Some(path) = invocation.file() {
            let text = self.mounted_file(pod, container, &path).await?;
            let memory = MemoryFile::new(&text).map_err(|error| format!("{path}: {error}"))?;
            invocation = invocation.with_file(&memory.path());
            file = Some(memory);
        }
        let job = invocation.job();
        drop(file);
        match job? {
            Job::Run(config) => Ok(*config),
            _ => Err("it does not run beside an app".to_owned()),
        }
    }

    /// The text of a file that the container has from a ConfigMap.
    async fn mounted_file(
        &self,
        pod: &Pod,
        container: &Container,
        path: &str,
    ) -> Result<String, String> {
        let (mount, key) = container
            .mount_of(path)
            .ok_or_else(|| format!("{path} is in the image, or nowhere"))?;
        let volume = pod
            .spec
            .volumes
            .iter()
            .find(|volume| volume.name == mount.name);
        let name = volume
            .and_then(|volume| Some(&volume.config_map.as_ref()?.name))
            .ok_or_else(|| {
                format!(
                    "{path} is in volume {}, which is no ConfigMap's",
                    mount.name
                )
            })?;
        let namespace = &pod.metadata.namespace;
        let read = self
            .api
            .get(&format!("/api/v1/namespaces/{namespace}/configmaps/{name}"))
            .await;
        let object =
            read.map_err(|error| format!("{path} is ConfigMap {namespace}/{name}: {error}"))?;
        let key = if key.is_empty() { &mount.sub_path } else { key };
        let text = object.get("data").and_then(|data| data.get(key)?.as_str());
        text.map(str::to_owned)
            .ok_or_else(|| format!("{path}: ConfigMap {namespace}/{name} has no key {key}"))
    }
}

fn metadata(object: &Value) -> Result<Metadata, ApiError> {
    let metadata = object.get("metadata").cloned().unwrap_or_default();
    serde_json::from_value(metadata).map_err(|_| ApiError::Malformed)
}
