//! What a request that writes has to look like: its method, its query and its body.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::edits::{self, Edit, Edits, MAX_VALUES};
use super::members;
use crate::api::Answer;
use crate::api::kv::Target;
use crate::api::kv::target::{Malformed, is_key};
use crate::api::problem::{not_allowed, problem};
use crate::api::query::Query;

/// How the body of a request says what is to become of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// POST or PUT of an object: its members are set.
    Merge,
    /// PATCH of an object: `null` removes (RFC 7396).
    Patch,
    /// PUT of a key: its bytes.
    Value,
    /// DELETE of a key: no body.
    Removal,
}

const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON: &str = "application/json";

// === impl Form ===

impl Form {
    /// What a request asks for by its method.
    ///
    /// # Errors
    /// 405 for a method that the target does not know.
    pub(super) fn of(method: &Method, target: &Target<'_>) -> Result<Self, Answer> {
        match (method, &target.key) {
            (&Method::POST | &Method::PUT, None) => Ok(Form::Merge),
            (&Method::PATCH, None) => Ok(Form::Patch),
            (&Method::PUT, Some(_)) => Ok(Form::Value),
            (&Method::DELETE, _) => Ok(Form::Removal),
            (_, None) => {
                let detail = "an object takes GET, POST, PUT, PATCH and DELETE ?key=KEY";
                Err(not_allowed("GET, HEAD, POST, PUT, PATCH, DELETE", detail))
            }
            (_, Some(_)) => {
                let detail =
                    "a key takes GET, PUT with its bytes and DELETE: POST or PATCH the object";
                Err(not_allowed("GET, HEAD, PUT, DELETE", detail))
            }
        }
    }

    /// What it asks it of: a key that the query names becomes the target's.
    ///
    /// # Errors
    /// 400 for a query that does not belong there.
    pub(super) fn target<'a>(
        self,
        target: &Target<'a>,
        query: &'a Query<'_>,
    ) -> Result<Target<'a>, Answer> {
        let bad = |detail| Err(problem(StatusCode::BAD_REQUEST, detail));
        let mut target = target.clone();
        match (self, query.get("key"), &target.key) {
            (Form::Removal, None, None) => bad(
                "attache deletes keys, not whole ConfigMaps: name one by ?key=KEY, or delete the \
                 ConfigMap through the Kubernetes API (kubectl delete configmap)",
            ),
            (_, None, _) => Ok(target),
            (Form::Removal, Some(key), None) if is_key(key) => {
                target.key = Some(Cow::Borrowed(key));
                Ok(target)
            }
            (Form::Removal, Some(_), None) => Err(Malformed::Key.into()),
            _ => bad("the parameter key belongs to DELETE of an object: leave it out"),
        }
    }

    /// Whether a body that these headers announce is one to read.
    ///
    /// # Errors
    /// 415 for another media type than JSON where it has to be, and for an encoded body; 400 for
    /// a part of one.
    pub(super) fn admit(self, headers: &HeaderMap) -> Result<(), Answer> {
        let unsupported = |detail| problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
        if self == Form::Removal {
            return Ok(());
        }
        if headers.contains_key(CONTENT_RANGE) {
            // RFC 9110, section 14.5.
            let detail = "attache takes no part of a value: send it whole, without Content-Range";
            return Err(problem(StatusCode::BAD_REQUEST, detail));
        }
        if headers.contains_key(CONTENT_ENCODING) {
            let detail = "attache decodes no body: send it as it is, without Content-Encoding";
            return Err(unsupported(detail.to_owned()));
        }
        let (name, takes): (_, &[&str]) = match self {
            Form::Value | Form::Removal => return Ok(()),
            Form::Merge => (HeaderName::from_static("accept-post"), &[JSON]),
            Form::Patch => (
                HeaderName::from_static("accept-patch"),
                &[MERGE_PATCH, JSON],
            ),
        };
        let given = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let media = given.unwrap_or_default().split(';').next();
        let media = media.unwrap_or_default().trim();
        if takes.iter().any(|taken| media.eq_ignore_ascii_case(taken)) {
            return Ok(());
        }
        let detail = format!("send the header Content-Type: {}", takes.join(" or "));
        let mut answer = unsupported(detail);
        // RFC 9110, section 15.5.16; RFC 5789, section 3.1.
        for name in [name, ACCEPT] {
            if let Ok(value) = HeaderValue::from_str(&takes.join(", ")) {
                answer.headers_mut().insert(name, value);
            }
        }
        Err(answer)
    }

    /// What is to become of keys.
    ///
    /// # Errors
    /// 400 for a body that is no JSON where it has to be, 422 for one that says nothing about keys, 413
    /// for values that fit into no ConfigMap.
    pub(super) fn edits(self, target: &Target<'_>, body: Bytes) -> Result<Edits, Answer> {
        let key = || target.key.as_deref().unwrap_or_default().to_owned();
        let edits = match self {
            Form::Merge | Form::Patch => members::edits(&body, self == Form::Patch)?,
            Form::Value => Edits::from([(key(), edits::raw(body))]),
            Form::Removal => Edits::from([(key(), Edit::Remove)]),
        };
        let size = edits::size(&edits);
        if size > MAX_VALUES {
            let detail = format!(
                "the values have {size} bytes, and all of a ConfigMap at most {MAX_VALUES}: spread \
                 them over several"
            );
            return Err(problem(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        Ok(edits)
    }
}

#[cfg(test)]
mod tests {
    use http::header::ALLOW;

    use super::*;
    use crate::api::writes::PARAMETERS;

    #[test]
    fn the_method_and_the_target_say_what_is_asked_for() {
        for (method, key, query, expected) in [
            (Method::POST, None, "", Ok((Form::Merge, None))),
            (Method::PUT, None, "", Ok((Form::Merge, None))),
            (Method::PATCH, None, "", Ok((Form::Patch, None))),
            (Method::PUT, Some("a"), "", Ok((Form::Value, Some("a")))),
            (
                Method::DELETE,
                Some("a"),
                "",
                Ok((Form::Removal, Some("a"))),
            ),
            (
                Method::DELETE,
                None,
                "key=a%2Db",
                Ok((Form::Removal, Some("a-b"))),
            ),
            (Method::DELETE, None, "", Err((400, None))),
            (Method::DELETE, None, "key=", Err((400, None))),
            (Method::DELETE, None, "key=a%20b", Err((400, None))),
            (Method::DELETE, Some("a"), "key=a", Err((400, None))),
            (Method::POST, None, "key=a", Err((400, None))),
            (Method::PUT, Some("a"), "key=a", Err((400, None))),
            (
                Method::POST,
                Some("a"),
                "",
                Err((405, Some("GET, HEAD, PUT, DELETE"))),
            ),
            (
                Method::PATCH,
                Some("a"),
                "",
                Err((405, Some("GET, HEAD, PUT, DELETE"))),
            ),
            (
                Method::OPTIONS,
                None,
                "",
                Err((405, Some("GET, HEAD, POST, PUT, PATCH, DELETE"))),
            ),
        ] {
            let target = Target::parse("default", "web", key).unwrap();
            let query = Query::parse(Some(query), PARAMETERS).unwrap();
            let read = Form::of(&method, &target)
                .and_then(|form| Ok((form, form.target(&target, &query)?)));
            let read = read.map(|(form, target)| (form, target.key.map(Cow::into_owned)));
            let read = read.map_err(|answer| {
                let allow = answer.headers().get(ALLOW);
                let allow = allow.map(|value| value.to_str().unwrap().to_owned());
                (answer.status().as_u16(), allow)
            });
            let expected = expected
                .map(|(form, key)| (form, key.map(str::to_owned)))
                .map_err(|(status, allow)| (status, allow.map(str::to_owned)));
            assert_eq!(read, expected, "{method} {key:?}");
        }
    }

    #[test]
    fn an_object_takes_json_and_a_key_anything() {
        let status = |form: Form, headers: &[(&'static str, &'static str)]| {
            let pairs = headers.iter();
            let headers = pairs
                .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
                .collect();
            form.admit(&headers).map_err(|a| {
                let accepted = a.headers().get(ACCEPT);
                let accepted = accepted.map(|v| v.to_str().unwrap().to_owned());
                (a.status().as_u16(), accepted)
            })
        };
        let media = |form, value| status(form, &[("content-type", value)]);
        let refused = |takes: &str| Err((415, Some(takes.to_owned())));
        for json in ["application/json", "Application/JSON ; charset=utf-8"] {
            assert_eq!(media(Form::Merge, json), Ok(()));
            assert_eq!(media(Form::Patch, json), Ok(()));
        }
        assert_eq!(media(Form::Patch, MERGE_PATCH), Ok(()));
        for other in [
            "text/plain",
            "application/x-www-form-urlencoded",
            MERGE_PATCH,
            "",
        ] {
            assert_eq!(media(Form::Merge, other), refused(JSON), "{other}");
        }
        let takes = "application/merge-patch+json, application/json";
        assert_eq!(
            media(Form::Patch, "application/json-patch+json"),
            refused(takes)
        );
        assert_eq!(status(Form::Merge, &[]), refused(JSON));
        assert_eq!(status(Form::Value, &[]), Ok(()));
        assert_eq!(
            status(Form::Removal, &[("content-encoding", "gzip")]),
            Ok(())
        );
        assert_eq!(
            status(Form::Value, &[("content-encoding", "gzip")]),
            Err((415, None))
        );
        assert_eq!(
            status(Form::Value, &[("content-range", "bytes 0-1/2")]),
            Err((400, None))
        );
    }

    #[test]
    fn values_that_fit_into_no_config_map_are_refused_before_anyone_is_asked() {
        let target = Target::parse("default", "web", Some("k")).unwrap();
        let edits = |size| Form::Value.edits(&target, vec![b'x'; size].into());
        assert_eq!(edits(MAX_VALUES).unwrap().len(), 1);
        assert_eq!(edits(MAX_VALUES + 1).unwrap_err().status(), 413);
        let removal = Form::Removal.edits(&target, Bytes::new()).unwrap();
        assert_eq!(removal["k"], Edit::Remove);
    }
}
