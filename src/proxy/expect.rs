//! `Expect: 100-continue` from end to end (RFC 9110, section 10.1.1): the caller's body is asked
//! for when the API server asks for it, so that a request it refuses costs no upload.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;
use tower::BoxError;

use super::body::{Progress, Turn};
use super::headers;
use crate::upstream::BodyError;

/// How long a server may say neither 100 nor anything else before it gets the body anyway, for
/// not every server knows the expectation.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether, and for what, a request's body waits.
#[derive(Clone)]
pub(super) struct Expectation(Option<Arc<Mutex<Gate>>>);

/// What a body waits behind.
#[derive(Default)]
struct Gate {
    state: State,
    waker: Option<Waker>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Waiting,
    /// Asked for: the body flows.
    Open,
    /// The answer came first: the body is not wanted.
    Unwanted,
    /// The answer is over.
    Over,
}

/// A body that was never asked for; dropped when the answer is over.
pub(super) struct Refused(Arc<Mutex<Gate>>);

/// A request's body.
pub(super) struct Upload {
    body: Incoming,
    turn: Turn,
    progress: Progress,
    wait: Option<Wait>,
}

/// How long, at most, and behind what a body waits.
struct Wait {
    gate: Arc<Mutex<Gate>>,
    patience: Pin<Box<Sleep>>,
}

fn lock(gate: &Mutex<Gate>) -> MutexGuard<'_, Gate> {
    gate.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Moves on, from `Waiting` alone unless the answer is over.
fn advance(gate: &Mutex<Gate>, next: State) {
    let mut gate = lock(gate);
    if gate.state == State::Waiting || next == State::Over {
        gate.state = next;
        if let Some(waker) = gate.waker.take() {
            waker.wake();
        }
    }
}

// === impl Expectation ===

impl Expectation {
    /// That of a request with these headers and this body.
    pub(super) fn of(headers: &HeaderMap, body: &Incoming) -> Self {
        let waits = headers::expects_continue(headers) && !body.is_end_stream();
        Self(waits.then(Arc::default))
    }

    /// Listens for the 100 to `request`.
    pub(super) fn listen<B>(&self, request: &mut Request<B>) {
        let Some(gate) = self.0.clone() else { return };
        hyper::ext::on_informational(request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                advance(&gate, State::Open);
            }
        });
    }

    /// The body that waits for it.
    pub(super) fn upload(&self, body: Incoming, progress: Progress) -> Upload {
        let wait = self.0.clone().map(|gate| Wait {
            gate,
            patience: Box::pin(tokio::time::sleep(PATIENCE)),
        });
        Upload {
            body,
            turn: Turn::default(),
            progress,
            wait,
        }
    }

    /// The answer is there. If it came instead of the 100, the body stays unread.
    pub(super) fn answered(self) -> Option<Refused> {
        let gate = self.0?;
        advance(&gate, State::Unwanted);
        let refused = lock(&gate).state == State::Unwanted;
        refused.then(|| Refused(gate))
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        // The connection to the API server cannot serve another request: the body it was
        // promised never comes.
        advance(&self.0, State::Over);
    }
}

// === impl Upload ===

impl Upload {
    /// Ready when the body may flow.
    fn poll_wanted(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let Some(wait) = &mut self.wait else {
            return Poll::Ready(Ok(()));
        };
        let mut state = lock(&wait.gate);
        if state.state == State::Waiting && wait.patience.as_mut().poll(cx).is_ready() {
            state.state = State::Open;
        }
        match state.state {
            State::Open => {
                drop(state);
                self.wait = None;
                Poll::Ready(Ok(()))
            }
            State::Waiting | State::Unwanted => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            State::Over => Poll::Ready(Err("the API server did not want the body".into())),
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match this.poll_wanted(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
            Poll::Ready(Ok(())) => {}
        }
        let frame = ready!(this.turn.poll_frame(&mut this.body, cx));
        this.progress.note();
        Poll::Ready(frame.map(|frame| frame.map_err(|error| BodyError(error).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
