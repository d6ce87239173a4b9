//! What the views have to be, written from the API's description alone: slow, and without the product's
//! code.

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub(super) mod endpoints;

use endpoints::Slices;

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
    pub(super) slices: Slices,
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
        web["endpoints"] = endpoints::endpoints(&self.slices);
        web
    }
}
