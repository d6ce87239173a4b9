//! Rules as they would be written, every default filled in: what a rule's identity is made of, and
//! what `attache check` prints.

use std::collections::HashMap;
use std::time::Duration;

use jiff::fmt::friendly::{Spacing, SpanPrinter};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::model::{
    Action, CommandAction, FilesFrom, FilesRule, FilesTo, HeaderText, NamedObject, ObjectKind,
    ObjectName, ProcessMatch, RestartAction, Rule, SelectorNamespace, Settle, SignalAction,
    WebhookAction, When, WhichPods, Workload, WorkloadKind,
};

/// A value of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// Text that may need quotes.
    Text(String),
    /// A number, a switch, a mode: ASCII that needs none.
    Plain(String),
    /// A sequence.
    List(Vec<Form>),
    /// A mapping, in its order.
    Map(Vec<(String, Form)>),
}

/// Gives every rule its identity: JSON text of what it says of `when` and its action, without
/// timing. Rules that say the same are told apart by their order.
pub(crate) fn identify(rules: &mut [Rule]) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for rule in rules {
        let (key, action, _) = action(&rule.action, Timings::Without);
        let form = map([("when", when(&rule.when)), (key, action)]);
        // Nothing in it can fail to be JSON.
        let text = serde_json::to_string(&form).unwrap_or_default();
        let count = seen.entry(text.clone()).or_default();
        *count += 1;
        rule.identity = match count {
            1 => text,
            count => format!("{text}#{count}"),
        };
    }
}

/// A rule of `onChange`; `settle` is that of rules without their own.
pub(crate) fn rule(rule: &Rule, settle: Settle) -> Form {
    let mut entries = Vec::new();
    let filter = when(&rule.when);
    if filter != Form::Map(Vec::new()) {
        entries.push(("when", filter));
    }
    let (key, action, timeout) = action(&rule.action, Timings::With);
    entries.push((key, action));
    let after_mount = rule.after_mount.as_deref().map(path);
    entries.extend(after_mount.map(|form| ("afterMount", form)));
    let timing = &rule.timing;
    let settle = timing.settle.unwrap_or(settle);
    let settle = format!("{}:{}", span(settle.quiet), span(settle.longest));
    entries.extend([
        ("settle", Form::Text(settle)),
        ("splay", duration(timing.splay)),
        ("minInterval", duration(timing.min_interval)),
        ("retries", plain(timing.retries)),
    ]);
    entries.extend(timeout.map(|timeout| ("timeout", duration(timeout))));
    map(entries)
}

/// A rule of `files`.
pub(crate) fn files(rule: &FilesRule) -> Form {
    let mut entries = match &rule.from {
        FilesFrom::Object(named) => vec![(kind_key(named.kind), Form::Text(named_text(named)))],
        FilesFrom::Selected(selector) => {
            let mut entries = vec![("selector", text(&selector.labels))];
            match &selector.namespace {
                SelectorNamespace::Default => {}
                SelectorNamespace::Named(namespace) => entries.push(("namespace", text(namespace))),
                SelectorNamespace::All => entries.push(("namespace", text("*"))),
            }
            let kind = match selector.kind {
                ObjectKind::ConfigMap => "ConfigMap",
                ObjectKind::Secret => "Secret",
            };
            entries.push(("kind", text(kind)));
            entries
        }
    };
    match &rule.to {
        FilesTo::Dir {
            dir,
            mode: bits,
            items,
        } => {
            entries.extend([("dir", path(dir)), ("defaultMode", mode(*bits))]);
            let items = items.as_ref().map(|items| {
                let items = items.iter().map(|item| {
                    let mut entries = vec![("key", text(&item.key)), ("path", path(&item.path))];
                    entries.extend(item.mode.map(|bits| ("mode", mode(bits))));
                    map(entries)
                });
                Form::List(items.collect())
            });
            entries.extend(items.map(|items| ("items", items)));
        }
        FilesTo::File {
            file,
            key,
            mode: bits,
        } => {
            entries.extend([
                ("file", path(file)),
                ("key", text(key)),
                ("mode", mode(*bits)),
            ]);
        }
    }
    map(entries)
}

/// Whether an action tells its times, too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Timings {
    With,
    Without,
}

/// An action by its key, and its timeout, if it has one.
fn action(action: &Action, timings: Timings) -> (&'static str, Form, Option<Duration>) {
    match action {
        Action::Signal(action) => ("signal", signal(action), None),
        Action::Webhook(action) => ("webhook", webhook(action), Some(action.timeout)),
        Action::Command(action) => {
            let form = command(action, timings);
            ("command", form, Some(action.timeout))
        }
        Action::Restart(action) => {
            let (form, timeout) = restart(action, timings);
            ("restart", form, timeout)
        }
    }
}

fn when(when: &When) -> Form {
    let mut entries = Vec::new();
    if let Some((kind, object)) = &when.object {
        entries.push((kind_key(*kind), Form::Text(object_text(object))));
    }
    if !when.keys.is_empty() {
        let keys = when.keys.iter().map(|glob| text(glob.text()));
        entries.push(("keys", Form::List(keys.collect())));
    }
    map(entries)
}

fn signal(action: &SignalAction) -> Form {
    map([
        target(&action.target),
        ("signal", text(&action.signal.name)),
    ])
}

fn target(target: &ProcessMatch) -> (&'static str, Form) {
    match target {
        ProcessMatch::Name(name) => ("process", text(name)),
        ProcessMatch::Cmdline(glob) => ("cmdline", text(glob.text())),
        ProcessMatch::Pidfile(file) => ("pidfile", path(file)),
    }
}

fn webhook(action: &WebhookAction) -> Form {
    // Not by its `Display`, which hides the query.
    let url: http::Uri = action.url.clone().into();
    let mut entries = vec![
        ("url", Form::Text(url.to_string())),
        ("method", text(action.method.as_str())),
    ];
    if !action.headers.is_empty() {
        let headers = action.headers.iter().map(|(name, value)| {
            let value = match value {
                HeaderText::Given(given) => text(given),
                HeaderText::File(file) => map([("file", path(file))]),
            };
            (name.clone(), value)
        });
        entries.push(("headers", Form::Map(headers.collect())));
    }
    let socket = action.unix_socket.as_deref().map(path);
    entries.extend(socket.map(|form| ("unixSocket", form)));
    let authority = action.certificate_authority.as_deref().map(path);
    entries.extend(authority.map(|form| ("certificateAuthority", form)));
    if !action.expect.is_empty() {
        let statuses = action.expect.iter().map(|status| plain(status.as_u16()));
        entries.push(("expect", Form::List(statuses.collect())));
    }
    map(entries)
}

fn command(action: &CommandAction, timings: Timings) -> Form {
    let argv = action.argv.iter().map(|argument| text(argument));
    let mut entries = vec![("argv", Form::List(argv.collect()))];
    if timings == Timings::With {
        entries.push(("grace", duration(action.grace)));
    }
    map(entries)
}

fn restart(action: &RestartAction, timings: Timings) -> (Form, Option<Duration>) {
    match action {
        RestartAction::Process {
            target: which,
            grace,
        } => {
            let mut entries = vec![target(which)];
            if timings == Timings::With {
                entries.push(("grace", duration(*grace)));
            }
            (map(entries), None)
        }
        RestartAction::Pod {
            require_budget,
            timeout,
        } => {
            let pod = map([("requireBudget", plain(require_budget))]);
            (map([("pod", pod)]), Some(*timeout))
        }
        RestartAction::Rollout { workload: None } => (text("rollout"), None),
        RestartAction::Rollout {
            workload: Some(named),
        } => (map([("rollout", workload(named))]), None),
        RestartAction::Pods {
            which,
            max_unavailable,
            evict,
            timeout,
        } => {
            let which = match which {
                WhichPods::Labels(labels) => text(labels),
                WhichPods::Annotation => text("annotation"),
            };
            let entries = [
                ("pods", which),
                ("maxUnavailable", plain(max_unavailable)),
                ("evict", plain(evict)),
            ];
            (map(entries), Some(*timeout))
        }
    }
}

fn workload(workload: &Workload) -> Form {
    let kind = match workload.kind {
        WorkloadKind::Deployment => "deployment",
        WorkloadKind::StatefulSet => "statefulset",
        WorkloadKind::DaemonSet => "daemonset",
    };
    Form::Text(format!("{kind}/{}", workload.name))
}

fn kind_key(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::ConfigMap => "configMap",
        ObjectKind::Secret => "secret",
    }
}

fn object_text(object: &ObjectName) -> String {
    match &object.namespace {
        Some(namespace) => format!("{namespace}/{}", object.name),
        None => object.name.clone(),
    }
}

fn named_text(named: &NamedObject) -> String {
    let optional = if named.optional { ",optional" } else { "" };
    object_text(&named.object) + optional
}

fn text(text: &str) -> Form {
    Form::Text(text.to_owned())
}

/// A path; those of the file are UTF-8.
fn path(path: &std::path::Path) -> Form {
    Form::Text(path.display().to_string())
}

fn plain(value: impl ToString) -> Form {
    Form::Plain(value.to_string())
}

fn mode(bits: u32) -> Form {
    Form::Plain(format!("{bits:04o}"))
}

fn duration(duration: Duration) -> Form {
    Form::Text(span(duration))
}

/// As `1m30s`.
fn span(duration: Duration) -> String {
    SpanPrinter::new()
        .spacing(Spacing::None)
        .unsigned_duration_to_string(&duration)
}

fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Form)>) -> Form {
    let entries = entries.into_iter();
    Form::Map(entries.map(|(key, form)| (key.to_owned(), form)).collect())
}

// === impl Form ===

impl Serialize for Form {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) | Self::Plain(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, form) in entries {
                    map.serialize_entry(key, form)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests;
