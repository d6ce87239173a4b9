//! Writing: the keys of ConfigMaps, through the API server's merge patch.

use http::StatusCode;
use http::request::Parts;

use super::body::RequestBody;
use super::kv::Target;
use super::problem::{not_allowed, problem};
use super::query::Query;
use super::{Answer, Api};
use crate::upstream::Lease;

/// The parameters of requests that write.
pub const PARAMETERS: &[&str] = &["key"];

/// Writes ConfigMaps.
pub struct Writer {
    /// A place on a connection to the API server.
    lease: Lease,
    /// `--create-on-read`.
    creates_on_read: bool,
}

// === impl Writer ===

impl Writer {
    /// Writes through `lease`; with `creates_on_read` a read creates what it does not find.
    #[must_use]
    pub fn new(lease: Lease, creates_on_read: bool) -> Self {
        Self {
            lease,
            creates_on_read,
        }
    }
}

// === impl Api ===

impl Api {
    /// Answers a request that writes, or that has a method which the route does not know.
    pub async fn write(
        &self,
        target: &Target<'_>,
        query: &Query<'_>,
        head: &Parts,
        body: &mut RequestBody,
    ) -> Answer {
        let Some(_) = &self.writer else {
            return not_allowed(
                "GET, HEAD",
                "this attache does not write: start it with --allow-writes, or change the object \
                 through the Kubernetes API (kubectl edit, kubectl apply)",
            );
        };
        let _ = (target, query, head, body);
        let _ = self.writer.as_ref().map(|w| (&w.lease, w.creates_on_read));
        problem(StatusCode::NOT_IMPLEMENTED, "not implemented")
    }
}
