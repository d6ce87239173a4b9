//! One connection: hyper's HTTP/1 with our limits, ended gracefully, and the tunnel it may become.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::sleep;

use super::{AfterUpgrade, GRACE, Handler, Limits, MAX_BUFFER, Stream};
use crate::shutdown::Shutdown;

/// Serves `stream` until its client leaves, errs or idles, or attache stops.
pub(super) async fn run<H: Handler>(
    stream: Stream,
    handler: Arc<H>,
    limits: Limits,
    mut stop: Shutdown,
) {
    let (handler, stopping) = (&*handler, &stop.clone());
    let (peer, tunnel) = (&stream.peer(), &Mutex::new(None));
    let service = service_fn(move |request| async move {
        let mut response = handler.handle(request, peer).await;
        if let Some(work) = response.extensions_mut().remove::<AfterUpgrade>() {
            *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(work);
        }
        if stopping.is_requested() {
            super::close(response.headers_mut());
        }
        Ok::<_, Infallible>(response)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read_timeout)
            // A client may close its sending half and wait for the answer.
            .half_close(true)
            .max_buf_size(MAX_BUFFER)
            // Not `pipeline_flush`: while input is unread it withholds answers, and where that
            // input is never read (a malformed head, a second request during the drain) loses them.
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    let graceful = async {
        stop.requested().await;
        // hyper ends an idle connection at once, and what its client just sent is reset.
        sleep(GRACE).await;
    };
    let ended = tokio::select! {
        // First whatever has arrived, so that a head that was read is answered.
        biased;
        ended = connection.as_mut() => ended,
        () = graceful => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients that leave, idle or send what is not HTTP: theirs to know, no incident of ours.
        tracing::debug!(%error, "a connection ended early");
    }
    let tunnel = tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(tunnel) = tunnel {
        tunnel.run().await;
    }
}
