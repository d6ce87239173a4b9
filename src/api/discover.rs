//! `/discover/{namespace}[/{service}]`: Services and their endpoints.

use http::StatusCode;
use http::request::Parts;

use super::problem::problem;
use super::query::Query;
use super::{Answer, Api};
use crate::http::Peer;
use crate::store::Reader;
use crate::store::demand::Demander;

/// Where Services and EndpointSlices are read from: a store of their own, so that nothing that follows
/// content wakes for them.
pub struct Discovery {
    /// The newest snapshot of them.
    pub reader: Reader,
    /// Asks for namespaces that nobody watches; `None` with `--no-on-demand`.
    pub demander: Option<Demander>,
}

/// The parameters of `/discover/{namespace}`.
pub const OF_NAMESPACE: &[&str] = &["wait", "watch"];

/// The parameters of `/discover/{namespace}/{service}`.
pub const OF_SERVICE: &[&str] = &["port", "ready", "wait", "watch", "zone"];

// === impl Api ===

impl Api {
    /// Answers with the Services of a namespace, or with one Service and its endpoints. The segments
    /// are as they were sent.
    pub async fn discover(
        &self,
        namespace: &str,
        service: Option<&str>,
        query: &Query<'_>,
        head: &Parts,
        peer: &Peer,
    ) -> Answer {
        let _ = (namespace, service, query, head, peer);
        problem(StatusCode::NOT_IMPLEMENTED, "not implemented")
    }
}
