//! What is read: files of documents, each of which can be printed again as it was.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::yaml;
use crate::config::tree::{self, Layout, Tree};
use crate::config::{Faults, Input};

/// How kubectl indents JSON.
const JSON_INDENT: &[u8] = b"    ";
/// What is said of a document that cannot be read and has double braces.
const TEMPLATE: &str =
    "; {{ stands in it: if that is a template, render it first, as by helm template";

/// One file, or standard input.
#[derive(Debug)]
pub(super) struct Source {
    /// What it is called in reports.
    pub(super) name: String,
    /// What it holds.
    pub(super) pieces: Vec<Piece>,
}

/// A document with the separator and comments before it; pieces in a row are the file.
#[derive(Debug)]
pub(super) struct Piece {
    /// As it was read.
    pub(super) text: String,
    /// How many lines are before it.
    pub(super) line: usize,
    /// What it says; `None` if there is nothing in it but comments.
    pub(super) document: Option<Document>,
}

/// What a piece says.
#[derive(Debug)]
pub(super) struct Document {
    /// The object.
    pub(super) tree: Tree,
    /// How many comments are lost when it is written anew.
    pub(super) comments: usize,
    /// Where in the piece it begins, in bytes; what is before stays as it is.
    start: usize,
    syntax: Syntax,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syntax {
    Json,
    Yaml(Layout),
}

/// Reads all inputs; what cannot be read is a fault.
pub(super) fn sources(inputs: &[Input], stdin: &mut impl Read, faults: &mut Faults) -> Vec<Source> {
    let mut sources = Vec::new();
    for input in inputs {
        match input {
            Input::Stdin => {
                let mut bytes = Vec::new();
                let read = stdin.read_to_end(&mut bytes).map(|_| bytes);
                sources.extend(source("standard input".to_owned(), read, faults));
            }
            Input::Path(path) => {
                let name = path.display().to_string();
                for file in faults.take(&name, files(path)).unwrap_or_default() {
                    let name = file.display().to_string();
                    sources.extend(source(name, fs::read(&file), faults));
                }
            }
        }
    }
    sources
}

/// The file itself, or the manifests directly in a directory, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    let told = |error: std::io::Error| error.to_string();
    if !fs::metadata(path).map_err(told)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(told)? {
        let file = entry.map_err(told)?.path();
        let known = ["yaml", "yml", "json"];
        let extension = file.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| known.contains(&extension)) && file.is_file() {
            files.push(file);
        }
    }
    files.sort_unstable();
    if files.is_empty() {
        return Err("a directory without .yaml, .yml or .json: name one with manifests".into());
    }
    Ok(files)
}

fn source(name: String, read: std::io::Result<Vec<u8>>, faults: &mut Faults) -> Option<Source> {
    let bytes = faults.take(&name, read)?;
    let text = faults.take(&name, String::from_utf8(bytes).map_err(|_| "is not UTF-8"))?;
    let pieces = pieces(&text, &name, faults);
    Some(Source { name, pieces })
}

/// Takes a file apart; what cannot be read of it is a fault.
pub(super) fn pieces(text: &str, name: &str, faults: &mut Faults) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut line = 0;
    for text in split(text) {
        let read = match json(text) {
            Some(Ok(values)) => Ok(values),
            Some(Err(error)) if name.ends_with(".json") => Err(error),
            // An error of JSON's counts if YAML, which holds most of JSON, has one, too.
            Some(Err(error)) => yaml(text).map_err(|_| error),
            None => yaml(text),
        };
        match read {
            Ok(parts) => {
                for (text, document) in parts {
                    let (text, lines) = (text.to_owned(), text.matches('\n').count());
                    pieces.push(Piece {
                        text,
                        line,
                        document,
                    });
                    line += lines;
                }
            }
            Err((at, mut reason)) => {
                if text.contains("{{") {
                    reason.push_str(TEMPLATE);
                }
                faults.add(format!("{name}:{}", line + at), reason);
                line += text.matches('\n').count();
            }
        }
    }
    pieces
}

/// Parts of the text at lines that begin with `---`, markers wherever they stand (YAML 1.2.2, section
/// 9.1). Directives before one stay in the part before, which is nothing then: YAML 1.1 is read anyway.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        let marker = line.strip_prefix("---");
        if at > start
            && marker.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        {
            parts.push(&text[start..at]);
            start = at;
        }
        at += line.len();
    }
    parts.push(&text[start..]);
    parts
}

/// Pieces, or the line and reason of an error.
type Parts<'a> = Result<Vec<(&'a str, Option<Document>)>, (usize, String)>;

/// Values of JSON after each other, as kubectl takes them from a stream that begins with a brace;
/// `None` if this one does not.
fn json(text: &str) -> Option<Parts<'_>> {
    let body = match text.strip_prefix("---") {
        Some(rest) => rest.split_once('\n')?.1,
        None => text,
    };
    if !body.trim_start().starts_with('{') {
        return None;
    }
    let before = text.len() - body.len();
    let malformed = |error: serde_json::Error| {
        let lines = text[..before].matches('\n').count();
        let reason = format!("not readable as JSON: {error}");
        (lines + error.line().max(1), reason)
    };
    let (mut parts, mut end) = (Vec::new(), 0);
    let mut values = serde_json::Deserializer::from_str(body).into_iter::<&RawValue>();
    while let Some(value) = values.next() {
        let read = value.and_then(|value| Ok((value, serde_json::from_str(value.get())?)));
        let (value, tree) = match read {
            Ok(read) => read,
            Err(error) => return Some(Err(malformed(error))),
        };
        let (start, comments) = (end, 0);
        end = before + values.byte_offset();
        let text = &text[start..end];
        let start = text.len() - value.get().len();
        let syntax = Syntax::Json;
        let document = Document {
            tree,
            comments,
            start,
            syntax,
        };
        parts.push((text, Some(document)));
    }
    if end < text.len() {
        parts.push((&text[end..], None));
    }
    Some(Ok(parts))
}

fn yaml(text: &str) -> Parts<'_> {
    // Alone, directives are no document.
    let says = |line: &str| !(line.trim().is_empty() || line.starts_with(['#', '%']));
    if !text.lines().any(says) {
        return Ok(vec![(text, None)]);
    }
    match yaml::read(text) {
        Ok(None) => Ok(vec![(text, None)]),
        Ok(Some(read)) => {
            let indent_lists = read.indented_lists.unwrap_or_default();
            // From the start of the line: what is before is the separator, or nothing but spaces.
            let start = text[..read.start].rfind('\n').map_or(0, |at| at + 1);
            let document = Document {
                tree: read.tree,
                comments: read.comments,
                start,
                syntax: Syntax::Yaml(Layout { indent_lists }),
            };
            Ok(vec![(text, Some(document))])
        }
        Err(malformed) => {
            let reason = format!("not readable as YAML: {}", malformed.reason);
            Err((malformed.line, reason))
        }
    }
}

// === impl Piece ===

impl Piece {
    /// Whether it is a value of JSON.
    pub(super) fn is_json(&self) -> bool {
        let document = self.document.as_ref();
        document.is_some_and(|document| document.syntax == Syntax::Json)
    }

    /// Whether it is a document of YAML.
    pub(super) fn is_yaml(&self) -> bool {
        self.document.is_some() && !self.is_json()
    }

    /// The piece with its document as it is now.
    pub(super) fn rewritten(&self) -> String {
        let Some(document) = &self.document else {
            return self.text.clone();
        };
        let mut text = self.text[..document.start].to_owned();
        match document.syntax {
            Syntax::Json => {
                let formatter = serde_json::ser::PrettyFormatter::with_indent(JSON_INDENT);
                let mut bytes = Vec::new();
                let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
                // Neither a tree nor memory can fail.
                let _ = serde::Serialize::serialize(&document.tree, &mut serializer);
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
            Syntax::Yaml(layout) => {
                if text.is_empty() && self.text.starts_with("---") {
                    // The document began on the line of its separator.
                    text.push_str("---\n");
                }
                tree::block(&document.tree, 0, layout, &mut text);
                text.push_str(self.tail());
            }
        }
        text
    }

    /// The line its document begins at, from 1.
    pub(super) fn document_line(&self) -> usize {
        let start = self.document.as_ref().map_or(0, |document| document.start);
        self.line + self.text[..start].matches('\n').count() + 1
    }

    /// How many comments are gone in [`Self::rewritten`].
    pub(super) fn lost_comments(&self) -> usize {
        let kept = self.tail().lines().filter(|line| line.starts_with('#'));
        let comments = self
            .document
            .as_ref()
            .map_or(0, |document| document.comments);
        comments.saturating_sub(kept.count())
    }

    /// The comments that stand at its end, not indented, such as those of the next document.
    fn tail(&self) -> &str {
        let mut start = self.text.len();
        let mut at = self.text.len();
        for line in self.text.split_inclusive('\n').rev() {
            at -= line.len();
            match line {
                _ if line.starts_with('#') => start = at,
                _ if line.trim().is_empty() => {}
                _ => break,
            }
        }
        &self.text[start..]
    }
}

#[cfg(test)]
mod tests;
