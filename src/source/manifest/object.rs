//! One ConfigMap or Secret out of a manifest, held against the rules of the API server.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_saphyr::Spanned;
use tracing::debug;

use super::Rules;
use super::node::Node;
use crate::source::annotations;
use crate::store::{Kind, ObjectRef, RawObject};

/// The longest key of a ConfigMap (Kubernetes API validation, `IsConfigMapKey`).
const MAX_KEY: usize = 253;

/// A mapping and where its values stand.
pub(super) type Map = BTreeMap<String, Spanned<Node>>;

/// A reason, and the line in the document (0: unknown).
pub(super) struct Wrong {
    pub(super) line: u64,
    pub(super) reason: String,
}

fn wrong<T>(line: u64, reason: impl Into<String>) -> Result<T, Wrong> {
    let reason = reason.into();
    Err(Wrong { line, reason })
}

/// `None` for a Secret that nobody named.
pub(super) fn object(map: &Map, kind: Kind, rules: &Rules) -> Result<Option<RawObject>, Wrong> {
    let none = Map::new();
    let metadata = mapping(map, "metadata")?.unwrap_or(&none);
    let Some(name) = text(metadata, "name")?.filter(|name| !name.is_empty()) else {
        return wrong(0, format!("metadata.name of a {kind} is missing"));
    };
    let namespace = text(metadata, "namespace")?.filter(|namespace| !namespace.is_empty());
    let namespace = namespace.unwrap_or(&rules.namespace);
    let reference = ObjectRef::new(kind, namespace, name);
    if kind == Kind::Secret && !rules.secrets.contains(&reference) {
        debug!(object = %reference, "passing over a Secret that was not named");
        return Ok(None);
    }
    let mut object = RawObject::empty(reference);
    fill(&mut object, map, metadata).map_err(|inner| Wrong {
        line: inner.line,
        reason: format!("{}: {}", object.reference, inner.reason),
    })?;
    Ok(Some(object))
}

fn fill(object: &mut RawObject, map: &Map, metadata: &Map) -> Result<(), Wrong> {
    let all = entries(metadata, "annotations")?;
    object.annotations =
        annotations::kept(all.map(|(key, _, value)| (key.to_owned(), value.to_owned())));
    match object.reference.kind {
        Kind::ConfigMap => {
            for (key, line, value) in entries(map, "data")? {
                check_key("data", key, line)?;
                object.data.insert(key.to_owned(), value.to_owned());
            }
            for (key, line, value) in entries(map, "binaryData")? {
                check_key("binaryData", key, line)?;
                if object.data.contains_key(key) {
                    return wrong(line, format!("{key} is in data and in binaryData"));
                }
                let bytes = decode("binaryData", key, line, value)?;
                object.binary_data.insert(key.to_owned(), bytes);
            }
        }
        Kind::Secret => {
            // stringData wins over data (Kubernetes API, core/v1 Secret).
            let mut strings = BTreeMap::new();
            let written = entries(map, "stringData")?;
            strings.extend(written.map(|(key, line, value)| (key, (line, value))));
            for (key, line, value) in entries(map, "data")? {
                check_key("data", key, line)?;
                let bytes = decode("data", key, line, value)?;
                if !strings.contains_key(key) {
                    object.insert_bytes(key.to_owned(), bytes);
                }
            }
            for (key, (line, value)) in strings {
                check_key("stringData", key, line)?;
                object.data.insert(key.to_owned(), value.to_owned());
            }
        }
        // They are not read from manifests.
        Kind::Service | Kind::EndpointSlice => {}
    }
    Ok(())
}

/// The entries of a mapping of strings, each with its line; none where the field is absent.
fn entries<'m>(
    map: &'m Map,
    field: &str,
) -> Result<impl Iterator<Item = (&'m str, u64, &'m str)> + use<'m>, Wrong> {
    let mut entries = Vec::new();
    for (key, value) in mapping(map, field)?.into_iter().flatten() {
        let line = value.referenced.line();
        let value = match &value.value {
            Node::Text(value) => value.as_str(),
            // The API server decodes a null into an empty string.
            Node::Null => "",
            scalar @ (Node::Bool | Node::Number) => {
                let what = scalar.what();
                return wrong(
                    line,
                    format!("{field}.{key} must be a string, but is {what}: put it in quotes"),
                );
            }
            other => {
                let what = other.what();
                return wrong(
                    line,
                    format!(
                        "{field}.{key} must be a string, but is {what}: write it as a block (`{key}: |`)"
                    ),
                );
            }
        };
        entries.push((key.as_str(), line, value));
    }
    Ok(entries.into_iter())
}

fn mapping<'m>(map: &'m Map, field: &str) -> Result<Option<&'m Map>, Wrong> {
    match map.get(field) {
        None => Ok(None),
        Some(node) => match &node.value {
            Node::Null => Ok(None),
            Node::Map(inner) => Ok(Some(inner)),
            other => wrong(
                node.referenced.line(),
                format!("{field} must be a mapping, but is {}", other.what()),
            ),
        },
    }
}

pub(super) fn text<'m>(map: &'m Map, field: &str) -> Result<Option<&'m str>, Wrong> {
    match map.get(field) {
        None => Ok(None),
        Some(node) => match &node.value {
            Node::Null => Ok(None),
            Node::Text(text) => Ok(Some(text)),
            other => wrong(
                node.referenced.line(),
                format!("{field} must be a string, but is {}", other.what()),
            ),
        },
    }
}

/// Kubernetes API validation, `IsConfigMapKey`; Secrets have the same rule.
fn check_key(field: &str, key: &str, line: u64) -> Result<(), Wrong> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let valid = (1..=MAX_KEY).contains(&key.len())
        && key.bytes().all(allowed)
        && key != "."
        && !key.starts_with("..");
    if valid {
        return Ok(());
    }
    let shown: String = key.chars().take(MAX_KEY).collect();
    wrong(
        line,
        format!(
            "{field} has the key {shown:?}: a key consists of at most {MAX_KEY} letters, digits, \
             `-`, `_` and `.`, and is neither `.` nor begins with `..`"
        ),
    )
}

fn decode(field: &str, key: &str, line: u64, value: &str) -> Result<Vec<u8>, Wrong> {
    // As Go's decoder, which the API server uses, pass over line breaks.
    let packed: String = value
        .chars()
        .filter(|c| !matches!(c, '\r' | '\n'))
        .collect();
    STANDARD.decode(packed).or_else(|_| {
        wrong(
            line,
            format!("{field}.{key} is not base64 (RFC 4648, section 4)"),
        )
    })
}
