//! `If-Match` and `If-None-Match` (RFC 9110, sections 13.1.1 and 13.1.2).

use http::HeaderMap;
use http::header::{IF_MATCH, IF_NONE_MATCH};

use crate::store::ETag;

/// Whether the client already has what `etag` tags. Tags are compared weakly, as the RFC has it;
/// what cannot be read as a list of tags matches nothing.
pub(in crate::api) fn is_held(headers: &HeaderMap, etag: &ETag) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|value| lists(value.as_bytes(), etag.as_bytes(), Comparison::Weak))
}

/// Whether what there is now, if anything, is what a request that writes means to change. For
/// `If-Match` tags are compared strongly: a weak one matches nothing.
pub(in crate::api) fn holds(headers: &HeaderMap, current: Option<&ETag>) -> bool {
    let listed = |value: &http::HeaderValue| {
        current.is_some_and(|etag| lists(value.as_bytes(), etag.as_bytes(), Comparison::Strong))
    };
    let matches = !headers.contains_key(IF_MATCH) || headers.get_all(IF_MATCH).iter().any(listed);
    matches && !current.is_some_and(|etag| is_held(headers, etag))
}

/// How tags are compared (RFC 9110, section 8.8.3.2); those of attache are strong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Weak,
    Strong,
}

fn lists(value: &[u8], etag: &[u8], comparison: Comparison) -> bool {
    if value.trim_ascii() == b"*" {
        return true;
    }
    let mut rest = value;
    loop {
        // RFC 9110, section 5.6.1.2: a list may have empty elements.
        while let [b',' | b' ' | b'\t', after @ ..] = rest {
            rest = after;
        }
        let (opaque, strong) = match rest.strip_prefix(b"W/") {
            Some(opaque) => (opaque, false),
            None => (rest, true),
        };
        let [b'"', inner @ ..] = opaque else {
            return false;
        };
        let Some(end) = inner.iter().position(|b| *b == b'"') else {
            return false;
        };
        let (tag, after) = opaque.split_at(end + 2);
        if tag == etag && (strong || comparison == Comparison::Weak) {
            return true;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_of_strong_and_weak_tags() {
        for value in [
            "\"a\"",
            "W/\"a\"",
            "\"b\", \"a\"",
            "\"b\",\"a\"",
            ", ,\"x,y\" ,\tW/\"a\"",
            "*",
            " * ",
        ] {
            assert!(
                lists(value.as_bytes(), b"\"a\"", Comparison::Weak),
                "{value}"
            );
        }
        for value in [
            "",
            "a",
            "\"A\"",
            "\"b\"",
            "\"a",
            "w/\"a\"",
            "\"b\" * ",
            "W/",
            "\"",
            "\"b\"; \"a\"",
            "\"aa\"",
        ] {
            assert!(
                !lists(value.as_bytes(), b"\"a\"", Comparison::Weak),
                "{value}"
            );
        }
    }
}
