use regex_lite::RegexBuilder;

use super::*;

fn regexes(patterns: &[&str], dot_all: bool) -> Vec<Regex> {
    let build = |pattern: &&str| {
        RegexBuilder::new(pattern)
            .dot_matches_new_line(dot_all)
            .build()
            .unwrap()
    };
    patterns.iter().map(build).collect()
}

fn filter(accept: &[&str], reject: &[&str], methods: &[&str]) -> Filter {
    Filter {
        accept_paths: regexes(accept, false),
        reject_paths: regexes(reject, true),
        reject_methods: regexes(methods, false),
    }
}

/// kubectl's defaults.
fn default_filter() -> Filter {
    let reject = ["^/api/.*/pods/.*/exec", "^/api/.*/pods/.*/attach"];
    filter(&["^.*"], &reject, &["^$"])
}

fn default_policy() -> Policy {
    Policy::new(Some(default_filter()), "/", "", false)
}

fn decide(policy: &Policy, target: &str) -> Verdict {
    decide_as(policy, &Method::GET, target)
}

fn decide_as(policy: &Policy, method: &Method, target: &str) -> Verdict {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    policy.decide(method, path, query)
}

fn forwarded(target: &str) -> Verdict {
    Verdict::Forward(target.parse().unwrap())
}

fn redirected(location: &str) -> Verdict {
    Verdict::Redirect(location.to_owned())
}

#[test]
fn what_the_default_filter_lets_through_goes_on_as_it_was_sent() {
    let policy = default_policy();
    for target in [
        "/",
        "/api",
        "/api/",
        "/version",
        "/healthz?verbose",
        "/api/v1/pods?",
        "/api/v1/pods?watch=1&x=%2F%zz;//../",
        "/api/v1/namespaces/default/pods/p",
        "/api/v1/namespaces/default/pods/p/log?follow=true",
        "/api/v1/namespaces/default/pods/p/portforward",
        "/api/v1/namespaces/exec/configmaps/attach",
        "/api/v1/namespaces/default/pods/",
        "/apis/apps/v1/namespaces/default/deployments/exec",
        "/apis/x/v1/namespaces/default/pods/p/exec",
        "/%61pi/v1/pods",
        "/api/v1/namespaces/default/services/s/proxy/a%2Fb%2fc",
        "/api/v1/namespaces/default/services/s/proxy/get/http%3A%2F%2Fhost%2F",
        "/api/v1/namespaces/default/services/s/proxy/%252e%252e/x",
        "/api/v1/namespaces/default/services/s/proxy/...",
        "/api/v1/namespaces/default/services/s/proxy/a..b;c=%3B",
        "/api/v1/namespaces/default/services/s/proxy/caf\u{e9}/%C3%A9/%ff",
        // Decoded once, as by the API server: these name no subresource exec.
        "/api/v1/namespaces/default/pods/p%252Fexec",
        "/api/v1/namespaces/default/pods/p/%2565xec",
        "/api/v1/namespaces/default/pods/p/EXEC",
        "/api/v1/namespaces/default/pods/p/ex%00ec",
    ] {
        assert_eq!(decide(&policy, target), forwarded(target), "{target}");
    }
}

#[test]
fn no_spelling_of_a_rejected_path_gets_through() {
    let policy = default_policy();
    for target in [
        "/api/v1/namespaces/default/pods/p/exec",
        "/api/v1/namespaces/default/pods/p/exec?command=ls",
        "/api/v1/namespaces/default/pods/p/attach",
        "/api/v1/namespaces/default/pods/p/exec/",
        "/api/v1/pods/p/exec",
        "/api/v1/proxy/namespaces/default/pods/p/exec",
        // Letters.
        "/%61pi/v1/namespaces/default/pods/p/exec",
        "/%61%70%69/v1/namespaces/default/pods/p/exec",
        "/api/v1/namespaces/default/%70ods/p/exec",
        "/api/v1/namespaces/default/pods/p/%65xec",
        "/api/v1/namespaces/default/pods/p/e%78e%63",
        "/api/v1/namespaces/default/pods/p/%61ttach",
        // Slashes.
        "/api%2Fv1/namespaces/default/pods/p/exec",
        "/api%2fv1%2fnamespaces%2fdefault%2fpods%2fp%2fexec",
        "/%2Fapi/v1/namespaces/default/pods/p/exec",
        "/%2F%2f/api/v1/namespaces/default/pods/p/exec",
        "/api/v1/namespaces/default/pods%2F%2Fp%2F/exec",
        "/api/v1/namespaces/default/pods/p/exec%2F",
        "/%5Capi/v1/namespaces/default/pods/p/exec",
        // Slashes that the API server cuts off, and segments that it takes for empty.
        "/%2Fapi/%2Fpods/p/exec",
        "/%2Fapi/v1/pods/%2Fattach/%2F5c",
        "/api\\v1\\namespaces\\default\\pods\\p\\exec",
        "/api%5cv1/namespaces/default/pods%5Cp%5Cexec",
        "/\\api/v1/namespaces/d%5cefault/pods/p\\exec",
        "/api/v1/namespaces/default/services/s/proxy/a\\b",
        // Dots.
        "/api/v1/namespaces/default/x/%2e%2e/pods/p/exec",
        "/x/%2e%2e/api/v1/namespaces/default/pods/p/exec",
        "/x/.%2E/api/v1/namespaces/default/pods/p/exec",
        "/x%2Fapi/%2e%2e/api/v1/namespaces/default/pods/p/exec",
        "/x/%2e%2e/api/%2f%2e%2e/v1/namespaces/default/pods/p/exec",
        "/%2e/api/v1/namespaces/default/pods/p/exec",
        "/x%2f..%2fapi/v1/namespaces/default/pods/p/exec",
        "/x/..%5Capi/v1/namespaces/default/pods/p/exec",
        "/api/v1/namespaces/default/pods/p/exec/x%2f..",
        "/api/v1/namespaces/default/services/s/proxy/%2e%2e%2f",
        // Line breaks, NUL, what is not UTF-8, parameters.
        "/api/v1/namespaces/default/pods/p%0a/exec",
        "/api/%0a/pods/%0d%0a/exec",
        "/api/v1/namespaces/default/pods/%00/exec",
        "/api/v1/namespaces/default/pods/%ff%c0%af/exec",
        "/api/v1/namespaces/default/pods/p/exec;x=1",
        "/api/v1/namespaces/default/pods/p/exec%00",
    ] {
        assert_eq!(decide(&policy, target), Verdict::Forbidden, "{target}");
        let unfiltered = Policy::new(None, "/", "", false);
        assert_eq!(decide(&unfiltered, target), forwarded(target), "{target}");
    }
}

#[test]
fn every_reading_must_be_accepted() {
    let only_default = filter(&["^/api/v1/namespaces/default/[^/]+$"], &[], &[]);
    let policy = Policy::new(Some(only_default), "/", "", false);
    let pods = "/api/v1/namespaces/default/pods";
    assert_eq!(decide(&policy, pods), forwarded(pods));
    for target in [
        "/api/v1/namespaces/default/pods/p",
        "/api/v1/namespaces/default/..%2Fkube-system",
        "/api/v1/namespaces/default/pods%2Fp",
        "/api/v1/namespaces/default/pods%5Cp",
        "/api/v1/namespaces/default/pods\\p",
        "/api/v1/namespaces/default/%2fpods",
        "/API/v1/namespaces/default/pods",
    ] {
        assert_eq!(decide(&policy, target), Verdict::Forbidden, "{target}");
    }
    let nothing_accepted = Policy::new(Some(filter(&[], &[], &[])), "/", "", false);
    assert_eq!(decide(&nothing_accepted, "/version"), Verdict::Forbidden);
}

#[test]
fn slashes_at_the_end_are_no_way_around_an_anchored_regex() {
    let no_secrets = filter(
        &["^.*"],
        &["^/api/v1/(namespaces/[^/]+/)?secrets$", "^$"],
        &[],
    );
    let policy = Policy::new(Some(no_secrets), "/", "", false);
    for target in [
        "/api/v1/secrets",
        "/api/v1/secrets/",
        "/api/v1/secrets%2f",
        "/api/v1/namespaces/default/secrets/%2f%2F",
        "/api/v1%2F/secrets",
        "/api/v1/secrets\\",
    ] {
        assert_eq!(decide(&policy, target), Verdict::Forbidden, "{target}");
    }
    for target in ["/", "/api/v1/secrets/s", "/api/v1/secretsx/"] {
        assert_eq!(decide(&policy, target), forwarded(target), "{target}");
    }
}

#[test]
fn slashes_are_read_collapsed_and_as_they_are() {
    let no_double = filter(&["^.*"], &["//"], &[]);
    let policy = Policy::new(Some(no_double), "/", "", false);
    for target in ["/a%2F/b", "/a%2f%2Fb", "/a%5C%5Cb", "/a%5C/b", "/%5cb"] {
        assert_eq!(decide(&policy, target), Verdict::Forbidden, "{target}");
    }
    assert_eq!(decide(&policy, "/a%2Fb%5Cc"), forwarded("/a%2Fb%5Cc"));
}

#[test]
fn methods_are_rejected() {
    let read_only = filter(&["^.*"], &[], &["POST", "^PUT$"]);
    let policy = Policy::new(Some(read_only), "/", "", false);
    let method = |name: &str| Method::from_bytes(name.as_bytes()).unwrap();
    for refused in ["POST", "PUT", "XPOSTX"] {
        let verdict = decide_as(&policy, &method(refused), "/api/v1/pods");
        assert_eq!(verdict, Verdict::Forbidden, "{refused}");
    }
    for passed in ["GET", "PATCH", "PUTS", "post", "PURGE"] {
        let verdict = decide_as(&policy, &method(passed), "/api/v1/pods");
        assert_eq!(verdict, forwarded("/api/v1/pods"), "{passed}");
    }
}

#[test]
fn a_path_with_literal_dots_or_double_slashes_is_redirected() {
    let policy = default_policy();
    for (target, location) in [
        ("//", "/"),
        ("/.", "/"),
        ("/..", "/"),
        ("/../..//", "/"),
        ("//api/v1/pods", "/api/v1/pods"),
        ("/api//v1/pods?limit=1", "/api/v1/pods?limit=1"),
        ("/api/v1/pods//", "/api/v1/pods/"),
        ("/api/v1/./pods/", "/api/v1/pods/"),
        ("/api/v1/pods/.", "/api/v1/pods"),
        ("/api/v1/pods/..", "/api/v1"),
        ("/api/v1/pods/../", "/api/v1/"),
        ("/a/../../b?x=//..&y=%2F;", "/b?x=//..&y=%2F;"),
        ("/a//b%2Fc%2e%2E?", "/a/b%2Fc%2e%2E?"),
        // Before the filter.
        (
            "/x/../api/v1/namespaces/default/pods/p/exec",
            "/api/v1/namespaces/default/pods/p/exec",
        ),
        // To no other host, and in ASCII.
        ("//example.com/..", "/"),
        ("//example.com/a", "/example.com/a"),
        ("/./\\example.com", "/%5Cexample.com"),
        ("//caf\u{e9}?caf\u{e9}", "/caf%C3%A9?caf%C3%A9"),
    ] {
        assert_eq!(decide(&policy, target), redirected(location), "{target}");
    }
    for clean in ["/a/...", "/.a/b./..c", "/a/.../", "/a;..", "/a/b/"] {
        assert_eq!(decide(&policy, clean), forwarded(clean), "{clean}");
    }
    let unfiltered = Policy::new(None, "/", "", false);
    assert_eq!(
        decide(&unfiltered, "/a/../b"),
        redirected("/b"),
        "that is not the filter's"
    );
}

#[test]
fn connect_is_malformed_whatever_it_names() {
    // It would be checked as a path and sent as an authority.
    for policy in [default_policy(), Policy::new(None, "/", "", false)] {
        for target in ["/api/v1/pods", "//api", "/", "", "example.com:443"] {
            let verdict = decide_as(&policy, &Method::CONNECT, target);
            assert!(matches!(verdict, Verdict::Malformed(_)), "{target}");
        }
    }
}

#[test]
fn a_path_is_as_long_as_what_is_read_of_it() {
    let policy = default_policy();
    let path = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert_eq!(decide(&policy, &path(MAX_PATH)), forwarded(&path(MAX_PATH)));
    let with_query = format!("{}?{}", path(MAX_PATH), path(MAX_PATH));
    assert_eq!(decide(&policy, &with_query), forwarded(&with_query));
    assert_eq!(decide(&policy, &path(MAX_PATH + 1)), Verdict::TooLong);
    // It is read twice: with and without the slash at its end.
    let slash = |length: usize| format!("{}/", path(length));
    assert_eq!(
        decide(&policy, &slash(MAX_PATH / 2 - 1)),
        forwarded(&slash(MAX_PATH / 2 - 1))
    );
    assert_eq!(decide(&policy, &slash(MAX_PATH / 2)), Verdict::TooLong);
    let unfiltered = Policy::new(None, "/", "", false);
    assert_eq!(
        decide(&unfiltered, &slash(MAX_PATH - 1)),
        forwarded(&slash(MAX_PATH - 1))
    );
}

#[test]
fn what_a_pod_a_service_or_a_node_answers_is_known() {
    for path in [
        "/api/v1/namespaces/d/pods/p/proxy",
        "/api/v1/namespaces/d/pods/p/proxy/",
        "/api/v1/namespaces/d/services/https:s:web/proxy/a/b",
        "/api/v1/nodes/n/proxy/metrics",
        "/api/v1/namespaces/d/%70ods/p/prox%79",
    ] {
        assert!(is_subresource_proxy(path), "{path}");
        assert!(is_long_running(path, None), "{path}");
    }
    for path in [
        "/api/v1/namespaces/d/pods/proxy",
        "/api/v1/namespaces/d/pods/p/exec/proxy",
        "/api/v1/namespaces/d/configmaps/c/proxy",
        "/api/v1/namespaces/proxy",
        "/apis/example.com/v1/namespaces/d/pods/p/proxy",
        "/proxy",
    ] {
        assert!(!is_subresource_proxy(path), "{path}");
    }
}

#[test]
fn what_is_no_path_is_malformed() {
    let policy = default_policy();
    for target in [
        "",
        "*",
        "api/v1",
        "example.com:443",
        "http://example.com/",
        "/%",
        "/%2",
        "/%zz",
        "/%2g/x",
        "/a%",
        "/%%32%65",
        "/a//b%zz",
        "/a#b",
        "/a?b#c",
        "/a b",
        "/a\nb",
        "/a\x7fb",
        "/a?b\x00",
    ] {
        let verdict = decide(&policy, target);
        assert!(
            matches!(verdict, Verdict::Malformed(_)),
            "{target:?}: {verdict:?}"
        );
    }
    assert_eq!(decide(&policy, "/a?%zz"), forwarded("/a?%zz"));
}

#[test]
fn the_api_prefix_is_taken_off_unless_it_is_the_apis_own() {
    let exec = "api/v1/namespaces/default/pods/p/exec";
    for (prefix, target, wanted) in [
        ("/custom/", "/custom/", "/"),
        ("/custom/", "/custom/api/v1?x=1", "/api/v1?x=1"),
        ("/custom/", "/custom/custom/", "/custom/"),
        ("/custom/", "/c%75stom/api%2Fv1", "/api%2Fv1"),
        ("/custom/", "/custom", "307 /custom/"),
        ("/custom/", "/custom?x", "307 /custom/?x"),
        ("/custom/", "//custom", "307 /custom"),
        ("/custom/", "/", "404"),
        ("/custom/", "/customs/api", "404"),
        ("/custom/", "/Custom/api", "404"),
        ("/custom/", "/custom%2Fapi", "404"),
        ("/custom/", "/api/v1", "404"),
        ("/custom/", &format!("/custom/{exec}"), "403"),
        ("/custom/", &format!("/custom/%2F{exec}"), "403"),
        ("/custom/", &format!("/custom/%2e%2e/{exec}"), "403"),
        ("/a/b/", "/a/b/api", "/api"),
        ("/a/b/", "/a/b", "307 /a/b/"),
        ("/a/b/", "/a/api", "404"),
        ("/api/", "/api/v1", "/api/v1"),
        ("/api/", "/%61pi/v1", "/%61pi/v1"),
        ("/api/", "/api", "307 /api/"),
        ("/api/", "/apis/apps", "404"),
        ("/api/", &format!("/{exec}"), "403"),
        ("/api/v1/", "/api/v1/pods", "/api/v1/pods"),
        ("/apis/", "/apis/apps/v1", "/apis/apps/v1"),
        ("/apifoo/", "/apifoo/api/v1", "/api/v1"),
        ("/apifoo/", &format!("/apifoo/{exec}"), "403"),
    ] {
        let policy = Policy::new(Some(default_filter()), prefix, "", false);
        let wanted = match wanted.split_at(3.min(wanted.len())) {
            ("307", location) => redirected(location.trim_start()),
            ("403", _) => Verdict::Forbidden,
            ("404", _) => Verdict::NotFound,
            _ => forwarded(wanted),
        };
        assert_eq!(decide(&policy, target), wanted, "{prefix} {target}");
    }
}

#[test]
fn the_server_path_is_taken_off_once_unless_it_is_appended_always() {
    let exec = "api/v1/namespaces/default/pods/p/exec";
    for (target, once, appended) in [
        ("/api/v1", "/api/v1", "/api/v1"),
        ("/k8s/clusters/c-1", "/", "/k8s/clusters/c-1"),
        ("/k8s/clusters/c-1/", "/", "/k8s/clusters/c-1/"),
        (
            "/k8s/clusters/c-1/api?x",
            "/api?x",
            "/k8s/clusters/c-1/api?x",
        ),
        (
            "/k8s/clusters/c-1/k8s/clusters/c-1/api",
            "/k8s/clusters/c-1/api",
            "/k8s/clusters/c-1/k8s/clusters/c-1/api",
        ),
        (
            "/k8s/clusters/c-10/api",
            "/k8s/clusters/c-10/api",
            "/k8s/clusters/c-10/api",
        ),
        ("/k8%73/clusters/c-1/api", "/api", "/k8%73/clusters/c-1/api"),
        (
            "/k8s%2Fclusters/c-1/api",
            "/k8s%2Fclusters/c-1/api",
            "/k8s%2Fclusters/c-1/api",
        ),
        (&format!("/{exec}"), "403", "403"),
        (&format!("/k8s/clusters/c-1/{exec}"), "403", "403"),
        (&format!("/k8s/clusters/c-1/%2f{exec}"), "403", "403"),
        (&format!("/k8s%2Fclusters/c-1/{exec}"), "403", "403"),
        (&format!("/%2fk8s/clusters/c-1/{exec}"), "403", "403"),
    ] {
        for (append, wanted) in [(false, once), (true, appended)] {
            let wanted = match wanted {
                "403" => Verdict::Forbidden,
                path => forwarded(path),
            };
            let filter = Some(default_filter());
            let policy = Policy::new(filter, "/", "/k8s/clusters/c-1", append);
            assert_eq!(decide(&policy, target), wanted, "{append} {target}");
        }
    }
    let policy = Policy::new(None, "/custom/", "/a%20b", false);
    assert_eq!(decide(&policy, "/custom/a%20b/x"), forwarded("/x"));
    assert_eq!(decide(&policy, "/a%20b/custom/x"), Verdict::NotFound);
}

#[test]
fn an_appended_server_path_that_looks_like_the_api_does_not_refuse_the_api() {
    let accept_api = || Some(filter(&["^/api/"], &[], &[]));
    let policy = Policy::new(accept_api(), "/", "/api", true);
    assert_eq!(decide(&policy, "/api/v1/pods"), forwarded("/api/v1/pods"));
}

#[test]
fn a_plain_path_is_read_without_a_copy() {
    use std::borrow::Cow;
    let path = "/api/v1/namespaces/default/pods/p";
    assert!(matches!(path::decode(path), Cow::Borrowed(_)));
    assert!(matches!(path::clean(path), Cow::Borrowed(_)));
}

#[test]
fn watches_followed_logs_and_streams_are_long_running() {
    for target in [
        "/api/v1/pods?watch=true",
        "/api/v1/pods?watch=1",
        "/api/v1/pods?watch",
        "/api/v1/pods?watch=",
        "/api/v1/pods?watch=no&watch=false",
        "/api/v1/pods/?limit=1&w%61tch=%74rue",
        "/api/v1/namespaces?watch=1",
        "/api/v1/namespaces/default/configmaps?%zz&watch=TRUE",
        "/%61pis%2Fapps/v1/namespaces/default/deployments?watch=1",
        "/apis/apps/v1/deployments?watch=1",
        "/api/v1/watch/pods",
        "/api/v1/watch/namespaces/default/pods/p",
        "/apis/apps/v1/watch/deployments",
        "/api/v1/proxy/nodes/n",
        "/api/v1/namespaces/default/pods/p/log?follow",
        "/api/v1/namespaces/default/pods/p/log?container=c&follow=true",
        "/api/v1/pods/p/exec",
        "/api/v1/namespaces/default/pods/p/exec?command=ls",
        "/api/v1/namespaces/default/pods/p/attach",
        "/api/v1/namespaces/default/pods/p/portforward",
        "/api/v1/namespaces/default/services/s/proxy",
        "/api/v1/namespaces/default/services/s/proxy/a/b?x",
        "/api/v1/nodes/n/proxy/metrics",
    ] {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        assert!(is_long_running(path, query), "{target}");
    }
}

#[test]
fn what_ends_by_itself_is_not_long_running() {
    for target in [
        "/",
        "/?watch=1",
        "/version?watch=1",
        "/api?watch=1",
        "/api/v1?watch=1",
        "/api/v1/watch",
        "/api/v1/pods",
        "/api/v1/pods?watch=0",
        "/api/v1/pods?watch=false",
        "/api/v1/pods?watch=False&watch=true",
        "/api/v1/pods?watch=%30",
        "/api/v1/pods?watching=1&unwatch=1",
        "/api/v1/pods?watch=1;x",
        "/api/v1/pods?watch=%zz",
        "/api/v1/namespaces/default/pods/p?watch=1",
        "/api/v1/namespaces/default/pods/p/log",
        "/api/v1/namespaces/default/pods/p/log?follow=0&x=follow",
        "/api/v1/namespaces/default/pods/p/status",
        "/api/v1/namespaces/watch/pods/exec",
        "/api/v1/namespaces/default/status",
        "/apis/apps/v1/namespaces/default/deployments/proxy/scale",
        "/healthz/a/b/exec/c/proxy",
    ] {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        assert!(!is_long_running(path, query), "{target}");
    }
}
