//! How containers start and end beside the sidecar.

use serde_json::{Value, json};

use super::scene::{IDLE, Scene, app, eventually, eventually_is, run};

/// The one pod that is not on its way out.
fn pod(scene: &Scene) -> Value {
    let list = scene.get("pods");
    let mut pods = list["items"].as_array().unwrap().iter();
    let here = pods.find(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    here.unwrap().clone()
}

/// Of the container's status: which run it is, and how often it was started again.
fn run_of(pod: &Value, container: &str) -> Result<(String, u64), String> {
    let lists = ["initContainerStatuses", "containerStatuses"].into_iter();
    let mut all = lists
        .filter_map(|list| pod["status"][list].as_array())
        .flatten();
    let status = all.find(|status| status["name"] == container);
    let status = status.ok_or("it has no status")?;
    match (status["containerID"].as_str(), status["ready"].as_bool()) {
        (Some(id), Some(true)) => Ok((id.to_owned(), status["restartCount"].as_u64().unwrap())),
        _ => Err(format!("it is not ready: {status}")),
    }
}

/// A Job of the app's container, which is to end.
fn job(annotations: &Value, script: &str) -> Value {
    let mut template = app(annotations, 1, script)["spec"]["template"].take();
    template["spec"]["restartPolicy"] = json!("Never");
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "app"},
        "spec": {"backoffLimit": 0, "template": template},
    })
}

#[test]
#[ignore = "drives the cluster of the current context, whose nodes have ATTACHE_IMAGE"]
fn a_job_ends_though_its_sidecar_does_not() {
    let scene = Scene::new("job");
    let asks = json!({"attache.dev/configmaps": "web"});
    let (injected, rights) = scene.inject(&job(&asks, &scene.reading()), &[]);
    let has_sidecar = injected.contains("\"name\": \"attache\"");
    // On nodes without native sidecars a Job would never end, and gets none.
    assert_eq!(has_sidecar, scene.is_native(), "{injected}");
    scene.apply_text(&rights);
    scene.apply_text(&injected);
    eventually("the Job has ended", || {
        let status = scene.get("job/app")["status"].take();
        let ended = |condition: &Value| {
            ["Complete", "Failed"]
                .iter()
                .any(|end| condition["type"] == *end)
        };
        let conditions = status["conditions"].as_array();
        let ended = conditions.is_some_and(|conditions| conditions.iter().any(ended));
        ended.then_some(()).ok_or_else(|| status.to_string())
    });
    let succeeded = scene.get("job/app")["status"]["succeeded"] == 1;
    assert_eq!(
        succeeded, has_sidecar,
        "without a sidecar there is nothing to read"
    );
    if has_sidecar {
        assert_eq!(
            scene
                .kubectl(&["logs", "job/app", "-c", "app"], "")
                .unwrap(),
            "hello"
        );
    }
}

#[test]
#[ignore = "drives the cluster of the current context, whose nodes have ATTACHE_IMAGE"]
fn init_containers_read_from_a_native_sidecar() {
    let scene = Scene::new("init");
    let asks = json!({"attache.dev/configmaps": "web"});
    let mut object = app(&asks, 1, IDLE);
    let spec = &mut object["spec"]["template"]["spec"];
    let mut init = spec["containers"][0].clone();
    init["name"] = json!("migrate");
    // Once, and at once: the sidecar is ready before any other container is started.
    let script = match scene.is_native() {
        true => scene.reading(),
        false => "echo hello".to_owned(),
    };
    init["command"] = json!(["sh", "-c", script]);
    spec["initContainers"] = json!([init]);
    scene.run_app(&object, &[]);
    let logs = scene.kubectl(&["logs", "deployment/app", "-c", "migrate"], "");
    assert_eq!(logs.unwrap().trim(), "hello");
    let (_, restarts) = run_of(&pod(&scene), "app").unwrap();
    assert_eq!(restarts, 0);
}

#[test]
#[ignore = "drives the cluster of the current context, whose nodes have ATTACHE_IMAGE"]
fn a_sidecar_that_dies_comes_back_beside_the_same_app() {
    let scene = Scene::new("dies");
    // So that the app shares the process namespace, and may kill it.
    let asks = json!({
        "attache.dev/configmaps": "web",
        "attache.dev/on-change": "signal: {process: sh, signal: HUP}",
    });
    let script = format!("trap 'echo told >>/tmp/told' HUP; touch /tmp/told; {IDLE}");
    scene.run_app(&app(&asks, 1, &script), &[]);
    eventually_is("it is read", "hello", || scene.in_app(&scene.reading()));
    let before = run_of(&pod(&scene), "app").unwrap();
    scene.in_app("kill -9 $(pidof attache)").unwrap();
    eventually("the sidecar is another one", || {
        match run_of(&pod(&scene), "attache")? {
            (_, 0) => Err("it is the one of before".to_owned()),
            _ => Ok(()),
        }
    });
    eventually_is("it is read", "hello", || scene.in_app(&scene.reading()));
    scene.set("changed");
    eventually_is("the change is read", "changed", || {
        scene.in_app(&scene.reading())
    });
    eventually_is("the app is told of the change alone", "told", || {
        scene.in_app("cat /tmp/told")
    });
    assert_eq!(run_of(&pod(&scene), "app").unwrap(), before, "it ran on");
}

#[test]
#[ignore = "drives the cluster of the current context, whose nodes have ATTACHE_IMAGE"]
fn an_app_that_is_ending_still_reads() {
    let scene = Scene::new("ending");
    let asks = json!({"attache.dev/configmaps": "web"});
    let read = scene.reading();
    // An app that takes its time: a plain sidecar gets SIGTERM at the same moment as it.
    let last = format!("trap 'sleep 2; {read}; echo; exit 0' TERM; echo up; {IDLE}");
    let mut object = app(&asks, 1, &last);
    object["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(20);
    scene.run_app(&object, &[]);
    eventually_is("it is read", "hello", || scene.in_app(&read));
    let name = pod(&scene)["metadata"]["name"].as_str().unwrap().to_owned();
    let following = ["logs", "-f", &name, "-c", "app"];
    let logs = std::thread::scope(|scope| {
        let logs = scope.spawn(|| scene.kubectl(&following, ""));
        scene
            .kubectl(&["scale", "deployment/app", "--replicas=0"], "")
            .unwrap();
        logs.join().unwrap()
    });
    assert_eq!(logs.unwrap(), "up\nhello\n");
}

#[test]
#[ignore = "drives the cluster of the current context, whose nodes have ATTACHE_IMAGE"]
fn the_restricted_pod_security_standard_takes_what_is_injected() {
    let scene = Scene::new("restricted");
    let label = "pod-security.kubernetes.io/enforce=restricted";
    run(
        "kubectl",
        &["label", "namespace", &scene.namespace, label],
        "",
    )
    .unwrap();
    for (name, asks) in [
        ("files", json!({"attache.dev/files": "web=/etc/app/config"})),
        (
            "token",
            json!({"attache.dev/configmaps": "web", "attache.dev/isolate-token": "true"}),
        ),
        (
            "exec",
            json!({"attache.dev/configmaps": "web", "attache.dev/exec-container": "app"}),
        ),
        (
            "signal",
            json!({"attache.dev/configmaps": "web",
            "attache.dev/on-change": "signal: {process: sh, signal: HUP}"}),
        ),
    ] {
        let mut object = app(&asks, 1, "exec sleep 1000000");
        let spec = &mut object["spec"]["template"]["spec"];
        spec["securityContext"]["seccompProfile"] = json!({"type": "RuntimeDefault"});
        let (injected, rights) = scene.inject(&object, &[]);
        scene.apply_text(&rights);
        let mut object: Value = serde_json::from_str(&injected).unwrap();
        let mut pod = object["spec"]["template"].take();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!(name);
        // What is refused is refused here.
        scene.apply(&pod);
        let ready = [
            "wait",
            "--for=condition=Ready",
            "--timeout=240s",
            "pod",
            name,
        ];
        scene.kubectl(&ready, "").unwrap();
    }
}
