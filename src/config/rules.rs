//! `onChange`: when, how soon, and what to do.
//!
//! Each action reads its own mapping, in a file of its own.

use std::time::Duration;

use super::errors::Faults;
use super::glob::Glob;
use super::model::{Action, ObjectKind, Rule, Timing, When};
use super::yaml::{Fields, Node, Value};
use super::{names, units};

mod command;
mod restart;
mod signal;
mod webhook;

/// The actions; a rule has one of them.
const ACTIONS: [&str; 4] = ["signal", "webhook", "command", "restart"];
/// What else a rule may say.
const KEYS: [&str; 7] = [
    "when",
    "afterMount",
    "settle",
    "splay",
    "minInterval",
    "retries",
    "timeout",
];
/// How often a failed attempt is repeated unless the rule says so.
pub(crate) const RETRIES: u32 = 4;
/// The same for a restart, with the waits between them some 5 minutes: an API server that is itself
/// restarted must not cost one.
const RESTART_RETRIES: u32 = 10;
/// The most that can be asked for.
const MOST_RETRIES: u32 = 100;
/// The default splay and least interval of restarts: a fleet does not fall over together, and no
/// container into CrashLoopBackOff.
const RESTART_SPREAD: Duration = Duration::from_secs(30);

/// Reads rule number `index` of `onChange`.
pub(crate) fn rule(node: &Node, index: usize, faults: &mut Faults) -> Option<Rule> {
    if !matches!(node.value, Value::Map(_)) {
        faults.add(
            &node.at,
            "expected a rule, as {signal: nginx} or {when: {configMap: web}, webhook: \"http://127.0.0.1:8080/reload\"}",
        );
        return None;
    }
    let fields = node.fields(&[&ACTIONS[..], &KEYS].concat(), faults)?;
    let when = match fields.get("when") {
        Some(node) => when(node, faults),
        None => Some(When::default()),
    };
    let after_mount = fields.read("afterMount", "a path", units::path, faults);
    if let (Some(node), Some(When { object: None, .. })) = (fields.get("afterMount"), &when) {
        faults.add(
            &node.at,
            "which object is mounted there? Name it with when: {configMap: NAME} or {secret: NAME}",
        );
    }
    let timing = timing(&fields, faults);
    let action = action(node, &fields, when.as_ref(), faults);
    Some(Rule {
        name: format!("onChange[{index}]"),
        // It tells rules apart, and so is given once all are known.
        identity: String::new(),
        when: when?,
        after_mount,
        timing,
        action: action?,
    })
}

fn timing(fields: &Fields<'_>, faults: &mut Faults) -> Timing {
    let (spread, most) = match fields.get("restart") {
        Some(_) => (RESTART_SPREAD, RESTART_RETRIES),
        None => (Duration::ZERO, RETRIES),
    };
    let mut duration = |key| fields.read(key, "a duration, as 30s", units::duration, faults);
    let (splay, min_interval) = (duration("splay"), duration("minInterval"));
    let retries = |text: &str| units::number(text, 0, MOST_RETRIES);
    Timing {
        settle: fields.read(
            "settle",
            "QUIET[:LONGEST], as 250ms:1s",
            units::settle,
            faults,
        ),
        splay: splay.unwrap_or(spread),
        min_interval: min_interval.unwrap_or(spread),
        retries: fields
            .read("retries", "a number", retries, faults)
            .unwrap_or(most),
    }
}

/// Exactly one of the actions.
fn action(
    rule: &Node,
    fields: &Fields<'_>,
    when: Option<&When>,
    faults: &mut Faults,
) -> Option<Action> {
    let given = ACTIONS.map(|key| fields.get(key).map(|node| (key, node)));
    let mut given = given.into_iter().flatten();
    let Some((key, node)) = given.next() else {
        let actions = ACTIONS.join(", ");
        let fault = format!("a rule needs an action: add one of {actions}");
        faults.add(&rule.at, fault);
        return None;
    };
    if let Some((other, _)) = given.next() {
        let fault = format!("a rule has one action: make two rules of {key} and {other}");
        faults.add(&rule.at, fault);
        return None;
    }
    let timeout = Timeout(fields.get("timeout"));
    match key {
        "signal" => {
            timeout.none("a signal is sent at once", faults);
            signal::signal(node, faults).map(Action::Signal)
        }
        "webhook" => webhook::webhook(node, &timeout, faults).map(Action::Webhook),
        "command" => command::command(node, &timeout, faults).map(Action::Command),
        _ => {
            let secret = matches!(
                when,
                Some(When {
                    object: Some((ObjectKind::Secret, _)),
                    ..
                })
            );
            restart::restart(node, &timeout, secret, faults).map(Action::Restart)
        }
    }
}

/// The rule's `timeout`, which may stand in the action as well.
struct Timeout<'a>(Option<&'a Node>);

// === impl Timeout ===

impl Timeout<'_> {
    /// The timeout of an action whose own stands at `action`.
    fn of(
        &self,
        action: Option<&Node>,
        default: Duration,
        faults: &mut Faults,
    ) -> Option<Duration> {
        if let (Some(rule), Some(_)) = (self.0, action) {
            let fault = "the timeout is given twice, here and in the action: keep one";
            faults.add(&rule.at, fault);
        }
        match action.or(self.0) {
            Some(node) => node.read("a duration, as 5s", units::timeout, faults),
            None => Some(default),
        }
    }

    /// There is none, `because` the action has no use for it.
    fn none(&self, because: &str, faults: &mut Faults) {
        if let Some(node) = self.0 {
            faults.add(&node.at, format!("{because}: take timeout out"));
        }
    }
}

fn when(node: &Node, faults: &mut Faults) -> Option<When> {
    let fields = node.fields(&["configMap", "secret", "keys"], faults)?;
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
        keys.extend(node.read("a glob, as nginx*", Glob::new, faults));
    }
    Some(When { object, keys })
}

#[cfg(test)]
mod tests;
