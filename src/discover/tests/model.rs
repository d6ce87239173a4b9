//! What the views have to be, written from the API's description alone: slow, and without the product's
//! code.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// One endpoint in one slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placed {
    /// Which endpoint it is: it tells its address, node, zone and pod.
    pub(super) id: u16,
    pub(super) ready: bool,
    pub(super) serving: bool,
    pub(super) terminating: bool,
}

/// How a Service is reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reached {
    Address(u8),
    Headless,
    External,
}

/// The truth about a namespace: Services, and the slices of Service `web` by number.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) services: BTreeMap<String, Reached>,
    pub(super) slices: BTreeMap<u16, Vec<Placed>>,
}

pub(super) fn address(id: u16) -> String {
    match id % 5 {
        0 => format!("fd00::{id:x}"),
        _ => format!("10.1.{}.{}", id / 256, id % 256),
    }
}

pub(super) fn zone(id: u16) -> &'static str {
    ["eu-1a", "eu-1b", ""][usize::from(id) % 3]
}

/// The ports of a slice.
pub(super) fn ports(slice: u16) -> &'static [(&'static str, u16)] {
    match slice % 4 {
        0 => &[("http", 8080)],
        1 => &[("http", 8080), ("metrics", 9090)],
        2 => &[("metrics", 9090)],
        _ => &[],
    }
}

impl Model {
    /// `/discover/{namespace}`.
    pub(super) fn map(&self) -> Value {
        let mut map = serde_json::Map::new();
        for (name, reached) in &self.services {
            let value = match reached {
                Reached::Address(n) => json!(format!("10.0.0.{n}")),
                Reached::Headless => json!("None"),
                Reached::External => Value::Null,
            };
            map.insert(name.clone(), value);
        }
        Value::Object(map)
    }

    /// `/discover/{namespace}/web`; null where there is none.
    pub(super) fn web(&self) -> Value {
        let mut web = json!({"name": "web", "namespace": "default", "ports": []});
        match self.services.get("web") {
            None => return Value::Null,
            Some(Reached::External) => {
                web["type"] = json!("ExternalName");
                web["externalName"] = json!("web.example.org");
                web["endpoints"] = json!([]);
                return web;
            }
            Some(Reached::Headless) => web["clusterIP"] = json!("None"),
            Some(Reached::Address(n)) => web["clusterIP"] = json!(format!("10.0.0.{n}")),
        }
        web["type"] = json!("ClusterIP");
        web["clusterIPs"] = json!([web["clusterIP"]]);
        let mut ids: Vec<u16> = self.slices.values().flatten().map(|p| p.id).collect();
        ids.sort_by_key(|id| address(*id));
        ids.dedup();
        web["endpoints"] = ids.into_iter().map(|id| self.endpoint(id)).collect();
        web
    }

    fn endpoint(&self, id: u16) -> Value {
        let mut seen = json!({});
        let mut best: Option<Placed> = None;
        for (slice, placed) in &self.slices {
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
}
