//! What the API server says instead of writing, as an answer of ours. Pure.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::api::Answer;
use crate::api::kv::Target;
use crate::api::problem::{problem, unavailable};
use crate::upstream::{CallError, Status};

/// `Retry-After` where the API server names none, in seconds.
pub(super) const SOON: u16 = 1;

/// What the API server was asked for, in RBAC's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Patch,
    Create,
}

// === impl Verb ===

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::Patch => "patch",
            Verb::Create => "create",
        }
    }

    /// What became of the change, for a request whose outcome is not known.
    fn aftermath(self) -> &'static str {
        match self {
            Verb::Get => "nothing was written: try again",
            Verb::Patch | Verb::Create => {
                "the change may have been made all the same: read it before you try again"
            }
        }
    }
}

/// No answer.
pub(super) fn unanswered(verb: Verb, target: &Target<'_>, error: &CallError) -> Answer {
    let aftermath = if error.may_have_reached() {
        verb.aftermath()
    } else {
        Verb::Get.aftermath()
    };
    let verb = verb.as_str();
    unavailable(
        SOON,
        format!("cannot {verb} {target}: {error}; {aftermath}"),
    )
}

/// An answer that is not the ConfigMap asked for.
pub(super) fn malformed(verb: Verb, target: &Target<'_>) -> Answer {
    let detail = format!(
        "cannot {} {target}: the API server's answer is no ConfigMap; {}",
        verb.as_str(),
        verb.aftermath()
    );
    problem(StatusCode::BAD_GATEWAY, detail)
}

/// An answer of a status other than 2xx, and other than those that are understood as an outcome.
pub(super) fn refused(verb: Verb, target: &Target<'_>, answer: &Response<Bytes>) -> Answer {
    let told = Status::of(answer);
    let message = &told.message;
    let cannot = format!("cannot {} {target}: {message}", verb.as_str());
    let after = || {
        let after = told.retry_after(answer.headers()).unwrap_or(Duration::ZERO);
        u16::try_from(after.as_secs()).unwrap_or(SOON).max(SOON)
    };
    match answer.status() {
        StatusCode::FORBIDDEN => forbidden(verb, target, message),
        // Of a patch and a get that is an outcome.
        StatusCode::NOT_FOUND => problem(
            StatusCode::NOT_FOUND,
            format!("{cannot}: create the namespace {} first", target.namespace),
        ),
        StatusCode::UNPROCESSABLE_ENTITY => invalid(target, &told),
        StatusCode::PAYLOAD_TOO_LARGE => problem(StatusCode::PAYLOAD_TOO_LARGE, cannot),
        StatusCode::TOO_MANY_REQUESTS => unavailable(
            after(),
            format!("{cannot}; nothing was written: try again later"),
        ),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            unavailable(after(), format!("{cannot}; {}", verb.aftermath()))
        }
        StatusCode::UNAUTHORIZED => {
            let detail = format!("{cannot}: the API server refuses attache's credentials");
            problem(StatusCode::BAD_GATEWAY, detail)
        }
        // An admission webhook may refuse with any of them.
        status if status.is_client_error() => problem(StatusCode::UNPROCESSABLE_ENTITY, cannot),
        _ => {
            let detail = format!("{cannot}; {}", verb.aftermath());
            problem(StatusCode::BAD_GATEWAY, detail)
        }
    }
}

fn forbidden(verb: Verb, target: &Target<'_>, message: &str) -> Answer {
    let verb = verb.as_str();
    let mut detail = format!("the API server does not let this pod {verb} {target}: {message}");
    // Quotas, admission and namespaces that are going forbid, too.
    if message.contains(&format!("cannot {verb} resource")) {
        detail.push_str("; grant the verb ");
        detail.push_str(verb);
        detail.push_str(" on configmaps to the pod's service account");
    }
    problem(StatusCode::FORBIDDEN, detail)
}

/// 422, of which some are the object's fault and some the size's.
fn invalid(target: &Target<'_>, told: &Status) -> Answer {
    let message = &told.message;
    let mut causes = told.details.causes.iter();
    if message.contains("field is immutable") {
        let detail = format!(
            "{target} is immutable and cannot be written: make a new one under another name, or \
             delete and create it through the Kubernetes API ({message})"
        );
        problem(StatusCode::FORBIDDEN, detail)
    } else if causes.any(|cause| cause.reason == "FieldValueTooLong") {
        let detail = format!(
            "{target} would be larger than Kubernetes allows, 1 MiB of values in all: spread them \
             over several ConfigMaps ({message})"
        );
        problem(StatusCode::PAYLOAD_TOO_LARGE, detail)
    } else {
        let detail = format!("the API server finds the change invalid: {message}");
        problem(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }
}

#[cfg(test)]
mod tests {
    use http::header::RETRY_AFTER;
    use http_body_util::BodyExt as _;
    use serde_json::json;

    use super::*;

    async fn text(answer: Answer) -> String {
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8_lossy(&body).into_owned()
    }

    #[tokio::test]
    async fn every_refusal_has_its_status_and_the_api_servers_words() {
        let target = Target::parse("default", "web", None).unwrap();
        let rbac = "configmaps \"web\" is forbidden: User \"pod\" cannot patch resource \"configmaps\" in API group \"\"";
        let immutable = "ConfigMap \"web\" is invalid: data: Forbidden: field is immutable when `immutable` is set";
        for (verb, told, message, reason, status, says) in [
            (
                Verb::Patch,
                403,
                rbac,
                "",
                403,
                "grant the verb patch on configmaps",
            ),
            (
                Verb::Create,
                403,
                "exceeded quota: q",
                "",
                403,
                "this pod create ConfigMap default/web: exceeded quota: q\"",
            ),
            (
                Verb::Create,
                404,
                "namespaces \"default\" not found",
                "",
                404,
                "create the namespace default first",
            ),
            (
                Verb::Patch,
                422,
                immutable,
                "FieldValueForbidden",
                403,
                "is immutable and cannot be written",
            ),
            (
                Verb::Patch,
                422,
                "too long",
                "FieldValueTooLong",
                413,
                "1 MiB",
            ),
            (
                Verb::Patch,
                422,
                "a key",
                "FieldValueInvalid",
                422,
                "finds the change invalid: a key",
            ),
            (
                Verb::Patch,
                413,
                "request is too large",
                "",
                413,
                "request is too large",
            ),
            (Verb::Patch, 429, "busy", "", 503, "nothing was written"),
            (Verb::Patch, 503, "not ready", "", 503, "may have been made"),
            (Verb::Get, 503, "not ready", "", 503, "nothing was written"),
            (Verb::Patch, 504, "timeout", "", 503, "may have been made"),
            (Verb::Patch, 500, "etcd", "", 502, "may have been made"),
            (Verb::Get, 500, "etcd", "", 502, "nothing was written"),
            (
                Verb::Patch,
                400,
                "admission webhook \"x\" denied the request",
                "",
                422,
                "denied the request",
            ),
            (Verb::Patch, 401, "Unauthorized", "", 502, "credentials"),
            (Verb::Patch, 302, "", "", 502, "answered 302"),
        ] {
            let details = json!({"causes": [{"reason": reason, "message": "m"}]});
            let body = json!({"kind": "Status", "message": message, "details": details});
            let answer = Response::builder().status(told);
            let answer = answer.body(Bytes::from(body.to_string())).unwrap();
            let answer = refused(verb, &target, &answer);
            assert_eq!(answer.status().as_u16(), status, "{told} {message}");
            assert_eq!(answer.headers().contains_key(RETRY_AFTER), status == 503);
            let text = text(answer).await.replace("\\\"", "\"");
            assert!(text.contains(says) && text.contains(message), "{text}");
        }
    }

    #[tokio::test]
    async fn a_retry_after_is_passed_on() {
        let target = Target::parse("default", "web", None).unwrap();
        let answer = Response::builder().status(429).header(RETRY_AFTER, "17");
        let answer = refused(Verb::Patch, &target, &answer.body(Bytes::new()).unwrap());
        assert_eq!(answer.headers()[RETRY_AFTER], "17");
        assert!(text(answer).await.contains("answered 429"));
    }

    #[tokio::test]
    async fn whether_it_may_have_been_written_is_told() {
        let target = Target::parse("default", "web", None).unwrap();
        for (error, maybe) in [
            (CallError::Unreachable("refused".into()), false),
            (CallError::Broken("reset".into()), true),
            (CallError::Late, true),
        ] {
            let told = text(unanswered(Verb::Create, &target, &error)).await;
            assert_eq!(told.contains("may have been made"), maybe, "{told}");
            let told = text(unanswered(Verb::Get, &target, &error)).await;
            assert!(told.contains("nothing was written"), "{told}");
        }
    }
}
