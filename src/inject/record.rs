//! What attache notes on a pod about its own injection: the annotation `attache.dev/injected`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::editor::{Editor, Undo, escaped, find};
use crate::config::PREFIX;

/// The annotations of a pod.
const ANNOTATIONS: &str = "/metadata/annotations";
/// The annotation, without its prefix.
const INJECTED: &str = "injected";

/// One injection: by which attache, a hash of what it did, and what takes it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    version: String,
    hash: String,
    undo: Vec<Undo>,
}

// === impl Record ===

impl Record {
    /// That of a pod; `None` if there is none that can be read.
    pub(super) fn of(pod: &Value) -> Option<Self> {
        let text = find(pod, &annotation(INJECTED))?.as_str()?;
        serde_json::from_str(text).ok()
    }

    /// Notes the edits onto the pod they were made to.
    pub(super) fn note(editor: Editor, version: &str) -> (Value, Self) {
        let (mut pod, undo, digest) = editor.finish();
        let record = Self {
            version: version.to_owned(),
            // 96 bits are plenty to tell one injection of a pod from another.
            hash: BASE64_URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12]),
            undo,
        };
        let text = serde_json::to_string(&record).unwrap_or_default();
        let annotations = pod.pointer_mut(ANNOTATIONS).and_then(Value::as_object_mut);
        if let Some(annotations) = annotations {
            annotations.insert(format!("{PREFIX}{INJECTED}"), Value::String(text));
        }
        (pod, record)
    }

    /// The pod as it was before.
    pub(super) fn taken_out(&self, pod: &Value) -> Value {
        let mut pod = pod.clone();
        let annotations = pod.pointer_mut(ANNOTATIONS).and_then(Value::as_object_mut);
        if let Some(annotations) = annotations {
            annotations.remove(&format!("{PREFIX}{INJECTED}"));
        }
        for undo in self.undo.iter().rev() {
            undo.clone().apply(&mut pod);
        }
        pod
    }

    /// Whether `pod` already is as `fresh` would make it: the same edits by the same version, of which
    /// none was undone since. What others changed beside, in our container too, does not count.
    pub(super) fn is_of(&self, fresh: &Self, pod: &Value) -> bool {
        self.version == fresh.version
            && self.hash == fresh.hash
            && self.undo.iter().all(|undo| undo.stands(pod))
    }

    /// The annotations that were written onto the pod and still are as they were written, without
    /// their prefix.
    pub(super) fn written(&self, pod: &Value) -> BTreeMap<String, String> {
        let mut written = BTreeMap::new();
        let prefix = annotation("");
        for undo in &self.undo {
            if let Undo::Set {
                set,
                now: Value::String(text),
            } = undo
                && let Some(name) = set.strip_prefix(&prefix)
                && undo.stands(pod)
            {
                written.insert(name.to_owned(), text.clone());
            }
        }
        written
    }
}

/// Writes those of `write` that the pod has none of.
pub(super) fn write(editor: &mut Editor, base: &Value, write: &BTreeMap<String, String>) {
    editor.ensure(ANNOTATIONS, Value::Object(Map::new()));
    for (name, text) in write {
        let path = annotation(name);
        if find(base, &path).is_none() {
            editor.set(&path, Value::String(text.clone()));
        }
    }
}

/// The path of one of attache's annotations.
pub(super) fn annotation(name: &str) -> String {
    format!("{ANNOTATIONS}/{}", escaped(&format!("{PREFIX}{name}")))
}
