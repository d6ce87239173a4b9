//! The requests that both proxies get, against the same API server.

use super::case::{Case, case};
use super::filters;
use super::groups::Group;
use super::targets::{encodings, headers, hosts};

const MAPS: &str = "/api/v1/namespaces/{ns}/configmaps";

pub fn config_map(name: &str, value: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","labels":{{"tier":"{name}"}}}},"data":{{"K":"{value}"}}}}"#
    )
}

/// A request under the ConfigMaps of the side's namespace.
pub fn maps(name: &'static str, method: &str, rest: &str) -> Case {
    case(name, &format!("{method} {MAPS}{rest}"))
}

/// Everything with the flags' defaults; order matters, as the objects stay.
pub fn defaults() -> Group {
    let cases = [
        methods(),
        patches(),
        api_paths(),
        selectors(),
        encodings(),
        hosts(),
        bodies(),
        headers(),
        filters::filtered(),
        watches(),
        deletes(),
    ];
    Group::new("defaults", &[], cases.concat())
}

fn methods() -> Vec<Case> {
    vec![
        maps("create", "POST", "").json(&config_map("web", "one")),
        maps("create a second", "POST", "").json(&config_map("second", "two")),
        maps("create a third", "POST", "").json(&config_map("third", "three")),
        maps("create again: 409", "POST", "").json(&config_map("web", "one")),
        maps("get", "GET", "/web"),
        maps("get what is not there: 404", "GET", "/none"),
        maps("head", "HEAD", "/none"),
        case("head of a fixed body", "HEAD /version"),
        maps("head of an object", "HEAD", "/web"),
        maps("replace", "PUT", "/web").json(&config_map("web", "new")),
        maps("replace under another name: 400", "PUT", "/web").json(&config_map("other", "new")),
        maps("replace what has changed: 409", "PUT", "/web").json(
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"web","resourceVersion":"1"}}"#,
        ),
        maps("replace by the version read", "GET", "/third").then(
            r#""resourceVersion":"(\d+)""#,
            maps("", "PUT", "/third")
                .body("application/json; charset=utf-8", r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"third","labels":{"app":"web"}}}"#),
        ),
        maps("options of an object", "OPTIONS", "/web"),
        case("options of the root", "OPTIONS /"),
        case("options with an asterisk", "OPTIONS *"),
        maps("a preflight", "OPTIONS", "/web")
            .with("Origin: https://example.com\r\nAccess-Control-Request-Method: PUT"),
        maps("trace", "TRACE", "/web"),
        case("trace of the root", "TRACE /"),
        case("connect to an authority", "CONNECT example.com:443"),
        case("connect to a path", "CONNECT /api"),
        maps("an unknown method: 405", "FROB", "/web"),
        maps("a method in small letters", "get", "/web"),
        maps("POST to an object: 405", "POST", "/web").json("{}"),
        case("PUT to the root", "PUT /").json("{}"),
    ]
}

fn patches() -> Vec<Case> {
    let apply = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {A: applied}\n";
    vec![
        maps("merge patch", "PATCH", "/web")
            .body("application/merge-patch+json", r#"{"data":{"M":"merged"}}"#),
        maps("strategic merge patch", "PATCH", "/web").body(
            "application/strategic-merge-patch+json",
            r#"{"data":{"S":"merged"}}"#,
        ),
        maps("JSON patch", "PATCH", "/web").body(
            "application/json-patch+json",
            r#"[{"op":"add","path":"/data/J","value":"added"}]"#,
        ),
        maps("JSON patch whose test fails: 422", "PATCH", "/web").body(
            "application/json-patch+json",
            r#"[{"op":"test","path":"/data/J","value":"x"}]"#,
        ),
        maps("server-side apply", "PATCH", "/web?fieldManager=diff")
            .body("application/apply-patch+yaml", apply),
        maps(
            "server-side apply in conflict: 409",
            "PATCH",
            "/web?fieldManager=other",
        )
        .body(
            "application/apply-patch+yaml",
            apply.replace("applied", "mine"),
        ),
        maps(
            "server-side apply by force",
            "PATCH",
            "/web?fieldManager=other&force=true",
        )
        .body(
            "application/apply-patch+yaml",
            apply.replace("applied", "mine"),
        ),
        maps("server-side apply with no manager: 422", "PATCH", "/web")
            .body("application/apply-patch+yaml", apply),
        maps("an unsupported patch: 415", "PATCH", "/web").body("text/plain", "x"),
        maps("a dry run", "PATCH", "/web?dryRun=All")
            .body("application/merge-patch+json", r#"{"data":{"D":"dry"}}"#),
    ]
}

fn api_paths() -> Vec<Case> {
    vec![
        case("/", "GET /"),
        case("/api", "GET /api"),
        case("/api/", "GET /api/"),
        case("/api/v1", "GET /api/v1"),
        case("/api/v1/", "GET /api/v1/"),
        case("/apis", "GET /apis"),
        case("/apis/apps", "GET /apis/apps"),
        case("/apis/apps/v1", "GET /apis/apps/v1"),
        case(
            "a group that is not there: 404",
            "GET /apis/none.example/v1",
        ),
        case("/version", "GET /version"),
        case("/version/", "GET /version/"),
        // On a busy machine etcd's check fails now and then.
        case("/healthz", "GET /healthz?exclude=etcd"),
        case("/healthz/ping", "GET /healthz/ping"),
        case("/livez?verbose", "GET /livez?verbose&exclude=etcd"),
        case("/readyz", "GET /readyz?exclude=etcd").with_body_of_the_moment(),
        case("/openapi/v2", "GET /openapi/v2").with("Accept-Encoding: identity"),
        case("/openapi/v2 in gzip", "GET /openapi/v2").with("Accept-Encoding: gzip"),
        case("/openapi/v2 without saying how", "GET /openapi/v2"),
        case("/metrics", "GET /metrics")
            .with("Accept-Encoding: identity")
            .with_body_of_the_moment(),
        case("/logs: 404", "GET /logs"),
        case("a path that is not there: 404", "GET /none"),
        case(
            "attache's own path is the API server's here",
            "GET /kv/default/web",
        ),
        case(
            "attache's own endpoint is the API server's here",
            "GET /-/ready",
        ),
        case("own listing", "GET /-/status"),
        maps("a trailing slash", "GET", "/web/"),
        case("a namespace", "GET /api/v1/namespaces/{ns}"),
        case(
            "an unknown version: 404",
            "GET /api/v9/namespaces/{ns}/configmaps",
        ),
        case(
            "an unknown resource: 404",
            "GET /api/v1/namespaces/{ns}/gadgets",
        ),
        case(
            "logs of a pod that is not there: 404",
            "GET /api/v1/namespaces/{ns}/pods/none/log",
        ),
        case(
            "proxied service that is not there: 404",
            "GET /api/v1/namespaces/{ns}/services/none/proxy/x",
        ),
    ]
}

fn selectors() -> Vec<Case> {
    vec![
        maps("list", "GET", "").with("Accept: application/json"),
        maps("a label selector", "GET", "?labelSelector=tier%3Dweb"),
        maps(
            "a set-based selector",
            "GET",
            "?labelSelector=tier+in+(web,second)",
        ),
        maps(
            "a selector with raw brackets and an equals sign",
            "GET",
            "?labelSelector=tier=web",
        ),
        maps("a malformed selector: 400", "GET", "?labelSelector=%3D%3D"),
        maps(
            "a field selector",
            "GET",
            "?fieldSelector=metadata.name%3Dweb",
        ),
        maps("an unknown field: 400", "GET", "?fieldSelector=none%3Dx"),
        maps("a page and the next", "GET", "?limit=2").then(
            r#""continue":"([^"]+)""#,
            maps("", "GET", "?limit=2&continue={1}"),
        ),
        maps("a malformed token: 400", "GET", "?limit=1&continue=x"),
        maps(
            "a version from the cache",
            "GET",
            "?resourceVersion=0&labelSelector=tier%3Dweb",
        ),
        maps("pretty", "GET", "/web?pretty=true"),
        case(
            "delete options in the query",
            "GET /api/v1/namespaces/{ns}/configmaps?limit=1&limit=2",
        ),
    ]
}

fn bodies() -> Vec<Case> {
    let large = config_map("large", &"x".repeat(1_100_000));
    let larger = config_map("larger", &"x".repeat(3_500_000));
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03not gzip".to_vec();
    let small = config_map("chunked", "sent in chunks");
    let (first, second) = small.split_at(20);
    let chunks = format!(
        "{:x}\r\n{first}\r\n{:X};ext=1\r\n{second}\r\n0\r\n\r\n",
        first.len(),
        second.len()
    );
    vec![
        maps("chunks", "POST", "")
            .with("Content-Type: application/json\r\nTransfer-Encoding: chunked")
            .followed_by(chunks),
        maps("malformed chunks", "POST", "")
            .with("Content-Type: application/json\r\nTransfer-Encoding: chunked")
            .followed_by("zz\r\n{}\r\n0\r\n\r\n"),
        maps("an unknown transfer coding", "POST", "")
            .with("Content-Type: application/json\r\nTransfer-Encoding: frob")
            .followed_by("{}"),
        maps("two lengths that differ", "POST", "")
            .with("Content-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 3")
            .followed_by("{}x"),
        maps("a negative length", "POST", "").with("Content-Length: -1"),
        maps("an empty body: 400", "POST", "").json(""),
        maps("no body and no length: 400", "POST", ""),
        maps("a body with GET", "GET", "/web").json("{}"),
        maps("wrong JSON: 400", "POST", "").json("{"),
        maps("JSON of another kind: 400", "POST", "")
            .json(r#"{"kind":"Secret","apiVersion":"v1"}"#),
        maps("a name that is not valid: 422", "POST", "").json(&config_map("Not_Valid", "x")),
        maps("YAML", "POST", "").body(
            "application/yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\ndata: {K: v}\n",
        ),
        maps("an unsupported media type: 415", "POST", "").body("text/plain", "x"),
        maps("a body that says gzip and is none", "POST", "")
            .with("Content-Encoding: gzip")
            .json(&config_map("gz", "x")),
        maps("a body in gzip", "POST", "")
            .with("Content-Encoding: gzip")
            .body("application/json", gzip),
        maps("more than 1 MiB: 422", "POST", "").json(&large),
        maps("more than 3 MiB: 413", "POST", "").json(&larger),
        maps("a body announced and accepted", "POST", "")
            .expecting()
            .json(&config_map("expected", "x")),
        maps("a body announced and not checked first", "POST", "")
            .expecting()
            .json("{"),
        case(
            "a body announced to a refused path",
            "POST /api/v1/namespaces/{ns}/pods/x/exec",
        )
        .expecting()
        .json("{}"),
        maps("an expectation that is unknown", "POST", "")
            .with("Expect: something-else")
            .json("{}"),
        // Not here: half-closes. kubectl answers or cancels the request, as it comes.
    ]
}

fn watches() -> Vec<Case> {
    vec![
        maps("a watch of what is there", "GET", "?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dweb"),
        maps("a watch with bookmarks", "GET", "?watch=true&timeoutSeconds=1&allowWatchBookmarks=true&fieldSelector=metadata.name%3Dweb"),
        maps("a watch of nothing", "GET", "?watch=1&timeoutSeconds=1&labelSelector=none"),
        maps("a watch from a version", "GET", "/second").then(
            r#""resourceVersion":"(\d+)""#,
            maps("", "GET", "?watch=1&timeoutSeconds=1&labelSelector=none&resourceVersion={1}"),
        ),
        maps("a watch from a version that is none: 400", "GET", "?watch=1&resourceVersion=x"),
        maps("a watch that HEAD asks for", "HEAD", "?watch=1&timeoutSeconds=1"),
        case("the old watch path", "GET /api/v1/watch/namespaces/{ns}/configmaps/web?timeoutSeconds=1"),
        case("the old watch path of a list", "GET /api/v1/watch/namespaces/{ns}/configmaps?timeoutSeconds=1&labelSelector=tier%3Dweb"),
        maps("a watch of tables", "GET", "?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dweb")
            .with("Accept: application/json;as=Table;v=v1;g=meta.k8s.io").with_body_of_the_moment(),
        maps("a watch in gzip", "GET", "?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dweb").with("Accept-Encoding: gzip"),
        maps("a watch by WebSocket", "GET", "?watch=1&timeoutSeconds=1").with(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://localhost",
        ),
    ]
}

fn deletes() -> Vec<Case> {
    vec![
        maps(
            "delete with a precondition that fails: 409",
            "DELETE",
            "/web",
        )
        .json(r#"{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"x"}}"#),
        maps("delete", "DELETE", "/web"),
        maps("delete what is gone: 404", "DELETE", "/web"),
        maps(
            "delete by a selector",
            "DELETE",
            "?labelSelector=tier%3Dsecond",
        ),
        maps("what is left", "GET", ""),
    ]
}
