//! Who waits for changes: long-polls and Server-Sent Events.
//!
//! Reading order: [`Mode`] (what a request asks for; `negotiation` reads its headers), [`Waiting`] (how many
//! may), [`Api::long_poll`], [`Api::stream`], `events` (what a stream sends, and when).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, StreamBody};
use hyper::body::Frame;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::problem::{problem, unavailable};
use super::query::Query;
use super::{Answer, Api, NOSNIFF};
use crate::http::{MustStay, Peer};
use crate::store::{Contact, ETag, Reader, Snapshot, Tags};

mod events;
mod negotiation;

use events::Events;

/// The longest wait; a longer one that is asked for is cut to it.
pub const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// How often a stream says that it is alive, and looks again at what it follows.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The media type of streams (WHATWG HTML, section 9.2).
pub const EVENT_STREAM: &str = "text/event-stream";

/// How often a long-poll looks again without a change, so that what it waits for counts as read.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// `Retry-After` of who finds no room to wait: until then the client may poll.
const NO_ROOM: u16 = 10;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How a client wants an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// At once.
    Once,
    /// Once it is another than the client has, or at the end of a wait.
    Wait(Wait),
    /// Again with every change, as Server-Sent Events (WHATWG HTML, section 9.2).
    Stream,
}

/// How long a client waits for another answer than the one it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    most: Duration,
    /// Whether it was asked for by a preference (RFC 7240, section 4.3), so that the answer tells
    /// that it was honoured.
    preferred: bool,
}

/// What a stream follows, as one snapshot shows it.
pub struct Moment {
    /// Its state; `None` while it does not exist.
    pub state: Option<Box<dyn State>>,
    /// Whether that is known to be current. [`Contact::Never`] ends the stream, whatever the state: its
    /// client asks anew, and gets the plain answer that says why.
    pub contact: Contact,
}

/// A state of something with entries, each of which has a tag.
pub trait State: Send {
    /// The tag of the whole, as a plain GET gives it: the `id` of the event that leads to this state.
    /// With equal tags all else is equal, too.
    fn etag(&self) -> &ETag;

    /// The tag of what is no entry; where it changes, the client gets a fresh `snapshot`.
    fn head(&self) -> Option<&ETag> {
        None
    }

    /// The tag of every entry.
    fn tags(&self) -> Arc<Tags>;

    /// The `data` of a `snapshot` event: JSON, on one line.
    fn snapshot(&self) -> Bytes;

    /// The `data` of a `change` event: JSON, on one line, with `key`, `value` (`null` where there is no
    /// such entry any more) and `resourceVersion`.
    fn change(&self, key: &str) -> Bytes;
}

/// Finds what a stream follows in a snapshot, and notes that it is read.
pub type Subject = Box<dyn Fn(&Snapshot) -> Moment + Send>;

/// How many may wait for changes at once; clones count together.
#[derive(Debug, Clone)]
pub struct Waiting {
    most: usize,
    room: Arc<Semaphore>,
}

/// One that waits. Its client's end is the end of it.
struct Waiter {
    gauge: Gauge,
    _room: OwnedSemaphorePermit,
    _stay: MustStay,
}

// === impl Waiting ===

impl Waiting {
    /// Three of four `connections`, so that there is always room for those who only read.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        let most = (connections / 4 * 3).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            most,
            room: Arc::new(Semaphore::new(most)),
        }
    }

    /// Lets one more wait, counted by `gauge`.
    ///
    /// # Errors
    /// 503 if as many as may wait already.
    fn enter(&self, gauge: &Gauge, peer: &Peer) -> Result<Waiter, Answer> {
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            return Err(unavailable(
                NO_ROOM,
                format!(
                    "{} clients wait for changes already: raise --max-connections, of which three \
                     in four may wait, or ask without waiting",
                    self.most
                ),
            ));
        };
        gauge.inc();
        Ok(Waiter {
            gauge: gauge.clone(),
            _room: room,
            _stay: peer.must_stay(),
        })
    }
}

// === impl Waiter ===

impl Drop for Waiter {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

// === impl Mode ===

impl Mode {
    /// Reads `Accept`, `Prefer` and the parameters `wait` and `watch`; a parameter outranks the headers.
    /// Who has nothing yet (no `If-None-Match`) has nothing to wait for.
    ///
    /// # Errors
    /// 400 for a parameter's value that is none, and for a stream that is to wait.
    pub fn of(head: &Parts, query: &Query<'_>) -> Result<Self, Answer> {
        let headers = &head.headers;
        let wait = query.get("wait").map(negotiation::wait).transpose()?;
        let watch = query.get("watch").map(negotiation::watch).transpose()?;
        let streams = match (watch, wait) {
            (Some(true), Some(_)) => {
                return Err(problem(
                    StatusCode::BAD_REQUEST,
                    "watch is a stream, which goes on, and wait ends: leave out one of them",
                ));
            }
            (Some(watch), _) => watch,
            (None, Some(_)) => false,
            (None, None) => negotiation::accepts_events(headers),
        };
        if streams {
            return Ok(Mode::Stream);
        }
        let (asked, preferred) = match wait {
            Some(asked) => (asked, false),
            None => match negotiation::preferred_wait(headers) {
                Some(asked) => (asked, true),
                None => return Ok(Mode::Once),
            },
        };
        if !headers.contains_key(IF_NONE_MATCH) {
            return Ok(Mode::Once);
        }
        Ok(Mode::Wait(Wait {
            most: asked.min(LONGEST_WAIT),
            preferred,
        }))
    }
}

// === impl Wait ===

impl Wait {
    /// Says in `answer` that the wait that the client preferred was granted.
    fn applied(self, mut answer: Answer) -> Answer {
        if self.preferred {
            let applied = format!("wait={}", self.most.as_secs());
            let headers = answer.headers_mut();
            if let Ok(applied) = HeaderValue::try_from(applied) {
                headers.insert(PREFERENCE_APPLIED, applied);
            }
            headers.append(VARY, HeaderValue::from_static("Prefer"));
        }
        answer
    }
}

// === impl Api ===

impl Api {
    /// Answers with what `answer` gives once that is no 304 any more, with its 304 at the end of
    /// `wait` or when attache stops. `answer` is asked anew after each change that `reader` sees, and at
    /// least each minute.
    pub async fn long_poll(
        &self,
        mut reader: Reader,
        wait: Wait,
        peer: &Peer,
        answer: impl Fn() -> Answer + Send,
    ) -> Answer {
        let present = answer();
        if !is_unchanged(&present) || wait.most.is_zero() {
            return wait.applied(present);
        }
        // Who waits holds no answer, which may be as large as all else together.
        drop(present);
        let _waiter = match self.waiting.enter(&self.metrics.http_long_polls, peer) {
            Ok(waiter) => waiter,
            Err(refusal) => return refusal,
        };
        let mut drain = self.drain.clone();
        let deadline = Instant::now() + wait.most;
        loop {
            let look_again = deadline.min(Instant::now() + LOOK_AGAIN);
            let over = tokio::select! {
                biased;
                () = drain.requested() => true,
                changed = reader.changed() => changed.is_none(),
                () = sleep_until(look_again) => look_again == deadline,
            };
            let present = answer();
            if over || !is_unchanged(&present) {
                return wait.applied(present);
            }
        }
    }

    /// Answers with the events of a subject, until the client leaves or attache stops.
    #[must_use]
    pub fn stream(&self, reader: Reader, subject: Subject, head: &Parts, peer: &Peer) -> Answer {
        let waiter = match self.waiting.enter(&self.metrics.http_streams, peer) {
            Ok(waiter) => waiter,
            Err(refusal) => return refusal,
        };
        let last = negotiation::last_event_id(&head.headers);
        let counter = self.metrics.http_stream_events.clone();
        let events = Events::new(reader, subject, self.drain.clone(), counter, last);
        let frames = stream::unfold((events, waiter), |(mut events, waiter)| async move {
            let frame = Frame::data(events.next().await?);
            Some((Ok(frame), (events, waiter)))
        });
        let body = StreamBody::new(frames).boxed_unsync();
        let mut answer = Response::new(Either::Right(body));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        // nginx would hold events back until its buffer is full.
        headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
        answer
    }
}

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

fn is_unchanged(answer: &Answer) -> bool {
    answer.status() == StatusCode::NOT_MODIFIED
}

#[cfg(test)]
mod tests;
