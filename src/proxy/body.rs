//! Bodies on their way through: passed on as they come, a chunk at a time, never gathered.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::expect::Refused;
use crate::http::MustStay;
use crate::shutdown::Shutdown;

/// How many bytes a body passes on before others on the thread have their turn: reads of keys
/// must not wait for a large body.
const TURN: usize = 128 * 1024;

/// Counts what has passed since the others had their turn.
#[derive(Default)]
pub(super) struct Turn(usize);

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
    /// Ends a stream that has no end of its own, as its server may at any time.
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
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
        let stop = stop.map(|mut stop| Box::pin(async move { stop.requested().await }) as Pin<_>);
        Self {
            body,
            turn: Turn::default(),
            _stay: stay,
            _refused: refused,
            stop,
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
        if let Some(stop) = &mut this.stop
            && stop.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(None);
        }
        let frame = this.turn.poll_frame(&mut this.body, cx);
        frame.map(|frame| frame.map(|frame| frame.map_err(io::Error::other)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
