//! Rules that several attaches have at once, for pods of their own.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::noted;
use crate::restarts::{Player, Style, create, owner, pod, set_ready, workload};
use crate::support::control_plane::ControlPlane;
use crate::support::eventually;
use crate::support::sidecar::Sidecar;
use crate::{LIMIT, text, watching};

async fn notes(sidecar: &Sidecar) -> Vec<Value> {
    noted(&sidecar.status().await).to_vec()
}

/// Waits until `sidecar` has noted so many actions.
async fn all_noted(sidecar: &Sidecar, count: usize) -> Vec<Value> {
    eventually("the actions are noted", LIMIT, async || {
        notes(sidecar).await.len() >= count
    })
    .await;
    notes(sidecar).await
}

/// A sidecar that has read `web`.
async fn synced(plane: &ControlPlane, namespace: &str, flags: &[&str]) -> Sidecar {
    let sidecar = watching(plane, namespace, flags).await;
    sidecar.serves(&format!("/kv/{namespace}/web/K"), "1").await;
    sidecar
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn one_change_is_one_rollout_whatever_the_number_of_replicas() {
    let plane = ControlPlane::shared().await;
    let (namespace, client) = (plane.namespace().await, plane.admin().await);
    create::<Deployment>(&client, &namespace, workload("web", 3)).await;
    let mut set = workload("web-1", 3);
    set["metadata"]["ownerReferences"] = owner("Deployment", "web");
    create::<ReplicaSet>(&client, &namespace, set).await;
    let maps = plane.config_maps(&namespace).await;
    maps.create("web", &[("K", "1")]).await;
    let rule = "{restart: rollout, settle: 0s, splay: 0s, minInterval: 0s}";
    let mut sidecars = Vec::new();
    for name in ["web-a", "web-b", "web-c"] {
        let owners = owner("ReplicaSet", "web-1");
        create::<Pod>(&client, &namespace, pod(name, &owners)).await;
        let flags = ["--pod-name", name, "--on-change", rule];
        sidecars.push(synced(plane, &namespace, &flags).await);
    }
    let deployments: Api<Deployment> = Api::namespaced(client, &namespace);
    assert_eq!(
        deployments.get("web").await.unwrap().meta().generation,
        Some(1)
    );
    let mut hashes = Vec::new();
    for (change, value) in [(1, "2"), (2, "3"), (3, "2")] {
        maps.set("web", "K", value).await;
        let mut outcomes = Vec::new();
        for sidecar in &sidecars {
            let notes = all_noted(sidecar, change).await;
            assert_eq!(notes.len(), change, "{notes:?}");
            outcomes.push(notes[change - 1]["outcome"].clone());
        }
        outcomes.sort_by_key(Value::to_string);
        assert_eq!(outcomes, ["ok", "skipped", "skipped"]);
        let web = deployments.get("web").await.unwrap();
        let generation = 1 + i64::try_from(change).unwrap();
        assert_eq!(web.meta().generation, Some(generation), "{value}");
        let web = serde_json::to_value(web).unwrap();
        let template = &web["spec"]["template"]["metadata"]["annotations"];
        hashes.push(template["attache.dev/content-hash"].clone());
    }
    assert!(
        hashes[0].is_string() && hashes[0] != hashes[1],
        "{hashes:?}"
    );
    assert_eq!(hashes[0], hashes[2], "the same content has the same hash");
}

async fn two_attaches(count: usize, style: Style, max_unavailable: usize) {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    // The usual order: the ConfigMap, the pods that read it, and changes by who has made it. The
    // server of these tests leaves the time of the first write as it is, and by that the pods are the
    // younger ones.
    let maps: Api<ConfigMap> = Api::namespaced(plane.admin().await, &namespace);
    let mut map = ConfigMap::default();
    map.metadata.name = Some("web".into());
    map.data = Some([("K".to_owned(), "1".to_owned())].into());
    let manager = || Some("kubectl".to_owned());
    let post = PostParams {
        field_manager: manager(),
        ..PostParams::default()
    };
    let map = maps.create(&post, &map).await.unwrap();
    let created = map.creation_timestamp().unwrap().0.as_second();
    eventually("the next second", LIMIT, async || {
        jiff::Timestamp::now().as_second() > created
    })
    .await;
    let mut player = Player::start(plane, &namespace, count, style).await;
    let pods = format!("pods: app=web, maxUnavailable: {max_unavailable}");
    let rule = format!("{{restart: {{{pods}}}, splay: 0s, minInterval: 0s}}");
    let flags = ["--on-change", rule.as_str()];
    let sidecars = [
        synced(plane, &namespace, &flags).await,
        synced(plane, &namespace, &flags).await,
    ];
    for (change, value) in [(1, "2"), (2, "3")] {
        let params = PatchParams {
            field_manager: manager(),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(json!({"data": {"K": value}}));
        maps.patch("web", &params, &patch).await.unwrap();
        player.assert_restarted(max_unavailable).await;
        let mut restarted = 0;
        for sidecar in &sidecars {
            let notes = all_noted(sidecar, change).await;
            assert_eq!(notes.len(), change, "{notes:?}");
            restarted += restarted_by(&notes[change - 1]);
        }
        assert_eq!(restarted, count, "each pod by one of the two");
        player.begin_again().await;
    }
}

/// How many pods an attache has restarted, by its note of it.
fn restarted_by(note: &Value) -> usize {
    let (outcome, detail) = (&note["outcome"], note["detail"].as_str().unwrap());
    assert!(outcome == "ok" || outcome == "skipped", "{note}");
    let rest = detail.strip_prefix("restarted ");
    rest.map_or(0, |rest| rest.split(' ').next().unwrap().parse().unwrap())
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn each_pod_is_restarted_once_by_one_of_two_attaches() {
    two_attaches(4, Style::ReplicaSet, 1).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn two_attaches_restart_two_pods_at_a_time() {
    two_attaches(5, Style::StatefulSet, 2).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn the_pods_to_restart_are_those_there_when_the_change_came_not_when_it_settled() {
    let plane = ControlPlane::shared().await;
    let (namespace, client) = (plane.namespace().await, plane.admin().await);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let owners = owner("ReplicaSet", "web");
    let first = create::<Pod>(&client, &namespace, pod("first", &owners)).await;
    set_ready(&pods, "first").await;
    let maps = plane.config_maps(&namespace).await;
    maps.create("web", &[("K", "1")]).await;
    let state = tempfile::tempdir().unwrap();
    let rule = "{restart: {pods: app=web}, settle: \"6s:60s\", splay: 0s, minInterval: 0s}";
    let flags = ["--state-dir", text(state.path()), "--on-change", rule];
    let sidecar = synced(plane, &namespace, &flags).await;
    maps.set("web", "K", "2").await;
    let uid = first.uid().unwrap();
    eventually("what it noticed is kept", LIMIT, async || {
        files_below(state.path())
            .iter()
            .any(|text| text.contains(&uid))
    })
    .await;
    let second = create::<Pod>(&client, &namespace, pod("second", &owners)).await;
    set_ready(&pods, "second").await;
    // By the times alone it would be older than the object, were they believed: a change of labels is
    // a write, too.
    let created = second.creation_timestamp().unwrap().0.as_second();
    eventually("the object was written after that pod", LIMIT, async || {
        let label = json!({"metadata": {"labels": {"written": "later"}}});
        maps.patch("web", &json!({"metadata": {"labels": {"written": null}}}))
            .await;
        maps.patch("web", &label).await;
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
        let written = api
            .get("web")
            .await
            .unwrap()
            .metadata
            .managed_fields
            .unwrap();
        written.iter().any(|by| {
            by.time
                .as_ref()
                .is_some_and(|at| at.0.as_second() > created)
        })
    })
    .await;
    eventually("the first pod is restarted", LIMIT, async || {
        pods.get("first")
            .await
            .is_ok_and(|pod| pod.meta().deletion_timestamp.is_some())
    })
    .await;
    // The kubelet ends it, and its controller makes the third.
    let now = DeleteParams::default().grace_period(0);
    pods.delete("first", &now).await.unwrap();
    create::<Pod>(&client, &namespace, pod("third", &owners)).await;
    set_ready(&pods, "third").await;
    let notes = all_noted(&sidecar, 1).await;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(notes[0]["detail"], "restarted 1 of 1 pods", "{notes:?}");
    for name in ["second", "third"] {
        let pod = pods.get(name).await.unwrap();
        assert_eq!(pod.meta().deletion_timestamp, None, "{name}");
    }
}

/// The text of every file in a directory and those in it.
fn files_below(dir: &std::path::Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            texts.extend(files_below(&entry.path()));
        } else {
            // What is being replaced may be gone.
            texts.extend(std::fs::read_to_string(entry.path()));
        }
    }
    texts
}
