//! A request's body, read where a route takes one.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use super::Answer;
use super::problem::problem;

/// How long a client may take to send a body.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request's body, while some of it may be unread.
#[derive(Default)]
pub struct RequestBody {
    incoming: Option<Incoming>,
}

// === impl RequestBody ===

impl RequestBody {
    /// Nothing of it is read yet.
    #[must_use]
    pub fn new(incoming: Incoming) -> Self {
        let incoming = (!incoming.is_end_stream()).then_some(incoming);
        Self { incoming }
    }

    /// Whether some of it may be left on the connection, which must not be taken for a next request
    /// (RFC 9112, sections 6.3 and 9.3).
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.incoming.is_some()
    }

    /// How many bytes are still to come, if the client has announced it.
    #[must_use]
    pub fn announced(&self) -> Option<u64> {
        match &self.incoming {
            Some(incoming) => incoming.size_hint().exact(),
            None => Some(0),
        }
    }

    /// All of it, at most `limit` bytes, within 60 s.
    ///
    /// # Errors
    /// 413 where it is longer, 400 where it breaks off, 408 where it does not come to an end.
    pub async fn read(&mut self, limit: usize) -> Result<Bytes, Answer> {
        let longer = || {
            let detail = format!("the body is longer than {limit} bytes: send less at a time");
            problem(StatusCode::PAYLOAD_TOO_LARGE, detail)
        };
        if self.announced().is_some_and(|length| length > limit as u64) {
            return Err(longer());
        }
        let Some(incoming) = &mut self.incoming else {
            return Ok(Bytes::new());
        };
        let whole = Limited::new(incoming, limit).collect();
        let Ok(read) = timeout(PATIENCE, whole).await else {
            let detail = format!("no complete body within {} s", PATIENCE.as_secs());
            return Err(problem(StatusCode::REQUEST_TIMEOUT, detail));
        };
        match read {
            Ok(body) => {
                self.incoming = None;
                Ok(body.to_bytes())
            }
            Err(error) if error.is::<LengthLimitError>() => Err(longer()),
            Err(_) => Err(problem(
                StatusCode::BAD_REQUEST,
                "the body broke off: send it again",
            )),
        }
    }
}
