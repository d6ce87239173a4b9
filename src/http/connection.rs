//! One connection: hyper's HTTP/1 with our limits, ended gracefully, and the tunnel it may become.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use http::{Request, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, sink};
use tokio::time::{sleep, timeout};

use super::{AfterUpgrade, GRACE, Handler, LINGER, Limits, MAX_BUFFER, MAX_DROPPED, Stream};
use crate::shutdown::Shutdown;

/// Serves `stream` until its client leaves, errs or idles, or attache stops; first its handshake,
/// if it is to have TLS.
pub(super) async fn run<H: Handler>(
    stream: Stream,
    handler: Arc<H>,
    limits: Limits,
    stop: Shutdown,
) {
    if !stream.needs_handshake() {
        return converse(stream, handler, limits, stop).await;
    }
    // On the heap, so that connections without TLS need no room for it.
    if let Some(stream) = Box::pin(secure(stream, limits, stop.clone())).await {
        converse(stream, handler, limits, stop).await;
    }
}

/// The connection after its handshake, which has as long as a request's head; and [`GRACE`] once
/// attache stops.
async fn secure(stream: Stream, limits: Limits, mut stop: Shutdown) -> Option<Stream> {
    let shaken = tokio::select! {
        shaken = timeout(limits.header_read_timeout, stream.handshake()) => {
            shaken.unwrap_or_else(|late| Err(late.into()))
        }
        () = stop.requested().then(|()| sleep(GRACE)) => return None,
    };
    // A port scan, a probe of TCP alone, a client that trusts other authorities: no incident of ours.
    shaken
        .inspect_err(
            |error| tracing::debug!(%error, "a TLS handshake failed; the connection is closed"),
        )
        .ok()
}

async fn converse<H: Handler>(stream: Stream, handler: Arc<H>, limits: Limits, mut stop: Shutdown) {
    let (handler, stopping) = (&*handler, &stop.clone());
    let (peer, after) = (&stream.peer(), &Mutex::new(None));
    let has_body = &AtomicBool::new(false);
    let service = service_fn(move |request: Request<Incoming>| async move {
        has_body.store(!request.body().is_end_stream(), Ordering::Relaxed);
        let mut response = handler.handle(request, peer).await;
        if let Some(work) = response.extensions_mut().remove::<AfterUpgrade>() {
            *after.lock().unwrap_or_else(PoisonError::into_inner) = Some(work);
        }
        // A 101 says `Connection: Upgrade`; the tunnel sees to its own end.
        if stopping.is_requested() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            super::close(response.headers_mut());
        }
        Ok::<_, Infallible>(response)
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        // A client may close its sending half and wait for the answer.
        .half_close(true)
        .max_buf_size(MAX_BUFFER)
        // Not `pipeline_flush`: while input is unread it withholds answers, and where that
        // input is never read (a malformed head, a second request during the drain) loses them.
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // hyper ends an idle connection at once, and what its client just sent is reset.
    let graceful = stop.requested().then(|()| sleep(GRACE));
    let (ended, idle) = tokio::select! {
        // First whatever has arrived, so that a head that was read is answered.
        biased;
        ended = &mut connection => (ended, false),
        () = graceful => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            match (&mut connection).now_or_never() {
                Some(ended) => (ended, true),
                None => ((&mut connection).await, false),
            }
        }
    };
    let sends = !idle && may_send(&ended, has_body.load(Ordering::Relaxed));
    if let Err(error) = ended {
        // Clients that leave, idle or send what is not HTTP: theirs to know, no incident of ours.
        tracing::debug!(%error, "a connection ended early");
    }
    // Without an upgrade the stream is still there; what its last request held goes now.
    let stream = connection.into_parts().map(|parts| parts.io.into_inner());
    let after = after.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (stream, after) {
        (Some(stream), _) if sends => Box::pin(linger(stream)).await,
        (None, Some(work)) => work.run().await,
        _ => {}
    }
}

/// Whether the client of a connection that ended so may still be sending: the body of its last
/// request, or what is no HTTP.
fn may_send(ended: &hyper::Result<()>, has_body: bool) -> bool {
    match ended {
        Ok(()) => has_body,
        Err(error) => error.is_parse() || (has_body && !error.is_timeout()),
    }
}

/// Reads and drops what the client still sends, until it closes or [`LINGER`] is over. Past
/// [`MAX_DROPPED`] nothing is read any more, and a client that reads while it sends has the rest
/// of the time for the answer.
async fn linger(mut stream: Stream) {
    let dropping = async {
        // It fails if that was done already, or if there is nobody to tell.
        let _ = stream.shutdown().await;
        let dropped = copy(&mut (&mut stream).take(MAX_DROPPED), &mut sink()).await;
        if dropped.is_ok_and(|dropped| dropped == MAX_DROPPED) {
            std::future::pending::<()>().await;
        }
    };
    // Over or not, the connection is closed.
    let _ = timeout(LINGER, dropping).await;
}
