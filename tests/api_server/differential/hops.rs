//! The requests that both proxies pass to an upstream which tells what it received.

use super::case::{Case, case, raw};
use super::filters::{SPDY, WEBSOCKET};
use super::groups::Group;

/// What the upstream receives, and odd answers of its.
pub fn all() -> Vec<Group> {
    let cases = [requests(), targets(), answers(), upgrades()].concat();
    vec![Group::new("an upstream that echoes", &[], cases)]
}

fn echo(name: &'static str, headers: &str) -> Case {
    case(name, "GET /echo").with(headers)
}

fn requests() -> Vec<Case> {
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    let trailers = "5\r\nhello\r\n0\r\nX-Sum: 5\r\nX-Other: y\r\n\r\n";
    vec![
        case("echo: as little as possible", "GET /echo"),
        raw(
            "echo: no User-Agent",
            "GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n",
        ),
        echo("echo: an empty User-Agent", "User-Agent:"),
        raw(
            "echo: HTTP/1.0",
            "GET /echo HTTP/1.0\r\nHost: {host}\r\nUser-Agent: x\r\n\r\n",
        ),
        raw(
            "echo: another port in Host",
            "GET /echo HTTP/1.1\r\nHost: localhost:9\r\nUser-Agent: x\r\n\r\n",
        ),
        case("echo: a length", "POST /echo").body("text/plain", "hello"),
        case("echo: a length of 0", "POST /echo").with("Content-Length: 0"),
        case("echo: no length", "POST /echo"),
        case("echo: a body with DELETE", "DELETE /echo").json("{}"),
        case("echo: a body with GET", "GET /echo").json("{}"),
        case("echo: a body with HEAD", "HEAD /echo").json("{}"),
        case("echo: an unknown method", "FROB /echo").body("text/plain", "hello"),
        case("echo: 1 MiB", "PUT /echo").body("application/octet-stream", vec![7; 1 << 20]),
        case("echo: chunks", "POST /echo")
            .with("Transfer-Encoding: chunked")
            .followed_by(chunks),
        case("echo: no chunks", "POST /echo")
            .with("Transfer-Encoding: chunked")
            .followed_by("0\r\n\r\n"),
        case("echo: chunks with trailers", "POST /echo")
            .with("Transfer-Encoding: chunked\r\nTrailer: X-Sum")
            .followed_by(trailers),
        case("echo: trailers unannounced", "POST /echo")
            .with("Transfer-Encoding: chunked")
            .followed_by(trailers),
        case("echo: chunks with GET", "GET /echo")
            .with("Transfer-Encoding: chunked")
            .followed_by(chunks),
        case("echo: a length and chunks", "POST /echo")
            .with("Content-Length: 3\r\nTransfer-Encoding: chunked")
            .followed_by(chunks),
        case("echo: an expectation", "POST /echo")
            .expecting()
            .body("text/plain", "hello"),
        case("echo: an expectation and chunks", "POST /echo")
            .with("Transfer-Encoding: chunked")
            .expecting()
            .followed_by(chunks),
        case("echo: an expectation without a body", "GET /echo").with("Expect: 100-continue"),
        echo(
            "echo: hop-by-hop headers",
            "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nProxy-Authenticate: x\r\nTE: gzip",
        ),
        echo(
            "echo: headers named in Connection",
            "Connection: X-Hop, X-Hop-Two, close\r\nX-Hop: 1\r\nX-Hop-Two: 2\r\nX-Kept: 3",
        ),
        echo(
            "echo: Authorization named in Connection",
            "Connection: Authorization\r\nAuthorization: Bearer caller",
        ),
        echo(
            "echo: Host named in Connection",
            "Connection: Host, User-Agent",
        ),
        echo(
            "echo: X-Forwarded-For named in Connection",
            "Connection: X-Forwarded-For\r\nX-Forwarded-For: 10.1.2.3",
        ),
        echo(
            "echo: an upgrade that Connection does not name",
            "Upgrade: websocket",
        ),
        echo(
            "echo: Connection names an upgrade that there is not",
            "Connection: Upgrade",
        ),
        echo("echo: TE: trailers", "TE: trailers"),
        echo(
            "echo: TE: trailers among others",
            "TE: gzip, trailers;q=0.5",
        ),
        echo("echo: X-Forwarded-For", "X-Forwarded-For: 10.1.2.3"),
        echo(
            "echo: two of X-Forwarded-For",
            "X-Forwarded-For: 10.1.2.3\r\nX-Forwarded-For: 10.4.5.6, 10.7.8.9",
        ),
        echo("echo: an empty X-Forwarded-For", "X-Forwarded-For:"),
        echo(
            "echo: other forwarding headers",
            "X-Forwarded-Host: a\r\nX-Forwarded-Proto: https\r\nX-Real-Ip: 10.1.2.3\r\nForwarded: for=10.1.2.3\r\nVia: 1.1 x",
        ),
        echo("echo: Accept-Encoding", "Accept-Encoding: br, gzip;q=0.5"),
        echo("echo: a range", "Range: bytes=0-1"),
        echo(
            "echo: the caller's own Authorization",
            "Authorization: Bearer caller",
        ),
        echo("echo: an empty Authorization", "Authorization:"),
        echo(
            "echo: two of Authorization",
            "Authorization: Bearer one\r\nAuthorization: Bearer two",
        ),
        echo(
            "echo: impersonation",
            "Impersonate-User: jane\r\nImpersonate-Group: a\r\nImpersonate-Group: b\r\nImpersonate-Extra-scopes: c",
        ),
        echo(
            "echo: the same header twice",
            "X-Twice: 1\r\nX-Twice: 2\r\nX-TWICE: 3",
        ),
        echo("echo: cookies", "Cookie: a=b\r\nCookie: c=d"),
        echo("echo: white space around a value", "X-Space:    a  b\t  "),
        echo("echo: an empty value", "X-Empty:"),
        echo("echo: bytes above ASCII", "X-Latin: é"),
        echo("echo: odd characters in a name", "x!#$%&'*+-.^_`|~1: odd"),
        echo(
            "echo: conditions and cache control",
            "If-None-Match: \"x\"\r\nIf-Modified-Since: Thu, 01 Jan 1998 00:00:00 GMT\r\nCache-Control: no-cache\r\nPragma: no-cache",
        ),
        echo(
            "echo: a front proxy's headers",
            "X-Remote-User: root\r\nX-Remote-Group: system:masters",
        ),
    ]
}

fn targets() -> Vec<Case> {
    vec![
        case("target: the root", "GET /"),
        case("target: a query", "GET /a?b=c&d=%20+%2f"),
        case("target: an encoded letter", "GET /%61%2D%7e"),
        case("target: an encoded slash", "GET /a%2Fb%2fc"),
        case("target: encoded dots", "GET /a/%2e%2e/b"),
        case("target: dots beside an encoded slash", "GET /a/..%2fb"),
        case("target: an encoded percent sign", "GET /a%25%32%66"),
        case("target: encoded UTF-8", "GET /%C3%A9"),
        case("target: raw UTF-8", "GET /é?é"),
        case("target: an encoded zero", "GET /a%00b"),
        case("target: an encoded space and a plus", "GET /a%20b+c"),
        case("target: semicolons", "GET /a;b=c?d;e"),
        case("target: a lone question mark", "GET /a?"),
        case("target: two question marks", "GET /a??b"),
        case("target: a malformed query", "GET /a?%zz&b=%"),
        case("target: sub-delimiters", "GET /a!$&'()*,=:@~b"),
        case(
            "target: characters that should be encoded",
            "GET /a\"<>[]^`{|}\\b?\"<>[]^`{|}\\",
        ),
        case("target: a fragment", "GET /a#b"),
        case("target: absolute", "GET http://localhost:1/a?b"),
        case("target: absolute without a path", "GET http://localhost?b"),
        case("target: an asterisk", "OPTIONS *"),
        case("target: a colon", "GET /a:b/c:"),
        case(
            "target: an authority in the path",
            "GET /http://evil.example/x",
        ),
    ]
}

fn answers() -> Vec<Case> {
    let odd = |name, manner: &str| case(name, &format!("GET /odd/{manner}"));
    vec![
        case("answer: to HEAD", "HEAD /echo"),
        odd("answer: trailers", "trailers"),
        odd("answer: trailers asked for", "trailers").with("TE: trailers"),
        odd("answer: hop-by-hop headers", "hop"),
        odd("answer: a redirect elsewhere", "redirect"),
        odd("answer: an interim one before", "interim"),
        odd("answer: 204", "nothing"),
        odd("answer: 304", "unchanged"),
        odd("answer: packed, as asked", "packed").with("Accept-Encoding: gzip"),
        odd("answer: cookies and warnings", "cookies"),
        odd("answer: without a type", "untyped"),
        odd("answer: an unknown status", "reason"),
        odd("answer: 503 with Retry-After", "unavailable"),
        odd("answer: 429 with Retry-After", "throttled"),
        odd("answer: until the connection's end", "closing"),
        odd("answer: none", "hangup"),
        odd("answer: not HTTP", "garbage"),
        odd("answer: too short", "short"),
        case("answer: none to a body", "POST /odd/hangup").json("{}"),
        case("answer: before the body was read", "POST /odd/early")
            .body("text/plain", vec![b'x'; 100_000]),
        // Not here: a body announced (`Expect`) and refused. kubectl answers or hangs, as it comes.
    ]
}

fn upgrades() -> Vec<Case> {
    vec![
        case("upgrade: refused with 403", "GET /tunnel?answer=403").with(WEBSOCKET),
        case("upgrade: SPDY refused with 403", "POST /tunnel?answer=403").with(SPDY),
        case(
            "upgrade: answered as if not asked for",
            "GET /tunnel?answer=200",
        )
        .with(WEBSOCKET),
        case("upgrade: none asked for", "GET /tunnel"),
    ]
}

/// Where the requests go with a server path in the kubeconfig.
pub fn server_path() -> Group {
    Group::new(
        "a server path",
        &[],
        vec![
            case("server path: put before", "GET /api"),
            case("server path: there already", "GET /k8s/clusters/c-1/api"),
            case("server path: exec", "GET /api/v1/namespaces/x/pods/x/exec"),
            case(
                "server path: exec below it",
                "GET /k8s/clusters/c-1/api/v1/namespaces/x/pods/x/exec",
            ),
            case("server path: the root", "GET /"),
            case("server path: an encoded slash", "GET /a%2Fb"),
        ],
    )
}

/// The same with `--append-server-path`.
pub fn appended_server_path() -> Group {
    Group::new(
        "an appended server path",
        &["--append-server-path"],
        vec![
            case("appended path: put before", "GET /api?x=1"),
            case(
                "appended path: put before again",
                "GET /k8s/clusters/c-1/api",
            ),
            case("appended path: the root", "GET /"),
            case("appended path: an encoded slash", "GET /a%2Fb"),
            case(
                "appended path: exec",
                "GET /api/v1/namespaces/x/pods/x/exec",
            ),
            case(
                "appended path: an upgrade refused",
                "GET /tunnel?answer=403",
            )
            .with(WEBSOCKET),
        ],
    )
    .since(23)
}

/// With other credentials.
pub fn impersonating() -> Group {
    Group::new(
        "a user that impersonates",
        &[],
        vec![
            case("as: added", "GET /echo"),
            echo(
                "as: not added to the caller's own",
                "Authorization: Bearer caller",
            ),
            echo(
                "as: the caller impersonates by itself",
                "Impersonate-User: john",
            ),
        ],
    )
}

/// A user with a name and password.
pub fn basic() -> Group {
    Group::new(
        "a user with a password",
        &[],
        vec![
            case("basic: added", "GET /echo"),
            echo(
                "basic: not added to the caller's own",
                "Authorization: Bearer caller",
            ),
        ],
    )
}

/// Nobody listens where the kubeconfig leads.
pub fn down() -> Group {
    Group::new(
        "no upstream",
        &[],
        vec![
            case("down: GET", "GET /api"),
            case("down: HEAD", "HEAD /api"),
            case("down: POST", "POST /api").json("{}"),
            case("down: a WebSocket", "GET /api").with(WEBSOCKET),
            case(
                "down: a refused path",
                "GET /api/v1/namespaces/x/pods/x/exec",
            ),
        ],
    )
}
