//! `/discover` over the real API server.
//!
//! Before Kubernetes 1.21 a server has no discovery.k8s.io/v1; a CustomResourceDefinition of that group,
//! version and shape stands in for it where endpoints are read.

// What the views' unit tests are held against: it knows nothing of attache.
#[path = "../../../src/discover/tests/model/endpoints.rs"]
mod model;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::assets::server_minor;
use crate::support::control_plane::ControlPlane;
use crate::support::eventually;
use crate::support::sidecar::Sidecar;
use crate::{LIMIT, sidecar_with};
use model::{Placed, address, address_type, ports, zone};

/// How many endpoints there are at first, a hundred a slice as the controller makes them.
const ENDPOINTS: u16 = 1_000;

/// Creates a Service; the address it got.
async fn create(services: &Api<Service>, name: &str, spec: &Value) -> Value {
    let service = json!({"metadata": {"name": name}, "spec": spec});
    let service = serde_json::from_value(service).unwrap();
    let created = services.create(&PostParams::default(), &service).await;
    json!(created.expect("a Service").spec.unwrap().cluster_ip)
}

async fn shows(sidecar: &Sidecar, path: &str, wanted: &Value) {
    eventually(format!("{path} shows {wanted:.200}"), LIMIT, async || {
        let (status, body) = sidecar.text(path).await;
        status == 200 && serde_json::from_str::<Value>(&body).unwrap() == *wanted
    })
    .await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn the_services_of_a_namespace_are_a_map_that_follows_them() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let services: Api<Service> = Api::namespaced(plane.admin().await, &namespace);
    let sidecar = sidecar_with(&plane.admin_kubeconfig(), &namespace, &[]).await;
    let path = format!("/discover/{namespace}");
    assert_eq!(sidecar.text(&path).await, (200, "{}\n".into()));
    let ports = json!([{"port": 80}]);
    let web = create(&services, "web", &json!({"ports": ports})).await;
    assert!(web.is_string(), "{web}");
    let headless = json!({"clusterIP": "None", "ports": ports});
    create(&services, "db", &headless).await;
    let external = json!({"type": "ExternalName", "externalName": "mail.example.org"});
    create(&services, "mail", &external).await;
    shows(
        &sidecar,
        &path,
        &json!({"db": "None", "mail": null, "web": web}),
    )
    .await;
    let full = sidecar.get(&path, &[]).await;
    let etag = full.headers()["etag"].to_str().unwrap();
    let held = sidecar.get(&path, &[("if-none-match", etag)]).await;
    assert_eq!(held.status(), 304);
    let internal = json!({"spec": {"type": "ClusterIP", "externalName": null, "ports": ports}});
    let patch = Patch::Merge(&internal);
    let patched = services
        .patch("mail", &PatchParams::default(), &patch)
        .await;
    let mail = json!(patched.unwrap().spec.unwrap().cluster_ip);
    services
        .delete("db", &DeleteParams::default())
        .await
        .unwrap();
    shows(&sidecar, &path, &json!({"mail": mail, "web": web})).await;
    services
        .delete("web", &DeleteParams::default())
        .await
        .unwrap();
    let again = create(
        &services,
        "web",
        &json!({"clusterIP": "None", "ports": ports}),
    )
    .await;
    shows(&sidecar, &path, &json!({"mail": mail, "web": again})).await;
    let status = sidecar.status().await;
    let scopes = status["discovery"].as_array().unwrap();
    let name = format!("Service {namespace}/*");
    assert!(
        scopes.iter().any(|scope| scope["name"] == *name),
        "{scopes:?}"
    );
    assert_eq!(status["scopes"], json!([]), "they are no content");
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_server_without_endpoint_slices_says_so_and_the_map_still_works() {
    let plane = ControlPlane::start_without_endpoint_slices().await;
    let namespace = plane.namespace().await;
    let services: Api<Service> = Api::namespaced(plane.admin().await, &namespace);
    let web = create(&services, "web", &json!({"ports": [{"port": 80}]})).await;
    let path = format!("/discover/{namespace}");
    let kubeconfig = plane.admin_kubeconfig();
    for flags in [&[][..], &["--discover", &namespace, "--no-on-demand"][..]] {
        let sidecar = sidecar_with(&kubeconfig, &namespace, flags).await;
        let what = format!("{flags:?}: endpoints are refused");
        eventually(what, LIMIT, async || {
            let (status, body) = sidecar.text(&format!("{path}/web")).await;
            // Until the server has been asked for the first time.
            assert!(matches!(status, 501 | 503), "{status}: {body}");
            status == 501 && body.contains("discovery.k8s.io/v1") && body.contains("upgrade")
        })
        .await;
        shows(&sidecar, &path, &json!({"web": web})).await;
    }
    let sidecar = sidecar_with(&kubeconfig, &namespace, &["--no-on-demand"]).await;
    let (status, body) = sidecar.text(&path).await;
    assert_eq!(status, 404);
    assert!(body.contains(&format!("--discover {namespace}")), "{body}");
}

/// A server that serves EndpointSlices.
async fn serving_endpoint_slices() -> ControlPlane {
    if server_minor() >= 21 {
        return ControlPlane::start().await;
    }
    // A group that is built in takes no definition beside it.
    let flag = "--runtime-config=discovery.k8s.io/v1beta1=false";
    let plane = ControlPlane::start_with(&[flag]).await;
    define_endpoint_slices(&plane).await;
    plane
}

/// Has the server serve EndpointSlices, of the shape that Kubernetes 1.33 publishes as OpenAPI, as far
/// as a controller fills it in.
async fn define_endpoint_slices(plane: &ControlPlane) {
    let text = json!({"type": "string", "nullable": true});
    let truth = json!({"type": "boolean", "nullable": true});
    let number = json!({"type": "integer", "format": "int32", "nullable": true});
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let list = |items: Value| json!({"type": "array", "nullable": true, "items": items});
    let conditions = object(json!({"ready": truth, "serving": truth, "terminating": truth}));
    let target = object(json!({"kind": text, "namespace": text, "name": text, "uid": text}));
    let endpoint = object(
        json!({"addresses": list(text.clone()), "conditions": conditions,
        "hostname": text, "nodeName": text, "zone": text, "targetRef": target}),
    );
    let port = object(json!({"name": text, "protocol": text, "port": number,
        "appProtocol": text}));
    let mut slice = object(json!({"addressType": text, "endpoints": list(endpoint),
        "ports": list(port)}));
    slice["required"] = json!(["addressType", "endpoints"]);
    let approved = "https://github.com/kubernetes/enhancements/issues/752";
    let definition = json!({
        "metadata": {"name": "endpointslices.discovery.k8s.io",
            "annotations": {"api-approved.kubernetes.io": approved}},
        "spec": {"group": "discovery.k8s.io", "scope": "Namespaced",
            "names": {"plural": "endpointslices", "kind": "EndpointSlice"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": slice}}]},
    });
    let definition: CustomResourceDefinition = serde_json::from_value(definition).unwrap();
    let admin = plane.admin().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(admin.clone());
    definitions
        .create(&PostParams::default(), &definition)
        .await
        .expect("a definition");
    let slices: Api<EndpointSlice> = Api::default_namespaced(admin);
    eventually("EndpointSlices are served", LIMIT, async || {
        slices.list(&Default::default()).await.is_ok()
    })
    .await;
}

/// Slices at the API server.
struct Slices {
    api: Api<EndpointSlice>,
    written: model::Slices,
}

impl Slices {
    fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            written: model::Slices::default(),
        }
    }

    /// Writes what differs, all at once.
    async fn write(&mut self, wanted: &model::Slices) {
        let api = &self.api;
        let gone = self.written.keys().filter(|n| !wanted.contains_key(n));
        let deletions = gone.map(async |number| {
            let deleted = api
                .delete(&format!("web-{number}"), &DeleteParams::default())
                .await;
            deleted.expect("the slice is there");
        });
        let before = &self.written;
        let changed = wanted
            .iter()
            .filter(|(n, placed)| before.get(n) != Some(placed));
        let changes = changed.map(async |(number, placed)| {
            let slice = slice(*number, placed);
            let name = format!("web-{number}");
            let written = if before.contains_key(number) {
                api.patch(&name, &PatchParams::default(), &Patch::Merge(&slice))
                    .await
            } else {
                let slice = serde_json::from_value(slice).unwrap();
                api.create(&PostParams::default(), &slice).await
            };
            written.expect("the slice is written");
        });
        tokio::join!(join_all(deletions), join_all(changes));
        self.written = wanted.clone();
    }
}

fn slice(number: u16, placed: &[Placed]) -> Value {
    let endpoints = placed.iter().map(|placed| {
        let mut endpoint = json!({
            "addresses": [address(number, placed.id)], "nodeName": "node",
            "conditions": {"ready": placed.ready, "serving": placed.serving,
                "terminating": placed.terminating},
            "targetRef": {"kind": "Pod", "name": format!("web-{}", placed.id)},
        });
        if !zone(placed.id).is_empty() {
            endpoint["zone"] = json!(zone(placed.id));
        }
        endpoint
    });
    let ports = ports(number).iter();
    let ports = ports.map(|(name, port)| json!({"name": name, "protocol": "TCP", "port": port}));
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": format!("web-{number}"),
            "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": address_type(number),
        "endpoints": endpoints.collect::<Vec<_>>(),
        "ports": ports.collect::<Vec<_>>(),
    })
}

/// Changes what the controller may change between two moments of rest.
fn churn(slices: &mut model::Slices, random: &mut fastrand::Rng) {
    let numbers: Vec<u16> = slices.keys().copied().collect();
    let of = numbers[random.usize(..numbers.len())];
    let next = numbers.last().map_or(0, |last| last + 1);
    for _ in 0..random.usize(1..60) {
        let from = numbers[random.usize(..numbers.len())];
        let placed = slices.get_mut(&from).unwrap();
        if placed.is_empty() {
            continue;
        }
        let at = random.usize(..placed.len());
        match random.u8(..4) {
            0 => drop(placed.remove(at)),
            // It goes to another slice; every third time it stays in the old one, too.
            1 => {
                let moved = placed[at];
                if random.u8(..3) > 0 {
                    placed.remove(at);
                }
                let to = slices.get_mut(&of).unwrap();
                to.retain(|placed| placed.id != moved.id);
                to.push(Placed {
                    ready: random.bool(),
                    ..moved
                });
            }
            2 => (placed[at].ready, placed[at].serving) = (random.bool(), random.bool()),
            _ => {
                let id = random.u16(..2 * ENDPOINTS);
                placed.retain(|placed| placed.id != id);
                placed.push(ready(id));
            }
        }
    }
    match random.u8(..4) {
        // Split.
        0 => {
            let placed = slices.get_mut(&of).unwrap();
            let half = placed.split_off(placed.len() / 2);
            slices.insert(next, half);
        }
        // Merge.
        1 if numbers.len() > 4 => {
            let moved = slices.remove(&of).unwrap();
            let to = slices.values_mut().next().unwrap();
            to.retain(|placed| moved.iter().all(|moved| moved.id != placed.id));
            to.extend(moved);
        }
        _ => {}
    }
}

fn ready(id: u16) -> Placed {
    Placed {
        id,
        ready: true,
        serving: true,
        terminating: false,
    }
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_thousand_endpoints_are_shown_as_they_come_change_and_go() {
    let plane = serving_endpoint_slices().await;
    let namespace = plane.namespace().await;
    let services: Api<Service> = Api::namespaced(plane.admin().await, &namespace);
    let spec = json!({"ports": [{"name": "http", "port": 80, "targetPort": "web"}]});
    let mut slices = Slices::new(plane.admin().await, &namespace);
    let mut wanted = model::Slices::default();
    for number in 0..ENDPOINTS / 100 {
        let ids = number * 100..(number + 1) * 100;
        wanted.insert(number, ids.map(ready).collect());
    }
    slices.write(&wanted).await;
    let sidecar = sidecar_with(&plane.admin_kubeconfig(), &namespace, &[]).await;
    let path = format!("/discover/{namespace}/web");
    let (status, body) = sidecar.text(&path).await;
    assert_eq!(status, 404, "slices alone are no Service: {body}");
    let mut shown = json!({
        "name": "web", "namespace": namespace, "type": "ClusterIP",
        "clusterIP": create(&services, "web", &spec).await,
        "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "web"}],
    });
    shown["clusterIPs"] = json!([shown["clusterIP"]]);
    shown["endpoints"] = model::endpoints(&wanted);
    assert_eq!(
        shown["endpoints"].as_array().unwrap().len(),
        usize::from(ENDPOINTS)
    );
    shows(&sidecar, &path, &shown).await;
    let mut random = fastrand::Rng::with_seed(17);
    for round in 0..40 {
        churn(&mut wanted, &mut random);
        slices.write(&wanted).await;
        if round % 10 == 9 {
            services
                .delete("web", &DeleteParams::default())
                .await
                .unwrap();
            eventually("the Service is gone", LIMIT, async || {
                sidecar.text(&path).await.0 == 404
            })
            .await;
            shown["clusterIP"] = create(&services, "web", &spec).await;
            shown["clusterIPs"] = json!([shown["clusterIP"]]);
        }
        shown["endpoints"] = model::endpoints(&wanted);
        shows(&sidecar, &path, &shown).await;
    }
    let metric = "attache_watch_reconnects_total";
    assert_eq!(
        sidecar.metric(metric).await,
        0.0,
        "by two watches that never broke"
    );
    let (narrowed, ready) = (
        format!("{path}?ready=true&port=metrics&zone=eu-1a"),
        json!(true),
    );
    let endpoints = shown["endpoints"].as_array_mut().unwrap();
    endpoints.retain(|endpoint| {
        endpoint["ready"] == ready
            && endpoint["zone"] == "eu-1a"
            && endpoint["ports"].get("metrics").is_some()
    });
    assert!(!endpoints.is_empty());
    for endpoint in endpoints {
        endpoint["ports"] = json!({"metrics": 9090});
    }
    shows(&sidecar, &narrowed, &shown).await;
}
