//! What a case is: a name and the bytes of a request.
//!
//! In those bytes `{ns}` stands for the side's namespace, `{host}` for the proxy's
//! `127.0.0.1:PORT`, `{port}` for its port, `{1}` for what an earlier answer told.

use super::wire::{Answer, Connection};
use crate::support::proxy::Proxy;

/// One request, or two of which the second needs something from the first's answer.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: &'static str,
    head: String,
    body: Vec<u8>,
    /// The body waits for `100 Continue`.
    waits: bool,
    /// The body differs from one moment to the next.
    pub body_of_the_moment: bool,
    then: Option<(&'static str, Box<Case>)>,
}

/// `line` is such as `GET /api`; HTTP/1.1, with Host and User-Agent.
pub fn case(name: &'static str, line: &str) -> Case {
    let head = format!("{line} HTTP/1.1\r\nHost: {{host}}\r\nUser-Agent: differential/1\r\n\r\n");
    raw(name, &head)
}

/// The request as it is.
pub fn raw(name: &'static str, head: &str) -> Case {
    Case {
        name,
        head: head.to_owned(),
        body: Vec::new(),
        waits: false,
        body_of_the_moment: false,
        then: None,
    }
}

impl Case {
    /// Adds header lines.
    pub fn with(mut self, headers: &str) -> Self {
        self.head.truncate(self.head.len() - 2);
        self.head.push_str(headers);
        self.head.push_str("\r\n\r\n");
        self
    }

    /// A body with its length and type.
    pub fn body(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len();
        self.with(&format!("Content-Type: {kind}\r\nContent-Length: {length}"))
    }

    pub fn json(self, body: &str) -> Self {
        self.body("application/json", body)
    }

    /// Bytes after the head, with no header to announce them.
    pub fn followed_by(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = bytes.into();
        self
    }

    /// Sends the body only when told to.
    pub fn expecting(mut self) -> Self {
        self.waits = true;
        self.with("Expect: 100-continue")
    }

    pub fn with_body_of_the_moment(mut self) -> Self {
        self.body_of_the_moment = true;
        self
    }

    /// The first group of `pattern` in this answer's body is `{1}` in the next request.
    pub fn then(mut self, pattern: &'static str, case: Self) -> Self {
        self.then = Some((pattern, Box::new(case)));
        self
    }

    fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    /// The request as it is sent, for a report.
    pub fn shown(&self) -> String {
        let mut text = self.head.clone();
        text.truncate(2_000);
        let body = String::from_utf8_lossy(&self.body);
        text.extend(body.chars().take(200));
        if let Some((_, then)) = &self.then {
            text.push_str(&then.shown());
        }
        text
    }

    /// The answers' text as it is compared.
    pub async fn run(&self, proxy: &Proxy, namespace: &str, told: &str) -> String {
        let fill = |text: &str| {
            text.replace("{ns}", namespace)
                .replace("{host}", &proxy.address().to_string())
                .replace("{port}", &proxy.address().port().to_string())
                .replace("{1}", told)
        };
        let mut connection = Connection::open(proxy.address()).await;
        let mut request = fill(&self.head).into_bytes();
        let body = match std::str::from_utf8(&self.body) {
            Ok(body) if body.contains("{1}") => fill(body).into_bytes(),
            _ => self.body.clone(),
        };
        if !self.waits {
            request.extend(&body);
        }
        connection.send(request);
        let answer = connection
            .answer(self.method(), self.waits.then_some(&body))
            .await;
        let text = self.text(&answer, proxy, namespace);
        match &self.then {
            None => text,
            Some((pattern, next)) => {
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                let found = regex_lite::Regex::new(pattern)
                    .expect("a pattern")
                    .captures(&body);
                let found =
                    found.unwrap_or_else(|| panic!("{}: no {pattern} in {body}", self.name));
                let next = Box::pin(next.run(proxy, namespace, &found[1])).await;
                format!("{text}\n--- then\n{next}")
            }
        }
    }

    fn text(&self, answer: &Answer, proxy: &Proxy, namespace: &str) -> String {
        let mut answer = answer.clone();
        if self.body_of_the_moment {
            answer.body.clear();
            answer.framing = super::wire::Framing::None;
        }
        steady(&answer.shown(), proxy, namespace)
    }
}

/// Without what differs between two equal answers of the API server.
pub fn steady(text: &str, proxy: &Proxy, namespace: &str) -> String {
    let mut text = text
        .replace(namespace, "NAMESPACE")
        .replace(&proxy.address().to_string(), "PROXY")
        .replace(&format!(":{}", proxy.address().port()), ":PORT");
    for (pattern, instead) in [
        (
            r#""(uid|resourceVersion|creationTimestamp|deletionTimestamp|time|continue)":\s*"[^"]*""#,
            r#""$1":"…""#,
        ),
        (
            r"(uid|resourceVersion|creationTimestamp|time): \S+",
            "$1: …",
        ),
        (
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "UID",
        ),
        (r"resource version: \d+ \(\d+\)", "resource version: …"),
        (r"(?m)^host: 127\.0\.0\.1:\d+$", "host: UPSTREAM"),
        (r"boundary=[0-9a-f]+", "boundary=…"),
        (r"--[0-9a-f]{60}", "--…"),
    ] {
        let pattern = regex_lite::Regex::new(pattern).expect("a pattern");
        text = pattern.replace_all(&text, instead).into_owned();
    }
    text
}
