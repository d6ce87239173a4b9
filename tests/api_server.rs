//! The app against a real kube-apiserver and etcd:
//!
//! ```text
//! export KUBEBUILDER_ASSETS="$(scripts/kube-assets)"
//! cargo test --test api_server -- --include-ignored
//! ```

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy takes only test functions themselves for tests"
)]

mod support;

#[path = "api_server/support_works.rs"]
mod support_works;
