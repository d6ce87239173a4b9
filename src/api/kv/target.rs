//! What a `/kv` path names, held strictly to Kubernetes' rules for names.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use percent_encoding::percent_decode_str;

use super::super::problem::problem;
use super::Answer;
use crate::store::{Kind, ObjectRef};

/// Before the name of a Secret. A ConfigMap's name cannot hold a colon.
const SECRET: &str = "secret:";

/// An object, or one key of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    /// ConfigMap, or Secret for `secret:{name}`.
    pub kind: Kind,
    /// A DNS label (RFC 1123).
    pub namespace: Cow<'a, str>,
    /// A DNS subdomain (RFC 1123).
    pub name: Cow<'a, str>,
    /// `[-._a-zA-Z0-9]+`, as the API server validates keys.
    pub key: Option<Cow<'a, str>>,
}

/// Why a path names nothing that can exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("a path segment is not percent-encoded UTF-8: write a % as %25 and other bytes as %XX")]
    Encoding,
    /// An empty segment.
    #[error("a path segment is empty: write /kv/{{namespace}}/{{configmap}}/{{key}}")]
    Empty,
    /// No Kubernetes namespace can be called that.
    #[error(
        "the namespace is not a DNS label: use at most 63 lower-case letters, digits and inner -"
    )]
    Namespace,
    /// No ConfigMap or Secret can be called that.
    #[error(
        "the name is not a DNS subdomain: use at most 253 lower-case letters, digits, inner - \
         and . ; a Secret is secret:{{name}}"
    )]
    Name,
    /// No Service can be called that.
    #[error(
        "the service's name is not a DNS label: use at most 63 lower-case letters, digits and \
         inner -"
    )]
    Service,
    /// No ConfigMap or Secret can hold such a key.
    #[error(
        "the key is not one that Kubernetes allows: use at most 253 letters, digits, - _ and . ; \
         not . or anything that starts with .."
    )]
    Key,
}

impl From<Malformed> for Answer {
    fn from(malformed: Malformed) -> Self {
        problem(StatusCode::BAD_REQUEST, malformed.to_string())
    }
}

// === impl Target ===

impl<'a> Target<'a> {
    /// Decodes and validates the segments of a path as they were sent.
    ///
    /// # Errors
    /// [`Malformed`], for the first segment that is.
    pub fn parse(
        namespace: &'a str,
        name: &'a str,
        key: Option<&'a str>,
    ) -> Result<Self, Malformed> {
        let namespace = label(namespace, Malformed::Namespace)?;
        let (kind, name) = kind_and_name(decode(name)?);
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err(Malformed::Name);
        }
        let key = key.map(decode).transpose()?;
        if key.as_deref().is_some_and(|key| !is_key(key)) {
            return Err(Malformed::Key);
        }
        Ok(Self {
            kind,
            namespace,
            name,
            key,
        })
    }

    /// The object's name, owned.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        ObjectRef::new(self.kind, &*self.namespace, &*self.name)
    }
}

/// Displays as `ConfigMap default/web-configmap`.
impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

fn kind_and_name(segment: Cow<'_, str>) -> (Kind, Cow<'_, str>) {
    let secret = match &segment {
        Cow::Borrowed(text) => text.strip_prefix(SECRET).map(Cow::Borrowed),
        Cow::Owned(text) => text
            .strip_prefix(SECRET)
            .map(|name| Cow::Owned(name.to_owned())),
    };
    match secret {
        Some(name) => (Kind::Secret, name),
        None => (Kind::ConfigMap, segment),
    }
}

/// Decodes a segment that has to be a DNS label (RFC 1123); where it is none, it is `malformed`.
pub(in crate::api) fn label(
    segment: &str,
    malformed: Malformed,
) -> Result<Cow<'_, str>, Malformed> {
    let label = decode(segment)?;
    if label.len() > 63 || !is_label(&label) {
        return Err(malformed);
    }
    Ok(label)
}

/// Decodes one segment; RFC 3986, section 2.1, to the letter.
///
/// # Errors
/// [`Malformed::Empty`] or [`Malformed::Encoding`].
pub fn decode(segment: &str) -> Result<Cow<'_, str>, Malformed> {
    if segment.is_empty() {
        return Err(Malformed::Empty);
    }
    if !segment.as_bytes().contains(&b'%') {
        return Ok(Cow::Borrowed(segment));
    }
    let mut rest = segment;
    while let Some((_, after)) = rest.split_once('%') {
        // percent-encoding passes a % over that encodes nothing.
        let digits = after.as_bytes().get(..2);
        if !digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit)) {
            return Err(Malformed::Encoding);
        }
        rest = after;
    }
    percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| Malformed::Encoding)
}

/// The answer for a path under `/kv` with too few or too many segments; `rest` begins after `/kv`.
#[must_use]
pub fn misshapen(rest: &str) -> Answer {
    let inner = rest.strip_prefix('/').unwrap_or(rest);
    let (inner, slash) = match inner.strip_suffix('/') {
        Some(inner) => (inner, true),
        None => (inner, false),
    };
    if !inner.is_empty()
        && let Some(Err(malformed)) = inner.split('/').map(decode).find(Result::is_err)
    {
        return malformed.into();
    }
    let detail = if slash && matches!(inner.split('/').count(), 2 | 3) {
        "there is nothing below this path: leave out the slash at its end"
    } else {
        "this path names no object: read /kv/{namespace}/{configmap} or \
         /kv/{namespace}/{configmap}/{key}"
    };
    problem(StatusCode::NOT_FOUND, detail)
}

fn is_label(text: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
}

/// `IsConfigMapKey` of the API server's validation.
#[must_use]
pub fn is_key(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=253).contains(&text.len())
        && text != "."
        && !text.starts_with("..")
        && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_objects_and_keys() {
        let target = Target::parse("default", "web.v1", Some("nginx.conf")).unwrap();
        assert_eq!(target.kind, Kind::ConfigMap);
        assert_eq!(target.key.as_deref(), Some("nginx.conf"));
        for name in ["secret:db", "secret%3Adb", "%73ecret:d%62"] {
            let target = Target::parse("d%65fault", name, None).unwrap();
            assert_eq!(target.to_string(), "Secret default/db", "{name}");
        }
    }

    #[test]
    fn refuses_what_kubernetes_cannot_hold() {
        use Malformed::{Empty, Encoding, Key, Name, Namespace};
        let long = "a".repeat(254);
        for (namespace, name, key, why) in [
            ("", "web", "k", Empty),
            ("d", "", "k", Empty),
            ("d", "web", "", Empty),
            ("%", "web", "k", Encoding),
            ("d", "web", "%4", Encoding),
            ("d", "web", "%zz", Encoding),
            ("d", "web", "%+1", Encoding),
            ("d", "web", "%ff", Encoding),
            ("d", "web", "a%2", Encoding),
            ("d.e", "web", "k", Namespace),
            ("D", "web", "k", Namespace),
            ("..", "web", "k", Namespace),
            (&long[..64], "web", "k", Namespace),
            ("d", "..", "k", Name),
            ("d", "%2e%2e", "k", Name),
            ("d", "a..b", "k", Name),
            ("d", "-a", "k", Name),
            ("d", "secret:", "k", Name),
            ("d", "secret:secret:a", "k", Name),
            ("d", "a%2Fb", "k", Name),
            ("d", &long, "k", Name),
            ("d", "web", "%00", Key),
            ("d", "web", "a%2Fb", Key),
            ("d", "web", ".", Key),
            ("d", "web", "..", Key),
            ("d", "web", "..data", Key),
            ("d", "web", "a%20b", Key),
            ("d", "web", "%C3%A4", Key),
            ("d", "web", &long, Key),
        ] {
            let parsed = Target::parse(namespace, name, Some(key));
            assert_eq!(parsed, Err(why), "{namespace}/{name}/{key}");
        }
    }
}
