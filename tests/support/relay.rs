//! A TCP relay in front of a server, which can fail as networks do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the relay does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    Freeze,
    Refuse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    mode: Mode,
    /// Raised by a freeze: connections of an older one never forward again.
    freezes: usize,
    /// Raised by a cut: connections of an older one end.
    cut: usize,
}

#[derive(Debug, Default)]
struct Counts {
    live: AtomicUsize,
    total: AtomicUsize,
}

/// Relays TCP connections to one upstream address; ends with all of them when dropped.
#[derive(Debug)]
pub struct Relay {
    addr: SocketAddr,
    state: watch::Sender<State>,
    counts: Arc<Counts>,
    accept: JoinHandle<()>,
}

impl Relay {
    /// Listens on a free loopback port.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a local address");
        let (state, states) = watch::channel(State {
            mode: Mode::Pass,
            freezes: 0,
            cut: 0,
        });
        let counts = Arc::<Counts>::default();
        let accept = tokio::spawn({
            let counts = counts.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(relay(client, upstream, states.clone(), counts.clone()));
                }
            }
        });
        Self {
            addr,
            state,
            counts,
            accept,
        }
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops forwarding: bytes are still accepted and acknowledged on both sides, and lost. No
    /// connection of this time, new ones included, ever forwards again: to its client it is
    /// half-open until the client closes it.
    pub fn freeze(&self) {
        self.state.send_modify(|state| {
            state.mode = Mode::Freeze;
            state.freezes += 1;
        });
    }

    /// Connections made from now on are forwarded.
    pub fn pass(&self) {
        self.state.send_modify(|state| state.mode = Mode::Pass);
    }

    /// Resets all connections, to the client and upstream; new ones are treated as before.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cut += 1);
    }

    /// Resets all connections, and each new one, until [`Self::pass`].
    pub fn refuse(&self) {
        self.state.send_modify(|state| {
            state.mode = Mode::Refuse;
            state.cut += 1;
        });
    }

    /// Connections that clients hold now, frozen ones included.
    pub fn live(&self) -> usize {
        self.counts.live.load(Ordering::Relaxed)
    }

    /// Connections accepted so far.
    pub fn total(&self) -> usize {
        self.counts.total.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accept.abort();
        self.cut();
    }
}

async fn relay(
    mut client: TcpStream,
    upstream: SocketAddr,
    mut states: watch::Receiver<State>,
    counts: Arc<Counts>,
) {
    let State { mode, cut, .. } = *states.borrow();
    counts.total.fetch_add(1, Ordering::Relaxed);
    counts.live.fetch_add(1, Ordering::Relaxed);
    let mut cuts = states.clone();
    let was_cut = mode == Mode::Refuse
        || tokio::select! {
            () = forward(&mut client, upstream, &mut states) => false,
            // Ends with the sender too: a dropped relay cuts.
            _ = cuts.wait_for(|state| state.cut != cut) => true,
        };
    if was_cut {
        let _ = client.set_zero_linger();
    }
    drop(client);
    counts.live.fetch_sub(1, Ordering::Relaxed);
}

/// Until one side closes, or the client does after a freeze.
async fn forward(
    client: &mut TcpStream,
    upstream: SocketAddr,
    states: &mut watch::Receiver<State>,
) {
    let begun = *states.borrow();
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        let _ = client.set_zero_linger();
        return;
    };
    tokio::select! {
        biased;
        Ok(_) = states.wait_for(|state| begun.mode == Mode::Freeze || state.freezes != begun.freezes) => {}
        _ = copy_bidirectional(client, &mut server) => return,
    }
    // The server may hang up; a client that is cut off would not learn of it.
    let server_hangs_up = async {
        swallow(&mut server).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = swallow(client) => {}
        () = server_hangs_up => {}
    }
}

async fn swallow(from: &mut (impl AsyncRead + Unpin)) {
    let mut lost = [0; 4096];
    while let Ok(1..) = from.read(&mut lost).await {}
}
