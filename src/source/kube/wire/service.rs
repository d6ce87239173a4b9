//! A core/v1 Service's `spec`.

use serde::Deserialize;

use super::{Malformed, Wire, WireMeta, described};
use crate::store::discovered::{Service, ServicePort};
use crate::store::{Discovered, Kind, RawObject};

#[derive(Deserialize)]
pub(super) struct WireService {
    metadata: WireMeta,
    #[serde(default)]
    spec: WireSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSpec {
    r#type: Option<String>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    external_name: Option<String>,
    ports: Option<Vec<WirePort>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePort {
    name: Option<String>,
    protocol: Option<String>,
    port: u16,
    target_port: Option<IntOrString>,
    node_port: Option<u16>,
    app_protocol: Option<String>,
}

/// The API's type of that name: a port's number, or the name of a container's port.
#[derive(Deserialize)]
#[serde(untagged)]
enum IntOrString {
    Int(u16),
    String(String),
}

// === impl WireService ===

impl Wire for WireService {
    fn kept(self, kind: Kind) -> Result<RawObject, Malformed> {
        let mut raw = described(kind, self.metadata)?;
        let ports = self.spec.ports.unwrap_or_default();
        raw.discovered = Some(Box::new(Discovered::Service(Service {
            service_type: self.spec.r#type.unwrap_or_default(),
            cluster_ip: self.spec.cluster_ip.unwrap_or_default(),
            cluster_ips: self.spec.cluster_ips.unwrap_or_default(),
            external_name: self.spec.external_name.unwrap_or_default(),
            ports: ports.into_iter().map(WirePort::kept).collect(),
        })));
        Ok(raw)
    }
}

// === impl WirePort ===

impl WirePort {
    fn kept(self) -> ServicePort {
        ServicePort {
            name: self.name.unwrap_or_default(),
            protocol: self.protocol.unwrap_or_default(),
            port: self.port,
            target_port: match self.target_port {
                // Go's zero value stands for none.
                None | Some(IntOrString::Int(0)) => String::new(),
                Some(IntOrString::Int(number)) => number.to_string(),
                Some(IntOrString::String(name)) => name,
            },
            node_port: self.node_port.unwrap_or_default(),
            app_protocol: self.app_protocol.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{Line, Malformed, line, page};
    use super::*;
    use crate::source::kube::machine::Event;

    fn service(name: &str, spec: &Value) -> Value {
        json!({
            "metadata": {
                "name": name, "namespace": "default", "uid": "u", "resourceVersion": "7",
                "labels": {"app": name}, "managedFields": [{"manager": "kubectl", "fieldsV1": {}}],
            },
            "spec": spec,
            "status": {"loadBalancer": {}},
        })
    }

    fn decoded(spec: &Value) -> Service {
        let list = json!({
            "kind": "ServiceList", "apiVersion": "v1", "metadata": {"resourceVersion": "9"},
            "items": [service("web", spec)],
        });
        let mut page = page(Kind::Service, list.to_string().as_bytes()).unwrap();
        let raw = page.items.remove(0);
        assert_eq!(raw.reference.to_string(), "Service default/web");
        assert_eq!((&*raw.uid, &*raw.resource_version), ("u", "7"));
        match raw.discovered.map(|discovered| *discovered) {
            Some(Discovered::Service(service)) => service,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_dual_stack_service_keeps_its_addresses_and_ports() {
        let service = decoded(&json!({
            "type": "NodePort", "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10", "fd00::a"],
            "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack",
            "selector": {"app": "web"}, "sessionAffinity": "None",
            "ports": [
                {"name": "http", "protocol": "TCP", "appProtocol": "http", "port": 80, "targetPort": "web", "nodePort": 30080},
                {"name": "dns", "protocol": "UDP", "port": 53, "targetPort": 5353},
            ],
        }));
        assert_eq!(service.service_type, "NodePort");
        assert_eq!(service.cluster_ip, "10.96.0.10");
        assert_eq!(service.cluster_ips, ["10.96.0.10", "fd00::a"]);
        let http = ServicePort {
            name: "http".into(),
            protocol: "TCP".into(),
            port: 80,
            target_port: "web".into(),
            node_port: 30080,
            app_protocol: "http".into(),
        };
        let dns = ServicePort {
            name: "dns".into(),
            protocol: "UDP".into(),
            port: 53,
            target_port: "5353".into(),
            ..ServicePort::default()
        };
        assert_eq!(service.ports, [http, dns]);
    }

    #[test]
    fn an_external_name_has_no_address_and_a_headless_service_none() {
        let external = decoded(&json!({
            "type": "ExternalName", "externalName": "db.example.com", "sessionAffinity": "None",
        }));
        assert_eq!(external.external_name, "db.example.com");
        assert!(external.cluster_ip.is_empty() && external.cluster_ips.is_empty());
        assert!(external.ports.is_empty());
        let headless = decoded(&json!({
            "type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"], "ports": null,
        }));
        assert_eq!(headless.cluster_ip, "None");
        assert!(headless.external_name.is_empty());
    }

    #[test]
    fn events_are_decoded_as_items_are() {
        let event = json!({
            "type": "ADDED",
            "object": service("web", &json!({"type": "ClusterIP", "clusterIP": "10.96.0.10"})),
        });
        let Line::Event(Event::Applied { object, .. }) =
            line(Kind::Service, event.to_string().as_bytes()).unwrap()
        else {
            panic!("not applied")
        };
        assert!(object.discovered.is_some());
        let bookmark = br#"{"type":"BOOKMARK","object":{"kind":"Service","apiVersion":"v1","metadata":{"resourceVersion":"12","creationTimestamp":null},"spec":{},"status":{"loadBalancer":{}}}}"#;
        assert!(matches!(
            line(Kind::Service, bookmark),
            Ok(Line::Event(Event::Bookmark(version))) if version == "12"
        ));
        let gone = json!({"type": "DELETED", "object": service("web", &json!({}))});
        assert!(matches!(
            line(Kind::Service, gone.to_string().as_bytes()),
            Ok(Line::Event(Event::Deleted(gone))) if gone.resource_version == "7"
        ));
    }

    #[test]
    fn what_is_malformed_is_named_by_its_place_alone() {
        let port = |port: &Value| {
            let object = service("web", &json!({"ports": [port]}));
            json!({"type": "ADDED", "object": object}).to_string()
        };
        for port in [
            port(&json!({"port": "hunter2"})),
            port(&json!({"port": 70_000})),
            port(&json!({"port": 80, "targetPort": {"hunter2": 1}})),
        ] {
            let error = line(Kind::Service, port.as_bytes()).unwrap_err();
            assert!(matches!(error, Malformed::Json { .. }), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        let nameless =
            br#"{"type":"ADDED","object":{"metadata":{"resourceVersion":"1"},"spec":{}}}"#;
        assert!(matches!(
            line(Kind::Service, nameless),
            Err(Malformed::Missing("metadata.name or metadata.namespace"))
        ));
    }
}
