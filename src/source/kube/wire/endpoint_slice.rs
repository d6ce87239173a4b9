//! A discovery.k8s.io/v1 EndpointSlice.

use serde::Deserialize;

use super::{Malformed, Wire, WireMeta, described};
use crate::store::discovered::{Endpoint, EndpointPort, EndpointSlice};
use crate::store::{Discovered, Kind, RawObject};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireEndpointSlice {
    metadata: WireMeta<Labels>,
    ports: Option<Vec<WirePort>>,
    endpoints: Option<Vec<WireEndpoint>>,
}

#[derive(Deserialize)]
struct Labels {
    #[serde(rename = "kubernetes.io/service-name")]
    service: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePort {
    name: Option<String>,
    port: Option<i32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEndpoint {
    addresses: Option<Vec<String>>,
    conditions: Option<WireConditions>,
    hostname: Option<String>,
    node_name: Option<String>,
    zone: Option<String>,
    target_ref: Option<WireTargetRef>,
}

#[derive(Default, Deserialize)]
struct WireConditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Deserialize)]
struct WireTargetRef {
    kind: Option<String>,
    name: Option<String>,
}

// === impl WireEndpointSlice ===

impl Wire for WireEndpointSlice {
    fn kept(mut self, kind: Kind) -> Result<RawObject, Malformed> {
        let labels = self.metadata.labels.take();
        let mut raw = described(kind, self.metadata)?;
        let ports = self.ports.unwrap_or_default();
        let endpoints = self.endpoints.unwrap_or_default();
        raw.discovered = Some(Box::new(Discovered::EndpointSlice(EndpointSlice {
            service: labels.and_then(|labels| labels.service).unwrap_or_default(),
            ports: ports.into_iter().filter_map(WirePort::kept).collect(),
            endpoints: endpoints.into_iter().map(WireEndpoint::kept).collect(),
        })));
        Ok(raw)
    }
}

// === impl WirePort ===

impl WirePort {
    /// `None` where it is no port. The API server does not check the number, and one odd slice must
    /// not hide all the others of its namespace.
    fn kept(self) -> Option<EndpointPort> {
        Some(EndpointPort {
            name: self.name.unwrap_or_default(),
            port: match self.port {
                Some(number) => Some(u16::try_from(number).ok().filter(|port| *port > 0)?),
                None => None,
            },
        })
    }
}

// === impl WireEndpoint ===

impl WireEndpoint {
    fn kept(self) -> Endpoint {
        let conditions = self.conditions.unwrap_or_default();
        // "A nil value should be interpreted as" is the API's own word on each of the three.
        let ready = conditions.ready.unwrap_or(true);
        let pod = self
            .target_ref
            .filter(|target| target.kind.as_deref() == Some("Pod"))
            .and_then(|target| target.name);
        Endpoint {
            addresses: self.addresses.unwrap_or_default(),
            ready,
            serving: conditions.serving.unwrap_or(ready),
            terminating: conditions.terminating.unwrap_or(false),
            hostname: self.hostname.unwrap_or_default(),
            node: self.node_name.unwrap_or_default(),
            zone: self.zone.unwrap_or_default(),
            pod: pod.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{Line, Malformed, line, page};
    use super::*;
    use crate::source::kube::machine::Event;

    fn raw(rest: &Value) -> RawObject {
        let mut slice = json!({
            "metadata": {
                "name": "web-abcde", "generateName": "web-", "namespace": "default", "uid": "u",
                "resourceVersion": "7", "generation": 3,
                "labels": {
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                    "kubernetes.io/service-name": "web",
                },
                "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "s"}],
            },
        });
        let fields = rest.as_object().unwrap().clone();
        slice.as_object_mut().unwrap().extend(fields);
        let list = json!({"metadata": {"resourceVersion": "9"}, "items": [slice]});
        let list = list.to_string();
        page(Kind::EndpointSlice, list.as_bytes())
            .unwrap()
            .items
            .remove(0)
    }

    fn decoded(rest: &Value) -> EndpointSlice {
        match raw(rest).discovered.map(|discovered| *discovered) {
            Some(Discovered::EndpointSlice(slice)) => slice,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_slice_of_the_servers_own_controller() {
        let slice = decoded(&json!({
            "addressType": "IPv4",
            "endpoints": [{
                "addresses": ["10.1.0.7"],
                "conditions": {"ready": false, "serving": true, "terminating": true},
                "deprecatedTopology": {"zone": "not-this-one"}, "topology": {"zone": "nor-this"},
                "hostname": "web-0", "nodeName": "node-a", "zone": "eu-1a",
                "targetRef": {"kind": "Pod", "name": "web-0", "namespace": "default", "uid": "p"},
                "hints": {"forZones": [{"name": "eu-1a"}]},
            }],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "http"}],
        }));
        assert_eq!(
            slice,
            EndpointSlice {
                service: "web".into(),
                ports: vec![EndpointPort {
                    name: "http".into(),
                    port: Some(8080),
                }],
                endpoints: vec![Endpoint {
                    addresses: vec!["10.1.0.7".into()],
                    ready: false,
                    serving: true,
                    terminating: true,
                    hostname: "web-0".into(),
                    node: "node-a".into(),
                    zone: "eu-1a".into(),
                    pod: "web-0".into(),
                }],
            }
        );
    }

    #[test]
    fn conditions_that_are_left_out_mean_what_the_api_says() {
        let cases = [
            (json!(null), (true, true, false)),
            (json!({}), (true, true, false)),
            (json!({"ready": false}), (false, false, false)),
            (json!({"ready": null, "serving": null}), (true, true, false)),
            (json!({"serving": false}), (true, false, false)),
            (
                json!({"ready": false, "serving": true, "terminating": true}),
                (false, true, true),
            ),
        ];
        for (conditions, expected) in cases {
            let endpoint = json!({"addresses": ["10.1.0.7"], "conditions": conditions});
            let slice = decoded(&json!({"addressType": "IPv4", "endpoints": [endpoint]}));
            let e = &slice.endpoints[0];
            assert_eq!(
                (e.ready, e.serving, e.terminating),
                expected,
                "{conditions}"
            );
        }
        let bare = decoded(&json!({"endpoints": [{"addresses": ["10.1.0.7"]}]}));
        assert!(bare.endpoints[0].ready && bare.endpoints[0].serving);
    }

    #[test]
    fn empty_slices_other_address_types_and_all_ports() {
        let empty = decoded(&json!({"addressType": "IPv6", "endpoints": null, "ports": null}));
        assert!(empty.endpoints.is_empty() && empty.ports.is_empty());
        let names = decoded(&json!({
            "addressType": "FQDN",
            "endpoints": [{
                "addresses": ["db.example.com"],
                "targetRef": {"kind": "ServiceEntry", "name": "db"},
            }],
            "ports": [{"name": "", "port": null}, {"name": "odd", "port": 70_000}, {"name": "none", "port": 0}],
        }));
        assert_eq!(names.endpoints[0].addresses, ["db.example.com"]);
        assert!(names.endpoints[0].pod.is_empty(), "no Pod");
        assert_eq!(
            names.ports,
            [EndpointPort::default()],
            "all ports; what is no port is left out"
        );
    }

    #[test]
    fn a_slice_of_no_service_has_none() {
        for labels in [json!(null), json!({"app": "web"})] {
            let metadata = json!({"name": "a", "namespace": "b", "labels": labels});
            let slice = decoded(&json!({"metadata": metadata, "addressType": "IPv4"}));
            assert!(slice.service.is_empty());
        }
    }

    #[test]
    fn a_bookmark_is_one_and_what_is_malformed_is_not_repeated() {
        let bookmark = br#"{"type":"BOOKMARK","object":{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"12","creationTimestamp":null},"addressType":"","endpoints":null,"ports":null}}"#;
        assert!(matches!(
            line(Kind::EndpointSlice, bookmark),
            Ok(Line::Event(Event::Bookmark(version))) if version == "12"
        ));
        let malformed = br#"{"type":"ADDED","object":{"metadata":{"name":"a","namespace":"b","resourceVersion":"1"},"endpoints":[{"addresses":"hunter2"}]}}"#;
        let error = line(Kind::EndpointSlice, malformed).unwrap_err();
        assert!(matches!(error, Malformed::Json { .. }));
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
