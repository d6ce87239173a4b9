//! Services and EndpointSlices that are watched from the start.

use http::StatusCode;
use serde_json::json;

use super::support::eventually;
use super::support::fake::FakeApiServer;
use super::{LIMIT, sidecar};

const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

#[tokio::test]
async fn a_server_without_endpoint_slices_keeps_nothing_else_waiting_and_is_asked_again() {
    let mut fake = FakeApiServer::start().await;
    let sidecar = sidecar(&fake, &["--discover", "default", "--no-on-demand"]).await;
    assert_eq!(sidecar.text("/-/ready").await.0, 200, "nothing is named");
    let services = fake.next_list(SERVICES).await;
    assert_eq!(services.asked.query("fieldSelector"), None);
    assert_eq!(services.asked.query("labelSelector"), None);
    services.list("10", &[], None);
    let _services = fake.next_watch(SERVICES).await.watch();
    let unserved = fake.next_list(SLICES).await;
    unserved.fail(StatusCode::NOT_FOUND, "NotFound", "page not found");
    let slice = json!({
        "metadata": {
            "name": "web-abcde", "namespace": "default", "uid": "u", "resourceVersion": "11",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4", "endpoints": null, "ports": null,
    });
    fake.next_list(SLICES).await.list("12", &[slice], None);
    let watch = fake.next_watch(SLICES).await;
    assert_eq!(watch.asked.query("resourceVersion"), Some("12"));
    let lists = "attache_watch_lists_total{scope=\"EndpointSlice default/*\"}";
    eventually("counted under the namespace's name", LIMIT, async || {
        sidecar.metric(lists).await >= 1.0
    })
    .await;
}
