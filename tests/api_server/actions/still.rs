//! What is no change, or none any more, causes no action of any kind.

use serde_json::json;

use super::scene::Scene;
use crate::support::control_plane::ControlPlane;

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_change_undone_within_the_settle_time() {
    let plane = ControlPlane::shared().await;
    let scene = Scene::start(plane, "10s:60s", false).await;
    let maps = plane.config_maps(&scene.namespace).await;
    for value in ["k1", "k0"] {
        let version = maps.set("web", "K", value).await;
        scene.both_have(&version).await;
    }
    scene.mark(plane, "m1", &["k0m1"], &["k0m0", "k0m1"]).await;
    scene.acted_upon(&["mark"]).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_change_of_labels_and_annotations_only() {
    let plane = ControlPlane::shared().await;
    let scene = Scene::start(plane, "0s", false).await;
    let maps = plane.config_maps(&scene.namespace).await;
    for metadata in [
        json!({"labels": {"a": "b"}}),
        json!({"annotations": {"a": "b"}}),
        json!({"labels": {"a": null}}),
    ] {
        let version = maps.patch("web", &json!({"metadata": metadata})).await;
        scene.both_have(&version).await;
    }
    scene.mark(plane, "m1", &["k0m1"], &["k0m0", "k0m1"]).await;
    scene.acted_upon(&["mark"]).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_relist_and_a_restart_of_the_api_server() {
    let mut plane = ControlPlane::start().await;
    let scene = Scene::start(&plane, "0s", false).await;
    let lists = |count: f64| {
        scene.both("lists", "/-/metrics", move |answer| {
            answer.metric("attache_watch_lists_total") >= count
        })
    };
    let in_contact = |wanted: bool| {
        let is = move |answer: &super::scene::Answer| answer.header("age").is_none() == wanted;
        let scene = &scene;
        async move {
            let path = scene.web();
            scene.both("contact", &path, is).await;
        }
    };
    // Two objects, listed once each.
    lists(2.0).await;
    plane.expire_watches().await;
    lists(4.0).await;
    in_contact(true).await;
    scene.mark(&plane, "m1", &["k0m1"], &["k0m0", "k0m1"]).await;
    scene.acted_upon(&["mark"]).await;
    plane.stop_apiserver();
    in_contact(false).await;
    plane.start_apiserver().await;
    in_contact(true).await;
    let starts = ["k0m0", "k0m1", "k0m2"];
    scene.mark(&plane, "m2", &starts[1..], &starts).await;
    scene.acted_upon(&["mark", "mark"]).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_deletion_and_a_new_object_with_the_same_content() {
    let plane = ControlPlane::shared().await;
    let scene = Scene::start(plane, "0s", false).await;
    let maps = plane.config_maps(&scene.namespace).await;
    maps.delete("web").await;
    let gone = |answer: &super::scene::Answer| answer.status() == 404;
    scene.both("no web", &scene.web(), gone).await;
    let version = maps.create("web", &[("K", "k0")]).await;
    scene.both_have(&version).await;
    scene.mark(plane, "m1", &["k0m1"], &["k0m0", "k0m1"]).await;
    scene.acted_upon(&["mark"]).await;
}

async fn a_restart_of_attache(kept: bool) {
    let plane = ControlPlane::shared().await;
    let scene = Scene::start(plane, "0s", kept).await.restart("k0m0").await;
    // The command is started by the new attache, and that is all.
    let starts = ["k0m0", "k0m0", "k0m1"];
    scene.mark(plane, "m1", &["k0m1"], &starts).await;
    scene.acted_upon(&["mark"]).await;
    // What was acted upon is not acted upon again.
    let maps = plane.config_maps(&scene.namespace).await;
    maps.set("mark", "MARK", "m0").await;
    let starts = [&starts[..], &["k0m0"]].concat();
    scene.was_told(&["k0m1", "k0m0"], &starts).await;
    let scene = scene.restart("k0m0").await;
    let starts = [&starts[..], &["k0m0", "k0m3"]].concat();
    let told = ["k0m1", "k0m0", "k0m3"];
    scene.mark(plane, "m3", &told, &starts).await;
    scene.acted_upon(&["mark"]).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_restart_of_attache_without_state() {
    a_restart_of_attache(false).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_restart_of_attache_with_a_state_directory() {
    a_restart_of_attache(true).await;
}
