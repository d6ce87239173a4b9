//! The proxy between a client and a server that a test plays by hand, byte by byte: what a real
//! API server will not do on demand.
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

#[path = "proxying/support.rs"]
mod support;

#[path = "proxying/bodies.rs"]
mod bodies;
#[path = "proxying/closing.rs"]
mod closing;
#[path = "proxying/credentials.rs"]
mod credentials;
#[path = "proxying/ends.rs"]
mod ends;
#[path = "proxying/tunnels.rs"]
mod tunnels;
#[path = "proxying/upstream.rs"]
mod upstream;
