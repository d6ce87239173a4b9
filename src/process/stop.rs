//! Ends processes of the pod: TERM, and KILL for those that are still there after a grace.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::children::KILLED;
use super::{Found, Opened, SignalError, find, handle, names, started_after};
use crate::config::ProcessMatch;

/// What became of every process that matched.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Those that ended upon TERM.
    pub ended: Vec<Found>,
    /// Those that had to be killed.
    pub killed: Vec<Found>,
    /// Those that started after the content was there, and so have read it already.
    pub current: Vec<Found>,
}

/// One process for good: its number may be another's later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    pid: i32,
    /// In clock ticks since boot (proc_pid_stat(5)).
    start: u64,
}

/// Which processes have read older content.
#[derive(Debug, Clone)]
pub enum Older {
    /// Those that started before this moment, from which a starting process could read the new one.
    Than(Instant),
    /// These, as an earlier call found them for the same content: what started since has read it,
    /// however soon after.
    These(Vec<Instance>),
}

/// Why a process was not ended. The message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopError {
    /// It was not found, or could not be signalled.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// It got TERM, and what follows failed.
    #[error("after SIGTERM: {0}")]
    AfterTerm(SignalError),
    /// It got KILL and is still there.
    #[error(
        "{0} is still there after SIGKILL: either it waits for a disk or a network file system, or \
         it is PID 1 of attache's own PID namespace, which the kernel guards from signals that it \
         does not catch: set shareProcessNamespace: true in the pod's spec"
    )]
    StillThere(Found),
    /// Some processes were ended, and one was not.
    #[error("{error}; {} ended", names(ended))]
    Partly {
        /// Those that ended.
        ended: Vec<Found>,
        /// Why the first of the others did not.
        error: Box<StopError>,
    },
}

// === impl Instance ===

impl Instance {
    fn of(candidate: &find::Candidate) -> Self {
        Self {
            pid: candidate.pid,
            start: candidate.start,
        }
    }
}

// === impl Older ===

impl Older {
    fn has(&self, candidate: &find::Candidate) -> bool {
        match self {
            Self::Than(since) => !started_after(candidate.start, *since),
            Self::These(instances) => instances.contains(&Instance::of(candidate)),
        }
    }
}

// === impl StopError ===

impl StopError {
    /// Whether some process was ended, or told to end, all the same.
    #[must_use]
    pub fn may_have_reached(&self) -> bool {
        match self {
            Self::Signal(error) => matches!(error, SignalError::Partly { .. }),
            Self::AfterTerm(_) | Self::StillThere(_) | Self::Partly { .. } => true,
        }
    }
}

/// Ends every process that `target` matches and that is `older`. Never attache itself. `note` is
/// given all of them and awaited before the first signal is sent. All of them get
/// TERM at once, and each gets KILL if it is still there after `grace`; whoever started them starts
/// them again. TERM is sent whether it is caught or not, for its default is what is asked for.
///
/// From inside a PID namespace its PID 1 gets neither a TERM that it has no handler for nor KILL
/// (pid_namespaces(7)). With `shareProcessNamespace: true` that is the pod's pause container and not
/// the app, which therefore ends by default.
///
/// Dropped on the way, it sends no more.
///
/// # Errors
/// [`StopError`]: the first, after all other processes have ended.
pub async fn stop(
    target: &ProcessMatch,
    older: &Older,
    grace: Duration,
    note: impl AsyncFnOnce(Vec<Instance>),
) -> Result<Stopped, StopError> {
    let mut report = Stopped::default();
    let mut error = None;
    let mut told = Vec::new();
    let (olds, current): (Vec<_>, Vec<_>) = find::find(target)?
        .into_iter()
        .partition(|candidate| older.has(candidate));
    report.current = current.iter().map(find::Candidate::found).collect();
    note(olds.iter().map(Instance::of).collect()).await;
    for candidate in olds {
        match terminate(&candidate, target) {
            Ok(opened) => told.extend(opened),
            Err(failed) => error = error.or(Some(StopError::from(failed))),
        }
    }
    let ends = join_all(told.iter().map(|opened| end(opened, grace))).await;
    for (opened, end) in told.into_iter().zip(ends) {
        match end {
            Ok(true) => report.ended.push(opened.process),
            Ok(false) => report.killed.push(opened.process),
            Err(failed) => error = error.or(Some(failed)),
        }
    }
    match error {
        Some(error) if report.ended.is_empty() && report.killed.is_empty() => Err(error),
        Some(error) => Err(StopError::Partly {
            ended: [report.ended, report.killed].concat(),
            error: Box::new(error),
        }),
        None if report == Stopped::default() => Err(find::not_found(target).into()),
        None => Ok(report),
    }
}

/// `None` if the process went, or became another, in the meantime.
fn terminate(
    candidate: &find::Candidate,
    target: &ProcessMatch,
) -> Result<Option<Opened>, SignalError> {
    let Some(opened) = Opened::new(candidate, target)? else {
        return Ok(None);
    };
    Ok(opened.send(Signal::TERM)?.then_some(opened))
}

/// Waits for a process that got TERM; whether it ended by itself, and was not killed.
async fn end(opened: &Opened, grace: Duration) -> Result<bool, StopError> {
    let failed = |error: std::io::Error| {
        StopError::AfterTerm(SignalError::Failed {
            process: opened.process.clone(),
            error: format!("its end cannot be awaited: {error}"),
        })
    };
    if let Ok(ended) = timeout(grace, handle::ended(&opened.handle)).await {
        ended.map_err(failed)?;
        return Ok(true);
    }
    if !opened.send(Signal::KILL).map_err(StopError::AfterTerm)? {
        return Ok(true);
    }
    match timeout(KILLED, handle::ended(&opened.handle)).await {
        Ok(ended) => ended.map_err(failed)?,
        Err(_) => return Err(StopError::StillThere(opened.process.clone())),
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
