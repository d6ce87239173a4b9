//! The test support itself works: what the other tests rely on is shown here once.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy takes only test functions themselves for tests"
)]

mod support;

#[path = "support_selftest/control_plane.rs"]
mod control_plane;
#[path = "support_selftest/faults.rs"]
mod faults;
