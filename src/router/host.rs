//! The Host filter: a web page that makes a browser resolve its own name to loopback
//! still sends its own name.

use http::header::{HOST, ORIGIN};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, Version};
use regex_lite::Regex;

use super::Refusal;

/// What almost every request names. Those that a regex accepts are compared, not matched.
const USUAL: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// Decides by the host that a request names.
pub(super) struct HostFilter {
    usual: Vec<&'static str>,
    accepted: Vec<Regex>,
}

// === impl HostFilter ===

impl HostFilter {
    /// Accepts the hosts that one of `accepted` matches, ports left out.
    pub(super) fn new(accepted: Vec<Regex>) -> Self {
        let accepts = |host: &&str| accepted.iter().any(|regex| regex.is_match(host));
        Self {
            usual: USUAL.into_iter().filter(accepts).collect(),
            accepted,
        }
    }

    /// Refuses what a browser sends for a page from elsewhere (RFC 6454, section 7): the API
    /// server cannot know such a request from the app's, and WebSockets know no other guard.
    pub(super) fn admit_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let is_ours = |origin: &HeaderValue| {
            let origin: Option<Uri> = origin.to_str().ok().and_then(|text| text.parse().ok());
            let authority = origin.as_ref().and_then(Uri::authority);
            authority.is_some_and(|authority| self.matches(without_port(authority.as_str())))
        };
        if headers.get_all(ORIGIN).iter().all(is_ours) {
            return Ok(());
        }
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "a page from elsewhere asks: serve it from localhost, or with --www",
        ))
    }

    fn matches(&self, host: &str) -> bool {
        let accepts = |host| self.accepted.iter().any(|regex| regex.is_match(host));
        self.usual.contains(&host) || accepts(host) || accepts(without_brackets(host))
    }

    /// Refuses a request that names a foreign host, none, or more than one.
    pub(super) fn admit(
        &self,
        uri: &Uri,
        version: Version,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        let authority = named(uri, version, headers)?;
        let host = without_port(authority);
        if self.matches(host) {
            return Ok(());
        }
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            format!(
                "the host {host:?} is not served: use localhost or 127.0.0.1, or start attache \
                 with --accept-hosts"
            ),
        ))
    }
}

/// The authority a request is for: that of its target if it has one, else the Host header's
/// (RFC 9112, sections 3.2 and 3.2.2).
fn named<'a>(uri: &'a Uri, version: Version, headers: &'a HeaderMap) -> Result<&'a str, Refusal> {
    let bad = |detail: &str| Err(Refusal::new(StatusCode::BAD_REQUEST, detail));
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return bad("send one Host header, not several"),
        (Some(host), None) => host.to_str().ok(),
        (None, None) if version == Version::HTTP_11 => {
            return bad("HTTP/1.1 requires a Host header: send Host: localhost");
        }
        (None, None) => None,
    };
    if let Some(authority) = uri.authority() {
        if uri.scheme().is_some_and(|s| *s != Scheme::HTTP) {
            return bad("attache is no proxy for other schemes: ask for a path, or for http://");
        }
        return Ok(authority.as_str());
    }
    // HTTP/1.0 without a Host, and a Host that is not text: no host that is accepted.
    Ok(host.unwrap_or_default())
}

/// Cuts off `:port`. An IPv6 address keeps its brackets.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// `kubectl proxy` takes the brackets off an address with a port, so its users write regexes
/// without them.
fn without_brackets(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    inner.unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_off_ports_and_nothing_else() {
        for (authority, host) in [
            ("localhost:8001", "localhost"),
            ("localhost", "localhost"),
            ("localhost:", "localhost"),
            ("[::1]:8001", "[::1]"),
            ("[::1]", "[::1]"),
            ("localhost:80x", "localhost:80x"),
            ("localhost:80:90", "localhost:80"),
            ("", ""),
        ] {
            assert_eq!(without_port(authority), host, "{authority}");
        }
    }

    fn status(regex: &str, target: &str, hosts: &[&str], version: Version) -> u16 {
        let filter = HostFilter::new(vec![Regex::new(regex).unwrap()]);
        let mut request = http::Request::get(target).version(version);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        filter
            .admit(&parts.uri, parts.version, &parts.headers)
            .map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn the_target_outranks_the_header() {
        let regex = r"^(localhost|127\.0\.0\.1|\[::1\])$";
        let v11 = |target, hosts: &[&str]| status(regex, target, hosts, Version::HTTP_11);
        assert_eq!(v11("/", &["localhost:8001"]), 200);
        assert_eq!(v11("/", &["[::1]"]), 200);
        assert_eq!(v11("/", &["evil.example"]), 403);
        assert_eq!(v11("/", &["localhost.evil.example"]), 403);
        assert_eq!(v11("/", &[""]), 403);
        assert_eq!(v11("/", &[]), 400);
        assert_eq!(v11("/", &["localhost", "localhost"]), 400);
        assert_eq!(v11("http://localhost/", &["evil.example"]), 200);
        assert_eq!(v11("http://evil.example/", &["localhost"]), 403);
        assert_eq!(v11("http://localhost@evil.example/", &["localhost"]), 403);
        assert_eq!(v11("https://localhost/", &["localhost"]), 400);
        assert_eq!(v11("http://localhost/", &[]), 400);
        assert_eq!(status(regex, "/", &[], Version::HTTP_10), 403);
        assert_eq!(status(regex, "/", &["localhost"], Version::HTTP_10), 200);
    }

    #[test]
    fn a_page_from_elsewhere_is_refused() {
        let regexes = [r"^localhost$", r"^\[::1\]$"].map(|regex| Regex::new(regex).unwrap());
        let filter = HostFilter::new(regexes.to_vec());
        let admits = |origins: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for origin in origins {
                headers.append(ORIGIN, HeaderValue::from_static(origin));
            }
            filter.admit_origin(&headers).is_ok()
        };
        assert!(admits(&[]));
        assert!(admits(&["http://localhost:8001"]));
        assert!(admits(&["https://localhost:3000"]));
        assert!(admits(&["http://[::1]:8001"]));
        for foreign in [
            "http://evil.example",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "null",
            "file://",
            "",
            "localhost",
        ] {
            assert_eq!(admits(&[foreign]), foreign == "localhost", "{foreign:?}");
        }
        assert!(!admits(&["http://localhost", "http://evil.example"]));
    }

    #[test]
    fn an_address_is_accepted_with_and_without_its_brackets() {
        for regex in [r"^\[::1\]$", "^::1$"] {
            for host in ["[::1]", "[::1]:8001"] {
                assert_eq!(status(regex, "/", &[host], Version::HTTP_11), 200);
            }
        }
    }

    #[test]
    fn only_what_the_regexes_accept_is_usual() {
        let v11 = |host| status("^app$", "/", &[host], Version::HTTP_11);
        assert_eq!(v11("localhost"), 403);
        assert_eq!(v11("app:80"), 200);
    }
}
