//! The requests of a write to the API server, and the two ways in which they are put together.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::Writer;
use super::answer;
use super::edits::{self, Edits};
use super::judge::{Refusal, Step, Wish};
use super::refusal::{self, SOON, Verb};
use super::wire;
use crate::api::Answer;
use crate::api::kv::Target;
use crate::api::problem::unavailable;
use crate::store::Object;

/// How long a write tries to get past the writes of others.
const PATIENCE: Duration = Duration::from_secs(10);

/// The bounds of the pause after each refusal because of others' writes, in milliseconds.
const PAUSE: std::ops::RangeInclusive<u64> = 5..=50;

/// RFC 7396.
const MERGE_PATCH: HeaderValue = HeaderValue::from_static("application/merge-patch+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Who `metadata.managedFields` says has set what is written.
const FIELD_MANAGER: &str = "fieldManager=attache";

/// What became of a request, if not refused for good.
enum Outcome {
    /// Done; the object as it is now.
    Done(Arc<Object>),
    /// There is no such object.
    Missing,
    /// Others wrote meanwhile.
    Conflict,
}

/// What a conditional write came to.
pub(super) enum Conditional {
    /// Done; the object as it is now.
    Done(Arc<Object>),
    /// Refused, because of the object as it is now.
    Refused(Refusal, Option<Arc<Object>>),
}

/// Pauses after conflicts, until enough is enough.
struct Retries<'a> {
    target: &'a Target<'a>,
    until: Instant,
}

// === impl Retries ===

impl<'a> Retries<'a> {
    fn of(target: &'a Target<'a>) -> Self {
        let until = Instant::now() + PATIENCE;
        Self { target, until }
    }

    async fn pause(&self) -> Result<(), Answer> {
        let target = self.target;
        if Instant::now() >= self.until {
            let detail = format!(
                "{target} is written by others all the time, for {} s now; nothing was written: \
                 try again",
                PATIENCE.as_secs()
            );
            return Err(unavailable(SOON, detail));
        }
        debug!(object = %target, "others wrote meanwhile; trying again");
        sleep(Duration::from_millis(fastrand::u64(PAUSE))).await;
        Ok(())
    }
}

// === impl Writer ===

impl Writer {
    /// Merges `edits` into what is there, whatever it is, or makes it of them, unless they only remove
    /// keys.
    pub(super) async fn merge(
        &self,
        target: &Target<'_>,
        edits: &Edits,
        held: Option<&Arc<Object>>,
    ) -> Result<Arc<Object>, Answer> {
        let retries = Retries::of(target);
        loop {
            // The API server itself merges again after a conflict, but only five times.
            let mut outcome = self.patch(target, edits, None, held).await?;
            if let Outcome::Missing = outcome {
                if edits::only_remove(edits) {
                    return Err(answer::no_object(target));
                }
                outcome = self.create(target, edits).await?;
            }
            match outcome {
                Outcome::Done(object) => return Ok(object),
                Outcome::Missing | Outcome::Conflict => retries.pause().await?,
            }
        }
    }

    /// Does what `wish` asks for if it may be done. `believed` is what may be there: enough to try
    /// it, for the API server takes a step only if it is true, but not to refuse it.
    pub(super) async fn conditionally(
        &self,
        wish: &Wish<'_>,
        believed: Option<Option<Arc<Object>>>,
    ) -> Result<Conditional, Answer> {
        let (target, edits) = (&wish.target, &wish.edits);
        if let Some(believed) = believed
            && let Ok(step) = wish.judge(believed.as_deref())
            && let Outcome::Done(object) = self.take(step, target, edits, believed.as_ref()).await?
        {
            return Ok(Conditional::Done(object));
        }
        let retries = Retries::of(target);
        loop {
            let current = self.get(target).await?;
            let step = match wish.judge(current.as_deref()) {
                Ok(step) => step,
                Err(refusal) => return Ok(Conditional::Refused(refusal, current)),
            };
            if let Outcome::Done(object) = self.take(step, target, edits, current.as_ref()).await? {
                return Ok(Conditional::Done(object));
            }
            retries.pause().await?;
        }
    }

    /// Makes the object without keys, unless it is there.
    pub(super) async fn ensure(&self, target: &Target<'_>) -> Result<Arc<Object>, Answer> {
        let nothing = Edits::new();
        match self.create(target, &nothing).await? {
            Outcome::Done(object) => Ok(object),
            Outcome::Missing | Outcome::Conflict => self.merge(target, &nothing, None).await,
        }
    }

    async fn take(
        &self,
        step: Step<'_>,
        target: &Target<'_>,
        edits: &Edits,
        current: Option<&Arc<Object>>,
    ) -> Result<Outcome, Answer> {
        match step {
            Step::Create => self.create(target, edits).await,
            Step::Patch(version) => self.patch(target, edits, Some(version), current).await,
        }
    }

    async fn get(&self, target: &Target<'_>) -> Result<Option<Arc<Object>>, Answer> {
        let path = format!("{}/{}", collection(target), target.name);
        let request = request(Method::GET, &path, JSON, Vec::new());
        let answer = self.call(Verb::Get, target, &request).await?;
        match answer.status() {
            StatusCode::OK => read(Verb::Get, target, &answer, None).map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refusal::refused(Verb::Get, target, &answer)),
        }
    }

    async fn patch(
        &self,
        target: &Target<'_>,
        edits: &Edits,
        version: Option<&str>,
        held: Option<&Arc<Object>>,
    ) -> Result<Outcome, Answer> {
        let path = format!("{}/{}?{FIELD_MANAGER}", collection(target), target.name);
        let patch = edits::patch(edits, version);
        let request = request(Method::PATCH, &path, MERGE_PATCH, patch);
        let answer = self.call(Verb::Patch, target, &request).await?;
        match answer.status() {
            status if status.is_success() => {
                read(Verb::Patch, target, &answer, held).map(Outcome::Done)
            }
            StatusCode::NOT_FOUND => Ok(Outcome::Missing),
            StatusCode::CONFLICT => Ok(Outcome::Conflict),
            _ => Err(refusal::refused(Verb::Patch, target, &answer)),
        }
    }

    async fn create(&self, target: &Target<'_>, edits: &Edits) -> Result<Outcome, Answer> {
        let path = format!("{}?{FIELD_MANAGER}", collection(target));
        let request = request(Method::POST, &path, JSON, edits::object(target, edits));
        let answer = self.call(Verb::Create, target, &request).await?;
        match answer.status() {
            status if status.is_success() => {
                read(Verb::Create, target, &answer, None).map(Outcome::Done)
            }
            StatusCode::CONFLICT => Ok(Outcome::Conflict),
            _ => Err(refusal::refused(Verb::Create, target, &answer)),
        }
    }

    async fn call(
        &self,
        verb: Verb,
        target: &Target<'_>,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, Answer> {
        let answer = self.lease.call(request).await;
        answer.map_err(|error| refusal::unanswered(verb, target, &error))
    }
}

/// The path of the ConfigMaps of the target's namespace. The names need no encoding: they are DNS
/// labels and subdomains.
fn collection(target: &Target<'_>) -> String {
    let (root, resource) = (target.kind.root(), target.kind.resource());
    format!("{root}/namespaces/{}/{resource}", target.namespace)
}

fn request(method: Method, path: &str, media: HeaderValue, body: Vec<u8>) -> Request<Bytes> {
    let has_body = !body.is_empty();
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = method;
    // What names and constants make up always is a path.
    *request.uri_mut() = Uri::try_from(path).unwrap_or_default();
    request.headers_mut().insert(header::ACCEPT, JSON);
    if has_body {
        request.headers_mut().insert(header::CONTENT_TYPE, media);
    }
    request
}

fn read(
    verb: Verb,
    target: &Target<'_>,
    answer: &Response<Bytes>,
    held: Option<&Arc<Object>>,
) -> Result<Arc<Object>, Answer> {
    let object = wire::object(target.reference(), answer.body(), held);
    object.ok_or_else(|| refusal::malformed(verb, target))
}
