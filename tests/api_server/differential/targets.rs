//! Odd targets, hosts and headers.

use super::battery::maps;
use super::case::{Case, case, raw};

pub fn encodings() -> Vec<Case> {
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

pub fn host(name: &'static str, lines: &str) -> Case {
    raw(
        name,
        &format!("GET /version HTTP/1.1\r\n{lines}User-Agent: differential/1\r\n\r\n"),
    )
}

pub fn hosts() -> Vec<Case> {
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

pub fn headers() -> Vec<Case> {
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
