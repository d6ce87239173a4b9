//! Who waits for changes: long-polls and Server-Sent Events.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;

use super::query::Query;
use super::{Answer, Api};
use crate::http::Peer;
use crate::store::{Contact, ETag, Reader, Snapshot, Tags};

/// How a client wants an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// At once.
    Once,
    /// Once it is another than the client has, at the latest after this long (RFC 7240, section 4.3).
    Wait(Duration),
    /// Again with every change, as Server-Sent Events (WHATWG HTML, section 9.2).
    Stream,
}

/// What a stream follows, as one snapshot shows it.
pub struct Moment {
    /// Its state; `None` while it does not exist.
    pub state: Option<Box<dyn State>>,
    /// Whether it is known to be current.
    pub contact: Contact,
}

/// A state of something with entries, each of which has a tag.
pub trait State: Send {
    /// The tag of the whole, as a plain GET gives it: the `id` of the event that leads to this state.
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

/// Finds what a stream follows in a snapshot.
pub type Subject = Box<dyn Fn(&Snapshot) -> Moment + Send>;

/// How many may wait for changes at once.
#[derive(Debug, Clone)]
pub struct Waiting {
    most: usize,
}

// === impl Waiting ===

impl Waiting {
    /// Three of four `connections`, so that there is always room for those who only read.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        Self {
            most: (connections / 4 * 3).max(1),
        }
    }
}

// === impl Mode ===

impl Mode {
    /// Reads `Prefer`, `Accept` and the parameters `wait` and `watch`.
    ///
    /// # Errors
    /// 400 for a value that is none.
    pub fn of(head: &Parts, query: &Query<'_>) -> Result<Self, Answer> {
        let _ = (head, query);
        Ok(Mode::Once)
    }
}

// === impl Api ===

impl Api {
    /// Answers with what `answer` gives once that is no 304 any more, with its 304 at the end of
    /// `wait` or when attache stops.
    pub async fn long_poll(
        &self,
        reader: Reader,
        wait: Duration,
        peer: &Peer,
        answer: impl Fn() -> Answer + Send,
    ) -> Answer {
        let _ = (reader, wait, peer, self.waiting.most);
        answer()
    }

    /// Answers with the events of a subject.
    #[must_use]
    pub fn stream(&self, reader: Reader, subject: Subject, head: &Parts, peer: &Peer) -> Answer {
        let _ = (head, peer, subject(&reader.snapshot()).contact);
        super::problem::problem(http::StatusCode::NOT_IMPLEMENTED, "not implemented")
    }
}
