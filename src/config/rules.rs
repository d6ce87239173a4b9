//! `onChange`: when, and what to do.

use std::time::Duration;

use super::errors::Faults;
use super::model::{
    Action, ObjectKind, ProcessMatch, Rule, Signal, SignalAction, Timing, WebhookAction,
    WebhookUrl, When,
};
use super::yaml::{Fields, Node, Value};
use super::{names, signals, units};

/// What a rule may say in this version.
const KEYS: &[&str] = &["when", "signal", "webhook", "afterMount", "settle"];
/// What it may say in a later one.
const LATER: &[&str] = &["command", "restart", "files", "splay"];
/// The default of a webhook's timeout.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads rule number `index` of `onChange`.
pub(crate) fn rule(node: &Node, index: usize, faults: &mut Faults) -> Option<Rule> {
    if !matches!(node.value, Value::Map(_)) {
        faults.add(
            &node.at,
            "expected a rule, as {signal: nginx} or {when: {configMap: web}, webhook: \"http://127.0.0.1:8080/reload\"}",
        );
        return None;
    }
    let fields = node.fields(KEYS, LATER, faults)?;
    let when = match fields.get("when") {
        Some(node) => when(node, faults),
        None => Some(When::default()),
    };
    let after_mount = fields
        .get("afterMount")
        .and_then(|node| node.read("a path", units::path, faults));
    if let (Some(node), Some(When { object: None, .. })) = (fields.get("afterMount"), &when) {
        faults.add(
            &node.at,
            "which object is mounted there? Name it with when: {configMap: NAME} or {secret: NAME}",
        );
    }
    let settle = fields
        .get("settle")
        .and_then(|node| node.read("QUIET[:LONGEST], as 250ms:1s", units::settle, faults));
    let action = action(node, &fields, faults);
    Some(Rule {
        name: format!("onChange[{index}]"),
        when: when?,
        identity: String::new(),
        after_mount,
        timing: Timing {
            settle,
            splay: Duration::ZERO,
            min_interval: Duration::ZERO,
            retries: 4,
        },
        action: action?,
    })
}

/// Exactly one of the actions.
fn action(rule: &Node, fields: &Fields<'_>, faults: &mut Faults) -> Option<Action> {
    match (fields.get("signal"), fields.get("webhook")) {
        (Some(node), None) => signal(node, faults).map(Action::Signal),
        (None, Some(node)) => webhook(node, faults).map(Action::Webhook),
        (Some(_), Some(_)) => {
            faults.add(
                &rule.at,
                "a rule has one action: make two rules of signal and webhook",
            );
            None
        }
        // An action of a later version has been named as that already.
        (None, None) if LATER.iter().any(|key| fields.get(key).is_some()) => None,
        (None, None) => {
            faults.add(&rule.at, "a rule needs an action: add signal or webhook");
            None
        }
    }
}

fn when(node: &Node, faults: &mut Faults) -> Option<When> {
    let fields = node.fields(&["configMap", "secret", "keys"], &[], faults)?;
    let wanted = "[NAMESPACE/]NAME";
    let object = match (fields.get("configMap"), fields.get("secret")) {
        (Some(_), Some(_)) => {
            faults.add(
                &node.at,
                "name a configMap or a secret: make two rules for both",
            );
            return None;
        }
        (Some(node), None) => Some((
            ObjectKind::ConfigMap,
            node.read(wanted, names::object, faults)?,
        )),
        (None, Some(node)) => Some((
            ObjectKind::Secret,
            node.read(wanted, names::object, faults)?,
        )),
        (None, None) => None,
    };
    let mut keys = Vec::new();
    for node in fields.get("keys").map_or(&[][..], Node::items) {
        keys.extend(node.read("a glob, as nginx*", units::glob, faults));
    }
    Some(When { object, keys })
}

fn signal(node: &Node, faults: &mut Faults) -> Option<SignalAction> {
    if let Value::Text(_) = node.value {
        let name = node.read("a process name", process_name, faults)?;
        return Some(hang_up(ProcessMatch::Name(name)));
    }
    let fields = node.fields(&["process", "cmdline", "pidfile", "signal"], &[], faults)?;
    let mut targets = Vec::new();
    if let Some(node) = fields.get("process") {
        let name = node.read("a process name", process_name, faults);
        targets.push(name.map(ProcessMatch::Name));
    }
    if let Some(node) = fields.get("cmdline") {
        let glob = node.read("a glob", units::glob, faults);
        targets.push(glob.map(ProcessMatch::Cmdline));
    }
    if let Some(node) = fields.get("pidfile") {
        targets.push(
            node.read("a path", units::path, faults)
                .map(ProcessMatch::Pidfile),
        );
    }
    if targets.len() != 1 {
        faults.add(
            &node.at,
            "say whom to signal by one of process: NAME, cmdline: GLOB or pidfile: PATH",
        );
    }
    let chosen = match fields.get("signal") {
        Some(node) => Some(node.read("a signal's name or number", signals::signal, faults)?),
        None => None,
    };
    let action = hang_up(targets.pop()??);
    Some(match chosen {
        Some(signal) => SignalAction { signal, ..action },
        None => action,
    })
}

/// HUP, by which daemons have always been told to read their configuration again.
fn hang_up(target: ProcessMatch) -> SignalAction {
    SignalAction {
        target,
        signal: Signal {
            number: 1,
            name: "HUP".to_owned(),
        },
    }
}

fn process_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('/') {
        return Err(format!(
            "{text:?} is not an executable's name: give the file's name without directories, as nginx, or use cmdline"
        ));
    }
    Ok(text.to_owned())
}

fn webhook(node: &Node, faults: &mut Faults) -> Option<WebhookAction> {
    if let Value::Text(_) = node.value {
        return Some(WebhookAction::new(node.read(
            "a URL",
            webhook_url,
            faults,
        )?));
    }
    let fields = node.fields(&["url", "method", "timeout"], &[], faults)?;
    let url = match fields.get("url") {
        Some(node) => node.read("a URL", webhook_url, faults),
        None => {
            faults.add(&node.at, "add url: the http:// URL to call");
            None
        }
    };
    let method = match fields.get("method") {
        Some(node) => node.read("POST, PUT or GET", webhook_method, faults),
        None => Some(http::Method::POST),
    };
    let timeout = match fields.get("timeout") {
        Some(node) => node.read("a duration, as 5s", units::timeout, faults),
        None => Some(WEBHOOK_TIMEOUT),
    };
    Some(WebhookAction {
        method: method?,
        timeout: timeout?,
        ..WebhookAction::new(url?)
    })
}

/// The URL itself is never repeated in a fault: it may hold a password.
fn webhook_url(text: &str) -> Result<WebhookUrl, String> {
    let url: WebhookUrl = text
        .parse()
        .map_err(|error| format!("not a URL ({error}): write http://HOST[:PORT]/PATH"))?;
    if url
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err("user and password in the URL are not sent: leave them out".to_owned());
    }
    match (url.scheme_str(), url.host()) {
        (Some("http"), Some(host)) if !host.is_empty() => Ok(url),
        (Some("https"), _) => Err(
            "https is not supported by this version of attache: use http:// to an endpoint in the pod"
                .to_owned(),
        ),
        _ => Err("not an http:// URL with a host: write http://HOST[:PORT]/PATH".to_owned()),
    }
}

fn webhook_method(text: &str) -> Result<http::Method, String> {
    match text {
        "POST" => Ok(http::Method::POST),
        "PUT" => Ok(http::Method::PUT),
        "GET" => Ok(http::Method::GET),
        _ => Err(format!(
            "{text:?} is not a method of webhooks: use POST, PUT or GET"
        )),
    }
}

#[cfg(test)]
mod tests;
