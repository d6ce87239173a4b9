//! Lists and watches as HTTP requests, and how each answer is understood.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::timeout;

use super::machine::{Event, Failure};
use super::paging::{LONGEST_OF_ONE, Paging};
use super::wire::{self, Line, Page};
use super::{Select, Target};
use crate::store::{Kind, RawObject};
use crate::upstream::{Lease, RequestBody, Status, causes};

/// How long a page, or the head of a watch, may take. API Priority and Fairness queues requests
/// for up to a minute.
const PATIENCE: Duration = Duration::from_secs(75);

/// How much longer than asked for a watch may stay open.
const GRACE: Duration = Duration::from_secs(30);

/// A failure, and whether fresh credentials may mend it.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) refresh: bool,
    pub(super) generation: u64,
}

impl Failed {
    fn new(failure: Failure) -> Self {
        Self {
            failure,
            refresh: false,
            generation: 0,
        }
    }
}

/// Reads one page of the list, of as many objects as `paging` allows. One that is too long is asked for
/// again with fewer, and not read to its end: nothing of it was taken, and its token stays good.
pub(super) async fn list(
    lease: &Lease,
    target: &Target,
    continue_token: Option<&str>,
    paging: &mut Paging,
) -> Result<Page, Failed> {
    loop {
        let mut query = format!("limit={}", paging.limit());
        if let Some(token) = continue_token {
            query.push_str("&continue=");
            query.extend(utf8_percent_encode(token, NON_ALPHANUMERIC));
        }
        let longest = paging.longest();
        let reading = timeout(PATIENCE, read(lease, target, &query, longest));
        let json = reading.await.unwrap_or_else(|_| Err(late("list")))?;
        if let Some(json) = json {
            paging.read(json.len());
            return wire::page(target.kind, &json).map_err(|malformed| {
                undecodable(format!(
                    "the list is not one the API would give: {malformed}"
                ))
            });
        }
        if !paging.shrink() {
            return Err(undecodable(format!(
                "a page of one object is longer than {longest} bytes"
            )));
        }
    }
}

/// The answer to a list; `None` if it has more than `longest` bytes.
async fn read(
    lease: &Lease,
    target: &Target,
    query: &str,
    longest: usize,
) -> Result<Option<Bytes>, Failed> {
    let body = send(lease, target, query).await?;
    match Limited::new(body, longest).collect().await {
        Ok(read) => Ok(Some(read.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Ok(None),
        Err(error) => Err(Failed::new(Failure::Other(format!(
            "reading the list failed: {}",
            causes(&*error)
        )))),
    }
}

fn undecodable(what: String) -> Failed {
    Failed::new(Failure::Undecodable(what))
}

/// Opens a watch.
pub(super) async fn watch(
    lease: &Lease,
    target: &Target,
    resource_version: &str,
    lasting: Duration,
) -> Result<Events, Failed> {
    let query = format!(
        "watch=1&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={}",
        utf8_percent_encode(resource_version, NON_ALPHANUMERIC),
        lasting.as_secs()
    );
    let opening = send(lease, target, &query);
    let body = timeout(PATIENCE, opening)
        .await
        .unwrap_or_else(|_| Err(late("watch")))?;
    let deadline = tokio::time::Instant::now() + lasting + GRACE;
    Ok(Events {
        kind: target.kind,
        body,
        buffer: BytesMut::new(),
        scanned: 0,
        deadline,
    })
}

fn late(what: &str) -> Failed {
    let seconds = PATIENCE.as_secs();
    Failed::new(Failure::Other(format!(
        "no answer to the {what} request for {seconds} s"
    )))
}

/// The events of an open watch.
pub(super) struct Events<B = Incoming> {
    kind: Kind,
    body: B,
    buffer: BytesMut,
    scanned: usize,
    deadline: tokio::time::Instant,
}

// === impl Events ===

impl<B> Events<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    /// The next event; `None` when the server ended the watch in good order.
    pub(super) async fn next(&mut self) -> Result<Option<Event<RawObject>>, Failed> {
        loop {
            if let Some(line) = self.line() {
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return self.decode(&line).map(Some);
            }
            if self.buffer.len() > LONGEST_OF_ONE {
                return Err(Failed::new(Failure::Undecodable(format!(
                    "a watch event is longer than {LONGEST_OF_ONE} bytes"
                ))));
            }
            match timeout_at(self.deadline, self.body.frame()).await? {
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    return Err(Failed::new(Failure::Other(
                        "the watch ended in the middle of an event".into(),
                    )));
                }
                Some(Err(error)) => {
                    return Err(Failed::new(Failure::Other(format!(
                        "the watch broke: {}",
                        causes(&error)
                    ))));
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    fn line(&mut self) -> Option<Bytes> {
        match self.buffer[self.scanned..]
            .iter()
            .position(|byte| *byte == b'\n')
        {
            Some(at) => {
                let end = self.scanned + at;
                let line = self.buffer.split_to(end).freeze();
                self.buffer.advance(1);
                self.scanned = 0;
                if self.buffer.is_empty() {
                    // Gives the memory of a large event back.
                    self.buffer = BytesMut::new();
                }
                Some(line)
            }
            None => {
                self.scanned = self.buffer.len();
                None
            }
        }
    }

    fn decode(&self, line: &[u8]) -> Result<Event<RawObject>, Failed> {
        match wire::line(self.kind, line) {
            Ok(Line::Event(event)) => Ok(event),
            Ok(Line::Error(status)) => {
                let code =
                    StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                Err(Failed::new(classify(
                    self.kind,
                    code,
                    &HeaderMap::new(),
                    &status,
                )))
            }
            Err(malformed) => Err(Failed::new(Failure::Undecodable(format!(
                "a watch event is not one the API would send: {malformed}"
            )))),
        }
    }
}

async fn timeout_at<T>(
    deadline: tokio::time::Instant,
    future: impl Future<Output = T>,
) -> Result<T, Failed> {
    tokio::time::timeout_at(deadline, future)
        .await
        .map_err(|_| {
            Failed::new(Failure::Other(
                "the watch stayed open longer than asked for".into(),
            ))
        })
}

async fn send(lease: &Lease, target: &Target, query: &str) -> Result<Incoming, Failed> {
    let unusable =
        |error: &(dyn std::error::Error + 'static)| Failed::new(Failure::Other(causes(error)));
    let client = lease.client().await.map_err(|error| unusable(&error))?;
    let generation = client.generation;
    let request = Request::get(path(target, query))
        .header(header::ACCEPT, "application/json")
        .header(
            header::USER_AGENT,
            concat!("attache/", env!("CARGO_PKG_VERSION")),
        )
        .body(RequestBody::empty())
        .map_err(|error| unusable(&error))?;
    let response = client.send(request).await.map_err(|error| Failed {
        failure: Failure::Other(format!("the API server cannot be reached: {error}")),
        // The certificate authority or the client certificate may have been replaced.
        refresh: error.is_tls(),
        generation,
    })?;
    if response.status().is_success() {
        return Ok(response.into_body());
    }
    let code = response.status();
    let (head, body) = response.into_parts();
    let body = Limited::new(body, 64 << 10).collect().await;
    let status = body.map_or_else(|_| Status::default(), |body| Status::read(&body.to_bytes()));
    let failure = classify(target.kind, code, &head.headers, &status);
    Err(Failed {
        failure,
        refresh: code == StatusCode::UNAUTHORIZED,
        generation,
    })
}

fn classify(kind: Kind, code: StatusCode, headers: &HeaderMap, status: &Status) -> Failure {
    let message = match (&*status.message, &*status.reason) {
        ("", "") => format!("the API server answered {code}"),
        ("", reason) => format!("the API server answered {}: {reason}", code.as_u16()),
        (message, _) => format!("the API server answered {}: {message}", code.as_u16()),
    };
    match (code, status.retry_after(headers)) {
        (StatusCode::GONE, _) => Failure::Expired(message),
        (StatusCode::FORBIDDEN, _) => Failure::Forbidden(message),
        (StatusCode::NOT_FOUND, _) if !kind.is_core() => {
            let (root, resource) = (kind.root(), kind.resource());
            Failure::Unserved(format!("{resource} of {root} are not served: {message}"))
        }
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, Some(after)) => {
            Failure::Throttled { after, message }
        }
        _ => Failure::Other(message),
    }
}

fn path(target: &Target, query: &str) -> String {
    let (root, resource) = (target.kind.root(), target.kind.resource());
    let place = match &target.namespace {
        Some(namespace) => {
            let namespace = utf8_percent_encode(namespace, NON_ALPHANUMERIC);
            format!("{root}/namespaces/{namespace}/{resource}")
        }
        None => format!("{root}/{resource}"),
    };
    let (parameter, selector) = match &target.select {
        Select::Name(name) => ("fieldSelector", &format!("metadata.name={name}")),
        Select::Labels(labels) => ("labelSelector", labels),
        Select::All => return format!("{place}?{query}"),
    };
    format!(
        "{place}?{parameter}={}&{query}",
        utf8_percent_encode(selector, NON_ALPHANUMERIC)
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn target(namespace: Option<&str>, select: Select) -> Target {
        Target {
            kind: Kind::ConfigMap,
            namespace: namespace.map(Into::into),
            select,
        }
    }

    #[test]
    fn a_named_object_is_asked_for_by_field_selector() {
        assert_eq!(
            path(
                &target(Some("default"), Select::Name("web.a".into())),
                "limit=1"
            ),
            "/api/v1/namespaces/default/configmaps?fieldSelector=metadata%2Ename%3Dweb%2Ea&limit=1"
        );
    }

    #[test]
    fn a_selector_may_span_namespaces() {
        assert_eq!(
            path(
                &target(None, Select::Labels("app in (a,b)".into())),
                "limit=1"
            ),
            "/api/v1/configmaps?labelSelector=app%20in%20%28a%2Cb%29&limit=1"
        );
    }

    #[test]
    fn only_a_throttled_answer_with_a_time_is_obeyed_as_such() {
        let status = Status::default();
        let none = HeaderMap::new();
        let after = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("3"))]);
        let of = |code: u16, headers| {
            let code = StatusCode::from_u16(code).unwrap();
            classify(Kind::ConfigMap, code, headers, &status)
        };
        assert!(matches!(of(429, &after), Failure::Throttled { .. }));
        assert!(matches!(of(503, &after), Failure::Throttled { .. }));
        assert!(matches!(of(503, &none), Failure::Other(_)));
        assert!(matches!(of(410, &after), Failure::Expired(_)));
        assert!(matches!(of(403, &none), Failure::Forbidden(_)));
    }

    #[test]
    fn a_404_says_that_a_resource_is_not_served_but_never_a_core_one() {
        let (headers, status) = (HeaderMap::new(), Status::default());
        let of = |kind| classify(kind, StatusCode::NOT_FOUND, &headers, &status);
        assert_eq!(
            of(Kind::EndpointSlice),
            Failure::Unserved(
                "endpointslices of /apis/discovery.k8s.io/v1 are not served: \
                 the API server answered 404 Not Found"
                    .into()
            )
        );
        for kind in [Kind::ConfigMap, Kind::Secret, Kind::Service] {
            assert!(matches!(of(kind), Failure::Other(_)), "{kind}");
        }
    }

    #[test]
    fn all_of_a_namespace_need_no_selector() {
        let services = Target {
            kind: Kind::EndpointSlice,
            namespace: Some("default".into()),
            select: Select::All,
        };
        assert_eq!(
            path(&services, "limit=1"),
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?limit=1"
        );
    }

    #[tokio::test]
    async fn lines_are_found_whatever_the_frames() {
        let stream = b"{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"1\"}}}\n\n{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"2\"}}}\n";
        for cut in 0..stream.len() {
            let mut events = Events {
                kind: Kind::ConfigMap,
                body: http_body_util::Full::from(&stream[cut..]),
                buffer: BytesMut::from(&stream[..cut]),
                scanned: 0,
                deadline: tokio::time::Instant::now() + GRACE,
            };
            for version in ["1", "2"] {
                assert_eq!(
                    events.next().await.unwrap(),
                    Some(Event::Bookmark(version.to_owned()))
                );
            }
            assert_eq!(events.next().await.unwrap(), None);
        }
    }
}
