//! What is not attache's own goes to the API server.

pub mod policy;
