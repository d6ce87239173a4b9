//! YAML in block style, as every reader takes it for the same, those of YAML 1.1 too.

use std::fmt::Write as _;

use super::{Style, Tree};

/// The longest value that stays on one line because it was on one.
const LONGEST_FLOW: usize = 160;

/// How lists stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Whether the dashes of a key's list stand two columns right of the key, rather than under it.
    pub(crate) indent_lists: bool,
}

/// Writes a value, indented by so many spaces, with a line break at its end.
pub(crate) fn block(tree: &Tree, indent: usize, layout: Layout, out: &mut String) {
    match tree {
        Tree::List { items, .. } if !is_flow(tree) => {
            for item in items {
                let start = out.len();
                block(item, indent + 2, layout, out);
                // The dash takes the place of the first line's indentation.
                out.replace_range(start + indent..=start + indent, "-");
            }
        }
        Tree::Map { entries, .. } if !is_flow(tree) => {
            for (key, value) in entries {
                spaces(indent, out);
                scalar(key, Style::Free, Place::Block, out);
                out.push(':');
                match value {
                    Tree::Map { .. } if !is_flow(value) => {
                        out.push('\n');
                        block(value, indent + 2, layout, out);
                    }
                    Tree::List { .. } if !is_flow(value) => {
                        out.push('\n');
                        let deeper = if layout.indent_lists { 2 } else { 0 };
                        block(value, indent + deeper, layout, out);
                    }
                    _ => leaf(value, indent, out),
                }
            }
        }
        // The whole document on one line.
        _ if indent == 0 => {
            flow(tree, Place::Block, out);
            out.push('\n');
        }
        // What is on one line begins where the indentation ends.
        _ => {
            spaces(indent.saturating_sub(1), out);
            leaf(tree, indent.saturating_sub(2), out);
        }
    }
}

/// Writes a space and what needs no block of its own; `indent` is its key's or dash's.
fn leaf(tree: &Tree, indent: usize, out: &mut String) {
    let start = out.len();
    out.push(' ');
    match tree {
        Tree::Text { text, .. } if is_literal(text) => literal(text, indent + 2, out),
        _ => flow(tree, Place::Block, out),
    }
    if out[start..].trim().is_empty() {
        // A null that was written as nothing.
        out.truncate(start);
    }
    out.push('\n');
}

fn spaces(count: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', count));
}

/// Whether a collection stands on one line: if it is empty, or did before and still fits.
fn is_flow(tree: &Tree) -> bool {
    let (flowing, empty) = match tree {
        Tree::List { items, flow } => (*flow, items.is_empty()),
        Tree::Map { entries, flow } => (*flow, entries.is_empty()),
        Tree::Plain { .. } | Tree::Text { .. } => (false, false),
    };
    let fits = || {
        let mut line = String::new();
        flow(tree, Place::Flow, &mut line);
        line.len() <= LONGEST_FLOW
    };
    empty || (flowing && fits())
}

/// Where a scalar stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Alone on its line, or after a key.
    Block,
    /// In brackets or braces.
    Flow,
}

/// Writes a value on one line.
fn flow(tree: &Tree, place: Place, out: &mut String) {
    match tree {
        Tree::Text { text, style } => scalar(text, *style, place, out),
        Tree::Plain { value, written } => match written.as_deref() {
            Some("") if place == Place::Flow => out.push_str("null"),
            Some(written) => out.push_str(written),
            None => {
                // Writing to a String cannot fail.
                let _ = write!(out, "{value}");
            }
        },
        Tree::List { items, .. } => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                flow(item, Place::Flow, out);
            }
            out.push(']');
        }
        Tree::Map { entries, .. } => {
            out.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                scalar(key, Style::Free, Place::Flow, out);
                out.push_str(": ");
                flow(value, Place::Flow, out);
            }
            out.push('}');
        }
    }
}

/// Whether text is written as a literal block: several lines of what can be shown.
fn is_literal(text: &str) -> bool {
    let shown = |c: char| is_shown(c) || matches!(c, '\n' | '\t');
    text.contains('\n') && !text.trim_matches('\n').is_empty() && text.chars().all(shown)
}

/// Writes a literal block (YAML 1.2.2, section 8.1.2), without its last line break.
fn literal(text: &str, indent: usize, out: &mut String) {
    out.push('|');
    if text.starts_with([' ', '\t', '\n']) {
        // Else the reader would take the first line's spaces for the block's indentation.
        out.push('2');
    }
    let body = text.strip_suffix('\n');
    match body {
        None => out.push('-'),
        Some(body) if body.ends_with('\n') => out.push('+'),
        Some(_) => {}
    }
    for line in body.unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            spaces(indent, out);
            out.push_str(line);
        }
    }
}

/// Writes text as a scalar on one line: as it was written if that holds here, else plain where every
/// reader of YAML takes it for just that text, else between quotes.
fn scalar(text: &str, style: Style, place: Place, out: &mut String) {
    let shown = text.chars().all(is_shown);
    let single = match style {
        Style::Plain if shown && stays_plain(text, place) => return out.push_str(text),
        Style::Free | Style::Plain if is_plain(text) => return out.push_str(text),
        Style::Single => true,
        Style::Double => false,
        Style::Free | Style::Plain => text.contains(['"', '\\']) && !text.contains('\''),
    };
    if single && shown {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_shown(c) => out.push(c),
            c => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
        }
    }
    out.push('"');
}

/// Whether a character stands for itself in every reader (YAML 1.1, section 4.1) and is seen: spaces
/// other than ASCII's, what has no width or turns the direction, and what no font has are escaped.
fn is_shown(c: char) -> bool {
    match c {
        ' '..='~' => true,
        ..='\u{a0}' | '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180b}'..='\u{180f}' => {
            false
        }
        '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' => false,
        '\u{3000}' | '\u{3164}' | '\u{e000}'..='\u{f8ff}' => false,
        '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}' => false,
        c => c < '\u{e0000}',
    }
}

/// Whether text that was plain is so here, too; that it is text its reader has found.
fn stays_plain(text: &str, place: Place) -> bool {
    let mut chars = text.chars();
    let starts = match chars.next() {
        Some('-' | '?' | ':') => chars
            .next()
            .is_some_and(|c| c.is_ascii_alphanumeric() || c == '-'),
        Some(c) => !matches!(
            c,
            ' ' | ','
                | '['
                | ']'
                | '{'
                | '}'
                | '#'
                | '&'
                | '*'
                | '!'
                | '|'
                | '>'
                | '\''
                | '"'
                | '%'
                | '@'
                | '`'
        ),
        None => false,
    };
    starts
        && !text.starts_with("---")
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && (place == Place::Block || !text.contains([',', '[', ']', '{', '}', ':']))
}

/// A word, path, flag, quantity or duration that no reader takes for a number, a boolean, null or a time.
fn is_plain(value: &str) -> bool {
    /// The words of YAML 1.1, too.
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let flag = value.strip_prefix("--");
    let flag = flag.filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()));
    let mut chars = flag.unwrap_or(value).chars();
    let starts = match chars.next() {
        Some('/') => true,
        Some(c) if c.is_ascii_alphabetic() => true,
        // A duration or quantity: a number of a unit, which is one of no base.
        Some(c) if c.is_ascii_digit() => value.ends_with(['s', 'm', 'i']),
        _ => false,
    };
    starts
        && chars.all(|c| match c {
            '/' | '.' | '-' | '_' | ':' => true,
            '=' => flag.is_some(),
            c => c.is_ascii_alphanumeric(),
        })
        && !value.ends_with(':')
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(value))
}
