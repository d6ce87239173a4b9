//! Which step is next: a pure function of what is held and the time.

use std::time::Duration;

use jiff::Timestamp;

use super::issue::{self, IssueError};
use super::{Authority, Contents};

/// A CA is valid for as many times as long as a certificate.
const AUTHORITY_VALIDITY: u32 = 4;

/// Renewal, when one part in so many of the validity is left: a CA's and a certificate's.
const RENEWAL: u32 = 3;

/// A renewal is worth it if the certificate then lasts longer by one part in so many of the
/// validity: one near its CA's end cannot be made to last longer.
const GAIN: u32 = 6;

/// No validity is taken for longer: dates end with the year 9999.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The most steps that one look takes: forget, join, issue, and as many again.
const STEPS: usize = 6;

/// What the certificate is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::webhook) struct Wanted {
    /// DNS names and IP addresses; at least one.
    pub(in crate::webhook) names: Vec<String>,
    /// For how long.
    pub(in crate::webhook) validity: Duration,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Keep,
    /// All of it anew: nothing of it can be used.
    Anew,
    /// The authority with this index is no longer valid, or not yet: clients no longer trust it.
    Forget(usize),
    /// A further authority, which issues once it is known to be trusted.
    Join,
    /// A certificate of the authority with this index.
    Issue(usize),
}

/// The next step. `trusted` says that API servers have had time to trust every authority in `held`.
pub(super) fn plan(held: &Contents, wanted: &Wanted, now: Timestamp, trusted: bool) -> Step {
    let authorities = &held.authorities;
    let can_issue = |authority: &Authority| authority.key.is_some() && authority.is_valid(now);
    let first = authorities.iter().position(can_issue);
    let Some((first, last)) = first.zip(authorities.iter().rposition(can_issue)) else {
        return Step::Anew;
    };
    if let Some(invalid) = authorities.iter().position(|a| !a.is_valid(now)) {
        return Step::Forget(invalid);
    }
    let validity = validity(wanted);
    if left(authorities[last].not_after, now) < authority_validity(wanted) / RENEWAL {
        return Step::Join;
    }
    let signer = if trusted { last } else { first };
    let issuer = held.issuer(&wanted.names, now);
    let Some((issuer, leaf)) = issuer.zip(held.leaf.as_ref()) else {
        return Step::Issue(signer);
    };
    let due = left(leaf.not_after, now) < validity / RENEWAL;
    let until = later(now, validity).min(authorities[signer].not_after);
    if issuer < signer || (due && left(until, leaf.not_after) >= validity / GAIN) {
        Step::Issue(signer)
    } else {
        Step::Keep
    }
}

/// Takes steps from `held` until nothing is left to do at `now`. `trusted` says of a bundle whether
/// API servers have had time to trust it.
///
/// # Errors
/// [`IssueError`].
pub(in crate::webhook) fn advance(
    held: Option<&Contents>,
    wanted: &Wanted,
    now: Timestamp,
    trusted: impl Fn(&str) -> bool,
) -> Result<Contents, IssueError> {
    if let Some(held) = held {
        let mut contents = held.clone();
        for _ in 0..STEPS {
            let trusted = trusted(&contents.bundle());
            match plan(&contents, wanted, now, trusted) {
                Step::Keep => return Ok(contents),
                Step::Anew => break,
                step => match take(&contents, step, wanted, now) {
                    Ok(next) => contents = next,
                    // A damaged key: nothing can be issued with it.
                    Err(_) => break,
                },
            }
        }
    }
    // Of what does not settle, something is damaged that no step mends.
    let joined = take(&Contents::default(), Step::Join, wanted, now)?;
    take(&joined, Step::Issue(0), wanted, now)
}

fn take(
    held: &Contents,
    step: Step,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Contents, IssueError> {
    let mut next = held.clone();
    match step {
        Step::Keep | Step::Anew => {}
        Step::Forget(at) => drop(next.authorities.remove(at)),
        Step::Join => {
            let until = later(now, authority_validity(wanted));
            next.authorities.push(issue::authority(now, until)?);
        }
        Step::Issue(at) => {
            let authority = &held.authorities[at];
            let until = later(now, validity(wanted)).min(authority.not_after);
            next.leaf = Some(issue::leaf(authority, &wanted.names, now, until)?);
            // Nobody is to issue with the older ones any more.
            for older in &mut next.authorities[..at] {
                older.key = None;
            }
        }
    }
    Ok(next)
}

fn authority_validity(wanted: &Wanted) -> Duration {
    validity(wanted) * AUTHORITY_VALIDITY
}

fn validity(wanted: &Wanted) -> Duration {
    wanted.validity.min(LONGEST)
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// From `now` to `then`; none if that is past.
fn left(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}
