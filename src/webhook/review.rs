//! One review, pure: an AdmissionReview (`admission.k8s.io/v1`) in, another one out.
//!
//! The pod stays raw JSON: what attache does not know of it must not be lost on the way.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Platform;
use crate::inject::{self, Outcome, Skip, Surroundings};
use crate::metrics::webhook::Review as Label;

/// The one version of AdmissionReview that is spoken; Kubernetes has had it since 1.16.
const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// The API server cuts longer ones off: 256 characters are what it takes of a warning.
const LONGEST_WARNING: usize = 256;

/// How a Pod's reviews are decided, beside what is around the pod.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    /// What the platform says.
    pub(super) platform: Platform,
    /// Whether a pod with a bad annotation is denied, rather than created without a sidecar.
    pub(super) deny: bool,
}

/// A request that is no review: 400.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// No JSON, or of another shape. Without a piece of it: pods have passwords in them.
    #[error("the body is no AdmissionReview: see line {line}, column {column} of it")]
    Json { line: usize, column: usize },
    /// Another kind or version.
    #[error(
        "the body is {kind:?} of {api_version:?}, and attache takes AdmissionReview of \
         {API_VERSION}: set admissionReviewVersions: [v1] in the MutatingWebhookConfiguration"
    )]
    Kind { kind: String, api_version: String },
    /// Nothing is asked.
    #[error("the AdmissionReview has no request: send one with a uid")]
    NoRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<Request>,
}

/// What is asked (`AdmissionRequest`), as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    uid: String,
    #[serde(default)]
    resource: Resource,
    #[serde(default)]
    sub_resource: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    dry_run: Option<bool>,
    #[serde(default)]
    object: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resource {
    group: String,
    version: String,
    resource: String,
}

/// The answer, and what there is to say of it.
#[derive(Debug)]
pub(super) struct Answer {
    /// The AdmissionReview to send.
    pub(super) body: Vec<u8>,
    /// For the metrics.
    pub(super) label: Label,
    /// For the log, and for whoever created the pod.
    pub(super) warnings: Vec<String>,
    /// Why it is denied.
    pub(super) denial: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Status<'a> {
    status: &'static str,
    code: u16,
    reason: &'static str,
    message: &'a str,
}

/// What is decided.
struct Decision {
    label: Label,
    /// The patch, as JSON.
    patch: Option<Vec<u8>>,
    warnings: Vec<String>,
    denial: Option<String>,
}

// === impl Request ===

impl Request {
    /// Reads an AdmissionReview.
    ///
    /// # Errors
    /// [`Malformed`].
    pub(super) fn read(body: &[u8]) -> Result<Self, Malformed> {
        let asked: Asked = serde_json::from_slice(body).map_err(|error| Malformed::Json {
            line: error.line(),
            column: error.column(),
        })?;
        let Asked {
            api_version, kind, ..
        } = asked;
        if api_version != API_VERSION || kind != KIND {
            return Err(Malformed::Kind { kind, api_version });
        }
        let request = asked.request.filter(|request| !request.uid.is_empty());
        request.ok_or(Malformed::NoRequest)
    }

    /// Why this is nothing that attache is for, in one word and in more; `None` for the creation of a
    /// pod.
    fn is_foreign(&self) -> Option<(&'static str, &'static str)> {
        let Resource {
            group,
            version,
            resource,
        } = &self.resource;
        let is_pod = (&**group, &**version, &**resource) == ("", "v1", "pods");
        if !is_pod || !self.sub_resource.is_empty() {
            return Some(("no-pod", "it is asked about something else than pods"));
        }
        if self.operation != "CREATE" {
            return Some((
                "no-creation",
                "it is asked about something else than CREATE",
            ));
        }
        if !self.object.is_object() {
            return Some(("no-object", "it is asked without the pod"));
        }
        None
    }

    /// The namespace whose annotations the decision needs; `None` if it needs none.
    pub(super) fn namespace(&self) -> Option<&str> {
        let asks = self.is_foreign().is_none() && !self.namespace.is_empty();
        asks.then_some(&*self.namespace)
    }

    /// The object, for the log: `namespace/name`, or what its name will begin with.
    pub(super) fn object(&self) -> String {
        let metadata = |key| self.object["metadata"][key].as_str().unwrap_or_default();
        let candidates = [&*self.name, metadata("name"), metadata("generateName")];
        let name = candidates.into_iter().find(|name| !name.is_empty());
        format!("{}/{}", self.namespace, name.unwrap_or_default())
    }

    /// Whether the pod is not really created.
    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run == Some(true)
    }

    /// Whether the pod is a Job's.
    fn is_job(&self) -> bool {
        let owners = self.object["metadata"]["ownerReferences"].as_array();
        owners.into_iter().flatten().any(|owner| {
            let group = owner["apiVersion"].as_str().unwrap_or_default();
            owner["kind"] == "Job" && owner["controller"] == true && group.starts_with("batch/")
        })
    }

    /// Whether the API server's ServiceAccount admission, which comes before webhooks, is on: it names
    /// an account in every pod, without which there can be no token.
    fn is_admitted(&self) -> bool {
        let account = self.object["spec"]["serviceAccountName"].as_str();
        account.is_some_and(|name| !name.is_empty())
    }

    /// Decides. `annotations` hold where the pod has none; `told` goes to whoever creates the pod,
    /// before attache's own warnings.
    pub(super) fn answer(
        &self,
        annotations: BTreeMap<String, String>,
        native: bool,
        policy: &Policy,
        told: Option<String>,
    ) -> Answer {
        let surroundings = Surroundings {
            annotations,
            is_job: self.is_job(),
            native,
            write: BTreeMap::new(),
            admitted: self.is_admitted(),
        };
        let decision = match self.is_foreign() {
            Some((reason, words)) => {
                let change = "have the MutatingWebhookConfiguration send CREATE of pods alone";
                Decision::skipped(
                    reason,
                    Some(format!("nothing is changed: {words}; {change}")),
                )
            }
            None => self.decide(&surroundings, policy),
        };
        let warnings = told.into_iter().chain(decision.warnings).map(warning);
        let warnings: Vec<_> = warnings.collect();
        let response = Response {
            uid: &self.uid,
            allowed: decision.denial.is_none(),
            // Not 422: kubectl before 1.28 says of that no more than that something is invalid.
            status: decision.denial.as_deref().map(|message| Status {
                status: "Failure",
                code: 400,
                reason: "BadRequest",
                message,
            }),
            patch_type: decision.patch.as_ref().map(|_| "JSONPatch"),
            patch: decision.patch.as_deref().map(|patch| BASE64.encode(patch)),
            warnings: &warnings,
        };
        let answered = Answered {
            api_version: API_VERSION,
            kind: KIND,
            response,
        };
        Answer {
            // Structs of strings always serialize.
            body: serde_json::to_vec(&answered).unwrap_or_default(),
            label: decision.label,
            warnings,
            denial: decision.denial,
        }
    }

    fn decide(&self, surroundings: &Surroundings, policy: &Policy) -> Decision {
        match inject::inject(&self.object, surroundings, &policy.platform) {
            Ok(Outcome::Injected(injection)) => {
                let steps = inject::patch(&self.object, &injection.pod);
                Decision {
                    // A list of strings and values always serializes.
                    patch: Some(serde_json::to_vec(&steps).unwrap_or_default()),
                    warnings: injection.warnings,
                    ..Decision::of("injected", "")
                }
            }
            Ok(Outcome::Unchanged) => Decision::of("unchanged", ""),
            Ok(Outcome::Skipped(skip)) => {
                // Whoever opted out knows, and most pods ask for nothing: only a dry run asks why.
                let quiet = matches!(skip, Skip::OptedOut | Skip::NothingAsked);
                let said = !quiet || self.is_dry_run();
                Decision::skipped(
                    skip.name(),
                    said.then(|| format!("the pod gets no sidecar: {}", skip.reason())),
                )
            }
            Err(faults) if policy.deny => Decision {
                denial: Some(faults.lines().join("; ")),
                ..Decision::of("denied", "bad-annotation")
            },
            Err(faults) => {
                let lines = faults.lines().iter();
                Decision {
                    warnings: lines
                        .map(|fault| format!("the pod gets no sidecar: {fault}"))
                        .collect(),
                    ..Decision::of("skipped", "bad-annotation")
                }
            }
        }
    }
}

// === impl Decision ===

impl Decision {
    fn of(outcome: &'static str, reason: &'static str) -> Self {
        Self {
            label: Label { outcome, reason },
            patch: None,
            warnings: Vec::new(),
            denial: None,
        }
    }

    fn skipped(reason: &'static str, warning: Option<String>) -> Self {
        Self {
            warnings: warning.into_iter().collect(),
            ..Self::of("skipped", reason)
        }
    }
}

/// Says who warns, on one line that is not too long for a header.
fn warning(text: String) -> String {
    let text = text.replace(char::is_control, " ");
    let text = format!("attache: {text}");
    match text.char_indices().nth(LONGEST_WARNING) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
