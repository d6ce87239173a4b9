//! Writing: the keys of ConfigMaps, through the API server's merge patch, so that writers of
//! different keys never overwrite each other.
//!
//! Reading order: `form` and `members` (what a request says), `queue` (whose turn it is), `edits` (how
//! the API server is told), `judge` (what conditions allow), `calls` (the requests, again after
//! conflicts), `refusal` (what the API server says instead), `settled` (until what was written can be
//! read), `answer`.

use std::sync::Arc;

use http::header::ORIGIN;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use tracing::{debug, warn};

use super::body::RequestBody;
use super::kv::Target;
use super::problem::{not_allowed, problem};
use super::query::Query;
use super::{Answer, Api};
use crate::metrics;
use crate::store::demand::Unmet;
use crate::store::{Kind, Lookup, Object, Selects};
use crate::upstream::Lease;

mod answer;
mod calls;
mod edits;
mod form;
mod judge;
mod members;
mod queue;
mod refusal;
mod settled;
mod wire;

use calls::Conditional;
use form::Form;
use judge::{Refusal, Wish};
use queue::Queue;
use settled::Shown;

/// The parameters of requests that write.
pub const PARAMETERS: &[&str] = &["key"];

/// The longest body of a write in bytes: what the API server takes itself.
pub const MAX_BODY: usize = 3 << 20;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Writes ConfigMaps.
pub struct Writer {
    /// A place on a connection to the API server.
    lease: Lease,
    /// `--create-on-read`.
    creates_on_read: bool,
    queue: Queue,
}

// === impl Writer ===

impl Writer {
    /// Writes through `lease`; with `creates_on_read` a read creates what it does not find.
    #[must_use]
    pub fn new(lease: Lease, creates_on_read: bool) -> Self {
        Self {
            lease,
            creates_on_read,
            queue: Queue::new(),
        }
    }
}

// === impl Api ===

impl Api {
    /// Answers a request that writes, or that has a method which the route does not know: that comes
    /// first, whatever its `query` is.
    pub async fn write(
        &self,
        target: &Target<'_>,
        query: Result<Query<'_>, Answer>,
        head: &Parts,
        body: &mut RequestBody,
    ) -> Answer {
        let Some(writer) = &self.writer else {
            return not_allowed(
                "GET, HEAD",
                "this attache does not write: start it with --allow-writes, or change the object \
                 through the Kubernetes API (kubectl edit, kubectl apply)",
            );
        };
        let answer = match self.written(writer, target, query, head, body).await {
            Ok(answer) | Err(answer) => answer,
        };
        self.count(target, &answer);
        answer
    }

    async fn written(
        &self,
        writer: &Writer,
        target: &Target<'_>,
        query: Result<Query<'_>, Answer>,
        head: &Parts,
        body: &mut RequestBody,
    ) -> Result<Answer, Answer> {
        let form = Form::of(&head.method, target)?;
        let query = query?;
        let target = form.target(target, &query)?;
        let held = self.writable(&target)?;
        form.admit(&head.headers)?;
        let room = writer.queue.room(longest(body)).await?;
        let body = match form {
            Form::Removal => bytes::Bytes::new(),
            Form::Merge | Form::Patch | Form::Value => body.read(MAX_BODY).await?,
        };
        let wish = Wish {
            edits: form.edits(&target, body)?,
            target,
            headers: &head.headers,
        };
        let turn = writer.queue.turn(&wish.target).await?;
        let object = if wish.is_conditional() {
            let believed = held.clone().flatten();
            match writer.conditionally(&wish, held).await? {
                Conditional::Done(object) => object,
                Conditional::Refused(refusal, current) => {
                    drop((turn, room));
                    // Who reads again, to decide anew, must not be shown what did not hold.
                    match (&refusal, &current, believed) {
                        (Refusal::Condition, Some(object), _) => _ = self.settled(object).await,
                        (Refusal::Condition, None, Some(gone)) => self.forgotten(&gone).await,
                        _ => {}
                    }
                    return Err(answer::refused(&wish, &refusal, current.as_deref()));
                }
            }
        } else {
            let held = held.flatten();
            writer
                .merge(&wish.target, &wish.edits, held.as_ref())
                .await?
        };
        drop((turn, room));
        let shown = self.settled(&object).await;
        debug!(object = %wish.target, keys = ?wish.edits.keys(), resource_version = object.resource_version(), ?shown, "written for a client");
        Ok(answer::done(&wish, &object, shown))
    }

    /// What may be there, if it is known: an object, or none.
    ///
    /// # Errors
    /// 403 for a Secret, 405 for what does not come from the API server.
    fn writable(&self, target: &Target<'_>) -> Result<Option<Option<Arc<Object>>>, Answer> {
        if target.kind != Kind::ConfigMap {
            let detail = "attache writes no Secret: change it through the Kubernetes API";
            return Err(problem(StatusCode::FORBIDDEN, detail));
        }
        let snapshot = self.reader.snapshot();
        match snapshot.lookup(target.kind, &target.namespace, &target.name) {
            Lookup::Found(object, scope) if object.uid().is_empty() => {
                let detail = format!(
                    "{target} is served from files ({}), which attache does not write: change \
                     them, or the ConfigMap through the Kubernetes API",
                    scope.spec().name
                );
                Err(not_allowed("GET, HEAD", detail))
            }
            Lookup::Found(object, _) => Ok(Some(Some(Arc::clone(object)))),
            Lookup::Missing(_) => Ok(Some(None)),
            Lookup::Pending(_) | Lookup::Refused(_) | Lookup::Unwatched => Ok(None),
        }
    }

    /// Whether a plain GET creates what it does not find.
    pub(super) fn creates_on_read(&self) -> bool {
        self.writer.as_ref().is_some_and(|w| w.creates_on_read)
    }

    /// With `--create-on-read`, creates the ConfigMap that a plain GET asks for if it does not
    /// exist. `None` where the GET goes on to read it.
    pub(super) async fn created_on_read(
        &self,
        target: &Target<'_>,
        head: &Parts,
    ) -> Option<Answer> {
        let writer = self.writer.as_ref()?;
        let object = target.kind == Kind::ConfigMap && target.key.is_none();
        if !object || !may_create(head) || !self.is_missing(target).await {
            return None;
        }
        let created = match writer.queue.turn(target).await {
            Ok(_turn) => writer.ensure(target).await,
            Err(refusal) => Err(refusal),
        };
        let answer = match created {
            Err(refusal) => Some(refusal),
            Ok(object) => match self.settled(&object).await {
                Shown::Written => None,
                shown => {
                    let wish = Wish {
                        target: target.clone(),
                        edits: edits::Edits::new(),
                        headers: &head.headers,
                    };
                    Some(answer::done(&wish, &object, shown))
                }
            },
        };
        match &answer {
            Some(answer) => self.count(target, answer),
            None => self.count_as("ok"),
        }
        answer
    }

    /// Whether the object is known not to exist; what nobody watches is asked for.
    async fn is_missing(&self, target: &Target<'_>) -> bool {
        let snapshot = self.reader.snapshot();
        let found = snapshot.lookup(target.kind, &target.namespace, &target.name);
        match (found, &self.demander) {
            (Lookup::Missing(_), _) => true,
            (Lookup::Unwatched, Some(demander)) => {
                let demand = demander.demand(Selects::Named(target.reference()), false);
                let answer = tokio::time::timeout(super::fetch::DEMAND_TIMEOUT, demand).await;
                matches!(answer, Ok(Err(Unmet::NotFound(_))))
            }
            _ => false,
        }
    }

    /// Counts a write by how it ended, and says what the API server would not do.
    fn count(&self, target: &Target<'_>, answer: &Answer) {
        let status = answer.status();
        if status.is_server_error() {
            warn!(object = %target, status = status.as_u16(), "a client's write failed; the client is told to try again");
        }
        self.count_as(match status {
            StatusCode::NOT_FOUND => "absent",
            StatusCode::PRECONDITION_FAILED => "precondition",
            status if status.is_success() => "ok",
            status if status.is_client_error() => "refused",
            _ => "failed",
        });
    }

    fn count_as(&self, outcome: &'static str) {
        let outcome = metrics::Write { outcome };
        self.metrics.writes.get_or_create(&outcome).inc();
    }
}

/// The most bytes that will be read of `body`.
fn longest(body: &RequestBody) -> usize {
    body.announced().map_or(MAX_BODY, |announced| {
        usize::try_from(announced).map_or(MAX_BODY, |length| length.min(MAX_BODY))
    })
}

/// Whether a request is a GET that no page of another site has made a browser send: such a page may
/// ask, but not create. Without CORS a browser names no Origin, but says where the request comes from
/// (Fetch Metadata).
fn may_create(head: &Parts) -> bool {
    let site = head.headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    head.method == Method::GET
        && !head.headers.contains_key(ORIGIN)
        && matches!(site, None | Some(b"none" | b"same-origin"))
}
