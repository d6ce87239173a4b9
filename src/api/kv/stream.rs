//! Objects and keys as they change: who waits for the next answer, and who follows all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use serde::Serialize;

use super::super::fetch::gone;
use super::super::push::{Moment, State, Subject, Wait};
use super::{Answer, Api, Origin, Target, demanded, passes_over, unwatched};
use crate::http::Peer;
use crate::store::{Contact, ETag, Lookup, Object, Snapshot, Tags, Value};

// === impl Api ===

impl Api {
    /// Answers a read once its answer is another than the client has.
    pub(super) async fn changed(
        &self,
        target: &Target<'_>,
        wait: Wait,
        head: &Parts,
        peer: &Peer,
    ) -> Answer {
        let held = || self.held(target, &head.headers, Origin::Hit);
        if held().is_none() {
            match &self.demander {
                Some(demander) if self.fetches(target) => {
                    if let Err(refusal) = Box::pin(demanded(demander, target, false)).await {
                        return refusal;
                    }
                }
                _ => return unwatched(target),
            }
        }
        let answer = || match held() {
            Some(answer) => answer,
            // Who asks again has it fetched, if it may be.
            None if self.fetches(target) => gone(target),
            None => unwatched(target),
        };
        self.long_poll(self.reader.clone(), wait, peer, answer)
            .await
    }

    /// Answers with the events of an object or of one key, also of one that does not exist yet.
    pub(super) async fn followed(&self, target: &Target<'_>, head: &Parts, peer: &Peer) -> Answer {
        let refusal = match (self.refusal(target, Origin::Hit), &self.demander) {
            (Some(known), _) => known.err(),
            (None, Some(demander)) if self.fetches(target) => {
                match Box::pin(demanded(demander, target, true)).await {
                    Ok(()) => match self.refusal(target, Origin::Fetched) {
                        Some(known) => known.err(),
                        None => Some(gone(target)),
                    },
                    Err(refusal) => Some(refusal),
                }
            }
            (None, _) => Some(unwatched(target)),
        };
        refusal.unwrap_or_else(|| self.stream(self.reader.clone(), subject(target), head, peer))
    }

    /// Whether an object can be followed, and the answer if not; `None` if no scope surely goes on to answer
    /// for it.
    fn refusal(&self, target: &Target<'_>, origin: Origin) -> Option<Result<(), Answer>> {
        let snapshot = self.reader.snapshot();
        match snapshot.lookup(target.kind, &target.namespace, &target.name) {
            Lookup::Found(..) => Some(Ok(())),
            // Who had it fetched may not have awaited it, and then it is let go of again: this one does.
            Lookup::Missing(scope) if scope.spec().on_demand && matches!(origin, Origin::Hit) => {
                None
            }
            Lookup::Missing(scope) if !passes_over(scope, target) => Some(Ok(())),
            unknown => {
                let answer = self.known(&unknown, target, &HeaderMap::new(), origin);
                answer.map(Err)
            }
        }
    }
}

/// What a stream of an object or of one key follows.
fn subject(target: &Target<'_>) -> Subject {
    let reference = target.reference();
    let key: Option<Arc<str>> = target.key.as_deref().map(Arc::from);
    Box::new(move |snapshot: &Snapshot| {
        let (object, contact) =
            match snapshot.lookup(reference.kind, &reference.namespace, &reference.name) {
                Lookup::Found(object, scope) => {
                    scope.touch();
                    (Some(Arc::clone(object)), scope.contact().clone())
                }
                Lookup::Missing(scope) => {
                    scope.touch();
                    (None, scope.contact().clone())
                }
                // It left its selector, or is too large by now.
                Lookup::Pending(_) | Lookup::Refused(_) | Lookup::Unwatched => {
                    (None, Contact::Never { reason: None })
                }
            };
        let state: Option<Box<dyn State>> = match (&key, object) {
            (None, None) => None,
            (None, Some(object)) => Some(Box::new(Whole(object))),
            (Some(key), object) => Some(Box::new(Key::new(Arc::clone(key), object))),
        };
        Moment { state, contact }
    })
}

/// An object's content.
struct Whole(Arc<Object>);

/// One key, there or not.
struct Key {
    key: Arc<str>,
    object: Option<Arc<Object>>,
    etag: ETag,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WholeData<'a> {
    resource_version: Option<&'a str>,
    data: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    binary_data: BTreeMap<&'a str, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyData<'a> {
    key: &'a str,
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    resource_version: Option<&'a str>,
}

// === impl Whole ===

impl State for Whole {
    fn etag(&self) -> &ETag {
        self.0.content().etag()
    }

    fn tags(&self) -> Arc<Tags> {
        self.0.content().tags()
    }

    fn snapshot(&self) -> Bytes {
        let values = || self.0.content().values().iter();
        let binary = values().filter(|(_, value)| value.text().is_none());
        json(&WholeData {
            resource_version: resource_version(&self.0),
            data: values()
                .filter_map(|(key, value)| Some((&**key, value.text()?)))
                .collect(),
            binary_data: binary
                .map(|(key, value)| (&**key, STANDARD.encode(&value.bytes)))
                .collect(),
        })
    }

    fn change(&self, key: &str) -> Bytes {
        key_data(key, Some(&self.0))
    }
}

// === impl Key ===

impl Key {
    fn new(key: Arc<str>, object: Option<Arc<Object>>) -> Self {
        let value = object.as_ref().and_then(|o| o.content().get(&key));
        let etag = value.map_or_else(ETag::absent, |value| value.etag.clone());
        Self { key, object, etag }
    }

    fn value(&self) -> Option<&Value> {
        self.object.as_ref()?.content().get(&self.key)
    }
}

impl State for Key {
    fn etag(&self) -> &ETag {
        &self.etag
    }

    fn tags(&self) -> Arc<Tags> {
        let tag = |value: &Value| (Box::from(&*self.key), value.etag.clone());
        Arc::new(self.value().map(tag).into_iter().collect())
    }

    fn snapshot(&self) -> Bytes {
        key_data(&self.key, self.object.as_deref())
    }

    fn change(&self, key: &str) -> Bytes {
        key_data(key, self.object.as_deref())
    }
}

fn key_data(key: &str, object: Option<&Object>) -> Bytes {
    let value = object.and_then(|object| object.content().get(key));
    let text = value.and_then(Value::text);
    let binary = value.filter(|_| text.is_none());
    let encoded = binary.map(|value| STANDARD.encode(&value.bytes));
    json(&KeyData {
        key,
        value: text.or(encoded.as_deref()),
        encoding: encoded.is_some().then_some("base64"),
        resource_version: object.and_then(resource_version),
    })
}

/// `None` of files, which have none.
fn resource_version(object: &Object) -> Option<&str> {
    Some(object.resource_version()).filter(|version| !version.is_empty())
}

fn json(data: &impl Serialize) -> Bytes {
    // Structs and maps of texts always serialize.
    serde_json::to_vec(data).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
