//! Connections of any kind, and when the API server last sent a byte on them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceExt as _};
use tower_service::Service;

/// Notes when the API server last sent a byte. Cheap to clone; shared by all connections.
#[derive(Debug, Clone)]
pub struct Heard {
    start: Instant,
    millis: Arc<AtomicU64>,
}

// === impl Heard ===

impl Heard {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            millis: Arc::default(),
        }
    }

    fn now(&self) {
        let millis = self.start.elapsed().as_millis();
        self.millis
            .store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When that was, to the millisecond; the start if never.
    #[must_use]
    pub fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }
}

/// One type for every way to connect: the HTTP/2 stack above it is large, and compiled once.
pub(super) type Connector = BoxCloneSyncService<Uri, Box<dyn Io>, BoxError>;

/// A connection of any kind.
pub(super) trait Io: Connection + Read + Write + Send + Unpin {}

impl<T: Connection + Read + Write + Send + Unpin> Io for T {}

pub(super) fn boxed<C>(connector: C) -> Connector
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Io + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let erased = connector.map_response(|io| Box::new(io) as Box<dyn Io>);
    BoxCloneSyncService::new(erased.map_err(Into::into))
}

/// A connector whose connections note every byte that arrives.
#[derive(Clone)]
pub(super) struct Listening {
    pub(super) connector: Connector,
    pub(super) heard: Heard,
}

impl Service<Uri> for Listening {
    type Response = Noted;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Noted, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.connector.call(uri);
        let heard = self.heard.clone();
        Box::pin(async move {
            let io = connecting.await?;
            let opened = Opened(Instant::now());
            Ok(Noted { io, heard, opened })
        })
    }
}

pub(super) struct Noted {
    io: Box<dyn Io>,
    heard: Heard,
    opened: Opened,
}

/// When a connection was opened: what the HTTP stack tells of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opened(pub(super) Instant);

impl Connection for Noted {
    fn connected(&self) -> Connected {
        self.io.connected().extra(self.opened)
    }
}

impl Read for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if matches!(read, Poll::Ready(Ok(()))) {
            self.heard.now();
        }
        read
    }
}

impl Write for Noted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
}
