//! `Status`: what the API server says instead of doing what it was asked.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, header};
use serde::Deserialize;

/// The longest time that a Retry-After is obeyed for: a server's mistake must not last.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// A `Status` object (API conventions, "Response Status Kind").
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The HTTP status, where a Status comes without one: in a watch.
    pub code: u16,
    /// For a person.
    pub message: String,
    /// For a program, such as `Expired`.
    pub reason: String,
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
        let mut told = Self::read(answer.body());
        if told.message.is_empty() {
            told.message = format!("the API server answered {}", answer.status());
        }
        told
    }

    /// The Status that a body holds; one that says nothing where it holds none.
    #[must_use]
    pub fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// When to ask again, at most 300 s, if the `headers` beside it or the Status says so. The header's
    /// date form (RFC 9110, section 10.2.3) is not one that API servers use.
    #[must_use]
    pub fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let header = headers.get(header::RETRY_AFTER);
        let in_body = Some(self.details.retry_after_seconds).filter(|seconds| *seconds > 0);
        let seconds = header
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .or(in_body);
        seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
    }
}
