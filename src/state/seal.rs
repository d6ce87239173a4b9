//! What one file of state holds: a line with format, version and checksum, then JSON.

use std::fmt::Write as _;

use ring::digest;
use serde::Serialize;

use super::StateError;

const FORMAT: &str = "attache-state";
/// Grows with every change that an older attache would misread.
pub(super) const VERSION: u32 = 1;

/// The hash that files are named after: 32 hexadecimal digits of a SHA-256.
pub(super) fn hash(text: &str) -> String {
    let mut hash = hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash.truncate(32);
    hash
}

/// Whether a file may be named so after a hash.
pub(super) fn is_hash(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Covers the name, too: a file that was moved or copied is not taken for another.
fn checksum(name: &str, version: &str, body: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [name.as_bytes(), b"\n", version.as_bytes(), b"\n", body] {
        context.update(part);
    }
    hex(context.finish().as_ref())
}

/// A file to be, in memory.
pub(super) struct Sealed {
    pub(super) name: String,
    pub(super) header: String,
    pub(super) body: Vec<u8>,
    /// Equal for equal bodies under the same name.
    pub(super) checksum: String,
}

// === impl Sealed ===

impl Sealed {
    /// # Errors
    /// [`StateError`], as writing would, if `body` cannot be JSON.
    pub(super) fn new(name: String, body: &impl Serialize) -> Result<Self, StateError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| StateError::of("written", &name)(error.into()))?;
        let checksum = checksum(&name, &VERSION.to_string(), &body);
        Ok(Self {
            header: format!("{FORMAT} {VERSION} {checksum}\n"),
            name,
            body,
            checksum,
        })
    }
}

/// Why a file is not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    Damaged(String),
    /// Whole, and of a later version of the format.
    Newer(u32),
}

/// Takes a file's bytes apart: its checksum and its body.
pub(super) fn unseal<'a>(name: &str, bytes: &'a [u8]) -> Result<(&'a str, &'a [u8]), Unfit> {
    let damaged = |reason: &str| Unfit::Damaged(reason.to_owned());
    let foreign = || damaged("it does not begin as a file of state");
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (header, body) = bytes.split_at(end.ok_or_else(foreign)?);
    let body = &body[1..];
    let header = std::str::from_utf8(header).map_err(|_| foreign())?;
    let parts: Vec<&str> = header.split(' ').collect();
    let [FORMAT, version, sum] = parts[..] else {
        return Err(foreign());
    };
    if checksum(name, version, body) != sum {
        return Err(damaged("its checksum differs"));
    }
    match version.parse() {
        Ok(VERSION) => Ok((sum, body)),
        Ok(newer) if newer > VERSION => Err(Unfit::Newer(newer)),
        _ => Err(damaged("there is no such version of the format")),
    }
}

/// A file of any version, for tests.
#[cfg(test)]
pub(super) fn sealed_as(name: &str, version: &str, body: &[u8]) -> Vec<u8> {
    let checksum = checksum(name, version, body);
    let header = format!("{FORMAT} {version} {checksum}\n");
    [header.as_bytes(), body].concat()
}
