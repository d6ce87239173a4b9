//! `attache exec` as a process: the environment and status of its command, signals, terminals,
//! orphans, and what a change does.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here fails the test that asked"
)]

#[path = "exec/changes.rs"]
mod changes;
#[path = "exec/ends.rs"]
mod ends;
#[path = "exec/environment.rs"]
mod environment;
#[path = "exec/namespace.rs"]
mod namespace;
#[path = "exec/signals.rs"]
mod signals;
#[path = "exec/support.rs"]
mod support;
#[path = "exec/terminal.rs"]
mod terminal;
