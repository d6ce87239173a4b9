//! Many slices, one endpoint an address.
//!
//! An endpoint may stand in several slices: while the controller moves it from one to another (consumers
//! must expect that, says the EndpointSlice API's "Duplicate endpoints"), and where pods resolve a named
//! target port differently.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use super::Filter;
use crate::store::EndpointSlice;
use crate::store::discovered::Endpoint;

/// The ports of an endpoint by name; `None` stands for all ports.
type Ports<'a> = BTreeMap<&'a str, Option<u16>>;

/// What several slices say of one address.
pub(super) struct Merged<'a> {
    /// What the best of them says.
    best: &'a Endpoint,
    /// What all of them say; of a name that several have, what the best says.
    ports: Ports<'a>,
}

/// An endpoint as it is shown. What is empty is left out, except `ports`.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    address: &'a str,
    /// All of them, where there are several.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    addresses: &'a [String],
    ports: Ports<'a>,
    ready: bool,
    serving: bool,
    terminating: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    hostname: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    zone: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    node: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pod: &'a str,
}

/// The endpoints of slices by address, of whatever type those are.
pub(super) fn endpoints<'a>(
    slices: impl Iterator<Item = &'a EndpointSlice>,
) -> BTreeMap<&'a str, Merged<'a>> {
    let mut said: BTreeMap<&str, Vec<(&Endpoint, Ports<'a>)>> = BTreeMap::new();
    for slice in slices {
        let ports = slice
            .ports
            .iter()
            .map(|port| (port.name.as_str(), port.port));
        let ports: Ports<'a> = ports.collect();
        for endpoint in &slice.endpoints {
            if let Some(address) = endpoint.addresses.first() {
                let said = said.entry(address).or_default();
                said.push((endpoint, ports.clone()));
            }
        }
    }
    said.into_iter()
        .filter_map(|(address, said)| Some((address, merged(said)?)))
        .collect()
}

fn merged<'a>(mut said: Vec<(&'a Endpoint, Ports<'a>)>) -> Option<Merged<'a>> {
    said.sort_by(|a, b| order(a).cmp(&order(b)));
    let best = said.first()?.0;
    let mut ports = Ports::new();
    for (name, port) in said.into_iter().flat_map(|(_, ports)| ports) {
        ports.entry(name).or_insert(port);
    }
    Some(Merged { best, ports })
}

/// The best first: ready, then serving, then not terminating. The rest decides nothing but makes the
/// order independent of the slices' names.
fn order<'a, 'b>((e, ports): &'b (&'a Endpoint, Ports<'a>)) -> impl Ord + use<'a, 'b> {
    (
        Reverse((e.ready, e.serving, !e.terminating)),
        (&e.pod, &e.node, &e.zone, &e.hostname, &e.addresses),
        ports,
    )
}

// === impl Shown ===

impl<'a> Shown<'a> {
    /// What `filter` lets through.
    pub(super) fn of(endpoint: Merged<'a>, filter: &Filter) -> Option<Self> {
        let Merged { best, mut ports } = endpoint;
        let hidden = filter.ready.is_some_and(|ready| ready != best.ready)
            || filter.zone.as_ref().is_some_and(|zone| *zone != best.zone);
        if hidden {
            return None;
        }
        if let Some(name) = &filter.port {
            ports.retain(|port, _| port == name);
            if ports.is_empty() {
                return None;
            }
        }
        Some(Self {
            address: best.addresses.first()?,
            addresses: match &*best.addresses {
                [_] => &[],
                several => several,
            },
            ports,
            ready: best.ready,
            serving: best.serving,
            terminating: best.terminating,
            hostname: &best.hostname,
            zone: &best.zone,
            node: &best.node,
            pod: &best.pod,
        })
    }
}
