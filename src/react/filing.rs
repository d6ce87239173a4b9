//! Keeps directories and files as the `files` rules want them: what is due, under way, or failing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::Instant as Moment;

use super::names::Names;
use super::schedule::backoff;
use super::seen::Seen;
use crate::config::{FilesFrom, FilesRule};
use crate::files::{FilesError, Rendered, Source, Target};
use crate::metrics::{self, Metrics};
use crate::readiness::{Pending, Readiness};
use crate::status::Board;
use crate::store::{Content, Lookup, ObjectRef, Selects, Snapshot};

/// The longest wait after a write that failed.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// A write that is under way.
pub(super) type Writing = Pin<Box<dyn Future<Output = Filed> + Send>>;
/// What a target holds, or is to hold: one source for each of its rules.
type Sources = Arc<[Source]>;

/// All targets.
pub(super) struct Filing {
    desks: Vec<Desk>,
    ready_from_state: bool,
    board: Board,
    metrics: Metrics,
}

/// A write that has ended.
pub(super) struct Filed {
    desk: usize,
    sources: Sources,
    /// Whether it is a first write to wait for.
    counts: bool,
    result: Result<Rendered, String>,
}

/// One target.
struct Desk {
    target: Arc<Target>,
    /// The rules that write it, as `files[0], files[2]`.
    name: String,
    from: Vec<From>,
    /// The newest that is known; of an object that is missing, nothing.
    known: Sources,
    /// What it is to hold; `None` until all of it was known once.
    wanted: Option<Sources>,
    /// What it holds.
    written: Option<Sources>,
    /// When that became visible.
    since: Option<Instant>,
    writing: bool,
    failures: u32,
    retry: Option<Moment>,
    remarks: Vec<String>,
    /// Whether what it is to hold was read by this attache, or restored content counts as well.
    counts: bool,
    /// Held until the first write of what counts.
    pending: Option<Pending>,
}

/// What one rule writes.
enum From {
    Object {
        reference: ObjectRef,
        optional: bool,
    },
    Selected(Selects),
}

// === impl Filing ===

impl Filing {
    /// Readiness waits for the first write of every target: of what was read, or with
    /// `ready_from_state` of what was restored.
    pub(super) fn new(
        rules: &[FilesRule],
        names: &Names,
        board: Board,
        metrics: Metrics,
        readiness: &Readiness,
        ready_from_state: bool,
    ) -> Self {
        let desk = |target: Target| {
            let rules: Vec<&str> = target.rules().iter().map(|r| r.name.as_str()).collect();
            let name = rules.join(", ");
            let from = target.rules().iter();
            Desk {
                from: from.map(|rule| from_of(&rule.from, names)).collect(),
                pending: Some(readiness.pending(format!("{name}: {}", target.path().display()))),
                name,
                target: Arc::new(target),
                known: Sources::default(),
                wanted: None,
                written: None,
                since: None,
                writing: false,
                failures: 0,
                retry: None,
                remarks: Vec::new(),
                counts: false,
            }
        };
        Self {
            desks: Target::of(rules).into_iter().map(desk).collect(),
            ready_from_state,
            board,
            metrics,
        }
    }

    /// Takes over a newer snapshot.
    pub(super) fn observe(&mut self, snapshot: &Snapshot, seen: &Seen) {
        for desk in &mut self.desks {
            let sources = desk.from.iter().map(|from| from.source(snapshot, seen));
            let sources: Vec<Option<Source>> = sources.collect();
            let complete = sources.iter().all(Option::is_some);
            let known = sources.into_iter().map(Option::unwrap_or_default);
            let known: Sources = known.collect();
            if !same(&desk.known, &known) {
                desk.known = known;
            }
            if !complete {
                continue;
            }
            let wanted = desk.wanted.as_ref();
            if wanted.is_none_or(|wanted| !same(wanted, &desk.known)) {
                desk.wanted = Some(Arc::clone(&desk.known));
                desk.retry = None;
            }
            let mut from = desk.from.iter();
            desk.counts = self.ready_from_state || from.all(|from| from.is_read(snapshot));
            if desk.counts && desk.has_caught_up() {
                // It was written from what was restored, and is right.
                desk.pending = None;
            }
        }
    }

    /// Begins every write that is due.
    pub(super) fn begin(&mut self, now: Moment) -> Vec<Writing> {
        let mut begun = Vec::new();
        for (index, desk) in self.desks.iter_mut().enumerate() {
            let Some(wanted) = desk.wanted.as_ref().filter(|_| desk.is_due(now)) else {
                continue;
            };
            let (target, sources) = (Arc::clone(&desk.target), Arc::clone(wanted));
            let counts = desk.counts;
            desk.writing = true;
            begun.push(Box::pin(async move {
                let rendered = Arc::clone(&sources);
                let rendering = tokio::task::spawn_blocking(move || target.render(&rendered));
                let result = match rendering.await {
                    Ok(result) => result.map_err(|error: FilesError| error.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                Filed {
                    desk: index,
                    sources,
                    counts,
                    result,
                }
            }) as Writing);
        }
        begun
    }

    /// Takes over that a write has ended.
    pub(super) fn filed(&mut self, filed: Filed, now: Moment) {
        let Filed {
            desk,
            sources,
            counts,
            result,
        } = filed;
        let desk = &mut self.desks[desk];
        desk.writing = false;
        let label = match &result {
            Ok(rendered) if rendered.written => "written",
            Ok(_) => "unchanged",
            Err(_) => "failed",
        };
        let labels = metrics::Files { result: label };
        self.metrics.files.get_or_create(&labels).inc();
        match result {
            Ok(rendered) => {
                desk.succeeded(sources, rendered, &self.board);
                // Or it was read meanwhile, and is as it was restored.
                if counts || (desk.counts && desk.has_caught_up()) {
                    desk.pending = None;
                }
            }
            Err(error) => desk.failed(error, now, &self.board),
        }
    }

    /// When [`Filing::begin`] has something to do next; `None` if only an event can tell.
    pub(super) fn deadline(&self) -> Option<Moment> {
        let desks = self.desks.iter();
        let waiting = desks.filter(|desk| !desk.writing && !desk.has_caught_up());
        waiting.filter_map(|desk| desk.retry).min()
    }

    /// Whether the newest content of any of `objects` has yet to be written somewhere.
    pub(super) fn is_behind(&self, objects: &[ObjectRef]) -> bool {
        self.desks.iter().any(|desk| desk.is_behind(objects))
    }

    /// Since when all content of `objects` can be read from files; `None` if none is written.
    pub(super) fn since(&self, objects: &[ObjectRef]) -> Option<Instant> {
        let desks = self.desks.iter();
        let concerned =
            desks.filter(|desk| desk.written.as_ref().is_some_and(|w| holds(w, objects)));
        concerned.filter_map(|desk| desk.since).max()
    }
}

// === impl Desk ===

impl Desk {
    fn is_due(&self, now: Moment) -> bool {
        let may = self.retry.is_none_or(|retry| retry <= now);
        !self.writing && !self.has_caught_up() && may
    }

    /// Whether there is nothing to write. A write that failed may have swapped the files all the
    /// same, so after it nobody knows what they hold.
    fn has_caught_up(&self) -> bool {
        match (&self.wanted, &self.written) {
            (Some(wanted), Some(written)) => self.failures == 0 && same(wanted, written),
            (wanted, _) => wanted.is_none(),
        }
    }

    /// What is known counts, not what can be written: as long as another object of the target is
    /// missing, the files hold the old content.
    fn is_behind(&self, objects: &[ObjectRef]) -> bool {
        let written = self.written.as_deref().unwrap_or_default();
        objects.iter().any(|object| {
            let (known, written) = (content(&self.known, object), content(written, object));
            match (known, written) {
                (Some(known), Some(written)) => !Arc::ptr_eq(known, written),
                (known, written) => known.is_some() != written.is_some(),
            }
        })
    }

    fn succeeded(&mut self, sources: Sources, rendered: Rendered, board: &Board) {
        if rendered.written {
            tracing::info!(rule = self.name, path = %self.target.path().display(), "files brought up to date");
        }
        board.problem(&self.name, None);
        if rendered.remarks != self.remarks {
            for remark in &rendered.remarks {
                tracing::warn!(
                    rule = self.name,
                    remark,
                    "the files are written all the same"
                );
            }
            let text = rendered.remarks.join("; ");
            let told = Some(text).filter(|text| !text.is_empty());
            board.problem(&format!("{} remarks", self.name), told);
            self.remarks = rendered.remarks;
        }
        self.since = Instant::now().checked_sub(rendered.age);
        self.written = Some(sources);
        self.failures = 0;
        self.retry = None;
    }

    fn failed(&mut self, error: String, now: Moment, board: &Board) {
        let wait = backoff(self.failures, LONGEST_BACKOFF);
        // What fails time and again is told once, and then by the board.
        if self.failures == 0 {
            tracing::warn!(
                rule = self.name,
                error,
                "files are not written and stay as they were; attache tries again in {} s, or \
                 with the next change",
                wait.as_secs()
            );
        }
        self.failures += 1;
        self.retry = Some(now + wait);
        board.problem(&self.name, Some(error));
    }
}

// === impl From ===

impl From {
    /// The objects it stands for now; `None` while they are not known.
    fn source(&self, snapshot: &Snapshot, seen: &Seen) -> Option<Source> {
        match self {
            // The last content that counts: the deletion of a named object rewrites nothing.
            Self::Object {
                reference,
                optional,
            } => match seen.objects().get(reference) {
                Some(sight) => Some(vec![(reference.clone(), Arc::clone(sight.content()))]),
                None => (*optional && is_known_missing(snapshot, reference)).then(Vec::new),
            },
            Self::Selected(selects) => {
                let mut scopes = snapshot.scopes().iter();
                let scope = scopes.find(|s| s.spec().selects == *selects && s.populated())?;
                let objects = scope.objects().values();
                Some(
                    objects
                        .map(|o| (o.reference().clone(), Arc::clone(o.content())))
                        .collect(),
                )
            }
        }
    }

    /// Whether that was read by this attache, and not only restored.
    fn is_read(&self, snapshot: &Snapshot) -> bool {
        match self {
            Self::Object { reference, .. } => is_read(snapshot, reference),
            Self::Selected(selects) => {
                let mut scopes = snapshot.scopes().iter();
                scopes.any(|s| s.spec().selects == *selects && s.synced())
            }
        }
    }
}

/// Whether what is known of `reference` was read by this attache.
fn is_read(snapshot: &Snapshot, reference: &ObjectRef) -> bool {
    match snapshot.lookup(reference.kind, &reference.namespace, &reference.name) {
        Lookup::Found(_, scope) | Lookup::Missing(scope) => scope.synced(),
        Lookup::Refused(_) => true,
        Lookup::Pending(_) | Lookup::Unwatched => false,
    }
}

fn is_known_missing(snapshot: &Snapshot, reference: &ObjectRef) -> bool {
    match snapshot.lookup(reference.kind, &reference.namespace, &reference.name) {
        Lookup::Missing(_) => true,
        Lookup::Pending(scope) => scope.restored(),
        Lookup::Found(..) | Lookup::Refused(_) | Lookup::Unwatched => false,
    }
}

fn from_of(from: &FilesFrom, names: &Names) -> From {
    match from {
        FilesFrom::Object(named) => From::Object {
            reference: names.object(named.kind, &named.object),
            optional: named.optional,
        },
        FilesFrom::Selected(selector) => From::Selected(names.selected(selector)),
    }
}

fn same(a: &[Source], b: &[Source]) -> bool {
    let alike = |a: &Source, b: &Source| {
        let mut pairs = a.iter().zip(b);
        a.len() == b.len() && pairs.all(|(a, b)| a.0 == b.0 && Arc::ptr_eq(&a.1, &b.1))
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
}

fn content<'a>(sources: &'a [Source], object: &ObjectRef) -> Option<&'a Arc<Content>> {
    let mut all = sources.iter().flatten();
    all.find(|(reference, _)| reference == object)
        .map(|(_, content)| content)
}

fn holds(sources: &[Source], objects: &[ObjectRef]) -> bool {
    objects
        .iter()
        .any(|object| content(sources, object).is_some())
}
