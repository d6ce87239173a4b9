//! What `attache check` prints: the rules as YAML that `--config` takes again.

use super::form::{self, Form};
use super::model::Config;

/// The rules of a configuration, every default filled in. URLs and headers stand there as they
/// were given.
pub(crate) fn rules(config: &Config) -> String {
    let files: Vec<_> = config.files.iter().map(form::files).collect();
    let on_change = config.on_change.iter();
    let on_change: Vec<_> = on_change
        .map(|rule| form::rule(rule, config.settle))
        .collect();
    let mut text = String::new();
    for (key, rules) in [("files", files), ("onChange", on_change)] {
        if !rules.is_empty() {
            text.push_str(key);
            text.push_str(":\n");
            block(&Form::List(rules), 0, &mut text);
        }
    }
    if text.is_empty() {
        text.push_str(
            "# The configuration is valid, and has no rules: neither files nor onChange.\n",
        );
    }
    text
}

/// Writes a list or mapping in block style, indented by so many spaces; what a list's items hold,
/// and mappings in mappings, two more.
fn block(form: &Form, indent: usize, text: &mut String) {
    match form {
        Form::List(items) => {
            for item in items {
                let start = text.len();
                block(item, indent + 2, text);
                // The dash takes the place of the first key's indentation.
                text.replace_range(start + indent..start + indent + 1, "-");
            }
        }
        Form::Map(entries) => {
            for (key, value) in entries {
                text.extend(std::iter::repeat_n(' ', indent));
                scalar(key, text);
                text.push(':');
                match value {
                    Form::Map(inner) if !inner.is_empty() => {
                        text.push('\n');
                        block(value, indent + 2, text);
                    }
                    Form::List(items) if items.iter().any(|item| matches!(item, Form::Map(_))) => {
                        text.push('\n');
                        block(value, indent + 2, text);
                    }
                    _ => {
                        text.push(' ');
                        flow(value, text);
                        text.push('\n');
                    }
                }
            }
        }
        Form::Text(_) | Form::Plain(_) => {
            text.extend(std::iter::repeat_n(' ', indent));
            flow(form, text);
            text.push('\n');
        }
    }
}

/// Writes a value on one line.
fn flow(form: &Form, text: &mut String) {
    match form {
        Form::Text(value) => scalar(value, text),
        Form::Plain(value) => text.push_str(value),
        Form::List(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                flow(item, text);
            }
            text.push(']');
        }
        Form::Map(entries) => {
            text.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                scalar(key, text);
                text.push_str(": ");
                flow(value, text);
            }
            text.push('}');
        }
    }
}

/// Writes text as a plain scalar where every reader of YAML takes it for just that text, else
/// between double quotes.
fn scalar(value: &str, text: &mut String) {
    if is_plain(value) {
        text.push_str(value);
        return;
    }
    text.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            ' '..='~' => text.push(c),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            c if c.is_alphanumeric() => text.push(c),
            c => text.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    text.push('"');
}

/// A word, path or duration that no reader takes for a number, a boolean, null or a time.
fn is_plain(value: &str) -> bool {
    /// The words of YAML 1.1, too.
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let mut chars = value.chars();
    let starts = match chars.next() {
        Some('/') => true,
        Some(c) if c.is_ascii_alphabetic() => true,
        // A duration: a number of a unit of time, which is one of no base.
        Some(c) if c.is_ascii_digit() => value.ends_with('s') || value.ends_with('m'),
        _ => false,
    };
    starts
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | ':'))
        && !value.ends_with(':')
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(value))
}

#[cfg(test)]
mod tests;
