//! `attache exec`: which command, with which environment.

use std::ffi::OsString;
use std::time::Duration;

use super::{ObjectKind, ObjectName, Signal, Timing};

/// The command of `attache exec`.
#[derive(Debug, Clone)]
pub struct Exec {
    /// The command and its arguments; at least the command.
    pub argv: Vec<OsString>,
    /// Where its environment comes from, in order: a later one wins.
    pub env_from: Vec<EnvFrom>,
    /// Variables that attache's own environment has are left as they are.
    pub environment_wins: bool,
    /// What a change does.
    pub reload: Reload,
    /// The signal that asks the command to end.
    pub stop_signal: Signal,
    /// How long it may take to end before it is killed.
    pub stop_timeout: Duration,
    /// When a change takes effect; its `retries` have no meaning here.
    pub timing: Timing,
    /// How long to wait for the first content; `None` is without end.
    pub wait_timeout: Option<Duration>,
    /// Start with restored content when that time is over.
    pub stale_ok: bool,
    /// A command that ends by itself is started again, rather than ending attache.
    pub keep: bool,
}

/// `[NS/]NAME[,optional][,prefix=P]`: an `envFrom` entry of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFrom {
    /// ConfigMap or Secret.
    pub kind: ObjectKind,
    /// Which one.
    pub object: ObjectName,
    /// It need not exist.
    pub optional: bool,
    /// Goes before every key.
    pub prefix: String,
}

/// What a change of its environment does to the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// It is ended, and started with the new environment.
    Restart,
    /// It gets this signal.
    Signal(Signal),
    /// Nothing.
    None,
}
