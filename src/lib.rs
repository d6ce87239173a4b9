//! attache: the configuration sidecar for Kubernetes.
//!
//! ```text
//! source (kube, dir) ──► store ──► { api, react ──► { files, actions }, exec }
//!                          ▲         │
//!                          └─Demand──┘
//! ```
//!
//! Reading order: [`store`] (what attache knows), [`source`] (where it comes from), [`api`] and
//! [`router`] (how it is served), [`discover`] (services and their endpoints), [`react`] (when), [`files`] and [`actions`] (what is written and
//! who is told), [`state`] (what outlives attache), [`mod@exec`] (a command with its environment),
//! [`inject`] and [`webhook`] (how pods get a sidecar), [`doctor`] (what keeps it from working), [`app`] (how it is put together). ARCHITECTURE.md says which module may know which.

pub mod actions;
pub mod api;
pub mod app;
pub mod cli;
pub mod client;
pub mod config;
pub mod discover;
pub mod doctor;
pub mod exec;
pub mod failpoint;
pub mod files;
pub mod http;
pub mod inject;
pub mod metrics;
pub mod process;
pub mod proxy;
pub mod react;
pub mod readiness;
pub mod router;
pub mod shutdown;
pub mod source;
pub mod state;
pub mod status;
pub mod store;
pub mod telemetry;
pub mod upstream;
pub mod webhook;
