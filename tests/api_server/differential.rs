//! `attache proxy` against real `kubectl proxy`: one battery of requests through both, to the same
//! API server, and what comes back compared. See `differential/differences.rs` for what differs.

#[path = "differential/battery.rs"]
mod battery;
#[path = "differential/case.rs"]
mod case;
#[path = "differential/differences.rs"]
mod differences;
#[path = "differential/filters.rs"]
mod filters;
#[path = "differential/groups.rs"]
mod groups;
#[path = "differential/hops.rs"]
mod hops;
#[path = "differential/streams.rs"]
mod streams;
#[path = "differential/targets.rs"]
mod targets;
#[path = "differential/upstream.rs"]
mod upstream;
#[path = "differential/wire.rs"]
mod wire;

use std::path::Path;

use groups::{Comparison, Group, Subject};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, PostParams};
use serde_json::json;
use upstream::Upstream;

use crate::support::control_plane::ControlPlane;
use crate::support::proxy::kubectls;

/// A namespace for each side, with names of equal length.
async fn namespaces(plane: &ControlPlane, name: &str) -> [String; 2] {
    let api: Api<Namespace> = Api::all(plane.admin().await);
    let names = ["a", "b"].map(|side| format!("diff-{name}-{side}"));
    for name in &names {
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}}));
        api.create(&PostParams::default(), &namespace.unwrap())
            .await
            .expect("a namespace");
    }
    names
}

/// The token of a new service account with no rights.
async fn weak_token(plane: &ControlPlane, namespace: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.admin().await, namespace);
    let account = serde_json::from_value(json!({"metadata": {"name": "weak"}}));
    accounts
        .create(&PostParams::default(), &account.unwrap())
        .await
        .expect("a service account");
    let request: TokenRequest = serde_json::from_value(json!({"spec": {"audiences": []}})).unwrap();
    let answer = accounts
        .create_token_request("weak", &PostParams::default(), &request)
        .await;
    answer.expect("a token").status.expect("a token").token
}

/// A directory of files, and one above it that nobody may read through the proxy.
fn www() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let root = dir.path().join("www");
    for below in ["", "sub", "site"] {
        std::fs::create_dir_all(root.join(below)).expect("a directory");
    }
    for (name, content) in [
        ("../secret", "secret"),
        ("index.html", "<p>index"),
        ("site/index.html", "<p>site"),
        ("sub/b.txt", "below"),
        ("a.txt", "a text"),
        ("page.html", "<p>page"),
        ("a.js", "let a"),
        ("a.css", "a {}"),
        ("a.json", "{}"),
        ("a.svg", "<svg/>"),
        ("a.wasm", "\0asm"),
        ("a.unknown", "\u{1}\u{2}\0"),
        ("README", "a text"),
        ("empty", ""),
        ("with space.txt", "space"),
        (".hidden", "hidden"),
    ] {
        std::fs::write(root.join(name), content).expect("a file");
    }
    std::os::unix::fs::symlink("a.txt", root.join("link.txt")).expect("a link");
    std::os::unix::fs::symlink("../secret", root.join("out.txt")).expect("a link");
    dir
}

async fn against_the_api_server(kubectl: &Path, subject: Subject, name: &str) -> Comparison {
    let plane = ControlPlane::shared().await;
    let namespaces = namespaces(plane, name).await;
    let mut tokens = Vec::new();
    for namespace in &namespaces {
        tokens.push(weak_token(plane, namespace).await);
    }
    let pod = plane.pod_kubeconfig();
    for namespace in &namespaces {
        let verbs = ["get"];
        plane
            .allow("pod", namespace, "configmaps", &verbs, &[])
            .await;
    }
    let admin = plane.admin_kubeconfig();
    let mut comparison = Comparison::new(kubectl, subject, namespaces);
    comparison.run(&admin, &battery::defaults(), ["", ""]).await;
    for group in filters::flags() {
        comparison.run(&admin, &group, ["", ""]).await;
    }
    let group = Group::new("watches", &[], Vec::new());
    if let Some(pair) = comparison.pair(&admin, &group).await {
        streams::watches(&mut comparison, plane, &pair).await;
    }
    let www = www();
    let root = www.path().join("www");
    let files = filters::files(root.to_str().expect("UTF-8"));
    comparison.run(&admin, &files, ["", ""]).await;
    let tokens_group = Group::new("tokens", &[], filters::tokens());
    comparison
        .run(&pod, &tokens_group, [&tokens[0], &tokens[1]])
        .await;
    comparison
}

async fn against_an_upstream(kubectl: &Path, subject: Subject) -> Comparison {
    let upstream = Upstream::start().await;
    let names = ["ns-a", "ns-b"].map(str::to_owned);
    let mut comparison = Comparison::new(kubectl, subject, names);
    let token = "token: proxys-own";
    let plain = upstream.kubeconfig("", token);
    for group in hops::all() {
        comparison.run(&plain, &group, ["", ""]).await;
    }
    streams::tunnels(&mut comparison, &plain).await;
    let below = upstream.kubeconfig("/k8s/clusters/c-1", token);
    for group in [hops::server_path(), hops::appended_server_path()] {
        comparison.run(&below, &group, ["", ""]).await;
    }
    let user = upstream.kubeconfig("", "token: proxys-own, as: jane, as-groups: [a, b]");
    comparison
        .run(&user, &hops::impersonating(), ["", ""])
        .await;
    let user = upstream.kubeconfig("", "username: jane, password: secret");
    comparison.run(&user, &hops::basic(), ["", ""]).await;
    comparison
        .run(&upstream.nobody(), &hops::down(), ["", ""])
        .await;
    comparison
}

/// Both batteries with each kubectl; the test fails with all that is not as expected.
async fn compared(subject: Subject, name: &str) {
    let mut report = String::new();
    let forgetful = ControlPlane::start_with(&["--watch-cache=false"]).await;
    for (index, kubectl) in kubectls().iter().enumerate() {
        let name = format!("{name}-{index}");
        let mut comparison = against_the_api_server(kubectl, subject, &name).await;
        streams::expired(&mut comparison, &forgetful).await;
        comparison.join(against_an_upstream(kubectl, subject).await);
        report.push_str(&comparison.end(400));
    }
    assert!(report.is_empty(), "{report}");
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn attache_proxy_does_as_kubectl_proxy() {
    compared(Subject::Attache, "attache").await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn two_of_the_same_kubectl_proxy_do_not_differ() {
    compared(Subject::Kubectl, "kubectl").await;
}

#[test]
fn the_documentation_has_every_difference() {
    let doc = include_str!("../../docs/kubectl-proxy.md");
    let table = differences::DIFFERENCES
        .iter()
        .map(|difference| difference.why);
    let rules = differences::RULES.iter().map(|rule| rule.why);
    let words = differences::WORDS.iter().map(|words| words.why);
    for why in table.chain(rules).chain(words) {
        assert!(doc.contains(&format!("\n| {why} |")), "no row for {why:?}");
    }
}
