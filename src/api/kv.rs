//! `/kv/{namespace}/{configmap}[/{key}]`: objects as JSON, keys as raw bytes.

use http::request::Parts;
use http::{HeaderMap, StatusCode};

use super::fetch::{self, Asked};
use super::held::{Held, Origin};
use super::problem::problem;
use super::push::Mode;
use super::query::Query;
use super::{Answer, Api};
use crate::http::Peer;
use crate::store::demand::Demander;
use crate::store::{Kind, Lookup, Object, Scope, Selects};

pub(super) mod precondition;
mod representation;
mod stream;
pub mod target;

pub(super) use representation::Representation;
pub use target::{Malformed, Target};

/// The parameters of reads.
pub const PARAMETERS: &[&str] = &["wait", "watch"];

// === impl Api ===

impl Api {
    /// Answers a read of an object or of one key.
    pub async fn kv(
        &self,
        target: &Target<'_>,
        query: &Query<'_>,
        head: &Parts,
        peer: &Peer,
    ) -> Answer {
        match Mode::of(head, query) {
            Ok(Mode::Once) => {
                if self.creates_on_read()
                    && let Some(answer) = Box::pin(self.created_on_read(target, head)).await
                {
                    return answer;
                }
                self.once(target, &head.headers).await
            }
            // Boxed: an idle connection pays for the largest future.
            Ok(Mode::Wait(wait)) => Box::pin(self.changed(target, wait, head, peer)).await,
            Ok(Mode::Stream) => Box::pin(self.followed(target, head, peer)).await,
            Err(refusal) => refusal,
        }
    }

    /// Answers with what there is now.
    async fn once(&self, target: &Target<'_>, headers: &HeaderMap) -> Answer {
        if let Some(answer) = self.held(target, headers, Origin::Hit) {
            return answer;
        }
        match &self.demander {
            Some(demander) if self.fetches(target) => {
                // Boxed: it is rare, and an idle connection pays for the largest future.
                Box::pin(self.fetched(demander, target, headers)).await
            }
            _ => unwatched(target),
        }
    }

    /// Whether an object that nobody watches is fetched. A Secret is never served unless it is
    /// named.
    fn fetches(&self, target: &Target<'_>) -> bool {
        self.demander.is_some() && target.kind == Kind::ConfigMap
    }

    async fn fetched(
        &self,
        demander: &Demander,
        target: &Target<'_>,
        headers: &HeaderMap,
    ) -> Answer {
        match demanded(demander, target, false).await {
            Ok(()) => self
                .held(target, headers, Origin::Fetched)
                .unwrap_or_else(|| fetch::gone(target)),
            Err(refusal) => refusal,
        }
    }

    /// Answers from the newest snapshot; `None` if no scope answers for the object.
    fn held(&self, target: &Target<'_>, headers: &HeaderMap, origin: Origin) -> Option<Answer> {
        let snapshot = self.reader.snapshot();
        let known = snapshot.lookup(target.kind, &target.namespace, &target.name);
        self.known(&known, target, headers, origin)
    }

    /// The same from what a snapshot knows of the object.
    fn known(
        &self,
        known: &Lookup<'_>,
        target: &Target<'_>,
        headers: &HeaderMap,
        origin: Origin,
    ) -> Option<Answer> {
        match known {
            Lookup::Found(object, scope) => {
                scope.touch();
                Some(found(object, scope, target, headers, origin))
            }
            Lookup::Missing(scope) => {
                scope.touch();
                let detail = if passes_over(scope, target) {
                    format!(
                        "{target} is not served: create it, and name it with --secret {}/{}",
                        target.namespace, target.name
                    )
                } else {
                    format!("{target} does not exist: create it, and it is served at once")
                };
                Some(problem(StatusCode::NOT_FOUND, detail))
            }
            Lookup::Pending(scope)
                if matches!(origin, Origin::Hit)
                    && self.fetches(target)
                    && scope.spec().leaves_to_ask() =>
            {
                None
            }
            Lookup::Pending(scope) => Some(fetch::pending(target, scope)),
            Lookup::Refused(reason) => Some(fetch::refused(target, reason)),
            Lookup::Unwatched => None,
        }
    }
}

/// Whether the object stays out of `scope` even if it exists: of a directory's Secrets only those that are
/// named are served.
fn passes_over(scope: &Scope, target: &Target<'_>) -> bool {
    let spec = scope.spec();
    target.kind == Kind::Secret
        && matches!(spec.selects, Selects::Directory(_))
        && !spec.names(&target.reference())
}

/// Has the object fetched and watched, even if it does not exist if it is `awaited`.
async fn demanded(demander: &Demander, target: &Target<'_>, awaited: bool) -> Result<(), Answer> {
    let selects = Selects::Named(target.reference());
    fetch::fetch(demander, selects, awaited, target).await
}

fn found(
    object: &Object,
    scope: &Scope,
    target: &Target<'_>,
    request: &HeaderMap,
    origin: Origin,
) -> Answer {
    let key = target.key.as_deref();
    let Some(shown) = Representation::of(object.content(), key) else {
        let detail = format!(
            "{target} has no key {}: /kv/{}/{} lists the text ones, /-/status all",
            key.unwrap_or_default(),
            target.namespace,
            target.name
        );
        return problem(StatusCode::NOT_FOUND, detail);
    };
    let held = Held {
        etag: shown.etag(),
        content_type: shown.content_type(),
        resource_version: object.resource_version_bytes(),
        age: scope.contact().age(),
        origin,
    };
    held.answer(request, || shown.body())
}

fn unwatched(target: &Target<'_>) -> Answer {
    let (namespace, name) = (&target.namespace, &target.name);
    match target.kind {
        Kind::Secret => problem(
            StatusCode::FORBIDDEN,
            format!(
                "a Secret is served only if it is named: start attache with --secret \
                 {namespace}/{name}"
            ),
        ),
        _ => problem(
            StatusCode::NOT_FOUND,
            format!(
                "{target} is not watched: start attache with --configmap {namespace}/{name}, or \
                 without --no-on-demand"
            ),
        ),
    }
}

impl Asked for Target<'_> {
    fn flag(&self) -> String {
        let (namespace, name) = (&self.namespace, &self.name);
        format!("--configmap {namespace}/{name}")
    }
}
