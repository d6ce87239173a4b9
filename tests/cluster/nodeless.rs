//! What an API server alone can show.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::scene::{IDLE, Scene, app, attache, eventually_is, run};

/// Killed with the test.
struct Sidecar(Child, u16);

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The container that carries attache.
fn sidecar(object: &Value) -> Value {
    let spec = &object["spec"]["template"]["spec"];
    let lists = [&spec["initContainers"], &spec["containers"]];
    let mut containers = lists.into_iter().filter_map(Value::as_array).flatten();
    let found = containers.find(|container| container["name"] == "attache");
    found
        .unwrap_or_else(|| panic!("no sidecar in {object}"))
        .clone()
}

fn args(object: &Value) -> Vec<String> {
    let args = sidecar(object)["args"].as_array().unwrap().clone();
    args.iter()
        .map(|arg| arg.as_str().unwrap().to_owned())
        .collect()
}

#[test]
#[ignore = "needs the API server of the current context"]
fn what_is_injected_is_stored_and_taken_out_again() {
    let scene = Scene::new("stored");
    let asks = json!({
        "attache.dev/configmaps": "web",
        "attache.dev/files": "web=/etc/app/config",
        "attache.dev/on-change": "signal: {process: sh, signal: HUP}",
    });
    let plain = app(&asks, 1, IDLE);
    let (injected, _) = scene.inject(&plain, &[]);
    scene.apply_text(&injected);
    let stored = scene.get("deployment/app");
    assert!(
        args(&stored).contains(&"--configmap=web".to_owned()),
        "{stored}"
    );
    assert_eq!(
        stored["spec"]["template"]["spec"]["shareProcessNamespace"],
        true
    );

    // As the API server keeps it, with all that it filled in.
    let text = stored.to_string();
    let again = attache(
        &[
            "inject",
            "-f",
            "-",
            "--kubernetes",
            "cluster",
            "--image",
            &super::scene::image(),
        ],
        &text,
    );
    assert_eq!(
        serde_json::from_str::<Value>(&again.unwrap()).unwrap(),
        stored
    );
    let back = attache(&["uninject", "-f", "-"], &text).unwrap();
    scene.apply_text(&back);
    let template = &scene.get("deployment/app")["spec"]["template"];
    assert!(
        !template["spec"].to_string().contains("attache"),
        "{template}"
    );
    let kept = template["metadata"]["annotations"].as_object().unwrap();
    assert!(kept.keys().eq(asks.as_object().unwrap().keys()), "{kept:?}");
}

#[test]
#[ignore = "needs the API server of the current context"]
fn the_rights_that_are_printed_are_enough_and_no_more() {
    let scene = Scene::new("rights");
    let asks = json!({"attache.dev/configmaps": "web"});
    let (injected, rights) = scene.inject(&app(&asks, 1, IDLE), &[]);
    scene.apply_text(&rights);
    scene.apply_text(&injected);
    let account = format!("system:serviceaccount:{}:app", scene.namespace);
    let may = |verb: &str, object: &str| {
        let args = ["auth", "can-i", verb, object, "--as", &account];
        scene
            .kubectl(&args, "")
            .is_ok_and(|answer| answer.trim() == "yes")
    };
    for verb in ["get", "list", "watch"] {
        assert!(may(verb, "configmaps/web"), "{verb}");
        assert!(!may(verb, "configmaps/other"), "{verb}");
        assert!(!may(verb, "secrets/web"), "{verb}");
    }
    assert!(!may("patch", "configmaps/web"));

    // The injected flags with these rights, on this machine instead of a node.
    let stored = scene.get("deployment/app");
    let state = std::env::temp_dir().join(&scene.namespace);
    let mut command = Command::new(env!("CARGO_BIN_EXE_attache"));
    command
        .args(args(&stored))
        .args([
            "--port=0",
            "--as",
            &account,
            "-n",
            &scene.namespace,
            "--state-dir",
        ])
        .arg(&state)
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let port = line.trim().rsplit(':').next().unwrap().parse().unwrap();
    let sidecar = Sidecar(child, port);
    let port = sidecar.1.to_string();
    let read = || attache(&["get", "web", "GREETING", "-p", &port], "");
    eventually_is("it is read", "hello", read);
    scene.set("changed");
    eventually_is("the change is read", "changed", read);
    drop(sidecar);
    std::fs::remove_dir_all(&state).unwrap();
}

#[test]
#[ignore = "needs the API server of the current context"]
fn the_shipped_webhook_is_taken_by_the_api_server_whole() {
    let manifests = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests");
    let shipped = run("kubectl", &["kustomize", manifests], "").unwrap();
    let kinds = [
        "kind: MutatingWebhookConfiguration",
        "kind: Deployment",
        "kind: Service\n",
    ];
    assert!(kinds.iter().all(|kind| shipped.contains(kind)), "{shipped}");
    let scene = Scene::new("shipped");
    // Its configuration alone: a dry run in a namespace that does not exist is refused.
    let configuration = shipped
        .split("\n---\n")
        .find(|document| document.contains("kind: MutatingWebhookConfiguration"));
    let args = ["apply", "--dry-run=server", "-f", "-"];
    let taken = scene.kubectl(&args, configuration.unwrap()).unwrap();
    assert!(taken.contains("mutatingwebhookconfiguration"), "{taken}");
}
