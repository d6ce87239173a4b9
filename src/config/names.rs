//! Names of objects, mounts and label selectors, checked as the API server would.
//!
//! Source: Kubernetes, "Object Names and IDs" (RFC 1123 subdomains and labels) and "Labels and
//! Selectors".

use std::path::PathBuf;

use super::model::{Mount, NamedObject, ObjectKind, ObjectName, Selector, SelectorNamespace};

/// Checks a namespace: an RFC 1123 label.
///
/// # Errors
/// A sentence that says what a namespace may hold.
pub(crate) fn namespace(text: &str) -> Result<String, String> {
    if is_label(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is not a namespace: use at most 63 lower-case letters, digits and '-', a letter or digit at both ends"
    ))
}

/// Checks the name of a ConfigMap or Secret: an RFC 1123 subdomain.
///
/// # Errors
/// A sentence that says what a name may hold.
pub(crate) fn name(text: &str) -> Result<String, String> {
    if is_subdomain(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is not an object's name: use at most 253 lower-case letters, digits, '-' and '.', a letter or digit at both ends of each part"
    ))
}

/// Checks the name of a container: an RFC 1123 label.
///
/// # Errors
/// A sentence that says what such a name may hold.
pub(crate) fn container(text: &str) -> Result<String, String> {
    if is_label(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is not a container's name: use at most 63 lower-case letters, digits and '-', a letter or digit at both ends"
    ))
}

/// Checks the name of a Service: an RFC 1035 label.
///
/// # Errors
/// A sentence that says what such a name may hold.
pub(crate) fn service(text: &str) -> Result<String, String> {
    if is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is not a Service's name: use at most 63 lower-case letters, digits and '-', a letter first, no '-' last"
    ))
}

/// Checks the name of an image no further than that it is one word, as the API server does.
///
/// # Errors
/// It is empty or has white space in it.
pub(crate) fn image(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(format!(
            "{text:?} is not an image: write it without white space, as registry.example/attache:1.0"
        ));
    }
    Ok(text.to_owned())
}

/// Reads `[NS/]NAME`.
///
/// # Errors
/// What is wrong with which part.
pub(crate) fn object(text: &str) -> Result<ObjectName, String> {
    let (space, object) = match text.split_once('/') {
        Some((space, object)) => (Some(namespace(space)?), object),
        None => (None, text),
    };
    Ok(ObjectName {
        namespace: space,
        name: name(object)?,
    })
}

/// Reads `[NS/]NAME[,optional]`.
///
/// # Errors
/// What is wrong with which part.
pub(crate) fn named(kind: ObjectKind, text: &str) -> Result<NamedObject, String> {
    let (text, optional) = match text.split_once(',') {
        Some((text, "optional")) => (text, true),
        Some((_, other)) => {
            return Err(format!(
                "{other:?} is not known after a name: write NAME or NAME,optional, and another object apart from it"
            ));
        }
        None => (text, false),
    };
    Ok(NamedObject {
        kind,
        object: object(text)?,
        optional,
    })
}

/// Reads `[NS|*/]LABELS`. What stands before the first `/` is a namespace if it is `*` or has no
/// dot; `app.kubernetes.io/name=web` is a label with a prefix.
///
/// # Errors
/// What is wrong with which part.
pub(crate) fn selector(kind: ObjectKind, text: &str) -> Result<Selector, String> {
    let (namespace, labels) = match text.split_once('/') {
        Some(("*", labels)) => (SelectorNamespace::All, labels),
        Some((space, labels)) if is_label(space) => {
            (SelectorNamespace::Named(space.to_owned()), labels)
        }
        _ => (SelectorNamespace::Default, text),
    };
    Ok(Selector {
        kind,
        namespace,
        labels: label_selector(labels)?,
    })
}

/// Reads `[NS/]NAME=PATH`.
///
/// # Errors
/// What is wrong with which part.
pub(crate) fn mount(text: &str) -> Result<Mount, String> {
    match text.split_once('=') {
        Some((name, path)) if !path.is_empty() => Ok(Mount {
            object: object(name)?,
            path: PathBuf::from(path),
        }),
        _ => Err(format!(
            "{text:?} names no path: write [NS/]NAME=PATH, as web=/etc/web"
        )),
    }
}

/// Checks the form of a label selector and returns it without outer white space.
///
/// # Errors
/// Which requirement is not one, and the forms there are.
pub(crate) fn label_selector(text: &str) -> Result<String, String> {
    let text = text.trim();
    let mut rest = text;
    loop {
        // A comma between parentheses belongs to a set.
        let open = rest.find('(').unwrap_or(rest.len());
        let start = match rest.find(',') {
            Some(comma) if comma < open => comma,
            _ => rest[open..]
                .find(')')
                .map_or(rest.len(), |close| open + close),
        };
        let end = rest[start..]
            .find(',')
            .map_or(rest.len(), |comma| start + comma);
        let requirement = rest[..end].trim();
        if !is_requirement(requirement) {
            return Err(format!(
                "{requirement:?} is not a label requirement: write key, !key, key=value, key!=value, key in (a,b) or key notin (a,b), joined by commas"
            ));
        }
        match rest.get(end + 1..) {
            Some(next) => rest = next,
            None => return Ok(text.to_owned()),
        }
    }
}

fn is_requirement(text: &str) -> bool {
    if let Some(key) = text.strip_prefix('!') {
        return is_label_key(key.trim());
    }
    if let Some((left, set)) = text.split_once('(') {
        let Some(set) = set.strip_suffix(')') else {
            return false;
        };
        let mut words = left.split_whitespace();
        return words.next().is_some_and(is_label_key)
            && matches!(words.next(), Some("in" | "notin"))
            && words.next().is_none()
            && set.split(',').all(|value| is_label_value(value.trim()));
    }
    let operator = ["!=", "==", "="]
        .into_iter()
        .find_map(|operator| text.split_once(operator));
    match operator {
        Some((key, value)) => is_label_key(key.trim()) && is_label_value(value.trim()),
        None => is_label_key(text),
    }
}

/// `[prefix/]name`; the prefix a subdomain, the name at most 63 characters.
fn is_label_key(text: &str) -> bool {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    prefix.is_none_or(is_subdomain) && !name.is_empty() && is_label_value(name)
}

/// At most 63 characters, letters and digits at both ends, `-_.` between; may be empty.
fn is_label_value(text: &str) -> bool {
    let alphanumeric = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && alphanumeric(text.chars().next())
        && alphanumeric(text.chars().next_back())
}

/// Whether `text` may be a key of `data` (Kubernetes: at most 253 of `[-._a-zA-Z0-9]`).
pub(crate) fn is_data_key(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !matches!(text, "." | "..")
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len()) && is_label_shaped(text)
}

fn is_subdomain(text: &str) -> bool {
    (1..=253).contains(&text.len()) && text.split('.').all(is_label_shaped)
}

fn is_label_shaped(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn object_names_are_subdomains_in_label_namespaces() {
        assert_eq!(object("web.v1-2").unwrap().namespace, None);
        let full = object("kube-system/web").unwrap();
        assert_eq!(full.namespace.as_deref(), Some("kube-system"));
        assert!(object(&"a".repeat(253)).is_ok());
        let long = "a".repeat(254);
        for bad in [
            "", "/web", "a/", "a/b/c", "a.b/web", "Web", "-web", "web-", "a..b", "w eb", "ü",
            "../x", &long,
        ] {
            assert!(object(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_optional_may_follow_a_name() {
        assert!(named(ObjectKind::Secret, "a/db,optional").unwrap().optional);
        assert!(!named(ObjectKind::Secret, "db").unwrap().optional);
        assert!(
            named(ObjectKind::Secret, "db,other")
                .unwrap_err()
                .contains("NAME,optional")
        );
        assert!(named(ObjectKind::Secret, "db,").is_err());
    }

    #[test]
    fn a_selector_finds_its_namespace_before_the_slash() {
        let namespace =
            |text| selector(ObjectKind::ConfigMap, text).map(|s| (s.namespace, s.labels));
        assert_eq!(
            namespace("app=web"),
            Ok((SelectorNamespace::Default, "app=web".into()))
        );
        assert_eq!(
            namespace("*/app"),
            Ok((SelectorNamespace::All, "app".into()))
        );
        assert_eq!(
            namespace("prod/a=b"),
            Ok((SelectorNamespace::Named("prod".into()), "a=b".into()))
        );
        let prefixed = "app.kubernetes.io/name=web";
        assert_eq!(
            namespace(prefixed),
            Ok((SelectorNamespace::Default, prefixed.into()))
        );
        assert_eq!(
            namespace("prod/app.kubernetes.io/name=web"),
            Ok((SelectorNamespace::Named("prod".into()), prefixed.into()))
        );
        assert_eq!(
            namespace("app=web,example.com/tier in (a, b)").unwrap().0,
            SelectorNamespace::Default
        );
    }

    #[test]
    fn label_selectors_follow_the_grammar() {
        for good in [
            "a",
            "!a",
            "a=b",
            "a==b",
            "a!=b",
            "a=",
            "a in (b)",
            "a notin (b, c),d=e",
            "a in (b,c), !d",
            "x.io/a in(b)",
        ] {
            assert!(label_selector(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ",",
            "a,",
            "a b",
            "a=b=c",
            "a in",
            "a in b",
            "a in (b",
            "a of (b)",
            "=b",
            "!",
            "a=-b",
            "(a)",
            "a in (b) c",
            "a=b c",
            "in (a)",
            ")",
            "(",
            "a)(",
        ] {
            assert!(label_selector(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mounts_name_object_and_path() {
        let good = mount("default/web=/etc/a=b").unwrap();
        assert_eq!(good.path, PathBuf::from("/etc/a=b"));
        assert!(mount("web").is_err() && mount("web=").is_err() && mount("=x").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC{0,40}|[a-z(),=! /*.-]{0,30}") {
            let _ = selector(ObjectKind::ConfigMap, &text);
            let _ = named(ObjectKind::Secret, &text);
            let _ = mount(&text);
            let _ = super::super::units::size(&text);
            let _ = super::super::units::settle(&text);
        }
    }
}
