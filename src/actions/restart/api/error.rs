//! What the API server says instead of doing it.

use std::time::Duration;

use http::StatusCode;

use crate::upstream::CallError;

/// Why the API server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer. A request that writes may have been acted upon.
    #[error("{request}: {error}")]
    NoAnswer {
        /// What was asked, as `delete Pod default/web-1`.
        request: String,
        /// Why.
        error: CallError,
    },
    /// 403.
    #[error(
        "attache may not {request}: grant its service account the verb {verb} on {resource} \
         (API group {group:?}) by a Role in namespace {namespace} ({message})"
    )]
    Forbidden {
        /// What was asked.
        request: String,
        /// RBAC's word for it.
        verb: &'static str,
        /// The resource as Roles name it.
        resource: String,
        /// Its group; empty is core.
        group: &'static str,
        /// Where.
        namespace: String,
        /// The API server's words.
        message: String,
    },
    /// 404: the object, or the whole resource, is not there.
    #[error("cannot {request}: {message}")]
    NotFound {
        /// What was asked.
        request: String,
        /// The API server's words.
        message: String,
        /// Whether the API server knows the resource.
        known: bool,
    },
    /// 409: the object is not the one, or not as, it was meant.
    #[error("cannot {request}: {message}")]
    Conflict {
        /// What was asked.
        request: String,
        /// The API server's words.
        message: String,
    },
    /// 429: a PodDisruptionBudget does not allow it now, or the API server has too much to do.
    #[error("cannot {request} now: {message}")]
    TooMany {
        /// What was asked.
        request: String,
        /// The API server's words.
        message: String,
        /// When to ask again.
        retry_after: Option<Duration>,
    },
    /// Any other status.
    #[error("cannot {request}: the API server answered {status}: {message}")]
    Refused {
        /// What was asked.
        request: String,
        /// The status.
        status: StatusCode,
        /// The API server's words.
        message: String,
    },
    /// An answer that is none of the API's.
    #[error("cannot {request}: the answer is malformed at line {line}, column {column}")]
    Malformed {
        /// What was asked.
        request: String,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
}

// === impl ApiError ===

impl ApiError {
    /// Whether asking again in a while may help.
    pub(in crate::actions::restart) fn is_transient(&self) -> bool {
        match self {
            Self::NoAnswer { .. } | Self::TooMany { .. } => true,
            Self::Refused { status, .. } => status.is_server_error(),
            _ => false,
        }
    }

    /// Whether a request that writes may have been acted upon.
    pub(in crate::actions::restart) fn may_have_reached(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Refused { status, .. } => status.is_server_error(),
            _ => false,
        }
    }
}
