//! Paths as they are sent and as they are understood.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What a `Location` must not hold as it is. A browser takes a backslash for a slash, so that
/// `/\host` would lead to another host.
const LOCATION: &AsciiSet = &CONTROLS.add(b' ').add(b'\\');

/// Whether every `%` begins an encoded byte (RFC 3986, section 2.1).
pub(super) fn is_percent_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Decodes once, as Go's `URL.Path`; what is not UTF-8 becomes U+FFFD, as Go's regexes see it.
/// Borrows what has nothing to decode.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

/// Whether a segment is `.` or `..`, backslashes taken for slashes.
pub(super) fn has_dot_segment(path: &str) -> bool {
    path.split(['/', '\\'])
        .any(|segment| matches!(segment, "." | ".."))
}

/// The path without empty and dot segments; a slash at the end stays. This is `cleanPath` of Go's
/// `net/http`. Borrows a path that is clean.
pub(super) fn clean(path: &str) -> Cow<'_, str> {
    let is_clean =
        !path.contains("//") && !path.split('/').any(|segment| matches!(segment, "." | ".."));
    if is_clean {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    Cow::Owned(format!("/{}{end}", kept.join("/")))
}

/// The path without the slashes at its ends, the first one excepted, as the API server splits it.
pub(super) fn trim(path: &str) -> &str {
    let slashes = path.len() - path.trim_start_matches('/').len();
    let from_last_slash = path.split_at(slashes.saturating_sub(1)).1;
    match from_last_slash.trim_end_matches('/') {
        "" => from_last_slash,
        trimmed => trimmed,
    }
}

/// The decoded segments of a prefix.
pub(super) fn segments(prefix: &str) -> Vec<String> {
    let segments = prefix.split('/').filter(|segment| !segment.is_empty());
    segments
        .map(|segment| decode(segment).into_owned())
        .collect()
}

/// What follows a prefix: empty, or it begins with a slash. Segments are compared decoded, and only
/// a literal slash ends one, as in Go's `ServeMux`: `/%61/b` lies under `/a`, `/a%2Fb` does not.
pub(super) fn below<'p>(path: &'p str, prefix: &[String]) -> Option<&'p str> {
    prefix.iter().try_fold(path, |rest, wanted| {
        let rest = rest.strip_prefix('/')?;
        let (segment, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        (decode(segment) == wanted.as_str()).then_some(rest)
    })
}

/// A `Location` header's value, in ASCII.
pub(super) fn location(path: &str, query: Option<&str>) -> String {
    let mut location = utf8_percent_encode(path, LOCATION).to_string();
    if let Some(query) = query {
        location.push('?');
        location.extend(utf8_percent_encode(query, LOCATION));
    }
    location
}
