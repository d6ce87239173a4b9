//! Bodies on their way through: passed on as they come, a chunk at a time, never gathered.

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, timeout_at};

use super::expect::Refused;
use crate::http::MustStay;
use crate::shutdown::Shutdown;

/// How many bytes a body passes on before others on the thread have their turn: reads of keys
/// must not wait for a large body.
const TURN: usize = 128 * 1024;

/// Counts what has passed since the others had their turn.
#[derive(Default)]
pub(super) struct Turn(usize);

/// When an upload last went on: the API server begins its answer after it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Progress(Arc<Mutex<Instant>>);

// === impl Progress ===

impl Progress {
    pub(super) fn begin() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    pub(super) fn note(&self) {
        *self.lock() = Instant::now();
    }

    /// What `sending` comes to, unless it takes longer than `limit` from the last progress on.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        sending: impl Future<Output = T>,
    ) -> Option<T> {
        let mut sending = pin!(sending);
        loop {
            let deadline = *self.lock() + limit;
            if deadline <= Instant::now() {
                return None;
            }
            if let Ok(sent) = timeout_at(deadline, sending.as_mut()).await {
                return Some(sent);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Turn ===

impl Turn {
    /// Pending, and woken, once a turn is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 < TURN {
            return Poll::Ready(());
        }
        self.0 = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The next frame of `body`, when it is its turn.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        ready!(self.poll(cx));
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            self.0 += frame.data_ref().map_or(0, Bytes::len);
        }
        Poll::Ready(frame)
    }
}

/// An answer's body.
pub(super) struct Download {
    body: Incoming,
    turn: Turn,
    /// Ends the request to the API server when the client leaves.
    _stay: MustStay,
    /// Lets go of a request's body that was never asked for, once the answer is over.
    _refused: Option<Refused>,
    /// Of a stream that has no end of its own.
    ending: Option<Ending>,
}

/// How a stream without an end of its own ends when attache does, as its server may end it at any
/// time: after a whole event.
struct Ending {
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Whether what has passed ends a line, as every event does in JSON, and every line of a log.
    line_ended: bool,
    /// Begins with the stop.
    patience: Option<Pin<Box<Sleep>>>,
}

/// How long an event may take to arrive whole once attache stops.
const PATIENCE: Duration = Duration::from_secs(1);

// === impl Ending ===

impl Ending {
    fn new(mut stop: Shutdown) -> Self {
        Self {
            stop: Box::pin(async move { stop.requested().await }),
            line_ended: true,
            patience: None,
        }
    }

    /// Ready at the end: in order after a line, else with an error, so that nobody takes half an
    /// event for a whole one.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.patience.is_none() {
            ready!(self.stop.as_mut().poll(cx));
        }
        if self.line_ended {
            return Poll::Ready(Ok(()));
        }
        let patience = || Box::pin(tokio::time::sleep(PATIENCE));
        ready!(self.patience.get_or_insert_with(patience).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::other(
            "attache stops in the midst of an event",
        )))
    }

    fn passed(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) {
            self.line_ended = data.ends_with(b"\n");
        }
    }
}

// === impl Download ===

impl Download {
    pub(super) fn new(
        body: Incoming,
        stay: MustStay,
        refused: Option<Refused>,
        stop: Option<Shutdown>,
    ) -> Self {
        // What tells its length is not without end.
        let stop = stop.filter(|_| body.size_hint().exact().is_none());
        Self {
            body,
            turn: Turn::default(),
            _stay: stay,
            _refused: refused,
            ending: stop.map(Ending::new),
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if let Some(ending) = &mut this.ending
            && let Poll::Ready(ended) = ending.poll(cx)
        {
            return Poll::Ready(ended.err().map(Err));
        }
        let frame = ready!(this.turn.poll_frame(&mut this.body, cx));
        if let (Some(ending), Some(Ok(frame))) = (&mut this.ending, &frame) {
            ending.passed(frame);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
