//! A request's body, read where a route takes one.

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};

use super::Answer;
use super::problem::problem;

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

    /// All of it, at most `limit` bytes.
    ///
    /// # Errors
    /// 413 where it is longer, 400 where it breaks off.
    pub async fn read(&mut self, limit: usize) -> Result<Bytes, Answer> {
        let Some(incoming) = &mut self.incoming else {
            return Ok(Bytes::new());
        };
        match Limited::new(incoming, limit).collect().await {
            Ok(body) => {
                self.incoming = None;
                Ok(body.to_bytes())
            }
            Err(error) if error.is::<LengthLimitError>() => Err(problem(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is longer than {limit} bytes: send less at a time"),
            )),
            Err(_) => Err(problem(
                StatusCode::BAD_REQUEST,
                "the body broke off: send it again",
            )),
        }
    }
}
