//! The filter and the flags.

use super::battery::maps;
use super::case::{Case, case, raw};
use super::groups::Group;
use super::targets::host;

pub fn filtered() -> Vec<Case> {
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
