//! Reviews, from bytes to bytes.

use serde_json::json;

use super::*;

fn policy(deny: bool) -> Policy {
    Policy {
        platform: Platform {
            image: "attache:test".into(),
            allow_rollout: false,
            allow_pods: false,
        },
        deny,
    }
}

fn pod(annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "web-", "namespace": "shop", "annotations": annotations,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "controller": true}]},
        "spec": {"containers": [{"name": "app", "image": "app", "unknownField": {"kept": [1, null]}}]},
    })
}

fn review(object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "namespace": "shop", "operation": "CREATE", "userInfo": {"username": "admin"},
            "object": object, "oldObject": null, "dryRun": false, "options": null,
        },
    })
}

fn read(review: &Value) -> Request {
    Request::read(review.to_string().as_bytes()).unwrap()
}

/// The response, and the label.
fn answered(review: &Value, annotations: &[(&str, &str)], deny: bool) -> (Value, Label) {
    let annotations = annotations
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let answer = read(review).answer(annotations.collect(), true, &policy(deny), None);
    let answered: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answered["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answered["kind"], "AdmissionReview");
    let response = answered["response"].clone();
    assert_eq!(response["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
    (response, answer.label)
}

fn patched(object: &Value, response: &Value) -> Value {
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = BASE64.decode(response["patch"].as_str().unwrap()).unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut patched = object.clone();
    json_patch::patch(&mut patched, &patch).unwrap();
    patched
}

fn label(outcome: &'static str, reason: &'static str) -> Label {
    Label { outcome, reason }
}

#[test]
fn a_pod_that_asks_is_patched_into_what_inject_makes_of_it_and_stays_so() {
    let object = pod(&json!({"attache.dev/configmaps": "web"}));
    let (response, said) = answered(&review(&object), &[], true);
    assert_eq!(said, label("injected", ""));
    assert_eq!(response["allowed"], true);
    assert!(response.get("status").is_none());
    let injected = patched(&object, &response);
    assert_eq!(injected["spec"]["initContainers"][0]["name"], "attache");
    let kept = &injected["spec"]["containers"][0]["unknownField"];
    assert_eq!(*kept, json!({"kept": [1, null]}));
    // The API server asks again when another webhook has changed the pod.
    let mut changed = injected;
    let env = &mut changed["spec"]["initContainers"][0]["env"];
    let other = json!({"name": "OTHER", "value": "webhook"});
    env.as_array_mut().unwrap().push(other);
    let (response, said) = answered(&review(&changed), &[], true);
    assert_eq!(said, label("unchanged", ""));
    assert_eq!(response["allowed"], true);
    assert!(response.get("patch").is_none() && response.get("patchType").is_none());
}

#[test]
fn the_namespaces_annotations_hold_where_the_pod_has_none() {
    let namespace = [("configmaps", "from-namespace")];
    for (own, expected) in [
        (json!({}), "--configmap=from-namespace"),
        (json!({"attache.dev/configmaps": "own"}), "--configmap=own"),
    ] {
        let object = pod(&own);
        let (response, _) = answered(&review(&object), &namespace, true);
        let injected = patched(&object, &response);
        let args = &injected["spec"]["initContainers"][0]["args"];
        assert!(
            args.as_array().unwrap().contains(&json!(expected)),
            "{args}"
        );
    }
}

#[test]
fn a_bad_annotation_is_denied_by_name_or_skipped_by_policy() {
    let object = pod(&json!({"attache.dev/configmapz": "web"}));
    let (response, said) = answered(&review(&object), &[], true);
    assert_eq!(said, label("denied", "bad-annotation"));
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["code"], 400);
    assert_eq!(response["status"]["reason"], "BadRequest");
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.contains("attache.dev/configmapz"), "{message}");
    assert!(response.get("patch").is_none());
    let (response, said) = answered(&review(&object), &[], false);
    assert_eq!(said, label("skipped", "bad-annotation"));
    assert_eq!(response["allowed"], true);
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(warning.contains("attache.dev/configmapz"), "{warning}");
}

#[test]
fn whoever_is_skipped_hears_why_unless_there_is_nothing_to_hear() {
    let mut object = pod(&json!({"attache.dev/configmaps": "web"}));
    object["spec"]["hostNetwork"] = json!(true);
    let (response, said) = answered(&review(&object), &[], true);
    assert_eq!(said, label("skipped", "host-network"));
    assert_eq!(response["allowed"], true);
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("attache: "), "{warning}");
    let mut quiet = review(&pod(&json!({})));
    let (response, said) = answered(&quiet, &[], true);
    assert_eq!(said, label("skipped", "nothing-asked"));
    assert!(response.get("warnings").is_none());
    quiet["request"]["dryRun"] = json!(true);
    let (response, _) = answered(&quiet, &[], true);
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(warning.contains("nothing is asked for"), "{warning}");
}

#[test]
fn what_is_no_creation_of_a_pod_is_allowed_as_it_is() {
    let object = pod(&json!({"attache.dev/configmaps": "web"}));
    for (pointer, value, reason) in [
        ("/request/operation", json!("UPDATE"), "no-creation"),
        ("/request/resource/resource", json!("deployments"), "no-pod"),
        ("/request/subResource", json!("eviction"), "no-pod"),
        ("/request/object", json!(null), "no-object"),
        ("/request/object", json!("pod"), "no-object"),
    ] {
        let mut review = review(&object);
        review["request"]["subResource"] = json!("");
        *review.pointer_mut(pointer).unwrap() = value;
        assert_eq!(read(&review).namespace(), None);
        let (response, said) = answered(&review, &[], true);
        assert_eq!(said, label("skipped", reason), "{pointer}");
        assert_eq!(response["allowed"], true);
        assert!(response.get("patch").is_none());
        assert_eq!(response["warnings"].as_array().unwrap().len(), 1);
    }
    assert_eq!(read(&review(&object)).namespace(), Some("shop"));
}

#[test]
fn what_is_no_review_is_refused_without_a_piece_of_it() {
    let mut old = review(&json!({}));
    old["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let mut empty = review(&json!({}));
    empty["request"] = json!(null);
    let mut nameless = review(&json!({}));
    nameless["request"]["uid"] = json!("");
    let shape = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": {"password": "hunter2"}}});
    for (body, expected) in [
        ("hunter2".to_owned(), "line 1, column 1"),
        (shape.to_string(), "line 1"),
        ("{}".to_owned(), "admissionReviewVersions: [v1]"),
        (old.to_string(), "v1beta1"),
        (empty.to_string(), "no request"),
        (nameless.to_string(), "no request"),
    ] {
        let error = Request::read(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_jobs_pod_is_known_by_its_controller() {
    for (owner, is_job) in [
        (
            json!({"apiVersion": "batch/v1", "kind": "Job", "controller": true}),
            true,
        ),
        (json!({"apiVersion": "batch/v1", "kind": "Job"}), false),
        (
            json!({"apiVersion": "example.com/v1", "kind": "Job", "controller": true}),
            false,
        ),
    ] {
        let mut object = pod(&json!({}));
        object["metadata"]["ownerReferences"] = json!([owner]);
        assert_eq!(read(&review(&object)).is_job(), is_job, "{owner}");
    }
}

#[test]
fn a_pod_without_an_account_can_have_no_token() {
    let asks = json!({"attache.dev/configmaps": "web"});
    for (account, has_token) in [
        (json!(null), false),
        (json!(""), false),
        (json!("web"), true),
    ] {
        let mut object = pod(&asks);
        object["spec"]["serviceAccountName"] = account;
        let (response, _) = answered(&review(&object), &[], true);
        let volumes = patched(&object, &response)["spec"]["volumes"].to_string();
        assert_eq!(
            volumes.contains("serviceAccountToken"),
            has_token,
            "{volumes}"
        );
    }
}

#[test]
fn a_pod_is_named_by_what_its_name_will_begin_with() {
    let mut object = pod(&json!({}));
    assert_eq!(read(&review(&object)).object(), "shop/web-");
    object["metadata"]["name"] = json!("web-0");
    assert_eq!(read(&review(&object)).object(), "shop/web-0");
}

#[test]
fn warnings_are_lines_that_the_api_server_passes_on() {
    let long = warning(format!("two\nlines{}", "ü".repeat(400)));
    assert!(long.starts_with("attache: two lines"), "{long}");
    assert_eq!(long.chars().count(), LONGEST_WARNING);
}
