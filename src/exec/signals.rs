//! The signals that attache gets while it stands before a command.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use procfs::process::Process;
use tokio::signal::unix::{self, SignalKind};

use super::Ended;
use crate::config::Signal;
use crate::process::Dispositions;

/// Those that are handled, with the name of each. The last ask to end.
const HANDLED: [(&str, rustix::process::Signal); 7] = [
    ("USR1", rustix::process::Signal::USR1),
    ("USR2", rustix::process::Signal::USR2),
    ("WINCH", rustix::process::Signal::WINCH),
    ("HUP", rustix::process::Signal::HUP),
    ("INT", rustix::process::Signal::INT),
    ("QUIT", rustix::process::Signal::QUIT),
    ("TERM", rustix::process::Signal::TERM),
];

/// Receives the signals for the command: TERM, which ends it, and those that are passed on.
#[derive(Debug)]
pub struct Signals {
    streams: Vec<(Signal, unix::Signal)>,
}

// === impl Signals ===

impl Signals {
    /// Handles the signals from now on. One that is ignored stays so, for attache and the command:
    /// `nohup` ignores HUP.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        let own = Process::myself().and_then(|process| Dispositions::of(&process));
        let mut streams = Vec::new();
        for (name, signal) in HANDLED {
            let number = signal.as_raw();
            // Without /proc, none is taken for ignored.
            if own.as_ref().is_ok_and(|own| own.ignores(signal)) {
                continue;
            }
            let stream = unix::signal(SignalKind::from_raw(number))?;
            let name = name.to_owned();
            streams.push((Signal { number, name }, stream));
        }
        Ok(Self { streams })
    }

    /// Handles none, so that a test's process keeps its own.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self {
            streams: Vec::new(),
        }
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (signal, stream) in &mut self.streams {
                if stream.poll_recv(context).is_ready() {
                    return Poll::Ready(signal.clone());
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for a signal that ends attache while no command runs: TERM, INT, HUP or QUIT. The
    /// others have nobody to go to.
    pub async fn end(&mut self) -> Ended {
        loop {
            let signal = self.next().await;
            if ends(&signal) {
                return Ended::by(&signal);
            }
        }
    }
}

/// Whether the signal asks a process to end.
pub(super) fn ends(signal: &Signal) -> bool {
    matches!(&*signal.name, "TERM" | "INT" | "QUIT" | "HUP")
}

/// TERM.
pub(super) fn term() -> Signal {
    Signal {
        number: rustix::process::Signal::TERM.as_raw(),
        name: "TERM".to_owned(),
    }
}
