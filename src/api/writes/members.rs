//! A JSON object of strings, as the body of a write has it. What is wrong is told by key and place,
//! never by value.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use http::StatusCode;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::edits::{Edit, Edits};
use crate::api::Answer;
use crate::api::kv::target::is_key;
use crate::api::problem::problem;

/// Reads the members of a JSON object as edits; `null` removes a key if `nulls`.
///
/// # Errors
/// 400 for what is no JSON, 422 for JSON that says nothing about keys.
pub(super) fn edits(body: &[u8], nulls: bool) -> Result<Edits, Answer> {
    let refused = |detail: String| problem(StatusCode::UNPROCESSABLE_ENTITY, detail);
    let json: Json = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let detail = format!(
            "the body is no JSON (line {line}, column {column}): send an object of strings, such \
             as {{\"key\": \"value\"}}"
        );
        problem(StatusCode::BAD_REQUEST, detail)
    })?;
    let Json::Object(members) = json else {
        let detail = format!(
            "the body is {}: send a JSON object of strings, such as {{\"key\": \"value\"}}",
            json.name()
        );
        return Err(refused(detail));
    };
    if let Some(key) = members.twice {
        let detail = format!("the key {} stands twice in the body: keep one", shown(&key));
        return Err(refused(detail));
    }
    let mut edits = Edits::new();
    for (key, value) in members.of {
        if !is_key(&key) {
            let detail = format!(
                "{} is no key that Kubernetes allows: use at most 253 letters, digits, - _ and . ; \
                 not . or anything that starts with ..",
                shown(&key)
            );
            return Err(refused(detail));
        }
        let edit = match value {
            Json::String(text) => Edit::Text(text),
            Json::Null if nulls => Edit::Remove,
            Json::Null => {
                let detail = format!(
                    "the value of {key} is null: use PATCH to remove a key, or DELETE ?key={key}"
                );
                return Err(refused(detail));
            }
            other => {
                let advice = match other {
                    // As in a manifest, where `data` holds the keys.
                    Json::Object(_) => "give its keys by themselves, or all of it as one string",
                    _ => "put it in quotes",
                };
                let detail = format!(
                    "the value of {key} is {}: a ConfigMap holds strings, so {advice}",
                    other.name()
                );
                return Err(refused(detail));
            }
        };
        edits.insert(key, edit);
    }
    Ok(edits)
}

/// A key that may be none, in quotes and not at length.
fn shown(key: &str) -> String {
    let short: String = key.chars().take(64).collect();
    format!("{short:?}")
}

/// As much of a JSON value as is of use.
enum Json {
    String(String),
    Null,
    Object(Members),
    /// With an article.
    Other(&'static str),
}

#[derive(Default)]
struct Members {
    of: BTreeMap<String, Json>,
    /// RFC 8259, section 4: what receivers make of such an object is unpredictable.
    twice: Option<String>,
}

// === impl Json ===

impl Json {
    fn name(&self) -> &'static str {
        match self {
            Json::String(_) => "a string",
            Json::Null => "null",
            Json::Object(_) => "an object",
            Json::Other(name) => name,
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::String(text))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Json, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Json::Other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
        let mut members = Members::default();
        while let Some((key, value)) = object.next_entry::<String, Json>()? {
            match members.of.entry(key) {
                Entry::Vacant(vacant) => _ = vacant.insert(value),
                Entry::Occupied(twice) => {
                    members.twice.get_or_insert_with(|| twice.key().clone());
                }
            }
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn strings_set_keys_and_null_removes_them() {
        let read = edits(br#" {"b": "2", "a": "", "gone": null} "#, true).unwrap();
        let expected = [
            ("a", Edit::Text(String::new())),
            ("b", Edit::Text("2".into())),
            ("gone", Edit::Remove),
        ];
        assert_eq!(read, expected.map(|(k, e)| (k.to_owned(), e)).into());
        assert!(edits(b"{}", false).unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_says_nothing_about_keys_is_refused_without_a_word_of_its_values() {
        let long = format!("{{\"{}\": \"hunter2\"}}", "k".repeat(254));
        for (body, status, says) in [
            ("", 400, "no JSON (line 1, column 0)"),
            ("{\"a\": hunter2}", 400, "no JSON"),
            ("{\"a\": \"hunter2\"", 400, "no JSON"),
            ("{} hunter2", 400, "no JSON"),
            ("{\"a\": \"hunter2\\ud800\"}", 400, "no JSON"),
            ("[\"hunter2\"]", 422, "an array"),
            ("\"hunter2\"", 422, "a string"),
            ("null", 422, "null"),
            ("{\"a\": 17.5}", 422, "the value of a is a number"),
            ("{\"a\": -1}", 422, "put it in quotes"),
            ("{\"a\": true}", 422, "a boolean"),
            (
                "{\"a\": {\"hunter2\": 1}}",
                422,
                "an object: a ConfigMap holds strings, so give its keys",
            ),
            ("{\"a\": [\"hunter2\"]}", 422, "an array"),
            ("{\"a\": null}", 422, "PATCH"),
            (
                "{\"a\": \"hunter2\", \"a\": \"hunter2\"}",
                422,
                "\\\"a\\\" stands twice",
            ),
            ("{\"a b\": \"hunter2\"}", 422, "\\\"a b\\\" is no key"),
            ("{\"..a\": \"hunter2\"}", 422, "is no key"),
            ("{\"\": \"hunter2\"}", 422, "is no key"),
            (&long, 422, "is no key"),
        ] {
            let refused = edits(body.as_bytes(), false).unwrap_err();
            assert_eq!(refused.status().as_u16(), status, "{body}");
            let told = refused.into_body().collect().await.unwrap().to_bytes();
            let told = String::from_utf8_lossy(&told);
            assert!(told.contains(says), "{body}: {told}");
            assert!(
                !told.contains("hunter2") && !told.contains("17.5"),
                "{told}"
            );
        }
    }
}
