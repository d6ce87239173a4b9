//! Service discovery as pure functions: from the Services and EndpointSlices of a namespace to what
//! `/discover` shows of them.
//!
//! The same objects give the same bytes, whatever the slices are called and however the endpoints are
//! spread over them. Reading order: [`services`] (the map of a namespace), [`service`] (one Service with
//! its endpoints), `merge` (many slices, one endpoint an address), [`view`] (bytes, and the tags by which
//! two views are compared).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::store::discovered::{Service, ServicePort};
use crate::store::{Discovered, EndpointSlice, Object, ObjectRef};

mod merge;
pub mod view;

pub use view::{Entry, View};

use merge::Shown;
use view::{Named, raw};

/// Objects of one kind in one namespace, as a scope of the store holds them.
pub type Objects = BTreeMap<ObjectRef, Arc<Object>>;

/// Which endpoints of a Service are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only those whose readiness is this.
    pub ready: Option<bool>,
    /// Only those that have a port of this name, and of their ports only that one. A port without a name
    /// has the empty one.
    pub port: Option<String>,
    /// Only those in this zone; empty for those without one.
    pub zone: Option<String>,
}

/// A Service, without its endpoints. What is empty is left out, except `ports`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    name: &'a str,
    namespace: &'a str,
    r#type: &'a str,
    #[serde(rename = "clusterIP", skip_serializing_if = "str::is_empty")]
    cluster_ip: &'a str,
    #[serde(rename = "clusterIPs", skip_serializing_if = "<[_]>::is_empty")]
    cluster_ips: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    external_name: &'a str,
    ports: Vec<Port<'a>>,
}

/// A Service with its endpoints.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    head: &'a Head<'a>,
    endpoints: Vec<&'a RawValue>,
}

/// A Service's port. What is empty is left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Port<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    protocol: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_port: Option<Target<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_port: Option<u16>,
    #[serde(skip_serializing_if = "str::is_empty")]
    app_protocol: &'a str,
}

/// `targetPort` as the API has it (`IntOrString`).
#[derive(Serialize)]
#[serde(untagged)]
enum Target<'a> {
    Number(u16),
    Name(&'a str),
}

/// The Services of a namespace, each with its `clusterIP`: an address, `None` of a headless one, `null`
/// of one without (ExternalName).
#[must_use]
pub fn services(services: &Objects) -> View {
    let mut entries = BTreeMap::new();
    for (object, service) in services.values().filter_map(as_service) {
        let cluster_ip = Some(&service.cluster_ip).filter(|ip| !ip.is_empty());
        let entry = Entry {
            json: raw(&cluster_ip),
            resource_version: object.resource_version().into(),
        };
        entries.insert(Box::from(&*object.reference().name), entry);
    }
    let map: BTreeMap<&str, &RawValue> = entries.iter().map(|(k, e)| (&**k, &*e.json)).collect();
    let json = raw(&map);
    // In a change, null is the value of what has gone. Which Services have no address is thus no
    // change: it begins anew.
    let nulls: BTreeSet<&str> = entries
        .iter()
        .filter(|(_, entry)| entry.json.get() == "null")
        .map(|(name, _)| &**name)
        .collect();
    View::new(Named::Data, &json, &raw(&nulls), entries)
}

/// The Service `name` and its endpoints; `None` where there is no such Service, even if there are slices
/// for it. `services` and `slices` are those of one namespace.
#[must_use]
pub fn service(name: &str, services: &Objects, slices: &Objects, filter: &Filter) -> Option<View> {
    let (any, _) = services.first_key_value()?;
    let reference = ObjectRef::new(any.kind, Arc::clone(&any.namespace), name);
    let (object, service) = as_service(services.get(&reference)?)?;
    let head = head(object, service);
    let endpoints = match service.service_type.as_str() {
        // It is a name in DNS: what slices there are, are left over.
        "ExternalName" => BTreeMap::new(),
        _ => merge::endpoints(slices.values().filter_map(|o| slice_of(o, name))),
    };
    let entries: BTreeMap<Box<str>, Entry> = endpoints
        .into_iter()
        .filter_map(|(address, endpoint)| Some((address, Shown::of(endpoint, filter)?)))
        .map(|(address, shown)| (Box::from(address), Entry::unversioned(raw(&shown))))
        .collect();
    let whole = Whole {
        head: &head,
        endpoints: entries.values().map(|entry| &*entry.json).collect(),
    };
    let json = raw(&whole);
    Some(View::new(Named::Service, &json, &raw(&head), entries))
}

fn as_service(object: &Arc<Object>) -> Option<(&Object, &Service)> {
    match object.discovered() {
        Some(Discovered::Service(service)) => Some((object, service)),
        _ => None,
    }
}

fn slice_of<'a>(object: &'a Object, service: &str) -> Option<&'a EndpointSlice> {
    match object.discovered() {
        Some(Discovered::EndpointSlice(slice)) if slice.service == service => Some(slice),
        _ => None,
    }
}

fn head<'a>(object: &'a Object, service: &'a Service) -> Head<'a> {
    Head {
        name: &object.reference().name,
        namespace: &object.reference().namespace,
        r#type: &service.service_type,
        cluster_ip: &service.cluster_ip,
        cluster_ips: &service.cluster_ips,
        external_name: &service.external_name,
        ports: service.ports.iter().map(port).collect(),
    }
}

fn port(port: &ServicePort) -> Port<'_> {
    let target_port = match port.target_port.as_str() {
        "" => None,
        // The name of a container's port has a letter in it (RFC 6335, section 5.1).
        text => Some(text.parse().map_or(Target::Name(text), Target::Number)),
    };
    Port {
        name: &port.name,
        protocol: &port.protocol,
        port: port.port,
        target_port,
        node_port: Some(port.node_port).filter(|port| *port != 0),
        app_protocol: &port.app_protocol,
    }
}

#[cfg(test)]
mod tests;
