//! Single requests to the API server, beside the watches.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use tokio::time::timeout;

use super::lease::Lease;
use super::words::causes;
use super::{CredentialsError, UpstreamError};

/// How long a whole answer may take. Whoever wants it more than once asks again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer: a page of 100 pods of a size that occurs, by far.
const LONGEST_ANSWER: usize = 32 << 20;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("attache/", env!("CARGO_PKG_VERSION")));

/// Why a request got no answer. It may have been acted upon all the same.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The credentials make no client.
    #[error(transparent)]
    Client(#[from] UpstreamError),
    /// The API server refuses the credentials, and they cannot be read again.
    #[error("the API server refuses the credentials, and they cannot be read again: {0}")]
    Credentials(#[from] CredentialsError),
    /// No connection, or it broke.
    #[error("the API server cannot be reached: {0}")]
    Broken(String),
    /// No complete answer in time.
    #[error("no complete answer from the API server within {} s", PATIENCE.as_secs())]
    Late,
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
        let mut sent = Request::new(Body::from(request.body().to_vec()));
        *sent.method_mut() = request.method().clone();
        *sent.uri_mut() = request.uri().clone();
        *sent.headers_mut() = request.headers().clone();
        sent.headers_mut().insert(header::USER_AGENT, AGENT);
        let answering = async {
            let answer = client.client.send(sent).await;
            let (head, body) = answer
                .map_err(|error| CallError::Broken(causes(&error)))?
                .into_parts();
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
