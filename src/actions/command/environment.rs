//! What a program learns from its environment.

use std::collections::BTreeSet;
use std::process::Command;

use crate::actions::Change;
use crate::process::WITHHELD;
use crate::store::diff::KeyChanges;

/// How long a list may be. One variable with its name may have 128 KiB (`MAX_ARG_STRLEN`,
/// execve(2)), all of them together and the arguments 2 MiB by default.
const MAX_LIST: usize = 64 * 1024;

/// Adds the variables that tell of the change.
pub(super) fn set(command: &mut Command, rule: &str, change: &Change) {
    for name in WITHHELD {
        command.env_remove(name);
    }
    command.env("ATTACHE_RULE", rule);
    if let Some(first) = change.objects.first() {
        command
            .env("ATTACHE_KIND", first.reference.kind.as_str())
            .env("ATTACHE_NAMESPACE", &*first.reference.namespace)
            .env("ATTACHE_NAME", &*first.reference.name)
            .env("ATTACHE_RESOURCE_VERSION", &first.resource_version);
    }
    let objects = change.objects.iter().map(|o| o.reference.to_string());
    command.env("ATTACHE_OBJECTS", list(objects));
    let union = |of: fn(&KeyChanges) -> &Vec<String>| {
        let mut keys = BTreeSet::new();
        keys.extend(change.objects.iter().flat_map(|o| of(&o.keys)));
        list(keys.into_iter().cloned())
    };
    command
        .env("ATTACHE_ADDED", union(|keys| &keys.added))
        .env("ATTACHE_CHANGED", union(|keys| &keys.changed))
        .env("ATTACHE_REMOVED", union(|keys| &keys.removed));
}

/// One a line, as many as there is room for.
fn list(items: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for item in items {
        if text.len() + 1 + item.len() > MAX_LIST {
            break;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&item);
    }
    text
}
