//! Faults that a real API server does not show on demand: the app in-process against a scripted
//! one, and behind a relay that breaks connections.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy takes only test functions themselves for tests"
)]

mod support;

#[path = "faults/support_works.rs"]
mod support_works;
