//! `restart:` against the real API server, where the test plays the controllers and the kubelet;
//! and against the fake for what that server is too old for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attache::actions::restart::{self, RestartError};
use attache::actions::{Change, ChangedObject, Outcome, Progress, Tools};
use attache::config::{Connection, RestartAction, WhichPods, Workload, WorkloadKind};
use attache::store::diff::KeyChanges;
use attache::store::{Kind, ObjectRef};
use attache::upstream::Upstream;
use futures_util::StreamExt as _;
use http::StatusCode;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::LIMIT;
use crate::support::assets::server_minor;
use crate::support::control_plane::ControlPlane;
use crate::support::eventually;
use crate::support::fake::{Asked, FakeApiServer, Waiting};

/// The tools of an attache of its own: no connection is shared with another.
async fn tools(kubeconfig: &Path, namespace: &str, pod_name: &str) -> Tools {
    let settings = Connection {
        kubeconfig: Some(kubeconfig.to_owned()),
        ..Connection::default()
    };
    Tools {
        children: Default::default(),
        upstream: Some(Upstream::new(settings).await.unwrap()),
        namespace: namespace.into(),
        pod_name: pod_name.into(),
    }
}

/// A change of the ConfigMap `web`.
fn change(namespace: &str, resource_version: &str, hash: &str) -> Change {
    Change {
        objects: vec![ChangedObject {
            reference: ObjectRef::new(Kind::ConfigMap, namespace, "web"),
            resource_version: resource_version.into(),
            keys: KeyChanges::default(),
            annotations: BTreeMap::new(),
        }],
        since: Instant::now(),
        content_hash: hash.into(),
    }
}

async fn run(
    action: &RestartAction,
    change: &Change,
    tools: &Tools,
) -> Result<Outcome, RestartError> {
    restart::run(action, change, tools, &Progress::default()).await
}

fn is_done(outcome: &Result<Outcome, RestartError>) -> bool {
    matches!(outcome, Ok(Outcome::Done(_)))
}

fn skipped(outcome: Result<Outcome, RestartError>) -> String {
    match outcome {
        Ok(Outcome::Skipped(why)) => why,
        other => panic!("not skipped: {other:?}"),
    }
}

pub(crate) async fn create<T>(client: &Client, namespace: &str, object: Value) -> T
where
    T: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    T: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let api: Api<T> = Api::namespaced(client.clone(), namespace);
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap()
}

fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "app", "image": "app"}]},
    })
}

pub(crate) fn workload(name: &str, replicas: usize) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "serviceName": "web", "template": template(),
        },
    })
}

/// An owner reference to the controller of that kind and name; no garbage collector checks its UID.
pub(crate) fn owner(kind: &str, name: &str) -> Value {
    json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u", "controller": true}])
}

/// A pod on a node, so that it terminates gracefully.
pub(crate) fn pod(name: &str, owners: &Value) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"app": "web"}, "ownerReferences": owners},
        "spec": {"nodeName": "node", "containers": [{"name": "app", "image": "app"}]},
    })
}

pub(crate) async fn set_ready(pods: &Api<Pod>, name: &str) {
    let status = json!({"status": {"phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}]}});
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
}

const OWN: RestartAction = RestartAction::Rollout { workload: None };

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn three_replicas_roll_the_owning_workload_out_once() {
    let plane = ControlPlane::shared().await;
    rolled_out_once::<Deployment>(plane, "ReplicaSet", "web-1").await;
    rolled_out_once::<StatefulSet>(plane, "StatefulSet", "web").await;
    rolled_out_once::<DaemonSet>(plane, "DaemonSet", "web").await;
}

/// The workload `web` is of this type, and its pods belong to the object of this kind and name.
async fn rolled_out_once<T>(plane: &ControlPlane, kind: &str, name: &str)
where
    T: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    T: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let (namespace, client) = (plane.namespace().await, plane.admin().await);
    create::<T>(&client, &namespace, workload("web", 3)).await;
    let owners = owner(kind, name);
    if kind == "ReplicaSet" {
        let mut set = workload(name, 3);
        set["metadata"]["ownerReferences"] = owner("Deployment", "web");
        create::<ReplicaSet>(&client, &namespace, set).await;
    }
    let mut replicas = Vec::new();
    for name in ["web-a", "web-b", "web-c"] {
        create::<Pod>(&client, &namespace, pod(name, &owners)).await;
        replicas.push(tools(&plane.admin_kubeconfig(), &namespace, name).await);
    }
    let maps = plane.config_maps(&namespace).await;
    let first = maps.create("web", &[("K", "1")]).await;
    let workloads: Api<T> = Api::namespaced(client, &namespace);
    let mut generation = workloads.get("web").await.unwrap().meta().generation;
    assert_eq!(generation, Some(1));
    let second = maps.set("web", "K", "2").await;
    for (version, hash) in [(&first, "one"), (&second, "two")] {
        let change = change(&namespace, version, hash);
        let ran = tokio::join!(
            run(&OWN, &change, &replicas[0]),
            run(&OWN, &change, &replicas[1]),
            run(&OWN, &change, &replicas[2]),
        );
        let ran = [ran.0, ran.1, ran.2];
        assert_eq!(ran.iter().filter(|ran| is_done(ran)).count(), 1, "{ran:?}");
        assert!(ran.iter().all(Result::is_ok), "{ran:?}");
        let now = workloads.get("web").await.unwrap();
        generation = generation.map(|generation| generation + 1);
        assert_eq!(now.meta().generation, generation, "{hash}");
        let now = serde_json::to_value(now).unwrap();
        let template = &now["spec"]["template"]["metadata"]["annotations"];
        assert_eq!(*template, json!({"attache.dev/content-hash": hash}));
    }
    // One that lags, and one of another rule whose content was there when these pods started.
    for (version, hash) in [(&first, "one"), (&second, "of another rule")] {
        let late = change(&namespace, version, hash);
        let why = skipped(run(&OWN, &late, &replicas[0]).await);
        assert!(why.ends_with("has newer content already"), "{why}");
    }
    let now = workloads.get("web").await.unwrap();
    assert_eq!(now.meta().generation, generation);
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_note_from_another_cluster_means_nothing() {
    let plane = ControlPlane::shared().await;
    let (namespace, client) = (plane.namespace().await, plane.admin().await);
    let mut web = workload("web", 1);
    let far = "999999999999";
    web["metadata"]["annotations"] = json!({"attache.dev/content-version": far});
    create::<Deployment>(&client, &namespace, web).await;
    let tools = tools(&plane.admin_kubeconfig(), &namespace, "elsewhere").await;
    let named = RestartAction::Rollout {
        workload: Some(Workload {
            kind: WorkloadKind::Deployment,
            name: "web".into(),
        }),
    };
    let ran = run(&named, &change(&namespace, "7", "h"), &tools).await;
    assert!(is_done(&ran), "{ran:?}");
    let deployments: Api<Deployment> = Api::namespaced(client, &namespace);
    let web = deployments.get("web").await.unwrap();
    assert_eq!(web.annotations()["attache.dev/content-version"], "7");
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn what_cannot_be_rolled_out_says_why() {
    let plane = ControlPlane::shared().await;
    let (namespace, client) = (plane.namespace().await, plane.admin().await);
    create::<ReplicaSet>(&client, &namespace, workload("alone", 1)).await;
    create::<Pod>(&client, &namespace, pod("bare", &json!([]))).await;
    create::<Pod>(
        &client,
        &namespace,
        pod("set", &owner("ReplicaSet", "alone")),
    )
    .await;
    create::<Pod>(&client, &namespace, pod("job", &owner("Job", "once"))).await;
    let change = change(&namespace, "7", "h");
    for (name, expected) in [
        ("bare", "belongs to nothing, which has no rollout"),
        ("set", "alone, which no Deployment owns"),
        ("job", "belongs to Job once"),
        ("nowhere", "set POD_NAME from the field metadata.name"),
    ] {
        let tools = tools(&plane.admin_kubeconfig(), &namespace, name).await;
        let error = run(&OWN, &change, &tools).await.unwrap_err();
        assert!(!error.may_have_reached());
        let error = error.to_string();
        assert!(error.contains(expected), "{error}");
    }
    let nobody = plane.kubeconfig(&format!("nobody-{namespace}"));
    let tools = tools(&nobody, &namespace, "set").await;
    let error = run(&OWN, &change, &tools).await.unwrap_err().to_string();
    let grant = format!(
        r#"grant its service account the verb get on pods (API group "") by a Role in namespace {namespace}"#
    );
    assert!(error.contains(&grant), "{error}");
}

/// How pods come back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Under a new name, as soon as the old one is terminating.
    ReplicaSet,
    /// Under the same name, once the old one has gone.
    StatefulSet,
}

/// How long the kubelet takes to end a pod, the controller to make one, and that to become Ready.
const STEP: Duration = Duration::from_millis(150);

/// Plays the controller and the kubelet, and watches what becomes of the pods.
pub(crate) struct Player {
    pods: Api<Pod>,
    first: BTreeSet<String>,
    seen: Arc<Mutex<Seen>>,
    playing: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// UIDs of pods whose end began, in that order.
    ended: Vec<String>,
    /// The highest number of pods that were away, after any event.
    most_away: usize,
}

impl Player {
    pub(crate) async fn start(
        plane: &ControlPlane,
        namespace: &str,
        count: usize,
        style: Style,
    ) -> Self {
        let client = plane.admin().await;
        let owners = match style {
            Style::ReplicaSet => {
                create::<ReplicaSet>(&client, namespace, workload("web", count)).await;
                owner("ReplicaSet", "web")
            }
            Style::StatefulSet => {
                create::<StatefulSet>(&client, namespace, workload("web", count)).await;
                owner("StatefulSet", "web")
            }
        };
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        for n in 0..count {
            let name = format!("web-{n}");
            create::<Pod>(&client, namespace, pod(&name, &owners)).await;
            set_ready(&pods, &name).await;
        }
        let list = pods.list(&ListParams::default()).await.unwrap();
        let known: BTreeMap<String, Pod> = list
            .items
            .into_iter()
            .map(|pod| (pod.uid().unwrap(), pod))
            .collect();
        let first = known.keys().cloned().collect();
        let seen = Arc::<Mutex<Seen>>::default();
        let version = list.metadata.resource_version.unwrap();
        let play = play(pods.clone(), version, known, owners, style, seen.clone());
        Self {
            pods,
            first,
            seen,
            playing: tokio::spawn(play),
        }
    }

    /// From now on, the first pods are those that there are.
    pub(crate) async fn begin_again(&mut self) {
        let count = self.first.len();
        let pods = self.pods.list(&ListParams::default()).await.unwrap();
        let live = pods.iter().filter(|pod| is_ready(pod));
        self.first = live.map(|pod| pod.uid().unwrap()).collect();
        assert_eq!(self.first.len(), count, "every replacement is Ready");
        *self.seen.lock().unwrap() = Seen::default();
    }

    pub(super) fn ended(&self) -> usize {
        self.seen.lock().unwrap().ended.len()
    }

    /// Each of the first pods was restarted once, no other was, and no more were away than allowed.
    pub(crate) async fn assert_restarted(&self, max_unavailable: usize) {
        eventually("every event was seen", LIMIT, async || {
            let pods = self.pods.list(&ListParams::default()).await.unwrap();
            let is_first = |pod: &Pod| self.first.contains(&pod.uid().unwrap());
            self.ended() >= self.first.len() && !pods.iter().any(is_first)
        })
        .await;
        assert!(!self.playing.is_finished(), "the controller plays on");
        let seen = self.seen.lock().unwrap();
        let once: BTreeSet<String> = seen.ended.iter().cloned().collect();
        assert_eq!(once, self.first);
        assert_eq!(seen.ended.len(), self.first.len());
        assert_eq!(seen.most_away, max_unavailable, "as many as allowed");
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.playing.abort();
    }
}

fn is_live(pod: &Pod) -> bool {
    pod.meta().deletion_timestamp.is_none()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    is_live(pod)
        && conditions
            .into_iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn play(
    pods: Api<Pod>,
    version: String,
    mut known: BTreeMap<String, Pod>,
    owners: Value,
    style: Style,
    seen: Arc<Mutex<Seen>>,
) {
    let count = known.len();
    let mut ended = BTreeSet::new();
    let mut events = pods
        .watch(&WatchParams::default(), &version)
        .await
        .unwrap()
        .boxed();
    while let Some(event) = events.next().await {
        let (gone, now) = match event.unwrap() {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) => (false, pod),
            WatchEvent::Deleted(pod) => (true, pod),
            _ => continue,
        };
        let uid = now.uid().unwrap();
        let ends = gone || now.meta().deletion_timestamp.is_some();
        if gone {
            known.remove(&uid);
        } else {
            known.insert(uid.clone(), now.clone());
        }
        {
            let mut seen = seen.lock().unwrap();
            let away = count
                - known
                    .values()
                    .filter(|pod| is_ready(pod))
                    .count()
                    .min(count);
            seen.most_away = seen.most_away.max(away);
            if ends && ended.insert(uid.clone()) {
                seen.ended.push(uid);
                tokio::spawn(replace(pods.clone(), now.name_any(), owners.clone(), style));
            }
        }
    }
    panic!("the watch ended");
}

/// The time that kubelet and controller take for one thing, so that readiness comes late.
async fn step() {
    let start = tokio::time::Instant::now() + STEP;
    tokio::time::interval_at(start, STEP).tick().await;
}

/// What the kubelet and the controller do about a pod that ends, each in its time.
async fn replace(pods: Api<Pod>, name: String, owners: Value, style: Style) {
    let end = async || {
        step().await;
        let now = DeleteParams::default().grace_period(0);
        pods.delete(&name, &now).await.unwrap();
    };
    let make = async |name: &str| {
        step().await;
        let pod = serde_json::from_value(pod(name, &owners)).unwrap();
        pods.create(&PostParams::default(), &pod).await.unwrap();
        step().await;
        set_ready(&pods, name).await;
    };
    match style {
        Style::ReplicaSet => {
            let new = format!("{name}x");
            tokio::join!(end(), make(&new));
        }
        Style::StatefulSet => {
            end().await;
            make(&name).await;
        }
    }
}

fn labelled(max_unavailable: u32, evict: bool) -> RestartAction {
    RestartAction::Pods {
        which: WhichPods::Labels("app=web".into()),
        max_unavailable,
        evict,
        timeout: LIMIT,
    }
}

/// The ConfigMap `web` has changed just now.
async fn changed(plane: &ControlPlane, namespace: &str) -> Change {
    let maps = plane.config_maps(namespace).await;
    maps.create("web", &[("K", "1")]).await;
    let version = maps.set("web", "K", "2").await;
    change(namespace, &version, "hash")
}

/// Two attaches restart the same pods at the same time.
async fn two_restart(count: usize, style: Style, max_unavailable: u32, evict: bool) {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let player = Player::start(plane, &namespace, count, style).await;
    let change = changed(plane, &namespace).await;
    let action = labelled(max_unavailable, evict);
    // Both notice when the change comes, before either acts.
    let mut actors = Vec::new();
    for _ in 0..2 {
        let tools = tools(&plane.admin_kubeconfig(), &namespace, "elsewhere").await;
        let noticed = restart::notice(&action, &change, &tools).await;
        assert!(noticed.is_some());
        actors.push((tools, Progress::new(noticed, None)));
    }
    let act = async |at: usize| {
        let (tools, progress) = &actors[at];
        restart::run(&action, &change, tools, progress).await
    };
    let (one, two) = tokio::join!(act(0), act(1));
    assert!(one.is_ok() && two.is_ok(), "{one:?}, {two:?}");
    assert!(is_done(&one) || is_done(&two), "{one:?}, {two:?}");
    player.assert_restarted(max_unavailable as usize).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn two_attaches_restart_each_pod_of_a_replica_set_once() {
    two_restart(5, Style::ReplicaSet, 1, false).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn two_attaches_restart_each_pod_of_a_stateful_set_once() {
    two_restart(4, Style::StatefulSet, 1, false).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn two_attaches_evict_two_pods_at_a_time() {
    two_restart(6, Style::ReplicaSet, 2, true).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_restarted_attache_goes_on_where_it_was() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let player = Player::start(plane, &namespace, 4, Style::ReplicaSet).await;
    let change = changed(plane, &namespace).await;
    let action = labelled(1, false);
    let tools = tools(&plane.admin_kubeconfig(), &namespace, "elsewhere").await;
    let progress = Progress::default();
    let first = {
        let (action, change, tools, progress) = (
            action.clone(),
            change.clone(),
            tools.clone(),
            progress.clone(),
        );
        tokio::spawn(async move { restart::run(&action, &change, &tools, &progress).await })
    };
    eventually("half of the pods are restarted", LIMIT, async || {
        player.ended() >= 2
    })
    .await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let kept = progress.get();
    assert!(kept.is_some(), "listed by itself, and kept");
    let ran = restart::run(&action, &change, &tools, &Progress::new(kept, None)).await;
    assert!(ran.is_ok(), "{ran:?}");
    player.assert_restarted(1).await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn an_annotation_names_the_pods_that_were_there_when_the_change_came() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let player = Player::start(plane, &namespace, 1, Style::ReplicaSet).await;
    let mut change = changed(plane, &namespace).await;
    let action = RestartAction::Pods {
        which: WhichPods::Annotation,
        max_unavailable: 1,
        evict: false,
        timeout: LIMIT,
    };
    let tools = tools(&plane.admin_kubeconfig(), &namespace, "elsewhere").await;
    let why = skipped(run(&action, &change, &tools).await);
    assert_eq!(why, "no annotation names pods");
    assert!(restart::notice(&action, &change, &tools).await.is_none());
    let annotations = &mut change.objects[0].annotations;
    annotations.insert("magalix.com/podDeleteMatch".into(), "app in (web)".into());
    let client = plane.admin().await;
    create::<Pod>(&client, &namespace, pod("bare", &json!([]))).await;
    set_ready(&player.pods, "bare").await;
    let noticed = restart::notice(&action, &change, &tools).await;
    let owners = owner("ReplicaSet", "other");
    let younger = create::<Pod>(&client, &namespace, pod("younger", &owners)).await;
    set_ready(&player.pods, "younger").await;
    let progress = Progress::new(noticed, None);
    let done =
        async |progress: &Progress| match restart::run(&action, &change, &tools, progress).await {
            Ok(Outcome::Done(detail)) => detail,
            other => panic!("not done: {other:?}"),
        };
    let left = "left alone, as no controller would bring them back: bare";
    let detail = done(&progress).await;
    assert_eq!(detail, format!("restarted 1 of 1 pods; {left}"));
    let still = player.pods.get("younger").await.unwrap();
    assert_eq!(still.uid(), younger.uid());
    // Acting once more upon what was noticed finds nothing to do.
    let why = skipped(restart::run(&action, &change, &tools, &progress).await);
    assert!(why.starts_with("all 1 pods that were older"), "{why}");
    // What was to be done for another content counts no more. This server does not tell when the
    // content was written: who comes late takes what there is.
    eventually("the replacement is Ready", LIMIT, async || {
        let replacement = player.pods.get("web-0x").await;
        replacement.is_ok_and(|pod| is_ready(&pod))
    })
    .await;
    let other = json!({"content": "other", "groups": []});
    let detail = done(&Progress::new(Some(other), None)).await;
    assert_eq!(detail, format!("restarted 2 of 2 pods; {left}"));
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn a_replacement_that_does_not_come_back_stops_the_rest() {
    let plane = ControlPlane::shared().await;
    let (namespace, client) = (plane.namespace().await, plane.admin().await);
    create::<ReplicaSet>(&client, &namespace, workload("web", 2)).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    for name in ["web-0", "web-1"] {
        create::<Pod>(&client, &namespace, pod(name, &owner("ReplicaSet", "web"))).await;
        set_ready(&pods, name).await;
    }
    let change = changed(plane, &namespace).await;
    let mut action = labelled(1, false);
    if let RestartAction::Pods { timeout, .. } = &mut action {
        *timeout = Duration::from_secs(2);
    }
    let tools = tools(&plane.admin_kubeconfig(), &namespace, "elsewhere").await;
    let progress = Progress::default();
    let error = restart::run(&action, &change, &tools, &progress)
        .await
        .unwrap_err();
    assert!(error.may_have_reached());
    let error = error.to_string();
    assert!(
        error.contains("missing: 1 of 2 that match app=web; 1 of 2 pods are still to be restarted"),
        "{error}"
    );
    // The workload is made smaller: what is missing was not wanted.
    let sets: Api<ReplicaSet> = Api::namespaced(client, &namespace);
    let smaller = Patch::Merge(json!({"spec": {"replicas": 1}}));
    sets.patch("web", &PatchParams::default(), &smaller)
        .await
        .unwrap();
    let again = restart::run(&action, &change, &tools, &progress);
    let (error, ()) = tokio::join!(again, async {
        eventually("the second is restarted", LIMIT, async || {
            pods.get("web-1")
                .await
                .unwrap()
                .meta()
                .deletion_timestamp
                .is_some()
        })
        .await;
    });
    assert!(error.is_err(), "its replacement is not back either");
}

/// Sets the conditions Ready and ContainersReady.
async fn set_conditions(pods: &Api<Pod>, name: &str, ready: &str, containers: &str) {
    let status = json!({"status": {"phase": "Running", "conditions": [
        {"type": "Ready", "status": ready}, {"type": "ContainersReady", "status": containers},
    ]}});
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn pods_of_a_node_that_does_not_answer_are_not_taken_all_at_once() {
    let plane = ControlPlane::shared().await;
    let (namespace, client) = (plane.namespace().await, plane.admin().await);
    create::<ReplicaSet>(&client, &namespace, workload("web", 3)).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let owners = owner("ReplicaSet", "web");
    for name in ["web-0", "web-1", "web-2"] {
        create::<Pod>(&client, &namespace, pod(name, &owners)).await;
        // As the control plane marks them when it hears no more of the node.
        set_conditions(&pods, name, "False", "True").await;
    }
    let change = changed(plane, &namespace).await;
    let mut action = labelled(1, false);
    if let RestartAction::Pods { timeout, .. } = &mut action {
        *timeout = Duration::from_secs(1);
    }
    let tools = tools(&plane.admin_kubeconfig(), &namespace, "elsewhere").await;
    let progress = Progress::default();
    let attempt = async || {
        let ran = restart::run(&action, &change, &tools, &progress).await;
        ran.unwrap_err().to_string()
    };
    let ending = async || -> Vec<String> {
        let list = pods.list(&ListParams::default()).await.unwrap();
        let ends = list.iter().filter(|pod| !is_live(pod));
        ends.map(ResourceExt::name_any).collect()
    };
    let error = attempt().await;
    let all = "not Ready: web-0, web-1, web-2; 3 of 3 pods are still to be restarted";
    assert!(error.contains(all), "{error}");
    assert_eq!(ending().await, [""; 0]);
    // One of them crashes: it serves nobody, and only a restart may mend it.
    set_conditions(&pods, "web-2", "False", "False").await;
    let error = attempt().await;
    let two = "not Ready: web-0, web-1; missing: 1 of 3 that match app=web; 2 of 3 pods";
    assert!(error.contains(two), "{error}");
    assert_eq!(ending().await, ["web-2"]);
    // The node answers again, and while a replacement is not Ready, no other pod goes.
    for name in ["web-0", "web-1"] {
        set_conditions(&pods, name, "True", "True").await;
    }
    create::<Pod>(&client, &namespace, pod("web-3", &owners)).await;
    set_conditions(&pods, "web-3", "False", "False").await;
    let error = attempt().await;
    let one = "not Ready: web-3; 2 of 3 pods";
    assert!(error.contains(one), "{error}");
    assert_eq!(ending().await, ["web-2"]);
    set_conditions(&pods, "web-3", "True", "True").await;
    let error = attempt().await;
    assert!(error.contains("missing: 1 of 3"), "{error}");
    let ended = ending().await;
    assert_eq!(ended.len(), 2, "one more: {ended:?}");
}

fn own_pod(require_budget: bool, timeout: Duration) -> RestartAction {
    RestartAction::Pod {
        require_budget,
        timeout,
    }
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn the_own_pod_goes_when_its_budget_allows_it() {
    let plane = ControlPlane::shared().await;
    let (namespace, client) = (plane.namespace().await, plane.admin().await);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    create::<Pod>(
        &client,
        &namespace,
        pod("web-1", &owner("ReplicaSet", "web")),
    )
    .await;
    set_ready(&pods, "web-1").await;
    let change = changed(plane, &namespace).await;
    let tools = tools(&plane.admin_kubeconfig(), &namespace, "web-1").await;
    let action = own_pod(true, Duration::from_secs(1));
    let error = run(&action, &change, &tools).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("create one, or set requireBudget: false"),
        "{error}"
    );
    let version = match server_minor() {
        ..21 => "policy/v1beta1",
        21.. => "policy/v1",
    };
    let path = format!("/apis/{version}/namespaces/{namespace}/poddisruptionbudgets");
    let send = async |method: &str, path: &str, body: Value| {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(
                "content-type",
                if method == "PATCH" {
                    "application/merge-patch+json"
                } else {
                    "application/json"
                },
            )
            .body(body.to_string().into_bytes());
        let _: Value = client.request(request.unwrap()).await.unwrap();
    };
    let budget = json!({
        "apiVersion": version, "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    });
    send("POST", &path, budget).await;
    let status = |allowed: u32| {
        json!({"status": {"observedGeneration": 1, "disruptionsAllowed": allowed,
            "currentHealthy": 1 + allowed, "desiredHealthy": 1, "expectedPods": 2}})
    };
    let path = format!("{path}/web/status");
    send("PATCH", &path, status(0)).await;
    let error = run(&action, &change, &tools).await.unwrap_err();
    assert!(!error.may_have_reached());
    let error = error.to_string();
    assert!(
        error.contains("may not be evicted, for 1s now") && error.contains("needs 1 healthy pods"),
        "{error}"
    );
    let mut evict = labelled(1, true);
    if let RestartAction::Pods { timeout, .. } = &mut evict {
        *timeout = Duration::from_secs(1);
    }
    let of_many = run(&evict, &change, &tools).await.unwrap_err().to_string();
    assert_eq!(of_many, error);
    send("PATCH", &path, status(1)).await;
    let ran = run(&action, &change, &tools).await;
    assert!(is_done(&ran), "{ran:?}");
    let own = pods.get("web-1").await.unwrap();
    assert!(own.meta().deletion_timestamp.is_some());
}

/// The request with this method whose path ends so.
async fn next(server: &mut FakeApiServer, method: &str, end: &str) -> Waiting {
    let wanted = |asked: &Asked| asked.method == method && asked.path.ends_with(end);
    server.expect(&format!("{method} {end}"), wanted).await
}

fn is_json(waiting: Waiting, body: &Value) {
    waiting.json(StatusCode::OK, body);
}

/// Tells the server's version when it is asked for it.
async fn is_version(server: &mut FakeApiServer, minor: &str) {
    let asked = next(server, "GET", "/version").await;
    is_json(asked, &json!({"major": "1", "minor": minor}));
}

#[tokio::test]
async fn a_current_server_is_asked_in_its_own_version_until_it_agrees() {
    let mut server = FakeApiServer::start().await;
    let tools = tools(&server.kubeconfig(), "default", "web-1").await;
    let running = tokio::spawn(async move {
        let action = own_pod(true, LIMIT);
        run(&action, &change("default", "7", "h"), &tools).await
    });
    let mut own = pod("web-1", &owner("ReplicaSet", "web"));
    own["metadata"]["uid"] = json!("uid-1");
    own["metadata"]["creationTimestamp"] = json!("2024-01-01T00:00:00Z");
    is_json(next(&mut server, "GET", "/pods/web-1").await, &own);
    is_version(&mut server, "33").await;
    let map = next(&mut server, "GET", "/configmaps/web").await;
    let accept = map.asked.headers["accept"].to_str().unwrap();
    assert!(accept.contains("as=PartialObjectMetadata"), "{accept}");
    map.forbidden();
    // In policy/v1, an empty selector is for every pod.
    let budgets = json!({"metadata": {}, "items": [{"spec": {"selector": {}}}]});
    let path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    is_json(server.next_list(path).await, &budgets);
    for attempt in 0..2 {
        let eviction = next(&mut server, "POST", "/pods/web-1/eviction").await;
        let body: Value = serde_json::from_slice(&eviction.asked.body).unwrap();
        assert_eq!(body["apiVersion"], "policy/v1");
        assert_eq!(body["deleteOptions"]["preconditions"]["uid"], "uid-1");
        match attempt {
            0 => eviction.too_many_requests(1),
            _ => eviction.json(StatusCode::CREATED, &json!({"status": "Success"})),
        }
    }
    assert!(is_done(&running.await.unwrap()));
}

#[tokio::test]
async fn refused_credentials_are_read_again_and_the_request_sent_once_more() {
    let mut server = FakeApiServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "old").unwrap();
    let tools = tools(&server.kubeconfig_with_token(&token), "default", "web-1").await;
    let running = tokio::spawn(async move {
        run(&own_pod(false, LIMIT), &change("default", "", "h"), &tools).await
    });
    let first = next(&mut server, "GET", "/pods/web-1").await;
    std::fs::write(&token, "new").unwrap();
    first.unauthorized();
    let second = next(&mut server, "GET", "/pods/web-1").await;
    assert_eq!(second.asked.token(), Some("new"));
    is_json(second, &pod("web-1", &owner("ReplicaSet", "web")));
    let eviction = next(&mut server, "POST", "/eviction").await;
    eviction.fail(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "etcd");
    let error = running.await.unwrap().unwrap_err();
    assert!(error.may_have_reached(), "{error}");
}

#[tokio::test]
async fn a_pod_is_deleted_only_if_it_is_still_as_it_was_listed() {
    let mut server = FakeApiServer::start().await;
    let tools = tools(&server.kubeconfig(), "default", "elsewhere").await;
    let running = tokio::spawn(async move {
        run(&labelled(1, false), &change("default", "7", "h"), &tools).await
    });
    let mut web = pod("web-0", &owner("StatefulSet", "web"));
    web["metadata"]["uid"] = json!("first");
    web["metadata"]["resourceVersion"] = json!("41");
    web["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    let mut other = web.clone();
    other["metadata"]["uid"] = json!("second");
    is_version(&mut server, "33").await;
    let map = next(&mut server, "GET", "/configmaps/web").await;
    map.forbidden();
    for list in 0..2 {
        let pods = server.next_list("/api/v1/namespaces/default/pods").await;
        assert_eq!(pods.asked.query("labelSelector"), Some("app=web"));
        is_json(pods, &json!({"metadata": {}, "items": [web]}));
        if list == 0 {
            // Without the right to read it, as many as there are should be there.
            next(&mut server, "GET", "/statefulsets/web")
                .await
                .forbidden();
        }
    }
    let delete = next(&mut server, "DELETE", "/pods/web-0").await;
    let body: Value = serde_json::from_slice(&delete.asked.body).unwrap();
    let seen = json!({"uid": "first", "resourceVersion": "41"});
    assert_eq!(body["preconditions"], seen);
    // Another attache was first, and the replacement is there.
    delete.fail(
        StatusCode::CONFLICT,
        "Conflict",
        "the UID in the precondition",
    );
    let pods = server.next_list("/api/v1/namespaces/default/pods").await;
    is_json(pods, &json!({"metadata": {}, "items": [other]}));
    let why = skipped(running.await.unwrap());
    assert_eq!(
        why,
        "all 1 pods that were older than the content are gone already"
    );
    let deletions = server.asked();
    let deletions = deletions.iter().filter(|asked| asked.method == "DELETE");
    assert_eq!(deletions.count(), 1);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_eviction_that_is_held_up_is_told_once() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let mut server = FakeApiServer::start().await;
    let tools = tools(&server.kubeconfig(), "default", "elsewhere").await;
    let running =
        tokio::spawn(
            async move { run(&labelled(1, true), &change("default", "7", "h"), &tools).await },
        );
    let mut web = pod("web-0", &owner("StatefulSet", "web"));
    web["metadata"]["uid"] = json!("first");
    web["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    is_version(&mut server, "33").await;
    next(&mut server, "GET", "/configmaps/web")
        .await
        .forbidden();
    let pods = "/api/v1/namespaces/default/pods";
    is_json(
        server.next_list(pods).await,
        &json!({"metadata": {}, "items": [web]}),
    );
    next(&mut server, "GET", "/statefulsets/web")
        .await
        .forbidden();
    for attempt in 0..3 {
        let listed = server.next_list(pods).await;
        is_json(listed, &json!({"metadata": {}, "items": [web]}));
        let eviction = next(&mut server, "POST", "/pods/web-0/eviction").await;
        match attempt {
            2 => eviction.json(StatusCode::CREATED, &json!({"status": "Success"})),
            _ => eviction.too_many_requests(0),
        }
    }
    web["metadata"]["uid"] = json!("second");
    is_json(
        server.next_list(pods).await,
        &json!({"metadata": {}, "items": [web]}),
    );
    let ran = running.await.unwrap();
    assert!(is_done(&ran), "{ran:?}");
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let told: Vec<&str> = (log.lines())
        .filter(|line| line.contains("the pod may not be evicted yet; attache asks again in"))
        .collect();
    assert_eq!(told.len(), 1, "{log}");
    let line = told[0];
    assert!(
        line.contains("WARN")
            && line.contains("Pod default/web-0")
            && line.contains("too many requests, please try again later"),
        "{line}"
    );
}

/// The ConfigMap `web` of each namespace, with the selector that its annotation holds.
fn annotated(selectors: &[(&str, &str)]) -> Change {
    let mut all = change("", "7", "h");
    all.objects.clear();
    for (namespace, selector) in selectors {
        let mut object = change(namespace, "7", "h").objects.remove(0);
        let annotation = ("attache.dev/restart-pods".into(), (*selector).into());
        object.annotations.extend([annotation]);
        all.objects.push(object);
    }
    all
}

#[tokio::test]
async fn what_is_wrong_in_one_namespace_holds_up_no_other() {
    let mut server = FakeApiServer::start().await;
    let tools = tools(&server.kubeconfig(), "default", "elsewhere").await;
    let progress = Progress::default();
    let running = |progress: Progress| {
        let tools = tools.clone();
        tokio::spawn(async move {
            let action = RestartAction::Pods {
                which: WhichPods::Annotation,
                max_unavailable: 1,
                evict: false,
                timeout: LIMIT,
            };
            let change = annotated(&[("a", "(("), ("b", "app=web"), ("c", "app=web")]);
            restart::run(&action, &change, &tools, &progress).await
        })
    };
    let first = running(progress.clone());
    let mut web = pod("web-0", &owner("StatefulSet", "web"));
    web["metadata"]["uid"] = json!("first");
    web["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    let of_web = |pod: &Value| json!({"metadata": {}, "items": [pod]});
    // Once for all of them.
    is_version(&mut server, "33").await;
    for namespace in ["a", "b", "c"] {
        let map = format!("/namespaces/{namespace}/configmaps/web");
        next(&mut server, "GET", &map).await.forbidden();
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let pods = server.next_list(&path).await;
        match namespace {
            "a" => pods.fail(StatusCode::BAD_REQUEST, "BadRequest", "unable to parse"),
            "b" => pods.forbidden(),
            _ => is_json(pods, &of_web(&web)),
        }
    }
    next(&mut server, "GET", "/statefulsets/web")
        .await
        .forbidden();
    let pods = "/api/v1/namespaces/c/pods";
    is_json(server.next_list(pods).await, &of_web(&web));
    let delete = next(&mut server, "DELETE", "/c/pods/web-0").await;
    is_json(delete, &json!({"status": "Success"}));
    web["metadata"]["uid"] = json!("second");
    is_json(server.next_list(pods).await, &of_web(&web));
    let error = first.await.unwrap().unwrap_err();
    assert!(error.may_have_reached(), "{error}");
    assert!(error.to_string().contains("in namespace b"), "{error}");
    // The next attempt asks for what could not be listed, and for no annotation twice.
    let second = running(progress);
    is_version(&mut server, "33").await;
    let map = "/namespaces/b/configmaps/web";
    next(&mut server, "GET", map).await.forbidden();
    let empty = json!({"metadata": {}, "items": []});
    let listed = server.next_list("/api/v1/namespaces/b/pods").await;
    is_json(listed, &empty);
    is_json(server.next_list(pods).await, &of_web(&web));
    let listed = server.next_list("/api/v1/namespaces/b/pods").await;
    is_json(listed, &empty);
    let why = skipped(second.await.unwrap());
    assert!(
        why.contains("the annotation \"((\" in a is no label selector"),
        "{why}"
    );
}

#[tokio::test]
async fn a_pod_is_not_restarted_for_an_age_that_cannot_be_read_now() {
    let mut server = FakeApiServer::start().await;
    let tools = tools(&server.kubeconfig(), "default", "web-1").await;
    let all = labelled(1, false);
    for (action, of_own_pod) in [(own_pod(false, LIMIT), true), (all, false)] {
        let tools = tools.clone();
        let running =
            tokio::spawn(async move { run(&action, &change("default", "7", "h"), &tools).await });
        if of_own_pod {
            let own = pod("web-1", &owner("ReplicaSet", "web"));
            is_json(next(&mut server, "GET", "/pods/web-1").await, &own);
        }
        is_version(&mut server, "33").await;
        let map = next(&mut server, "GET", "/configmaps/web").await;
        map.internal_error();
        let error = running.await.unwrap().unwrap_err();
        assert!(!error.may_have_reached());
        let error = error.to_string();
        assert!(error.contains("get ConfigMap default/web"), "{error}");
    }
}

/// The ConfigMap `web`, last written at 15 s past the hour, of which a key has gone or has another
/// value.
fn written_change(removed: bool) -> Change {
    let mut change = change("default", "7", "h");
    let keys = &mut change.objects[0].keys;
    let list = if removed {
        &mut keys.removed
    } else {
        &mut keys.changed
    };
    list.push("K".into());
    change
}

fn written_map() -> Value {
    let fields = json!([{"manager": "kubectl", "time": "2024-01-01T00:00:15Z"}]);
    json!({"metadata": {"name": "web", "managedFields": fields}})
}

/// A pod of that hour.
fn pod_of(name: &str, seconds: u32) -> Value {
    let mut pod = pod(name, &owner("ReplicaSet", "web"));
    pod["metadata"]["uid"] = json!(name);
    pod["metadata"]["creationTimestamp"] = json!(format!("2024-01-01T00:00:{seconds}Z"));
    pod
}

/// Versions, whether a key has gone, and whether the time of the content is believed.
const BELIEVED: [(Option<&str>, bool, bool); 6] = [
    (Some("33"), false, true),
    (Some("25+"), false, true),
    (Some("24+"), false, false),
    (Some("20"), false, false),
    (None, false, false),
    // No server moves the time for it.
    (Some("33"), true, false),
];

/// Answers what is asked about the content's age.
async fn tell_age(server: &mut FakeApiServer, minor: Option<&str>, removed: bool, believed: bool) {
    match minor {
        _ if removed => {}
        Some(minor) => is_version(server, minor).await,
        None => next(server, "GET", "/version").await.forbidden(),
    }
    if believed {
        let map = next(server, "GET", "/configmaps/web").await;
        is_json(map, &written_map());
    }
}

#[tokio::test]
async fn younger_pods_are_left_out_where_the_server_keeps_the_time_of_changes() {
    let mut server = FakeApiServer::start().await;
    let tools = tools(&server.kubeconfig(), "default", "elsewhere").await;
    for (minor, removed, believed) in BELIEVED {
        let tools = tools.clone();
        let noticing = tokio::spawn(async move {
            restart::notice(&labelled(1, false), &written_change(removed), &tools).await
        });
        tell_age(&mut server, minor, removed, believed).await;
        let list = server.next_list("/api/v1/namespaces/default/pods").await;
        let items = [pod_of("older", 10), pod_of("younger", 20)];
        is_json(list, &json!({"metadata": {}, "items": items}));
        let set = next(&mut server, "GET", "/replicasets/web").await;
        set.forbidden();
        let noticed = noticing.await.unwrap().unwrap();
        let group = &noticed["groups"][0];
        let named: Vec<&str> = (group["pods"].as_array().unwrap().iter())
            .map(|pod| pod["name"].as_str().unwrap())
            .collect();
        let expected: &[&str] = if believed {
            &["older"]
        } else {
            &["older", "younger"]
        };
        assert_eq!(named, expected, "{minor:?}, removed: {removed}");
        assert_eq!(group["expected"], 2);
    }
}

#[tokio::test]
async fn the_own_pod_stays_only_if_it_is_younger_for_certain() {
    let mut server = FakeApiServer::start().await;
    let tools = tools(&server.kubeconfig(), "default", "web-1").await;
    for (minor, removed, believed) in BELIEVED {
        let tools = tools.clone();
        let running = tokio::spawn(async move {
            run(&own_pod(false, LIMIT), &written_change(removed), &tools).await
        });
        let own = next(&mut server, "GET", "/pods/web-1").await;
        is_json(own, &pod_of("web-1", 20));
        tell_age(&mut server, minor, removed, believed).await;
        if !believed {
            let eviction = next(&mut server, "POST", "/pods/web-1/eviction").await;
            eviction.json(StatusCode::CREATED, &json!({"status": "Success"}));
        }
        let ran = running.await.unwrap();
        assert_eq!(is_done(&ran), !believed, "{minor:?}: {ran:?}");
        assert!(ran.is_ok(), "{minor:?}: {ran:?}");
    }
}
