//! What a request asks for, and whether it may be done to what is there. Pure.

use http::HeaderMap;
use http::header::{IF_MATCH, IF_NONE_MATCH};

use super::edits::{self, Edit, Edits};
use crate::api::kv::{Representation, Target, precondition};
use crate::store::{ETag, Object};

/// What a request asks for.
pub(super) struct Wish<'a> {
    /// The object, or the key, that it is about.
    pub(super) target: Target<'a>,
    pub(super) edits: Edits,
    /// Which conditions it sets.
    pub(super) headers: &'a HeaderMap,
}

/// What fulfils a wish.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Create,
    /// A patch of the object of this resourceVersion.
    Patch(&'a str),
}

/// Why a wish is not fulfilled.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A condition does not hold of what is there.
    Condition,
    /// The key to be deleted is not there.
    Absent,
    /// The object of which keys are to be removed is not there.
    NoObject,
}

// === impl Wish ===

impl Wish<'_> {
    /// Whether it depends on what is there: it sets conditions, or deletes a key, which must be there
    /// for that.
    pub(super) fn is_conditional(&self) -> bool {
        self.deletes()
            || self.headers.contains_key(IF_MATCH)
            || self.headers.contains_key(IF_NONE_MATCH)
    }

    /// Whether it is a DELETE: of the methods about one key the one that removes it.
    pub(super) fn deletes(&self) -> bool {
        let key = self.target.key.as_deref();
        key.is_some_and(|key| self.edits.get(key) == Some(&Edit::Remove))
    }

    /// What a GET of what the request is about shows of `object`.
    pub(super) fn shown<'o>(&self, object: &'o Object) -> Option<Representation<'o>> {
        Representation::of(object.content(), self.target.key.as_deref())
    }

    /// The tag of what the request is about, of `object`.
    pub(super) fn etag<'o>(&self, object: Option<&'o Object>) -> Option<&'o ETag> {
        self.shown(object?).map(|shown| shown.etag())
    }

    /// What is to be done if the API server has `object`. The step fails if it has another version
    /// by then.
    pub(super) fn judge<'o>(&self, object: Option<&'o Object>) -> Result<Step<'o>, Refusal> {
        let etag = self.etag(object);
        if !precondition::holds(self.headers, etag) {
            return Err(Refusal::Condition);
        }
        if self.deletes() && etag.is_none() {
            return Err(Refusal::Absent);
        }
        Ok(match object {
            None if edits::only_remove(&self.edits) => return Err(Refusal::NoObject),
            None => Step::Create,
            Some(object) => Step::Patch(object.resource_version()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::HeaderValue;
    use http::header::HeaderName;

    use super::*;
    use crate::store::{Kind, ObjectRef, RawObject};

    fn web(data: &[(&str, &str)]) -> Arc<Object> {
        let mut raw = RawObject::empty(ObjectRef::new(Kind::ConfigMap, "default", "web"));
        raw.uid = "u".into();
        raw.resource_version = "7".into();
        let data = data.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        raw.data = data.collect();
        Object::freeze(raw, None)
    }

    fn headers(conditions: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = conditions.iter();
        pairs
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn wish<'a>(key: Option<&'a str>, headers: &'a HeaderMap) -> Wish<'a> {
        Wish {
            target: Target::parse("default", "web", key).unwrap(),
            edits: Edits::new(),
            headers,
        }
    }

    #[test]
    fn a_condition_is_about_the_object_or_the_key() {
        let object = web(&[("a", "1")]);
        let tag = |key: Option<&str>| {
            let none = HeaderMap::new();
            let tag = wish(key, &none).etag(Some(&object)).cloned();
            tag.unwrap().as_str().to_owned()
        };
        let (whole, a) = (tag(None), tag(Some("a")));
        let weak = format!("W/{whole}");
        let listed = format!("\"x\", {whole}");
        for (key, condition, holds, holds_of_none) in [
            (None, (IF_MATCH, &*whole), true, false),
            (None, (IF_MATCH, &listed), true, false),
            (None, (IF_MATCH, &weak), false, false),
            (None, (IF_MATCH, &a), false, false),
            (None, (IF_MATCH, "*"), true, false),
            (None, (IF_MATCH, "garbage"), false, false),
            (None, (IF_NONE_MATCH, "*"), false, true),
            (None, (IF_NONE_MATCH, &whole), false, true),
            (None, (IF_NONE_MATCH, &weak), false, true),
            (None, (IF_NONE_MATCH, &a), true, true),
            (Some("a"), (IF_MATCH, &a), true, false),
            (Some("a"), (IF_MATCH, &whole), false, false),
            (Some("a"), (IF_NONE_MATCH, "*"), false, true),
            (Some("b"), (IF_MATCH, "*"), false, false),
            (Some("b"), (IF_NONE_MATCH, "*"), true, true),
        ] {
            let headers = headers(std::slice::from_ref(&condition));
            let wish = wish(key, &headers);
            assert!(wish.is_conditional());
            let expected = |holds, step| {
                if holds {
                    Ok(step)
                } else {
                    Err(Refusal::Condition)
                }
            };
            assert_eq!(
                wish.judge(Some(&object)),
                expected(holds, Step::Patch("7")),
                "{key:?} {condition:?}"
            );
            assert_eq!(
                wish.judge(None),
                expected(holds_of_none, Step::Create),
                "{key:?} {condition:?}"
            );
        }
        let both = headers(&[(IF_MATCH, &whole), (IF_NONE_MATCH, &whole)]);
        assert_eq!(
            wish(None, &both).judge(Some(&object)),
            Err(Refusal::Condition)
        );
        let none = HeaderMap::new();
        assert!(!wish(None, &none).is_conditional());
    }

    #[test]
    fn only_a_key_that_is_there_is_deleted() {
        let object = web(&[("a", "1")]);
        let deletion = |key, headers| {
            let mut wish = wish(Some(key), headers);
            wish.edits.insert(key.to_owned(), Edit::Remove);
            assert!(wish.is_conditional());
            wish
        };
        let none = HeaderMap::new();
        assert_eq!(
            deletion("a", &none).judge(Some(&object)),
            Ok(Step::Patch("7"))
        );
        assert_eq!(
            deletion("b", &none).judge(Some(&object)),
            Err(Refusal::Absent)
        );
        assert_eq!(deletion("a", &none).judge(None), Err(Refusal::Absent));
        let matching = headers(&[(IF_MATCH, "*")]);
        assert_eq!(
            deletion("b", &matching).judge(None),
            Err(Refusal::Condition)
        );
        // A merge patch that removes a key asks for no more than that it be gone.
        let mut patch = wish(None, &none);
        patch.edits.insert("a".into(), Edit::Remove);
        assert!(!patch.is_conditional());
        assert_eq!(patch.judge(Some(&object)), Ok(Step::Patch("7")));
        assert_eq!(patch.judge(None), Err(Refusal::NoObject));
        patch.edits.insert("b".into(), Edit::Text("2".into()));
        assert_eq!(patch.judge(None), Ok(Step::Create));
    }
}
