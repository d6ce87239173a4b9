use super::*;
use crate::config::PREFIX;

fn pod(account: &str, annotations: &[(&str, &str)]) -> Value {
    let mut pod = json!({"metadata": {"annotations": {"attache.dev/injected": "{}"}}, "spec": {"serviceAccountName": account}});
    for (name, value) in annotations {
        pod["metadata"]["annotations"][format!("{PREFIX}{name}")] = json!(value);
    }
    pod
}

fn printed(pods: &[Value]) -> (String, Report) {
    let (mut grants, mut report) = (Grants::default(), Report::default());
    let workload = Target {
        kind: "deployment".to_owned(),
        name: "web".to_owned(),
    };
    for pod in pods {
        grants.add(&workload, pod, "shop").unwrap();
    }
    (grants.print(&mut report), report)
}

#[test]
fn pods_of_one_account_share_a_role_that_names_their_objects() {
    let (text, _) = printed(&[
        pod("web", &[("configmaps", "web"), ("secrets", "db")]),
        pod(
            "web",
            &[("configmaps", "flags web"), ("on-change", "restart: pod")],
        ),
    ]);
    let expected = "\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: web
  namespace: shop
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: attache-web
  namespace: shop
rules:
  # read and watched
  - apiGroups: [\"\"]
    resourceNames: [flags, web]
    resources: [configmaps]
    verbs: [get, list, watch]
  # restart: pod
  - apiGroups: [\"\"]
    resources: [pods]
    verbs: [get]
";
    assert!(text.starts_with(expected), "{text}");
    for kind in ["ServiceAccount", "Role", "RoleBinding"] {
        assert_eq!(
            text.matches(&format!("\nkind: {kind}\nmetadata")).count(),
            1,
            "{text}"
        );
    }
}

#[test]
fn what_a_role_cannot_name_is_not_named_and_the_default_account_is_warned_about() {
    let asks = [
        (
            "configmaps",
            "[{selector: app=web}, {selector: app=web, namespace: '*'}]",
        ),
        ("allow-writes", "true"),
        ("proxy", "true"),
    ];
    let (text, report) = printed(&[pod("", &asks)]);
    assert!(!text.contains("ServiceAccount\nmetadata"), "{text}");
    assert!(
        text.contains("kind: ClusterRole\nmetadata:\n  name: attache-shop-default\n"),
        "{text}"
    );
    assert!(text.contains("kind: ClusterRoleBinding\n"), "{text}");
    assert!(!text.contains("resourceNames"), "{text}");
    assert!(text.contains("# Note: with the proxy, "), "{text}");
    let mut said = Vec::new();
    report.say(&mut |line| said.push(line.to_owned())).unwrap();
    assert!(
        said[0].starts_with("warning: serviceaccount shop/default: "),
        "{said:?}"
    );
}

#[test]
fn a_rollout_is_of_the_workload_that_the_pod_is_of() {
    let asks = [("configmaps", "web"), ("on-change", "restart: rollout")];
    let (text, _) = printed(&[pod("web", &asks)]);
    let expected = "
  # restart: rollout, and to find the workload
  - apiGroups: [apps]
    resourceNames: [web]
    resources: [deployments]
    verbs: [get, patch]
";
    assert!(text.contains(expected), "{text}");
    for other in ["statefulsets", "daemonsets"] {
        assert!(!text.contains(other), "{text}");
    }
}

#[test]
fn a_pod_that_is_given_itself_is_named() {
    let mut grants = Grants::default();
    let workload = |name: &str| Target {
        kind: "pod".to_owned(),
        name: name.to_owned(),
    };
    let pod = pod("web", &[("on-change", "restart: pod")]);
    grants.add(&workload("web-0"), &pod, "shop").unwrap();
    let text = grants.print(&mut Report::default());
    assert!(
        text.contains("resourceNames: [web-0]\n    resources: [pods/eviction]"),
        "{text}"
    );
    grants.add(&workload("web-*"), &pod, "shop").unwrap();
    let text = grants.print(&mut Report::default());
    assert!(
        text.contains("apiGroups: [\"\"]\n    resources: [pods/eviction]"),
        "{text}"
    );
}
