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
        "cronjob" => {
            let query = of_cron_job(api, namespace, name).await?;
            return Ok(Listing { path: pods, query });
        }
        _ => {
            return Err(Finding::unknown(format!(
                "{kind}/{name}: pods are known of pod, deployment, statefulset, daemonset, replicaset, \
                 replicationcontroller, job and cronjob; of anything else, name them: pod/NAME"
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

/// The label that every Job puts on its Pods.
const JOB_NAME: &str = "job-name";

/// The query for the pods of a CronJob: those of the Jobs that it has made and not deleted yet.
async fn of_cron_job(api: &Api, namespace: &str, name: &str) -> Result<String, Finding> {
    let read = api
        .list(&format!("/apis/batch/v1/namespaces/{namespace}/jobs"), "")
        .await;
    let jobs = read.map_err(|error| {
        Finding::unknown(format!(
            "the Jobs of cronjob {namespace}/{name} cannot be read: {error}"
        ))
    })?;
    let jobs = jobs_of(name, &jobs);
    if jobs.is_empty() {
        return Err(Finding::unknown(format!(
            "there is no Job of a cronjob {namespace}/{name}, whose pods could be looked at: make one by \
             kubectl -n {namespace} create job {name}-now --from=cronjob/{name}"
        )));
    }
    let selector = format!("{JOB_NAME} in ({})", jobs.join(","));
    Ok(format!("&labelSelector={}", encode(&selector)))
}

/// The names of the Jobs that the CronJob `name` has made.
fn jobs_of<'a>(name: &str, jobs: &'a [Value]) -> Vec<&'a str> {
    let owned = jobs.iter().filter(|job| {
        let owners = job.pointer("/metadata/ownerReferences");
        let mut owners = owners.and_then(Value::as_array).into_iter().flatten();
        owners.any(|owner| owner["kind"] == "CronJob" && owner["name"] == name)
    });
    owned
        .filter_map(|job| job.pointer("/metadata/name")?.as_str())
        .collect()
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

    #[test]
    fn the_jobs_of_a_cron_job_are_those_that_it_owns() {
        let job = |name: &str, kind: &str, owner: &str| {
            let owner = json!({"kind": kind, "name": owner, "controller": true});
            json!({"metadata": {"name": name, "ownerReferences": [owner]}})
        };
        let jobs = [
            job("report-1", "CronJob", "report"),
            job("other-1", "CronJob", "other"),
            job("report-2", "Workflow", "report"),
            json!({"metadata": {"name": "by-hand"}}),
            job("report-now", "CronJob", "report"),
        ];
        assert_eq!(jobs_of("report", &jobs), ["report-1", "report-now"]);
    }
}
