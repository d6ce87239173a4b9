//! Programs that attache starts, and the only place where anything is reaped.

use std::io;
use std::process::{Command, ExitStatus};

use crate::config::Signal;

/// Starts programs and knows when they end; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Children;

/// A program that runs. Dropping it leaves it running; it is reaped all the same.
#[derive(Debug)]
pub struct Child;

// === impl Children ===

impl Children {
    /// Starts `command`. It is reaped once it ends, whoever waits for it or not.
    ///
    /// # Errors
    /// The system's.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        command.spawn().map(|_| Child)
    }

    /// Reaps until the process ends: the programs, and whatever orphans come to this process.
    ///
    /// # Errors
    /// The system's, when SIGCHLD cannot be handled.
    pub async fn reap(self) -> io::Result<std::convert::Infallible> {
        std::future::pending().await
    }
}

// === impl Child ===

impl Child {
    /// Its process ID.
    #[must_use]
    pub fn id(&self) -> i32 {
        0
    }

    /// Waits until it has ended; its status, also when asked again.
    pub async fn ended(&mut self) -> ExitStatus {
        std::future::pending().await
    }

    /// Sends a signal to it alone; nothing happens if it has ended.
    ///
    /// # Errors
    /// The system's.
    pub fn signal(&self, _signal: &Signal) -> io::Result<()> {
        Ok(())
    }

    /// Sends a signal to all of its process group, which it must lead.
    ///
    /// # Errors
    /// The system's.
    pub fn signal_group(&self, _signal: &Signal) -> io::Result<()> {
        Ok(())
    }
}
