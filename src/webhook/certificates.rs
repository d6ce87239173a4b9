//! The webhook's CA and certificate: what is held, and what is to be done about it.
//!
//! Reading order: [`Contents`] (what replicas share), [`plan`] (the next step, a pure function of
//! that and the time), [`issue`] (the keys and certificates that a step makes), [`serving`] (what
//! handshakes get), [`mounted`] (certificates that someone else makes).
//!
//! A call never fails for a rotation: a CA is in the caBundle for a while before a certificate of
//! it is served, and stays there until it expires.

mod contents;
mod issue;
mod mounted;
mod plan;
mod serving;

pub(super) use contents::{Authority, Contents, Data, Leaf};
pub(super) use issue::IssueError;
pub(super) use mounted::{Mounted, MountedError, joined};
pub(super) use plan::{Wanted, advance};
pub(super) use serving::{Serving, Unusable, pair};

#[cfg(test)]
mod tests;
