//! A connection, TCP or Unix, in TLS or not, as one type, so that hyper's code is compiled once.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::peer::{Peer, Presence};
use super::socket::Socket;

/// How often a client is looked for that must stay, and whose bytes wait unread: once they have
/// arrived no further event tells that it left.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// An accepted connection.
pub(super) struct Stream {
    transport: Transport,
    /// How its TLS begins, where it is to have one and has not.
    tls: Option<Arc<ServerConfig>>,
    presence: Presence,
    /// When to look for the client again; only while there is a reason to.
    look_again: Option<Pin<Box<Sleep>>>,
}

enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

// === impl Stream ===

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        // Without it a small answer may wait for the acknowledgement of the last one. It fails
        // only on a connection that is gone already, which the first read reports.
        let _ = stream.set_nodelay(true);
        Self::new(Transport::Plain(Socket::Tcp(stream)))
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::new(Transport::Plain(Socket::Unix(stream)))
    }
}

impl Stream {
    fn new(transport: Transport) -> Self {
        Self {
            transport,
            tls: None,
            presence: Presence::default(),
            look_again: None,
        }
    }

    /// The same with TLS, whose [`handshake`](Self::handshake) is still to come.
    pub(super) fn with_tls(self, tls: Arc<ServerConfig>) -> Self {
        let tls = Some(tls);
        Self { tls, ..self }
    }

    /// Whether a handshake is to come.
    pub(super) fn needs_handshake(&self) -> bool {
        self.tls.is_some()
    }

    /// The connection after its TLS handshake (RFC 8446, section 2); one without TLS as it is.
    pub(super) async fn handshake(self) -> io::Result<Self> {
        match (self.tls, self.transport) {
            (Some(tls), Transport::Plain(socket)) => {
                let stream = TlsAcceptor::from(tls).accept(socket).await?;
                Ok(Self::new(Transport::Tls(Box::new(stream))))
            }
            (_, transport) => Ok(Self::new(transport)),
        }
    }

    fn socket(&self) -> &Socket {
        match &self.transport {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Who is at the other end.
    pub(super) fn peer(&self) -> Peer {
        Peer::new(self.socket().peer_address(), self.presence.clone())
    }

    /// An error once the client has closed its side.
    fn poll_presence(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Poll::Ready(ready) = self.socket().poll_read_ready(cx) {
            ready?;
            match self.socket().peek() {
                Ok(0) => return Err(ErrorKind::ConnectionAborted.into()),
                Ok(_) => return self.poll_behind_unread(cx),
                // It was not ready after all, and says so from now on.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.look_again = None;
        Ok(())
    }

    /// The same where bytes wait that nobody reads yet: more of an upload, or the next request.
    fn poll_behind_unread(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(look_again) = &mut self.look_again
            && look_again.as_mut().poll(cx).is_pending()
        {
            return Ok(());
        }
        let mut look_again = Box::pin(sleep(LOOK_AGAIN));
        // Pending, and to be woken.
        let _ = look_again.as_mut().poll(cx);
        self.look_again = Some(look_again);
        if self.socket().is_half_closed()? {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes each time it is polled, and reads nothing while it answers: here is where
    /// the end of a client that must stay is seen.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let flushed = match &mut stream.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        ready!(flushed)?;
        if stream.presence.is_needed() {
            stream.poll_presence(cx)?;
        } else {
            stream.look_again = None;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    async fn pair() -> (TcpStream, Stream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), accepted.unwrap().0.into())
    }

    /// Flushes until that says that the client is gone.
    async fn gone(stream: &mut Stream) -> ErrorKind {
        let error = poll_fn(|cx| match Pin::new(&mut *stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(error),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        });
        error.await.kind()
    }

    async fn is_missed(mut client: impl AsyncWrite + Unpin, mut stream: Stream) {
        client.write_all(b"unread").await.unwrap();
        poll_fn(|cx| stream.socket().poll_read_ready(cx))
            .await
            .unwrap();
        stream.flush().await.unwrap();
        assert!(stream.look_again.is_none(), "nobody needs the client");
        let _stay = stream.peer().must_stay();
        stream.flush().await.unwrap();
        assert!(stream.look_again.is_some());
        let mut read = [0; 6];
        stream.read_exact(&mut read).await.unwrap();
        stream.flush().await.unwrap();
        assert!(stream.look_again.is_none(), "an event will tell");
        client.write_all(b"unread").await.unwrap();
        poll_fn(|cx| stream.socket().poll_read_ready(cx))
            .await
            .unwrap();
        let started = Instant::now();
        let (kind, ()) = tokio::join!(biased; gone(&mut stream), async { drop(client) });
        assert_eq!(kind, ErrorKind::ConnectionAborted);
        // The paused clock may run ahead of the socket by some looks.
        assert!(started.elapsed() <= LOOK_AGAIN * 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_bytes_unread_is_missed() {
        let (client, stream) = pair().await;
        is_missed(client, stream).await;
        let (client, stream) = UnixStream::pair().unwrap();
        is_missed(client, stream.into()).await;
    }
}
