//! Every error of our own routes: RFC 9457 problem details.

use std::borrow::Cow;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::{Answer, NOSNIFF, whole};

/// The media type of RFC 9457, section 3.
pub const CONTENT_TYPE_PROBLEM: &str = "application/problem+json";

#[derive(Serialize)]
struct Problem<'a> {
    /// RFC 9457, section 4.2.1: the status says it all.
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
}

/// An error with a `detail` that says what to do.
pub fn problem<'a>(status: StatusCode, detail: impl Into<Cow<'a, str>>) -> Answer {
    let problem = Problem {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail: &detail.into(),
    };
    // A struct of strings and a number always serializes.
    let mut body = serde_json::to_vec(&problem).unwrap_or_default();
    body.push(b'\n');
    let mut answer = whole(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE_PROBLEM));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    answer
}

/// 503, worth another try after `seconds`.
pub fn unavailable<'a>(seconds: u16, detail: impl Into<Cow<'a, str>>) -> Answer {
    let mut answer = problem(StatusCode::SERVICE_UNAVAILABLE, detail);
    answer
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

/// 405 for a route that can only be read.
#[must_use]
pub fn read_only() -> Answer {
    not_allowed("GET, HEAD", "this route can only be read: use GET or HEAD")
}

/// 405 for a route that takes the methods `allow`.
pub fn not_allowed<'a>(allow: &'static str, detail: impl Into<Cow<'a, str>>) -> Answer {
    let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, detail);
    let headers = answer.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_problem_is_json_whatever_the_detail_holds() {
        let answer = unavailable(7, "\"quoted\"\n\u{0}");
        assert_eq!(answer.headers()[RETRY_AFTER], "7");
        assert_eq!(answer.headers()[CONTENT_TYPE], CONTENT_TYPE_PROBLEM);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["type"], "about:blank");
        assert_eq!(json["status"], 503);
        assert_eq!(json["title"], "Service Unavailable");
        assert_eq!(json["detail"], "\"quoted\"\n\u{0}");
    }
}
