//! What an event stream has told of an object or of one of its keys.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::body::Bytes;
use serde::Deserialize;

use super::events::Event;

/// The state that the events lead to. Only an event with an `id` completes one: what came since the
/// last is kept aside until then, since a stream that breaks off is resumed from that `id`.
#[derive(Debug)]
pub(super) struct Model {
    /// Whether one key is followed, rather than all of an object.
    one_key: bool,
    /// `None` if it does not exist.
    state: Option<State>,
    id: Option<String>,
    pending: Vec<Step>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct State {
    values: BTreeMap<String, Value>,
    resource_version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    Binary(Vec<u8>),
}

#[derive(Debug)]
enum Step {
    /// All of it, or that it does not exist.
    Whole(Option<State>),
    /// One key; without a value it is gone.
    Key {
        key: String,
        value: Option<Value>,
        resource_version: Option<String>,
    },
}

/// A state, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// A key's bytes; or the text values of an object as JSON, on one line without its end.
    pub(super) value: Bytes,
    /// The object's resourceVersion; none of what files serve.
    pub(super) resource_version: Option<String>,
}

/// What an event is good for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Another state; `None` if it does not exist.
    State(Option<Shown>),
    /// The sidecar has lost its source, for this reason.
    Stale(String),
    /// It has it again.
    Fresh,
    /// A part of a state, a state that is shown already, or an event that is not known.
    Nothing,
}

/// An event is not what a sidecar sends. Its content is not told: it may be secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// `data` of an object's `snapshot`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    resource_version: Option<String>,
    data: Option<BTreeMap<String, String>>,
    #[serde(default)]
    binary_data: BTreeMap<String, String>,
}

/// `data` of a `change`, and of a key's `snapshot`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    key: String,
    value: Option<String>,
    encoding: Option<String>,
    resource_version: Option<String>,
}

#[derive(Deserialize)]
struct Stale {
    #[serde(default)]
    reason: String,
}

// === impl Model ===

impl Model {
    pub(super) fn new(one_key: bool) -> Self {
        Self {
            one_key,
            state: None,
            id: None,
            pending: Vec::new(),
        }
    }

    /// The `Last-Event-ID` to go on from.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The stream has ended: what came after the last `id` is not known to be all of a change.
    pub(super) fn break_off(&mut self) {
        self.pending.clear();
    }

    /// Asks for all of it the next time.
    pub(super) fn forget_id(&mut self) {
        self.id = None;
    }

    /// Takes an event.
    ///
    /// # Errors
    /// [`Malformed`].
    pub(super) fn apply(&mut self, event: &Event) -> Result<Told, Malformed> {
        match &*event.name {
            "snapshot" | "change" => self.pending.push(self.step(event)?),
            "stale" => {
                let stale: Stale = json(&event.data)?;
                return Ok(Told::Stale(stale.reason));
            }
            "fresh" => return Ok(Told::Fresh),
            // A later sidecar may send more; such an event leads to no state.
            _ => return Ok(Told::Nothing),
        }
        // An empty one says that more of the same change follows.
        let Some(id) = event.id.as_ref().filter(|id| !id.is_empty()) else {
            return Ok(Told::Nothing);
        };
        for step in std::mem::take(&mut self.pending) {
            step.apply(&mut self.state);
        }
        // The same state again: the answer to an id that the sidecar did not know.
        let known = self.id.replace(id.clone()).as_ref() == Some(id);
        Ok(match known {
            true => Told::Nothing,
            false => Told::State(self.shown()),
        })
    }

    fn step(&self, event: &Event) -> Result<Step, Malformed> {
        if event.name == "snapshot" && !self.one_key {
            let whole: Whole = json(&event.data)?;
            return Ok(Step::Whole(whole.state()?));
        }
        let entry: Entry = json(&event.data)?;
        let value = entry.value()?;
        let resource_version = entry.resource_version;
        Ok(if self.one_key {
            Step::Whole(value.map(|value| State {
                values: [(entry.key, value)].into(),
                resource_version,
            }))
        } else {
            Step::Key {
                key: entry.key,
                value,
                resource_version,
            }
        })
    }

    fn shown(&self) -> Option<Shown> {
        let state = self.state.as_ref()?;
        let value = if self.one_key {
            match state.values.values().next()? {
                Value::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
                Value::Binary(bytes) => Bytes::copy_from_slice(bytes),
            }
        } else {
            let texts = state.values.iter().filter_map(|(key, value)| match value {
                Value::Text(text) => Some((key, text)),
                Value::Binary(_) => None,
            });
            let texts: BTreeMap<_, _> = texts.collect();
            // Text by text cannot fail to be JSON.
            serde_json::to_vec(&texts).unwrap_or_default().into()
        };
        Some(Shown {
            value,
            resource_version: state.resource_version.clone(),
        })
    }
}

// === impl Step ===

impl Step {
    fn apply(self, state: &mut Option<State>) {
        match self {
            Self::Whole(whole) => *state = whole,
            Self::Key {
                key,
                value,
                resource_version,
            } => {
                let state = state.get_or_insert_default();
                state.resource_version = resource_version;
                match value {
                    Some(value) => state.values.insert(key, value),
                    None => state.values.remove(&key),
                };
            }
        }
    }
}

// === impl Whole ===

impl Whole {
    fn state(self) -> Result<Option<State>, Malformed> {
        let Some(data) = self.data else {
            return Ok(None);
        };
        let mut values: BTreeMap<_, _> = data
            .into_iter()
            .map(|(key, text)| (key, Value::Text(text)))
            .collect();
        for (key, text) in self.binary_data {
            values.insert(key, binary(&text)?);
        }
        Ok(Some(State {
            values,
            resource_version: self.resource_version,
        }))
    }
}

// === impl Entry ===

impl Entry {
    fn value(&self) -> Result<Option<Value>, Malformed> {
        match (&self.value, self.encoding.as_deref()) {
            (None, _) => Ok(None),
            (Some(text), None) => Ok(Some(Value::Text(text.clone()))),
            (Some(text), Some("base64")) => binary(text).map(Some),
            (Some(_), Some(_)) => Err(Malformed),
        }
    }
}

fn binary(text: &str) -> Result<Value, Malformed> {
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| Malformed)?;
    Ok(Value::Binary(bytes))
}

fn json<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, Malformed> {
    serde_json::from_str(data).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str, id: &str) -> Event {
        Event {
            name: name.to_owned(),
            data: data.to_owned(),
            id: (!id.is_empty()).then(|| id.to_owned()),
        }
    }

    fn state(value: &[u8], resource_version: Option<&str>) -> Result<Told, Malformed> {
        Ok(Told::State(Some(Shown {
            value: Bytes::copy_from_slice(value),
            resource_version: resource_version.map(str::to_owned),
        })))
    }

    #[test]
    fn an_object_is_its_snapshot_and_its_changes() {
        let mut model = Model::new(false);
        let mut apply = |name, data, id| model.apply(&event(name, data, id));
        let snapshot =
            r#"{"resourceVersion":"7","data":{"B":"2","A":"1"},"binaryData":{"X":"/w=="}}"#;
        assert_eq!(
            apply("snapshot", snapshot, "a"),
            state(br#"{"A":"1","B":"2"}"#, Some("7"))
        );
        let removed = r#"{"key":"A","value":null,"resourceVersion":"8"}"#;
        assert_eq!(apply("change", removed, ""), Ok(Told::Nothing));
        let text = r#"{"key":"X","value":"x","resourceVersion":"8"}"#;
        assert_eq!(
            apply("change", text, "b"),
            state(br#"{"B":"2","X":"x"}"#, Some("8"))
        );
        let binary = r#"{"key":"B","value":"/w==","encoding":"base64","resourceVersion":"9"}"#;
        assert_eq!(
            apply("change", binary, "c"),
            state(br#"{"X":"x"}"#, Some("9"))
        );
        assert_eq!(
            apply(
                "snapshot",
                r#"{"resourceVersion":null,"data":null}"#,
                "\"absent\""
            ),
            Ok(Told::State(None))
        );
        assert_eq!(
            apply("snapshot", r#"{"resourceVersion":null,"data":{}}"#, "d"),
            state(b"{}", None)
        );
    }

    #[test]
    fn a_key_is_its_bytes() {
        let mut model = Model::new(true);
        let mut apply = |name, data, id| model.apply(&event(name, data, id));
        assert_eq!(
            apply(
                "snapshot",
                r#"{"key":"K","value":null,"resourceVersion":null}"#,
                "a"
            ),
            Ok(Told::State(None))
        );
        assert_eq!(
            apply(
                "change",
                r#"{"key":"K","value":"v","resourceVersion":"2"}"#,
                "b"
            ),
            state(b"v", Some("2"))
        );
        let binary = r#"{"key":"K","value":"AP8=","encoding":"base64","resourceVersion":"3"}"#;
        assert_eq!(apply("change", binary, "c"), state(b"\0\xff", Some("3")));
    }

    #[test]
    fn half_of_a_change_is_forgotten_when_the_stream_breaks_off() {
        let mut model = Model::new(false);
        let snapshot = event(
            "snapshot",
            r#"{"resourceVersion":"1","data":{"A":"1"}}"#,
            "a",
        );
        model.apply(&snapshot).unwrap();
        let change = |key: &str, id| {
            let data = format!(r#"{{"key":"{key}","value":"2","resourceVersion":"2"}}"#);
            event("change", &data, id)
        };
        assert_eq!(model.apply(&change("A", "")), Ok(Told::Nothing));
        model.break_off();
        assert_eq!(model.id(), Some("a"));
        // The object went back to what it was, so that the resumed stream begins with a new change.
        assert_eq!(
            model.apply(&change("B", "c")),
            state(br#"{"A":"1","B":"2"}"#, Some("2"))
        );
    }

    #[test]
    fn a_state_is_told_once() {
        let mut model = Model::new(false);
        let snapshot = event("snapshot", r#"{"resourceVersion":"1","data":{}}"#, "a");
        assert_eq!(model.apply(&snapshot), state(b"{}", Some("1")));
        assert_eq!(model.apply(&snapshot), Ok(Told::Nothing));
        let absent = event(
            "snapshot",
            r#"{"resourceVersion":null,"data":null}"#,
            "\"absent\"",
        );
        assert_eq!(model.apply(&absent), Ok(Told::State(None)));
        assert_eq!(model.apply(&snapshot), state(b"{}", Some("1")));
    }

    #[test]
    fn contact_is_told_and_what_is_not_known_is_not() {
        let mut model = Model::new(true);
        let stale = event("stale", r#"{"ageSeconds":3,"reason":"away"}"#, "");
        assert_eq!(model.apply(&stale), Ok(Told::Stale("away".into())));
        assert_eq!(model.apply(&event("fresh", "{}", "")), Ok(Told::Fresh));
        assert_eq!(model.apply(&event("later", "?", "z")), Ok(Told::Nothing));
        assert_eq!(model.id(), None);
    }

    #[test]
    fn what_is_no_event_of_ours_is_malformed() {
        for (one_key, name, data) in [
            (false, "snapshot", "{"),
            (false, "snapshot", r#"{"data":{"K":1}}"#),
            (false, "snapshot", r#"{"data":{},"binaryData":{"B":"?"}}"#),
            (false, "change", r#"{"value":"v"}"#),
            (
                true,
                "change",
                r#"{"key":"K","value":"v","encoding":"rot13"}"#,
            ),
            (true, "snapshot", r#"{"data":{}}"#),
            (true, "stale", "away"),
        ] {
            let told = Model::new(one_key).apply(&event(name, data, "a"));
            assert_eq!(told, Err(Malformed), "{name} {data}");
        }
    }
}
