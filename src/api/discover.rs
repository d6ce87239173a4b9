//! `/discover/{namespace}[/{service}]`: Services and their endpoints.
//!
//! Reading order: `target` (what a request asks for), [`Discovery`] (where it is read from), `views` (how
//! it is kept), then the answers.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode};

use super::fetch;
use super::held::{Held, Origin};
use super::problem::problem;
use super::push::{self, Mode, Moment};
use super::query::Query;
use super::{Answer, Api};
use crate::discover::View;
use crate::http::Peer;
use crate::store::demand::Demander;
use crate::store::{Contact, ETag, Kind, Reader, Scope, Selects, Snapshot, Tags};

mod target;
mod views;

use target::{All, Target};
use views::Views;

/// Where Services and EndpointSlices are read from: a store of their own, so that nothing that follows
/// content wakes for them.
pub struct Discovery {
    /// The newest snapshot of them.
    pub reader: Reader,
    /// Asks for namespaces that nobody watches; `None` with `--no-on-demand`.
    pub demander: Option<Demander>,
    views: Arc<Views>,
}

/// The parameters of `/discover/{namespace}`.
pub const OF_NAMESPACE: &[&str] = &["wait", "watch"];

/// The parameters of `/discover/{namespace}/{service}`.
pub const OF_SERVICE: &[&str] = &["port", "ready", "wait", "watch", "zone"];

/// The scopes that a view is made of, each read at least once.
struct Scopes<'a> {
    services: &'a Scope,
    /// Only for the view of one Service.
    slices: Option<&'a Scope>,
}

// === impl Api ===

impl Api {
    /// The newest snapshot of Services and EndpointSlices, if they are read.
    pub(super) fn discovered(&self) -> Option<Arc<Snapshot>> {
        let discovery = self.discovery.as_ref();
        discovery.map(|discovery| discovery.reader.snapshot())
    }

    /// Answers with the Services of a namespace, or with one Service and its endpoints. The segments
    /// are as they were sent.
    pub async fn discover(
        &self,
        namespace: &str,
        service: Option<&str>,
        query: &Query<'_>,
        head: &Parts,
        peer: &Peer,
    ) -> Answer {
        let target = match Target::parse(namespace, service, query) {
            Ok(target) => Arc::new(target),
            Err(refusal) => return refusal,
        };
        match Mode::of(head, query) {
            Ok(mode) => self.found(target, mode, head, peer).await,
            Err(refusal) => refusal,
        }
    }

    async fn found(&self, target: Arc<Target>, mode: Mode, head: &Parts, peer: &Peer) -> Answer {
        let Some(discovery) = &self.discovery else {
            return problem(
                StatusCode::NOT_FOUND,
                "discovery needs an API server: start attache with credentials for one, and \
                 without --dir",
            );
        };
        let origin = match discovery.hold(&target).await {
            Ok(origin) => origin,
            Err(refusal) => return refusal,
        };
        let reader = discovery.reader.clone();
        if mode == Mode::Stream
            && let Err(refusal) = Scopes::whole(&target, &reader.snapshot())
        {
            return refusal;
        }
        let answer = || discovery.answer(&target, &head.headers, origin);
        match mode {
            Mode::Once => answer(),
            Mode::Wait(wait) => self.long_poll(reader, wait, peer, answer).await,
            Mode::Stream => self.stream(reader, discovery.subject(target), head, peer),
        }
    }
}

// === impl Discovery ===

impl Discovery {
    /// Reads from `reader` what `demander` asks for.
    #[must_use]
    pub fn new(reader: Reader, demander: Option<Demander>) -> Self {
        Self {
            reader,
            demander,
            views: Arc::default(),
        }
    }

    /// Sees to it that what the target is made of is held.
    async fn hold(&self, target: &Target) -> Result<Origin, Answer> {
        let slices = async {
            match &target.service {
                Some(_) => self.hold_all(Kind::EndpointSlice, target).await,
                None => Ok(Origin::Hit),
            }
        };
        match tokio::join!(self.hold_all(Kind::Service, target), slices) {
            (Ok(Origin::Hit), Ok(Origin::Hit)) => Ok(Origin::Hit),
            (Ok(_), Ok(_)) => Ok(Origin::Fetched),
            (Err(refusal), _) | (_, Err(refusal)) => Err(refusal),
        }
    }

    async fn hold_all(&self, kind: Kind, target: &Target) -> Result<Origin, Answer> {
        let namespace = &target.namespace;
        let all = All { kind, namespace };
        match self.reader.snapshot().namespace(kind, namespace) {
            Some(scope) if scope.synced() => return Ok(Origin::Hit),
            Some(scope) if !scope.spec().on_demand => return Err(fetch::pending(&all, scope)),
            _ => {}
        }
        let Some(demander) = &self.demander else {
            return Err(problem(
                StatusCode::NOT_FOUND,
                format!(
                    "the services of namespace {namespace} are not watched: start attache with \
                     --discover {namespace}, or without --no-on-demand"
                ),
            ));
        };
        let selects = Selects::Namespace {
            kind,
            namespace: Arc::clone(namespace),
        };
        let fetched = fetch::fetch(demander, selects, false, &all).await;
        fetched.map(|()| Origin::Fetched)
    }

    /// Answers from the newest snapshot.
    fn answer(&self, target: &Arc<Target>, headers: &HeaderMap, origin: Origin) -> Answer {
        let snapshot = self.reader.snapshot();
        let scopes = match Scopes::whole(target, &snapshot) {
            Ok(scopes) => scopes,
            Err(refusal) => return refusal,
        };
        let Some(view) = scopes.view(target, &self.views) else {
            return problem(
                StatusCode::NOT_FOUND,
                format!("{target} does not exist: create it, and it is served at once"),
            );
        };
        let held = Held {
            etag: view.etag(),
            content_type: "application/json",
            // It is a view of many objects.
            resource_version: &Bytes::new(),
            age: scopes.contact().age(),
            origin,
        };
        held.answer(headers, || view.json().clone())
    }

    /// What a stream follows. It is asked often enough to keep its scopes.
    fn subject(&self, target: Arc<Target>) -> push::Subject {
        let views = Arc::clone(&self.views);
        Box::new(move |snapshot| {
            let Ok(scopes) = Scopes::whole(&target, snapshot) else {
                return Moment {
                    state: None,
                    contact: Contact::Never { reason: None },
                };
            };
            let view = scopes.view(&target, &views);
            Moment {
                state: view.map(|view| Box::new(Followed(view)) as Box<dyn push::State>),
                contact: scopes.contact().clone(),
            }
        })
    }
}

// === impl Scopes ===

impl<'a> Scopes<'a> {
    /// Finds them, and notes that they are used.
    fn of(target: &Target, snapshot: &'a Snapshot) -> Option<Self> {
        let find = |kind| {
            let scope = snapshot.namespace(kind, &target.namespace);
            let scope = scope.filter(|scope| scope.synced())?;
            scope.touch();
            Some(scope)
        };
        Some(Self {
            services: find(Kind::Service)?,
            slices: match &target.service {
                Some(_) => Some(find(Kind::EndpointSlice)?),
                None => None,
            },
        })
    }

    /// The same, if they hold all that there is.
    fn whole(target: &Target, snapshot: &'a Snapshot) -> Result<Self, Answer> {
        let scopes = Self::of(target, snapshot).ok_or_else(|| fetch::gone(target))?;
        let each = [Some(scopes.services), scopes.slices].into_iter().flatten();
        // What an object that is not held belongs to is not known.
        match each.flat_map(|scope| scope.refused().values()).next() {
            Some(reason) => Err(fetch::refused(target, reason)),
            None => Ok(scopes),
        }
    }

    fn view(&self, target: &Arc<Target>, views: &Views) -> Option<Arc<View>> {
        views.get(
            target,
            self.services.objects(),
            self.slices.map(Scope::objects),
        )
    }

    /// That of the scope which has been out of contact the longest, if one is.
    fn contact(&self) -> &'a Contact {
        let contacts = self.slices.map(Scope::contact).into_iter();
        contacts.fold(self.services.contact(), |longest, contact| {
            if contact.age() > longest.age() {
                contact
            } else {
                longest
            }
        })
    }
}

/// A view that a stream follows.
struct Followed(Arc<View>);

impl push::State for Followed {
    fn etag(&self) -> &ETag {
        self.0.etag()
    }

    fn head(&self) -> Option<&ETag> {
        Some(self.0.head())
    }

    fn tags(&self) -> Arc<Tags> {
        self.0.tags()
    }

    fn snapshot(&self) -> Bytes {
        self.0.snapshot()
    }

    fn change(&self, key: &str) -> Bytes {
        self.0.change(key)
    }
}

#[cfg(test)]
mod tests;
