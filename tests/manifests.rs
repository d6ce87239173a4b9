//! The manifests and the examples are what the API server would accept, as far as its types say, their names
//! agree, and every command line in them is one of attache's. Schemas and a real server: .ci/manifests.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may fail loudly, as tests may"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

use attache::cli::{self, Parsed};
use attache::config::{self, Action, Certificate, Job, Webhook};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Container, PodSpec, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
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

/// The containers of a pod, in which all is hardened.
#[track_caller]
fn hardened<'a>(pod: &'a PodSpec, path: &str) -> Vec<&'a Container> {
    let security = pod.security_context.as_ref().unwrap();
    assert_eq!(security.run_as_non_root, Some(true), "{path}");
    let seccomp = security.seccomp_profile.as_ref().unwrap();
    assert_eq!(seccomp.type_, "RuntimeDefault");
    let containers = pod.init_containers.iter().flatten().chain(&pod.containers);
    let containers: Vec<_> = containers.collect();
    for container in &containers {
        let security = container.security_context.as_ref().unwrap();
        assert_eq!(security.read_only_root_filesystem, Some(true), "{path}");
        assert_eq!(security.allow_privilege_escalation, Some(false), "{path}");
        let capabilities = security.capabilities.as_ref().unwrap();
        assert_eq!(capabilities.drop.as_deref(), Some(&["ALL".to_owned()][..]));
    }
    containers
}

#[test]
fn every_container_of_the_examples_is_hardened() {
    let others = [
        "two-tier/storage.yaml",
        "two-tier/config.yaml",
        "key-value/key-value.yaml",
        "workshop/api.yaml",
        "workshop/github.yaml",
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
            containers += hardened(&pod, &path).len();
        }
    }
    assert_eq!(containers, 13);
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

/// The manifests in this directory, but for what kustomize reads.
fn manifests_in(directory: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: Vec<_> = std::fs::read_dir(root.join(directory))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml") && name != "kustomization.yaml")
        .map(|name| format!("{directory}/{name}"))
        .collect();
    found.sort();
    found
}

/// The documents of the kustomize base.
fn base() -> Vec<Value> {
    let files = manifests_in("manifests");
    files.iter().flat_map(|file| documents(file)).collect()
}

#[test]
fn the_base_is_every_manifest_beside_it() {
    let kustomization = &documents("manifests/kustomization.yaml")[0];
    let resources = kustomization["resources"].as_array().unwrap();
    let mut listed: Vec<_> = resources
        .iter()
        .map(|file| format!("manifests/{}", file.as_str().unwrap()))
        .collect();
    listed.sort();
    assert_eq!(listed, manifests_in("manifests"));
}

/// What a container's command line and environment make attache do; `None` for another program.
fn job(container: &Container) -> Option<Job> {
    let image = container.image.as_deref().unwrap_or_default();
    let command = container.command.iter().flatten();
    let words: Vec<&String> = command.chain(container.args.iter().flatten()).collect();
    let is_attache = words.first().is_some_and(|word| word.ends_with("/attache"));
    let program = match (is_attache, image.starts_with("attache:")) {
        (true, _) => None,
        (false, true) => Some("/attache".to_owned()),
        (false, false) => return None,
    };
    let args = program.into_iter().chain(words.into_iter().cloned());
    let environment = container.env.iter().flatten().filter_map(|variable| {
        let value = variable.value.as_ref()?;
        Some((OsString::from(&variable.name), OsString::from(value)))
    });
    match cli::parse(args.map(OsString::from), environment) {
        Parsed::Command { command, faults } => Some(config::load(command, faults).unwrap()),
        Parsed::Text(text) => panic!("{text}"),
    }
}

#[test]
fn every_mode_has_a_hardened_example_whose_command_lines_are_valid() {
    let mut modes = BTreeSet::new();
    let files = manifests_in("manifests");
    for path in files.into_iter().chain(manifests_in("manifests/examples")) {
        for document in documents(&path)
            .iter()
            .filter(|d| d["kind"] == "Deployment")
        {
            let deployment: Deployment = strict(document);
            let template = deployment.spec.unwrap().template;
            let pod = template.spec.unwrap();
            for container in hardened(&pod, &path) {
                let resources = container.resources.as_ref().unwrap();
                assert!(resources.requests.is_some() && resources.limits.is_some());
                if let Some(job) = job(container) {
                    modes.insert(mode(&job));
                }
            }
            let asked: BTreeMap<_, _> = template
                .metadata
                .and_then(|metadata| metadata.annotations)
                .into_iter()
                .flatten()
                .filter_map(|(name, text)| {
                    Some((name.strip_prefix(config::PREFIX)?.to_owned(), text))
                })
                .collect();
            if !asked.is_empty() {
                config::asked(&asked).unwrap();
                modes.insert("injected");
            }
        }
    }
    let expected = [
        "exec", "files", "injected", "install", "proxy", "read", "restart", "signal", "webhook",
    ];
    assert!(modes.iter().eq(&expected), "{modes:?}");
}

/// Which of its modes an example shows.
fn mode(job: &Job) -> &'static str {
    match job {
        Job::Run(config) if config.exec.is_some() => "exec",
        Job::Run(config) if !config.serve.own_routes => "proxy",
        Job::Run(config) if !config.files.is_empty() => "files",
        Job::Run(config) => match config.on_change.first().map(|rule| &rule.action) {
            None => "read",
            Some(Action::Signal(_)) => "signal",
            Some(_) => "restart",
        },
        Job::Install(_) => "install",
        Job::Webhook(_) => "webhook",
        other => panic!("{other:?} is no mode"),
    }
}

/// The webhook as its Deployment starts it.
fn webhook(container: &Container) -> Webhook {
    match job(container) {
        Some(Job::Webhook(webhook)) => *webhook,
        other => panic!("{other:?} is no webhook"),
    }
}

#[test]
fn service_budget_policy_and_spread_mean_the_webhooks_pods() {
    let documents = base();
    let deployment: Deployment = of_kind(&documents, "Deployment");
    let service: Service = of_kind(&documents, "Service");
    let budget: PodDisruptionBudget = of_kind(&documents, "PodDisruptionBudget");
    let policy: NetworkPolicy = of_kind(&documents, "NetworkPolicy");
    let spec = deployment.spec.unwrap();
    assert_eq!(spec.replicas, Some(2));
    let rolling = spec.strategy.unwrap().rolling_update.unwrap();
    assert_eq!(rolling.max_unavailable, Some(IntOrString::Int(0)));
    let labels = spec.template.metadata.unwrap().labels.unwrap();
    let pod = spec.template.spec.unwrap();
    let selected = service.spec.as_ref().unwrap().selector.clone();
    assert!(!selected.as_ref().unwrap().is_empty());
    assert!(
        selected
            .iter()
            .flatten()
            .all(|(key, value)| labels.get(key) == Some(value))
    );
    assert_eq!(spec.selector.match_labels, selected);
    assert_eq!(
        budget.spec.unwrap().selector.unwrap().match_labels,
        selected
    );
    let policy = policy.spec.unwrap();
    assert_eq!(policy.pod_selector.unwrap().match_labels, selected);
    for spread in pod.topology_spread_constraints.unwrap() {
        assert_eq!(spread.label_selector.unwrap().match_labels, selected);
    }

    // The Service's port leads to the one that the webhook listens on, and the policy lets both in.
    let container = &pod.containers[0];
    let webhook = webhook(container);
    let port = &service.spec.unwrap().ports.unwrap()[0];
    let ports = container.ports.as_ref().unwrap();
    let target = ports
        .iter()
        .find(|p| Some(IntOrString::String(p.name.clone().unwrap())) == port.target_port);
    assert_eq!(target.unwrap().container_port, i32::from(webhook.port));
    let admin = i32::from(webhook.admin_address.unwrap().port());
    let rules = policy.ingress.unwrap();
    let let_in: Vec<_> = rules
        .iter()
        .flat_map(|rule| rule.ports.iter().flatten())
        .map(|port| port.port.clone())
        .collect();
    assert_eq!(
        let_in,
        [i32::from(webhook.port), admin].map(|port| Some(IntOrString::Int(port)))
    );
    for probe in [&container.readiness_probe, &container.liveness_probe] {
        let get = probe.as_ref().unwrap().http_get.as_ref().unwrap();
        assert_eq!(get.port, IntOrString::String("admin".to_owned()));
    }
    assert!(
        ports
            .iter()
            .any(|port| port.name.as_deref() == Some("admin") && port.container_port == admin)
    );
    assert_eq!(
        container.image.as_deref(),
        Some(webhook.platform.image.as_str())
    );
    assert_eq!(pod.enable_service_links, Some(false));
}

#[test]
fn the_webhooks_rights_are_its_own_secret_its_own_configuration_and_namespaces() {
    let documents = base();
    let deployment: Deployment = of_kind(&documents, "Deployment");
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    let webhook = webhook(&pod.containers[0]);
    let Certificate::Own {
        secret, service, ..
    } = &webhook.certificate
    else {
        panic!("{:?}", webhook.certificate);
    };
    let role: Role = of_kind(&documents, "Role");
    let cluster_role: ClusterRole = of_kind(&documents, "ClusterRole");
    let account: ServiceAccount = of_kind(&documents, "ServiceAccount");
    assert_eq!(pod.service_account_name, account.metadata.name);
    let right = |rule: PolicyRule| {
        let resources = rule.resources.unwrap().join(",");
        (
            resources,
            rule.resource_names.unwrap_or_default().join(","),
            rule.verbs.join(","),
        )
    };
    let rights =
        |rules: Option<Vec<PolicyRule>>| rules.unwrap().into_iter().map(right).collect::<Vec<_>>();
    let text = |texts: [&str; 3]| {
        let [resources, names, verbs] = texts.map(str::to_owned);
        (resources, names, verbs)
    };
    assert_eq!(
        rights(role.rules),
        [
            text(["secrets", secret, "get,patch"]),
            text(["secrets", "", "create"])
        ]
    );
    assert_eq!(
        rights(cluster_role.rules),
        [
            text([
                "mutatingwebhookconfigurations",
                &webhook.configuration,
                "get,patch"
            ]),
            text(["namespaces", "", "get"]),
        ]
    );
    for kind in ["RoleBinding", "ClusterRoleBinding"] {
        let binding = documents.iter().find(|d| d["kind"] == kind).unwrap();
        assert_eq!(
            binding["subjects"][0]["name"].as_str(),
            account.metadata.name.as_deref()
        );
        assert_eq!(
            binding["subjects"][0]["namespace"].as_str(),
            account.metadata.namespace.as_deref()
        );
    }
    let found: Service = of_kind(&documents, "Service");
    assert_eq!(found.metadata.name.as_ref(), Some(service));
}

#[test]
fn the_api_server_asks_about_pods_with_the_label_and_goes_on_without_an_answer() {
    let documents = base();
    let deployment: Deployment = of_kind(&documents, "Deployment");
    let configuration: MutatingWebhookConfiguration =
        of_kind(&documents, "MutatingWebhookConfiguration");
    let service: Service = of_kind(&documents, "Service");
    let webhook = webhook(&deployment.spec.unwrap().template.spec.unwrap().containers[0]);
    assert_eq!(configuration.metadata.name, Some(webhook.configuration));
    let mut asked = Vec::new();
    for entry in configuration.webhooks.unwrap() {
        let client = entry.client_config.service.unwrap();
        assert_eq!(
            (&client.name, &client.namespace),
            (
                service.metadata.name.as_ref().unwrap(),
                service.metadata.namespace.as_ref().unwrap()
            )
        );
        assert_eq!(
            client.port,
            Some(service.spec.as_ref().unwrap().ports.as_ref().unwrap()[0].port)
        );
        assert_eq!(client.path.as_deref(), Some("/mutate"));
        assert_eq!(
            entry.client_config.ca_bundle, None,
            "the webhook's to write"
        );
        assert_eq!(entry.failure_policy.as_deref(), Some("Ignore"));
        assert_eq!(entry.timeout_seconds, Some(2));
        assert_eq!(entry.side_effects, "None");
        assert_eq!(entry.reinvocation_policy.as_deref(), Some("IfNeeded"));
        assert_eq!(entry.admission_review_versions, ["v1"]);
        let rules = entry.rules.unwrap();
        assert_eq!(rules.len(), 1);
        assert_eq!(
            rules[0].operations.as_deref(),
            Some(&["CREATE".to_owned()][..])
        );
        assert_eq!(
            rules[0].resources.as_deref(),
            Some(&["pods".to_owned()][..])
        );
        let says =
            |selector: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector>| {
                let expressions = selector.unwrap().match_expressions.unwrap().into_iter();
                expressions
                    .map(|e| format!("{} {} {}", e.key, e.operator, e.values.unwrap().join(",")))
                    .collect::<Vec<_>>()
            };
        asked.push((says(entry.namespace_selector), says(entry.object_selector)));
    }
    let excluded =
        "kubernetes.io/metadata.name NotIn kube-system,kube-public,kube-node-lease,attache-system"
            .to_owned();
    let label = |says: &str| format!("{} {says}", attache::inject::LABEL);
    assert_eq!(
        asked,
        [
            (
                vec![label("In enabled"), excluded.clone()],
                vec![label("NotIn disabled")]
            ),
            (
                vec![label("NotIn enabled"), excluded],
                vec![label("In enabled")]
            ),
        ]
    );
}
