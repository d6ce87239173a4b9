//! A TCP or Unix connection as one type, so that hyper's code is compiled once.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Sleep, sleep};

use super::peer::{Peer, Presence};

/// How often a client is looked for that must stay, and whose bytes wait unread: once they have
/// arrived no further event tells that it left.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// An accepted connection.
pub(super) struct Stream {
    socket: Socket,
    presence: Presence,
    /// When to look for the client again; only while there is a reason to.
    look_again: Option<Pin<Box<Sleep>>>,
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

// === impl Stream ===

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        // Without it a small answer may wait for the acknowledgement of the last one. It fails
        // only on a connection that is gone already, which the first read reports.
        let _ = stream.set_nodelay(true);
        Self::new(Socket::Tcp(stream))
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::new(Socket::Unix(stream))
    }
}

impl Stream {
    fn new(socket: Socket) -> Self {
        let presence = Presence::default();
        Self {
            socket,
            presence,
            look_again: None,
        }
    }

    /// Who is at the other end.
    pub(super) fn peer(&self) -> Peer {
        let address = match &self.socket {
            Socket::Tcp(stream) => stream.peer_addr().ok().map(|a| a.ip().to_canonical()),
            Socket::Unix(_) => None,
        };
        Peer::new(address, self.presence.clone())
    }

    /// An error once the client has closed its side.
    fn poll_presence(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Poll::Ready(ready) = self.socket.poll_read_ready(cx) {
            ready?;
            match self.socket.peek() {
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
        if self.socket.is_half_closed()? {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

// === impl Socket ===

impl Socket {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// How many bytes (0 or 1) wait; 0 is the end.
    fn peek(&self) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, || peek(stream)),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, || peek(stream)),
        }
    }

    /// Whether the client has closed its side, whatever still waits to be read before its end.
    fn is_half_closed(&self) -> io::Result<bool> {
        match self {
            Self::Tcp(stream) => is_half_closed(stream),
            Self::Unix(stream) => is_half_closed(stream),
        }
    }
}

fn is_half_closed(socket: &impl AsFd) -> io::Result<bool> {
    let mut sockets = [PollFd::new(socket, PollFlags::RDHUP)];
    poll(&mut sockets, Some(&Timespec::default()))?;
    let [socket] = sockets;
    let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    Ok(socket.revents().intersects(gone))
}

fn peek(socket: &impl AsFd) -> io::Result<usize> {
    let mut byte = [0; 1];
    let (read, _) = rustix::net::recv(socket, &mut byte[..], RecvFlags::PEEK)?;
    Ok(read)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Socket::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes each time it is polled, and reads nothing while it answers: here is where
    /// the end of a client that must stay is seen.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let flushed = match &mut stream.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(cx),
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
        match &mut self.get_mut().socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
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
        poll_fn(|cx| stream.socket.poll_read_ready(cx))
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
        poll_fn(|cx| stream.socket.poll_read_ready(cx))
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
