use super::*;
use crate::app::config_from;

/// The configuration of `attache run` with these arguments.
fn config(args: &[&str]) -> Config {
    config_from(["attache", "run"].into_iter().chain(args.iter().copied())).unwrap()
}

fn place() -> Place {
    Place {
        namespace: "web".to_owned(),
        pod_namespace: "web".to_owned(),
        pod_name: Some("web-1".to_owned()),
        owner: Some(Owner {
            kind: "Deployment".to_owned(),
            name: "web".to_owned(),
            replica_set: Some("web-abc".to_owned()),
        }),
        is_bare: false,
    }
}

/// `namespace group/resource/subresource/name: verbs`.
fn told(args: &[&str]) -> Vec<String> {
    told_at(&place(), args)
}

fn told_at(place: &Place, args: &[&str]) -> Vec<String> {
    let rights = rights(&config(args), place);
    let told = |right: &Right| {
        format!(
            "{} {}/{}/{}/{}: {}",
            right.namespace.as_deref().unwrap_or("*"),
            right.group,
            right.resource,
            right.subresource,
            right.name.as_deref().unwrap_or("*"),
            right.verbs.join(",")
        )
    };
    rights.iter().map(told).collect()
}

#[test]
fn what_is_named_is_read_by_name_and_what_is_selected_is_not() {
    assert_eq!(
        told(&[
            "--configmap=a",
            "--configmap=other/b",
            "--secret=db",
            "--configmap-selector=*/x=y"
        ]),
        [
            "* /configmaps//*: list,watch",
            "other /configmaps//b: get,list,watch",
            "web /configmaps//a: get,list,watch",
            "web /secrets//db: get,list,watch",
        ]
    );
    let discovers = told(&["--discover=d"]);
    assert_eq!(
        discovers[1],
        "d discovery.k8s.io/endpointslices//*: list,watch"
    );
    let writes = told(&["--configmap=a,optional", "--allow-writes"]);
    assert_eq!(
        writes,
        [
            "web /configmaps//*: create",
            "web /configmaps//a: get,list,watch",
            "web /configmaps//a: patch",
        ]
    );
}

#[test]
fn each_restart_needs_its_own() {
    let rule = |restart: &str| told(&[&format!("--on-change=restart: {restart}")]);
    assert_eq!(
        rule("pod"),
        [
            "web /pods//web-1: get",
            "web /pods/eviction/web-1: create",
            "web policy/poddisruptionbudgets//*: list",
        ]
    );
    assert_eq!(
        rule("rollout"),
        [
            "web /pods//web-1: get",
            "web apps/deployments//web: get,patch",
            "web apps/replicasets//web-abc: get",
        ]
    );
    assert_eq!(
        rule("{rollout: daemonset/log}"),
        ["web apps/daemonsets//log: get,patch"]
    );
    assert_eq!(rule("{pods: app=x}"), ["web /pods//*: list,delete"]);
    assert!(rule("{process: nginx}").is_empty());
}

#[test]
fn what_is_made_anew_is_asked_for_by_name_and_granted_without() {
    let named = |place: &Place, restart: &str| {
        let config = config(&[&format!("--on-change=restart: {restart}")]);
        let rights = rights(&config, place);
        let name = |right: &Right| (right.shown(), right.rule_name().map(str::to_owned));
        rights.iter().map(name).collect::<Vec<_>>()
    };
    let rule = |resource: &str, name: Option<&str>| (resource.to_owned(), name.map(str::to_owned));
    let mut place = place();
    assert_eq!(
        named(&place, "rollout"),
        [
            rule("pods", None),
            rule("deployments", Some("web")),
            rule("replicasets", None),
        ]
    );
    let budgets = rule("poddisruptionbudgets", None);
    assert_eq!(
        named(&place, "pod"),
        [
            rule("pods", None),
            rule("pods/eviction", None),
            budgets.clone()
        ]
    );
    // Nothing makes it anew but whoever made it, by its name.
    (place.owner, place.is_bare) = (None, true);
    let (pod, eviction) = (Some("web-1"), rule("pods/eviction", Some("web-1")));
    assert_eq!(named(&place, "pod"), [rule("pods", pod), eviction, budgets]);
}

#[test]
fn pods_of_a_template_have_no_names_yet() {
    let mut place = place();
    place.pod_name = None;
    place.owner = Some(Owner {
        kind: "deployment".to_owned(),
        name: "web".to_owned(),
        replica_set: None,
    });
    let rule = |place: &Place, restart: &str| {
        told_at(place, &[&format!("--on-change=restart: {restart}")])
    };
    assert_eq!(
        rule(&place, "rollout"),
        [
            "web /pods//*: get",
            "web apps/deployments//web: get,patch",
            "web apps/replicasets//*: get",
        ]
    );
    assert_eq!(
        rule(&place, "{pod: {requireBudget: false}}"),
        ["web /pods//*: get", "web /pods/eviction/*: create"]
    );
    place.owner = None;
    assert_eq!(rule(&place, "rollout"), ["web /pods//*: get"]);
}
