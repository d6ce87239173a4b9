//! The real API server calls the webhook, in the configuration that is shipped.

#[path = "webhook/fleet.rs"]
mod fleet;
#[path = "webhook/other.rs"]
mod other;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::LIMIT;
use crate::doctor::doctor;
use crate::support::assets::server_minor;
use crate::support::control_plane::ControlPlane;
use crate::support::eventually;
use fleet::{Api, Fleet, pod, pods, sidecar};
use other::Other;

const TOKEN_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn annotated(annotations: &Value) -> Value {
    pod(&json!({"generateName": "web-", "annotations": annotations}))
}

/// How many creates are in flight.
const IN_FLIGHT: usize = 16;

/// As many pods at once, numbered from `first`: of generated names, which are five characters at
/// random, two are the same in one of some dozens of runs, and this server then answers 500.
async fn burst(api: &Api, namespace: &str, annotations: &Value, first: usize) -> Vec<Value> {
    let path = pods(namespace);
    let creates = (first..first + IN_FLIGHT).map(async |number| {
        let metadata = json!({"name": format!("web-{number}"), "annotations": annotations});
        api.create(&path, &pod(&metadata)).await
    });
    join_all(creates).await
}

fn args(pod: &Value) -> BTreeSet<&str> {
    let args = sidecar(pod).expect("a sidecar")["args"].as_array().unwrap();
    args.iter().map(|arg| arg.as_str().unwrap()).collect()
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn labels_and_annotations_of_pods_and_namespaces_decide() {
    let plane = ControlPlane::start().await;
    let fleet = Fleet::start(&plane, 1, &["--set=on-demand=true"], None).await;
    let api = &fleet.api;
    let asks = json!({"attache.dev/configmaps": "web"});
    fleet.namespace("labelled", true, &json!({})).await;
    fleet.namespace("plain", false, &json!({})).await;
    let spoken_for = json!({"attache.dev/configmaps": "shared", "attache.dev/secrets": "db"});
    fleet.namespace("annotated", true, &spoken_for).await;
    fleet.calls("labelled", &asks).await;

    let bundles = fleet.bundles().await;
    assert!(
        bundles
            .iter()
            .all(|bundle| bundle.is_string() && *bundle == bundles[0])
    );

    let injected = api.create(&pods("labelled"), &annotated(&asks)).await;
    assert!(args(&injected).contains("--configmap=web"));
    assert_eq!(sidecar(&injected).unwrap()["image"], "attache:test");
    assert!(!args(&injected).contains("--no-on-demand"), "by --set");

    // A pod's own label goes before its namespace's.
    let labelled = |label: &str| {
        let mut object = annotated(&asks);
        object["metadata"]["labels"] = json!({"attache.dev/inject": label});
        object
    };
    let disabled = api.create(&pods("labelled"), &labelled("disabled")).await;
    assert!(sidecar(&disabled).is_none());
    let enabled = api.create(&pods("plain"), &labelled("enabled")).await;
    assert!(sidecar(&enabled).is_some());
    let unlabelled = api.create(&pods("plain"), &annotated(&asks)).await;
    assert!(sidecar(&unlabelled).is_none());

    // What the namespace says holds where the pod says nothing.
    let from_namespace = api.create(&pods("annotated"), &annotated(&json!({}))).await;
    let both = args(&from_namespace);
    assert!(
        both.contains("--configmap=shared") && both.contains("--secret=db"),
        "{both:?}"
    );
    let own = api.create(&pods("annotated"), &annotated(&asks)).await;
    let both = args(&own);
    assert!(
        both.contains("--configmap=web") && both.contains("--secret=db"),
        "{both:?}"
    );

    let bad = annotated(&json!({"attache.dev/configmapz": "web"}));
    let denied = api.post(&pods("labelled"), &bad).await;
    assert_eq!(denied.status(), 400);
    let message = denied.body()["message"].as_str().unwrap();
    assert!(message.contains("denied the request"), "{message}");
    assert!(message.contains("attache.dev/configmapz"), "{message}");

    let mut host = annotated(&asks);
    host["spec"]["hostNetwork"] = json!(true);
    let skipped = api.post(&pods("labelled"), &host).await;
    assert_eq!(skipped.status(), 201);
    assert!(sidecar(skipped.body()).is_none());
    let warning = skipped.headers()["warning"].to_str().unwrap();
    assert!(
        warning.contains("attache: ") && warning.contains("hostNetwork"),
        "{warning}"
    );

    for (labels, at_least) in [
        (r#"{outcome="injected",reason=""}"#, 4.0),
        (r#"{outcome="denied",reason="bad-annotation"}"#, 1.0),
        (r#"{outcome="skipped",reason="host-network"}"#, 1.0),
    ] {
        let series = format!("attache_webhook_reviews_total{labels}");
        let count = fleet.replicas[0].metric(&series).await;
        assert!(count >= at_least, "{series} is {count}");
    }
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn another_webhook_may_change_the_sidecar_and_a_webhook_that_is_down_keeps_no_pod() {
    let plane = ControlPlane::start().await;
    let mut fleet = Fleet::start(&plane, 1, &[], None).await;
    let asks = json!({"attache.dev/configmaps": "web"});
    fleet.namespace("meddled", true, &json!({})).await;
    fleet.calls("meddled", &asks).await;
    let _other = Other::start(&fleet.api).await;
    let labels = json!({"metadata": {"labels": {"meddle": "yes"}}});
    fleet.api.patch("/api/v1/namespaces/meddled", &labels).await;
    let meddled = |pod: &Value| {
        let env = sidecar(pod).expect("a sidecar")["env"].as_array().unwrap();
        env.iter()
            .filter(|variable| variable["name"] == "MEDDLED")
            .count()
    };
    eventually("the other webhook is called", LIMIT, async || {
        let pod = fleet.api.create(&pods("meddled"), &annotated(&asks)).await;
        meddled(&pod) == 1
    })
    .await;
    let unchanged = r#"attache_webhook_reviews_total{outcome="unchanged",reason=""}"#;
    let asked_again = fleet.replicas[0].metric(unchanged).await;
    assert!(
        asked_again >= 1.0,
        "attache is asked again after the other one"
    );

    fleet.replicas.remove(0).stop().await;
    let pod = fleet.api.create(&pods("meddled"), &annotated(&asks)).await;
    assert!(sidecar(&pod).is_none());
    let name = pod["metadata"]["name"].as_str().unwrap();
    let found = doctor(&plane.admin_kubeconfig(), "meddled", &["--pods"]).await;
    let told =
        format!("error: pod {name} in namespace meddled should carry attache and carries none");
    assert_eq!(found.code, Some(1), "{found}");
    assert!(found.text().contains(&told), "{found}");
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn no_pod_goes_without_while_every_replica_is_replaced() {
    let plane = ControlPlane::start().await;
    let mut fleet = Fleet::start(&plane, 2, &["--shutdown-delay=2s"], None).await;
    let asks = json!({"attache.dev/configmaps": "web"});
    fleet.namespace("rolled", true, &json!({})).await;
    fleet.calls("rolled", &asks).await;
    let api = Api(fleet.api.0.clone());
    let done = AtomicBool::new(false);
    // The API server keeps its connections, and is told on each of them to open another.
    let creating = async {
        let mut created = Vec::new();
        while !done.load(Ordering::Relaxed) {
            created.extend(burst(&api, "rolled", &asks, created.len()).await);
        }
        created
    };
    let replacing = async {
        for _ in 0..4 {
            fleet.replace().await;
        }
        done.store(true, Ordering::Relaxed);
    };
    let (created, ()) = tokio::join!(creating, replacing);
    let without = created.iter().filter(|pod| sidecar(pod).is_none()).count();
    assert_eq!(without, 0, "of {}", created.len());
    assert!(created.len() > IN_FLIGHT);
    let injected = r#"attache_webhook_reviews_total{outcome="injected",reason=""}"#;
    assert!(fleet.replicas[0].metric(injected).await > 0.0);
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn the_token_is_the_sidecars_alone_where_it_is_to_be() {
    let mut flags = vec!["--enable-admission-plugins=ServiceAccount"];
    if server_minor() < 21 {
        flags.push("--feature-gates=BoundServiceAccountTokenVolume=true");
    }
    let plane = ControlPlane::start_with(&flags).await;
    let fleet = Fleet::start(&plane, 1, &[], None).await;
    fleet.namespace("shop", true, &json!({})).await;
    let accounts = "/api/v1/namespaces/shop/serviceaccounts";
    let account = json!({"metadata": {"name": "default"}});
    fleet.api.create(accounts, &account).await;
    fleet
        .calls("shop", &json!({"attache.dev/configmaps": "web"}))
        .await;
    let mounts = |container: &Value| {
        let mounts = container["volumeMounts"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let tokens = mounts.into_iter().filter(|m| m["mountPath"] == TOKEN_MOUNT);
        let names = tokens.map(|m| m["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    for (annotations, automount, app_has_it) in [
        (json!({}), json!(null), true),
        (
            json!({"attache.dev/isolate-token": "true"}),
            json!(null),
            false,
        ),
        (json!({}), json!(false), false),
    ] {
        let mut object = annotated(&annotations);
        object["metadata"]["annotations"]["attache.dev/configmaps"] = json!("web");
        object["spec"]["automountServiceAccountToken"] = automount;
        let pod = fleet.api.create(&pods("shop"), &object).await;
        let app = mounts(&pod["spec"]["containers"][0]);
        let own = mounts(sidecar(&pod).expect("a sidecar"));
        assert_eq!(own.len(), 1, "{pod}");
        assert_eq!(app.len(), usize::from(app_has_it), "{pod}");
        let volumes = pod["spec"]["volumes"].as_array().unwrap();
        let is_token = |source: &Value| source.get("serviceAccountToken").is_some();
        let tokens: Vec<_> = volumes
            .iter()
            .filter(|volume| {
                let sources = volume["projected"]["sources"].as_array();
                sources.is_some_and(|sources| sources.iter().any(is_token))
            })
            .map(|volume| volume["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            tokens, own,
            "one volume with a token, and it is the one mounted: {pod}"
        );
        if app_has_it {
            assert_eq!(app, own);
        } else {
            assert_eq!(own, ["attache-token"]);
        }
    }
}

/// How long a certificate lasts; a CA lasts four times as long. Either is renewed when a third is left.
const VALIDITY: Duration = Duration::from_secs(24);

/// How often so many are begun: a thousand by the time that the first CA has expired.
const PACE: Duration = Duration::from_millis(1_500);

/// How many there are at least.
const CREATES: usize = 1_000;

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn every_one_of_a_thousand_pods_is_injected_while_ca_and_certificate_are_renewed() {
    let plane = ControlPlane::start().await;
    let fleet = Fleet::start(&plane, 2, &[], Some(VALIDITY)).await;
    let asks = json!({"attache.dev/configmaps": "web"});
    fleet.namespace("busy", true, &json!({})).await;
    fleet.calls("busy", &asks).await;
    let leaf = |secret: &Value| secret["data"]["tls.crt"].clone();
    let mut created = 0;
    // The first CA's caBundle, that of both, and the second one's: certificates of either are between.
    let (mut authorities, mut leaves) = (BTreeSet::new(), BTreeSet::new());
    let mut pace = tokio::time::interval(PACE);
    let limit = Instant::now() + 10 * LIMIT;
    let mut last_bursts = 3;
    while last_bursts > 0 {
        if created >= CREATES && authorities.len() >= 3 && leaves.len() >= 3 {
            // Those that only the second CA's certificate serves.
            last_bursts -= 1;
        }
        pace.tick().await;
        let seen = (authorities.len(), leaves.len());
        assert!(
            Instant::now() < limit,
            "{created} creates, renewals: {seen:?}"
        );
        let made = burst(&fleet.api, "busy", &asks, created).await;
        created += made.len();
        let without = made.iter().filter(|pod| sidecar(pod).is_none()).count();
        assert_eq!(without, 0, "of {created} creates, renewals: {seen:?}");
        authorities.insert(fleet.bundles().await[0].to_string());
        leaves.insert(leaf(&fleet.certificate().await).to_string());
    }
    let mut served = 0.0;
    for replica in &fleet.replicas {
        let injected = r#"attache_webhook_reviews_total{outcome="injected",reason=""}"#;
        let count = replica.metric(injected).await;
        assert!(count > 0.0, "both replicas are called");
        served += count;
    }
    assert!(served >= CREATES as f64);
}
