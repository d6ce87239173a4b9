//! The webhook's CA and certificate.

mod serving;

pub(super) use serving::{Serving, Unusable, pair};
