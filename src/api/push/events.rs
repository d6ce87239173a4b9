//! What a stream sends, and when.
//!
//! It is pulled: when there is room for more, the newest snapshot is compared with what the client has, and
//! all that differs is sent in one piece, a step. So a slow client skips the states in between, and what is held
//! for it is one step at most. The `id` of a state goes with the last event of the step that leads to it; those
//! before it take the client's id away (`id:`). Whoever breaks off in the middle of a step thus comes back
//! without an id, and gets a `snapshot`, even if the state is by then again the one it once had.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{KEEP_ALIVE, State, Subject};
use crate::shutdown::Shutdown;
use crate::store::{Contact, ETag, Reader, Tags};

/// The first line: a client that lost its stream comes back after a second.
const RETRY: &[u8] = b"retry: 1000\n\n";

/// A line that clients ignore.
const COMMENT: &[u8] = b":\n\n";

/// The state of what does not exist.
const ABSENT: &[u8] = br#"{"resourceVersion":null,"data":null}"#;

/// The events of one stream.
pub(super) struct Events {
    reader: Reader,
    subject: Subject,
    drain: Shutdown,
    alive: Interval,
    begun: bool,
    /// What the client has; `None` while that is unknown.
    sent: Option<Sent>,
    /// Whether the client was told that it may have old content.
    stale: bool,
    counter: Counter,
}

/// A state that the client has, by its tags alone.
struct Sent {
    id: ETag,
    /// `None` of what does not exist.
    tags: Option<(Option<ETag>, Arc<Tags>)>,
}

/// The `data` of `stale`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stale<'a> {
    age_seconds: u64,
    reason: &'a str,
}

// === impl Events ===

impl Events {
    /// For a client that has the state with the id `last`.
    pub(super) fn new(
        reader: Reader,
        subject: Subject,
        drain: Shutdown,
        counter: Counter,
        last: Option<&[u8]>,
    ) -> Self {
        let present = subject(&reader.snapshot());
        let has = |last: &[u8]| *last == **id(present.state.as_deref()).as_bytes();
        let sent = last
            .is_some_and(has)
            .then(|| Sent::of(present.state.as_deref()));
        let mut alive = interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            reader,
            subject,
            drain,
            alive,
            begun: false,
            sent,
            stale: false,
            counter,
        }
    }

    /// What is to be sent next; `None` once attache stops, or knows nothing any more of what is followed:
    /// then the client asks anew, and is answered so.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.drain.is_requested() {
                return None;
            }
            let frame = self.step()?;
            if !frame.is_empty() {
                return Some(frame);
            }
            tokio::select! {
                biased;
                () = self.drain.requested() => return None,
                changed = self.reader.changed() => drop(changed?),
                _ = self.alive.tick() => {
                    // Not only said: what is followed counts as read.
                    let _ = (self.subject)(&self.reader.snapshot());
                    return Some(Bytes::from_static(COMMENT));
                }
            }
        }
    }

    /// All that leads from what the client has to what is there; empty if that is the same, `None` if
    /// that is not known.
    fn step(&mut self) -> Option<Bytes> {
        let moment = (self.subject)(&self.reader.snapshot());
        if let Contact::Never { .. } = moment.contact {
            return None;
        }
        let mut frame = Writer::default();
        if !self.begun {
            self.begun = true;
            frame.bytes.put_slice(RETRY);
        }
        self.state(&mut frame, moment.state.as_deref());
        self.contact(&mut frame, &moment.contact);
        self.counter.inc_by(frame.events);
        Some(frame.bytes.freeze())
    }

    fn state(&mut self, frame: &mut Writer, state: Option<&dyn State>) {
        let id = id(state);
        if self.sent.as_ref().is_some_and(|sent| sent.id == id) {
            return;
        }
        let now = Sent::of(state);
        let before = self.sent.take().and_then(|sent| sent.tags);
        let differing = match (&before, &now.tags) {
            (Some((head, before)), Some((same, after))) if head == same => differing(before, after),
            _ => Vec::new(),
        };
        match (state, differing.as_slice()) {
            (Some(state), [others @ .., last]) => {
                for key in others {
                    frame.event("change", Some(b""), &state.change(key));
                }
                frame.event("change", Some(id.as_bytes()), &state.change(last));
            }
            (state, _) => {
                let data = state.map_or(Bytes::from_static(ABSENT), State::snapshot);
                frame.event("snapshot", Some(id.as_bytes()), &data);
            }
        }
        self.sent = Some(now);
    }

    fn contact(&mut self, frame: &mut Writer, contact: &Contact) {
        match contact {
            Contact::Lost { since, reason } if !self.stale => {
                let data = Stale {
                    age_seconds: since.elapsed().as_secs(),
                    reason,
                };
                // A number and a text always serialize.
                let data = serde_json::to_vec(&data).unwrap_or_default();
                frame.event("stale", None, &data);
                self.stale = true;
            }
            Contact::Live if self.stale => {
                frame.event("fresh", None, b"{}");
                self.stale = false;
            }
            _ => {}
        }
    }
}

// === impl Sent ===

impl Sent {
    fn of(state: Option<&dyn State>) -> Self {
        Self {
            id: id(state),
            tags: state.map(|state| (state.head().cloned(), state.tags())),
        }
    }
}

fn id(state: Option<&dyn State>) -> ETag {
    state.map_or_else(ETag::absent, |state| state.etag().clone())
}

/// The keys that differ: those added or changed, then those removed.
fn differing<'a>(before: &'a Tags, after: &'a Tags) -> Vec<&'a str> {
    let set = after
        .iter()
        .filter(|(key, tag)| before.get(*key) != Some(tag));
    let removed = before.keys().filter(|key| !after.contains_key(*key));
    let keys = set.map(|(key, _)| key).chain(removed);
    keys.map(|key| &**key).collect()
}

/// Events as they are sent (WHATWG HTML, section 9.2.5).
#[derive(Default)]
struct Writer {
    bytes: BytesMut,
    events: u64,
}

// === impl Writer ===

impl Writer {
    fn event(&mut self, name: &str, id: Option<&[u8]>, data: &[u8]) {
        self.bytes.reserve(name.len() + data.len() + 64);
        let fields = [
            ("event", Some(name.as_bytes())),
            ("id", id),
            ("data", Some(data)),
        ];
        for (field, value) in fields {
            let Some(value) = value else { continue };
            self.bytes.put_slice(field.as_bytes());
            // Without a space where nothing follows, for clients that do not strip it.
            self.bytes.put_slice(if value.is_empty() {
                b":".as_slice()
            } else {
                b": "
            });
            self.bytes.put_slice(value);
            self.bytes.put_u8(b'\n');
        }
        self.bytes.put_u8(b'\n');
        self.events += 1;
    }
}
