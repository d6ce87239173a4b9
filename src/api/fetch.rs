//! What is not held yet: how it is asked for, and what a client is told where it does not come.

use std::fmt::Display;
use std::time::Duration;

use http::StatusCode;

use super::Answer;
use super::problem::{problem, unavailable};
use crate::store::demand::{Demander, Unmet};
use crate::store::{Scope, Selects};

/// How long a first read waits for the API server.
pub(super) const DEMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// `Retry-After` where one more answer of the API server is all that is missing.
pub(super) const SOON: u16 = 1;

/// `Retry-After` where something has to expire first.
const LATER: u16 = 30;

/// Something that a client asks for; displays as its errors name it.
pub(super) trait Asked: Display {
    /// The flag by which it is watched from the start, with its value.
    fn flag(&self) -> String;
}

/// Has a source fetch and watch `selects`; see [`Demander::demand`].
///
/// # Errors
/// What to tell the client.
pub(super) async fn fetch(
    demander: &Demander,
    selects: Selects,
    awaited: bool,
    asked: &impl Asked,
) -> Result<(), Answer> {
    let demand = demander.demand(selects, awaited);
    match tokio::time::timeout(DEMAND_TIMEOUT, demand).await {
        Err(_) => Err(unavailable(
            SOON,
            format!(
                "{asked} is not held, and the API server did not answer within {} s: try again; \
                 /-/status says what is wrong",
                DEMAND_TIMEOUT.as_secs()
            ),
        )),
        Ok(met) => met.map_err(|unmet| self::unmet(asked, &unmet)),
    }
}

/// 503 for what went before it could be served.
pub(super) fn gone(asked: &impl Asked) -> Answer {
    let detail = format!("{asked} was fetched but is gone again: try again");
    unavailable(SOON, detail)
}

/// 503 before a scope's first sync; 501 where there can be none.
pub(super) fn pending(asked: &impl Asked, scope: &Scope) -> Answer {
    let reason = scope.contact().reason();
    let detail = match reason {
        Some(reason) if scope.unserved() => {
            return unmet(asked, &Unmet::Unserved(reason.to_owned()));
        }
        Some(reason) => format!(
            "{asked} was not read yet: {reason}; attache keeps trying, and /-/ready says when it \
             has it"
        ),
        None => format!("{asked} is being read for the first time: try again"),
    };
    unavailable(SOON, detail)
}

/// 507 for what `--max-bytes` keeps out.
pub(super) fn refused(asked: &impl Asked, reason: &str) -> Answer {
    let detail = format!(
        "{asked} is not held: {reason}; raise --max-bytes, or attache.dev/resources of an injected sidecar"
    );
    problem(StatusCode::INSUFFICIENT_STORAGE, detail)
}

/// The one place where an unmet demand becomes a status.
fn unmet(asked: &impl Asked, unmet: &Unmet) -> Answer {
    match unmet {
        Unmet::NotFound(message) => problem(
            StatusCode::NOT_FOUND,
            format!("{asked} does not exist: {message}; create it, or correct the name"),
        ),
        Unmet::Unserved(message) => problem(
            StatusCode::NOT_IMPLEMENTED,
            format!(
                "the API server does not serve {asked} in the version that attache reads: \
                 {message}; upgrade the cluster"
            ),
        ),
        Unmet::Forbidden(message) => problem(
            StatusCode::FORBIDDEN,
            format!(
                "the API server does not let this pod read {asked}: {message}; grant get, list \
                 and watch on it to the pod's service account"
            ),
        ),
        Unmet::TooMany { .. } => unavailable(
            LATER,
            format!(
                "{asked} is not held, and {unmet}: name it with {}, or try again once others \
                 have expired",
                asked.flag()
            ),
        ),
        Unmet::Unavailable { message, after } => unavailable(
            u16::try_from(after.as_secs()).unwrap_or(LATER).max(SOON),
            format!(
                "{asked} is not held, and the API server is out of reach: {message}; try again"
            ),
        ),
    }
}
