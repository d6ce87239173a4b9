//! Annotations that hold lists: objects and rules, in short forms and in the file's, and the flag of
//! each entry.

use std::path::{Component, Path};

use super::super::errors::Faults;
use super::super::model::{
    FilesRule, FilesTo, NamedObject, ObjectKind, Rule, Selector, SelectorNamespace,
};
use super::super::partial::Entry;
use super::super::yaml::{self, Node, Value};
use super::super::{file, files, names, rules};

/// What follows a name that need not exist.
const OPTIONAL: &str = ",optional";

/// Reads `configmaps` or `secrets`: names between commas or white space, or a list as the file's.
pub(super) fn entries(text: &str, at: &str, kind: ObjectKind, faults: &mut Faults) -> Vec<Entry> {
    let key = match kind {
        ObjectKind::ConfigMap => "configMaps",
        ObjectKind::Secret => "secrets",
    };
    let node = match yaml::parse_flag(text, at, key) {
        Ok(node) => node,
        Err(fault) => {
            faults.add_line(&fault);
            return Vec::new();
        }
    };
    match &node.value {
        Value::Text(text) => {
            let named = words(text).into_iter().filter_map(|word| {
                let read = match word.strip_suffix(OPTIONAL) {
                    // It could be the mark of another name, with a space between.
                    None if word == "optional" => Err(format!(
                        "is {word:?} a name, or a mark? Write NAME,optional without a space for a mark, and {{name: optional}} for a name"
                    )),
                    _ => names::named(kind, &word),
                };
                faults.take(at, read)
            });
            named.map(Entry::Named).collect()
        }
        _ => file::entries(Some(&node), kind, faults).unwrap_or_default(),
    }
}

/// The words between commas or white space; a name and its `,optional` are one.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let mut parts = word.split(',');
        words.extend(parts.next().map(str::to_owned));
        for part in parts {
            match words.last_mut() {
                Some(name) if part == "optional" && !name.is_empty() => name.push_str(OPTIONAL),
                _ => words.push(part.to_owned()),
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The flag that names or selects the same.
pub(super) fn entry_flag(entry: &Entry) -> String {
    match entry {
        Entry::Named(named) => format!("--{}={}", flag(named.kind), named_text(named)),
        Entry::Selected(selector) => format!(
            "--{}-selector={}",
            flag(selector.kind),
            selector_text(selector)
        ),
    }
}

fn flag(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::ConfigMap => "configmap",
        ObjectKind::Secret => "secret",
    }
}

fn named_text(named: &NamedObject) -> String {
    let optional = if named.optional { OPTIONAL } else { "" };
    match &named.object.namespace {
        Some(namespace) => format!("{namespace}/{}{optional}", named.object.name),
        None => format!("{}{optional}", named.object.name),
    }
}

fn selector_text(selector: &Selector) -> String {
    let labels = &selector.labels;
    match &selector.namespace {
        SelectorNamespace::All => format!("*/{labels}"),
        SelectorNamespace::Named(namespace) => format!("{namespace}/{labels}"),
        // The prefix of a label would be taken for a namespace; no namespace begins with a space.
        SelectorNamespace::Default if labels.contains('/') => format!(" {labels}"),
        SelectorNamespace::Default => labels.clone(),
    }
}

/// Reads `files`, and the flags of its rules.
pub(super) fn files(text: &str, at: &str, faults: &mut Faults) -> (Vec<FilesRule>, Vec<String>) {
    let mut nodes = Vec::new();
    for node in listed(text, at, "files", faults) {
        match &node.value {
            Value::Text(text) => {
                let short = words(text).into_iter();
                nodes.extend(short.filter_map(|word| directory(&word, &node.at, faults)));
            }
            _ => nodes.push(node),
        }
    }
    read(&nodes, "--files", faults, |node, index, faults| {
        let rule = files::rule(node, index, faults)?;
        let path = match &rule.to {
            FilesTo::Dir { dir, .. } => Some(dir.as_path()),
            FilesTo::File { file, .. } => file.parent(),
        };
        let checked = path.map_or(Ok(()), mount_path);
        faults.take(&node.at, checked).map(|()| rule)
    })
}

/// Reads `on-change`, and the flags of its rules.
pub(super) fn on_change(text: &str, at: &str, faults: &mut Faults) -> (Vec<Rule>, Vec<String>) {
    let nodes = listed(text, at, "onChange", faults);
    read(&nodes, "--on-change", faults, |node, index, faults| {
        let rule = rules::rule(node, index, faults)?;
        let checked = rule.after_mount.as_deref().map_or(Ok(()), mount_path);
        faults.take(&node.at, checked).map(|()| rule)
    })
}

/// The nodes of a list, or the one that stands for it, under the list's key in the file.
fn listed(text: &str, at: &str, key: &str, faults: &mut Faults) -> Vec<Node> {
    let parsed = yaml::parse_flag(text, at, key).and_then(|node| match &node.value {
        Value::List(items) => Ok(items.clone()),
        Value::Null => Ok(Vec::new()),
        // Its place is that of the list's first entry.
        _ => yaml::parse_flag(text, at, &format!("{key}[0]")).map(|node| vec![node]),
    });
    parsed.unwrap_or_else(|fault| {
        faults.add_line(&fault);
        Vec::new()
    })
}

/// Each node through `rule`, and its flag.
fn read<T>(
    nodes: &[Node],
    flag: &str,
    faults: &mut Faults,
    rule: impl Fn(&Node, usize, &mut Faults) -> Option<T>,
) -> (Vec<T>, Vec<String>) {
    let nodes = nodes.iter().enumerate();
    nodes
        .filter_map(|(index, node)| {
            let rule = rule(node, index, faults)?;
            Some((rule, format!("{flag}={}", one_line(node))))
        })
        .unzip()
}

/// Reads `[secret:][NS/]NAME=DIRECTORY` as the rule it is short for.
fn directory(text: &str, at: &str, faults: &mut Faults) -> Option<Node> {
    let Some((name, path)) = text.split_once('=').filter(|(_, path)| !path.is_empty()) else {
        let fault = format!(
            "{text:?} says not what goes where: write NAME=DIRECTORY, as web-configmap=/etc/app/config, or secret:NAME=DIRECTORY, or a rule, as {{configMap: web, dir: /etc/app}}"
        );
        faults.add(at, fault);
        return None;
    };
    let (key, name) = match name.strip_prefix("secret:") {
        Some(name) => ("secret", name),
        None => ("configMap", name),
    };
    let entry = |key: &str, text: &str| {
        let node = Node {
            at: format!("{at}.{key}"),
            value: Value::Text(text.to_owned()),
        };
        (key.to_owned(), node)
    };
    Some(Node {
        at: at.to_owned(),
        value: Value::Map(vec![entry(key, name), entry("dir", path)]),
    })
}

/// Checks a path at which a volume is to be mounted into containers.
fn mount_path(path: &Path) -> Result<(), String> {
    let shown = path.display();
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(format!(
            "{shown} is not a path in every container: write it from / on, without '..'"
        ));
    }
    if path == Path::new("/") {
        return Err("no volume can be mounted at /: choose a directory below it".to_owned());
    }
    if path.to_string_lossy().contains(':') {
        return Err(format!(
            "{shown}: Kubernetes mounts nothing where ':' is in the path: choose another"
        ));
    }
    Ok(())
}

/// A rule as JSON on one line, its scalars as strings: YAML that says the same. There is no `$` in
/// it, for Kubernetes would take `$(NAME)` and `$$` in a container's arguments for its own.
fn one_line(node: &Node) -> String {
    let mut text = String::new();
    // All that is not ASCII is between quotes, and so is each dollar.
    for c in json(node).to_string().chars() {
        let unprintable = ('\u{7f}'..='\u{ffff}').contains(&c) && !c.is_alphanumeric();
        if c == '$' || unprintable {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
    }
    text
}

fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries
            .iter()
            .filter(|(_, node)| node.value != Value::Null)
            .map(|(key, node)| (key.clone(), json(node)))
            .collect(),
    }
}
