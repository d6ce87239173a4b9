//! `attache watch`: follows the event stream of an object or a key, and of a sidecar that comes back.

use std::fmt;
use std::io::Write;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Request, StatusCode};
use tokio::sync::watch::Sender;
use tokio::time::{Instant, sleep, timeout};

use super::command::Runner;
use super::connection::{self, Answer, Answering};
use super::events::Events;
use super::model::{Model, Told};
use super::show::{Newest, Show};
use super::subject::{Say, Subject};
use super::{Failure, namespace, path, reason, within};
use crate::config::Watch;
use crate::process::{Children, Orphans};

/// A stream that says nothing for three of its heartbeats is dead.
const SILENCE: Duration = Duration::from_secs(45);
/// A stream that has held for a heartbeat is as good as one that brought an event.
const HELD: Duration = Duration::from_secs(15);
/// The first delay after a stream was lost, doubled each time.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

const EVENT_STREAM: &str = "text/event-stream";
/// WHATWG HTML, section 9.2.4.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Follows the stream, again and again.
struct Follower<'a> {
    watch: &'a Watch,
    subject: &'a Subject<'a>,
    say: Say<'a>,
    newest: Sender<Newest>,
    model: Model,
    /// The sidecar has answered at least once.
    reached: bool,
    /// That the sidecar has lost its source was said.
    stale: bool,
    /// That the stream was lost was said.
    said: bool,
    /// How often in a row the stream was lost.
    losses: u32,
    first_delay: Duration,
}

/// Why there is no stream any more.
enum Lost {
    /// It is asked for again, after this long at the earliest.
    Again { reason: String, after: Duration },
    /// There is no sense in asking again.
    ForGood(Failure),
}

/// Shows the present state and then each change, on `out` or to the command, until nobody reads
/// `out` any more. States in between may be skipped, the last one never is. A stream that is lost is
/// said and asked for again.
///
/// # Errors
/// The sidecar could not be reached at first, it refuses (403, 405, …), or `out` fails.
pub async fn watch<W>(watch: &Watch, out: W, say: Say<'_>) -> Result<(), Failure>
where
    W: Write + Send + 'static,
{
    let asked = namespace(&watch.endpoint, &watch.object);
    let namespace = within(&watch.endpoint, SILENCE, asked).await?;
    let subject = Subject {
        kind: watch.kind,
        namespace: &namespace,
        name: &watch.object.name,
        key: watch.key.as_deref(),
    };
    // Nothing else here starts programs.
    let children = Children::new(Orphans::AtOnce);
    let show = match &*watch.command {
        [] => Show::Print(Arc::new(Mutex::new(out))),
        argv => Show::Run(Runner {
            argv,
            subject: &subject,
            children: children.clone(),
        }),
    };
    let (tell, newest) = tokio::sync::watch::channel(None);
    let follower = Follower::new(watch, &subject, tell, say);
    let watching = async {
        let mut showing = pin!(show.follow(&subject, newest, say));
        tokio::select! {
            shown = &mut showing => shown,
            failure = follower.follow() => {
                // What was told before is shown.
                showing.await?;
                Err(failure)
            }
        }
    };
    tokio::select! {
        watched = watching => watched,
        Err(error) = children.reap() => Err(Failure::Signals(error)),
    }
}

// === impl Follower ===

impl<'a> Follower<'a> {
    fn new(
        watch: &'a Watch,
        subject: &'a Subject<'a>,
        newest: Sender<Newest>,
        say: Say<'a>,
    ) -> Self {
        Self {
            watch,
            subject,
            say,
            newest,
            model: Model::new(subject.key.is_some()),
            reached: false,
            stale: false,
            said: false,
            losses: 0,
            first_delay: FIRST_DELAY,
        }
    }

    /// Returns why there is no sense in following any longer.
    async fn follow(mut self) -> Failure {
        loop {
            let (reason, after) = match self.stream().await {
                Lost::Again { reason, after } => (reason, after),
                Lost::ForGood(failure) => return failure,
            };
            self.model.break_off();
            // A stream says at its start if it is stale.
            self.stale = false;
            if !std::mem::replace(&mut self.said, true) {
                let (subject, at) = (self.subject, &self.watch.endpoint);
                (self.say)(&format!(
                    "{subject}: no stream from the sidecar at {at} ({reason}); trying again until there is"
                ));
            }
            sleep(self.delay().max(after)).await;
        }
    }

    /// Follows one stream to its end.
    async fn stream(&mut self) -> Lost {
        let mut answering = match self.ask().await {
            Ok(answering) => answering,
            Err(lost) => return lost,
        };
        let begun = Instant::now();
        let mut events = Events::default();
        loop {
            let chunk = match timeout(SILENCE, answering.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Lost::again("it has ended"),
                Ok(Err(error)) => return Lost::again(error),
                Err(_) => return Lost::again(format!("it was silent for {SILENCE:?}")),
            };
            let Ok(read) = events.feed(&chunk) else {
                return Lost::ForGood(Failure::Refused(
                    "the sidecar sent an event of more than 12 MiB, which is none of attache's: \
                     see what listens there"
                        .to_owned(),
                ));
            };
            for event in read {
                let Ok(told) = self.model.apply(&event) else {
                    self.model.forget_id();
                    return Lost::again("it held an event that cannot be read");
                };
                self.take(told);
                self.held();
            }
            if begun.elapsed() >= HELD {
                self.held();
            }
            if let Some(retry) = events.retry() {
                self.first_delay = retry.clamp(FIRST_DELAY, LONGEST_DELAY);
            }
        }
    }

    /// Asks for the stream.
    async fn ask(&mut self) -> Result<Answering, Lost> {
        let Watch { endpoint, key, .. } = self.watch;
        let namespace = self.subject.namespace;
        let path = path(
            namespace,
            self.watch.kind,
            &self.watch.object,
            key.as_deref(),
        );
        let mut request = Request::get(path).header(ACCEPT, EVENT_STREAM);
        let id = self.model.id().map(HeaderValue::from_str);
        if let Some(Ok(id)) = id {
            request = request.header(LAST_EVENT_ID, id);
        }
        let asked = async {
            let mut answering = connection::send(endpoint, request, Bytes::new()).await?;
            if answering.status == StatusCode::OK {
                return Ok(Ok(answering));
            }
            let status = answering.status;
            let body = answering.whole().await.unwrap_or_default();
            Ok(Err((Answer { status, body }, answering.headers)))
        };
        let answered = match within(endpoint, SILENCE, asked).await {
            Ok(answered) => answered,
            Err(Failure::Unreachable { reason, .. }) if self.reached => {
                return Err(Lost::again(reason));
            }
            Err(late @ Failure::Late { .. }) if self.reached => return Err(Lost::again(late)),
            Err(failure) => return Err(Lost::ForGood(failure)),
        };
        self.reached = true;
        match answered {
            Ok(answering) if streams(&answering.headers) => Ok(answering),
            Ok(_) => Err(Lost::ForGood(Failure::Refused(format!(
                "the sidecar at {endpoint} does not stream changes: it is of an older version"
            )))),
            Err((answer, headers)) => Err(Lost::refused(&answer, &headers)),
        }
    }

    fn take(&mut self, told: Told) {
        let subject = self.subject;
        match told {
            // Nobody who follows is nobody to tell.
            Told::State(shown) => drop(self.newest.send(shown.map(Arc::new))),
            Told::Stale(reason) if !self.stale => {
                self.stale = true;
                (self.say)(&format!(
                    "{subject}: the sidecar has lost its source ({reason}); what it had last stands"
                ));
            }
            Told::Fresh if self.stale => {
                self.stale = false;
                (self.say)(&format!("{subject}: the sidecar has its source again"));
            }
            Told::Stale(_) | Told::Fresh | Told::Nothing => {}
        }
    }

    /// The stream is good: the next loss is the first again.
    fn held(&mut self) {
        self.losses = 0;
        self.said = false;
    }

    /// How long to wait after one more loss: between half and all of the doubled delay.
    fn delay(&mut self) -> Duration {
        let doubled = self
            .first_delay
            .saturating_mul(1 << self.losses.min(5))
            .min(LONGEST_DELAY);
        self.losses += 1;
        doubled.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// Whether the answer is an event stream.
fn streams(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    media_type.is_some_and(|text| {
        let essence = text.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(EVENT_STREAM)
    })
}

// === impl Lost ===

impl Lost {
    fn again(reason: impl fmt::Display) -> Self {
        Self::Again {
            reason: reason.to_string(),
            after: Duration::ZERO,
        }
    }

    /// Only who is unavailable, or asked too often, is asked again (RFC 9110, section 15.6.4; RFC
    /// 6585, section 4).
    fn refused(answer: &Answer, headers: &HeaderMap) -> Self {
        let reason = reason(answer);
        match answer.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                let after = headers.get(RETRY_AFTER);
                let seconds = after.and_then(|value| value.to_str().ok()?.parse().ok());
                let after = Duration::from_secs(seconds.unwrap_or(0)).min(LONGEST_DELAY);
                Self::Again { reason, after }
            }
            _ => Self::ForGood(Failure::Refused(reason)),
        }
    }
}

#[cfg(test)]
mod tests;
