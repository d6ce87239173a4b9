//! Reads manifests: multi-document YAML or JSON with ConfigMaps, Secrets and lists of them.
//!
//! Every document stands alone: one that is malformed costs its neighbours nothing. What the API
//! server would refuse is refused here, too, and no reason ever shows a value.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde_saphyr::{MessageFormatter as _, NonFiniteFloatPolicy};
use tracing::debug;

use crate::store::{Kind, ObjectRef, RawObject};
use node::Node;
use object::{Map, object, text};

mod node;
mod object;

/// What the reader of a manifest has to know.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// The namespace of objects that give none.
    pub(super) namespace: Arc<str>,
    /// The Secrets to take; others are passed over.
    pub(super) secrets: Arc<BTreeSet<ObjectRef>>,
}

/// What a manifest holds.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// The objects, in the order of the file.
    pub(super) objects: Vec<RawObject>,
    /// What could not be read.
    pub(super) faults: Vec<Fault>,
}

/// What is wrong at a line, from 1. Displays as `line 3: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: u64,
    pub(super) reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// Reads YAML; documents are separated by lines that begin with `---`.
pub(super) fn yaml(text: &str, rules: &Rules) -> Parsed {
    let mut reader = ManifestReader::new(rules);
    let options = || {
        serde_saphyr::options! {
            // A snippet would show values.
            with_snippet: false,
            // `.nan` is refused by name like every other number.
            non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        }
    };
    for (lines_before, document) in documents(text) {
        reader.lines_before = lines_before;
        match serde_saphyr::from_str_with_options::<Node>(document, options()) {
            Ok(node) => reader.document(&node),
            Err(error) => {
                let line = error.location().map_or(1, |location| location.line());
                let message = serde_saphyr::UserMessageFormatter.format_message(&error);
                reader.fault(line, message.replace(char::is_control, " "));
            }
        }
    }
    reader.parsed
}

/// Reads JSON: one value, or several after each other. After a malformed one the rest is lost.
pub(super) fn json(text: &str, rules: &Rules) -> Parsed {
    let mut reader = ManifestReader::new(rules);
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Node>();
    let mut counted = 0;
    loop {
        let rest = &text[values.byte_offset()..];
        let value_at = text.len() - rest.trim_start().len();
        reader.lines_before += text[counted..value_at].matches('\n').count() as u64;
        counted = value_at;
        match values.next() {
            None => return reader.parsed,
            Some(Ok(node)) => reader.document(&node),
            Some(Err(error)) => {
                reader.lines_before = 0;
                let line = error.line().max(1) as u64;
                reader.fault(line, format!("malformed JSON at column {}", error.column()));
                return reader.parsed;
            }
        }
    }
}

/// The documents that hold something, each with the number of lines before it.
fn documents(text: &str) -> Vec<(u64, &str)> {
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        // `---` at the start of a line is a marker wherever it stands (YAML 1.2.2, section 9.1).
        let marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if marker {
            documents.push((start_line, &text[start..at]));
            (start, start_line) = (at, number as u64);
        }
        at += line.len();
    }
    documents.push((start_line, &text[start..]));
    documents.retain(|(_, document)| {
        document.lines().map(str::trim).any(|line| {
            !(line.is_empty() || line.starts_with(['#', '%']) || line == "---" || line == "...")
        })
    });
    documents
}

struct ManifestReader<'a> {
    rules: &'a Rules,
    lines_before: u64,
    parsed: Parsed,
}

// === impl ManifestReader ===

impl<'a> ManifestReader<'a> {
    fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            lines_before: 0,
            parsed: Parsed::default(),
        }
    }

    /// `line` counts from 1 in the document; 0 is unknown (JSON has none).
    fn fault(&mut self, line: u64, reason: impl Into<String>) {
        self.parsed.faults.push(Fault {
            line: self.lines_before + line.max(1),
            reason: reason.into(),
        });
    }

    fn document(&mut self, node: &Node) {
        match node {
            Node::Null => {}
            node => self.manifest(node, 1, None),
        }
    }

    /// One manifest, or one item of a list whose kind says what its items are.
    fn manifest(&mut self, node: &Node, line: u64, item_kind: Option<&str>) {
        let Node::Map(map) = node else {
            let what = node.what();
            return self.fault(line, format!("{what} is no Kubernetes object"));
        };
        let head = |field| text(map, field).map(|value| value.filter(|text| !text.is_empty()));
        let (kind, version) = match (head("kind"), head("apiVersion")) {
            (Ok(kind), Ok(version)) => (kind.or(item_kind), version.or(item_kind.map(|_| "v1"))),
            (Err(wrong), _) | (_, Err(wrong)) => return self.fault(wrong.line, wrong.reason),
        };
        let (Some(kind), Some(version)) = (kind, version) else {
            return self.fault(line, "kind or apiVersion is missing");
        };
        match (version, kind) {
            ("v1", "ConfigMap") => self.object(map, line, Kind::ConfigMap),
            ("v1", "Secret") => self.object(map, line, Kind::Secret),
            ("v1", "List") => self.items(map, line, None),
            ("v1", "ConfigMapList") => self.items(map, line, Some("ConfigMap")),
            ("v1", "SecretList") => self.items(map, line, Some("Secret")),
            ("v1", "Service") => debug!("a Service in a manifest is accepted but not used yet"),
            _ => debug!(
                version,
                kind, "passing over an object that attache does not serve"
            ),
        }
    }

    fn items(&mut self, map: &Map, line: u64, item_kind: Option<&str>) {
        match map.get("items").map(|items| &items.value) {
            None | Some(Node::Null) => {}
            Some(Node::List(items)) => {
                for item in items {
                    let line = item.referenced.line().max(line);
                    self.manifest(&item.value, line, item_kind);
                }
            }
            Some(other) => {
                self.fault(
                    line,
                    format!("items must be a list, but is {}", other.what()),
                );
            }
        }
    }

    fn object(&mut self, map: &Map, line: u64, kind: Kind) {
        match object(map, kind, self.rules) {
            Ok(Some(object)) => self.parsed.objects.push(object),
            Ok(None) => {}
            Err(wrong) => {
                let line = if wrong.line == 0 { line } else { wrong.line };
                self.fault(line, wrong.reason);
            }
        }
    }
}

#[cfg(test)]
mod tests;
