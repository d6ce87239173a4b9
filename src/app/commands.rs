//! What the binary runs: the sidecar until a signal, and the client's commands.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{App, Bound, Fatal};
use crate::cli::{self, Parsed};
use crate::client::{self, Failure, Say};
use crate::config::{self, Config, Get, Healthcheck, Job, Set, Unset, Watch};
use crate::exec;

/// Runs the sidecar until SIGTERM or SIGINT, where a second one ends it at once, or `attache exec`
/// until its command ends. Returns the exit code.
///
/// # Errors
/// [`Fatal`].
pub async fn run(config: Config) -> Result<u8, Fatal> {
    if config.exec.is_some() {
        return run_command(config).await;
    }
    // Before anything else, so that an early SIGTERM is an orderly end, too.
    let mut signals = Stop::new()?;
    let app = tokio::select! {
        app = App::start(config) => app?,
        () = signals.next() => return Ok(0),
    };
    announce(app.bound());
    let serving = async |stop: Asked| {
        app.run(async {
            // A dropped sender asks for the same.
            let _ = stop.await;
        })
        .await
    };
    let served = signals.serve(serving).await;
    served.unwrap_or(Ok(())).map(|()| 0)
}

/// `attache exec`: stdout belongs to the command, and signals go to it.
async fn run_command(config: Config) -> Result<u8, Fatal> {
    let mut signals = exec::Signals::new().context("cannot handle signals")?;
    let app = tokio::select! {
        app = App::start(config) => app?,
        ended = signals.end() => return Ok(ended.code),
    };
    let Some(command) = app.command(signals) else {
        return Ok(0);
    };
    let ended = app.run(command).await??;
    Ok(ended.code)
}

/// Says on stdout where attache listens, as `kubectl proxy` does: scripts wait for this line and
/// read a chosen port from it.
fn announce(bound: &Bound) {
    let place = match (bound.addresses.first(), &bound.unix_socket) {
        (Some(address), _) => address.to_string(),
        (None, Some(path)) => path.display().to_string(),
        (None, None) => return,
    };
    // A closed stdout is nobody's loss.
    let _ = writeln!(std::io::stdout(), "Starting to serve on {place}");
}

/// Told by the first signal.
pub(super) type Asked = oneshot::Receiver<()>;

/// SIGTERM and SIGINT, which ask attache to stop.
pub(super) struct Stop {
    term: Signal,
    int: Signal,
}

// === impl Stop ===

impl Stop {
    /// Handles them from now on.
    pub(super) fn new() -> Result<Self, Fatal> {
        Ok(Self {
            term: handler(SignalKind::terminate())?,
            int: handler(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next of either.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }

    /// Awaits `serving`, which is told of the first signal; a second one ends it at once: `None`.
    pub(super) async fn serve<T>(mut self, serving: impl AsyncFnOnce(Asked) -> T) -> Option<T> {
        let (first, stop) = oneshot::channel();
        let signals = async {
            self.next().await;
            info!("asked to stop; a second signal ends attache at once");
            drop(first);
            self.next().await;
            warn!("asked to stop again: ending without draining");
        };
        tokio::select! {
            ended = serving(stop) => Some(ended),
            () = signals => None,
        }
    }
}

fn handler(kind: SignalKind) -> Result<Signal, Fatal> {
    Ok(signal(kind).context("cannot handle signals")?)
}

/// The configuration that these arguments, without any environment, make; for tests.
///
/// # Errors
/// Every fault, one a line.
pub fn config_from<'a>(args: impl IntoIterator<Item = &'a str>) -> Result<Config, String> {
    let args = args.into_iter().map(OsString::from);
    match cli::parse(args, std::iter::empty()) {
        Parsed::Command { command, faults } => match config::load(command, faults) {
            Ok(Job::Run(config)) => Ok(*config),
            Ok(_) => Err("not a run command".into()),
            Err(faults) => Err(faults.to_string()),
        },
        Parsed::Text(text) => Err(text),
    }
}

/// `attache get`: writes what the sidecar serves to `out`.
///
/// # Errors
/// As [`client::get`].
pub async fn get(get: &Get, out: &mut impl Write) -> Result<(), Failure> {
    client::get(get, out).await
}

/// `attache watch`: shows what the sidecar serves until SIGTERM or SIGINT. `say` gets what is not for
/// `out`.
///
/// # Errors
/// As [`client::watch`].
pub async fn watch(
    watch: &Watch,
    out: impl Write + Send + 'static,
    say: Say<'_>,
) -> Result<(), Failure> {
    let mut term = signal(SignalKind::terminate()).map_err(Failure::Signals)?;
    let mut int = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
    tokio::select! {
        watched = client::watch(watch, out, say) => watched,
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
    }
}

/// `attache set`; `stdin` is read if a value comes from there.
///
/// # Errors
/// As [`client::set`].
pub async fn set(set: &Set, stdin: &mut impl Read) -> Result<(), Failure> {
    client::set(set, stdin).await
}

/// `attache unset`.
///
/// # Errors
/// As [`client::unset`].
pub async fn unset(unset: &Unset) -> Result<(), Failure> {
    client::unset(unset).await
}

/// `attache healthcheck`.
///
/// # Errors
/// As [`client::healthcheck`].
pub async fn healthcheck(healthcheck: &Healthcheck) -> Result<(), Failure> {
    client::healthcheck(healthcheck).await
}

/// `attache install`: copies this binary into `dir`.
///
/// # Errors
/// As [`client::install`].
pub fn install(dir: &Path) -> Result<(), Failure> {
    client::install(dir)
}
