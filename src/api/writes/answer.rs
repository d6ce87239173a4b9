//! What a write answers: what is there now, or why it is not done.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};

use super::judge::{Refusal, Wish};
use super::settled::Shown;
use crate::api::held::{CACHE_STATUS, identify};
use crate::api::kv::{Representation, Target};
use crate::api::problem::problem;
use crate::api::{Answer, NOSNIFF, whole};
use crate::store::Object;

/// What a DELETE answers, byte for byte as key/value services over ConfigMaps do. The 404 is the one
/// error that is no problem details.
const DELETED: &[u8] = b"{\"success\": true}";
const NOT_DELETED: &[u8] = b"{\"success\": false}";

/// 200 with what a GET of the target shows now.
pub(super) fn done(wish: &Wish<'_>, object: &Object, seen: Shown) -> Answer {
    let representation = wish.shown(object);
    let etag = representation.as_ref().map(Representation::etag);
    let (content_type, body) = match &representation {
        Some(shown) if !wish.deletes() => (shown.content_type(), shown.body()),
        _ => ("application/json", Bytes::from_static(DELETED)),
    };
    let mut answer = whole(body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // RFC 9211, section 2.2.
    let status = match seen {
        Shown::Written => "attache; fwd=method; stored",
        Shown::Stale => "attache; fwd=stale",
        Shown::Nothing => "attache; fwd=method",
    };
    headers.insert(CACHE_STATUS, HeaderValue::from_static(status));
    identify(headers, etag, object.resource_version_bytes());
    answer
}

/// Why a conditional write is not done, of which `current` is the reason.
pub(super) fn refused(wish: &Wish<'_>, refusal: &Refusal, current: Option<&Object>) -> Answer {
    let mut answer = match refusal {
        Refusal::Absent => {
            let mut answer = whole(NOT_DELETED);
            *answer.status_mut() = StatusCode::NOT_FOUND;
            let headers = answer.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            answer
        }
        Refusal::NoObject => no_object(&wish.target),
        Refusal::Condition => condition_failed(wish, current),
    };
    if let Some(object) = current {
        let version = object.resource_version_bytes();
        identify(answer.headers_mut(), wish.etag(current), version);
    }
    answer
}

/// 404 of a patch that only removes keys: it makes no object.
pub(super) fn no_object(target: &Target<'_>) -> Answer {
    let detail = format!("{target} does not exist, so that it has no key to remove");
    problem(StatusCode::NOT_FOUND, detail)
}

fn condition_failed(wish: &Wish<'_>, current: Option<&Object>) -> Answer {
    let Target { key, .. } = &wish.target;
    let what = match key {
        Some(key) => format!("the key {key} of {}", wish.target),
        None => wish.target.to_string(),
    };
    let given = |name| wish.headers.contains_key(name);
    let detail = match wish.etag(current) {
        Some(etag) => {
            let differs = match (given(IF_MATCH), given(IF_NONE_MATCH)) {
                (true, false) => "and If-Match asks for another (a tag stands in double quotes)",
                (false, true) => "and If-None-Match excludes it",
                _ => "which If-Match or If-None-Match does not allow",
            };
            let etag = etag.as_str();
            format!("{what} has the ETag {etag}, {differs}: read it again, and decide anew")
        }
        None => format!(
            "{what} does not exist, and If-Match asks that it does: leave If-Match out to create it"
        ),
    };
    problem(StatusCode::PRECONDITION_FAILED, detail)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http_body_util::BodyExt as _;

    use super::super::edits::Edits;
    use super::*;
    use crate::store::{Kind, ObjectRef, RawObject};

    #[tokio::test]
    async fn what_does_not_hold_is_told_with_what_to_do() {
        let reference = ObjectRef::new(Kind::ConfigMap, "default", "web");
        let web = Object::freeze(RawObject::empty(reference), None);
        let tag = web.content().etag().as_str().to_owned();
        let has = format!("has the ETag {tag}, ");
        let (other, star) = (("if-match", "other"), ("if-none-match", "*"));
        for (conditions, current, says) in [
            (
                &[other][..],
                true,
                &*format!("{has}and If-Match asks for another"),
            ),
            (
                &[star],
                true,
                &format!("{has}and If-None-Match excludes it"),
            ),
            (
                &[other, star],
                true,
                &format!("{has}which If-Match or If-None-Match"),
            ),
            (&[other], false, "leave If-Match out to create it"),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in conditions {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            let wish = Wish {
                target: Target::parse("default", "web", None).unwrap(),
                edits: Edits::new(),
                headers: &headers,
            };
            let answer = refused(&wish, &Refusal::Condition, current.then_some(&*web));
            assert_eq!(answer.status(), 412);
            let told = answer.into_body().collect().await.unwrap().to_bytes();
            let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
            let told = told["detail"].as_str().unwrap();
            assert!(told.contains(says), "{conditions:?}: {told}");
        }
    }
}
