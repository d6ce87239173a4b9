//! The list/watch state machine: pure, so that every order of events can be tried in a test.
//!
//! ```text
//!            ┌───────────── 410, undecodable ──────────────┐
//!            ▼                                             │
//!   Listing (pages) ── last page: replace ──► Watching (from resourceVersion)
//!       ▲    │                                 │        ▲
//!       └────┴── failure: wait, first page      └────────┴── closed or failed: wait, same version
//! ```
//!
//! The protocol is "Efficient detection of changes" in the Kubernetes API concepts.

use std::sync::Arc;
use std::time::Duration;

use crate::store::{Object, ObjectRef};

/// The first delay after a failure, doubled each time.
const FIRST_DELAY: Duration = Duration::from_millis(800);

/// The longest delay, jitter included.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// The longest time a Retry-After is obeyed for: a server's mistake must not end a watch.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// A relist after 410 is spread over this time, because a fleet gets it at once.
const EXPIRED_JITTER: Duration = Duration::from_secs(2);

/// A watch has held, and the delays start over, after this time or its first event.
const HELD: Duration = Duration::from_secs(5);

/// What the driver is to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Sleep, then say [`Machine::waited`].
    Wait(Duration),
    /// Ask for one page of the list.
    List {
        /// The `continue` token of the page before.
        continue_token: Option<String>,
    },
    /// Open a watch.
    Watch {
        /// Where it starts.
        resource_version: String,
    },
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A page of the list.
    Page {
        /// Its objects.
        items: Vec<Arc<Object>>,
        /// The token of the next page, if there is one.
        next: Option<String>,
        /// The list's resourceVersion.
        resource_version: String,
    },
    /// The watch was accepted.
    Opened,
    /// The watch said something.
    Event(Event<Arc<Object>>),
    /// The server ended the watch in good order.
    Closed {
        /// How long it was open.
        lasted: Duration,
        /// List again although nothing went wrong.
        relist: bool,
    },
    /// The list, the watch's opening or its stream failed.
    Failed {
        /// How.
        failure: Failure,
        /// How long the watch was open; zero for a list.
        lasted: Duration,
    },
}

/// An event of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<T> {
    /// ADDED or MODIFIED.
    Applied {
        /// The object.
        object: T,
        /// Its resourceVersion.
        resource_version: String,
    },
    /// DELETED.
    Deleted(Gone),
    /// BOOKMARK: nothing changed up to this resourceVersion.
    Bookmark(String),
}

// === impl Event ===

impl<T> Event<T> {
    /// The same event with its object made into something else.
    pub fn map_object<U>(self, map: impl FnOnce(T) -> U) -> Event<U> {
        match self {
            Event::Applied {
                object,
                resource_version,
            } => Event::Applied {
                object: map(object),
                resource_version,
            },
            Event::Deleted(gone) => Event::Deleted(gone),
            Event::Bookmark(version) => Event::Bookmark(version),
        }
    }
}

/// A deleted object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Which one.
    pub reference: ObjectRef,
    /// Its UID.
    pub uid: String,
    /// The resourceVersion of the deletion.
    pub resource_version: String,
}

/// What went wrong, in a sentence that may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// 410: the history from this resourceVersion, or this page, is gone.
    Expired(String),
    /// 429 or 503 with Retry-After.
    Throttled {
        /// The header's delay.
        after: Duration,
        /// The server's message.
        message: String,
    },
    /// 403.
    Forbidden(String),
    /// 404 for all of a resource: the API server does not serve it. An upgraded one may.
    Unserved(String),
    /// Something that is no object, list or event of the API.
    Undecodable(String),
    /// Everything else: the network, TLS, 401, 500, ….
    Other(String),
}

// === impl Failure ===

impl Failure {
    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Failure::Expired(message)
            | Failure::Throttled { message, .. }
            | Failure::Forbidden(message)
            | Failure::Unserved(message)
            | Failure::Undecodable(message)
            | Failure::Other(message) => message,
        }
    }
}

/// What the driver is to do to the store.
#[derive(Debug)]
pub enum Effect {
    /// Nothing.
    None,
    /// Put a complete list in place of all the scope held.
    Replace(Vec<Arc<Object>>),
    /// Add or update one object.
    Upsert(Arc<Object>),
    /// Remove one object.
    Remove(Gone),
    /// The scope is in contact.
    Live,
    /// The scope is out of contact.
    Lost(String),
}

/// The state of one list/watch.
#[derive(Debug)]
pub struct Machine {
    state: State,
    wait: Option<Duration>,
    failures: u32,
    rng: fastrand::Rng,
}

#[derive(Debug)]
enum State {
    Listing {
        pages: Vec<Arc<Object>>,
        continue_token: Option<String>,
    },
    Watching {
        resource_version: String,
    },
}

// === impl Machine ===

impl Machine {
    /// Starts with a list, at once.
    #[must_use]
    pub fn new(rng: fastrand::Rng) -> Self {
        Self {
            state: State::start(),
            wait: None,
            failures: 0,
            rng,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn next(&self) -> Step {
        match (self.wait, &self.state) {
            (Some(delay), _) => Step::Wait(delay),
            (None, State::Listing { continue_token, .. }) => Step::List {
                continue_token: continue_token.clone(),
            },
            (None, State::Watching { resource_version }) => Step::Watch {
                resource_version: resource_version.clone(),
            },
        }
    }

    /// The wait is over.
    pub fn waited(&mut self) {
        self.wait = None;
    }

    /// Takes in what happened.
    pub fn feed(&mut self, input: Input) -> Effect {
        match input {
            Input::Page {
                items,
                next,
                resource_version,
            } => self.page(items, next, resource_version),
            Input::Opened => Effect::Live,
            Input::Event(event) => self.event(event),
            Input::Closed { lasted, relist } => {
                self.closed(lasted, relist);
                Effect::None
            }
            Input::Failed { failure, lasted } => self.failed(&failure, lasted),
        }
    }

    fn page(
        &mut self,
        mut items: Vec<Arc<Object>>,
        next: Option<String>,
        resource_version: String,
    ) -> Effect {
        // A page outside a list answers nothing that was asked.
        let State::Listing {
            pages,
            continue_token,
        } = &mut self.state
        else {
            return Effect::None;
        };
        pages.append(&mut items);
        if next.is_some() {
            *continue_token = next;
            return Effect::None;
        }
        let complete = std::mem::take(pages);
        self.state = State::Watching { resource_version };
        Effect::Replace(complete)
    }

    fn event(&mut self, event: Event<Arc<Object>>) -> Effect {
        let State::Watching { resource_version } = &mut self.state else {
            return Effect::None;
        };
        self.failures = 0;
        match event {
            Event::Applied {
                object,
                resource_version: newer,
            } => {
                *resource_version = newer;
                Effect::Upsert(object)
            }
            Event::Deleted(gone) => {
                resource_version.clone_from(&gone.resource_version);
                Effect::Remove(gone)
            }
            Event::Bookmark(newer) => {
                *resource_version = newer;
                Effect::None
            }
        }
    }

    fn closed(&mut self, lasted: Duration, relist: bool) {
        if lasted >= HELD {
            self.failures = 0;
        } else {
            // A server that ends every watch at once is not asked in a tight loop.
            self.wait = Some(self.delay());
        }
        if relist {
            self.state = State::start();
        }
    }

    fn failed(&mut self, failure: &Failure, lasted: Duration) -> Effect {
        if lasted >= HELD {
            self.failures = 0;
        }
        self.wait = Some(match failure {
            Failure::Expired(_) => self.expired(),
            Failure::Throttled { after, .. } => {
                // The fleet was told the same time.
                (*after).min(LONGEST_RETRY_AFTER) + self.spread(Duration::from_secs(1))
            }
            Failure::Forbidden(_)
            | Failure::Unserved(_)
            | Failure::Undecodable(_)
            | Failure::Other(_) => self.delay(),
        });
        // A page that fails for good would be asked for for ever: its token is not trusted again.
        let first_page = matches!(
            &self.state,
            State::Listing {
                continue_token: None,
                ..
            }
        );
        let listing = matches!(&self.state, State::Listing { .. });
        let throttled = matches!(failure, Failure::Throttled { .. });
        let lost = matches!(failure, Failure::Expired(_) | Failure::Undecodable(_));
        if lost || (listing && !first_page && !throttled) {
            self.state = State::start();
        }
        Effect::Lost(failure.message().to_owned())
    }

    /// The next backoff: between half and all of a doubled delay, never over the longest.
    fn delay(&mut self) -> Duration {
        let doubled = FIRST_DELAY
            .saturating_mul(1 << self.failures.min(10))
            .min(LONGEST_DELAY);
        self.failures = self.failures.saturating_add(1);
        doubled.mul_f64(0.5 + self.rng.f64() / 2.0)
    }

    /// The first relist is soon; a server that keeps saying 410 is asked less and less often.
    fn expired(&mut self) -> Duration {
        let soon = self.spread(EXPIRED_JITTER);
        match self.failures {
            0 => {
                self.failures = 1;
                soon
            }
            _ => soon.max(self.delay()),
        }
    }

    fn spread(&mut self, over: Duration) -> Duration {
        over.mul_f64(self.rng.f64())
    }
}

// === impl State ===

impl State {
    fn start() -> Self {
        State::Listing {
            pages: Vec::new(),
            continue_token: None,
        }
    }
}

#[cfg(test)]
mod tests;
