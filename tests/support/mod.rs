//! What the integration tests share: a real control plane, a relay that breaks connections, a
//! scripted API server, and a plain HTTP client.
//!
//! Every test binary takes this module in whole and uses a part of it.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "test support has no users outside"
)]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here fails the test that asked"
)]

pub mod assets;
pub mod audience;
pub mod child;
pub mod control_plane;
pub mod demands;
pub mod fake;
pub mod http;
pub mod kubelet;
pub mod late;
pub mod nginx;
pub mod program;
pub mod proxy;
pub mod receiver;
pub mod relay;
pub mod sidecar;

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Waits until `condition` holds, asking it every 10 ms; panics with `what` after `limit`.
pub async fn eventually(
    what: impl Display,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> bool,
) {
    let start = Instant::now();
    let mut ask = tokio::time::interval(Duration::from_millis(10));
    while !condition().await {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        ask.tick().await;
    }
}
