//! The annotation that holds actions, as people set it.

use std::process::Command;

use super::scene::{Answer, Scene};
use crate::support::control_plane::ControlPlane;
use crate::support::program::run;
use crate::support::proxy::kubectls;

async fn annotate(plane: &ControlPlane, namespace: &str, annotation: &str) {
    let mut kubectl = Command::new(kubectls().remove(0));
    kubectl.arg("--kubeconfig").arg(plane.admin_kubeconfig());
    kubectl.args(["-n", namespace, "annotate", "configmap", "web", annotation]);
    run(&kubectl, b"").await.ok();
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_pause_holds_every_action_and_its_end_acts_once_on_the_newest_state() {
    let plane = ControlPlane::shared().await;
    let scene = Scene::start(plane, "0s", false).await;
    let maps = plane.config_maps(&scene.namespace).await;
    annotate(plane, &scene.namespace, "attache.dev/pause=true").await;
    let path = format!("{}/K", scene.web());
    for value in ["k1", "k2"] {
        maps.set("web", "K", value).await;
        // Reads stay live.
        let newest = |answer: &Answer| answer.is(value);
        scene.both("the newest value", &path, newest).await;
    }
    let web = format!("ConfigMap {}/web", scene.namespace);
    scene
        .both("status says what is held", "/-/status", |answer| {
            let problems = answer.json()["problems"].to_string();
            problems.contains(&web) && problems.contains("attache.dev/pause")
        })
        .await;
    scene
        .rules_say("what is held, each", |problems| {
            (0..3).all(|rule| {
                let problem = &problems[format!("onChange[{rule}] paused")];
                problem.to_string().contains(&web)
            })
        })
        .await;
    // Other objects' changes are told, of an environment that keeps what is held back. Files are live.
    scene.mark(plane, "m1", &["k2m1"], &["k0m0", "k0m1"]).await;
    scene.acted_upon(&["mark"]).await;
    // (A process that was restarted since would have what is held already.)
    maps.set("web", "K", "k3").await;
    let newest = |answer: &Answer| answer.is("k3");
    scene.both("the newest value", &path, newest).await;
    annotate(plane, &scene.namespace, "attache.dev/pause-").await;
    let starts = ["k0m0", "k0m1", "k3m1"];
    scene.was_told(&["k2m1", "k3m1"], &starts).await;
    scene.acted_upon(&["mark", "web"]).await;
    let quiet = |answer: &Answer| !answer.json()["problems"].to_string().contains("pause");
    scene.both("nothing is held", "/-/status", quiet).await;
    // The end of a pause in which nothing changed is none of anybody's business.
    for annotation in ["attache.dev/pause=true", "attache.dev/pause-"] {
        annotate(plane, &scene.namespace, annotation).await;
        let version = maps.resource_version("web").await;
        scene.both_have(&version).await;
    }
    let starts = [&starts[..], &["k3m2"]].concat();
    let told = ["k2m1", "k3m1", "k3m2"];
    scene.mark(plane, "m2", &told, &starts).await;
    scene.acted_upon(&["mark", "web", "mark"]).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_pause_outlives_an_attache_with_a_state_directory() {
    let plane = ControlPlane::shared().await;
    let scene = Scene::start(plane, "0s", true).await;
    let maps = plane.config_maps(&scene.namespace).await;
    annotate(plane, &scene.namespace, "attache.dev/pause=true").await;
    maps.set("web", "K", "k1").await;
    let path = format!("{}/K", scene.web());
    let newest = |answer: &Answer| answer.is("k1");
    scene.both("the newest value", &path, newest).await;
    // A command that is started has what there is, held or not.
    let scene = scene.restart("k1m0").await;
    scene
        .rules_say("what is held", |problems| {
            (0..3).all(|rule| !problems[format!("onChange[{rule}] paused")].is_null())
        })
        .await;
    annotate(plane, &scene.namespace, "attache.dev/pause-").await;
    let starts = ["k0m0", "k1m0"];
    scene.was_told(&["k1m0"], &starts).await;
    let version = maps.resource_version("web").await;
    scene.both_have(&version).await;
    let starts = [&starts[..], &["k1m1"]].concat();
    scene.mark(plane, "m1", &["k1m0", "k1m1"], &starts).await;
    scene.rules_acted_upon(&["web", "mark"]).await;
    scene.exec_acted_upon(&["mark"]).await;
}
