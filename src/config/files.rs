//! `files`: what is written, and where to. What several rules say together is for `targets`.

use std::path::{Component, Path, PathBuf};

use super::errors::Faults;
use super::model::{
    FilesFrom, FilesItem, FilesRule, FilesTo, ObjectKind, Selector, SelectorNamespace,
};
use super::yaml::{Fields, Node, Value};
use super::{file, names, units};

const KEYS: &[&str] = &[
    "configMap",
    "secret",
    "selector",
    "namespace",
    "kind",
    "dir",
    "items",
    "defaultMode",
    "file",
    "key",
    "mode",
];
/// The mode of a file without its own, as the kubelet's.
const MODE: u32 = 0o644;
/// The permission bits of owner, group and others.
const MOST_MODE: u32 = 0o777;

/// Reads rule number `index` of `files`.
pub(crate) fn rule(node: &Node, index: usize, faults: &mut Faults) -> Option<FilesRule> {
    if !matches!(node.value, Value::Map(_)) {
        faults.add(
            &node.at,
            "expected a rule, as {configMap: web, dir: /etc/app} or {configMap: web, key: app.conf, file: /etc/app.conf}",
        );
        return None;
    }
    let fields = node.fields(KEYS, faults)?;
    let from = from(node, &fields, faults);
    let to = match (fields.get("dir"), fields.get("file")) {
        (Some(dir), None) => directory(dir, &fields, faults),
        (None, Some(file)) => single(file, &fields, faults),
        _ => {
            let fault = "say where to by one of dir: PATH, for all keys, or file: PATH, for one";
            faults.add(&node.at, fault);
            None
        }
    };
    Some(FilesRule {
        name: format!("files[{index}]"),
        from: from?,
        to: to?,
    })
}

fn from(rule: &Node, fields: &Fields<'_>, faults: &mut Faults) -> Option<FilesFrom> {
    let named = [
        (ObjectKind::ConfigMap, fields.get("configMap")),
        (ObjectKind::Secret, fields.get("secret")),
    ];
    let mut named = named
        .into_iter()
        .filter_map(|(kind, node)| Some((kind, node?)));
    match (named.next(), named.next(), fields.get("selector")) {
        (Some((kind, node)), None, None) => {
            for key in ["namespace", "kind"] {
                if let Some(node) = fields.get(key) {
                    let fault = format!("{key} goes with selector: write [NS/]NAME instead");
                    faults.add(&node.at, fault);
                }
            }
            let named = node.read("[NS/]NAME", |text| names::named(kind, text), faults)?;
            Some(FilesFrom::Object(named))
        }
        (None, None, Some(node)) => {
            let wanted = "a namespace, or \"*\" for all";
            let namespace = fields.read("namespace", wanted, file::scope, faults);
            let kind = fields.read("kind", "ConfigMap or Secret", object_kind, faults);
            let labels = node.read("a label selector", names::label_selector, faults)?;
            Some(FilesFrom::Selected(Selector {
                kind: kind.unwrap_or(ObjectKind::ConfigMap),
                namespace: namespace.unwrap_or(SelectorNamespace::Default),
                labels,
            }))
        }
        _ => {
            faults.add(
                &rule.at,
                "say what to write by one of configMap: NAME, secret: NAME or selector: LABELS",
            );
            None
        }
    }
}

fn object_kind(text: &str) -> Result<ObjectKind, String> {
    match text {
        "ConfigMap" => Ok(ObjectKind::ConfigMap),
        "Secret" => Ok(ObjectKind::Secret),
        _ => Err(format!("{text:?} is neither ConfigMap nor Secret")),
    }
}

/// A rule of `dir`.
fn directory(dir: &Node, fields: &Fields<'_>, faults: &mut Faults) -> Option<FilesTo> {
    refuse(fields, &["key", "mode"], "file", faults);
    let dir = dir.read("a path", units::path, faults);
    let mode = fields.read("defaultMode", "a mode, as 0644", mode, faults);
    let items = fields.get("items").map(|node| items(node, faults));
    Some(FilesTo::Dir {
        dir: dir?,
        mode: mode.unwrap_or(MODE),
        items,
    })
}

/// A rule of `file`.
fn single(file: &Node, fields: &Fields<'_>, faults: &mut Faults) -> Option<FilesTo> {
    refuse(fields, &["items", "defaultMode"], "dir", faults);
    let path = file.read("a path", file_path, faults);
    let mode = fields.read("mode", "a mode, as 0644", mode, faults);
    if fields.get("key").is_none() {
        faults.add(&file.at, "a file holds one key: add key: KEY");
    }
    let key = fields.read("key", "a key", data_key, faults);
    Some(FilesTo::File {
        file: path?,
        key: key?,
        mode: mode.unwrap_or(MODE),
    })
}

/// Keys that belong to the other target.
fn refuse(fields: &Fields<'_>, foreign: &[&str], target: &str, faults: &mut Faults) {
    for key in foreign {
        if let Some(node) = fields.get(key) {
            faults.add(&node.at, format!("{key} goes with {target}: take it out"));
        }
    }
}

/// Reads `items`, and that no two of them are in each other's way.
fn items(node: &Node, faults: &mut Faults) -> Vec<FilesItem> {
    let mut items: Vec<FilesItem> = Vec::new();
    if node.items().is_empty() {
        let fault = "an empty list writes nothing: name the keys, or leave items out for all";
        faults.add(&node.at, fault);
    }
    for node in node.items() {
        let Some(item) = item(node, faults) else {
            continue;
        };
        for other in &items {
            let (a, b) = (&item.path, &other.path);
            if a == b {
                let fault = format!("{} is written twice: keep one", a.display());
                faults.add(&node.at, fault);
            } else if a.starts_with(b) || b.starts_with(a) {
                let (a, b) = (a.display(), b.display());
                let fault = format!(
                    "{a} and {b}: one cannot be a file and a directory, choose other paths"
                );
                faults.add(&node.at, fault);
            }
        }
        items.push(item);
    }
    items
}

fn item(node: &Node, faults: &mut Faults) -> Option<FilesItem> {
    if !matches!(node.value, Value::Map(_)) {
        faults.add(&node.at, "expected {key: KEY, path: PATH}");
        return None;
    }
    let fields = node.fields(&["key", "path", "mode"], faults)?;
    for key in ["key", "path"] {
        if fields.get(key).is_none() {
            faults.add(&node.at, "an item needs both key: KEY and path: PATH");
            break;
        }
    }
    let key = fields.read("key", "a key", data_key, faults);
    let path = fields.read("path", "a relative path", item_path, faults);
    let mode = fields.read("mode", "a mode, as 0644", mode, faults);
    Some(FilesItem {
        key: key?,
        path: path?,
        mode,
    })
}

fn data_key(text: &str) -> Result<String, String> {
    if names::is_data_key(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} cannot be a key: keys hold letters, digits, '-', '_' and '.', at most 253"
    ))
}

/// Reads the path of an item, as the API server checks one: relative, without `..`, and nothing
/// at its top that begins so, for those names are the layout's own.
fn item_path(text: &str) -> Result<PathBuf, String> {
    let fault = || {
        Err(format!(
            "{text:?} is not a path in the directory: write it relative, without '..', as conf.d/app.conf"
        ))
    };
    let path = units::path(text)?;
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            _ => return fault(),
        }
    }
    if text.starts_with("..") || text.ends_with('/') || text.contains('\0') {
        return fault();
    }
    Ok(plain)
}

/// Reads the path of a file, which names more than a directory.
fn file_path(text: &str) -> Result<PathBuf, String> {
    let path = units::path(text)?;
    if text.ends_with('/') || Path::new(text).file_name().is_none() || text.ends_with("/.") {
        return Err(format!(
            "{text:?} names a directory: add the file's name, or use dir"
        ));
    }
    Ok(path)
}

/// Reads permission bits in octal, as YAML 1.1 (`0644`, which Kubernetes' manifests use) and
/// YAML 1.2 (`0o644`) write them.
fn mode(text: &str) -> Result<u32, String> {
    let digits = match text.strip_prefix("0o") {
        Some(digits) => Some(digits),
        None => text
            .strip_prefix('0')
            .map(|rest| if rest.is_empty() { text } else { rest }),
    };
    let mode = digits
        .filter(|digits| digits.chars().all(|c| c.is_digit(8)))
        .and_then(|digits| u32::from_str_radix(digits, 8).ok());
    match mode {
        Some(mode) if mode <= MOST_MODE => Ok(mode),
        Some(_) => Err(format!("{text:?} is more than 0777, the bits of a file")),
        // Without a zero it may be meant decimal, as in JSON, or octal, as for chmod.
        None => Err(format!(
            "{text:?} is not a mode: write it in octal with a leading zero, as 0644"
        )),
    }
}

#[cfg(test)]
mod tests;
