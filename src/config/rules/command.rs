//! `command`: which program.

use std::time::Duration;

use super::super::errors::Faults;
use super::super::model::CommandAction;
use super::super::units;
use super::super::yaml::{Node, Value};
use super::Timeout;

/// The default of `timeout`.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The default of `grace`.
const GRACE: Duration = Duration::from_secs(5);

/// Reads `command`: a program, a list of program and arguments, or a mapping.
pub(super) fn command(
    node: &Node,
    timeout: &Timeout<'_>,
    faults: &mut Faults,
) -> Option<CommandAction> {
    if !matches!(node.value, Value::Map(_)) {
        let timeout = timeout.of(None, TIMEOUT, faults);
        return Some(CommandAction {
            argv: argv(node, faults)?,
            timeout: timeout?,
            grace: GRACE,
        });
    }
    let fields = node.fields(&["argv", "shell", "timeout", "grace"], faults)?;
    let argv = match (fields.get("argv"), fields.get("shell")) {
        (Some(node), None) => argv(node, faults),
        (None, Some(node)) => {
            let text = node.read("a shell's command line", program, faults);
            text.map(|text| vec!["/bin/sh".to_owned(), "-c".to_owned(), text])
        }
        _ => {
            faults.add(
                &node.at,
                "say what to run by one of argv: [PROGRAM, ARGUMENTS…] or shell: TEXT",
            );
            None
        }
    };
    let timeout = timeout.of(fields.get("timeout"), TIMEOUT, faults);
    let grace = match fields.get("grace") {
        Some(node) => node.read("a duration, as 5s", units::duration, faults),
        None => Some(GRACE),
    };
    Some(CommandAction {
        argv: argv?,
        timeout: timeout?,
        grace: grace?,
    })
}

/// A program alone, or a list that begins with it.
fn argv(node: &Node, faults: &mut Faults) -> Option<Vec<String>> {
    if let Value::Text(_) = node.value {
        let program = node.read("a program", alone, faults)?;
        return Some(vec![program]);
    }
    let Value::List(items) = &node.value else {
        faults.add(&node.at, "expected a list, as [nginx, -s, reload]");
        return None;
    };
    if items.is_empty() {
        faults.add(&node.at, "an empty list runs nothing: name the program");
        return None;
    }
    let mut argv = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let parse = if index == 0 { program } else { argument };
        argv.extend(item.read("a program's argument", parse, faults));
    }
    // A fault in one leaves none: the others would have moved.
    (argv.len() == items.len()).then_some(argv)
}

fn alone(text: &str) -> Result<String, String> {
    // What follows the program may be a password.
    if text.contains(char::is_whitespace) {
        let first = text.split_whitespace().next().unwrap_or_default();
        return Err(format!(
            "{first:?} and what follows would be a program's name with white space in it: write a list, as [nginx, -s, reload], or {{shell: TEXT}}"
        ));
    }
    program(text)
}

fn program(text: &str) -> Result<String, String> {
    argument(&units::filled(text)?)
}

fn argument(text: &str) -> Result<String, String> {
    if text.contains('\0') {
        return Err("a program cannot be given the character NUL: take it out".to_owned());
    }
    Ok(text.to_owned())
}
