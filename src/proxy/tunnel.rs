//! An upgraded exchange: bytes both ways, whatever they mean.

use http::Response;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;

use super::headers;
use crate::http::{AfterUpgrade, Body};
use crate::shutdown::Shutdown;

/// The most bytes on their way in one direction.
const BUFFER: usize = 16 * 1024;

/// The API server's 101 as the caller's, with the tunnel that follows it. A side that is done
/// sending still receives; the tunnel ends when both are, or at `stop`.
pub(super) fn open(
    mut answer: Response<Incoming>,
    client: OnUpgrade,
    mut stop: Shutdown,
) -> Response<Body> {
    let server = hyper::upgrade::on(&mut answer);
    let work = async move {
        let (client, server) = match tokio::try_join!(client, server) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(%error, "an upgrade was not completed");
                return;
            }
        };
        let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
        let copying = copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER);
        tokio::select! {
            copied = copying => match copied {
                Ok((sent, received)) => tracing::debug!(sent, received, "a tunnel ended"),
                Err(error) => tracing::debug!(%error, "a tunnel broke"),
            },
            () = stop.requested() => {}
        }
    };
    let (mut parts, _) = answer.into_parts();
    headers::of_upgrade(&mut parts.headers);
    let mut answer = Response::from_parts(parts, Either::Left(Full::default()));
    answer.extensions_mut().insert(AfterUpgrade::new(work));
    answer
}
