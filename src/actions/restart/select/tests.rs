use serde_json::{Value, json};

use super::*;

fn pod(name: &str, uid: &str, created: &str, ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    json!({
        "metadata": {
            "name": name, "uid": uid, "resourceVersion": "1", "creationTimestamp": created,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1",
                "uid": "r", "controller": true}],
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]},
    })
}

const OLD: &str = "2024-01-01T00:00:00Z";
const NEW: &str = "2024-01-02T00:00:00Z";

fn old(name: &str) -> Value {
    pod(name, &format!("{name}-1"), OLD, true)
}

fn unready(mut pod: Value) -> Value {
    pod["status"]["conditions"][0]["status"] = json!("False");
    pod
}

/// A pod whose node no longer answers: Ready was set to False, and the containers were ready last.
fn unheard(pod: Value) -> Value {
    let mut pod = unready(pod);
    let containers = json!({"type": "ContainersReady", "status": "True"});
    pod["status"]["conditions"]
        .as_array_mut()
        .unwrap()
        .push(containers);
    pod
}

fn terminating(mut pod: Value) -> Value {
    pod["metadata"]["deletionTimestamp"] = json!(NEW);
    pod
}

fn owned_by(mut pod: Value, kind: Option<&str>) -> Value {
    pod["metadata"]["ownerReferences"] = match kind {
        Some(kind) => json!([{"apiVersion": "apps/v1", "kind": kind, "name": "web",
            "controller": true}]),
        None => json!([]),
    };
    pod
}

fn pods(pods: &[Value]) -> Vec<Pod> {
    serde_json::from_value(json!(pods)).unwrap()
}

fn group(values: &[Value]) -> Group {
    Group::new("default", "app=web", pods(values), None)
}

/// What is done next, in words.
fn next(group: &Group, now: &[Value], max_unavailable: usize) -> String {
    match group.next(&pods(now), group.expected, max_unavailable) {
        Next::Restart(pod) => format!("restart {}", pod.metadata.name),
        Next::Wait {
            unready,
            missing,
            left,
        } => format!("wait for {unready:?} and {missing}, {left} left"),
        Next::Done => "done".into(),
    }
}

#[test]
fn pods_are_restarted_one_after_the_other_oldest_first() {
    let (a, b) = (old("b"), pod("a", "a-1", NEW, true));
    let group = group(&[b.clone(), a.clone()]);
    assert_eq!(next(&group, &[b.clone(), a.clone()], 1), "restart b");
    let gone = terminating(a);
    assert_eq!(
        next(&group, &[gone.clone(), b.clone()], 1),
        "wait for [] and 1, 1 left"
    );
    assert_eq!(next(&group, &[gone.clone(), b.clone()], 2), "restart a");
    // Its replacement is there before it has gone, as with a ReplicaSet.
    let fresh = unready(pod("c", "c-1", NEW, true));
    assert_eq!(
        next(&group, &[gone, b.clone(), fresh.clone()], 1),
        r#"wait for ["c"] and 0, 1 left"#
    );
    let fresh = pod("c", "c-1", NEW, true);
    assert_eq!(next(&group, &[b, fresh.clone()], 1), "restart a");
    assert_eq!(
        next(&group, std::slice::from_ref(&fresh), 1),
        "wait for [] and 1, 0 left"
    );
    let last = pod("d", "d-1", NEW, true);
    assert_eq!(
        next(&group, &[unready(last.clone()), fresh.clone()], 1),
        r#"wait for ["d"] and 0, 0 left"#
    );
    assert_eq!(next(&group, &[last, fresh], 1), "done");
}

#[test]
fn a_pod_of_the_same_name_is_another_one() {
    let group = group(&[old("web-0"), old("web-1")]);
    let now = [pod("web-0", "new", NEW, true), old("web-1")];
    assert_eq!(next(&group, &now, 1), "restart web-1");
}

#[test]
fn what_is_not_ready_goes_first_and_takes_nothing_away() {
    let group = group(&[old("a"), old("b"), old("c")]);
    let now = [old("a"), unready(old("b")), unready(old("c"))];
    assert_eq!(next(&group, &now, 1), "restart b");
    let now = [old("a"), terminating(old("b")), unready(old("c"))];
    assert_eq!(next(&group, &now, 1), "restart c");
    let now = [old("a"), terminating(old("b")), terminating(old("c"))];
    assert_eq!(next(&group, &now, 1), "wait for [] and 2, 1 left");
}

#[test]
fn what_may_serve_on_a_node_that_is_not_ready_counts_as_away_and_waits_its_turn() {
    let (a, b, c) = (old("a"), old("b"), old("c"));
    let group = group(&[a.clone(), b.clone(), c.clone()]);
    let all = [unheard(a.clone()), unheard(b.clone()), unheard(c.clone())];
    let waits = r#"wait for ["a", "b", "c"] and 0, 3 left"#;
    assert_eq!(next(&group, &all, 1), waits);
    assert_eq!(next(&group, &all, 3), waits);
    assert_eq!(next(&group, &all, 4), "restart a");
    let one = [a.clone(), unheard(b.clone()), c.clone()];
    assert_eq!(
        next(&group, &one, 1),
        r#"wait for ["b"] and 0, 3 left"#,
        "neither it nor another"
    );
    assert_eq!(next(&group, &one, 2), "restart a");
    // What crashes there is what a restart may mend, whatever the limit.
    let mut crashes = unheard(c);
    crashes["status"]["conditions"][1]["status"] = json!("False");
    let now = [unheard(a), unheard(b), crashes];
    assert_eq!(next(&group, &now, 1), "restart c");
}

#[test]
fn a_pod_is_away_for_certain_only_by_its_containers_or_its_gates() {
    let is_away = |pod: &Value| pods(std::slice::from_ref(pod))[0].is_away();
    assert!(!is_away(&old("serves")));
    assert!(is_away(&unready(old("no word about containers"))));
    let mut starting = old("starting");
    starting["status"] = json!({"phase": "Pending"});
    assert!(is_away(&starting));
    let containers = |status: &str| {
        let mut pod = unheard(old("web"));
        pod["status"]["conditions"][1]["status"] = json!(status);
        pod
    };
    assert!(is_away(&containers("False")));
    assert!(!is_away(&containers("True")));
    assert!(!is_away(&containers("Unknown")));
    let gated = |status: Option<&str>| {
        let mut pod = unheard(old("web"));
        pod["spec"] = json!({"readinessGates": [{"conditionType": "example.com/lb"}]});
        if let Some(status) = status {
            let gate = json!({"type": "example.com/lb", "status": status});
            let conditions = pod["status"]["conditions"].as_array_mut().unwrap();
            conditions.push(gate);
        }
        pod
    };
    assert!(is_away(&gated(None)));
    assert!(is_away(&gated(Some("False"))));
    assert!(!is_away(&gated(Some("True"))));
}

#[test]
fn what_others_broke_counts_as_away() {
    let group = group(&[old("a"), old("b")]);
    let stranger = unready(pod("s", "s-1", NEW, true));
    let now = [old("a"), old("b"), stranger];
    assert_eq!(next(&group, &now, 1), r#"wait for ["s"] and 0, 2 left"#);
    assert_eq!(next(&group, &now, 2), "restart a");
}

#[test]
fn completed_terminating_and_ownerless_pods_are_left_alone() {
    let mut completed = old("completed");
    completed["status"]["phase"] = json!("Succeeded");
    let all = [
        completed,
        terminating(old("going")),
        owned_by(old("bare"), None),
        old("web"),
    ];
    let group = group(&all);
    let names: Vec<&str> = group.pods.iter().map(|member| &*member.name).collect();
    assert_eq!(names, ["web"]);
    assert_eq!(group.orphans, ["bare"]);
    assert_eq!(group.expected, 1);
    assert_eq!(next(&group, &all, 1), "restart web");
}

#[test]
fn who_lists_late_counts_what_another_has_taken_away() {
    let gone = terminating(owned_by(old("web-0"), Some("StatefulSet")));
    let all = [gone, owned_by(old("web-1"), Some("StatefulSet"))];
    let group = group(&all);
    assert_eq!(group.expected, 2);
    assert_eq!(next(&group, &all, 1), "wait for [] and 1, 1 left");
}

#[test]
fn pods_younger_than_the_change_are_not_restarted() {
    let at = |time: &str| pod(time, time, time, true);
    let all = [
        at("2024-01-01T00:00:09Z"),
        at("2024-01-01T00:00:10Z"),
        at("2024-01-01T00:00:11Z"),
    ];
    let until = "2024-01-01T00:00:10Z".parse().unwrap();
    let group = Group::new("default", "app=web", pods(&all), Some(until));
    let names: Vec<&str> = group.pods.iter().map(|member| &*member.name).collect();
    assert_eq!(names, ["2024-01-01T00:00:09Z", "2024-01-01T00:00:10Z"]);
    assert_eq!(group.expected, 3);
}

#[test]
fn a_workload_that_was_scaled_down_is_not_missing_pods() {
    let group = group(&[old("a"), old("b"), old("c")]);
    let now = pods(&[old("a")]);
    assert!(matches!(
        group.next(&now, 3, 1),
        Next::Wait { missing: 2, .. }
    ));
    assert!(matches!(group.next(&now, 1, 1), Next::Restart(_)));
    // And a larger one is not whole when it has as many as before.
    let now = pods(&[old("a"), old("b"), old("c")]);
    assert!(matches!(
        group.next(&now, 4, 1),
        Next::Wait { missing: 1, .. }
    ));
}

#[test]
fn a_plan_survives_its_keeping() {
    let group = group(&[old("a"), owned_by(old("b"), None)]);
    let kept = serde_json::to_value(&group).unwrap();
    assert_eq!(serde_json::from_value::<Group>(kept).unwrap(), group);
}
