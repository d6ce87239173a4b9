//! What goes to the API server, and how: flags and keys of the file to a [`Proxy`].

use std::time::Duration;

use regex_lite::Regex;

use super::errors::Faults;
use super::flags::Reader;
use super::model::{Filter, Proxy, Www};
use super::partial::ProxySettings;
use super::yaml::{Fields, Node, Value};
use super::{regexes, units};
use crate::cli;

/// `--accept-paths`.
const ACCEPT_PATHS: &str = "^.*";
/// `--reject-paths`.
const REJECT_PATHS: &str = "^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach";
/// `--reject-methods`.
const REJECT_METHODS: &str = "^$";
/// `--api-prefix`.
const API_PREFIX: &str = "/";
/// `--www-prefix`.
const WWW_PREFIX: &str = "/static/";
/// The first segments of attache's own routes, which come before the API and files: every other
/// path belongs to the API server, as with `kubectl proxy`.
pub const OWN_ROUTES: [&str; 3] = ["kv", "discover", "-"];

/// The keys of `proxy`.
const KEYS: &[&str] = &[
    "acceptPaths",
    "rejectPaths",
    "rejectMethods",
    "disableFilter",
    "apiPrefix",
    "www",
    "wwwPrefix",
    "appendServerPath",
    "requestTimeout",
];

/// Reads the flags.
pub(crate) fn flags(
    args: &cli::Forward,
    connection: &cli::Connection,
    reader: &mut Reader,
) -> ProxySettings {
    ProxySettings {
        accept_paths: reader.one("accept-paths", args.accept_paths.as_deref(), accepting),
        reject_paths: reader.one("reject-paths", args.reject_paths.as_deref(), rejecting),
        reject_methods: reader.one("reject-methods", args.reject_methods.as_deref(), rejecting),
        disable_filter: reader.switch("disable-filter", args.disable_filter.as_deref()),
        api_prefix: reader.one("api-prefix", args.api_prefix.as_deref(), prefix),
        www: args.www.clone(),
        www_prefix: reader.one("www-prefix", args.www_prefix.as_deref(), prefix),
        append_server_path: reader.switch("append-server-path", args.append_server_path.as_deref()),
        request_timeout: reader.one(
            "request-timeout",
            connection.request_timeout.as_deref(),
            request_timeout,
        ),
    }
}

/// Reads the file's `proxy`: `true`, `false` or a mapping. The first of the two is whether there
/// is a proxy, if that is said.
pub(crate) fn node(node: &Node, faults: &mut Faults) -> (Option<bool>, ProxySettings) {
    if let Value::Text(text) = &node.value {
        let on = faults.take(&node.at, units::boolean(text));
        return (on, ProxySettings::default());
    }
    let Some(fields) = node.fields(KEYS, faults) else {
        return (None, ProxySettings::default());
    };
    let settings = ProxySettings {
        accept_paths: accepting_list(&fields, "acceptPaths", faults),
        reject_paths: regexes(&fields, "rejectPaths", regexes::rejecting, faults),
        reject_methods: regexes(&fields, "rejectMethods", regexes::rejecting, faults),
        disable_filter: fields.read("disableFilter", "true or false", units::boolean, faults),
        api_prefix: fields.read("apiPrefix", "a path", prefix, faults),
        www: fields.read("www", "a path", units::path, faults),
        www_prefix: fields.read("wwwPrefix", "a path", prefix, faults),
        append_server_path: fields.read(
            "appendServerPath",
            "true or false",
            units::boolean,
            faults,
        ),
        request_timeout: fields.read("requestTimeout", "a duration", request_timeout, faults),
    };
    (Some(true), settings)
}

/// Fills in what `settings` leave open. `own_routes` is whether attache serves any beside the API.
pub(crate) fn proxy(
    settings: ProxySettings,
    own_routes: bool,
    faults: &mut Faults,
) -> Option<Proxy> {
    let api_prefix = settings.api_prefix.unwrap_or_else(|| API_PREFIX.to_owned());
    let www = settings.www.map(|root| Www {
        root,
        prefix: settings.www_prefix.unwrap_or_else(|| WWW_PREFIX.to_owned()),
    });
    check_prefixes(&api_prefix, www.as_ref(), own_routes, faults);
    let filter = Filter {
        accept_paths: or_default(
            settings.accept_paths,
            "--accept-paths",
            ACCEPT_PATHS,
            accepting,
            faults,
        )?,
        reject_paths: or_default(
            settings.reject_paths,
            "--reject-paths",
            REJECT_PATHS,
            rejecting,
            faults,
        )?,
        reject_methods: or_default(
            settings.reject_methods,
            "--reject-methods",
            REJECT_METHODS,
            rejecting,
            faults,
        )?,
    };
    let disable_filter = settings.disable_filter.unwrap_or(false);
    Some(Proxy {
        filter: (!disable_filter).then_some(filter),
        api_prefix,
        append_server_path: settings.append_server_path.unwrap_or(false),
        request_timeout: settings
            .request_timeout
            .filter(|timeout| !timeout.is_zero()),
        www,
    })
}

fn check_prefixes(api_prefix: &str, www: Option<&Www>, own_routes: bool, faults: &mut Faults) {
    let mut prefixes = vec![("--api-prefix", api_prefix)];
    if let Some(www) = www {
        prefixes.push(("--www-prefix", &www.prefix));
        if www.prefix == api_prefix {
            faults.add(
                "--www-prefix",
                format!("{api_prefix} is --api-prefix's already: choose another"),
            );
        }
    }
    for (flag, prefix) in prefixes {
        let first = prefix.split('/').nth(1).unwrap_or_default();
        if own_routes && OWN_ROUTES.contains(&first) {
            faults.add(
                flag,
                format!("/{first}/ is for attache's own routes: choose another"),
            );
        }
    }
}

/// What was given, else what `text` says.
pub(crate) fn or_default<T>(
    given: Option<T>,
    flag: &str,
    text: &str,
    parse: fn(&str) -> Result<T, String>,
    faults: &mut Faults,
) -> Option<T> {
    match given {
        Some(given) => Some(given),
        None => faults.take(flag, parse(text)),
    }
}

/// Reads regexes joined by commas of which one must match.
pub(crate) fn accepting(text: &str) -> Result<Vec<Regex>, String> {
    regexes::list(text, regexes::accepting)
}

fn rejecting(text: &str) -> Result<Vec<Regex>, String> {
    regexes::list(text, regexes::rejecting)
}

/// Reads a key whose regexes let in; that they let nobody in must be said by flag.
pub(crate) fn accepting_list(
    fields: &Fields,
    key: &str,
    faults: &mut Faults,
) -> Option<Vec<Regex>> {
    let node = fields.get(key)?;
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        faults.add(
            &node.at,
            "an empty list lets nobody in: name one, or take the key out",
        );
    }
    regexes(fields, key, regexes::accepting, faults)
}

/// A list of regexes, or one text of them joined by commas, as the flag's.
fn regexes(
    fields: &Fields,
    key: &str,
    one: fn(&str) -> Result<Regex, String>,
    faults: &mut Faults,
) -> Option<Vec<Regex>> {
    let node = fields.get(key)?;
    let Value::List(items) = &node.value else {
        return node.read("a list of regexes", |text| regexes::list(text, one), faults);
    };
    let items = items.iter();
    Some(
        items
            .filter_map(|item| item.read("a regex", one, faults))
            .collect(),
    )
}

/// Reads a path prefix; it gets a slash at both ends.
fn prefix(text: &str) -> Result<String, String> {
    let inner = text.strip_prefix('/').unwrap_or(text);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.is_empty() {
        return Ok("/".to_owned());
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c);
    let is_segment =
        |segment: &str| !matches!(segment, "" | "." | "..") && segment.chars().all(is_plain);
    if !inner.split('/').all(is_segment) {
        return Err(format!(
            "{text:?} is not a path that requests can begin with: write it like /k8s-api/, without escapes, // or .."
        ));
    }
    Ok(format!("/{inner}/"))
}

/// Reads kubectl's `--request-timeout`: a whole number of seconds, or a duration; zero is none.
fn request_timeout(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => units::duration(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_a_slash_at_both_ends() {
        for (text, wanted) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("api", "/api/"),
            ("/api", "/api/"),
            ("/a/b/", "/a/b/"),
        ] {
            assert_eq!(prefix(text).as_deref(), Ok(wanted), "{text}");
        }
        for bad in [
            "///", "/a//b", "/a/../b", ".", "/a?b", "/a#", "/a b", "/%2e", "/ü",
        ] {
            assert!(prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_request_timeout_is_a_duration_or_seconds() {
        let seconds = |text| request_timeout(text).map(|timeout| timeout.as_millis());
        assert_eq!(seconds("0"), Ok(0));
        assert_eq!(seconds("30"), Ok(30_000));
        assert_eq!(seconds("2m"), Ok(120_000));
        assert_eq!(seconds("1.5s"), Ok(1_500));
        assert!(request_timeout("-1").is_err() && request_timeout("soon").is_err());
    }
}
