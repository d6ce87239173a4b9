//! The one accept loop: limits, timeouts, draining. It knows no routes.
//!
//! Reading order: [`listen`] (what is bound), [`serve`] (who is let in, and how it ends), then
//! one connection's life.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};

use crate::shutdown::Shutdown;

mod after_upgrade;
mod connection;
pub mod listen;
mod peer;
mod socket;
mod stream;

pub use after_upgrade::AfterUpgrade;
pub use listen::Listener;
pub use peer::{MustStay, Peer};
use stream::Stream;

/// A response's body: held whole, or (boxed) streamed. The first costs no allocation.
pub type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, std::io::Error>>;

/// How long a client has to send a request's whole head. A connection kept alive may be idle for
/// as long, since the time runs from the end of the last answer: as long as nginx waits, so that an
/// app that reads now and then finds its connection open.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The most bytes of a request's head that are buffered, and of an answer. A longer head is
/// answered 431 (or 414) without a body.
pub const MAX_BUFFER: usize = 64 * 1024;

/// How long connections may take to end once attache stops.
pub const DRAIN: Duration = Duration::from_secs(4);

/// How long an idle connection stays open once attache stops: a request that is on its way is
/// read and answered rather than reset.
const GRACE: Duration = Duration::from_millis(100);

/// How long a connection is held open after its last answer while its client may still be sending
/// a body that nobody reads: closed at once it would be reset, and the answer lost with it (RFC
/// 9112, section 9.6). As long as Go's server.
pub const LINGER: Duration = Duration::from_millis(500);

/// The most bytes of such a body that are read and dropped, so that a client that sends all of it
/// before it reads gets its answer, too. More than the API server takes in one request (3 MiB).
pub const MAX_DROPPED: u64 = 4 * 1024 * 1024;

/// The pause after a failed accept. Most failures (no descriptor left) do not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one server lets in, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most connections open at once, at least 1. Further ones wait in the kernel's backlog, unaccepted.
    pub max_connections: usize,
    /// See [`HEADER_READ_TIMEOUT`].
    pub header_read_timeout: Duration,
    /// See [`DRAIN`].
    pub drain: Duration,
}

impl Limits {
    /// The documented timeouts, with `max_connections` connections.
    #[must_use]
    pub fn new(max_connections: usize) -> Self {
        Self {
            max_connections,
            header_read_timeout: HEADER_READ_TIMEOUT,
            drain: DRAIN,
        }
    }
}

/// What a server counts. A default one counts for nobody.
#[derive(Debug, Clone, Default)]
pub struct Meters {
    /// Connections open.
    pub open: Gauge,
    /// Accepts that failed.
    pub accept_errors: Counter,
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request of `peer`. A panic ends its connection and nothing else.
    fn handle(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// Says that the connection ends with the answer that has these headers (RFC 9112, section 9.6).
pub fn close(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

/// Serves HTTP/1 on `listeners` until `shutdown`, then drains: what the backlog holds is still
/// accepted, the listeners are closed, every answer says `connection: close`, idle connections
/// end. Returns once all have ended, or after [`Limits::drain`].
pub async fn serve<H: Handler>(
    listeners: Vec<Listener>,
    handler: Arc<H>,
    limits: Limits,
    meters: Meters,
    shutdown: Shutdown,
) {
    let mut server = Server {
        handler,
        limits,
        meters,
        shutdown,
        connections: JoinSet::new(),
        full: false,
    };
    server.accept(&listeners).await;
    server.drain(listeners).await;
}

struct Server<H> {
    handler: Arc<H>,
    limits: Limits,
    meters: Meters,
    shutdown: Shutdown,
    connections: JoinSet<()>,
    /// Whether it was said that there is no room.
    full: bool,
}

// === impl Server ===

impl<H: Handler> Server<H> {
    async fn accept(&mut self, listeners: &[Listener]) {
        let mut stop = self.shutdown.clone();
        let mut turn = 0;
        loop {
            let room = self.has_room();
            tokio::select! {
                () = stop.requested() => return,
                Some(ended) = self.connections.join_next() => self.ended(ended),
                accepted = listen::accept(listeners, &mut turn), if room => match accepted {
                    Ok(stream) => self.open(stream),
                    Err(error) => self.failed(&error).await,
                },
            }
        }
    }

    async fn drain(&mut self, listeners: Vec<Listener>) {
        let deadline = Instant::now() + self.limits.drain;
        let _ = timeout_at(deadline, async {
            for listener in listeners {
                self.empty_backlog(listener).await;
            }
            while let Some(ended) = self.connections.join_next().await {
                self.ended(ended);
            }
        })
        .await;
        if !self.connections.is_empty() {
            tracing::warn!(
                connections = self.connections.len(),
                "connections did not end in time; attache cuts them off"
            );
            self.connections.shutdown().await;
            self.meters.open.set(0);
        }
    }

    /// Accepts what waits, as connections end and make room for it, then closes the listener.
    async fn empty_backlog(&mut self, listener: Listener) {
        let backlog = match listener.into_backlog() {
            Ok(backlog) => backlog,
            Err(error) => {
                tracing::warn!(%error, "the backlog cannot be read; attache closes the listener");
                return;
            }
        };
        loop {
            while !self.has_room() {
                if let Some(ended) = self.connections.join_next().await {
                    self.ended(ended);
                }
            }
            match backlog.next() {
                Ok(Some(stream)) => self.open(stream),
                Ok(None) => return,
                Err(error) => self.failed(&error).await,
            }
        }
    }

    fn has_room(&self) -> bool {
        self.connections.len() < self.limits.max_connections.max(1)
    }

    fn open(&mut self, stream: Stream) {
        self.meters.open.inc();
        let (handler, stop) = (Arc::clone(&self.handler), self.shutdown.clone());
        self.connections
            .spawn(connection::run(stream, handler, self.limits, stop));
        if !self.has_room() && !std::mem::replace(&mut self.full, true) {
            tracing::warn!(
                connections = self.limits.max_connections,
                "as many connections are open as may be (--max-connections, or 1024 of a webhook); further ones wait"
            );
        }
    }

    fn ended(&mut self, ended: Result<(), JoinError>) {
        self.meters.open.dec();
        // A tenth free again is an end of it; one more is the next client's.
        self.full &= self.connections.len() > self.limits.max_connections / 10 * 9;
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!(%error, "a request made attache panic; its connection is closed");
        }
    }

    async fn failed(&self, error: &std::io::Error) {
        // The client went away while it waited: no reason to let the next one wait.
        if error.kind() == std::io::ErrorKind::ConnectionAborted {
            return;
        }
        self.meters.accept_errors.inc();
        tracing::warn!(%error, "a connection could not be accepted; attache tries again");
        sleep(ACCEPT_PAUSE).await;
    }
}
