//! Whether a request goes to the API server, and with which path: decided from method, path and
//! query alone.
//!
//! Reading order: [`Policy::decide`] (the steps, in `kubectl proxy`'s order), [`Verdict`], then
//! `path` (how paths are read), and `resource` (what they ask for).

use http::Method;
use http::uri::PathAndQuery;
use regex_lite::Regex;

use crate::config::Filter;

mod path;
mod pattern;
mod resource;

use pattern::Pattern;
pub use resource::{is_long_running, is_subresource_proxy};

/// The most bytes of a path that the regular expressions are asked about, in all the ways it is
/// read. They take up to 150 ns a byte and expression, and nobody else has a turn meanwhile.
pub const MAX_PATH: usize = 8 * 1024;

/// What may go to the API server, and where the API begins. Made once.
#[derive(Debug)]
pub struct Policy {
    filter: Option<Patterns>,
    /// Decoded segments; none for `/`.
    api_prefix: Vec<String>,
    strips_api_prefix: bool,
    /// Decoded segments; none without a server path.
    server_path: Vec<String>,
    append_server_path: bool,
}

/// The filter's expressions.
#[derive(Debug)]
struct Patterns {
    accept_paths: Vec<Pattern>,
    reject_paths: Vec<Pattern>,
    reject_methods: Vec<Pattern>,
}

impl From<Filter> for Patterns {
    fn from(filter: Filter) -> Self {
        let patterns = |regexes: Vec<Regex>| regexes.into_iter().map(Pattern::new).collect();
        Self {
            accept_paths: patterns(filter.accept_paths),
            reject_paths: patterns(filter.reject_paths),
            reject_methods: patterns(filter.reject_methods),
        }
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to the API server with this path and query: percent-encoded as the client sent them,
    /// without the API prefix and without the server path.
    Forward(PathAndQuery),
    /// 307: it is to be asked for here. The value is ASCII, and begins with a single slash.
    Redirect(String),
    /// 403: the filter refuses it.
    Forbidden,
    /// 404: it lies outside the API prefix.
    NotFound,
    /// 414: the path has more than [`MAX_PATH`] bytes.
    TooLong,
    /// 400, with a detail for people: the target is no path, or not well formed.
    Malformed(&'static str),
}

// === impl Policy ===

impl Policy {
    /// Takes the filter (`None`: everything passes), the API prefix, and the path of the API
    /// server's URL, which is empty or begins with a slash.
    ///
    /// The API prefix stays on the path if it is `/api/`, `/apis/` or lies under one of them, for
    /// then it is the API's own. (kubectl leaves every prefix on that begins with `/api`, even
    /// `/apifoo/`, which no API server serves.)
    ///
    /// The server path is taken off a path that begins with it, because whoever forwards puts it
    /// before every path; with `append_server_path` it is left on, and so doubled.
    #[must_use]
    pub fn new(
        filter: Option<Filter>,
        api_prefix: &str,
        server_path: &str,
        append_server_path: bool,
    ) -> Self {
        let api_prefix = path::segments(api_prefix);
        let is_api = |first: &String| matches!(first.as_str(), "api" | "apis");
        Self {
            filter: filter.map(Patterns::from),
            strips_api_prefix: !api_prefix.first().is_some_and(is_api),
            api_prefix,
            server_path: path::segments(server_path),
            append_server_path,
        }
    }

    /// Decides on a request. `path` and `query` are as the client sent them.
    ///
    /// 1. A target that is no path is [`Verdict::Malformed`]: `*` and a CONNECT's `host:port`. (Go
    ///    answers `OPTIONS *` with 200 by itself.) So are a CONNECT's path, which would be sent as an
    ///    authority, a `%` without two hexadecimal digits, and control characters, as in Go. A path
    ///    of more than [`MAX_PATH`] bytes is [`Verdict::TooLong`].
    /// 2. A literal `//`, `.` or `..` in the path is redirected to the path without it, query and
    ///    final slash kept.
    /// 3. The API prefix is taken off; outside it is [`Verdict::NotFound`], and the prefix without
    ///    its final slash is redirected to the one with it.
    /// 4. The server path is taken off.
    /// 5. The filter is asked about what is left, as the API server will understand it:
    ///    - The path is decoded once. A double encoding stays an encoding, as the API server decodes
    ///      once, too; `;` and NUL are characters like others.
    ///    - An encoded dot segment is refused, for proxies on the way resolve it in different ways; so
    ///      is a literal backslash, which RFC 3986 does not allow in a path.
    ///    - Slashes may be collapsed on the way and `%5C` taken for a slash. A path that has
    ///      them is read that way, too: one reading that is rejected rejects, and all of them must
    ///      be accepted. So a service's path may hold `%2F`.
    ///    - The API server ignores slashes at either end, so reject-paths are also asked about the path
    ///      without them; and about the path without a server path that is still on it.
    ///    - All of that may be [`MAX_PATH`] bytes, else it is [`Verdict::TooLong`], too.
    #[must_use]
    pub fn decide(&self, method: &Method, path: &str, query: Option<&str>) -> Verdict {
        if method == Method::CONNECT {
            return Verdict::Malformed("attache opens no tunnels: ask for a path with GET or POST");
        }
        if !path.starts_with('/') {
            return Verdict::Malformed("the request target is not a path that begins with a slash");
        }
        if !path::is_percent_encoded(path) {
            return Verdict::Malformed("a % in the path is not followed by two hexadecimal digits");
        }
        if path.len() > MAX_PATH {
            return Verdict::TooLong;
        }
        let cleaned = path::clean(path);
        if cleaned != path {
            return Verdict::Redirect(path::location(&cleaned, query));
        }
        let Some(below) = path::below(path, &self.api_prefix) else {
            return Verdict::NotFound;
        };
        if below.is_empty() {
            return Verdict::Redirect(path::location(&format!("{path}/"), query));
        }
        let mut rest = if self.strips_api_prefix { below } else { path };
        if !self.append_server_path {
            rest = path::below(rest, &self.server_path).unwrap_or(rest);
        }
        if rest.is_empty() {
            rest = "/";
        }
        let refusal = self.filter.as_ref();
        let refusal = refusal.and_then(|filter| self.refusal(filter, method, rest));
        refusal.unwrap_or_else(|| forward(rest, query))
    }

    /// Why the filter does not let a request through; `None` if it does.
    fn refusal(&self, filter: &Patterns, method: &Method, path: &str) -> Option<Verdict> {
        let decoded = path::decode(path);
        let is_ambiguous = path.contains('\\') || path::has_dot_segment(&decoded);
        if is_ambiguous || any(&filter.reject_methods, method.as_str()) {
            return Some(Verdict::Forbidden);
        }
        let collapsed = path::clean(&decoded);
        let slashes = decoded.replace('\\', "/");
        let collapsed_slashes = path::clean(&slashes);
        let readings = distinct([&*decoded, &*collapsed, &*slashes, &*collapsed_slashes]);
        let understood = distinct(readings.iter().flat_map(|reading| {
            let readings = [Some(*reading), self.without_server_path(reading)];
            let trimmed = |reading| [reading, path::trim(reading)];
            readings.into_iter().flatten().flat_map(trimmed)
        }));
        if understood.iter().map(|path| path.len()).sum::<usize>() > MAX_PATH {
            return Some(Verdict::TooLong);
        }
        let passes = readings.iter().all(|path| any(&filter.accept_paths, path))
            && !understood
                .iter()
                .any(|path| any(&filter.reject_paths, path));
        (!passes).then_some(Verdict::Forbidden)
    }

    /// The reading without the server path, if it begins with one.
    fn without_server_path<'p>(&self, reading: &'p str) -> Option<&'p str> {
        if self.server_path.is_empty() {
            return None;
        }
        let rest = self.server_path.iter().try_fold(reading, |rest, segment| {
            rest.strip_prefix('/')?.strip_prefix(segment.as_str())
        })?;
        rest.starts_with('/').then_some(rest)
    }
}

/// Whether a path has no literal `//`, `.` or `..` to be redirected away from.
#[must_use]
pub fn is_clean(path: &str) -> bool {
    path::clean(path) == path
}

/// The texts, each once.
fn distinct<'t>(texts: impl IntoIterator<Item = &'t str>) -> Vec<&'t str> {
    let mut distinct = Vec::new();
    for text in texts {
        if !distinct.contains(&text) {
            distinct.push(text);
        }
    }
    distinct
}

fn any(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.is_match(text))
}

/// The path and query that were checked, or [`Verdict::Malformed`]: a parser that cut one short, at
/// a `#`, would forward what nobody checked.
fn forward(path: &str, query: Option<&str>) -> Verdict {
    let target = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let control = |byte: u8| byte.is_ascii_control();
    match PathAndQuery::try_from(target.as_str()) {
        Ok(parsed)
            if parsed.path() == path && parsed.query() == query && !target.bytes().any(control) =>
        {
            Verdict::Forward(parsed)
        }
        _ => Verdict::Malformed("path or query holds a character that a URL cannot hold"),
    }
}

#[cfg(test)]
mod tests;
