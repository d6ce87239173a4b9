//! The objects that are watched: those named, and those that rules and environments need.

use std::collections::HashSet;
use std::hash::Hash;

use super::errors::Faults;
use super::model::{
    EnvFrom, FilesFrom, FilesRule, NamedObject, ObjectKind, ObjectName, Rule, Selector, Source,
};
use super::partial::Entry;

/// The objects named and those selected.
pub(crate) fn apart(entries: impl Iterator<Item = Entry>) -> (Vec<NamedObject>, Vec<Selector>) {
    let (mut objects, mut selectors) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::Named(object) => objects.push(object),
            Entry::Selected(selector) => selectors.push(selector),
        }
    }
    (objects, selectors)
}

/// What is named twice is a fault; a rule may name again what is named.
pub(crate) fn check_duplicates(source: &Source, faults: &mut Faults) {
    let full = |object: &ObjectName| -> (Option<String>, String) {
        let namespace = object
            .namespace
            .clone()
            .or_else(|| source.namespace.clone());
        (namespace, object.name.clone())
    };
    let shown = |object: &ObjectName| match &object.namespace {
        Some(namespace) => format!("{namespace}/{}", object.name),
        None => object.name.clone(),
    };
    let again = |flag: &str, what: String, faults: &mut Faults| {
        faults.add(flag, format!("{what} is named twice: keep one"));
    };
    for named in repeated(&source.objects, |named| (named.kind, full(&named.object))) {
        let flag = flag_of(named.kind);
        again(flag, shown(&named.object), faults);
    }
    for mount in repeated(&source.mounts, |mount| full(&mount.object)) {
        again("--mount", shown(&mount.object), faults);
    }
    let selector_key = |selector: &Selector| {
        (
            selector.kind,
            format!("{:?}", selector.namespace),
            selector.labels.clone(),
        )
    };
    for selector in repeated(&source.selectors, selector_key) {
        let flag = format!("{}-selector", flag_of(selector.kind));
        again(&flag, selector.labels.clone(), faults);
    }
}

fn flag_of(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::ConfigMap => "--configmap",
        ObjectKind::Secret => "--secret",
    }
}

/// The items whose key an earlier one has.
fn repeated<T, K: Eq + Hash>(items: &[T], key: impl Fn(&T) -> K) -> Vec<&T> {
    let mut seen = HashSet::new();
    items
        .iter()
        .filter(|item| !seen.insert(key(item)))
        .collect()
}

/// What a files rule writes is watched, and readiness waits for it unless it is optional.
pub(crate) fn add_files(source: &mut Source, files: &[FilesRule]) {
    for rule in files {
        match &rule.from {
            FilesFrom::Object(named) => add(source, named.clone()),
            FilesFrom::Selected(selector) => {
                if !source.selectors.contains(selector) {
                    source.selectors.push(selector.clone());
                }
            }
        }
    }
}

/// What an environment comes from is watched, and readiness waits for it unless it is optional.
pub(crate) fn add_environment(source: &mut Source, env_from: &[EnvFrom]) {
    for from in env_from {
        let named = NamedObject {
            kind: from.kind,
            object: from.object.clone(),
            optional: from.optional,
        };
        add(source, named);
    }
}

/// A rule's object is watched from the start, though readiness does not wait for it.
pub(crate) fn add_rules(source: &mut Source, rules: &[Rule]) {
    for (kind, object) in rules.iter().filter_map(|rule| rule.when.object.as_ref()) {
        let named = NamedObject {
            kind: *kind,
            object: object.clone(),
            optional: true,
        };
        add(source, named);
    }
}

/// Adds what is neither named nor mounted; what is named and needed now is not optional any more.
fn add(source: &mut Source, added: NamedObject) {
    let default = source.namespace.as_ref();
    let same = |object: &ObjectName| {
        object.name == added.object.name
            && object.namespace.as_ref().or(default) == added.object.namespace.as_ref().or(default)
    };
    let mounted = added.kind == ObjectKind::ConfigMap
        && source.mounts.iter().any(|mount| same(&mount.object));
    let known = source
        .objects
        .iter()
        .position(|named| named.kind == added.kind && same(&named.object));
    match known {
        Some(place) => source.objects[place].optional &= added.optional,
        None if mounted => {}
        None => source.objects.push(added),
    }
}
