//! What the endpoints of a Service have to be, written from the API's description alone: slow, and
//! without the product's code.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// One endpoint in one slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Placed {
    /// Which endpoint it is: it tells its addresses, node, zone and pod.
    pub(crate) id: u16,
    pub(crate) ready: bool,
    pub(crate) serving: bool,
    pub(crate) terminating: bool,
}

/// The slices of Service `web` by number.
pub(crate) type Slices = BTreeMap<u16, Vec<Placed>>;

/// What a slice's addresses are: one slice never mixes them.
pub(crate) fn address_type(slice: u16) -> &'static str {
    match slice % 5 {
        0 => "IPv6",
        _ => "IPv4",
    }
}

/// The address of an endpoint in a slice. A pod has one of either type.
pub(crate) fn address(slice: u16, id: u16) -> String {
    match address_type(slice) {
        "IPv6" => format!("fd00::1:{id:x}"),
        _ => format!("10.1.{}.{}", id / 256, id % 256),
    }
}

pub(crate) fn zone(id: u16) -> &'static str {
    ["eu-1a", "eu-1b", ""][usize::from(id) % 3]
}

/// The ports of a slice.
pub(crate) fn ports(slice: u16) -> &'static [(&'static str, u16)] {
    match slice % 4 {
        0 => &[("http", 8080)],
        1 => &[("http", 8080), ("metrics", 9090)],
        2 => &[("metrics", 9090)],
        _ => &[],
    }
}

/// The `endpoints` of Service `web`.
pub(crate) fn endpoints(slices: &Slices) -> Value {
    let all = slices.iter().flat_map(|(slice, placed)| {
        let ids = placed.iter().map(|placed| placed.id);
        ids.map(|id| (address(*slice, id), id))
    });
    // By address.
    let all: BTreeMap<String, u16> = all.collect();
    let endpoints = all.iter();
    endpoints
        .map(|(address, id)| endpoint(slices, address, *id))
        .collect()
}

fn endpoint(slices: &Slices, of: &str, id: u16) -> Value {
    let mut seen = json!({});
    let mut best: Option<Placed> = None;
    for (slice, placed) in slices {
        let here = |placed: &&Placed| placed.id == id && address(*slice, id) == of;
        for placed in placed.iter().filter(here) {
            for (name, port) in ports(*slice) {
                seen[name] = json!(port);
            }
            let score = |p: &Placed| {
                4 * u8::from(p.ready) + 2 * u8::from(p.serving) + u8::from(!p.terminating)
            };
            if best.is_none_or(|best| score(placed) > score(&best)) {
                best = Some(*placed);
            }
        }
    }
    let best = best.expect("it is in a slice");
    let mut endpoint = json!({"address": of, "ports": seen, "ready": best.ready,
        "serving": best.serving, "terminating": best.terminating, "node": "node",
        "pod": format!("web-{id}")});
    if !zone(id).is_empty() {
        endpoint["zone"] = json!(zone(id));
    }
    endpoint
}
