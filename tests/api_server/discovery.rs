//! Services and endpoints of the real API server.

#[path = "discovery/views.rs"]
mod views;

use attache::store::demand::Unmet;
use attache::store::{Discovered, Kind, ObjectRef, Selects};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use crate::support::control_plane::ControlPlane;
use crate::support::demands::Demands;

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn services_come_change_and_go_as_the_server_says() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let demands = Demands::start(&plane.admin_kubeconfig()).await;
    let all = |kind| Selects::Namespace {
        kind,
        namespace: namespace.as_str().into(),
    };
    let services = demands.demander.demand(all(Kind::Service), false).await;
    assert_eq!(services, Ok(()), "an empty namespace is an answer");
    let api: Api<Service> = Api::namespaced(plane.admin().await, &namespace);
    let create = async |name: &str, spec: serde_json::Value| {
        let service = json!({"metadata": {"name": name}, "spec": spec});
        let service = serde_json::from_value(service).unwrap();
        let created = api.create(&PostParams::default(), &service).await.unwrap();
        created.spec.unwrap().cluster_ip.unwrap_or_default()
    };
    let port = json!({"name": "http", "port": 80, "targetPort": "web"});
    let address = create("web", json!({"selector": {"app": "web"}, "ports": [port]})).await;
    let external = json!({"type": "ExternalName", "externalName": "db.example.com"});
    create("db", external).await;
    let of = |name: &str| ObjectRef::new(Kind::Service, namespace.as_str(), name);
    let shown = demands
        .shows(|snapshot| snapshot.get(&of("web")).is_some() && snapshot.get(&of("db")).is_some())
        .await;
    let service = |name: &str| match shown.get(&of(name)).unwrap().discovered() {
        Some(Discovered::Service(service)) => service,
        other => panic!("{other:?}"),
    };
    let web = service("web");
    assert!(!address.is_empty());
    assert_eq!(
        (&*web.cluster_ip, &*web.service_type),
        (&*address, "ClusterIP")
    );
    let port = &web.ports[0];
    assert_eq!(
        (&*port.name, port.port, &*port.target_port),
        ("http", 80, "web")
    );
    assert_eq!(service("db").external_name, "db.example.com");
    assert!(service("db").cluster_ip.is_empty());
    api.delete("web", &DeleteParams::default()).await.unwrap();
    demands
        .shows(|snapshot| snapshot.get(&of("web")).is_none())
        .await;

    let served = plane.admin().await;
    let served = served.list_api_group_resources("discovery.k8s.io/v1").await;
    let slices = demands
        .demander
        .demand(all(Kind::EndpointSlice), false)
        .await;
    match served {
        Ok(_) => assert_eq!(slices, Ok(())),
        Err(_) => assert!(matches!(slices, Err(Unmet::Unserved(_))), "{slices:?}"),
    }
}
