//! The control plane does what the tests of this tier rely on.

use std::time::Duration;

use futures_util::{AsyncBufReadExt, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::{Api, Client, Error};
use serde_json::Value;

use crate::support::control_plane::{ControlPlane, client};
use crate::support::eventually;
use crate::support::relay::Relay;

const LIMIT: Duration = Duration::from_secs(60);

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(Error::Api(status)) => status.code,
        Err(error) => panic!("not an answer of the API server: {error}"),
    }
}

fn config_maps(client: Client, namespace: &str) -> Api<ConfigMap> {
    Api::namespaced(client, namespace)
}

/// The first event of a watch of all ConfigMaps of `default` from a version, if it has any.
async fn first_event(client: Client, version: &str) -> Option<Value> {
    let path = format!(
        "/api/v1/namespaces/default/configmaps?watch=1&resourceVersion={version}&timeoutSeconds=2"
    );
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    let mut lines = client.request_stream(request).await.unwrap().lines();
    let line = lines.next().await?.unwrap();
    Some(serde_json::from_str(&line).unwrap())
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn users_have_the_rights_they_were_given() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace().await;
    let maps = control_plane.config_maps(&namespace).await;
    let created = maps.create("web", &[("GREETING", "hello")]).await;
    maps.create("other", &[]).await;
    let changed = maps.set("web", "GREETING", "goodbye").await;
    assert_ne!(created, changed);
    assert_eq!(maps.resource_version("web").await, changed);

    let user = control_plane.kubeconfig("reader");
    control_plane
        .allow(
            "reader",
            &namespace,
            "configmaps",
            &["get", "list", "watch"],
            &["web"],
        )
        .await;
    let api = config_maps(client(&user).await, &namespace);
    assert_eq!(
        api.get("web").await.unwrap().data.unwrap()["GREETING"],
        "goodbye"
    );
    assert_eq!(code(api.get("other").await), 403);
    control_plane.forbid("reader", &namespace).await;
    eventually("the role is gone", LIMIT, async || {
        code(api.get("web").await) == 403
    })
    .await;

    let relay = Relay::start(control_plane.addr()).await;
    let via = control_plane.kubeconfig_via(&control_plane.admin_kubeconfig(), relay.addr());
    config_maps(client(&via).await, &namespace)
        .get("web")
        .await
        .unwrap();
    assert_eq!(relay.total(), 1);
    maps.delete("web").await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_control_plane_survives_its_faults() {
    let mut control_plane = ControlPlane::start().await;
    let maps = control_plane.config_maps("default").await;
    let first = maps.create("web", &[("GREETING", "hello")]).await;
    let current = maps.set("web", "GREETING", "changed").await;

    control_plane.stop_apiserver();
    let admin = config_maps(control_plane.admin().await, "default");
    assert!(
        !matches!(admin.get("web").await, Ok(_) | Err(Error::Api(_))),
        "nobody answers"
    );
    control_plane.start_apiserver().await;
    assert_eq!(
        control_plane
            .config_maps("default")
            .await
            .resource_version("web")
            .await,
        current
    );

    let event = first_event(control_plane.admin().await, &first).await;
    assert_eq!(
        event.unwrap()["object"]["code"],
        410,
        "older than the watch cache"
    );
    let listed = config_maps(control_plane.admin().await, "default");
    let listed = listed.list(&ListParams::default()).await.unwrap();
    let newest = listed.metadata.resource_version.unwrap();
    let event = first_event(control_plane.admin().await, &newest).await;
    assert_eq!(event, None, "the newest version is resumed without loss");
    control_plane.expire_watches().await;
    let event = first_event(control_plane.admin().await, &newest).await;
    assert_eq!(
        event.unwrap()["object"]["code"],
        410,
        "that version expired"
    );

    control_plane
        .allow("pod", "default", "configmaps", &["get"], &["web"])
        .await;
    let pod = control_plane.pod_kubeconfig();
    assert_eq!(
        code(config_maps(client(&pod).await, "default").get("web").await),
        200
    );
    control_plane.rotate_token().await;
    assert_eq!(
        code(config_maps(client(&pod).await, "default").get("web").await),
        401
    );
    control_plane.deliver_token();
    assert_eq!(
        code(config_maps(client(&pod).await, "default").get("web").await),
        200
    );

    let ca = control_plane.ca_pem();
    control_plane.rotate_serving_certificate().await;
    assert_eq!(control_plane.ca_pem(), ca);
    let with_old_ca = config_maps(client(&pod).await, "default");
    control_plane.rotate_ca().await;
    assert_ne!(control_plane.ca_pem(), ca);
    assert!(
        !matches!(with_old_ca.get("web").await, Ok(_) | Err(Error::Api(_))),
        "an unknown issuer"
    );
    assert_eq!(
        code(config_maps(client(&pod).await, "default").get("web").await),
        200
    );
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn without_a_watch_cache_compaction_alone_expires_a_watch() {
    let control_plane = ControlPlane::start_with(&["--watch-cache=false"]).await;
    let maps = control_plane.config_maps("default").await;
    let first = maps.create("web", &[]).await;
    maps.set("web", "GREETING", "hello").await;
    let event = first_event(control_plane.admin().await, &first).await;
    assert_eq!(event.unwrap()["type"], "MODIFIED");
    control_plane.compact_etcd().await;
    let event = first_event(control_plane.admin().await, &first).await;
    assert_eq!(event.unwrap()["object"]["code"], 410);
}
