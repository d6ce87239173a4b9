//! `webhook`: which endpoint, and how it is called. No fault repeats a URL or a header's value:
//! they may hold a password.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};

use super::super::errors::Faults;
use super::super::model::{HeaderText, WebhookAction, WebhookUrl};
use super::super::units;
use super::super::yaml::{Node, Value};
use super::Timeout;

const KEYS: &[&str] = &[
    "url",
    "method",
    "headers",
    "unixSocket",
    "certificateAuthority",
    "expect",
    "timeout",
];
/// The default of `timeout`.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Headers that the connection makes (RFC 9110, section 7.6.1; RFC 9112, section 6).
const OF_THE_CONNECTION: [HeaderName; 8] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
];

/// Reads `webhook`: a URL, or a mapping.
pub(super) fn webhook(
    node: &Node,
    timeout: &Timeout<'_>,
    faults: &mut Faults,
) -> Option<WebhookAction> {
    if let Value::Text(_) = node.value {
        let url = node.read("a URL", url, faults);
        let timeout = timeout.of(None, TIMEOUT, faults);
        return Some(WebhookAction {
            timeout: timeout?,
            ..WebhookAction::new(url?)
        });
    }
    let fields = node.fields(KEYS, faults)?;
    let url = match fields.get("url") {
        Some(node) => node.read("a URL", url, faults),
        None => {
            faults.add(&node.at, "add url: the http:// or https:// URL to call");
            None
        }
    };
    let headers = fields.get("headers").map(|node| headers(node, faults));
    let certificate_authority = fields.read("certificateAuthority", "a path", units::path, faults);
    if let (Some(node), Some(url)) = (fields.get("certificateAuthority"), &url)
        && url.scheme_str() != Some("https")
    {
        let fault = "there is no certificate to check over http: use https://, or take it out";
        faults.add(&node.at, fault);
    }
    let mut expect = Vec::new();
    for node in fields.get("expect").map_or(&[][..], Node::items) {
        expect.extend(node.read("a status, as 200", status, faults));
    }
    let chosen = fields.read("method", "POST, PUT or GET", method, faults);
    let unix_socket = fields.read("unixSocket", "a path", units::path, faults);
    let timeout = timeout.of(fields.get("timeout"), TIMEOUT, faults);
    Some(WebhookAction {
        unix_socket,
        method: chosen.unwrap_or(http::Method::POST),
        headers: headers.unwrap_or_default(),
        certificate_authority,
        expect,
        timeout: timeout?,
        ..WebhookAction::new(url?)
    })
}

fn url(text: &str) -> Result<WebhookUrl, String> {
    let url: WebhookUrl = text
        .parse()
        .map_err(|error| format!("not a URL ({error}): write http://HOST[:PORT]/PATH"))?;
    if url
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err(
            "user and password in the URL are not sent: give them by headers: {Authorization: {file: PATH}}"
                .to_owned(),
        );
    }
    match (url.scheme_str(), url.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(url),
        _ => Err(
            "not an http:// or https:// URL with a host: write http://HOST[:PORT]/PATH".to_owned(),
        ),
    }
}

fn method(text: &str) -> Result<http::Method, String> {
    match text {
        "POST" => Ok(http::Method::POST),
        "PUT" => Ok(http::Method::PUT),
        "GET" => Ok(http::Method::GET),
        _ => Err(format!(
            "{text:?} is not a method of webhooks: use POST, PUT or GET"
        )),
    }
}

/// Reads a status that ends an exchange.
fn status(text: &str) -> Result<http::StatusCode, String> {
    let number = units::number::<u16>(text, 200, 599)?;
    http::StatusCode::from_u16(number).map_err(|error| error.to_string())
}

/// Reads `headers`: names, each with a text or `{file: PATH}`.
fn headers(node: &Node, faults: &mut Faults) -> BTreeMap<String, HeaderText> {
    let mut headers = BTreeMap::new();
    let Value::Map(entries) = &node.value else {
        let fault = "expected a mapping of headers, as {Authorization: {file: /run/token}}";
        faults.add(&node.at, fault);
        return headers;
    };
    for (name, node) in entries {
        faults.take(&node.at, header_name(name));
        if headers
            .keys()
            .any(|known: &String| known.eq_ignore_ascii_case(name))
        {
            let fault = format!("the header {name} is given twice: keep one");
            faults.add(&node.at, fault);
        }
        if let Some(text) = header_text(node, faults) {
            headers.insert(name.clone(), text);
        }
    }
    headers
}

fn header_name(text: &str) -> Result<(), String> {
    match text.parse::<HeaderName>() {
        Ok(name) if OF_THE_CONNECTION.contains(&name) => {
            Err(format!("the connection sets {text} by itself: take it out"))
        }
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "{text:?} is not a header's name: use letters, digits and '-', as X-Token"
        )),
    }
}

fn header_text(node: &Node, faults: &mut Faults) -> Option<HeaderText> {
    if !matches!(node.value, Value::Map(_)) {
        let wanted = "the header's text, or {file: PATH}";
        let text = node.read(wanted, header_value, faults)?;
        return Some(HeaderText::Given(text));
    }
    let fields = node.fields(&["file"], faults)?;
    if fields.get("file").is_none() {
        faults.add(
            &node.at,
            "add file: the path of the file that holds the header's text",
        );
    }
    let path = fields.read("file", "a path", units::path, faults)?;
    Some(HeaderText::File(path))
}

fn header_value(text: &str) -> Result<String, String> {
    match HeaderValue::from_str(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("a header takes one line of printable ASCII: encode it".to_owned()),
    }
}
