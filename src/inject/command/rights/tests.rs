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
    let (mut rights, mut report) = (Rights::default(), Report::default());
    for pod in pods {
        rights.add(pod, "shop").unwrap();
    }
    (rights.print(&mut report), report)
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
