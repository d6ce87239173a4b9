//! The serving side over real sockets: a store filled by hand, the router, the accept loop.
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "a test's helpers explain themselves"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test a panic is the report, in its helpers too"
)]

#[path = "serving/support.rs"]
mod support;

#[path = "serving/lifecycle.rs"]
mod lifecycle;
#[path = "serving/malformed.rs"]
mod malformed;
#[path = "serving/push.rs"]
mod push;
#[path = "serving/reading.rs"]
mod reading;
#[path = "serving/tls.rs"]
mod tls;
