//! The annotations of namespaces: asked for when a pod is created there, and kept for a moment.
//!
//! No watch: a cluster may have thousands of namespaces, of which few create pods with a sidecar.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::config::PREFIX;
use crate::upstream::{Lease, Status};

/// How long an answer holds.
pub(super) const FRESH: Duration = Duration::from_secs(10);

/// How long the API server may take: it waits itself 2 s for the whole review.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// How long a failure holds, so that the pods of one burst do not all wait for the next one.
const FAILED: Duration = Duration::from_secs(1);

/// The most namespaces that are remembered; the one asked for longest ago goes.
pub(super) const MOST: usize = 4096;

/// attache's annotations, by their names without [`PREFIX`].
pub(super) type Annotations = BTreeMap<String, String>;

/// Who knows the annotations.
pub(super) trait Ask: Send + Sync + 'static {
    /// Those of the namespace now.
    fn ask(&self, namespace: &str) -> impl Future<Output = Result<Annotations, String>> + Send;
}

/// What is known of a namespace's annotations.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    /// They are, or were in the last 10 s, these.
    Fresh(Arc<Annotations>),
    /// They were these; the API server does not say what they are now, and why.
    Stale(Arc<Annotations>, String),
    /// The API server does not say, and why.
    Unknown(String),
}

/// The namespaces' annotations.
pub(super) struct Namespaces<A> {
    ask: A,
    slots: Mutex<HashMap<Box<str>, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    /// One asks; the others wait for its answer.
    asking: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    annotations: Option<(Arc<Annotations>, Instant)>,
    failure: Option<(String, Instant)>,
}

// === impl Namespaces ===

impl<A: Ask> Namespaces<A> {
    pub(super) fn new(ask: A) -> Self {
        Self {
            ask,
            slots: Mutex::default(),
        }
    }

    /// What is known of a namespace's annotations, within 1 s.
    pub(super) async fn annotations(&self, namespace: &str) -> Found {
        if !is_label(namespace) {
            return Found::Unknown("there can be no namespace of that name".to_owned());
        }
        let slot = self.slot(namespace);
        if let Some(found) = slot.lock().newest() {
            return found;
        }
        let asked = timeout_at(Instant::now() + PATIENCE, async {
            let _asking = slot.asking.lock().await;
            if let Some(found) = slot.lock().newest() {
                return found;
            }
            let answer = self.ask.ask(namespace).await;
            slot.lock().take(answer)
        });
        match asked.await {
            Ok(found) => found,
            Err(_) => {
                let late = format!("no answer within {} s", PATIENCE.as_secs());
                slot.lock().take(Err(late))
            }
        }
    }

    fn slot(&self, namespace: &str) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(namespace) {
            return Arc::clone(slot);
        }
        if slots.len() >= MOST {
            let asked = |slot: &Slot| slot.lock().annotations.as_ref().map(|(_, at)| *at);
            let oldest = slots.iter().min_by_key(|(_, slot)| asked(slot));
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                slots.remove(&oldest);
            }
        }
        Arc::clone(slots.entry(namespace.into()).or_default())
    }
}

// === impl Slot ===

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

// === impl Known ===

impl Known {
    /// What is not worth asking about again yet.
    fn newest(&self) -> Option<Found> {
        let within = |at: &Instant, span| at.elapsed() < span;
        match (&self.annotations, &self.failure) {
            (Some((annotations, at)), _) if within(at, FRESH) => {
                Some(Found::Fresh(Arc::clone(annotations)))
            }
            (_, Some((reason, at))) if within(at, FAILED) => Some(self.without(reason)),
            _ => None,
        }
    }

    fn take(&mut self, answer: Result<Annotations, String>) -> Found {
        match answer {
            Ok(annotations) => {
                let annotations = Arc::new(annotations);
                self.annotations = Some((Arc::clone(&annotations), Instant::now()));
                self.failure = None;
                Found::Fresh(annotations)
            }
            Err(reason) => {
                let found = self.without(&reason);
                self.failure = Some((reason, Instant::now()));
                found
            }
        }
    }

    fn without(&self, reason: &str) -> Found {
        match &self.annotations {
            Some((annotations, _)) => Found::Stale(Arc::clone(annotations), reason.to_owned()),
            None => Found::Unknown(reason.to_owned()),
        }
    }
}

/// The annotation that is not taken from namespaces: whoever may annotate one, and create no pods there,
/// would choose a program that runs with the rights of each.
const IMAGE: &str = "image";

/// A Namespace, as far as it matters here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Namespace {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    annotations: BTreeMap<String, String>,
}

/// What a Namespace says to attache.
fn of(body: &[u8]) -> Option<Annotations> {
    let read: Namespace = serde_json::from_slice(body).ok()?;
    let own = read.metadata.annotations.into_iter();
    let own = own.filter_map(|(name, text)| Some((name.strip_prefix(PREFIX)?.to_owned(), text)));
    Some(own.filter(|(name, _)| name != IMAGE).collect())
}

impl Ask for Lease {
    async fn ask(&self, namespace: &str) -> Result<Annotations, String> {
        let request = Request::get(format!("/api/v1/namespaces/{namespace}"));
        let request = request.body(Bytes::new()).map_err(|e| e.to_string())?;
        let answer = self.call(&request).await.map_err(|e| e.to_string())?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::FORBIDDEN => {
                let said = Status::of(&answer).message;
                return Err(format!(
                    "{said}: grant the webhook's service account the verb get on namespaces by a ClusterRole"
                ));
            }
            _ => return Err(Status::of(&answer).message),
        }
        of(answer.body()).ok_or_else(|| "the API server's answer is no Namespace".to_owned())
    }
}

/// Whether it is a DNS label (RFC 1123), as names of namespaces are. Whoever reaches the webhook can ask
/// it for a review, and nothing else than a name belongs into a path.
fn is_label(name: &str) -> bool {
    let is_part = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=63).contains(&name.len()) && name.bytes().all(is_part)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
