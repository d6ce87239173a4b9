//! The proxy's own answers: those that `kubectl proxy` gives, and a Kubernetes `Status` where
//! there is no API server to give one, so that clients print it well.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::{Either, Full};
use serde_json::json;

use super::policy;
use crate::http::Body;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// 403: the filter.
pub(super) fn forbidden() -> Response<Body> {
    text(StatusCode::FORBIDDEN, "Forbidden\n")
}

/// 404: outside of `--api-prefix`.
pub(super) fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// 400: nothing the API server could understand.
pub(super) fn malformed(reason: &str) -> Response<Body> {
    refused(StatusCode::BAD_REQUEST, reason)
}

/// 414: longer than the filter reads.
pub(super) fn too_long() -> Response<Body> {
    let reason = format!("send a path of at most {} bytes", policy::MAX_PATH);
    refused(StatusCode::URI_TOO_LONG, &reason)
}

/// 403 as the filter says it, or another refusal for a reason.
pub(crate) fn refused(code: StatusCode, reason: &str) -> Response<Body> {
    match code {
        StatusCode::FORBIDDEN => forbidden(),
        code => text(code, format!("{code}: {reason}\n")),
    }
}

/// 307, so that a POST stays one: the path in its clean form.
pub(super) fn moved(method: &Method, location: &str) -> Response<Body> {
    let html = *method == Method::GET || *method == Method::HEAD;
    let body = if *method == Method::GET {
        let link = location
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&#34;")
            .replace('\'', "&#39;");
        format!("<a href=\"{link}\">Temporary Redirect</a>.\n\n")
    } else {
        String::new()
    };
    let mut answer = respond(StatusCode::TEMPORARY_REDIRECT, body);
    if html {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        answer.headers_mut().insert(CONTENT_TYPE, html);
    }
    if let Ok(location) = HeaderValue::try_from(location) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

/// 502: the API server gave no answer, for this `reason`.
pub(super) fn bad_gateway(reason: &str) -> Response<Body> {
    status(StatusCode::BAD_GATEWAY, "BadGateway", reason)
}

/// 504: the API server took longer than `--request-timeout`.
pub(super) fn gateway_timeout(reason: &str) -> Response<Body> {
    status(StatusCode::GATEWAY_TIMEOUT, "Timeout", reason)
}

/// A Kubernetes `Status` (API conventions, "Response Status Kind").
fn status(code: StatusCode, reason: &str, message: &str) -> Response<Body> {
    let body = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": format!("attache got no answer from the API server: {message}"),
        "reason": reason,
        "code": code.as_u16(),
    });
    let mut answer = respond(code, body.to_string());
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

/// Plain text that no browser takes for anything else.
pub(crate) fn text(code: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut answer = respond(code, body);
    answer.headers_mut().insert(CONTENT_TYPE, TEXT);
    let nosniff = HeaderValue::from_static("nosniff");
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    answer
}

fn respond(code: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = code;
    answer
}
