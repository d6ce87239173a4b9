//! What `attache check` prints: the rules as YAML that `--config` takes again.

use serde_json::Value;

use super::form::{self, Form};
use super::model::Config;
use super::tree::{self, Layout, Style, Tree};

/// As in the documentation.
const LAYOUT: Layout = Layout { indent_lists: true };

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
            tree::block(&tree(Form::List(rules)), 0, LAYOUT, &mut text);
        }
    }
    if text.is_empty() {
        text.push_str(
            "# The configuration is valid, and has no rules: neither files nor onChange.\n",
        );
    }
    text
}

/// The tree of a form: lists of scalars on one line.
fn tree(form: Form) -> Tree {
    match form {
        Form::Text(text) => {
            let style = Style::Free;
            Tree::Text { text, style }
        }
        Form::Plain(written) => {
            let (value, written) = (Value::Null, Some(written));
            Tree::Plain { value, written }
        }
        Form::List(items) => {
            let flow = !items.iter().any(|item| matches!(item, Form::Map(_)));
            let items = items.into_iter().map(tree).collect();
            Tree::List { items, flow }
        }
        Form::Map(entries) => {
            let (mut trees, flow) = (Vec::new(), false);
            trees.extend(entries.into_iter().map(|(key, form)| (key, tree(form))));
            let entries = trees;
            Tree::Map { entries, flow }
        }
    }
}

#[cfg(test)]
mod tests;
