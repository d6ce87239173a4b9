//! Single requests to the API server, beside the watches.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use tokio::time::timeout;

use super::body::RequestBody;
use super::client::SendError;
use super::lease::Lease;
use super::words::causes;
use super::{CredentialsError, UpstreamError};

/// How long a whole answer may take. Whoever wants it more than once asks again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer: a page of 100 pods of a size that occurs, by far.
const LONGEST_ANSWER: usize = 32 << 20;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("attache/", env!("CARGO_PKG_VERSION")));

/// Why a request got no answer. It may have been acted upon all the same, see
/// [`may_have_reached`](Self::may_have_reached).
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The credentials make no client.
    #[error(transparent)]
    Client(#[from] UpstreamError),
    /// The API server refuses the credentials, and they cannot be read again.
    #[error("the API server refuses the credentials, and they cannot be read again: {0}")]
    Credentials(#[from] CredentialsError),
    /// No connection, so that nothing was sent.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    /// The connection broke.
    #[error("the connection to the API server broke: {0}")]
    Broken(String),
    /// No complete answer in time.
    #[error("no complete answer from the API server within {} s", PATIENCE.as_secs())]
    Late,
}

// === impl CallError ===

impl CallError {
    fn of(error: &SendError) -> Self {
        match error {
            SendError::Connect(_) => Self::Unreachable(error.to_string()),
            SendError::Body(_) | SendError::Broken { .. } => Self::Broken(error.to_string()),
        }
    }

    /// Whether the request may have been acted upon.
    #[must_use]
    pub fn may_have_reached(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Late)
    }
}

// === impl Lease ===

impl Lease {
    /// Sends a request whose target is a path below the server's own, on the connection of the
    /// watches. If the credentials are refused, they are read again and it is sent once more.
    ///
    /// # Errors
    /// [`CallError`]; an answer of any status is none.
    pub async fn call(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, CallError> {
        let (answer, generation) = self.call_once(request).await?;
        if answer.status() != StatusCode::UNAUTHORIZED
            || !self.upstream().refresh(generation).await?
        {
            return Ok(answer);
        }
        Ok(self.call_once(request).await?.0)
    }

    async fn call_once(
        &self,
        request: &Request<Bytes>,
    ) -> Result<(Response<Bytes>, u64), CallError> {
        let client = self.client().await?;
        let mut sent = Request::new(RequestBody::new(Full::new(request.body().clone())));
        *sent.method_mut() = request.method().clone();
        *sent.uri_mut() = request.uri().clone();
        *sent.headers_mut() = request.headers().clone();
        sent.headers_mut().insert(header::USER_AGENT, AGENT);
        let answering = async {
            let answer = client.send(sent).await;
            let (head, body) = answer.map_err(|error| CallError::of(&error))?.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await;
            let body = body.map_err(|error| CallError::Broken(causes(&*error)))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let answer = timeout(PATIENCE, answering)
            .await
            .unwrap_or(Err(CallError::Late))?;
        Ok((answer, client.generation))
    }
}
