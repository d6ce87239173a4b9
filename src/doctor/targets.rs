//! Which pods are meant: lists of them, by namespace or by what owns them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::Selector;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::api::{Api, ApiError, encode};
use super::findings::Finding;
use crate::config::Target;

/// Pods to list, a page at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) path: String,
    /// Empty, or beginning with `&`.
    pub(super) query: String,
}

/// The pods of `target` in `namespace`.
pub(super) async fn listing(
    api: &Api,
    namespace: &str,
    target: &Target,
) -> Result<Listing, Finding> {
    let (kind, name) = (&target.kind, &target.name);
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let by_name = |name: &str| {
        format!(
            "&fieldSelector={}",
            encode(&format!("metadata.name={name}"))
        )
    };
    let (group, plural) = match kind.as_str() {
        "pod" => {
            return Ok(Listing {
                path: pods,
                query: by_name(name),
            });
        }
        "deployment" => ("apis/apps/v1", "deployments"),
        "statefulset" => ("apis/apps/v1", "statefulsets"),
        "daemonset" => ("apis/apps/v1", "daemonsets"),
        "replicaset" => ("apis/apps/v1", "replicasets"),
        "replicationcontroller" => ("api/v1", "replicationcontrollers"),
        "job" => ("apis/batch/v1", "jobs"),
        _ => {
            return Err(Finding::unknown(format!(
                "{kind}/{name}: pods are known of pod, deployment, statefulset, daemonset, replicaset, \
                 replicationcontroller and job; of anything else, name them: pod/NAME"
            )));
        }
    };
    let read = api
        .get(&format!("/{group}/namespaces/{namespace}/{plural}/{name}"))
        .await;
    let object = read.map_err(|error| not_there(namespace, kind, name, &error))?;
    let selector = selector(&object).ok_or_else(|| {
        Finding::unknown(format!(
            "{kind} {namespace}/{name} has no selector that can be read"
        ))
    })?;
    Ok(Listing {
        path: pods,
        query: format!("&labelSelector={}", encode(&selector)),
    })
}

fn not_there(namespace: &str, kind: &str, name: &str, error: &ApiError) -> Finding {
    if error.is_missing() {
        return Finding::error(format!(
            "there is no {kind} {namespace}/{name}: give its namespace by -n"
        ));
    }
    Finding::unknown(format!("{kind} {namespace}/{name} cannot be read: {error}"))
}

/// The selector of a workload, in the API's syntax. That of a ReplicationController is a plain map.
fn selector(object: &Value) -> Option<String> {
    let selector = object.pointer("/spec/selector")?;
    let whole = if object.pointer("/spec/selector/matchLabels").is_some()
        || object.pointer("/spec/selector/matchExpressions").is_some()
    {
        selector.clone()
    } else {
        json!({"matchLabels": selector})
    };
    let selector = LabelSelector::deserialize(whole).ok()?;
    let text = Selector::try_from(selector).ok()?.to_string();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_says_which_pods_are_its_own() {
        let of = |selector: Value| selector_of(&selector);
        fn selector_of(selector: &Value) -> Option<String> {
            super::selector(&json!({"spec": {"selector": selector}}))
        }
        assert_eq!(
            of(json!({"matchLabels": {"app": "web"}})).as_deref(),
            Some("app=web")
        );
        assert_eq!(of(json!({"app": "web"})).as_deref(), Some("app=web"));
        let expression = json!([{"key": "app", "operator": "In", "values": ["a"]}]);
        let text = of(json!({"matchExpressions": expression})).unwrap();
        assert!(text.starts_with("app in"), "{text}");
        assert_eq!(of(json!({})), None);
        assert_eq!(super::selector(&json!({"spec": {}})), None);
    }
}
