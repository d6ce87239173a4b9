//! Lists and watches one scope of objects of a kind, for as long as attache runs.
//!
//! [`machine`] decides (pure), `paging` how long a page is, `wire` decodes, `transport` talks HTTP;
//! this file is the loop between them.

pub mod machine;
mod paging;
mod transport;
mod wire;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use crate::metrics::{self, Metrics};
use crate::store::writer::Reads;
use crate::store::{Kind, Object, ObjectRef, RawObject, ScopeWriter, Selects};
use crate::upstream::Lease;

use machine::{Effect, Failure, Input, Machine, Step};
use paging::Paging;
use transport::{Events, Failed};

/// How long a watch must be silent to count as accepted.
const SILENT: Duration = Duration::from_millis(300);

/// What to list and watch.
#[derive(Debug, Clone)]
pub struct Target {
    /// Of which kind.
    pub kind: Kind,
    /// Where; `None` is every namespace.
    pub namespace: Option<String>,
    /// Which of them.
    pub select: Select,
}

// === impl Target ===

impl Target {
    /// One object by name.
    #[must_use]
    pub fn named(reference: &ObjectRef) -> Self {
        Self {
            kind: reference.kind,
            namespace: Some(reference.namespace.to_string()),
            select: Select::Name(reference.name.to_string()),
        }
    }

    /// What a scope selects; `None` for a directory, which no API server has.
    #[must_use]
    pub fn of(selects: &Selects) -> Option<Self> {
        match selects {
            Selects::Named(reference) => Some(Self::named(reference)),
            Selects::Selector {
                kind,
                namespace,
                labels,
            } => Some(Self {
                kind: *kind,
                namespace: namespace.as_deref().map(str::to_owned),
                select: Select::Labels(labels.to_string()),
            }),
            Selects::Namespace { kind, namespace } => Some(Self {
                kind: *kind,
                namespace: Some(namespace.to_string()),
                select: Select::All,
            }),
            Selects::Directory(_) => None,
        }
    }
}

/// Which objects of a namespace.
#[derive(Debug, Clone)]
pub enum Select {
    /// One by name: RBAC rules with `resourceNames` allow it, because the request carries a
    /// `metadata.name` field selector.
    Name(String),
    /// Those with these labels.
    Labels(String),
    /// All of them.
    All,
}

/// One scope's watch.
pub struct Watch {
    target: Target,
    scope: ScopeWriter,
    lease: Lease,
    machine: Machine,
    metrics: Metrics,
    label: metrics::Scope,
    /// The scope's name in logs.
    name: Arc<str>,
    /// The last failure that was logged; `None` while in contact.
    failing: Option<String>,
    /// What goes wrong is the caller's to tell.
    quiet: bool,
    synced: bool,
    listed: Listed,
    paging: Paging,
    opened: bool,
}

/// What the pages of a list under way held.
#[derive(Default)]
struct Listed {
    /// Of what was taken.
    bytes: usize,
    refused: Vec<(ObjectRef, usize)>,
}

// === impl Watch ===

impl Watch {
    /// Makes the watch; [`Watch::run`] starts it. `name` is the scope's in logs, `label` in metrics.
    #[must_use]
    pub fn new(
        target: Target,
        scope: ScopeWriter,
        lease: Lease,
        metrics: Metrics,
        name: Arc<str>,
        label: &str,
    ) -> Self {
        Self {
            target,
            scope,
            lease,
            machine: Machine::new(fastrand::Rng::new()),
            metrics,
            label: metrics::Scope {
                scope: label.to_owned(),
            },
            name,
            failing: None,
            quiet: false,
            synced: false,
            listed: Listed::default(),
            paging: Paging::new(),
            opened: false,
        }
    }

    /// Tells whether the scope being written is read from.
    #[must_use]
    pub fn reads(&self) -> Reads {
        self.scope.reads()
    }

    /// Lists and watches until dropped.
    pub async fn run(&mut self) -> Infallible {
        loop {
            self.step().await;
        }
    }

    /// Reads until the first complete list is in the store, or the first failure.
    ///
    /// # Errors
    /// The failure; [`Watch::run`] goes on from there.
    pub async fn first_sync(&mut self) -> Result<(), Failure> {
        self.quiet = true;
        while !matches!(self.machine.next(), Step::Watch { .. }) {
            if let Some(failure) = self.step().await {
                return Err(failure);
            }
        }
        self.quiet = false;
        Ok(())
    }

    /// One step: a wait, a page, or a whole watch. Returns what went wrong in it.
    async fn step(&mut self) -> Option<Failure> {
        match self.machine.next() {
            Step::Wait(delay) => {
                tokio::time::sleep(delay).await;
                self.machine.waited();
                None
            }
            Step::List { continue_token } => self.list(continue_token).await,
            Step::Watch { resource_version } => self.watch(&resource_version).await,
        }
    }

    async fn list(&mut self, continue_token: Option<String>) -> Option<Failure> {
        let (token, paging) = (continue_token.as_deref(), &mut self.paging);
        match transport::list(&self.lease, &self.target, token, paging).await {
            Ok(page) => {
                if continue_token.is_none() {
                    self.listed = Listed::default();
                }
                let items = self.take(page.items);
                if page.next.is_none() {
                    self.metrics.watch_lists.get_or_create(&self.label).inc();
                }
                self.feed(Input::Page {
                    items,
                    next: page.next,
                    resource_version: page.resource_version,
                });
                None
            }
            Err(failed) => Some(self.fail(failed, Duration::ZERO).await),
        }
    }

    /// Freezes what a page holds. What cannot fit however much is freed is let go of at once, so
    /// that a list takes no more memory than `--max-bytes` allows.
    fn take(&mut self, items: Vec<RawObject>) -> Vec<Arc<Object>> {
        let limit = self.scope.max_bytes();
        let mut taken = Vec::with_capacity(items.len());
        for raw in items {
            let object = self.scope.freeze(raw);
            let bytes = self.listed.bytes.saturating_add(object.size());
            if bytes > limit {
                let reference = object.reference().clone();
                self.listed.refused.push((reference, object.size()));
            } else {
                self.listed.bytes = bytes;
                taken.push(object);
            }
        }
        taken
    }

    async fn watch(&mut self, resource_version: &str) -> Option<Failure> {
        // Spread over 5 to 10 minutes, so that a fleet started together does not renew together.
        let timeout = Duration::from_secs(fastrand::u64(300..=600));
        if self.opened {
            self.metrics
                .watch_reconnects
                .get_or_create(&self.label)
                .inc();
        }
        let mut events =
            match transport::watch(&self.lease, &self.target, resource_version, timeout).await {
                Ok(events) => events,
                Err(failed) => return Some(self.fail(failed, Duration::ZERO).await),
            };
        let opened = Instant::now();
        self.opened = true;
        match self.follow(&mut events).await {
            Ok(()) => {
                // What was refused for want of room is looked for again.
                let relist = self.scope.has_refused();
                self.feed(Input::Closed {
                    lasted: opened.elapsed(),
                    relist,
                });
                None
            }
            Err(failed) => Some(self.fail(failed, opened.elapsed()).await),
        }
    }

    async fn follow(&mut self, events: &mut Events) -> Result<(), Failed> {
        // A resourceVersion that is too old is accepted first and refused right after: being
        // accepted is no contact yet.
        let early = timeout(SILENT, events.next()).await.ok().transpose()?;
        self.feed(Input::Opened);
        let mut next = match early {
            Some(first) => first,
            None => events.next().await?,
        };
        while let Some(event) = next {
            self.metrics.watch_events.get_or_create(&self.label).inc();
            let event = event.map_object(|raw| self.scope.freeze(raw));
            self.feed(Input::Event(event));
            next = events.next().await?;
        }
        Ok(())
    }

    async fn fail(&mut self, failed: Failed, lasted: Duration) -> Failure {
        if failed.refresh
            && let Err(error) = self.lease.upstream().refresh(failed.generation).await
        {
            warn!(scope = %self.name, %error, "the credentials could not be read again; the earlier ones stay in use");
        }
        let failure = failed.failure;
        let unserved = matches!(failure, Failure::Unserved(_));
        self.scope.served(!unserved);
        self.feed(Input::Failed {
            failure: failure.clone(),
            lasted,
        });
        failure
    }

    fn feed(&mut self, input: Input) {
        match self.machine.feed(input) {
            Effect::None => {}
            Effect::Replace(objects) => {
                let objects_listed = objects.len();
                let refused = std::mem::take(&mut self.listed.refused);
                self.scope.replace_with(objects, refused);
                self.synced = true;
                debug!(scope = %self.name, objects = objects_listed, "listed");
                self.recovered();
            }
            Effect::Upsert(object) => self.scope.upsert(object),
            Effect::Remove(gone) => {
                self.scope
                    .remove(&gone.reference, &gone.uid, &gone.resource_version);
            }
            Effect::Live => {
                self.scope.live();
                self.recovered();
            }
            Effect::Lost(reason) => {
                let since = self.lease.upstream().last_heard();
                self.scope.lost(since, reason.clone());
                if !self.quiet && self.failing.as_ref() != Some(&reason) {
                    if self.synced {
                        warn!(scope = %self.name, %reason, "out of contact; the last good content stays and attache keeps trying");
                    } else {
                        warn!(scope = %self.name, %reason, "not read yet; attache keeps trying");
                    }
                    self.failing = Some(reason);
                }
            }
        }
    }

    fn recovered(&mut self) {
        if self.failing.take().is_some() {
            info!(scope = %self.name, "in contact again");
        }
    }
}
