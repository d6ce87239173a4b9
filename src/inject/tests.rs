//! What holds of every pod, and what is said of some.

mod cases;
mod pods;
mod properties;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

pub(super) fn platform(image: &str) -> Platform {
    Platform {
        image: image.to_owned(),
        allow_rollout: false,
        allow_pods: false,
    }
}

pub(super) fn ours() -> Platform {
    platform("registry.example/attache:0.1.0")
}

pub(super) fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    BTreeMap::from_iter(pairs.map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
}

pub(super) fn native() -> Surroundings {
    Surroundings {
        native: true,
        ..Surroundings::default()
    }
}

/// What is injected; fails for any other outcome.
pub(super) fn injected(pod: &Value, surroundings: &Surroundings) -> Injection {
    match inject(pod, surroundings, &ours()) {
        Ok(Outcome::Injected(injection)) => injection,
        other => panic!("expected an injection, got {other:?} of {pod:#}"),
    }
}

/// The fault lines of a pod that cannot be injected.
pub(super) fn faults(pod: &Value, surroundings: &Surroundings) -> String {
    match inject(pod, surroundings, &ours()) {
        Err(faults) => faults.to_string(),
        other => panic!("expected faults, got {other:?} of {pod:#}"),
    }
}

/// A pod of one container, with annotations and what `spec` adds.
pub(super) fn pod(annotations: &[(&str, &str)], spec: Value) -> Value {
    let mut pod = json!({ "metadata": { "name": "web" }, "spec": {
        "containers": [{ "name": "app", "image": "nginx" }],
    } });
    for (name, text) in annotations {
        pod["metadata"]["annotations"][format!("{PREFIX}{name}")] = json!(text);
    }
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    pod
}

/// What holds of a pod whatever becomes of it; the outcome.
pub(super) fn hold(pod: &Value, surroundings: &Surroundings) -> Result<Outcome, Faults> {
    let before = pod.clone();
    let outcome = inject(pod, surroundings, &ours());
    assert_eq!(*pod, before);
    let Ok(Outcome::Injected(injection)) = &outcome else {
        assert_ne!(outcome, Ok(Outcome::Unchanged), "{pod:#}");
        return outcome;
    };
    let after = &injection.pod;
    patches(pod, after);
    patches(after, pod);
    patches(&pods::noisy(after), pod);
    touches_little(pod, after);

    // Twice is once, for a webhook too that sees what a command has written annotations onto.
    assert_eq!(inject(after, surroundings, &ours()), Ok(Outcome::Unchanged));
    let mut later = surroundings.clone();
    later.write.clear();
    assert_eq!(inject(after, &later, &ours()), Ok(Outcome::Unchanged));

    // Out again is as before, to the byte.
    let out = uninject(after).expect("there is something to take out");
    assert_eq!(out.to_string(), pod.to_string());
    assert_eq!(uninject(&out), uninject(pod));

    // A newer version over an older is the newer at once.
    let other = platform("registry.example/attache:9.0.0");
    let at_once = inject_by("9.0.0", pod, surroundings, &other);
    let over = inject_by("9.0.0", after, surroundings, &other);
    assert_eq!(over, at_once);
    assert!(matches!(over, Ok(Outcome::Injected(_))));

    // What the API server and other webhooks add is left alone, and does not come out.
    let noisy = pods::noisy(after);
    assert_eq!(
        inject(&noisy, surroundings, &ours()),
        Ok(Outcome::Unchanged)
    );
    let out = uninject(&noisy).expect("there is something to take out");
    assert!(!out.to_string().contains("attache-state"), "{out:#}");
    assert!(uninject(&out).is_none());
    if let Value::Object(extra) = &noisy["spec"]["containers"][0]["webhookAdded"] {
        assert_eq!(out["spec"]["containers"][0]["webhookAdded"], json!(extra));
    }
    outcome
}

pub(super) fn patches(before: &Value, after: &Value) {
    let operations = patch(before, after);
    let read: json_patch::Patch = serde_json::from_value(json!(operations)).unwrap();
    let mut patched = before.clone();
    json_patch::patch(&mut patched, &read).unwrap();
    assert_eq!(patched, *after);
    assert!(patch(after, after).is_empty());
}

/// Edits add, and change nothing but what injection is for: all else, known or not, survives.
fn touches_little(before: &Value, after: &Value) {
    let mut pod = before.clone();
    for operation in patch(before, after) {
        let path = operation["path"].as_str().unwrap();
        let steps: Vec<_> = path.split('/').skip(1).collect();
        let was_null = pod.pointer(path).is_some_and(Value::is_null);
        let is_ours = match (operation["op"].as_str().unwrap(), steps.as_slice()) {
            ("add", ["metadata"] | ["metadata", "annotations", ..]) => true,
            ("add", ["spec", "volumes" | "initContainers" | "containers"]) => true,
            ("add", ["spec", "volumes" | "initContainers" | "containers", _]) => true,
            (
                "add",
                [
                    "spec",
                    "containers" | "initContainers",
                    _,
                    "env" | "volumeMounts",
                    ..,
                ],
            ) => true,
            (
                "add",
                [
                    "spec",
                    "shareProcessNamespace" | "automountServiceAccountToken",
                ],
            ) => true,
            ("replace", ["spec", "containers", _, "command"]) => true,
            ("replace", ["spec", "automountServiceAccountToken"]) => true,
            ("replace", _) => was_null,
            // With an isolated token only, and then what admission put there.
            ("add" | "remove", ["spec", .., "volumeMounts" | "volumes", _]) => true,
            ("add" | "remove", ["spec", "containers", _, "command", _]) => true,
            _ => false,
        };
        assert!(is_ours, "{operation} of {before:#}");
        let read: json_patch::Patch = serde_json::from_value(json!([operation])).unwrap();
        json_patch::patch(&mut pod, &read).unwrap();
    }
}

#[test]
fn a_new_container_or_another_annotation_injects_again() {
    let first = pod(&[("files", "web=/etc/app/config")], json!({}));
    let mut after = injected(&first, &native()).pod;
    let containers = after["spec"]["containers"].as_array_mut().unwrap();
    containers.push(json!({ "name": "late", "image": "b" }));
    let again = injected(&after, &native()).pod;
    let late = &again["spec"]["containers"][1];
    assert_eq!(late["env"][0]["name"], "ATTACHE_ENDPOINT");
    assert_eq!(late["volumeMounts"][0]["mountPath"], "/etc/app/config");
    assert_eq!(again["spec"]["initContainers"].as_array().unwrap().len(), 1);

    again_with(
        &again,
        &["metadata", "annotations", "attache.dev/port"],
        json!("9000"),
    );
    // What shapes nothing injects nothing.
    let mut other = again.clone();
    other["metadata"]["annotations"]["example.com/x"] = json!("y");
    other["spec"]["containers"][0]["image"] = json!("nginx:2");
    assert_eq!(inject(&other, &native(), &ours()), Ok(Outcome::Unchanged));
}

fn again_with(pod: &Value, path: &[&str], value: Value) {
    let mut pod = pod.clone();
    let last = path.iter().fold(&mut pod, |at, step| &mut at[*step]);
    *last = value;
    let again = injected(&pod, &native()).pod;
    assert_eq!(inject(&again, &native(), &ours()), Ok(Outcome::Unchanged));
}

#[test]
fn what_was_taken_away_comes_back() {
    let annotations = [("configmaps", "web"), ("on-change", "{signal: nginx}")];
    let before = pod(
        &annotations,
        json!({ "securityContext": { "runAsUser": 1 } }),
    );
    let after = injected(&before, &native()).pod;
    for (path, key) in [
        ("/spec", "shareProcessNamespace"),
        ("/spec", "initContainers"),
        ("/spec", "volumes"),
        ("/spec/containers/0", "env"),
    ] {
        let mut broken = after.clone();
        let parent = broken.pointer_mut(path).unwrap().as_object_mut().unwrap();
        parent.remove(key).unwrap();
        assert_eq!(injected(&broken, &native()).pod, after, "{key}");
        assert_eq!(uninject(&broken), Some(before.clone()), "{key}");
    }
}

#[test]
fn annotations_are_written_where_there_are_none_and_taken_off_again() {
    let bare = json!({ "spec": { "containers": [{ "name": "app", "image": "a" }] } });
    let mut around = native();
    around.write = map(&[("configmaps", "web"), ("port", "9000")]);
    let after = injected(&bare, &around).pod;
    let annotations = &after["metadata"]["annotations"];
    assert_eq!(annotations["attache.dev/configmaps"], "web");
    assert_eq!(uninject(&after), Some(bare));

    // The pod's own wins, and stays.
    let own = pod(&[("configmaps", "own")], json!({}));
    let after = injected(&own, &around).pod;
    assert_eq!(
        after["metadata"]["annotations"]["attache.dev/configmaps"],
        "own"
    );
    assert_eq!(after["metadata"]["annotations"]["attache.dev/port"], "9000");
    assert_eq!(uninject(&after), Some(own));

    // One that was changed since is the pod's own.
    let mut edited = after;
    edited["metadata"]["annotations"]["attache.dev/port"] = json!("9001");
    let again = injected(&edited, &around).pod;
    let out = uninject(&again).unwrap();
    assert_eq!(out["metadata"]["annotations"]["attache.dev/port"], "9001");

    // Written ones win over those around.
    around.annotations = map(&[("configmaps", "around"), ("on-demand", "true")]);
    let after = injected(
        &json!({ "spec": { "containers": [{ "name": "a" }] } }),
        &around,
    )
    .pod;
    let args = after["spec"]["initContainers"][0]["args"].to_string();
    assert!(
        args.contains("--configmap=web") && !args.contains("on-demand"),
        "{args}"
    );
}

#[test]
fn the_platform_may_allow_rules_over_others() {
    for (rule, rollout) in [
        ("{restart: rollout}", true),
        ("{restart: {pods: app=web}}", false),
    ] {
        let pod = pod(&[("configmaps", "web"), ("on-change", rule)], json!({}));
        assert!(faults(&pod, &native()).contains("--allow-restart="));
        let allows = Platform {
            allow_rollout: rollout,
            allow_pods: !rollout,
            ..ours()
        };
        let outcome = inject(&pod, &native(), &allows);
        assert!(matches!(outcome, Ok(Outcome::Injected(_))), "{outcome:?}");
    }
}

#[test]
fn an_edited_command_is_not_put_back() {
    let wrapped = [("configmaps", "web"), ("exec-container", "app")];
    let containers = json!([{ "name": "app", "image": "a", "command": ["old"] }]);
    let mut after = injected(
        &pod(&wrapped, json!({ "containers": containers })),
        &native(),
    )
    .pod;
    after["spec"]["containers"][0]["command"] = json!(["new"]);
    let out = uninject(&after).unwrap();
    assert_eq!(out["spec"]["containers"][0]["command"], json!(["new"]));
    let again = injected(&after, &native()).pod;
    let command = again["spec"]["containers"][0]["command"]
        .as_array()
        .unwrap();
    assert_eq!(command.last().unwrap(), "new");
    assert_eq!(uninject(&again), Some(out));
}

#[test]
fn a_fault_that_is_not_the_pods_own_says_so() {
    let mut around = native();
    around.annotations = map(&[("filse", "x"), ("port", "7")]);
    let own = pod(&[("port", "8"), ("exec-container", "no")], json!({}));
    let told = faults(&own, &around);
    let lines: Vec<_> = told.lines().collect();
    let whose = " (the namespace says it, or the webhook's --set)";
    assert_eq!(lines.len(), 2, "{told}");
    for line in lines {
        assert_eq!(
            line.ends_with(whose),
            line.starts_with("attache: attache.dev/filse: "),
            "{line}"
        );
    }
    around.annotations = map(&[("configmaps", "web"), ("exec-container", "no")]);
    let told = faults(&pod(&[], json!({})), &around);
    assert!(
        told.starts_with("attache: attache.dev/exec-container: ") && told.ends_with(whose),
        "{told}"
    );
}

#[test]
fn a_record_that_nobody_can_read_is_none() {
    let mut after = injected(&pod(&[("configmaps", "web")], json!({})), &native()).pod;
    after["metadata"]["annotations"]["attache.dev/injected"] = json!("{}");
    assert_eq!(uninject(&after), None);
    assert_eq!(
        inject(&after, &native(), &ours()),
        Ok(Outcome::Skipped(Skip::ByHand))
    );
}

#[test]
fn what_a_record_says_of_things_that_are_not_there_changes_nothing() {
    let undo = json!([
        { "made": "/spec/x/y", "levels": 9 },
        { "made": "", "levels": 3, "null": true },
        { "added": "/spec", "to": "/spec", "item": "z" },
        { "replaced": "/spec/containers/no/command", "was": 1, "now": 2 },
        { "set": "/spec/containers/app/image/deep", "now": null },
        { "took": "spec", "index": 99, "item": null },
        { "took": "/spec/containers/app/image", "index": 99, "item": 7 },
    ]);
    let record = json!({ "version": "0", "hash": "", "undo": undo }).to_string();
    let bare = pod(&[("configmaps", "web")], json!({}));
    let mut noted = bare.clone();
    noted["metadata"]["annotations"]["attache.dev/injected"] = json!(record);
    assert_eq!(uninject(&noted), Some(bare));
}

#[test]
fn a_patch_moves_nothing_that_stays() {
    let mut before = pod(&[("files", "web=/etc/app/config")], json!({}));
    let many: Vec<_> = (0..20)
        .map(|n| json!({ "name": format!("v{n}"), "emptyDir": {} }))
        .collect();
    before["spec"]["volumes"] = json!(many);
    before["spec"]["initContainers"] = json!([{ "name": "i", "image": "x" }]);
    let after = injected(&before, &native()).pod;
    let paths: Vec<_> = patch(&before, &after)
        .iter()
        .map(|one| {
            format!(
                "{} {}",
                one["op"].as_str().unwrap(),
                one["path"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        paths,
        [
            "add /metadata/annotations/attache.dev~1injected",
            "add /spec/containers/0/env",
            "add /spec/containers/0/volumeMounts",
            "add /spec/initContainers/0",
            "add /spec/initContainers/1/env",
            "add /spec/initContainers/1/volumeMounts",
            "add /spec/volumes/20",
            "add /spec/volumes/21",
        ]
    );
}
