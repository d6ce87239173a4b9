//! A TCP or Unix connection as one type, so that hyper's code is compiled once.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::peer::{Peer, Presence};

/// An accepted connection.
pub(super) struct Stream {
    socket: Socket,
    presence: Presence,
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
        Self { socket, presence }
    }

    /// Who is at the other end.
    pub(super) fn peer(&self) -> Peer {
        let address = match &self.socket {
            Socket::Tcp(stream) => stream.peer_addr().ok().map(|a| a.ip().to_canonical()),
            Socket::Unix(_) => None,
        };
        Peer::new(address, self.presence.clone())
    }

    /// An error once the client has closed its side. A client that has sent its next request
    /// already hides it: then the next write tells.
    fn poll_presence(&self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Poll::Ready(ready) = self.socket.poll_read_ready(cx) {
            ready?;
            match self.socket.peek() {
                Ok(0) => return Err(ErrorKind::ConnectionAborted.into()),
                Ok(_) => break,
                // It was not ready after all, and says so from now on.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
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
