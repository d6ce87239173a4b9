//! The serving side over real sockets: a store filled by hand, the router, the accept loop.
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "a test's helpers explain themselves"
)]

#[path = "serving/support.rs"]
mod support;

#[path = "serving/lifecycle.rs"]
mod lifecycle;
#[path = "serving/malformed.rs"]
mod malformed;
#[path = "serving/reading.rs"]
mod reading;
