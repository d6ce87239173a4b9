//! `Status`: what the API server says instead of doing what it was asked.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, header};
use serde::Deserialize;

/// The longest time that a Retry-After is obeyed for: a server's mistake must not last.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// A `Status` object (API conventions, "Response Status Kind").
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    /// For a person.
    pub message: String,
    /// More about it.
    pub details: StatusDetails,
}

/// A Status' `details`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatusDetails {
    /// The object that it is about.
    pub name: String,
    /// Why, each by itself.
    pub causes: Vec<StatusCause>,
    retry_after_seconds: u64,
}

/// One of a Status' causes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatusCause {
    /// For a program, such as `FieldValueTooLong`.
    pub reason: String,
    /// For a person.
    pub message: String,
}

// === impl Status ===

impl Status {
    /// The Status in an answer; where there is none, one that says which status the answer has.
    #[must_use]
    pub fn of(answer: &Response<Bytes>) -> Self {
        let mut told: Self = serde_json::from_slice(answer.body()).unwrap_or_default();
        if told.message.is_empty() {
            told.message = format!("the API server answered {}", answer.status());
        }
        told
    }

    /// When to ask again, at most 300 s, if `answer` or the Status says so. The header's date form
    /// (RFC 9110, section 10.2.3) is not one that API servers use.
    #[must_use]
    pub fn retry_after(&self, answer: &Response<Bytes>) -> Option<Duration> {
        let header = answer.headers().get(header::RETRY_AFTER);
        let in_body = Some(self.details.retry_after_seconds).filter(|seconds| *seconds > 0);
        let seconds = header
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .or(in_body);
        seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
    }
}
