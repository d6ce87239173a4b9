//! What needs nodes: pods that run.

use serde_json::{Value, json};

use super::scene::{IDLE, Scene, app, attache, eventually, eventually_is, image, run};

/// The version of PodDisruptionBudgets: before Kubernetes 1.21 it is another.
fn policy() -> &'static str {
    let versions = run("kubectl", &["api-versions"], "").unwrap();
    match versions.lines().any(|version| version == "policy/v1") {
        true => "policy/v1",
        false => "policy/v1beta1",
    }
}

#[test]
#[ignore = "drives the cluster of the current context, whose nodes have ATTACHE_IMAGE"]
fn an_app_reads_its_configuration_live_and_finds_no_token() {
    let scene = Scene::new("read");
    let asks = json!({"attache.dev/configmaps": "web", "attache.dev/isolate-token": "true"});
    scene.run_app(&app(&asks, 1, IDLE), &[]);
    eventually_is("it is read", "hello", || scene.in_app(&scene.reading()));
    scene.set("changed");
    eventually_is("the change is read", "changed", || {
        scene.in_app(&scene.reading())
    });
    let token = scene.in_app("cat /var/run/secrets/kubernetes.io/serviceaccount/token");
    assert!(token.is_err(), "the app has a token");
    // What is not named is neither fetched nor proxied.
    let other = format!(
        "wget -qO- \"$ATTACHE_ENDPOINT/kv/{}/kube-root-ca.crt\"",
        scene.namespace
    );
    assert!(scene.in_app(&other).is_err());
    assert!(scene.in_app("wget -qO- \"$ATTACHE_ENDPOINT/api\"").is_err());
}

#[test]
#[ignore = "drives the cluster of the current context, whose nodes have ATTACHE_IMAGE"]
fn files_change_where_the_app_finds_them() {
    let scene = Scene::new("files");
    let asks = json!({"attache.dev/files": "web=/etc/app/config"});
    scene.run_app(&app(&asks, 1, IDLE), &[]);
    let read = || scene.in_app("cat /etc/app/config/GREETING");
    eventually_is("it is written", "hello", read);
    scene.set("changed");
    eventually_is("the change is written", "changed", read);
    assert!(
        scene.in_app("touch /etc/app/config/mine").is_err(),
        "the app's mount is read-only"
    );
}

#[test]
#[ignore = "drives the cluster of the current context, whose nodes have ATTACHE_IMAGE"]
fn a_change_is_signalled_once() {
    let scene = Scene::new("signal");
    let asks = json!({
        "attache.dev/configmaps": "web",
        "attache.dev/on-change": "signal: {process: sh, signal: HUP}",
    });
    let script = format!("trap 'echo told >>/tmp/told' HUP; touch /tmp/told; {IDLE}");
    scene.run_app(&app(&asks, 1, &script), &[]);
    eventually_is("nothing was told yet", "0", || {
        scene.in_app("wc -l </tmp/told")
    });
    eventually("the sidecar is there", || {
        // In a shared process namespace all see all.
        scene.in_app("grep -l attache /proc/[0-9]*/comm")
    });
    for told in ["1", "2", "3"] {
        scene.set(&format!("change {told}"));
        eventually_is("it is told, once", told, || {
            scene.in_app("wc -l </tmp/told")
        });
    }
}

#[test]
#[ignore = "drives the cluster of the current context, whose nodes have ATTACHE_IMAGE"]
fn a_command_is_started_anew_with_its_new_environment() {
    let scene = Scene::new("exec");
    let asks = json!({"attache.dev/configmaps": "web", "attache.dev/exec-container": "app"});
    let script = "echo \"$GREETING\" >>/tmp/started; exec sleep 1000000";
    scene.run_app(&app(&asks, 1, script), &[]);
    let started = || scene.in_app("cat /tmp/started");
    eventually_is("it has started", "hello", started);
    scene.set("changed");
    eventually_is("it was started again", "hello\nchanged", started);
    eventually_is("the port is served, too", "changed", || {
        scene.in_app(&scene.reading())
    });
}

#[test]
#[ignore = "drives the cluster of the current context, whose nodes have ATTACHE_IMAGE"]
fn a_change_rolls_out_once_however_many_replicas_ask() {
    let scene = Scene::new("rollout");
    let rule = "{restart: rollout, splay: 0s, minInterval: 0s}";
    let asks = json!({"attache.dev/configmaps": "web", "attache.dev/on-change": rule});
    scene.run_app(&app(&asks, 3, IDLE), &["--allow-restart=rollout"]);
    eventually_is("it is read", "hello", || scene.in_app(&scene.reading()));
    let generation = |scene: &Scene| scene.get("deployment/app")["metadata"]["generation"].as_i64();
    let (before, pods) = (generation(&scene), scene.pods());
    scene.set("changed");
    eventually("other pods", || {
        let now = scene.pods();
        let all_new = now.len() == 3 && !now.iter().any(|pod| pods.contains(pod));
        all_new
            .then_some(())
            .ok_or_else(|| format!("{now:?} after {pods:?}"))
    });
    scene.rolled_out();
    assert_eq!(generation(&scene), before.map(|generation| generation + 1));
}

#[test]
#[ignore = "drives the cluster of the current context, whose nodes have ATTACHE_IMAGE"]
fn a_pod_asks_for_its_eviction_where_a_budget_covers_it() {
    let scene = Scene::new("evict");
    scene.apply(&json!({
        "apiVersion": policy(), "kind": "PodDisruptionBudget", "metadata": {"name": "app"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "app"}}}
    }));
    let rule = "{restart: pod, splay: 0s, minInterval: 0s}";
    let asks = json!({"attache.dev/configmaps": "web", "attache.dev/on-change": rule});
    scene.run_app(&app(&asks, 2, IDLE), &[]);
    eventually_is("it is read", "hello", || scene.in_app(&scene.reading()));
    let before = scene.pods();
    scene.set("changed");
    eventually("both were replaced", || {
        let now = scene.pods();
        let all_new = now.len() == 2 && !now.iter().any(|pod| before.contains(pod));
        all_new
            .then_some(())
            .ok_or_else(|| format!("{now:?} after {before:?}"))
    });
}

#[test]
#[ignore = "drives the cluster of the current context, whose nodes have ATTACHE_IMAGE"]
fn an_app_runs_on_without_its_sidecar() {
    let scene = Scene::new("uninject");
    let asks = json!({"attache.dev/configmaps": "web"});
    let plain = app(&asks, 1, IDLE);
    let (injected, rights) = scene.inject(&plain, &[]);
    scene.apply_text(&rights);
    scene.apply_text(&injected);
    scene.rolled_out();
    eventually_is("it is read", "hello", || scene.in_app(&scene.reading()));
    let back = attache(&["uninject", "-f", "-"], &injected).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&back).unwrap(), plain);
    scene.apply_text(&back);
    scene.rolled_out();
    eventually("the old pod is gone", || {
        let list = scene.get("pods");
        let pods = list["items"].as_array().unwrap();
        let alone = pods.len() == 1 && !pods[0].to_string().contains("healthcheck");
        alone
            .then_some(())
            .ok_or_else(|| format!("{} pods", pods.len()))
    });
    assert!(scene.in_app(&scene.reading()).is_err());
    scene.in_app("true").unwrap();
}

#[test]
#[ignore = "drives the cluster of the current context, whose nodes have ATTACHE_IMAGE"]
fn the_webhook_gives_new_pods_their_sidecars() {
    let taken = run("kubectl", &["get", "namespace", "attache-system"], "");
    assert!(
        taken.is_err(),
        "attache-system is there already: take that webhook away first"
    );
    let manifests = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests");
    let shipped = run("kubectl", &["kustomize", manifests], "").unwrap();
    let default = format!("attache:{}", env!("CARGO_PKG_VERSION"));
    assert!(shipped.contains(&default));
    let budget = "apiVersion: policy/v1\n";
    assert!(shipped.contains(budget));
    let installed = shipped
        .replace(&default, &image())
        .replace(budget, &format!("apiVersion: {}\n", policy()));
    let _uninstall = Uninstall(installed.clone());
    run("kubectl", &["apply", "-f", "-"], &installed).unwrap();
    let rollout = [
        "-n",
        "attache-system",
        "rollout",
        "status",
        "deployment/attache-webhook",
    ];
    run("kubectl", &rollout, "").unwrap();

    let scene = Scene::new("webhook");
    let label = [
        "label",
        "namespace",
        &scene.namespace,
        "attache.dev/inject=enabled",
    ];
    run("kubectl", &label, "").unwrap();
    let asks = json!({"attache.dev/configmaps": "web"});
    let plain = app(&asks, 1, IDLE);
    let (_, rights) = scene.inject(&plain, &[]);
    scene.apply_text(&rights);
    scene.apply(&plain);
    scene.rolled_out();
    eventually_is("it is read", "hello", || scene.in_app(&scene.reading()));
    let examined = attache(&["doctor", "--pods", "-n", &scene.namespace], "");
    assert!(examined.is_ok(), "{examined:?}");
}

/// Takes the webhook away with the test.
struct Uninstall(String);

impl Drop for Uninstall {
    fn drop(&mut self) {
        let _ = run("kubectl", &["delete", "--wait=false", "-f", "-"], &self.0);
    }
}
