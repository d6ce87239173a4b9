//! YAML and JSON as a tree that keeps the order of keys and how scalars were written, so that what is
//! printed again differs from what was read in nothing but what was changed.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

mod write;

pub(crate) use write::{Layout, block};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    /// Null, a boolean or a number.
    Plain {
        /// Which.
        value: Value,
        /// How YAML wrote it, as `0644`; without quotes it is taken for the same again.
        written: Option<String>,
    },
    /// Text.
    Text {
        /// It.
        text: String,
        /// How it was written.
        style: Style,
    },
    /// A sequence.
    List {
        /// Its items.
        items: Vec<Tree>,
        /// Whether it was written on one line: `[a, b]`.
        flow: bool,
    },
    /// A mapping; no key is in it twice.
    Map {
        /// Its keys and values, in their order.
        entries: Vec<(String, Tree)>,
        /// Whether it was written on one line: `{a: b}`.
        flow: bool,
    },
}

/// How text was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Not yet.
    Free,
    /// Without quotes: readers took it for text nevertheless.
    Plain,
    /// Between single quotes.
    Single,
    /// Between double quotes.
    Double,
}

/// Keys that come before others where no order is given, in this one: the usual order of manifests.
const FIRST: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "namespace",
    "image",
    "restartPolicy",
    "command",
    "args",
    "env",
    "ports",
];

// === impl Tree ===

impl Tree {
    /// The value of a mapping's key.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map { entries, .. } = self else {
            return None;
        };
        let entry = entries.iter().find(|(name, _)| name == key);
        entry.map(|(_, value)| value)
    }

    /// The value of a mapping's key, to be changed.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Self::Map { entries, .. } = self else {
            return None;
        };
        let entry = entries.iter_mut().find(|(name, _)| name == key);
        entry.map(|(_, value)| value)
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    /// How many values it is made of, itself among them.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Plain { .. } | Self::Text { .. } => 1,
            Self::List { items, .. } => 1 + items.iter().map(Self::size).sum::<usize>(),
            Self::Map { entries, .. } => {
                let sizes = entries.iter().map(|(_, value)| value.size());
                1 + sizes.sum::<usize>()
            }
        }
    }

    /// The value alone.
    pub(crate) fn value(&self) -> Value {
        match self {
            Self::Plain { value, .. } => value.clone(),
            Self::Text { text, .. } => Value::String(text.clone()),
            Self::List { items, .. } => Value::Array(items.iter().map(Self::value).collect()),
            Self::Map { entries, .. } => {
                let mut map = serde_json::Map::new();
                map.extend(
                    entries
                        .iter()
                        .map(|(key, tree)| (key.clone(), tree.value())),
                );
                Value::Object(map)
            }
        }
    }

    /// A value that nobody has written yet, its keys in the usual order.
    pub(crate) fn new(value: Value) -> Self {
        match value {
            Value::String(text) => {
                let style = Style::Free;
                Self::Text { text, style }
            }
            Value::Array(items) => {
                let items = items.into_iter().map(Self::new).collect();
                Self::List { items, flow: false }
            }
            Value::Object(map) => {
                let mut entries = Vec::new();
                entries.extend(map.into_iter().map(|(key, value)| (key, Self::new(value))));
                entries.sort_by_key(|(key, _)| rank(key));
                let flow = false;
                Self::Map { entries, flow }
            }
            value => {
                let written = None;
                Self::Plain { value, written }
            }
        }
    }

    /// The same, lists of scalars on one line.
    pub(crate) fn in_lines(mut self) -> Self {
        match &mut self {
            Self::List { items, flow } => {
                let scalar = |item: &Self| matches!(item, Self::Plain { .. } | Self::Text { .. });
                *flow = items.iter().all(scalar);
                *items = items.drain(..).map(Self::in_lines).collect();
            }
            Self::Map { entries, .. } => {
                let lined = entries.drain(..).map(|(key, tree)| (key, tree.in_lines()));
                *entries = lined.collect();
            }
            Self::Plain { .. } | Self::Text { .. } => {}
        }
        self
    }

    /// Takes on `value`; what of it was there before stays as it was written. Keys keep their order, new
    /// ones come after; items of lists are known by their `name`, or by being equal.
    pub(crate) fn adopt(&mut self, value: Value) {
        match (&mut *self, value) {
            (Self::Map { entries, .. }, Value::Object(mut map)) => {
                let mut kept = Vec::new();
                for (key, mut tree) in entries.drain(..) {
                    if let Some(value) = map.remove(&key) {
                        tree.adopt(value);
                        kept.push((key, tree));
                    }
                }
                if let Self::Map { entries: new, .. } = Self::new(Value::Object(map)) {
                    for entry in new {
                        kept.insert(place(&entry.0, &kept), entry);
                    }
                }
                *entries = kept;
            }
            (Self::List { items, .. }, Value::Array(values)) => {
                let mut old: Vec<_> = items.drain(..).map(Some).collect();
                for value in values {
                    let same =
                        |tree: &Option<Self>| tree.as_ref().is_some_and(|tree| tree.is(&value));
                    let found = old.iter().position(same);
                    match found.and_then(|at| old[at].take()) {
                        Some(mut tree) => {
                            tree.adopt(value);
                            items.push(tree);
                        }
                        None => items.push(Self::new(value)),
                    }
                }
            }
            (tree, value) => {
                if tree.value() != value {
                    *tree = Self::new(value);
                }
            }
        }
    }

    /// Whether `value` is what became of this item of a list.
    fn is(&self, value: &Value) -> bool {
        match (self.get("name").and_then(Self::text), value.get("name")) {
            (Some(name), Some(other)) => other.as_str() == Some(name),
            (None, None) => self.value() == *value,
            _ => false,
        }
    }
}

/// Where a new key goes: to the end, but `metadata` before `spec`.
fn place(key: &str, entries: &[(String, Tree)]) -> usize {
    let after = |(name, _): &(String, Tree)| rank(name) > rank(key);
    let early = rank(key) <= rank("metadata");
    let at = entries.iter().position(after).filter(|_| early);
    at.unwrap_or(entries.len())
}

fn rank(key: &str) -> usize {
    let at = FIRST.iter().position(|first| *first == key);
    at.unwrap_or(FIRST.len())
}

/// As JSON.
impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain { value, .. } => value.serialize(serializer),
            Self::Text { text, .. } => serializer.serialize_str(text),
            Self::List { items, .. } => serializer.collect_seq(items),
            Self::Map { entries, .. } => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, tree) in entries {
                    map.serialize_entry(key, tree)?;
                }
                map.end()
            }
        }
    }
}

/// From JSON; YAML knows more (aliases, tags), which serde does not tell.
impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl TreeVisitor {
    fn plain<E>(value: impl Into<Value>) -> Result<Tree, E> {
        let (value, written) = (value.into(), None);
        Ok(Tree::Plain { value, written })
    }
}

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Self::plain(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Self::plain(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Self::plain(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Self::plain(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Self::plain(value)
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        let (text, style) = (text.to_owned(), Style::Free);
        Ok(Tree::Text { text, style })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let (mut items, flow) = (Vec::new(), false);
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Tree::List { items, flow })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let (mut entries, flow) = (Vec::<(String, Tree)>::new(), false);
        while let Some((key, value)) = map.next_entry::<String, Tree>()? {
            if entries.iter().any(|(name, _)| *name == key) {
                return Err(serde::de::Error::custom(format!(
                    "the key {key:?} stands twice"
                )));
            }
            entries.push((key, value));
        }
        Ok(Tree::Map { entries, flow })
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::values;
