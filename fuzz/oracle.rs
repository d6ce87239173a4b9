//! What the API server, and the proxies on the way to it, make of a path: written from their rules,
//! not from the filter's code. The fuzz target and `tests/path_filter.rs` hold the filter against it.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use attache::config::Filter;
use attache::proxy::policy::{MAX_PATH, Policy, Verdict, is_long_running};
use http::Method;
use regex::Regex;

/// Accepted paths, rejected paths, rejected methods.
type Flags = (
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

/// The filters: kubectl's default first, then stricter ones; none at the end.
const FILTERS: &[Option<Flags>] = &[
    Some((
        &["^.*"],
        &["^/api/.*/pods/.*/exec", "^/api/.*/pods/.*/attach"],
        &["^$"],
    )),
    Some((
        &["^.*"],
        &[
            "^/api/v1/namespaces/[^/]+/secrets$",
            "^/api/v1/(watch/)?secrets$",
        ],
        &["POST", "PUT", "PATCH", "DELETE"],
    )),
    Some((
        &["^/api/v1/namespaces/default/", "^/healthz$"],
        &[],
        &["^$"],
    )),
    Some((&["^/apis?/"], &["secrets"], &[])),
    Some((
        &["^/[^/]*/v1/[a-z/]+$"],
        &["/pods/[^/]+/(exec|attach)$"],
        &[],
    )),
    None,
];

/// API prefix, server path, `--append-server-path`.
const PLACES: &[(&str, &str, bool)] = &[
    ("/", "", false),
    ("/", "/k8s/clusters/c-1", false),
    ("/", "/k8s/clusters/c-1", true),
    ("/custom/", "", false),
    ("/api/", "", false),
    ("/api/v1/", "", true),
    ("/apifoo/", "/k8s/clusters/c-1", false),
    ("/", "/api", true),
    ("/", "/api", false),
];

const METHODS: &[&str] = &[
    "GET", "POST", "CONNECT", "OPTIONS", "DELETE", "HEAD", "PURGE",
];

struct Case {
    policy: Policy,
    filter: Option<Regexes>,
    api_prefix: &'static str,
    server_path: &'static str,
    append: bool,
}

/// The filter in another engine than attache's.
struct Regexes {
    accept: Vec<Regex>,
    reject: Vec<Regex>,
    methods: Vec<Regex>,
    is_default: bool,
}

/// Decides on one input and panics where the decision is wrong. Its first three bytes choose filter,
/// place and method (`a` is the first of each); the rest is path, `?` and query.
pub(crate) fn check(input: &[u8]) {
    let [filter, place, method, target @ ..] = input else {
        return;
    };
    let choose = |byte: &u8, among: usize| usize::from(byte.wrapping_sub(b'a')) % among;
    let target = String::from_utf8_lossy(target);
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*target, None),
    };
    let case = &cases()[choose(filter, FILTERS.len()) * PLACES.len() + choose(place, PLACES.len())];
    let method = METHODS[choose(method, METHODS.len())];
    check_decision(case, &method.parse().unwrap(), path, query);
}

fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let places = |at| PLACES.iter().map(move |place| (at, place));
        let all = (0..FILTERS.len()).flat_map(places);
        all.map(|(at, &(api_prefix, server_path, append))| Case {
            policy: Policy::new(FILTERS[at].map(filter), api_prefix, server_path, append),
            filter: FILTERS[at].map(|flags| regexes(flags, at == 0)),
            api_prefix,
            server_path,
            append,
        })
        .collect()
    })
}

/// The filter as attache's configuration makes it.
fn filter((accept, reject, methods): Flags) -> Filter {
    let lite = |patterns: &[&str], dot_all| -> Vec<regex_lite::Regex> {
        let build = |pattern: &&str| {
            regex_lite::RegexBuilder::new(pattern)
                .dot_matches_new_line(dot_all)
                .build()
                .unwrap()
        };
        patterns.iter().map(build).collect()
    };
    Filter {
        accept_paths: lite(accept, false),
        reject_paths: lite(reject, true),
        reject_methods: lite(methods, false),
    }
}

fn regexes((accept, reject, methods): Flags, is_default: bool) -> Regexes {
    let new = |flags: &str, patterns: &[&str]| -> Vec<Regex> {
        let build = |pattern: &&str| Regex::new(&format!("{flags}(?:{pattern})")).unwrap();
        patterns.iter().map(build).collect()
    };
    Regexes {
        accept: new("", accept),
        reject: new("(?s)", reject),
        methods: new("", methods),
        is_default,
    }
}

fn check_decision(case: &Case, method: &Method, path: &str, query: Option<&str>) {
    let verdict = case.policy.decide(method, path, query);
    let is_path = path.starts_with('/') && decode(path.as_bytes()).is_some();
    let well_formed = is_path && method != Method::CONNECT;
    let cleaned = resolve(path, true, |segment| segment.to_owned());
    let must_redirect = well_formed && path.len() <= MAX_PATH && cleaned != path;
    match &verdict {
        Verdict::Malformed(_) => {
            let plain = |text: &str| {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%;=&".contains(&byte);
                text.bytes().all(plain)
            };
            let plain = plain(path) && plain(query.unwrap_or_default());
            let too_long = query.is_some_and(|query| query.len() > 50_000);
            assert!(
                !well_formed || !plain || too_long,
                "{path:?} is well formed"
            );
        }
        Verdict::Redirect(location) => {
            let wanted = if must_redirect {
                cleaned
            } else {
                format!("{path}/")
            };
            check_redirect(case, method, location, &wanted, query);
        }
        _ if must_redirect => panic!("{path:?} is not redirected to {cleaned:?}: {verdict:?}"),
        Verdict::TooLong => check_length(case, path),
        Verdict::NotFound => assert!(!path.starts_with(case.api_prefix), "{path:?} is the API's"),
        Verdict::Forbidden => check_refusal(case, method, path),
        Verdict::Forward(target) => {
            assert!(path.len() <= MAX_PATH);
            assert_eq!(target.query(), query, "{path:?}");
            check_forwarded(case, method, path, target.path(), query);
        }
    }
    if !well_formed {
        assert!(matches!(verdict, Verdict::Malformed(_)), "{path:?}");
    }
}

fn check_redirect(case: &Case, method: &Method, location: &str, wanted: &str, query: Option<&str>) {
    assert!(
        location.bytes().all(|byte| byte.is_ascii_graphic()),
        "{location:?}"
    );
    assert!(
        location.starts_with('/') && !location[1..].starts_with(['/', '\\']),
        "{location:?} leads elsewhere"
    );
    let (path, to_query) = match location.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (location, None),
    };
    assert_eq!(decode(path.as_bytes()), decode(wanted.as_bytes()));
    assert_eq!(to_query.is_some(), query.is_some());
    if query.is_some_and(|query| {
        query
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    }) {
        assert_eq!(to_query, query);
    }
    // A second hop adds the prefix's slash; a third would be a circle.
    if let Verdict::Redirect(next) = case.policy.decide(method, path, to_query) {
        let next = next.split('?').next().unwrap();
        let end = case.policy.decide(method, next, to_query);
        assert!(!matches!(end, Verdict::Redirect(_)), "{location:?} circles");
    }
}

/// What is too long is so in all the ways that it is read.
fn check_length(case: &Case, path: &str) {
    let read: usize = match &case.filter {
        Some(_) => readings(path).iter().map(|reading| 4 * reading.len()).sum(),
        None => 0,
    };
    assert!(path.len().max(read) > MAX_PATH, "{path:?} is not too long");
}

/// Nothing gets through that any reader on the way understands as rejected, or as not accepted.
fn check_forwarded(case: &Case, method: &Method, path: &str, sent: &str, query: Option<&str>) {
    assert!(
        path.ends_with(sent) || sent == "/",
        "{path:?} became {sent:?}"
    );
    if case.api_prefix == "/" && (case.append || case.server_path.is_empty()) {
        assert_eq!(path, sent);
    }
    let full = format!("{}{sent}", case.server_path);
    if let Some(info) = request_info(&lossy(sent))
        && (info.verb.is_some()
            || ["exec", "attach", "portforward", "proxy"].contains(&info.subresource.as_str()))
    {
        assert!(is_long_running(sent, query), "{sent:?} has an end");
    }
    let Some(filter) = &case.filter else { return };
    let any = |regexes: &[Regex], text: &str| regexes.iter().any(|regex| regex.is_match(text));
    assert!(!any(&filter.methods, method.as_str()), "{method} passed");
    for reading in readings(&full) {
        let reading = without(&reading, case.server_path);
        assert!(
            any(&filter.accept, reading),
            "{path:?} is read as {reading:?}, which is not accepted"
        );
        let again = without(reading, case.server_path);
        for understood in [reading, again].into_iter().flat_map(spellings) {
            assert!(
                !any(&filter.reject, &understood),
                "{path:?} is read as {understood:?}, which is rejected"
            );
            if filter.is_default
                && let Some(info) = request_info(&understood)
            {
                let streams = ["exec", "attach"].contains(&info.subresource.as_str());
                assert!(
                    !(info.is_core && info.resource == "pods" && streams),
                    "{path:?} is {} of a pod: {understood:?}",
                    info.subresource
                );
            }
        }
    }
}

/// What is refused has a reason. Checked where the path is forwarded whole.
fn check_refusal(case: &Case, method: &Method, path: &str) {
    let filter = case.filter.as_ref().expect("there is a filter");
    if case.api_prefix != "/" || !case.server_path.is_empty() {
        return;
    }
    let any = |regexes: &[Regex], text: &str| regexes.iter().any(|regex| regex.is_match(text));
    let dots = |reading: &String| reading.split('/').any(|part| part == "." || part == "..");
    let readings = readings(path);
    let reason = any(&filter.methods, method.as_str())
        || path.contains('\\')
        || path.contains("//")
        || readings.iter().any(dots)
        || readings.iter().any(|reading| {
            !any(&filter.accept, reading)
                || spellings(reading)
                    .iter()
                    .any(|spelling| any(&filter.reject, spelling))
        });
    assert!(reason, "{method} {path:?} is refused without a reason");
}

/// The API server cuts slashes at both ends, and reads empty segments in between.
fn spellings(reading: &str) -> [String; 2] {
    let trimmed = format!("/{}", reading.trim_matches('/'));
    [reading.to_owned(), trimmed]
}

fn without<'p>(path: &'p str, server_path: &str) -> &'p str {
    match path.strip_prefix(server_path) {
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

/// Every path that the API server may be handed: decoded by itself, or by a proxy that also
/// collapses slashes (Go, nginx), resolves dot segments after or before it decodes (RFC 3986,
/// WHATWG URL), or takes backslashes for slashes.
fn readings(sent: &str) -> BTreeSet<String> {
    let mut readings = BTreeSet::new();
    let dots_decoded = |segment: &str| match segment.to_ascii_lowercase().as_str() {
        "%2e" => ".".to_owned(),
        "%2e%2e" | ".%2e" | "%2e." => "..".to_owned(),
        _ => segment.to_owned(),
    };
    for sent in [sent.to_owned(), sent.replace('\\', "/")] {
        for collapse in [false, true] {
            readings.insert(lossy(&resolve(&sent, collapse, dots_decoded)));
        }
        let decoded = lossy(&sent);
        for decoded in [decoded.replace('\\', "/"), decoded] {
            for collapse in [false, true] {
                readings.insert(resolve(&decoded, collapse, |segment| segment.to_owned()));
            }
            readings.insert(decoded);
        }
    }
    readings
}

/// Resolves dot segments (RFC 3986, section 5.2.4), collapsing slashes first or not.
fn resolve(path: &str, collapse: bool, read: impl Fn(&str) -> String) -> String {
    let mut stack: Vec<String> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (at, segment) in segments.iter().enumerate() {
        let last = at + 1 == segments.len();
        match read(segment).as_str() {
            ".." => {
                stack.pop();
            }
            "." => {}
            "" if collapse || (last && stack.is_empty()) => {}
            other => stack.push(other.to_owned()),
        }
    }
    let mut path_out = format!("/{}", stack.join("/"));
    if collapse && path.ends_with('/') && path_out != "/" {
        path_out.push('/');
    }
    path_out
}

/// Percent-decodes; `None` if a `%` is malformed.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'%' {
            let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
            let byte = digit(at + 1)? * 16 + digit(at + 2)?;
            bytes.push(u8::try_from(byte).ok()?);
            at += 3;
        } else {
            bytes.push(text[at]);
            at += 1;
        }
    }
    Some(bytes)
}

fn lossy(text: &str) -> String {
    let bytes = decode(text.as_bytes()).expect("what is forwarded is well formed");
    String::from_utf8_lossy(&bytes).into_owned()
}

struct RequestInfo {
    is_core: bool,
    verb: Option<&'static str>,
    resource: String,
    subresource: String,
}

/// What a decoded path asks for, by the rules of k8s.io/apiserver's `RequestInfoFactory`; `None`
/// for what is no resource.
fn request_info(path: &str) -> Option<RequestInfo> {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    if parts.len() < 3 {
        return None;
    }
    let is_core = match parts.remove(0) {
        "api" => true,
        "apis" if parts.len() >= 3 => {
            parts.remove(0);
            false
        }
        _ => return None,
    };
    parts.remove(0);
    let mut verb = None;
    for special in ["watch", "proxy"] {
        if verb.is_none() && parts[0] == special {
            if parts.len() < 2 {
                return None;
            }
            verb = Some(special);
            parts.remove(0);
        }
    }
    if parts.len() > 2 && parts[0] == "namespaces" && !["status", "finalize"].contains(&parts[2]) {
        parts.drain(..2);
    }
    let subresource = match parts.get(2) {
        Some(subresource) if verb != Some("proxy") => subresource,
        _ => "",
    };
    Some(RequestInfo {
        is_core,
        verb,
        resource: parts[0].to_owned(),
        subresource: subresource.to_owned(),
    })
}
