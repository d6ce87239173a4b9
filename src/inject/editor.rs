//! Edits of a pod, each with what takes it back.
//!
//! Paths are JSON pointers (RFC 6901) in which a list's item is meant by its `name`, not its index:
//! others may add containers and volumes before or after ours.

use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where in a list an item goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    First,
    Last,
}

/// What takes an edit back. Its text is kept in annotations: a form that was once written stays
/// readable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Undo {
    /// A list or map was made, and so many parents with it, itself included.
    Made {
        made: String,
        levels: usize,
        /// The topmost of them was there as null.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        null: bool,
    },
    /// An item was put into the list `to`.
    Added { to: String, item: String },
    /// A field had another value.
    Replaced {
        replaced: String,
        was: Value,
        now: Value,
    },
    /// A field was not there.
    Set { set: String, now: Value },
    /// An item was taken out of a list.
    Took {
        took: String,
        index: usize,
        item: Value,
    },
}

/// A pod that is being edited.
pub(super) struct Editor {
    pod: Value,
    undo: Vec<Undo>,
    said: digest::Context,
}

// === impl Editor ===

impl Editor {
    pub(super) fn new(pod: Value) -> Self {
        Self {
            pod,
            undo: Vec::new(),
            said: digest::Context::new(&digest::SHA256),
        }
    }

    /// The pod, what takes all edits back, and a hash of the edits: of what they say, not of how the
    /// pod was before.
    pub(super) fn finish(self) -> (Value, Vec<Undo>, digest::Digest) {
        (self.pod, self.undo, self.said.finish())
    }

    /// Makes the list or map at `path` with its parents, where it is absent or null. What is made is
    /// no part of the hash: the API server leaves out empty lists.
    pub(super) fn ensure(&mut self, path: &str, empty: Value) {
        let mut above = path;
        let mut missing = Vec::new();
        while find(&self.pod, above).is_none_or(Value::is_null) {
            let Some((parent, key)) = above.rsplit_once('/') else {
                return;
            };
            missing.push(unescaped(key));
            above = parent;
        }
        let Some(top) = missing.pop() else { return };
        let levels = missing.len() + 1;
        let keys = missing.into_iter();
        let made = keys.fold(empty, |inner, key| {
            Value::Object(Map::from_iter([(key, inner)]))
        });
        if let Some(Value::Object(parent)) = find_mut(&mut self.pod, above) {
            let null = parent.insert(top, made).is_some();
            self.undo.push(Undo::Made {
                made: path.to_owned(),
                levels,
                null,
            });
        }
    }

    /// Puts `item` into the list at `path`, which is made if need be.
    pub(super) fn add(&mut self, path: &str, place: Place, item: Value) {
        self.ensure(path, Value::Array(Vec::new()));
        self.say(&format!("add {place:?} {path}"), &item);
        if let Some(Value::Array(list)) = find_mut(&mut self.pod, path) {
            self.undo.push(Undo::Added {
                to: path.to_owned(),
                item: identity(&item).to_owned(),
            });
            match place {
                Place::First => list.insert(0, item),
                Place::Last => list.push(item),
            }
        }
    }

    /// Sets the field at `path`, whose parent is there.
    pub(super) fn set(&mut self, path: &str, now: Value) {
        self.say(&format!("set {path}"), &now);
        let Some((Value::Object(parent), key)) = parent_mut(&mut self.pod, path) else {
            return;
        };
        let path = path.to_owned();
        self.undo.push(match parent.insert(key, now.clone()) {
            Some(was) => Undo::Replaced {
                replaced: path,
                was,
                now,
            },
            None => Undo::Set { set: path, now },
        });
    }

    /// Takes the items that `which` means out of the list at `path`.
    pub(super) fn take(&mut self, path: &str, which: impl Fn(&Value) -> bool) {
        while let Some(Value::Array(list)) = find_mut(&mut self.pod, path) {
            let Some(index) = list.iter().position(&which) else {
                return;
            };
            let item = list.remove(index);
            self.say(&format!("take {path}"), &item);
            self.undo.push(Undo::Took {
                took: path.to_owned(),
                index,
                item,
            });
        }
    }

    fn say(&mut self, what: &str, value: &Value) {
        // Line breaks in JSON text are escaped, and paths hold none, so no two edits read alike.
        let line = format!("{what}\n{value}\n");
        self.said.update(line.as_bytes());
    }
}

// === impl Undo ===

impl Undo {
    /// Whether what the edit said still holds.
    pub(super) fn stands(&self, pod: &Value) -> bool {
        match self {
            Self::Made { .. } => true,
            Self::Added { to, item } => position(find(pod, to), item).is_some(),
            Self::Replaced { replaced, now, .. } => find(pod, replaced) == Some(now),
            Self::Set { set, now } => find(pod, set) == Some(now),
            Self::Took { took, item, .. } => position(find(pod, took), identity(item)).is_none(),
        }
    }

    /// Takes the edit back. What somebody else has changed since stays as they made it.
    pub(super) fn apply(self, pod: &mut Value) {
        match self {
            Self::Made { made, levels, null } => unmake(pod, &made, levels, null),
            Self::Added { to, item } => {
                if let Some(Value::Array(list)) = find_mut(pod, &to)
                    && let Some(index) = index_of(list, &item)
                {
                    list.remove(index);
                }
            }
            Self::Replaced { replaced, was, now } => {
                if let Some(value) = find_mut(pod, &replaced).filter(|value| **value == now) {
                    *value = was;
                }
            }
            Self::Set { set, now } => {
                if find(pod, &set) == Some(&now) {
                    remove(pod, &set);
                }
            }
            Self::Took { took, index, item } => put_back(pod, &took, index, item),
        }
    }
}

/// Takes what was made out again, as far as it is empty.
fn unmake(pod: &mut Value, made: &str, levels: usize, null: bool) {
    let mut path = made;
    for level in 1..=levels {
        let empty = find(pod, path).is_none_or(|value| match value {
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty(),
            other => other.is_null(),
        });
        if !empty {
            return;
        }
        if level == levels && null {
            if let Some((Value::Object(parent), key)) = parent_mut(pod, path) {
                parent.insert(key, Value::Null);
            }
            return;
        }
        remove(pod, path);
        path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
}

fn put_back(pod: &mut Value, path: &str, index: usize, item: Value) {
    let Some((Value::Object(parent), key)) = parent_mut(pod, path) else {
        return;
    };
    let list = parent.entry(key).or_insert(Value::Null);
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    if let Value::Array(list) = list
        && index_of(list, identity(&item)).is_none()
    {
        list.insert(index.min(list.len()), item);
    }
}

fn remove(pod: &mut Value, path: &str) {
    if let Some((Value::Object(parent), key)) = parent_mut(pod, path) {
        parent.remove(&key);
    }
}

/// By what an item is told from the others of its list: where it is mounted, or its name.
fn identity(item: &Value) -> &str {
    let path = item.get("mountPath").or_else(|| item.get("name"));
    path.and_then(Value::as_str).unwrap_or_default()
}

fn position(list: Option<&Value>, item: &str) -> Option<usize> {
    index_of(list?.as_array()?, item)
}

fn index_of(list: &[Value], item: &str) -> Option<usize> {
    list.iter().position(|other| identity(other) == item)
}

/// A key as a step of a path (RFC 6901, section 3).
pub(super) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// What is at `path`.
pub(super) fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/').skip(1).try_fold(value, |value, step| {
        let step = unescaped(step);
        match value {
            Value::Object(map) => map.get(&step),
            Value::Array(list) => list.iter().find(|item| is_named(item, &step)),
            _ => None,
        }
    })
}

fn find_mut<'a>(value: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('/').skip(1).try_fold(value, |value, step| {
        let step = unescaped(step);
        match value {
            Value::Object(map) => map.get_mut(&step),
            Value::Array(list) => list.iter_mut().find(|item| is_named(item, &step)),
            _ => None,
        }
    })
}

fn parent_mut<'a>(pod: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (parent, key) = path.rsplit_once('/')?;
    Some((find_mut(pod, parent)?, unescaped(key)))
}

fn is_named(item: &Value, name: &str) -> bool {
    item.get("name").and_then(Value::as_str) == Some(name)
}
