//! Reads a YAML document as kubectl does, its order and the way its scalars are written kept.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, StructureStyle, Tag};
use serde_json::Value;

use super::resolve;
use crate::config::tree::{Style, Tree};

/// How deep objects may nest; schemas of CustomResourceDefinitions need some 30.
const MAX_DEPTH: usize = 128;
/// The most values of a document, its aliases expanded: ten times those of the largest that etcd takes.
const MAX_VALUES: usize = 1_000_000;

/// A document that is not empty.
#[derive(Debug)]
pub(super) struct Document {
    /// What it says.
    pub(super) tree: Tree,
    /// Where its content begins, in bytes: directives, separator and first comments stand before.
    pub(super) start: usize,
    /// How many comments stand after its content has begun.
    pub(super) comments: usize,
    /// Whether its lists stand right of their keys; `None` if it has none.
    pub(super) indented_lists: Option<bool>,
}

/// What is wrong with a document, and at which of its lines, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) reason: String,
}

/// Reads one document; `None` if there is nothing but comments in it.
///
/// # Errors
/// Where it is no YAML that JSON could say.
pub(super) fn read(text: &str) -> Result<Option<Document>, Malformed> {
    let options = granit_parser::options! {
        block_nesting_limit: MAX_DEPTH,
        flow_nesting_limit: MAX_DEPTH,
    };
    let mut reader = Reader {
        text,
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        values: 0,
        start: None,
        comments: 0,
        indented_lists: None,
    };
    let mut tree = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            _ if tree.is_some() => {
                return Err(malformed(&span, "a document without --- before it"));
            }
            event => tree = Some(reader.node(event, &span, None)?),
        }
    }
    let tree = tree.filter(|tree| tree.value() != Value::Null);
    let (start, comments) = (reader.start.unwrap_or_default(), reader.comments);
    let indented_lists = reader.indented_lists;
    Ok(tree.map(|tree| Document {
        tree,
        start,
        comments,
        indented_lists,
    }))
}

fn malformed(span: &Span, reason: impl Into<String>) -> Malformed {
    let (line, reason) = (span.start.line().max(1), reason.into());
    Malformed { line, reason }
}

struct Reader<'a> {
    text: &'a str,
    parser: Parser<'a, StrInput<'a>>,
    /// What aliases stand for; a node's own are not known before its end, so none is in itself.
    anchors: HashMap<usize, Tree>,
    values: usize,
    start: Option<usize>,
    comments: usize,
    indented_lists: Option<bool>,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// The next event that is no comment.
    fn next(&mut self) -> Result<(Event<'a>, Span), Malformed> {
        loop {
            match self.parser.next() {
                Some(Ok((Event::Comment(..), _))) => {
                    self.comments += usize::from(self.start.is_some());
                }
                Some(Ok(event)) => return Ok(event),
                Some(Err(error)) => {
                    let (line, reason) = (error.marker().line().max(1), error.info().to_owned());
                    return Err(Malformed { line, reason });
                }
                None => {
                    return Ok((
                        Event::StreamEnd,
                        Span::empty(granit_parser::Marker::default()),
                    ));
                }
            }
        }
    }

    /// The value that begins with `event`; `key_column` is that of the mapping it is a value of.
    fn node(
        &mut self,
        event: Event<'a>,
        span: &Span,
        key_column: Option<usize>,
    ) -> Result<Tree, Malformed> {
        self.start = self.start.or(span.start.byte_offset());
        self.count(1, span)?;
        let (tree, anchor) = match event {
            Event::Alias(anchor) => {
                let Some(tree) = self.anchors.get(&anchor).cloned() else {
                    return Err(malformed(span, "an alias within the value it stands for"));
                };
                self.count(tree.size(), span)?;
                return Ok(tree);
            }
            Event::Scalar(text, style, anchor, tag) => {
                // A value that is not there is told as `~`.
                let text = if span.is_empty() { "" } else { &*text };
                (scalar(text, style, tag.as_deref(), span)?, anchor)
            }
            Event::SequenceStart(style, anchor, _) => {
                let flow = style == StructureStyle::Flow;
                if let (false, None, Some(column)) = (flow, self.indented_lists, key_column) {
                    self.indented_lists = self.dash(span).map(|dash| dash > column);
                }
                (self.list(flow)?, anchor)
            }
            Event::MappingStart(style, anchor, _) => {
                let flow = style == StructureStyle::Flow;
                (self.map(flow, span.start.col())?, anchor)
            }
            _ => return Err(malformed(span, "a value is missing")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, tree.clone());
        }
        Ok(tree)
    }

    /// The column of a list's first dash; the parser may place the list after it.
    fn dash(&self, span: &Span) -> Option<usize> {
        let before = self.text.get(..span.start.byte_offset()?)?;
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        self.text[line..].find(|c| c != ' ')
    }

    fn count(&mut self, values: usize, span: &Span) -> Result<(), Malformed> {
        self.values += values;
        if self.values > MAX_VALUES {
            let reason = format!("more than {MAX_VALUES} values, aliases expanded");
            return Err(malformed(span, reason));
        }
        Ok(())
    }

    fn list(&mut self, flow: bool) -> Result<Tree, Malformed> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Tree::List { items, flow }),
                (event, span) => items.push(self.node(event, &span, None)?),
            }
        }
    }

    fn map(&mut self, flow: bool, column: usize) -> Result<Tree, Malformed> {
        let mut entries: Vec<(String, Tree)> = Vec::new();
        // Keys that only `<<` has given so far may stand again.
        let mut merged: Vec<String> = Vec::new();
        loop {
            let (event, key_span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Tree::Map { entries, flow });
            }
            let merges =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, &key_span, None)?;
            let (event, span) = self.next()?;
            let value = self.node(event, &span, Some(column))?;
            if merges {
                merge(value, &mut entries, &mut merged).map_err(|why| malformed(&span, why))?;
                continue;
            }
            let key = key_text(key).map_err(|why| malformed(&key_span, why))?;
            match entries.iter_mut().find(|(name, _)| *name == key) {
                None => entries.push((key, value)),
                Some(entry) if merged.contains(&key) => {
                    entry.1 = value;
                    merged.retain(|name| *name != key);
                }
                Some(_) => {
                    return Err(malformed(
                        &key_span,
                        format!("the key {key:?} stands twice"),
                    ));
                }
            }
        }
    }
}

/// What `<<` does in go-yaml: it sets keys where it stands, so that those before it are overridden, too;
/// of several mappings the first one wins.
fn merge(
    value: Tree,
    entries: &mut Vec<(String, Tree)>,
    merged: &mut Vec<String>,
) -> Result<(), &'static str> {
    let maps = match value {
        Tree::List { items, .. } => items,
        map => vec![map],
    };
    for map in maps.into_iter().rev() {
        let Tree::Map { entries: given, .. } = map else {
            return Err("<< takes a mapping or a list of them");
        };
        for (key, value) in given {
            match entries.iter_mut().find(|(name, _)| *name == key) {
                Some(entry) => entry.1 = value,
                None => entries.push((key.clone(), value)),
            }
            merged.push(key);
        }
    }
    Ok(())
}

/// A key as JSON has it.
fn key_text(key: Tree) -> Result<String, &'static str> {
    match key {
        Tree::Text { text, .. } => Ok(text),
        Tree::Plain { value, .. } if value != Value::Null => Ok(value.to_string()),
        _ => Err("a key is text, a number or a boolean"),
    }
}

fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    span: &Span,
) -> Result<Tree, Malformed> {
    let written = match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        _ => Style::Free,
    };
    let as_text = |text: &str, style| {
        let text = text.to_owned();
        Ok(Tree::Text { text, style })
    };
    let known = tag.and_then(|tag| tag.suffix_in_namespace("tag:yaml.org,2002:"));
    match (tag, known.as_deref()) {
        (None, _) if style != ScalarStyle::Plain => as_text(text, written),
        (None, _) if resolve::is_infinite(text) => {
            Err(malformed(span, format!("{text} is no number of JSON")))
        }
        (None, _) => match resolve::plain(text) {
            None => as_text(text, written),
            Some(value) => {
                let written = Some(text.to_owned());
                Ok(Tree::Plain { value, written })
            }
        },
        (_, Some("int" | "float" | "bool" | "null")) => match resolve::plain(text) {
            None => Err(malformed(
                span,
                format!("{text:?} is not what its tag says"),
            )),
            Some(value) => {
                let written = None;
                Ok(Tree::Plain { value, written })
            }
        },
        (_, Some("binary")) => {
            use base64::Engine as _;
            let packed: String = text.split_whitespace().collect();
            let bytes = base64::engine::general_purpose::STANDARD.decode(packed);
            let decoded = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let decoded =
                decoded.ok_or_else(|| malformed(span, "!!binary is no text in base64"))?;
            as_text(&decoded, Style::Free)
        }
        // !!str, !!timestamp and tags of others: text, which nothing may take for something else.
        _ => as_text(text, Style::Double),
    }
}

#[cfg(test)]
mod tests;
