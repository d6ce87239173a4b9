//! Keeps directories and files as the `files` rules want them: what is due, under way, or failing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::Instant as Moment;

use super::names::Names;
use super::seen::Seen;
use crate::config::{FilesFrom, FilesRule};
use crate::files::{FilesError, Rendered, Source, Target};
use crate::metrics::{self, Metrics};
use crate::readiness::{Pending, Readiness};
use crate::status::Board;
use crate::store::{Content, Lookup, ObjectRef, Selects, Snapshot};

/// The wait after a write that failed; it doubles with each further one.
const BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// A write that is under way.
pub(super) type Writing = Pin<Box<dyn Future<Output = Filed> + Send>>;

/// All targets.
pub(super) struct Filing {
    desks: Vec<Desk>,
    board: Board,
    metrics: Metrics,
}

/// A write that has ended.
pub(super) struct Filed {
    desk: usize,
    sources: Vec<Source>,
    result: Result<Rendered, String>,
}

/// One target.
struct Desk {
    target: Arc<Target>,
    /// The rules that write it, as `files[0], files[2]`.
    name: String,
    from: Vec<From>,
    /// What it is to hold; `None` while an object is missing.
    wanted: Option<Vec<Source>>,
    /// What it holds.
    written: Option<Vec<Source>>,
    /// When that became visible.
    since: Option<Instant>,
    writing: bool,
    failures: u32,
    retry: Option<Moment>,
    remarks: Vec<String>,
    /// Held until the first write.
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
    /// Readiness waits for the first write of every target.
    pub(super) fn new(
        rules: &[FilesRule],
        names: &Names,
        board: Board,
        metrics: Metrics,
        readiness: &Readiness,
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
                wanted: None,
                written: None,
                since: None,
                writing: false,
                failures: 0,
                retry: None,
                remarks: Vec::new(),
            }
        };
        Self {
            desks: Target::of(rules).into_iter().map(desk).collect(),
            board,
            metrics,
        }
    }

    /// Takes over a newer snapshot.
    pub(super) fn observe(&mut self, snapshot: &Snapshot, seen: &Seen) {
        for desk in &mut self.desks {
            let sources = desk.from.iter().map(|from| from.source(snapshot, seen));
            let Some(sources) = sources.collect::<Option<Vec<_>>>() else {
                continue;
            };
            if desk
                .wanted
                .as_ref()
                .is_none_or(|wanted| !same(wanted, &sources))
            {
                desk.wanted = Some(sources);
                desk.retry = None;
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
            let (target, sources) = (Arc::clone(&desk.target), wanted.clone());
            desk.writing = true;
            begun.push(Box::pin(async move {
                let rendering = tokio::task::spawn_blocking(move || {
                    let result = target.render(&sources);
                    (
                        sources,
                        result.map_err(|error: FilesError| error.to_string()),
                    )
                });
                let (sources, result) = match rendering.await {
                    Ok(rendered) => rendered,
                    Err(error) => (Vec::new(), Err(error.to_string())),
                };
                Filed {
                    desk: index,
                    sources,
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
            Ok(rendered) => desk.succeeded(sources, rendered, &self.board),
            Err(error) => desk.failed(error, now, &self.board),
        }
    }

    /// When [`Filing::begin`] has something to do next; `None` if only an event can tell.
    pub(super) fn deadline(&self) -> Option<Moment> {
        let waiting = self.desks.iter().filter(|desk| !desk.writing);
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
        let caught_up = match (&self.wanted, &self.written) {
            (Some(wanted), Some(written)) => same(wanted, written),
            (wanted, _) => wanted.is_none(),
        };
        !self.writing && !caught_up && self.retry.is_none_or(|retry| retry <= now)
    }

    fn is_behind(&self, objects: &[ObjectRef]) -> bool {
        let Some(wanted) = &self.wanted else {
            return false;
        };
        let none = Vec::new();
        let written = self.written.as_ref().unwrap_or(&none);
        objects.iter().any(|object| {
            let (wanted, written) = (content(wanted, object), content(written, object));
            match (wanted, written) {
                (Some(wanted), Some(written)) => !Arc::ptr_eq(wanted, written),
                (wanted, written) => wanted.is_some() != written.is_some(),
            }
        })
    }

    fn succeeded(&mut self, sources: Vec<Source>, rendered: Rendered, board: &Board) {
        if rendered.written {
            tracing::info!(rule = self.name, path = %self.target.path().display(), "files written");
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
        self.pending = None;
    }

    fn failed(&mut self, error: String, now: Moment, board: &Board) {
        let wait = BACKOFF * (1 << self.failures.min(5));
        let wait = wait.min(LONGEST_BACKOFF);
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
