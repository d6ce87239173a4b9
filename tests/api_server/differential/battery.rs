//! The requests that both proxies get, against the same API server.

use super::case::{Case, case, raw};
use super::groups::Group;

const MAPS: &str = "/api/v1/namespaces/{ns}/configmaps";

fn config_map(name: &str, value: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","labels":{{"tier":"{name}"}}}},"data":{{"K":"{value}"}}}}"#
    )
}

/// A request under the ConfigMaps of the side's namespace.
fn maps(name: &'static str, method: &str, rest: &str) -> Case {
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
        filtered(),
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
        case("/healthz", "GET /healthz"),
        case("/healthz/ping", "GET /healthz/ping"),
        case("/livez?verbose", "GET /livez?verbose"),
        case("/readyz", "GET /readyz").with_body_of_the_moment(),
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

fn encodings() -> Vec<Case> {
    let long = format!("?labelSelector=tier%3Dweb&unused={}", "x".repeat(20_000));
    vec![
        case(
            "an encoded letter",
            "GET /api/v1/namespaces/{ns}/%63onfigmaps/web",
        ),
        case("an encoded letter in capitals", "GET /%41PI"),
        case("an encoded slash", "GET /api%2Fv1"),
        maps("an encoded slash in a name", "GET", "/a%2Fb"),
        maps("encoded dots", "GET", "/%2e%2e"),
        case(
            "encoded dots and a slash",
            "GET /api/v1/namespaces/%2e%2e/nodes",
        ),
        case("an encoded dot", "GET /api/%2e/v1"),
        case("dots and an encoded slash", "GET /api/x/..%2fv1"),
        case("a double slash", "GET /api//v1"),
        case("a double slash first", "GET //api/v1"),
        case("a double slash with a query", "GET /api//v1?x=1&y=%2F"),
        case("a dot", "GET /api/./v1"),
        case("two dots", "GET /api/v1/../v1?x=1"),
        case("two dots at the end", "GET /api/v1/.."),
        case("two dots above the root", "GET /../../api"),
        case("a double slash by POST", "POST /api//v1").json("{}"),
        case("a double slash and an encoded letter", "GET /api//%761"),
        case("three dots", "GET /api/.../v1"),
        case("a malformed escape", "GET /api/%zz"),
        case("a cut escape", "GET /api/%4"),
        case("a malformed escape in the query", "GET /version?x=%zz"),
        case("an encoded percent sign", "GET /api/%252e%252e"),
        case("encoded UTF-8", "GET /api/v1/namespaces/%C3%A9"),
        case("raw UTF-8", "GET /api/v1/namespaces/é"),
        case("raw UTF-8 in the query", "GET /version?x=é"),
        case("half of an encoded letter", "GET /api/v1/namespaces/%C3"),
        maps("a plus", "GET", "/a+b"),
        maps("an encoded plus", "GET", "/a%2Bb"),
        maps("an encoded zero", "GET", "/a%00b"),
        maps("an encoded line break", "GET", "/a%0Ab"),
        maps("an encoded space", "GET", "/a%20b"),
        raw(
            "a raw space",
            "GET /api/v1/name space HTTP/1.1\r\nHost: {host}\r\n\r\n",
        ),
        maps("a query of 20 kB", "GET", &long),
        maps("semicolons in a path", "GET", "/web;a=b"),
        maps(
            "semicolons in a query",
            "GET",
            "?limit=1;labelSelector=tier%3Dweb",
        ),
        maps("a backslash", "GET", "/a\\b"),
        maps("an encoded backslash", "GET", "/a%5Cb"),
        case("sub-delimiters", "GET /api/v1/namespaces/a!$&'()*,=:@~b"),
        case(
            "characters that should be encoded",
            "GET /api/v1/namespaces/a\"<>[]^`{|}b",
        ),
        case(
            "encoded sub-delimiters",
            "GET /api/v1/namespaces/a%21%24%26%27%28%29%2A%2C%3D%3A%40%7Eb",
        ),
        case("an encoded question mark", "GET /version%3Fx=1"),
        case("a lone question mark", "GET /version?"),
        case("two question marks", "GET /version??"),
        case("an empty parameter", "GET /version?&&="),
        case("a fragment", "GET /version#x"),
        case("an absolute target", "GET http://{host}/version"),
        case(
            "an absolute target with another host",
            "GET http://evil.example/version",
        ),
        case(
            "an absolute target with another host and double slash",
            "GET http://evil.example//version",
        ),
        case(
            "an absolute target of https",
            "GET https://localhost/version",
        ),
        case("an absolute target without a path", "GET http://localhost"),
        case(
            "an absolute target of another scheme",
            "GET ftp://localhost/version",
        ),
        case("a target without a slash", "GET version"),
        case("a target that begins with a question mark", "GET ?x=1"),
    ]
}

fn host(name: &'static str, lines: &str) -> Case {
    raw(
        name,
        &format!("GET /version HTTP/1.1\r\n{lines}User-Agent: differential/1\r\n\r\n"),
    )
}

fn hosts() -> Vec<Case> {
    vec![
        host("localhost", "Host: localhost\r\n"),
        host("localhost and a port", "Host: localhost:1234\r\n"),
        host("127.0.0.1", "Host: 127.0.0.1\r\n"),
        host("localhost in capitals", "Host: LOCALHOST:{port}\r\n"),
        host("localhost with a final dot", "Host: localhost.\r\n"),
        host(
            "localhost of another domain",
            "Host: localhost.evil.example\r\n",
        ),
        host("the IPv6 loopback", "Host: [::1]\r\n"),
        host("the IPv6 loopback and a port", "Host: [::1]:8001\r\n"),
        host("the IPv6 loopback without brackets", "Host: ::1\r\n"),
        host("another host", "Host: evil.example\r\n"),
        host("another host and the port", "Host: evil.example:{port}\r\n"),
        host("127.0.0.2", "Host: 127.0.0.2\r\n"),
        host("no host", ""),
        host("an empty host", "Host:\r\n"),
        host("a port alone", "Host: :8001\r\n"),
        host("two hosts", "Host: localhost\r\nHost: evil.example\r\n"),
        host(
            "the same host twice",
            "Host: localhost\r\nHost: localhost\r\n",
        ),
        host("a host with user info", "Host: user@localhost\r\n"),
        host("a host with a path", "Host: localhost/x\r\n"),
        host("a host of digits", "Host: 2130706433\r\n"),
        host("a port that is none", "Host: localhost:abc\r\n"),
        host("an empty port", "Host: localhost:\r\n"),
        host(
            "another host in X-Forwarded-Host",
            "Host: localhost\r\nX-Forwarded-Host: evil.example\r\n",
        ),
        raw("HTTP/1.0 without a host", "GET /version HTTP/1.0\r\n\r\n"),
        raw(
            "HTTP/1.0 with a host",
            "GET /version HTTP/1.0\r\nHost: localhost\r\n\r\n",
        ),
        raw(
            "HTTP/1.0 kept alive",
            "GET /version HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n",
        ),
        raw(
            "HTTP/1.0 and a chunked answer",
            "GET /api/v1/namespaces/{ns}/configmaps?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dweb HTTP/1.0\r\nHost: localhost\r\n\r\n",
        ),
        raw(
            "HTTP/2.0 in words",
            "GET /version HTTP/2.0\r\nHost: localhost\r\n\r\n",
        ),
        raw(
            "HTTP/1.2",
            "GET /version HTTP/1.2\r\nHost: localhost\r\n\r\n",
        ),
        raw(
            "bare line feeds",
            "GET /version HTTP/1.1\nHost: localhost\n\n",
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

fn headers() -> Vec<Case> {
    let custom: Vec<String> = (0..60)
        .map(|n| format!("X-Custom-{n}: value {n}"))
        .collect();
    let large = format!("X-Large: {}", "x".repeat(16_000));
    vec![
        maps("as a table", "GET", "")
            .with("Accept: application/json;as=Table;v=v1;g=meta.k8s.io")
            .with_body_of_the_moment(),
        maps("as metadata", "GET", "/second")
            .with("Accept: application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"),
        maps("as protobuf", "GET", "/none").with("Accept: application/vnd.kubernetes.protobuf"),
        case("discovery as protobuf", "GET /apis")
            .with("Accept: application/vnd.kubernetes.protobuf"),
        maps("as YAML", "GET", "/second").with("Accept: application/yaml"),
        maps("as what there is not: 406", "GET", "/second").with("Accept: image/png"),
        maps("two Accept headers", "GET", "/second")
            .with("Accept: image/png\r\nAccept: application/yaml"),
        maps("gzip for a small answer", "GET", "/second").with("Accept-Encoding: gzip"),
        maps("no coding at all", "GET", "/second").with("Accept-Encoding: identity;q=1, *;q=0"),
        case("If-None-Match", "GET /openapi/v2")
            .with("Accept-Encoding: identity\r\nIf-None-Match: \"x\""),
        case("the same ETag", "HEAD /openapi/v2").with("Accept-Encoding: identity"),
        case("a range of a file", "GET /openapi/v2")
            .with("Accept-Encoding: identity\r\nRange: bytes=0-9"),
        case("a range of an object", "GET /version").with("Range: bytes=0-9"),
        maps("hop-by-hop headers", "GET", "/second")
            .with("Connection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers"),
        maps("impersonation: 403", "GET", "/second").with("Impersonate-User: jane"),
        maps("impersonation with a group", "GET", "/second")
            .with("Impersonate-User: jane\r\nImpersonate-Group: system:masters"),
        maps("a group and no user to impersonate", "GET", "/second")
            .with("Impersonate-Group: system:masters"),
        maps("X-Forwarded-For", "GET", "/second").with("X-Forwarded-For: 10.1.2.3"),
        maps("the front proxy's headers", "GET", "/second")
            .with("X-Remote-User: jane\r\nX-Remote-Group: system:masters"),
        maps("60 headers", "GET", "/second").with(&custom.join("\r\n")),
        maps("a header of 16 kB", "GET", "/second").with(&large),
        maps("a cookie", "GET", "/second").with("Cookie: a=b\r\nCookie: c=d"),
        maps("an origin", "GET", "/second")
            .with("Origin: https://evil.example\r\nReferer: https://evil.example/"),
        maps("an empty header", "GET", "/second").with("X-Empty:"),
        maps("a header with bytes above ASCII", "GET", "/second").with("X-Latin: é"),
        maps("a header with a space before the colon", "GET", "/second").with("X-Space : x"),
        maps("a folded header", "GET", "/second").with("X-Folded: a\r\n b"),
        maps("a header without a colon", "GET", "/second").with("no colon"),
        maps(
            "another method in X-HTTP-Method-Override",
            "POST",
            "/second",
        )
        .with("X-HTTP-Method-Override: DELETE\r\nContent-Length: 0"),
        maps(
            "an invalid token beside the proxy's certificate",
            "GET",
            "/second",
        )
        .with("Authorization: Bearer not-a-token"),
        maps(
            "basic authentication beside the proxy's certificate",
            "GET",
            "/second",
        )
        .with("Authorization: Basic eDp5"),
    ]
}

fn filtered() -> Vec<Case> {
    let exec = "/api/v1/namespaces/{ns}/pods/x/exec";
    vec![
        case("exec by GET", &format!("GET {exec}?command=ls")),
        case("exec by POST", &format!("POST {exec}?command=ls")).with("Content-Length: 0"),
        case("attach by GET", "GET /api/v1/namespaces/{ns}/pods/x/attach"),
        case(
            "attach by POST",
            "POST /api/v1/namespaces/{ns}/pods/x/attach",
        )
        .with("Content-Length: 0"),
        case("exec by DELETE", &format!("DELETE {exec}")),
        case("exec by HEAD", &format!("HEAD {exec}")),
        case(
            "exec with an encoded letter",
            "GET /api/v1/namespaces/{ns}/pods/x/%65xec",
        ),
        case(
            "exec with an encoded slash",
            "GET /api/v1/namespaces/{ns}/pods/x%2Fexec",
        ),
        case(
            "exec of an encoded resource",
            "GET /api/v1/namespaces/{ns}/p%6Fds/x/exec",
        ),
        case(
            "exec after an encoded line break",
            "GET /api/v1/namespaces/{ns}/pods/x%0A/exec",
        ),
        case(
            "exec with a double slash",
            "GET /api/v1/namespaces/{ns}/pods/x//exec",
        ),
        case(
            "exec with dots",
            "GET /api/v1/namespaces/{ns}/pods/x/y/../exec",
        ),
        case("exec with a trailing slash", &format!("GET {exec}/")),
        case(
            "exec in capitals",
            "GET /api/v1/namespaces/{ns}/pods/x/EXEC",
        ),
        case(
            "exec by an absolute target",
            &format!("GET http://localhost{exec}"),
        ),
        case("exec by a WebSocket", &format!("GET {exec}")).with(WEBSOCKET),
        case("exec by SPDY", &format!("POST {exec}")).with(SPDY),
        case(
            "port-forward is not refused",
            "GET /api/v1/namespaces/{ns}/pods/x/portforward",
        ),
        case(
            "port-forward by a WebSocket: 404",
            "GET /api/v1/namespaces/{ns}/pods/x/portforward?ports=80",
        )
        .with(WEBSOCKET),
        case(
            "port-forward by SPDY: 404",
            "POST /api/v1/namespaces/{ns}/pods/x/portforward",
        )
        .with(SPDY),
        case(
            "a pod named exec: 404",
            "GET /api/v1/namespaces/{ns}/pods/exec",
        ),
        case(
            "exec of another API group",
            "GET /apis/x.example/v1/namespaces/{ns}/pods/x/exec",
        ),
        case("exec in the query", "GET /version?/api/v1/pods/x/exec"),
    ]
}

pub const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io, v4.channel.k8s.io";
pub const SPDY: &str = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0";

fn watches() -> Vec<Case> {
    vec![
        maps("a watch of what is there", "GET", "?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dweb"),
        maps("a watch with bookmarks", "GET", "?watch=true&timeoutSeconds=1&allowWatchBookmarks=true&fieldSelector=metadata.name%3Dweb"),
        maps("a watch of nothing", "GET", "?watch=1&timeoutSeconds=1&labelSelector=none"),
        maps("a watch from a version", "GET", "/second").then(
            r#""resourceVersion":"(\d+)""#,
            maps("", "GET", "?watch=1&timeoutSeconds=1&labelSelector=none&resourceVersion={1}"),
        ),
        maps("a watch from an expired version: 410", "GET", "?watch=1&timeoutSeconds=1&resourceVersion=1"),
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

/// The filter's other flags, and the other prefixes.
pub fn flags() -> Vec<Group> {
    let exec = "/api/v1/namespaces/{ns}/pods/x/exec";
    vec![
        Group::new(
            "reject-methods",
            &["--reject-methods=POST,^DEL"],
            vec![
                maps("methods: rejected", "POST", "").json("{}"),
                maps("methods: rejected by its beginning", "DELETE", "/none"),
                maps("methods: not rejected", "GET", "/none"),
                maps("methods: a longer name is rejected, too", "XPOST", "/none"),
            ],
        ),
        Group::new(
            "reject-no-methods",
            &["--reject-methods=", "--reject-paths="],
            vec![
                maps("empty lists: nothing is rejected", "POST", "").json("{}"),
                case("empty lists: exec", &format!("GET {exec}?command=ls")),
            ],
        ),
        Group::new(
            "reject-any-method",
            &["--reject-methods=.*"],
            vec![maps("any method is rejected", "GET", "/none")],
        ),
        Group::new(
            "accept-paths",
            &["--accept-paths=^/version$,^/api/v1/namespaces/diff"],
            vec![
                case("paths: accepted", "GET /version"),
                case("paths: accepted with a query", "GET /version?x"),
                case("paths: not accepted", "GET /healthz"),
                case("paths: accepted when decoded", "GET /%76ersion"),
                case(
                    "paths: not accepted with an encoded question mark",
                    "GET /version%3F",
                ),
                case("paths: exec stays rejected", &format!("GET {exec}")),
            ],
        ),
        Group::new(
            "accept-none",
            &["--accept-paths="],
            vec![case("no path is accepted", "GET /version")],
        ),
        Group::new(
            "accept-hosts",
            &["--accept-hosts=^app\\.example$,^10\\."],
            vec![
                host("hosts: accepted", "Host: app.example:80\r\n"),
                host("hosts: accepted by its beginning", "Host: 10.1.2.3\r\n"),
                host("hosts: localhost no longer", "Host: localhost\r\n"),
                host("hosts: in capitals", "Host: APP.example\r\n"),
            ],
        ),
        Group::new(
            "disable-filter",
            &["--disable-filter=true"],
            vec![
                host("no filter: any host", "Host: evil.example\r\n"),
                case("no filter: exec by GET", &format!("GET {exec}?command=ls")),
                case(
                    "no filter: exec by POST",
                    &format!("POST {exec}?command=ls"),
                )
                .with("Content-Length: 0"),
                case(
                    "no filter: exec by a WebSocket",
                    &format!("GET {exec}?command=ls"),
                )
                .with(WEBSOCKET),
                case(
                    "no filter: exec by SPDY",
                    &format!("POST {exec}?command=ls"),
                )
                .with(SPDY),
                case(
                    "no filter: attach by a WebSocket",
                    "GET /api/v1/namespaces/{ns}/pods/x/attach",
                )
                .with(WEBSOCKET),
                case("no filter: a double slash", "GET /api//v1"),
            ],
        ),
        Group::new(
            "custom prefix",
            &["--api-prefix=/custom/"],
            vec![
                case("prefix: the API", "GET /custom/api"),
                case(
                    "prefix: an object",
                    "GET /custom/api/v1/namespaces/{ns}/configmaps/none",
                ),
                case("prefix: itself", "GET /custom/"),
                case("prefix: itself without its slash", "GET /custom"),
                case(
                    "prefix: itself without its slash, with a query",
                    "GET /custom?x=1",
                ),
                case("prefix: what begins alike", "GET /customer"),
                case("prefix: the API without it", "GET /api"),
                case("prefix: the root without it", "GET /"),
                case("prefix: exec", &format!("GET /custom{exec}")),
                case("prefix: doubled", "GET /custom/custom/api"),
                case("prefix: encoded", "GET /%63ustom/api"),
                case("prefix: a double slash", "GET /custom//api"),
                case("prefix: an encoded letter after it", "GET /custom/%61pi"),
                case("prefix: an encoded slash after it", "GET /custom/api%2Fv1"),
                case("prefix: another host without it", "GET /api").with("X: y"),
                raw(
                    "prefix: another host outside it",
                    "GET /elsewhere HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                ),
            ],
        ),
        Group::new(
            "a prefix without slashes at its end",
            &["--api-prefix=/k8s-api"],
            vec![case("bare prefix: the API", "GET /k8s-api/version")],
        ),
        Group::new(
            "api prefix",
            &["--api-prefix=/api/"],
            vec![
                case("api prefix: the API", "GET /api/v1"),
                case("api prefix: itself", "GET /api/"),
                case("api prefix: without its slash", "GET /api"),
                case("api prefix: another path", "GET /version"),
                case("api prefix: another group", "GET /apis"),
            ],
        ),
        Group::new(
            "as",
            &["--as=jane", "--as-group=readers"],
            vec![
                maps("--as: its 403", "GET", "/none"),
                maps("--as: the caller impersonates", "GET", "/none")
                    .with("Impersonate-User: john"),
            ],
        ),
    ]
}

/// Static files; `root` is the flag's directory.
pub fn files(www: &str) -> Group {
    let file = |name, line: &str| case(name, line);
    let cases = vec![
        file("a text", "GET /static/a.txt"),
        file("a text by HEAD", "HEAD /static/a.txt"),
        file("a text by POST", "POST /static/a.txt").with("Content-Length: 0"),
        file("a page", "GET /static/page.html"),
        file("a script", "GET /static/a.js"),
        file("a style sheet", "GET /static/a.css"),
        file("JSON", "GET /static/a.json"),
        file("a picture", "GET /static/a.svg"),
        file("WebAssembly", "GET /static/a.wasm"),
        file("bytes of no known type", "GET /static/a.unknown"),
        file("a text of no known type", "GET /static/README"),
        file("an empty file", "GET /static/empty"),
        file(
            "a file whose name has a space",
            "GET /static/with%20space.txt",
        ),
        file("a hidden file", "GET /static/.hidden"),
        file("a directory with an index", "GET /static/"),
        file("a directory without its slash", "GET /static"),
        file("a directory below with an index", "GET /static/site/"),
        file("a directory below without its slash", "GET /static/site"),
        file("a directory without an index", "GET /static/sub/"),
        file("an index by its name", "GET /static/index.html"),
        file("a file with a slash", "GET /static/a.txt/"),
        file("a file below", "GET /static/sub/b.txt"),
        file("no such file: 404", "GET /static/none"),
        file("a range", "GET /static/a.txt").with("Range: bytes=2-4"),
        file("a range from the end", "GET /static/a.txt").with("Range: bytes=-3"),
        file("a range to the end", "GET /static/a.txt").with("Range: bytes=3-"),
        file("a range out of reach: 416", "GET /static/a.txt").with("Range: bytes=100-"),
        file("a malformed range", "GET /static/a.txt").with("Range: bytes=x"),
        file("two ranges", "GET /static/a.txt").with("Range: bytes=0-1,3-4"),
        file("not modified since", "GET /static/a.txt")
            .with("If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT"),
        file("modified since", "GET /static/a.txt")
            .with("If-Modified-Since: Thu, 01 Jan 1998 00:00:00 GMT"),
        file("unmodified since: 412", "GET /static/a.txt")
            .with("If-Unmodified-Since: Thu, 01 Jan 1998 00:00:00 GMT"),
        file("a range if unchanged", "GET /static/a.txt")
            .with("Range: bytes=0-1\r\nIf-Range: Thu, 01 Jan 1998 00:00:00 GMT"),
        file("dots out of the root", "GET /static/../secret"),
        file("encoded dots out of the root", "GET /static/%2e%2e/secret"),
        file(
            "encoded dots and slashes out of the root",
            "GET /static/..%2f..%2fsecret",
        ),
        file("backslashes", "GET /static/..\\secret"),
        file("an encoded zero in a file's name", "GET /static/a.txt%00"),
        file("a double slash among files", "GET /static//a.txt"),
        file("a link within the root", "GET /static/link.txt"),
        file("a link out of the root", "GET /static/out.txt"),
        file("the API beside the files", "GET /version"),
        file("a path like the files'", "GET /staticx"),
        raw(
            "a file by another host",
            "GET /static/a.txt HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        ),
        file(
            "files are outside the filter",
            "GET /static/api/v1/pods/x/exec",
        ),
    ];
    Group::new("www", &[&format!("--www={www}")], cases)
}

/// With a token in the kubeconfig, not a certificate. `{1}` is the token of a service account with
/// no rights.
pub fn tokens() -> Vec<Case> {
    vec![
        maps("tokens: the proxy's own", "GET", "/none"),
        maps("tokens: the caller's weaker one: 403", "GET", "/none").with("Authorization: Bearer {1}"),
        maps("tokens: the caller's bad one: 401", "GET", "/none").with("Authorization: Bearer not-a-token"),
        maps("tokens: an empty one", "GET", "/none").with("Authorization:"),
        maps("tokens: basic", "GET", "/none").with("Authorization: Basic eDp5"),
        maps("tokens: two", "GET", "/none").with("Authorization: Bearer {1}\r\nAuthorization: Bearer not-a-token"),
        maps("tokens: what the proxy's own may not", "GET", "?limit=1"),
        maps("tokens: the caller's in an upgrade", "GET", "?watch=1").with("Authorization: Bearer {1}").with(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://localhost",
        ),
    ]
}
