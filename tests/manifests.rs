//! The manifests and the example are what the API server would accept, as far as its types say.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may fail loudly, as tests may"
)]

use std::collections::BTreeSet;
use std::path::Path;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PodSpec, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn documents(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    assert!(!documents.is_empty(), "{path}");
    documents
}

/// Decodes strictly: a field that the type does not have would be gone on the way back.
fn strict<T: DeserializeOwned + Serialize>(value: &Value) -> T {
    let typed: T = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(&serde_json::to_value(&typed).unwrap(), value);
    typed
}

fn of_kind<T: DeserializeOwned + Serialize>(documents: &[Value], kind: &str) -> T {
    let found: Vec<&Value> = documents.iter().filter(|d| d["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "one {kind}");
    strict(found[0])
}

fn pod(documents: &[Value]) -> PodSpec {
    let deployment: Deployment = of_kind(documents, "Deployment");
    deployment.spec.unwrap().template.spec.unwrap()
}

#[test]
fn the_sidecar_manifest_is_well_formed_and_its_names_agree() {
    let documents = documents("manifests/examples/signal.yaml");
    assert_eq!(documents.len(), 5);
    let config: ConfigMap = of_kind(&documents, "ConfigMap");
    let account: ServiceAccount = of_kind(&documents, "ServiceAccount");
    let role: Role = of_kind(&documents, "Role");
    let binding: RoleBinding = of_kind(&documents, "RoleBinding");
    let pod = pod(&documents);

    let rule = &role.rules.unwrap()[0];
    assert_eq!(
        rule.resource_names.as_deref(),
        config.metadata.name.clone().map(|n| vec![n]).as_deref()
    );
    assert_eq!(rule.verbs, ["get", "list", "watch"]);
    assert_eq!(Some(binding.role_ref.name), role.metadata.name);
    assert_eq!(
        Some(&binding.subjects.unwrap()[0].name),
        account.metadata.name.as_ref()
    );
    assert_eq!(pod.service_account_name, account.metadata.name);
}

#[test]
fn the_sidecar_is_native_hardened_and_may_signal_the_app() {
    let pod = pod(&documents("manifests/examples/signal.yaml"));
    let sidecar = &pod.init_containers.unwrap()[0];
    assert_eq!(sidecar.restart_policy.as_deref(), Some("Always"));
    let probe = sidecar.startup_probe.as_ref().unwrap();
    assert_eq!(probe.period_seconds, Some(1));
    let command = probe.exec.as_ref().unwrap().command.as_ref().unwrap();
    assert_eq!(command, &["/attache", "healthcheck", "--ready"]);
    for container in pod.containers.iter().chain([sidecar]) {
        let security = container.security_context.as_ref().unwrap();
        assert_eq!(security.read_only_root_filesystem, Some(true));
        assert_eq!(security.allow_privilege_escalation, Some(false));
        let capabilities = security.capabilities.as_ref().unwrap();
        assert_eq!(capabilities.drop.as_deref(), Some(&["ALL".to_owned()][..]));
        assert_eq!(security.run_as_user, None, "one user for all: the pod's");
    }
    let security = pod.security_context.unwrap();
    assert_eq!(security.run_as_non_root, Some(true));
    assert!(security.run_as_user.is_some_and(|user| user != 0));
    assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault");
    assert_eq!(pod.share_process_namespace, Some(true));
    assert_eq!(pod.host_pid, None);

    // afterMount: both containers see the volume at the path that the rule names.
    let rule = sidecar.args.as_ref().unwrap().last().unwrap();
    let paths: BTreeSet<&str> = pod
        .containers
        .iter()
        .chain([sidecar])
        .flat_map(|container| container.volume_mounts.iter().flatten())
        .filter(|mount| mount.name == "config")
        .map(|mount| mount.mount_path.as_str())
        .collect();
    assert_eq!(paths.len(), 1);
    assert!(
        paths
            .iter()
            .all(|path| rule.contains(&format!("afterMount: {path}")))
    );
}

#[test]
fn the_example_is_a_config_map_in_the_namespace_that_the_readme_reads() {
    let documents = documents("examples/hello/hello.yaml");
    let hello: ConfigMap = of_kind(&documents, "ConfigMap");
    assert_eq!(hello.metadata.namespace.as_deref(), Some("default"));
    assert_eq!(hello.metadata.name.as_deref(), Some("hello"));
    assert!(hello.data.unwrap().contains_key("GREETING"));
}

#[test]
fn the_controllers_rights_are_few_and_its_sidecar_is_the_proxy() {
    let documents = documents("examples/kubectl-proxy/controller.yaml");
    let account: ServiceAccount = of_kind(&documents, "ServiceAccount");
    let role: Role = of_kind(&documents, "Role");
    let binding: RoleBinding = of_kind(&documents, "RoleBinding");
    let pod = pod(&documents);

    let rights: Vec<_> = role
        .rules
        .unwrap()
        .into_iter()
        .map(|r| (r.resources.unwrap(), r.verbs))
        .collect();
    let right = |resource: &str, verbs: &[&str]| {
        let verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
        (vec![resource.to_owned()], verbs)
    };
    assert_eq!(
        rights,
        [
            right("configmaps", &["get", "list", "watch"]),
            right("pods", &["get", "list", "watch", "delete"]),
        ]
    );
    assert_eq!(Some(binding.role_ref.name), role.metadata.name);
    assert_eq!(
        Some(&binding.subjects.unwrap()[0].name),
        account.metadata.name.as_ref()
    );
    assert_eq!(pod.service_account_name, account.metadata.name);

    let sidecar = &pod.init_containers.unwrap()[0];
    assert_eq!(sidecar.restart_policy.as_deref(), Some("Always"));
    let args = sidecar.args.as_ref().unwrap();
    assert_eq!(
        args,
        &["proxy", "--port=8001", "--admin-address=0.0.0.0:8002"]
    );
    for container in pod.containers.iter().chain([sidecar]) {
        let security = container.security_context.as_ref().unwrap();
        assert_eq!(security.read_only_root_filesystem, Some(true));
        assert_eq!(security.allow_privilege_escalation, Some(false));
    }
}

#[test]
fn the_controllers_config_map_names_the_pods_beside_it() {
    let documents = documents("examples/kubectl-proxy/frontend.yaml");
    let config: ConfigMap = of_kind(&documents, "ConfigMap");
    let deployment: Deployment = of_kind(&documents, "Deployment");
    let labels = deployment
        .spec
        .unwrap()
        .template
        .metadata
        .unwrap()
        .labels
        .unwrap();
    let selector = &config.metadata.annotations.unwrap()["magalix.com/podDeleteMatch"];
    let (key, value) = selector.split_once('=').unwrap();
    assert_eq!(labels[key], value);
}

/// The manifests of the examples that `attache` itself or an app under it runs in.
const EXAMPLES: [(&str, &str); 4] = [
    ("examples/env-from/web.yaml", "web-configmap"),
    ("examples/two-tier/app-exec.yaml", "app"),
    ("examples/two-tier/app-kv.yaml", "app"),
    ("examples/restart-pods/restart-pods.yaml", ""),
];

#[test]
fn every_container_of_the_examples_is_hardened() {
    let others = [
        "two-tier/storage.yaml",
        "two-tier/config.yaml",
        "key-value/key-value.yaml",
    ]
    .map(|file| format!("examples/{file}"));
    let paths = EXAMPLES.iter().map(|(path, _)| (*path).to_owned());
    let mut containers = 0;
    for path in paths.chain(others) {
        for document in documents(&path) {
            if document["kind"] != "Deployment" {
                continue;
            }
            let deployment: Deployment = strict(&document);
            let pod = deployment.spec.unwrap().template.spec.unwrap();
            let security = pod.security_context.unwrap();
            assert_eq!(security.run_as_non_root, Some(true), "{path}");
            assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault");
            for container in pod.init_containers.iter().flatten().chain(&pod.containers) {
                let security = container.security_context.as_ref().unwrap();
                assert_eq!(security.read_only_root_filesystem, Some(true), "{path}");
                assert_eq!(security.allow_privilege_escalation, Some(false), "{path}");
                let capabilities = security.capabilities.as_ref().unwrap();
                assert_eq!(capabilities.drop.as_deref(), Some(&["ALL".to_owned()][..]));
                containers += 1;
            }
        }
    }
    assert_eq!(containers, 11);
}

#[test]
fn the_key_value_store_may_write_config_maps_and_neither_delete_them_nor_see_secrets() {
    let documents = documents("examples/key-value/key-value.yaml");
    let account: ServiceAccount = of_kind(&documents, "ServiceAccount");
    let role: Role = of_kind(&documents, "Role");
    let binding: RoleBinding = of_kind(&documents, "RoleBinding");
    assert_eq!(Some(binding.role_ref.name), role.metadata.name);
    let subject = &binding.subjects.unwrap()[0].name;
    assert_eq!(Some(subject), account.metadata.name.as_ref());
    assert_eq!(pod(&documents).service_account_name, account.metadata.name);
    let rules = role.rules.unwrap().into_iter();
    let rights: Vec<_> = rules
        .map(|rule| (rule.resources.unwrap().join(","), rule.verbs.join(",")))
        .collect();
    let right = |resource: &str, verbs: &str| (resource.to_owned(), verbs.to_owned());
    let expected = [
        right("configmaps", "get,list,watch,create,patch"),
        right("services", "list,watch"),
        right("endpointslices", "list,watch"),
    ];
    assert_eq!(rights, expected);
}

#[test]
fn the_examples_may_read_what_they_name_and_delete_pods_only_to_restart_them() {
    for (path, config_map) in EXAMPLES {
        let documents = documents(path);
        let account: ServiceAccount = of_kind(&documents, "ServiceAccount");
        let role: Role = of_kind(&documents, "Role");
        let binding: RoleBinding = of_kind(&documents, "RoleBinding");
        assert_eq!(Some(binding.role_ref.name), role.metadata.name);
        let subject = &binding.subjects.unwrap()[0].name;
        assert_eq!(Some(subject), account.metadata.name.as_ref());
        assert_eq!(pod(&documents).service_account_name, account.metadata.name);

        let rules = role.rules.unwrap();
        assert_eq!(
            rules[0].resources.as_deref(),
            Some(&["configmaps".to_owned()][..])
        );
        assert_eq!(rules[0].verbs, ["get", "list", "watch"]);
        if config_map.is_empty() {
            assert_eq!(rules.len(), 2, "{path}");
            assert_eq!(
                rules[1].resources.as_deref(),
                Some(&["pods".to_owned()][..])
            );
            assert_eq!(rules[1].verbs, ["get", "list", "watch", "delete"]);
        } else {
            assert_eq!(rules.len(), 1, "{path}");
            let names = rules[0].resource_names.as_deref();
            assert_eq!(names, Some(&[config_map.to_owned()][..]), "{path}");
        }
    }
}

#[test]
fn the_examples_config_maps_are_the_ones_that_are_read() {
    for (path, name, keys) in [
        (
            "examples/env-from/web-configmap.yaml",
            "web-configmap",
            &["MY_NON_SECRET", "MY_OTHER_NON_SECRET"][..],
        ),
        ("examples/two-tier/config.yaml", "app", &["STO_API"][..]),
    ] {
        let config: ConfigMap = of_kind(&documents(path), "ConfigMap");
        assert_eq!(config.metadata.name.as_deref(), Some(name));
        assert!(config.data.unwrap().keys().eq(keys), "{path}");
    }
}
