//! A real cluster: that of the current kubeconfig context.
//!
//! `nodeless` needs an API server alone. `nodes` needs nodes that have the image that `ATTACHE_IMAGE`
//! names, and can run that of `APP_IMAGE` (`busybox:1.36` unless given; it has a shell and wget):
//!
//! ```sh
//! ATTACHE_IMAGE=attache:0.1.0 cargo test --test cluster -- --ignored
//! ```
//!
//! Each test has a namespace of its own, which goes with it.

// Helpers fail loudly too: in a test a panic is the report.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "cluster/lifecycle.rs"]
mod lifecycle;
#[path = "cluster/nodeless.rs"]
mod nodeless;
#[path = "cluster/nodes.rs"]
mod nodes;
#[path = "cluster/scene.rs"]
mod scene;
