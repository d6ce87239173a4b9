//! YAML as a tree that knows where each value stands, so that a fault can say so and the next
//! fault is still found.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::errors::Faults;

/// How deep configuration may nest; its model needs seven.
const MAX_DEPTH: usize = 24;

/// A value and its place, as `attache.yaml:3: listen.port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Where it stands.
    pub(crate) at: String,
    /// What stands there.
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing, or `null`.
    Null,
    /// A scalar as it is written, its quotes removed: a version `1.10` stays `1.10`.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in its order.
    Map(Vec<(String, Node)>),
}

/// A mapping whose keys have been held against the known ones.
pub(crate) struct Fields<'a> {
    entries: &'a [(String, Node)],
}

/// Reads a file of one YAML document; `origin` names it.
///
/// # Errors
/// Where the text is not YAML, and why, on one line.
pub(crate) fn parse(text: &str, origin: &str) -> Result<Node, String> {
    let lines = true;
    let source = Source {
        text,
        origin,
        lines,
    };
    Ok(source.node(source.tree()?, String::new()))
}

/// Reads the value of a flag, `origin`; `root` is its path in the configuration. Places are
/// without lines, which would be those of no file.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_flag(text: &str, origin: &str, root: &str) -> Result<Node, String> {
    let lines = false;
    let source = Source {
        text,
        origin,
        lines,
    };
    Ok(source.node(source.tree()?, root.to_owned()))
}

// === impl Node ===

impl Node {
    /// The scalar; anything else is a fault that says what was `wanted`.
    pub(crate) fn text(&self, wanted: &str, faults: &mut Faults) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => {
                faults.add(&self.at, format!("expected {wanted}"));
                None
            }
        }
    }

    /// The scalar through `parse`; what `parse` refuses is a fault here.
    pub(crate) fn read<T>(
        &self,
        wanted: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
        faults: &mut Faults,
    ) -> Option<T> {
        let text = self.text(wanted, faults)?;
        faults.take(&self.at, parse(text))
    }

    /// The items of a list; a scalar or a mapping stands for a list of itself, null for none.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::Null => &[],
            Value::List(items) => items,
            Value::Text(_) | Value::Map(_) => std::slice::from_ref(self),
        }
    }

    /// Takes `key` out of a mapping.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Self> {
        let Value::Map(entries) = &mut self.value else {
            return None;
        };
        let at = entries.iter().position(|(name, _)| name == key)?;
        Some(entries.remove(at).1)
    }

    /// The mapping, its keys checked against those `known`.
    pub(crate) fn fields(&self, known: &[&str], faults: &mut Faults) -> Option<Fields<'_>> {
        let entries: &[_] = match &self.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => {
                faults.add(
                    &self.at,
                    format!("expected a mapping of {}", known.join(", ")),
                );
                return None;
            }
        };
        for (key, node) in entries {
            if !known.contains(&key.as_str()) {
                faults.add(&node.at, unknown(key, known));
            }
        }
        Some(Fields { entries })
    }
}

/// `unknown key "prot"; did you mean port?`, or all the known ones if none is near.
fn unknown(key: &str, known: &[&str]) -> String {
    match nearest(key, known) {
        Some(candidate) => format!("unknown key {key:?}; did you mean {candidate}?"),
        None => format!("unknown key {key:?}; known here: {}", known.join(", ")),
    }
}

/// The known word that `word` may be a slip for.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| {
            (
                strsim::osa_distance(&word.to_lowercase(), &candidate.to_lowercase()),
                *candidate,
            )
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 3)
        .map(|(_, candidate)| candidate)
}

// === impl Fields ===

impl<'a> Fields<'a> {
    /// The value of `key`; null is as if the key were not there.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries
            .iter()
            .find(|(name, node)| name == key && node.value != Value::Null)
            .map(|(_, node)| node)
    }

    /// The scalar of `key` through `parse`, as [`Node::read`].
    pub(crate) fn read<T>(
        &self,
        key: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
        faults: &mut Faults,
    ) -> Option<T> {
        self.get(key)?.read(wanted, parse, faults)
    }
}

/// The tree as serde builds it, places still apart.
enum Raw {
    Null,
    Text(String),
    /// A number or boolean: its text is what the source says at its place.
    Plain(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(String, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar, a list or a mapping")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

/// The text a tree came from.
struct Source<'a> {
    text: &'a str,
    origin: &'a str,
    lines: bool,
}

// === impl Source ===

impl Source<'_> {
    fn tree(&self) -> Result<Spanned<Raw>, String> {
        let options = serde_saphyr::options! {
            strict_booleans: true,
            with_snippet: false,
            budget: serde_saphyr::budget! {
                max_depth: MAX_DEPTH,
                flow_nesting_limit: MAX_DEPTH,
            },
        };
        serde_saphyr::from_str_with_options(self.text, options).map_err(|error| {
            let advice = match error.location().and_then(|at| self.character(at)) {
                // It begins an alias, which is seldom meant.
                Some('*') => "; put quotes around a value that begins with *",
                _ => "",
            };
            // For people: the other words for the same speak of options of the library.
            let said = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
            format!("{}: not readable as YAML: {said}{advice}", self.origin)
        })
    }

    /// What stands at that line and column, which count from 1.
    fn character(&self, at: Location) -> Option<char> {
        let index = |number: u64| usize::try_from(number.checked_sub(1)?).ok();
        let line = self.text.lines().nth(index(at.line())?)?;
        line.chars().nth(index(at.column())?)
    }

    fn node(&self, raw: Spanned<Raw>, path: String) -> Node {
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Text(text) => Value::Text(text),
            Raw::Plain(text) => Value::Text(self.written(raw.defined).unwrap_or(text)),
            Raw::List(items) => {
                let items = items.into_iter().enumerate();
                Value::List(
                    items
                        .map(|(i, item)| self.node(item, format!("{path}[{i}]")))
                        .collect(),
                )
            }
            Raw::Map(entries) => {
                let entries = entries.into_iter().map(|(key, node)| {
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    (key, self.node(node, path))
                });
                Value::Map(entries.collect())
            }
        };
        let line = if self.lines { raw.referenced.line() } else { 0 };
        let at = match (line, path.as_str()) {
            (0, "") => self.origin.to_owned(),
            (0, path) => format!("{}: {path}", self.origin),
            (_, "") => format!("{}:{line}", self.origin),
            (_, path) => format!("{}:{line}: {path}", self.origin),
        };
        Node { at, value }
    }

    /// A plain scalar as the source writes it.
    fn written(&self, at: Location) -> Option<String> {
        let start = usize::try_from(at.span().byte_offset()?).ok()?;
        let length = usize::try_from(at.span().byte_len()?).ok()?;
        let text = self.text.get(start..start.checked_add(length)?)?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_text_and_their_place() {
        let node = parse("a: 1.10\nb:\n  - true\n  - 'no'\n  - 010\nc: ~\n", "f.yaml").unwrap();
        let mut faults = Faults::default();
        let fields = node.fields(&["a", "b", "c"], &mut faults).unwrap();
        let a = fields.get("a").unwrap();
        assert_eq!(
            (a.at.as_str(), a.text("", &mut faults)),
            ("f.yaml:1: a", Some("1.10"))
        );
        let b = fields.get("b").unwrap().items();
        let texts: Vec<_> = b.iter().filter_map(|n| n.text("", &mut faults)).collect();
        assert_eq!(texts, ["true", "no", "010"]);
        assert_eq!(b[2].at, "f.yaml:5: b[2]");
        assert!(fields.get("c").is_none());
        assert!(faults.is_empty());
    }

    #[test]
    fn an_alias_stands_where_it_is_used() {
        let node = parse("a: &x 0x10\nb: *x\n", "f").unwrap();
        let fields = node.fields(&["a", "b"], &mut Faults::default()).unwrap();
        let b = fields.get("b").unwrap();
        assert_eq!(
            (b.at.as_str(), &b.value),
            ("f:2: b", &Value::Text("0x10".into()))
        );
    }

    #[test]
    fn an_unknown_key_names_its_neighbour() {
        let mut faults = Faults::default();
        let node = parse("prot: 1\nconfigmaps: 2\nzzzzzz: 3\n", "f").unwrap();
        let _ = node.fields(&["port", "configMaps", "settle"], &mut faults);
        assert_eq!(
            faults.lines(),
            [
                "f:1: prot: unknown key \"prot\"; did you mean port?",
                "f:2: configmaps: unknown key \"configmaps\"; did you mean configMaps?",
                "f:3: zzzzzz: unknown key \"zzzzzz\"; known here: port, configMaps, settle",
            ]
        );
    }

    #[test]
    fn what_is_not_yaml_says_where() {
        assert!(
            parse("a: [", "f")
                .unwrap_err()
                .starts_with("f: not readable as YAML")
        );
        assert_eq!(
            parse("a: 1\na: 2\n", "f").unwrap_err(),
            "f: not readable as YAML: duplicate mapping key: a not allowed here at line 2, column 1"
        );
        // A star begins an alias.
        for text in ["*/x", "a: */x", "- *"] {
            let error = parse(text, "f").unwrap_err();
            assert!(error.starts_with("f: not readable as YAML"), "{error}");
            assert!(
                error.ends_with("; put quotes around a value that begins with *"),
                "{error}"
            );
        }
        assert!(parse("a: '*/x'", "f").is_ok());
        assert!(parse(&"[".repeat(100_000), "f").is_err());
        assert!(parse(&"- ".repeat(5_000), "f").is_err());
    }
}
