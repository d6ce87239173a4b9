//! Where objects come from: the API server ([`kube`]), manifests in a directory, mounted volumes;
//! and [`demand`], which watches what a reader asks for.

pub mod annotations;
pub mod demand;
pub mod kube;
mod named;

pub use named::{Wanted, hold_until_synced};
