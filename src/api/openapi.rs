//! `/-/openapi.json`: the own routes, described for programs (OpenAPI 3.1).

use super::{Answer, Api, fresh};

// === impl Api ===

impl Api {
    /// The description.
    #[must_use]
    pub fn openapi(&self) -> Answer {
        fresh("application/json", "{}")
    }
}
