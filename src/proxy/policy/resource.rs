//! What a path asks for, read as the API server's `RequestInfo` is made (k8s.io/apiserver
//! `pkg/endpoints/request`).

use super::path::{decode, is_percent_encoded};

/// Whether the answer may take as long as the client wants: a watch, a followed log, and what
/// becomes a stream (exec, attach, port-forward, and the API server's own proxies). `path` is
/// without the server path, as it was sent; so is `query`.
///
/// A `watch` parameter counts only for a collection.
#[must_use]
pub fn is_long_running(path: &str, query: Option<&str>) -> bool {
    let path = decode(path);
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (["api", _, rest @ ..] | ["apis", _, _, rest @ ..]) = parts.as_slice() else {
        return false;
    };
    if let ["watch" | "proxy", _, ..] = rest {
        return true;
    }
    match resource(rest) {
        [_collection] => is_set(query, "watch"),
        [_, _, "log", ..] => is_set(query, "follow"),
        [_, _, subresource, ..] => {
            matches!(*subresource, "attach" | "exec" | "portforward" | "proxy")
        }
        _ => false,
    }
}

/// Whether the answer is not the API server's own, but that of a pod, service or node to which it
/// passes the request on: a 401 says nothing of our credentials then. `path` is without the server
/// path, as it was sent.
#[must_use]
pub fn is_subresource_proxy(path: &str) -> bool {
    let path = decode(path);
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let ["api", _, rest @ ..] = parts.as_slice() else {
        return false;
    };
    matches!(
        resource(rest),
        ["pods" | "services" | "nodes", _, "proxy", ..]
    )
}

/// Resource, name and subresource: what follows the version, without the namespace.
fn resource<'p, 's>(parts: &'p [&'s str]) -> &'p [&'s str] {
    match parts {
        // These two belong to the namespace itself.
        ["namespaces", _, "status" | "finalize", ..] => parts,
        ["namespaces", _, resource @ ..] if !resource.is_empty() => resource,
        parts => parts,
    }
}

/// Whether a boolean parameter is set. The API server takes its first value, and all but `0` and
/// `false` for true, even none at all: `?watch`, `?watch=` and `?watch=no` watch (k8s.io/apimachinery
/// `runtime.Convert_Slice_string_To_bool`). As Go, it passes over a pair with a semicolon or a
/// malformed `%`.
fn is_set(query: Option<&str>, name: &str) -> bool {
    let pairs = query.unwrap_or_default().split('&');
    pairs
        .filter(|pair| !pair.contains(';') && is_percent_encoded(pair))
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| decode(key) == name)
        .is_some_and(|(_, value)| {
            let value = decode(value);
            value != "0" && !value.eq_ignore_ascii_case("false")
        })
}
