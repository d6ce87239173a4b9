//! Why a call failed, without what may be secret: queries and headers' values.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::config::WebhookAction;

/// Why a call failed. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The URL, the method, a header or a file that the rule names makes no request.
    #[error("{method} {target} cannot be requested: {reason}")]
    Request {
        /// The method.
        method: Method,
        /// The URL without its query.
        target: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// No connection, no TLS on it, or it broke.
    #[error("{method} {target}: {reason}: {advice}")]
    Connection {
        /// The method.
        method: Method,
        /// The URL without its query.
        target: String,
        /// What the system or the protocol says.
        reason: String,
        /// What to do.
        advice: &'static str,
        /// Whether a request could be sent, so that it may have arrived.
        connected: bool,
    },
    /// No complete answer in time.
    #[error(
        "{method} {target}: no complete answer within {timeout:?}: see what the app does, or raise the rule's timeout"
    )]
    Timeout {
        /// The method.
        method: Method,
        /// The URL without its query.
        target: String,
        /// The rule's timeout.
        timeout: Duration,
        /// Whether a request could be sent, so that it may have arrived.
        connected: bool,
    },
    /// Another answer than one of 2xx, or than those that the rule expects.
    #[error("{method} {target} answered {status}{}", hint(*status, expect))]
    Status {
        /// The method.
        method: Method,
        /// The URL without its query.
        target: String,
        /// The answer's status.
        status: StatusCode,
        /// The statuses that the rule expects; empty is every 2xx.
        expect: Vec<StatusCode>,
    },
}

// === impl WebhookError ===

impl WebhookError {
    /// Whether the endpoint may have acted upon the request all the same.
    #[must_use]
    pub fn may_have_reached(&self) -> bool {
        match self {
            Self::Request { .. } => false,
            Self::Connection { connected, .. } | Self::Timeout { connected, .. } => *connected,
            Self::Status { .. } => true,
        }
    }
}

fn hint(status: StatusCode, expect: &[StatusCode]) -> String {
    if !expect.is_empty() {
        let expect: Vec<_> = expect.iter().map(StatusCode::as_str).collect();
        format!("; the rule expects {}", expect.join(", "))
    } else if status.is_redirection() {
        "; redirects are not followed: give the final URL".to_owned()
    } else {
        String::new()
    }
}

/// The URL as it may be shown: user information and the query may be secret.
pub(super) fn target(action: &WebhookAction) -> String {
    let url = &action.url;
    let scheme = url.scheme_str().unwrap_or("http");
    let host = url.host().unwrap_or_default();
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{scheme}://{host}{port}{}", url.path())
}

pub(super) fn unfit(action: &WebhookAction, reason: String) -> WebhookError {
    WebhookError::Request {
        method: action.method.clone(),
        target: target(action),
        reason,
    }
}

pub(super) fn broken(
    action: &WebhookAction,
    connected: bool,
    error: &dyn std::error::Error,
    advice: &'static str,
) -> WebhookError {
    WebhookError::Connection {
        method: action.method.clone(),
        target: target(action),
        reason: with_causes(error),
        advice,
        connected,
    }
}

/// hyper keeps what the system said in an error's source.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
