//! Where attache answers otherwise than `kubectl proxy`, on purpose. Whatever is not here is equal,
//! and what is here must differ as it says. `docs/kubectl-proxy.md` has the reasons.

/// Which versions of kubectl.
#[derive(Debug, Clone, Copy)]
pub enum Of {
    Any,
    /// Minor versions below this.
    Before(u32),
    /// This minor version and later.
    From(u32),
    /// The first and later, but before the second.
    Between(u32, u32),
    /// All others.
    Except(u32, u32),
}

impl Of {
    pub fn holds(self, minor: u32) -> bool {
        match self {
            Self::Any => true,
            Self::Before(first) => minor < first,
            Self::From(first) => minor >= first,
            Self::Between(first, end) => (first..end).contains(&minor),
            Self::Except(first, end) => !(first..end).contains(&minor),
        }
    }
}

/// What an answer has, or has not.
#[derive(Debug)]
pub enum Part {
    Has(&'static str),
    Lacks(&'static str),
}

impl Part {
    pub fn of(&self, answer: &str) -> bool {
        match self {
            Self::Has(text) => answer.contains(text),
            Self::Lacks(text) => !answer.contains(text),
        }
    }
}

use Part::{Has, Lacks};

/// What both do in some cases.
#[derive(Debug)]
pub struct Difference {
    pub cases: &'static [&'static str],
    pub of: Of,
    /// All hold for kubectl's answer, and not all for attache's.
    pub kubectl: &'static [Part],
    /// All hold for attache's answer, and not all for kubectl's.
    pub attache: &'static [Part],
    /// The first cell of its row in the documentation's table.
    pub why: &'static str,
}

/// A line of what the upstream receives that differs in request after request.
#[derive(Debug)]
pub struct Rule {
    pub of: Of,
    /// How kubectl's line begins.
    pub kubectl: &'static str,
    /// How attache's begins that stands in its place; empty: there is none.
    pub attache: &'static str,
    /// As in [`Difference`].
    pub why: &'static str,
}

/// Words that kubectl uses where attache uses others, and that count as the same.
#[derive(Debug)]
pub struct Words {
    pub of: Of,
    pub kubectl: &'static str,
    pub attache: &'static str,
    /// As in [`Difference`].
    pub why: &'static str,
}

pub const WORDS: &[Words] = &[
    Words {
        of: Of::Before(36),
        kubectl: "status 301\n",
        attache: "status 307\n",
        why: REDIRECT,
    },
    Words {
        of: Of::Before(36),
        kubectl: ">Moved Permanently</a>",
        attache: ">Temporary Redirect</a>",
        why: REDIRECT,
    },
];

pub const RULES: &[Rule] = &[
    Rule {
        of: Of::Any,
        kubectl: "accept-encoding: gzip",
        attache: "",
        why: "A request without `Accept-Encoding`",
    },
    Rule {
        of: Of::Before(21),
        kubectl: "host: PROXY",
        attache: "host: UPSTREAM",
        why: "`Host` as the API server gets it",
    },
    Rule {
        of: Of::Before(21),
        kubectl: "host: localhost",
        attache: "host: UPSTREAM",
        why: "`Host` as the API server gets it",
    },
    Rule {
        of: Of::Any,
        kubectl: "user-agent: kubectl/",
        attache: "user-agent: attache/",
        why: "A request without `User-Agent`",
    },
    Rule {
        of: Of::Any,
        kubectl: "sized body",
        attache: "framing Chunked",
        why: "How a body's length is told",
    },
    Rule {
        of: Of::Any,
        kubectl: "framing Chunked",
        attache: "sized body",
        why: "How a body's length is told",
    },
    Rule {
        of: Of::Any,
        kubectl: "framing Close",
        attache: "sized body",
        why: "How a body's length is told",
    },
    Rule {
        of: Of::Any,
        kubectl: "",
        attache: "etag: \"",
        why: "`ETag` of static files",
    },
];

const NOT_HTTP: &str = "Requests that are not valid HTTP";
const ENCODED_DOTS: &str = "Encoded dots";
const DOWN: &str = "The API server is down or answers with garbage";
const OWN: &str = "A caller with its own `Authorization`";
const FOREIGN: &str = "Pages from elsewhere (`Origin`)";
const ABSOLUTE: &str = "Absolute targets";
const PATH: &str = "A server path in the kubeconfig";
const EMPTY: &str = "Empty lists (`--reject-paths=`)";
const FILES: &str = "Static files";
const FILES_404: &str = "The text of an error among static files";
const TUNNEL: &str = "A tunnel's other half";
const INTERIM: &str = "Interim answers (1xx)";
const REDIRECT: &str = "A redirect's status";
const HOP: &str = "Hop-by-hop headers of an upgrade";

const FORBIDDEN: &[Part] = &[Has("status 403"), Has("\n\nForbidden\n")];

pub const DIFFERENCES: &[Difference] = &[
    // === The path ===
    Difference {
        cases: &[
            "encoded dots",
            "encoded dots and a slash",
            "an encoded dot",
            "dots and an encoded slash",
            "target: encoded dots",
            "target: dots beside an encoded slash",
        ],
        of: Of::Before(30),
        kubectl: &[Has("status 301"), Has("location: /")],
        attache: FORBIDDEN,
        why: ENCODED_DOTS,
    },
    Difference {
        cases: &["a backslash"],
        of: Of::Any,
        kubectl: &[Has("status 404"), Has("not found")],
        attache: FORBIDDEN,
        why: "A literal backslash in a path",
    },
    Difference {
        cases: &["encoded dots"],
        of: Of::From(30),
        kubectl: &[Has("status 400"), Has("Name parameter invalid")],
        attache: FORBIDDEN,
        why: ENCODED_DOTS,
    },
    Difference {
        cases: &[
            "encoded dots and a slash",
            "an encoded dot",
            "dots and an encoded slash",
        ],
        of: Of::From(30),
        kubectl: &[Has("status 404")],
        attache: FORBIDDEN,
        why: ENCODED_DOTS,
    },
    Difference {
        cases: &["target: encoded dots"],
        of: Of::From(30),
        kubectl: &[Has("GET /a/%2e%2e/b HTTP/1.1")],
        attache: FORBIDDEN,
        why: ENCODED_DOTS,
    },
    Difference {
        cases: &["target: dots beside an encoded slash"],
        of: Of::From(30),
        kubectl: &[Has("GET /a/..%2fb HTTP/1.1")],
        attache: FORBIDDEN,
        why: ENCODED_DOTS,
    },
    Difference {
        cases: &["a double slash and an encoded letter"],
        of: Of::Before(30),
        kubectl: &[Has("status 307"), Has("location: /api/v1\n")],
        attache: &[Has("status 307"), Has("location: /api/%761\n")],
        why: "A redirect's encoding",
    },
    Difference {
        cases: &["a double slash and an encoded letter"],
        of: Of::From(30),
        kubectl: &[Has("status 307"), Has("location: /api/%25761\n")],
        attache: &[Has("status 307"), Has("location: /api/%761\n")],
        why: "A redirect's encoding",
    },
    Difference {
        cases: &["exec after an encoded line break"],
        of: Of::Any,
        kubectl: &[Has("status 404"), Has("pods")],
        attache: FORBIDDEN,
        why: "An encoded line break in a path",
    },
    Difference {
        cases: &["a fragment"],
        of: Of::Any,
        kubectl: &[Has("status 404")],
        attache: &[Has("status 200"), Has("gitVersion")],
        why: "A fragment in the target",
    },
    Difference {
        cases: &["target: a fragment"],
        of: Of::Any,
        kubectl: &[Has("GET /a%23b HTTP/1.1")],
        attache: &[Has("GET /a HTTP/1.1")],
        why: "A fragment in the target",
    },
    Difference {
        cases: &["target: raw UTF-8"],
        of: Of::Any,
        kubectl: &[Has("GET /%C3%A9?é HTTP/1.1")],
        attache: &[Has("GET /é?é HTTP/1.1")],
        why: "Raw bytes above ASCII in a path",
    },
    Difference {
        cases: &["a malformed escape", "a cut escape"],
        of: Of::Any,
        kubectl: &[Has("status 400"), Lacks("hexadecimal")],
        attache: &[
            Has("status 400"),
            Has("a % in the path is not followed by two hexadecimal digits"),
        ],
        why: NOT_HTTP,
    },
    Difference {
        cases: &["characters that should be encoded"],
        of: Of::Any,
        kubectl: &[Has("status 404")],
        attache: &[Has("status 400")],
        why: NOT_HTTP,
    },
    Difference {
        cases: &["target: characters that should be encoded"],
        of: Of::Any,
        kubectl: &[
            Has("status 200"),
            Has("GET /a%22%3C%3E%5B%5D%5E%60%7B%7C%7D%5Cb"),
        ],
        attache: &[Has("status 400")],
        why: NOT_HTTP,
    },
    Difference {
        cases: &["a target that begins with a question mark", "a raw space"],
        of: Of::Any,
        kubectl: &[Has("status 400"), Has("400 Bad Request")],
        attache: &[Has("status 400"), Lacks("Bad Request")],
        why: NOT_HTTP,
    },
    Difference {
        cases: &["a target without a slash"],
        of: Of::Any,
        kubectl: &[Has("status 400")],
        attache: &[Has("status 403")],
        why: NOT_HTTP,
    },
    Difference {
        cases: &["options with an asterisk", "target: an asterisk"],
        of: Of::Any,
        kubectl: &[Has("status 200")],
        attache: &[
            Has("status 400"),
            Has("not a path that begins with a slash"),
        ],
        why: "`OPTIONS *` and `CONNECT`",
    },
    Difference {
        cases: &["connect to an authority"],
        of: Of::Except(30, 36),
        kubectl: &[Has("status 404"), Has("404 page not found")],
        attache: FORBIDDEN,
        why: "`OPTIONS *` and `CONNECT`",
    },
    Difference {
        cases: &["connect to an authority"],
        of: Of::Between(30, 36),
        kubectl: &[Has("status 301"), Has("location: /\n")],
        attache: FORBIDDEN,
        why: "`OPTIONS *` and `CONNECT`",
    },
    Difference {
        cases: &["connect to a path"],
        of: Of::Any,
        // The API server's: 1.20 lists its paths, later ones say "page not found".
        kubectl: &[Has("status 404"), Has("cache-control: no-cache, private")],
        attache: &[Has("status 400"), Has("attache opens no tunnels")],
        why: "`OPTIONS *` and `CONNECT`",
    },
    Difference {
        cases: &[
            "an absolute target of https",
            "an absolute target of another scheme",
        ],
        of: Of::Any,
        kubectl: &[Has("status 200"), Has("gitVersion")],
        attache: &[
            Has("status 400"),
            Has("attache is no proxy for other schemes"),
        ],
        why: ABSOLUTE,
    },
    Difference {
        cases: &[
            "an absolute target without a path",
            "target: absolute without a path",
        ],
        of: Of::Before(36),
        kubectl: &[Has("status 301"), Has("location: /")],
        attache: &[Has("status 200")],
        why: ABSOLUTE,
    },
    Difference {
        cases: &[
            "an absolute target without a path",
            "target: absolute without a path",
        ],
        of: Of::From(36),
        kubectl: &[Has("status 307"), Has("location: /")],
        attache: &[Has("status 200")],
        why: ABSOLUTE,
    },
    // === Who asks ===
    Difference {
        cases: &["the IPv6 loopback and a port"],
        of: Of::Any,
        kubectl: FORBIDDEN,
        attache: &[Has("status 200"), Has("gitVersion")],
        why: "`Host: [::1]:8001`",
    },
    Difference {
        cases: &["an absolute target with another host and double slash"],
        of: Of::Before(36),
        kubectl: &[Has("status 301"), Has("location: /version")],
        attache: FORBIDDEN,
        why: "The Host filter and redirects",
    },
    Difference {
        cases: &["an absolute target with another host and double slash"],
        of: Of::From(36),
        kubectl: &[Has("status 307"), Has("location: /version")],
        attache: FORBIDDEN,
        why: "The Host filter and redirects",
    },
    Difference {
        cases: &["prefix: another host outside it"],
        of: Of::Any,
        kubectl: &[Has("status 404")],
        attache: FORBIDDEN,
        why: "The Host filter and redirects",
    },
    Difference {
        cases: &["a file by another host"],
        of: Of::Any,
        kubectl: &[Has("status 200"), Has("a text")],
        attache: FORBIDDEN,
        why: "The Host filter and redirects",
    },
    Difference {
        cases: &["no host"],
        of: Of::Any,
        kubectl: &[Has("status 400"), Has("missing required Host header")],
        attache: &[Has("status 400"), Has("HTTP/1.1 requires a Host header")],
        why: NOT_HTTP,
    },
    Difference {
        cases: &["two hosts", "the same host twice"],
        of: Of::Any,
        kubectl: &[Has("status 400"), Lacks("send one")],
        attache: &[Has("status 400"), Has("send one Host header, not several")],
        why: NOT_HTTP,
    },
    Difference {
        cases: &["a host with user info", "a host with a path"],
        of: Of::Any,
        kubectl: &[Has("status 400"), Has("malformed Host header")],
        attache: FORBIDDEN,
        why: NOT_HTTP,
    },
    Difference {
        cases: &["a port that is none"],
        of: Of::Any,
        kubectl: &[Has("status 200")],
        attache: FORBIDDEN,
        why: NOT_HTTP,
    },
    Difference {
        cases: &["an origin"],
        of: Of::Any,
        kubectl: &[Has("status 200")],
        attache: FORBIDDEN,
        why: FOREIGN,
    },
    Difference {
        cases: &["a preflight"],
        of: Of::Any,
        kubectl: &[Has("status 405")],
        attache: FORBIDDEN,
        why: FOREIGN,
    },
    Difference {
        cases: &["an invalid token beside the proxy's certificate"],
        of: Of::Any,
        kubectl: &[Has("status 200"), Has("ConfigMap")],
        attache: &[Has("status 401"), Has("Unauthorized")],
        why: OWN,
    },
    Difference {
        cases: &["basic authentication beside the proxy's certificate"],
        of: Of::Any,
        kubectl: &[Has("status 200"), Has("ConfigMap")],
        attache: &[Has("status 403"), Has("system:anonymous")],
        why: OWN,
    },
    Difference {
        cases: &["tokens: an empty one"],
        of: Of::Any,
        kubectl: &[Has("status 404")],
        attache: &[Has("status 403"), Has("system:anonymous")],
        why: OWN,
    },
    Difference {
        cases: &["echo: an empty Authorization"],
        of: Of::Any,
        kubectl: &[Has("\nauthorization: Bearer proxys-own\n")],
        attache: &[Has("\nauthorization: \n")],
        why: OWN,
    },
    Difference {
        cases: &["echo: Authorization named in Connection"],
        of: Of::Any,
        kubectl: &[Has("\nauthorization: Bearer proxys-own\n")],
        attache: &[Has("GET /echo HTTP/1.1"), Lacks("authorization")],
        why: OWN,
    },
    Difference {
        cases: &["as: not added to the caller's own"],
        of: Of::Any,
        kubectl: &[
            Has("authorization: Bearer caller"),
            Has("impersonate-user: jane"),
        ],
        attache: &[Has("authorization: Bearer caller"), Lacks("impersonate")],
        why: OWN,
    },
    // === Malformed requests ===
    Difference {
        cases: &["HTTP/2.0 in words"],
        of: Of::Any,
        kubectl: &[Has("status 505")],
        attache: &[Has("status 400"), Lacks("Bad Request")],
        why: NOT_HTTP,
    },
    Difference {
        cases: &["HTTP/1.2"],
        of: Of::Any,
        kubectl: &[Has("status 200")],
        attache: &[Has("status 400"), Lacks("Bad Request")],
        why: NOT_HTTP,
    },
    Difference {
        cases: &["an unknown transfer coding"],
        of: Of::Any,
        kubectl: &[Has("status 501")],
        attache: &[Has("status 400"), Lacks("Bad Request")],
        why: NOT_HTTP,
    },
    Difference {
        cases: &[
            "two lengths that differ",
            "a negative length",
            "a header with a space before the colon",
            "a header without a colon",
        ],
        of: Of::Any,
        kubectl: &[Has("status 400"), Has("\n\n400 Bad Request")],
        attache: &[Has("status 400"), Lacks("Bad Request")],
        why: NOT_HTTP,
    },
    Difference {
        cases: &["a folded header"],
        of: Of::Any,
        kubectl: &[Has("status 200")],
        attache: &[Has("status 400"), Lacks("Bad Request")],
        why: NOT_HTTP,
    },
    Difference {
        cases: &["malformed chunks"],
        of: Of::Any,
        kubectl: &[Has("status 500"), Has("invalid byte in chunk length")],
        attache: &[Has("status 400"), Has("400 Bad Request")],
        why: NOT_HTTP,
    },
    // === Headers and bodies on their way ===
    Difference {
        cases: &["echo: an empty User-Agent"],
        of: Of::Any,
        kubectl: &[Lacks("\nuser-agent: \n")],
        attache: &[Has("\nuser-agent: \n")],
        why: "An empty second `User-Agent`",
    },
    Difference {
        cases: &["echo: chunks with trailers"],
        of: Of::Any,
        kubectl: &[Lacks("trailer x-sum: 5\n")],
        attache: &[Has("body \"hello\"\ntrailer x-sum: 5\n")],
        why: "Trailers",
    },
    Difference {
        cases: &["answer: trailers"],
        of: Of::Any,
        kubectl: &[Has("trailer x-sum: 5\n\nhello")],
        attache: &[Has("\n\nhello"), Lacks("trailer x-sum")],
        why: "Trailers",
    },
    Difference {
        cases: &["answer: without a type"],
        of: Of::Any,
        kubectl: &[Has("content-type: text/html; charset=utf-8\n")],
        attache: &[Has("status 200"), Lacks("content-type")],
        why: "An answer without `Content-Type`",
    },
    Difference {
        cases: &["server path: put before"],
        of: Of::Any,
        kubectl: &[Has("GET /api HTTP/1.1")],
        attache: &[Has("GET /k8s/clusters/c-1/api HTTP/1.1")],
        why: PATH,
    },
    Difference {
        cases: &["server path: the root"],
        of: Of::Any,
        kubectl: &[Has("GET / HTTP/1.1")],
        attache: &[Has("GET /k8s/clusters/c-1/ HTTP/1.1")],
        why: PATH,
    },
    Difference {
        cases: &["server path: an encoded slash"],
        of: Of::Any,
        kubectl: &[Has("GET /a%2Fb HTTP/1.1")],
        attache: &[Has("GET /k8s/clusters/c-1/a%2Fb HTTP/1.1")],
        why: PATH,
    },
    Difference {
        cases: &["server path: exec below it"],
        of: Of::Any,
        kubectl: &[Has(
            "GET /k8s/clusters/c-1/api/v1/namespaces/x/pods/x/exec HTTP/1.1",
        )],
        attache: FORBIDDEN,
        why: PATH,
    },
    Difference {
        cases: &["echo: an expectation without a body"],
        of: Of::From(27),
        kubectl: &[Has("interim 100")],
        attache: &[Lacks("interim 100")],
        why: INTERIM,
    },
    Difference {
        cases: &["answer: an interim one before"],
        of: Of::From(27),
        kubectl: &[Has("interim 103")],
        attache: &[Lacks("interim 103")],
        why: INTERIM,
    },
    // === The upstream fails ===
    Difference {
        cases: &["down: GET", "down: POST", "down: a WebSocket"],
        of: Of::Any,
        kubectl: &[Has("status 500"), Has("connection refused")],
        attache: &[
            Has("status 502"),
            Has("\"kind\":\"Status\""),
            Has("\"reason\":\"BadGateway\""),
        ],
        why: DOWN,
    },
    Difference {
        cases: &["down: HEAD"],
        of: Of::Any,
        kubectl: &[Has("status 500"), Has("content-type: text/plain")],
        attache: &[Has("status 502"), Has("content-type: application/json")],
        why: DOWN,
    },
    Difference {
        cases: &["answer: none", "answer: none to a body", "answer: not HTTP"],
        of: Of::Any,
        kubectl: &[Has("status 500"), Has("content-type: text/plain")],
        attache: &[
            Has("status 502"),
            Has("\"kind\":\"Status\""),
            Has("\"reason\":\"BadGateway\""),
        ],
        why: DOWN,
    },
    Difference {
        cases: &["answer: too short"],
        of: Of::Any,
        kubectl: &[Has("closed without an answer")],
        attache: &[Has("status 200"), Has("torn"), Has("\n\nshort")],
        why: DOWN,
    },
    // === Upgrades ===
    Difference {
        cases: &["upgrade: answered as if not asked for"],
        of: Of::Any,
        kubectl: &[
            Has("status 500"),
            Has("invalid upgrade response: status code 200"),
        ],
        attache: &[Has("status 200"), Has("ordinary")],
        why: "An upgrade that the API server answers without upgrading",
    },
    Difference {
        cases: &["echo: Connection names an upgrade that there is not"],
        of: Of::Any,
        kubectl: &[
            Has("status 500"),
            Has("invalid upgrade response: status code 200"),
        ],
        attache: &[Has("status 200"), Has("GET /echo HTTP/1.1")],
        why: "An upgrade that the API server answers without upgrading",
    },
    Difference {
        cases: &["tunnel: an unknown protocol"],
        of: Of::Any,
        kubectl: &[Has("connection: keep-alive, upgrade\n")],
        attache: &[Has("\nconnection: Upgrade\n"), Lacks("keep-alive")],
        why: HOP,
    },
    Difference {
        cases: &["tunnel: forwarded and hop-by-hop headers"],
        of: Of::Any,
        kubectl: &[Has("keep-alive: timeout=5"), Has("proxy-connection: x")],
        attache: &[Lacks("keep-alive"), Lacks("proxy-connection")],
        why: HOP,
    },
    Difference {
        cases: &["tunnel: bytes right after the request"],
        of: Of::Any,
        kubectl: &[Has("echo \"ping.\"")],
        attache: &[Has("echo \"early ping.\"")],
        why: TUNNEL,
    },
    Difference {
        cases: &["tunnel: a half-close"],
        of: Of::Any,
        kubectl: &[Has("after it \"\"")],
        attache: &[Has("after it \"bye\"")],
        why: TUNNEL,
    },
    // === Flags ===
    Difference {
        cases: &["empty lists: nothing is rejected"],
        of: Of::Before(21),
        kubectl: FORBIDDEN,
        attache: &[Has("status 422")],
        why: EMPTY,
    },
    Difference {
        cases: &["empty lists: exec"],
        of: Of::Before(21),
        kubectl: FORBIDDEN,
        attache: &[Has("status 404")],
        why: EMPTY,
    },
    Difference {
        cases: &["no path is accepted"],
        of: Of::Before(21),
        kubectl: &[Has("status 200")],
        attache: FORBIDDEN,
        why: EMPTY,
    },
    // === Static files ===
    Difference {
        cases: &["a text by POST"],
        of: Of::Any,
        kubectl: &[Has("status 200"), Has("a text")],
        attache: &[Has("status 405"), Has("allow: GET, HEAD")],
        why: FILES,
    },
    Difference {
        cases: &["a text of no known type", "a hidden file", "an empty file"],
        of: Of::Any,
        kubectl: &[Has("content-type: text/plain; charset=utf-8\n")],
        attache: &[Has("content-type: application/octet-stream\n")],
        why: FILES,
    },
    Difference {
        cases: &["a directory without its slash"],
        of: Of::Before(36),
        kubectl: &[Has("status 301"), Has("location: /static/\n")],
        attache: &[Has("status 301"), Has("location: ./static/\n")],
        why: FILES,
    },
    Difference {
        cases: &["a directory without its slash"],
        of: Of::From(36),
        kubectl: &[Has("status 307"), Has("location: /static/\n")],
        attache: &[Has("status 301"), Has("location: ./static/\n")],
        why: FILES,
    },
    Difference {
        cases: &["a directory below without its slash"],
        of: Of::Any,
        kubectl: &[Has("status 301"), Has("location: site/\n")],
        attache: &[Has("status 301"), Has("location: ./site/\n")],
        why: FILES,
    },
    Difference {
        cases: &["a directory without an index"],
        of: Of::Any,
        kubectl: &[Has("status 200"), Has("<a href=\"b.txt\">")],
        attache: &[Has("status 404")],
        why: FILES,
    },
    Difference {
        cases: &["an index by its name"],
        of: Of::Any,
        kubectl: &[Has("status 301"), Has("location: ./\n")],
        attache: &[Has("status 200"), Has("<p>index")],
        why: FILES,
    },
    Difference {
        cases: &["a file with a slash"],
        of: Of::Any,
        kubectl: &[Has("status 301"), Has("location: ../a.txt")],
        attache: &[Has("status 404")],
        why: FILES,
    },
    Difference {
        cases: &["two ranges"],
        of: Of::Any,
        kubectl: &[Has("status 206"), Has("multipart/byteranges")],
        attache: &[Has("status 200"), Has("\n\na text")],
        why: FILES,
    },
    Difference {
        cases: &["a link out of the root"],
        of: Of::Any,
        kubectl: &[Has("status 200"), Has("secret")],
        attache: &[Has("status 404")],
        why: FILES,
    },
    Difference {
        cases: &["an encoded zero in a file's name"],
        of: Of::Before(36),
        kubectl: &[Has("status 500")],
        attache: &[Has("status 404")],
        why: FILES,
    },
    Difference {
        cases: &[
            "encoded dots out of the root",
            "encoded dots and slashes out of the root",
        ],
        of: Of::Before(30),
        kubectl: &[Has("status 301"), Has("location: /secret")],
        attache: &[Has("status 404")],
        why: ENCODED_DOTS,
    },
    Difference {
        cases: &[
            "no such file: 404",
            "backslashes",
            "files are outside the filter",
        ],
        of: Of::Any,
        kubectl: &[Has("status 404"), Has("404 page not found")],
        attache: &[Has("status 404"), Has("404 Not Found")],
        why: FILES_404,
    },
    Difference {
        cases: &[
            "encoded dots out of the root",
            "encoded dots and slashes out of the root",
        ],
        of: Of::From(30),
        kubectl: &[Has("status 404"), Has("404 page not found")],
        attache: &[Has("status 404"), Has("404 Not Found")],
        why: FILES_404,
    },
    Difference {
        cases: &["an encoded zero in a file's name"],
        of: Of::From(36),
        kubectl: &[Has("status 404"), Has("404 page not found")],
        attache: &[Has("status 404"), Has("404 Not Found")],
        why: FILES_404,
    },
    Difference {
        cases: &["a range out of reach: 416"],
        of: Of::Any,
        kubectl: &[Has("status 416"), Has("invalid range")],
        attache: &[Has("status 416"), Has("416 Range Not Satisfiable")],
        why: FILES_404,
    },
    Difference {
        cases: &["a malformed range"],
        of: Of::Any,
        kubectl: &[Has("status 416"), Has("invalid range")],
        attache: &[
            Has("status 416"),
            Has("content-range: bytes */6"),
            Has("416 Range Not Satisfiable"),
        ],
        why: FILES_404,
    },
    Difference {
        cases: &["unmodified since: 412"],
        of: Of::Any,
        kubectl: &[Has("status 412"), Has("last-modified")],
        attache: &[Has("status 412"), Has("412 Precondition Failed")],
        why: FILES_404,
    },
];
