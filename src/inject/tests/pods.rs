//! What becomes of pods on their way through an API server, and pods as nobody writes them by hand.

use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::super::Surroundings;
use super::map;

/// As the API server keeps it: with defaults, without nulls and empty lists; and as other webhooks
/// leave it, which put variables and mounts into every container.
pub(super) fn noisy(pod: &Value) -> Value {
    let mut pod = pod.clone();
    prune(&mut pod);
    for kind in ["containers", "initContainers"] {
        let containers = pod["spec"].get_mut(kind).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            default_container(container);
        }
    }
    let spec = pod["spec"].as_object_mut().unwrap();
    for (key, value) in [
        ("restartPolicy", json!("Always")),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("serviceAccountName", json!("default")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("enableServiceLinks", json!(true)),
        ("priority", json!(0)),
        ("securityContext", json!({})),
        (
            "tolerations",
            json!([{ "key": "node.kubernetes.io/not-ready", "operator": "Exists" }]),
        ),
    ] {
        spec.entry(key).or_insert(value);
    }
    let volumes = spec.entry("volumes").or_insert(json!([]));
    for volume in volumes.as_array_mut().unwrap() {
        for kind in ["projected", "configMap", "secret"] {
            if volume[kind].is_object() {
                volume[kind]["defaultMode"] = json!(420);
            }
        }
    }
    let volumes = volumes.as_array_mut().unwrap();
    volumes.insert(0, json!({ "name": "another-webhooks", "emptyDir": {} }));
    let metadata = pod["metadata"].as_object_mut().unwrap();
    metadata.insert("creationTimestamp".to_owned(), Value::Null);
    metadata["annotations"]["example.com/mutated"] = json!("true");
    pod
}

fn default_container(container: &mut Value) {
    let fields = container.as_object_mut().unwrap();
    for (key, value) in [
        ("imagePullPolicy", json!("IfNotPresent")),
        ("terminationMessagePath", json!("/dev/termination-log")),
        ("terminationMessagePolicy", json!("File")),
        ("resources", json!({})),
        ("webhookAdded", json!({ "of": "another" })),
    ] {
        fields.entry(key).or_insert(value);
    }
    if let Some(probe) = fields.get_mut("startupProbe") {
        probe["successThreshold"] = json!(1);
    }
    for (list, place, item) in [
        ("env", 0, json!({ "name": "TRACING", "value": "on" })),
        (
            "volumeMounts",
            0,
            json!({ "name": "another-webhooks", "mountPath": "/etc/istio" }),
        ),
    ] {
        let list = fields.entry(list).or_insert(json!([]));
        list.as_array_mut().unwrap().insert(place, item);
    }
}

/// Without nulls and empty lists.
fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null() && *value != json!([]));
            fields.values_mut().for_each(prune);
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

/// Any pod, and what is around it.
pub(super) fn any() -> impl Strategy<Value = (Value, Surroundings)> {
    (spec(), metadata(), surroundings(), of(unknown())).prop_map(
        |(spec, metadata, around, other)| {
            let mut pod = json!({ "spec": spec });
            pod.as_object_mut()
                .unwrap()
                .extend(metadata.map(|value| ("metadata".to_owned(), value)));
            pod.as_object_mut()
                .unwrap()
                .extend(other.map(|value| ("status".to_owned(), value)));
            (pod, around)
        },
    )
}

fn surroundings() -> impl Strategy<Value = Surroundings> {
    (
        prop::bool::weighted(0.7),
        prop::bool::weighted(0.2),
        proptest::bool::ANY,
        asked(),
        asked(),
    )
        .prop_map(
            |(native, is_job, admitted, annotations, write)| Surroundings {
                annotations,
                is_job,
                native,
                write,
                admitted,
            },
        )
}

fn asked() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> {
    select(vec![
        map(&[]),
        map(&[]),
        map(&[]),
        map(&[]),
        map(&[]),
        map(&[]),
        map(&[("configmaps", "web")]),
        map(&[("configmaps", "web")]),
        map(&[
            ("configmaps", "web, flags"),
            ("secrets", "db"),
            ("port", "9001"),
        ]),
        map(&[("files", "web=/etc/app/config")]),
        map(&[(
            "files",
            "[{configMap: web, dir: /srv/a}, {secret: db, dir: /srv/b, defaultMode: 0400}]",
        )]),
        map(&[("configmaps", "web"), ("on-change", "{signal: nginx}")]),
        map(&[
            ("configmaps", "web"),
            (
                "on-change",
                "{when: {configMap: web}, webhook: 'http://127.0.0.1:9/reload'}",
            ),
        ]),
        map(&[("configmaps", "web"), ("isolate-token", "true")]),
        map(&[("configmaps", "web"), ("exec-container", "app")]),
        map(&[
            ("secrets", "db"),
            ("files", "web=/srv/a"),
            ("exec-container", "app"),
        ]),
        map(&[
            ("config", "attache-config"),
            ("resources", "{limits: {memory: 64Mi}}"),
        ]),
        map(&[("proxy", "true"), ("target-container", "app")]),
        map(&[("configmaps", "web"), ("on-change", "{restart: rollout}")]),
        map(&[("nonsense", "1")]),
    ])
}

fn metadata() -> impl Strategy<Value = Option<Value>> {
    let annotations = prop_oneof![
        2 => Just(None),
        1 => Just(Some(Value::Null)),
        1 => Just(Some(json!({}))),
        2 => Just(Some(json!({ "example.com/a~b/c": "kept" }))),
        6 => asked().prop_map(|asked| {
            let asked = asked.into_iter();
            Some(Value::Object(Map::from_iter(asked.map(|(name, text)| {
                (format!("attache.dev/{name}"), Value::String(text))
            }))))
        }),
    ];
    let labels = select(vec![
        None,
        None,
        None,
        Some(json!({})),
        Some(json!({ "app": "web" })),
        Some(json!({ "attache.dev/inject": "enabled" })),
        Some(json!({ "attache.dev/inject": "disabled" })),
    ]);
    let present = (annotations, labels, of(unknown())).prop_map(|(annotations, labels, other)| {
        Some(object([
            ("annotations", annotations),
            ("labels", labels),
            ("future", other),
        ]))
    });
    prop_oneof![1 => Just(None), 1 => Just(Some(Value::Null)), 8 => present]
}

fn spec() -> impl Strategy<Value = Value> {
    let containers = (
        container("app"),
        of(container("helper")),
        of(container("istio-proxy")),
    )
        .prop_map(|(app, helper, proxy)| {
            json!(
                [Some(app), helper, proxy]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
            )
        });
    let init = list_of(container("migrate"));
    let switches = (
        rarely("hostNetwork"),
        rarely("hostPID"),
        of(proptest::bool::ANY),
        tokens(),
    );
    let share = select(vec![
        None,
        None,
        None,
        Some(Value::Null),
        Some(json!(true)),
        Some(json!(false)),
    ]);
    let policy = select(vec![
        None,
        None,
        Some(json!("Always")),
        Some(json!("OnFailure")),
    ]);
    let context = select(vec![
        None,
        Some(json!({})),
        Some(json!({ "runAsUser": 1000, "fsGroup": 2000 })),
        Some(json!({ "runAsUser": 0, "seccompProfile": { "type": "Unconfined" } })),
    ]);
    let grace = of(select(vec![json!(0), json!(1), json!(5), json!(600)]));
    (
        containers,
        init,
        switches,
        share,
        (policy, context, grace),
        of(unknown()),
    )
        .prop_map(
            |(containers, init, switches, share, (policy, context, grace), future)| {
                let (network, pid, automount, (volumes, mounted)) = switches;
                let mut spec = object([
                    ("containers", Some(containers)),
                    ("initContainers", init),
                    ("hostNetwork", network),
                    ("hostPID", pid),
                    ("automountServiceAccountToken", automount.map(Value::Bool)),
                    ("volumes", volumes),
                    ("shareProcessNamespace", share),
                    ("restartPolicy", policy),
                    ("securityContext", context),
                    ("terminationGracePeriodSeconds", grace),
                    (
                        "schedulingGates",
                        Some(json!([{ "name": "example.com/wait" }])),
                    ),
                    ("fieldOfTheFuture", future),
                ]);
                if mounted {
                    mount_tokens(&mut spec);
                }
                spec
            },
        )
}

fn rarely(_field: &str) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![12 => Just(None), 1 => Just(Some(json!(true))), 2 => Just(Some(json!(false)))]
}

/// Volumes, and whether ServiceAccount admission has been there.
fn tokens() -> impl Strategy<Value = (Option<Value>, bool)> {
    let config = json!({ "name": "config", "configMap": { "name": "web" } });
    let access = json!({ "name": "kube-api-access-x7k2p", "projected": { "sources": [
        { "serviceAccountToken": { "path": "token", "expirationSeconds": 3607 } },
    ] } });
    let data = json!({ "name": "data", "emptyDir": {} });
    select(vec![
        (None, false),
        (Some(Value::Null), false),
        (Some(json!([])), false),
        (Some(json!([config, data])), false),
        (Some(json!([access])), true),
        (Some(json!([config, access, data])), true),
    ])
}

fn mount_tokens(spec: &mut Value) {
    for kind in ["containers", "initContainers"] {
        let containers = spec.get_mut(kind).and_then(Value::as_array_mut);
        for (index, container) in containers.into_iter().flatten().enumerate() {
            let mount = json!({
                "name": "kube-api-access-x7k2p",
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                "readOnly": true,
            });
            if !container["volumeMounts"].is_array() {
                container["volumeMounts"] = json!([]);
            }
            let mounts = container["volumeMounts"].as_array_mut().unwrap();
            mounts.insert(index.min(mounts.len()), mount);
        }
    }
}

fn container(name: &'static str) -> impl Strategy<Value = Value> {
    let env = list_of(select(vec![
        json!({ "name": "MODE", "value": "x" }),
        json!({ "name": "ATTACHE_ENDPOINT", "value": "http://elsewhere" }),
        json!({ "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }),
    ]));
    let mounts = list_of(select(vec![
        json!({ "name": "config", "mountPath": "/etc/web" }),
        json!({ "name": "config", "mountPath": "/etc/one", "subPath": "one" }),
        json!({ "name": "data", "mountPath": "/srv/a" }),
    ]));
    let command = select(vec![
        None,
        Some(json!(["node", "server.js"])),
        Some(json!(["/bin/app"])),
    ]);
    let resources = select(vec![
        None,
        Some(json!({})),
        Some(json!({ "limits": { "cpu": "1", "memory": "1Gi" } })),
        Some(
            json!({ "limits": { "cpu": 1, "memory": "1Gi" }, "requests": { "cpu": "1000m", "memory": "1024Mi" } }),
        ),
        Some(json!({ "requests": { "cpu": "100m" } })),
    ]);
    let context = select(vec![
        None,
        Some(json!({ "runAsUser": 1000 })),
        Some(json!({ "runAsUser": 101, "privileged": true, "procMount": "Unmasked" })),
    ]);
    (env, mounts, command, resources, context, of(unknown())).prop_map(
        move |(env, mounts, command, resources, context, future)| {
            object([
                ("name", Some(json!(name))),
                ("image", Some(json!("example/app@sha256:0123"))),
                ("env", env),
                ("volumeMounts", mounts),
                ("command", command),
                ("args", Some(json!(["--x"]))),
                ("resources", resources),
                ("securityContext", context),
                ("resizePolicy", future),
            ])
        },
    )
}

/// A list that is absent, null, empty, or has one item.
fn list_of(item: impl Strategy<Value = Value>) -> impl Strategy<Value = Option<Value>> {
    (0..6, item).prop_map(|(form, item)| match form {
        0 | 1 => None,
        2 => Some(Value::Null),
        3 => Some(json!([])),
        _ => Some(json!([item])),
    })
}

fn unknown() -> impl Strategy<Value = Value> {
    select(vec![
        json!("text"),
        json!({ "deep": [{ "name": null }, [1, 2.5, true]], "a/b~c": {} }),
        json!([]),
        json!(-1),
        Value::Null,
    ])
}

fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let fields = fields.into_iter();
    Value::Object(Map::from_iter(
        fields.filter_map(|(key, value)| Some((key.to_owned(), value?))),
    ))
}
