//! `/-/status`: everything a person asks first in an incident, and never a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::{Answer, Api, bytes_held, fresh};
use crate::status::Notes;
use crate::store::{self, Contact, Snapshot};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    version: &'static str,
    namespace: &'a str,
    uptime_seconds: u64,
    ready: bool,
    pending: Vec<Arc<str>>,
    snapshot_version: u64,
    bytes_held: usize,
    max_bytes: usize,
    on_demand: bool,
    scopes: Vec<Scope<'a>>,
    /// The scopes of Services and EndpointSlices.
    discovery: Vec<Scope<'a>>,
    objects: Vec<Object<'a>>,
    #[serde(flatten)]
    notes: Notes,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Scope<'a> {
    name: &'a str,
    on_demand: bool,
    synced: bool,
    contact: &'static str,
    /// Seconds since the scope was last in contact; only while it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    objects: usize,
    bytes: usize,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    refused: BTreeMap<String, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    kind: &'static str,
    namespace: &'a str,
    name: &'a str,
    scope: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    resource_version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    etag: &'a str,
    /// An annotation holds the actions upon its changes; left out while none does.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    paused: bool,
    /// Each key with the size of its value in bytes.
    keys: BTreeMap<&'a str, usize>,
}

// === impl Api ===

impl Api {
    /// Answers `/-/status` as JSON (camelCase, as Kubernetes writes its own).
    #[must_use]
    pub fn status(&self) -> Answer {
        let snapshot = self.reader.snapshot();
        let discovered = self.discovered();
        let discovered = discovered.iter().flat_map(|snapshot| snapshot.scopes());
        let pending = self.readiness.check().err();
        let status = Status {
            version: env!("CARGO_PKG_VERSION"),
            namespace: &self.namespace,
            uptime_seconds: self.started.elapsed().as_secs(),
            ready: pending.is_none(),
            pending: pending.unwrap_or_default(),
            snapshot_version: snapshot.version(),
            bytes_held: snapshot.scopes().iter().map(bytes_held).sum(),
            max_bytes: self.max_bytes,
            on_demand: self.demander.is_some(),
            scopes: snapshot.scopes().iter().map(scope).collect(),
            discovery: discovered.map(scope).collect(),
            objects: objects(&snapshot),
            notes: self.board.notes(),
        };
        // Maps with string keys and finite numbers always serialize.
        let mut body = serde_json::to_vec_pretty(&status).unwrap_or_default();
        body.push(b'\n');
        fresh("application/json", body)
    }
}

fn scope(scope: &store::Scope) -> Scope<'_> {
    let contact = scope.contact();
    let mut refused = BTreeMap::new();
    for (reference, reason) in scope.refused() {
        refused.insert(reference.to_string(), &**reason);
    }
    Scope {
        name: &scope.spec().name,
        on_demand: scope.spec().on_demand,
        synced: scope.synced(),
        contact: match contact {
            Contact::Never { .. } => "never",
            Contact::Live => "live",
            Contact::Lost { .. } => "lost",
        },
        age_seconds: contact.age().map(|age| age.as_secs()),
        reason: contact.reason(),
        objects: scope.objects().len(),
        bytes: bytes_held(scope),
        refused,
    }
}

fn objects(snapshot: &Snapshot) -> Vec<Object<'_>> {
    let entries = snapshot.entries().iter();
    entries
        .map(|entry| {
            let (object, reference) = (&entry.object, entry.object.reference());
            let mut keys = BTreeMap::new();
            for (key, value) in object.content().values() {
                keys.insert(&**key, value.bytes.len());
            }
            Object {
                kind: reference.kind.as_str(),
                namespace: &reference.namespace,
                name: &reference.name,
                scope: &snapshot.scope_of(entry).spec().name,
                resource_version: object.resource_version(),
                uid: object.uid(),
                etag: object.content().etag().as_str(),
                paused: object.is_paused(),
                keys,
            }
        })
        .collect()
}
