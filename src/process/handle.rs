//! Waiting for a process through its pidfd, whoever its parent is.

use std::io;
use std::os::fd::AsFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Waits until the process has ended; it may be a zombie still. A pidfd becomes readable then
/// (pidfd_open(2)). Only one at a time may wait with the same `pidfd`.
///
/// # Errors
/// The system's.
pub(super) async fn ended(pidfd: impl AsFd) -> io::Result<()> {
    #[allow(
        deprecated,
        reason = "its successor is unsafe for types that may change their file; this one cannot"
    )]
    let polled = AsyncFd::with_interest(pidfd.as_fd(), Interest::READABLE)?;
    polled.readable().await?.retain_ready();
    Ok(())
}
