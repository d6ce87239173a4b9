use serde_json::{Value, json};

use super::*;
use crate::store::discovered::{Endpoint, EndpointPort};
use crate::store::{Kind, RawObject};

mod churn;
mod model;

/// An object at a version, as a source decodes it.
fn object(kind: Kind, name: &str, version: usize, discovered: Discovered) -> Arc<Object> {
    let mut raw = RawObject::empty(ObjectRef::new(kind, "default", name));
    raw.uid = format!("uid-of-{name}");
    raw.resource_version = version.to_string();
    raw.discovered = Some(Box::new(discovered));
    Object::freeze(raw, None)
}

fn objects(objects: impl IntoIterator<Item = Arc<Object>>) -> Objects {
    let objects = objects.into_iter();
    objects.map(|o| (o.reference().clone(), o)).collect()
}

fn a_service(name: &str, service: Service) -> Arc<Object> {
    object(Kind::Service, name, 7, Discovered::Service(service))
}

fn cluster_ip(ip: &str) -> Service {
    Service {
        service_type: "ClusterIP".into(),
        cluster_ip: ip.into(),
        cluster_ips: vec![ip.into()],
        ..Service::default()
    }
}

fn external(name: &str) -> Service {
    Service {
        service_type: "ExternalName".into(),
        external_name: name.into(),
        ..Service::default()
    }
}

/// A slice of Service `web`, with ports by name and number (0 stands for all ports).
fn slice(name: &str, ports: &[(&str, u16)], endpoints: &[Endpoint]) -> Arc<Object> {
    let ports = ports.iter().map(|(name, port)| EndpointPort {
        name: (*name).into(),
        port: Some(*port).filter(|port| *port != 0),
    });
    let slice = EndpointSlice {
        service: "web".into(),
        ports: ports.collect(),
        endpoints: endpoints.to_vec(),
    };
    object(
        Kind::EndpointSlice,
        name,
        1,
        Discovered::EndpointSlice(slice),
    )
}

fn endpoint(address: &str) -> Endpoint {
    Endpoint {
        addresses: vec![address.into()],
        ready: true,
        serving: true,
        ..Endpoint::default()
    }
}

fn text(view: &View) -> &str {
    std::str::from_utf8(view.json()).unwrap()
}

fn parsed(view: &View) -> Value {
    serde_json::from_slice(view.json()).unwrap()
}

/// Service `web` as these slices make it.
fn web(slices: impl IntoIterator<Item = Arc<Object>>, filter: &Filter) -> View {
    let services = objects([a_service("web", cluster_ip("10.0.0.1"))]);
    service("web", &services, &objects(slices), filter).unwrap()
}

#[test]
fn a_namespace_is_a_map_of_cluster_addresses() {
    let held = objects([
        a_service("web", cluster_ip("10.0.0.1")),
        a_service("db", cluster_ip("None")),
        a_service("mail", external("mail.example.org")),
    ]);
    let view = services(&held);
    let whole = "{\"db\":\"None\",\"mail\":null,\"web\":\"10.0.0.1\"}";
    assert_eq!(text(&view), format!("{whole}\n"));
    assert_eq!(view.snapshot(), format!("{{\"data\":{whole}}}"));
    let change = r#"{"key":"web","value":"10.0.0.1","resourceVersion":"7"}"#;
    assert_eq!(view.change("web"), change);
    let gone = r#"{"key":"gone","value":null,"resourceVersion":null}"#;
    assert_eq!(view.change("gone"), gone);
    assert_eq!(text(&services(&objects([]))), "{}\n");
}

#[test]
fn a_service_without_an_address_comes_and_goes_as_a_whole() {
    let both = [
        a_service("web", cluster_ip("10.0.0.1")),
        a_service("mail", external("mail.example.org")),
    ];
    let with = services(&objects(both.clone()));
    let [web, _] = both;
    let without = services(&objects([web]));
    assert_ne!(
        with.head(),
        without.head(),
        "null is the value of what has gone"
    );
    let more = services(&objects([
        a_service("web", cluster_ip("10.0.0.2")),
        a_service("db", cluster_ip("None")),
    ]));
    assert_eq!(without.head(), more.head());
}

#[test]
fn a_service_is_shown_with_its_ports_and_endpoints() {
    let ports = vec![
        ServicePort {
            name: "http".into(),
            protocol: "TCP".into(),
            port: 80,
            target_port: "8080".into(),
            node_port: 30_080,
            app_protocol: "kubernetes.io/h2c".into(),
        },
        ServicePort {
            name: "metrics".into(),
            protocol: "TCP".into(),
            port: 9090,
            target_port: "metrics".into(),
            ..ServicePort::default()
        },
    ];
    let held = Service {
        service_type: "NodePort".into(),
        ports,
        cluster_ips: vec!["10.0.0.1".into(), "fd00::1".into()],
        ..cluster_ip("10.0.0.1")
    };
    let full = Endpoint {
        addresses: vec!["10.1.0.7".into(), "10.1.0.8".into()],
        hostname: "web-0".into(),
        node: "n\"1".into(),
        zone: "eu-1a".into(),
        pod: "web-0".into(),
        ..endpoint("")
    };
    let going = Endpoint {
        ready: false,
        terminating: true,
        ..endpoint("10.1.0.11")
    };
    let slices = objects([
        slice("web-a", &[("http", 8080), ("", 0)], &[full, going]),
        slice("web-6", &[("http", 8080)], &[endpoint("fd00::7")]),
    ]);
    let services = objects([a_service("web", held)]);
    let view = service("web", &services, &slices, &Filter::default()).unwrap();
    let head = concat!(
        r#"{"name":"web","namespace":"default","type":"NodePort","clusterIP":"10.0.0.1","#,
        r#""clusterIPs":["10.0.0.1","fd00::1"],"ports":[{"name":"http","protocol":"TCP","#,
        r#""port":80,"targetPort":8080,"nodePort":30080,"appProtocol":"kubernetes.io/h2c"},"#,
        r#"{"name":"metrics","protocol":"TCP","port":9090,"targetPort":"metrics"}],"#,
    );
    let first = concat!(
        r#"{"address":"10.1.0.11","ports":{"":null,"http":8080},"ready":false,"serving":true,"#,
        r#""terminating":true}"#
    );
    let second = concat!(
        r#"{"address":"10.1.0.7","addresses":["10.1.0.7","10.1.0.8"],"#,
        r#""ports":{"":null,"http":8080},"ready":true,"serving":true,"terminating":false,"#,
        r#""hostname":"web-0","zone":"eu-1a","node":"n\"1","pod":"web-0"}"#
    );
    let third = concat!(
        r#"{"address":"fd00::7","ports":{"http":8080},"ready":true,"serving":true,"#,
        r#""terminating":false}"#
    );
    let whole = format!("{head}\"endpoints\":[{first},{second},{third}]}}");
    assert_eq!(text(&view), format!("{whole}\n"));
    assert_eq!(view.snapshot(), format!("{{\"service\":{whole}}}"));
    let change = format!(r#"{{"key":"10.1.0.7","value":{second},"resourceVersion":null}}"#);
    assert_eq!(view.change("10.1.0.7"), change);
}

#[test]
fn every_type_of_service_is_shown() {
    let shown = |held: Service, slices: Objects| {
        let services = objects([a_service("web", held)]);
        parsed(&service("web", &services, &slices, &Filter::default()).unwrap())
    };
    let by_hand = || objects([slice("by-hand", &[("", 5432)], &[endpoint("192.0.2.1")])]);
    let listed = json!([{"address": "192.0.2.1", "ports": {"": 5432}, "ready": true,
        "serving": true, "terminating": false}]);
    let headless = shown(cluster_ip("None"), by_hand());
    assert_eq!(headless["clusterIP"], "None");
    assert_eq!(headless["endpoints"], listed);
    let external = shown(external("mail.example.org"), by_hand());
    assert_eq!(
        external,
        json!({"name": "web", "namespace": "default", "type": "ExternalName",
            "externalName": "mail.example.org", "ports": [], "endpoints": []})
    );
    let empty = shown(cluster_ip("10.0.0.1"), objects([]));
    assert_eq!(empty["endpoints"], json!([]));
}

#[test]
fn slices_without_their_service_are_nothing() {
    let slices = objects([slice("web-a", &[], &[endpoint("10.1.0.7")])]);
    let other = objects([a_service("other", cluster_ip("10.0.0.1"))]);
    assert!(service("web", &other, &slices, &Filter::default()).is_none());
    let view = service("other", &other, &slices, &Filter::default()).unwrap();
    assert!(view.entries().is_empty(), "another Service's slices");
    // An endpoint always has an address, says the API; one without cannot be shown.
    let none = Endpoint {
        addresses: vec![],
        ..endpoint("")
    };
    assert!(
        web([slice("web-a", &[], &[none])], &Filter::default())
            .entries()
            .is_empty()
    );
}

#[test]
fn of_duplicates_the_ready_one_wins_then_the_serving_then_the_one_that_stays() {
    let with = |ready, serving, terminating, zone: &str| Endpoint {
        ready,
        serving,
        terminating,
        zone: zone.into(),
        ..endpoint("10.1.0.7")
    };
    let ranked = [
        with(true, true, false, "z"),
        with(true, false, true, "y"),
        with(false, true, false, "x"),
        with(false, true, true, "w"),
        with(false, false, false, "v"),
        with(false, false, true, "u"),
    ];
    for (at, better) in ranked.iter().enumerate() {
        for (below, worse) in ranked.iter().enumerate().skip(at + 1) {
            for (first, second) in [(better, worse), (worse, better)] {
                let slices = [
                    slice("a", &[("http", 80)], std::slice::from_ref(first)),
                    slice(
                        "b",
                        &[("http", 80), ("admin", 81)],
                        std::slice::from_ref(second),
                    ),
                ];
                let json = parsed(&web(slices, &Filter::default()));
                let shown = &json["endpoints"][0];
                assert_eq!(shown["zone"], better.zone, "{at} before {below}");
                assert_eq!(shown["ports"], json!({"admin": 81, "http": 80}));
                assert_eq!(json["endpoints"].as_array().unwrap().len(), 1);
            }
        }
    }
}

#[test]
fn the_bytes_depend_neither_on_names_nor_on_order() {
    let ready = endpoint("10.1.0.7");
    let unready = Endpoint {
        ready: false,
        pod: "old".into(),
        ..endpoint("10.1.0.7")
    };
    let twin = Endpoint {
        pod: "twin".into(),
        ..endpoint("10.1.0.7")
    };
    // The same name with different numbers: that of the best counts.
    let parts = [(80, ready), (81, unready), (82, twin)];
    let bytes: BTreeSet<_> = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ]
    .map(|order| {
        let slices = order.iter().zip(["a", "b", "c"]).map(|(part, name)| {
            let (port, endpoint) = &parts[*part];
            slice(name, &[("http", *port)], std::slice::from_ref(endpoint))
        });
        let view = web(slices, &Filter::default());
        assert_eq!(parsed(&view)["endpoints"][0]["ports"]["http"], 80);
        view.json().clone()
    })
    .into();
    assert_eq!(bytes.len(), 1);
}

#[test]
fn filters_narrow_endpoints_and_their_ports() {
    let zoned = |address: &str, zone: &str, ready| Endpoint {
        zone: zone.into(),
        ready,
        ..endpoint(address)
    };
    let slices = [
        slice(
            "a",
            &[("http", 80), ("admin", 81)],
            &[zoned("10.1.0.1", "a", true), zoned("10.1.0.2", "b", false)],
        ),
        slice("b", &[("http", 80)], &[zoned("10.1.0.3", "a", false)]),
        slice("c", &[("", 82)], &[zoned("10.1.0.4", "", true)]),
    ];
    let shown = |filter: Filter| {
        let json = parsed(&web(slices.clone(), &filter));
        let endpoints = json["endpoints"].as_array().unwrap().iter();
        let shown = endpoints.map(|e| {
            (
                e["address"].as_str().unwrap().to_owned(),
                e["ports"].clone(),
            )
        });
        shown.collect::<Vec<_>>()
    };
    let addresses = |filter| -> Vec<String> { shown(filter).into_iter().map(|s| s.0).collect() };
    let none = Filter::default;
    let ready = |ready| Filter {
        ready: Some(ready),
        ..none()
    };
    let zone = |zone: &str| Filter {
        zone: Some(zone.into()),
        ..none()
    };
    let port = |port: &str| Filter {
        port: Some(port.into()),
        ..none()
    };
    assert_eq!(addresses(none()).len(), 4);
    assert_eq!(addresses(ready(true)), ["10.1.0.1", "10.1.0.4"]);
    assert_eq!(addresses(ready(false)), ["10.1.0.2", "10.1.0.3"]);
    assert_eq!(addresses(zone("a")), ["10.1.0.1", "10.1.0.3"]);
    assert_eq!(addresses(zone("")), ["10.1.0.4"]);
    assert_eq!(addresses(zone("c")), Vec::<String>::new());
    let admin = json!({"admin": 81});
    let only = [
        ("10.1.0.1".to_owned(), admin.clone()),
        ("10.1.0.2".to_owned(), admin),
    ];
    assert_eq!(shown(port("admin")), only);
    assert_eq!(shown(port("")), [("10.1.0.4".to_owned(), json!({"": 82}))]);
    let all = Filter {
        ready: Some(true),
        zone: Some("a".into()),
        port: Some("http".into()),
    };
    assert_eq!(shown(all), [("10.1.0.1".to_owned(), json!({"http": 80}))]);
}
