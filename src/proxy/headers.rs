//! Which headers go on, and which belong to one connection alone (RFC 9110, section 7.6.1).

use std::net::IpAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, Entry, HOST, HeaderName, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL, TE, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, Version};

use crate::upstream::Identity;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Says who asks, where the caller does not.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("attache/", env!("CARGO_PKG_VERSION")));

/// A bearer token among the protocols of a WebSocket, as pages send it that can set no header: the
/// API server takes it like an Authorization (Kubernetes' `pkg/authentication/request/websocket`).
const WEBSOCKET_BEARER: &str = "base64url.bearer.authorization.k8s.io.";

/// Whose request one with these headers is.
pub(super) fn identity(headers: &HeaderMap) -> Identity {
    let mut protocols = tokens(headers, &SEC_WEBSOCKET_PROTOCOL);
    if headers.contains_key(AUTHORIZATION) || protocols.any(|p| p.starts_with(WEBSOCKET_BEARER)) {
        Identity::Caller
    } else {
        Identity::Own
    }
}

/// The protocol that a request asks to go on with (RFC 9110, section 7.8), if it does.
pub(super) fn upgrade<B>(request: &http::Request<B>) -> Option<HeaderValue> {
    let asks = request.version() == Version::HTTP_11
        && tokens(request.headers(), &CONNECTION)
            .any(|token| token.eq_ignore_ascii_case("upgrade"));
    let protocol = request.headers().get(UPGRADE).filter(|_| asks)?;
    Some(protocol.clone())
}

/// What a request's headers do not say of it.
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    pub(super) has_body: bool,
    /// The protocol it asks to go on with.
    pub(super) upgrade: Option<&'a HeaderValue>,
    /// The caller's address.
    pub(super) peer: Option<IpAddr>,
}

/// Makes a caller's headers those of the request to the API server.
pub(super) fn to_server(headers: &mut HeaderMap, request: &Request<'_>) {
    let takes_trailers = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    let chunked = headers.contains_key(TRANSFER_ENCODING);
    remove_hop_by_hop(headers);
    // The URI names the server.
    headers.remove(HOST);
    if request.has_body && chunked {
        // hyper sends a body of unknown length with GET only where the headers announce it.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    } else if !request.has_body && is_expected_to_have_body(request.method) {
        // RFC 9110, section 8.6.
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = request.upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    if let Some(peer) = request.peer {
        append_forwarded(headers, peer);
    }
    if let Entry::Vacant(agent) = headers.entry(USER_AGENT) {
        agent.insert(AGENT);
    }
}

fn is_expected_to_have_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

/// Makes the API server's headers those of the answer. `closes`: the caller's body was not read,
/// so that no further request can follow it.
pub(super) fn to_client(headers: &mut HeaderMap, closes: bool) {
    remove_hop_by_hop(headers);
    if closes {
        crate::http::close(headers);
    }
}

/// Makes the headers of a 101 those of the answer.
pub(super) fn of_upgrade(headers: &mut HeaderMap) {
    let protocol = headers.get(UPGRADE).cloned();
    remove_hop_by_hop(headers);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
    }
}

/// Whether the caller waits for a 100 before it sends its body (RFC 9110, section 10.1.1).
pub(super) fn expects_continue(headers: &HeaderMap) -> bool {
    tokens(headers, &EXPECT).any(|token| token.eq_ignore_ascii_case("100-continue"))
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter_map(|token| token.parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    // A body in chunks has no length that was told (RFC 9112, section 6.2).
    if headers.remove(TRANSFER_ENCODING).is_some() {
        headers.remove(CONTENT_LENGTH);
    }
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        PROXY_CONNECTION,
        TE,
        UPGRADE,
    ] {
        headers.remove(name);
    }
}

fn append_forwarded(headers: &mut HeaderMap, peer: IpAddr) {
    let mut path = Vec::new();
    for earlier in headers.get_all(&FORWARDED_FOR) {
        path.extend_from_slice(earlier.as_bytes());
        path.extend_from_slice(b", ");
    }
    path.extend_from_slice(peer.to_string().as_bytes());
    if let Ok(path) = HeaderValue::from_bytes(&path) {
        headers.insert(FORWARDED_FOR, path);
    }
}

/// The comma-separated tokens of all values of a header.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<String> {
        let mut names: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_belongs_to_the_connection_stays_there() {
        let mut sent = headers(&[
            ("host", "localhost:8001"),
            ("connection", "X-Mine, keep-alive"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers, deflate"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("proxy-authorization", "Basic x"),
            ("proxy-connection", "keep-alive"),
            ("upgrade", "h2c"),
            ("authorization", "Bearer x"),
            ("user-agent", "curl"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
        ]);
        let request = Request {
            method: &Method::GET,
            has_body: true,
            upgrade: None,
            peer: Some([127, 0, 0, 1].into()),
        };
        to_server(&mut sent, &request);
        assert_eq!(
            names(&sent),
            [
                "authorization: Bearer x",
                "te: trailers",
                "trailer: x-sum",
                "transfer-encoding: chunked",
                "user-agent: curl",
                "x-forwarded-for: 10.0.0.1, 10.0.0.2, 127.0.0.1",
            ]
        );
    }

    #[test]
    fn an_upgrade_goes_on_with_nothing_else_of_the_connection() {
        let request = |version, connection| {
            http::Request::post("/")
                .version(version)
                .header("connection", connection)
                .header("upgrade", "SPDY/3.1")
                .body(())
                .unwrap()
        };
        assert!(upgrade(&request(Version::HTTP_10, "Upgrade")).is_none());
        assert!(upgrade(&request(Version::HTTP_11, "keep-alive")).is_none());
        let request = request(Version::HTTP_11, "keep-alive, upgrade");
        let protocol = upgrade(&request);
        assert_eq!(protocol.as_ref().unwrap(), "SPDY/3.1");
        let mut sent = request.headers().clone();
        let request = Request {
            method: &Method::POST,
            has_body: false,
            upgrade: protocol.as_ref(),
            peer: None,
        };
        to_server(&mut sent, &request);
        assert_eq!(
            names(&sent),
            [
                "connection: Upgrade".to_owned(),
                "content-length: 0".to_owned(),
                "upgrade: SPDY/3.1".to_owned(),
                format!("user-agent: attache/{}", env!("CARGO_PKG_VERSION")),
            ]
        );
    }
}
