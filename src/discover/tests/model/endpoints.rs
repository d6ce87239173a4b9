//! What the endpoints of a Service have to be, written from the API's description alone: slow, and
//! without the product's code.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// One endpoint in one slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Placed {
    /// Which endpoint it is: it tells its address, node, zone and pod.
    pub(crate) id: u16,
    pub(crate) ready: bool,
    pub(crate) serving: bool,
    pub(crate) terminating: bool,
}

/// The slices of Service `web` by number.
pub(crate) type Slices = BTreeMap<u16, Vec<Placed>>;

pub(crate) fn address(id: u16) -> String {
    match id % 5 {
        0 => format!("fd00::{id:x}"),
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
    let mut ids: Vec<u16> = slices.values().flatten().map(|p| p.id).collect();
    ids.sort_by_key(|id| address(*id));
    ids.dedup();
    ids.into_iter().map(|id| endpoint(slices, id)).collect()
}

fn endpoint(slices: &Slices, id: u16) -> Value {
    let mut seen = json!({});
    let mut best: Option<Placed> = None;
    for (slice, placed) in slices {
        for placed in placed.iter().filter(|placed| placed.id == id) {
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
    let mut endpoint = json!({"address": address(id), "ports": seen, "ready": best.ready,
        "serving": best.serving, "terminating": best.terminating, "node": "node",
        "pod": format!("web-{id}")});
    if !zone(id).is_empty() {
        endpoint["zone"] = json!(zone(id));
    }
    endpoint
}
