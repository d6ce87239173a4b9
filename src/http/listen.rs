//! What attache listens on: TCP on loopback (both families), any other address, a Unix socket.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

use super::Stream;

/// The Unix socket's mode: its owner's and its group's, so that containers of one pod that run
/// under different users share it through `fsGroup`, and others cannot connect.
pub const UNIX_SOCKET_MODE: u32 = 0o660;

/// How many connections may wait to be accepted, as far as the kernel lets them
/// (`net.core.somaxconn`): at the usual 128, one of a burst of clients is dropped and waits a second
/// to be tried again.
const BACKLOG: u32 = 4096;

/// How often another free port is tried when the one of 127.0.0.1 is taken on `[::1]`.
const PORT_ATTEMPTS: usize = 8;

/// A bound listener.
#[derive(Debug)]
pub enum Listener {
    /// A TCP address.
    Tcp(TcpListener),
    /// A Unix socket, and its file, which goes with it.
    Unix(UnixListener, SocketFile),
    /// Either, whose connections are TLS.
    Tls(Box<Listener>, Arc<ServerConfig>),
}

/// Where a listener is bound. Displays as `127.0.0.1:8001` or `unix:/run/attache.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoundAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
}

impl fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A socket's file, removed on drop unless something else has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            // Left behind, it is recognized as stale at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Where those of the listeners are that listen on TCP.
#[must_use]
pub fn tcp_addresses(listeners: &[Listener]) -> Vec<SocketAddr> {
    let tcp = |listener: &Listener| match listener.address() {
        Ok(BoundAddress::Tcp(address)) => Some(address),
        _ => None,
    };
    listeners.iter().filter_map(tcp).collect()
}

/// Binds `address`; 127.0.0.1 also binds `[::1]` on the same port where the machine has it, since
/// `localhost` may mean either. Port 0 takes one that is free on both. `[::]` takes clients of both
/// families, whatever `net.ipv6.bindv6only` says, and is 0.0.0.0 where the machine has no IPv6.
///
/// # Errors
/// Those of bind(2), naming the address. That the machine has no IPv6 is none.
pub async fn bind(address: IpAddr, port: u16) -> io::Result<Vec<Listener>> {
    let mut attempts = PORT_ATTEMPTS;
    loop {
        let first = tcp(address, port)?;
        if address != IpAddr::V4(Ipv4Addr::LOCALHOST) {
            return Ok(vec![Listener::Tcp(first)]);
        }
        let same = first.local_addr()?.port();
        match tcp(Ipv6Addr::LOCALHOST.into(), same) {
            Ok(second) => return Ok(vec![Listener::Tcp(first), Listener::Tcp(second)]),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                attempts -= 1;
                if port != 0 || attempts == 0 {
                    return Err(error);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "no IPv6 loopback; attache serves 127.0.0.1 only");
                return Ok(vec![Listener::Tcp(first)]);
            }
        }
    }
}

fn tcp(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    let address = SocketAddr::new(address, port);
    let bound = match bound(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && lacks_ipv6(&error) => {
            tracing::debug!(%error, "no IPv6; attache serves 0.0.0.0 only");
            bound((Ipv4Addr::UNSPECIFIED, port).into())
        }
        bound => bound,
    };
    bound.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
}

fn bound(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // What a killed attache's connections leave behind does not keep the port.
    socket.set_reuseaddr(true)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Whether binding failed because the kernel has no IPv6, or has it disabled.
fn lacks_ipv6(error: &io::Error) -> bool {
    let codes = [
        Errno::AFNOSUPPORT,
        Errno::ADDRNOTAVAIL,
        Errno::PROTONOSUPPORT,
    ];
    Errno::from_io_error(error).is_some_and(|code| codes.contains(&code))
}

/// Binds a Unix socket at `path`, with [`UNIX_SOCKET_MODE`]. A socket file on which nothing
/// answers is left over from an earlier run, and replaced.
///
/// # Errors
/// `AddrInUse` if something answers there, `AlreadyExists` if the path is no socket, or those of
/// bind(2), naming the path.
pub fn bind_unix(path: &Path) -> io::Result<Listener> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("unix:{}: {error}", path.display()))
    };
    remove_stale(path).map_err(named)?;
    let listener = UnixListener::bind(path).map_err(named)?;
    rustix::net::listen(&listener, BACKLOG.cast_signed()).map_err(|error| named(error.into()))?;
    let file = SocketFile {
        path: path.to_owned(),
        inode: inode(path).map_err(named)?,
    };
    let mode = std::fs::Permissions::from_mode(UNIX_SOCKET_MODE);
    std::fs::set_permissions(path, mode).map_err(named)?;
    Ok(Listener::Unix(listener, file))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            let reason = "exists and is not a socket; remove it or choose another path";
            return Err(io::Error::new(ErrorKind::AlreadyExists, reason));
        }
        Ok(_) => {}
    }
    match unix::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            ErrorKind::AddrInUse,
            "another process answers on this socket",
        )),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) => Err(error),
    }
}

// === impl Listener ===

impl Listener {
    /// The same listener, whose connections are TLS: each handshake is its connection's own, and
    /// has [`Limits::header_read_timeout`](super::Limits::header_read_timeout).
    #[must_use]
    pub fn tls(self, config: Arc<ServerConfig>) -> Self {
        Self::Tls(Box::new(self), config)
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn address(&self) -> io::Result<BoundAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(BoundAddress::Tcp),
            Self::Unix(_, file) => Ok(BoundAddress::Unix(file.path.clone())),
            Self::Tls(listener, _) => listener.address(),
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        match self {
            Self::Tcp(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, _)| Stream::from(stream)),
            Self::Unix(listener, _) => listener
                .poll_accept(cx)
                .map_ok(|(stream, _)| Stream::from(stream)),
            Self::Tls(listener, config) => listener
                .poll_accept(cx)
                .map_ok(|stream| stream.with_tls(Arc::clone(config))),
        }
    }

    /// Takes the listener from the reactor, whose knowledge of it may lag behind the kernel's.
    pub(super) fn into_backlog(self) -> io::Result<Backlog> {
        Ok(match self {
            Self::Tcp(listener) => Backlog::Tcp(listener.into_std()?),
            Self::Unix(listener, file) => Backlog::Unix(listener.into_std()?, file),
            Self::Tls(listener, config) => Backlog::Tls(Box::new(listener.into_backlog()?), config),
        })
    }
}

/// The next connection on any of `listeners`, beginning after the one that had the last `turn`.
pub(super) async fn accept(listeners: &[Listener], turn: &mut usize) -> io::Result<Stream> {
    poll_fn(|cx| {
        for step in 1..=listeners.len() {
            let at = (*turn + step) % listeners.len();
            if let Poll::Ready(accepted) = listeners[at].poll_accept(cx) {
                *turn = at;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

/// What waits in a listener's backlog.
pub(super) enum Backlog {
    Tcp(std::net::TcpListener),
    Unix(
        unix::UnixListener,
        #[allow(dead_code, reason = "held for its drop")] SocketFile,
    ),
    Tls(Box<Backlog>, Arc<ServerConfig>),
}

impl Backlog {
    /// The next connection that waits; `None` once there is none.
    pub(super) fn next(&self) -> io::Result<Option<Stream>> {
        let accepted = match self {
            Self::Tcp(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream).map(Stream::from)
            }),
            Self::Unix(listener, _) => listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream).map(Stream::from)
            }),
            Self::Tls(backlog, config) => {
                let next = backlog.next()?;
                return Ok(next.map(|stream| stream.with_tls(Arc::clone(config))));
            }
        };
        match accepted {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
