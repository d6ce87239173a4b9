//! Where objects come from: the API server ([`kube`]), manifests in a directory ([`dir`]), mounted
//! volumes ([`mount`]); and [`demand`], which watches what a reader asks for.

pub mod annotations;
pub mod demand;
pub mod dir;
pub mod kube;
pub mod mount;

mod changes;
mod files;
mod manifest;
mod named;

pub use named::{Wanted, hold_until_synced};
