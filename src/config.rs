//! The configuration: flags and file as one validated model, every error at once.
//!
//! Reading order: [`model`] (what the rest of attache sees), then how it is made.

pub mod model;

pub use model::*;
