//! Watches what a reader asks for and the configuration does not name: single-flight, bounded,
//! and gone after ten minutes without a read.
//!
//! Whoever asks for an object that does not exist is told so, and it is not watched; unless one of
//! those who ask awaits it. Of a namespace the absence is never the answer: to the API server one
//! that does not exist is an empty one.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::{Instant, interval};
use tracing::{debug, info};

use super::kube::machine::Failure;
use super::kube::{Target, Watch};
use crate::metrics::{self, Metrics};
use crate::shutdown::Shutdown;
use crate::store::demand::{Demand, Unmet};
use crate::store::{Reader, ScopeSpec, Selects, Writer};
use crate::upstream::Upstream;

/// The most objects held on demand.
pub const MOST: usize = 256;

/// How long an object is kept after its last read.
pub const IDLE: Duration = Duration::from_secs(600);

/// How long the API server's "no", or its failure, is remembered.
const REMEMBERED: Duration = Duration::from_secs(1);

/// How long it is remembered that the API server does not serve a resource: until it is upgraded.
const UNSERVED: Duration = Duration::from_secs(30);

/// How long a Retry-After is remembered at most.
const LONGEST_REMEMBERED: Duration = Duration::from_secs(30);

/// How many are remembered: a client may ask for any number of names.
const MOST_REMEMBERED: usize = 4 * MOST;

/// How often reads are looked for.
const SWEEP: Duration = Duration::from_secs(30);

/// Answers demands with watches.
pub struct OnDemand {
    writer: Writer,
    reader: Reader,
    upstream: Upstream,
    metrics: Metrics,
    held: HashMap<Selects, Held>,
    names: HashMap<Id, Selects>,
    /// Until when which answer holds.
    refused: HashMap<Selects, (Instant, Unmet)>,
    tasks: JoinSet<Result<(), Unmet>>,
    synced: (mpsc::Sender<Selects>, mpsc::Receiver<Selects>),
}

/// What is being fetched, or watched.
struct Held {
    waiting: Vec<Waiting>,
    synced: bool,
    task: AbortHandle,
}

/// Who waits for a fetch to end.
struct Waiting {
    awaited: bool,
    reply: oneshot::Sender<Result<(), Unmet>>,
}

// === impl OnDemand ===

impl OnDemand {
    /// Prepares to answer.
    #[must_use]
    pub fn new(writer: Writer, reader: Reader, upstream: Upstream, metrics: Metrics) -> Self {
        Self {
            writer,
            reader,
            upstream,
            metrics,
            held: HashMap::new(),
            names: HashMap::new(),
            refused: HashMap::new(),
            tasks: JoinSet::new(),
            synced: mpsc::channel(MOST),
        }
    }

    /// Answers until told to stop, or until nobody can ask any more.
    pub async fn run(mut self, mut demands: mpsc::Receiver<Demand>, mut shutdown: Shutdown) {
        let mut sweep = interval(SWEEP);
        loop {
            tokio::select! {
                // Whoever asks is answered with what is known by then: an object that has just
                // expired is fetched again.
                biased;
                () = shutdown.requested() => return,
                Some(ended) = self.tasks.join_next_with_id() => match ended {
                    Ok((id, result)) => self.ended(id, result),
                    Err(error) => self.ended(error.id(), Err(failed(&Failure::Other("the watch failed".into())))),
                },
                Some(selects) = self.synced.1.recv() => self.fetched(&selects),
                demand = demands.recv() => match demand {
                    Some(demand) => self.demanded(demand),
                    None => return,
                },
                _ = sweep.tick() => self.forget(),
            }
        }
    }

    fn demanded(&mut self, demand: Demand) {
        let Demand {
            selects,
            awaited,
            reply,
        } = demand;
        // A reader that has gone needs no answer; the same holds wherever a reply is sent.
        if let Some(unmet) = self.remembered(&selects, awaited) {
            let _ = reply.send(Err(unmet));
            return;
        }
        if let Some(held) = self.held.get_mut(&selects) {
            if held.synced {
                let _ = reply.send(Ok(()));
            } else {
                held.waiting.retain(|waiting| !waiting.reply.is_closed());
                held.waiting.push(Waiting { awaited, reply });
            }
            return;
        }
        if self.held.len() >= MOST {
            let _ = reply.send(Err(Unmet::TooMany { limit: MOST }));
            return;
        }
        let Some(target) = Target::of(&selects) else {
            let _ = reply.send(Err(Unmet::Unavailable {
                message: format!("no API server has a {selects}"),
                after: REMEMBERED,
            }));
            return;
        };
        let task = self.fetch(target, selects.clone());
        let held = Held {
            waiting: vec![Waiting { awaited, reply }],
            synced: false,
            task,
        };
        self.held.insert(selects, held);
    }

    fn fetch(&mut self, target: Target, selects: Selects) -> AbortHandle {
        debug!(object = %selects, "fetching on demand");
        let scope = self.writer.scope(ScopeSpec::on_demand(selects.clone()));
        let watch = Watch::new(
            target,
            scope,
            self.upstream.lease(),
            self.metrics.clone(),
            selects.to_string().into(),
            metrics::ON_DEMAND,
        );
        let held = hold(watch, selects.clone(), self.synced.0.clone());
        let task = self.tasks.spawn(held);
        self.names.insert(task.id(), selects);
        task
    }

    /// What was answered a moment ago, and still holds.
    fn remembered(&mut self, selects: &Selects, awaited: bool) -> Option<Unmet> {
        let (until, unmet) = self.refused.get(selects)?;
        if awaited && matches!(unmet, Unmet::NotFound(_)) {
            // It is about to be watched, absent as it is.
            self.refused.remove(selects);
            return None;
        }
        (Instant::now() < *until).then(|| unmet.clone())
    }

    fn remember(&mut self, selects: &Selects, unmet: &Unmet) {
        if self.refused.len() >= MOST_REMEMBERED {
            self.forget();
        }
        if self.refused.len() < MOST_REMEMBERED {
            let lasting = match unmet {
                Unmet::Unavailable { after, .. } => REMEMBERED.max(*after),
                Unmet::Unserved(_) => UNSERVED,
                _ => REMEMBERED,
            };
            let until = Instant::now() + lasting;
            self.refused.insert(selects.clone(), (until, unmet.clone()));
        }
    }

    fn forget(&mut self) {
        let now = Instant::now();
        self.refused.retain(|_, (until, _)| now < *until);
    }

    /// It was listed. The decision is made here, where who waits by now is known.
    fn fetched(&mut self, selects: &Selects) {
        if self.exists(selects) {
            self.answer(selects, &Ok(()));
            return;
        }
        let Some(held) = self.held.get_mut(selects) else {
            return;
        };
        held.waiting.retain(|waiting| !waiting.reply.is_closed());
        let kept = held.waiting.iter().any(|waiting| waiting.awaited);
        let absent = Unmet::NotFound(format!("the API server has no {selects}"));
        held.synced = true;
        for Waiting { awaited, reply } in held.waiting.drain(..) {
            let answer = if awaited { Ok(()) } else { Err(absent.clone()) };
            let _ = reply.send(answer);
        }
        if !kept && let Some(held) = self.held.remove(selects) {
            debug!(object = %selects, reason = %absent, "not watched");
            self.names.remove(&held.task.id());
            held.task.abort();
            self.remember(selects, &absent);
        }
    }

    fn exists(&self, selects: &Selects) -> bool {
        let Selects::Named(reference) = selects else {
            return true;
        };
        let snapshot = self.reader.snapshot();
        let mut scopes = snapshot.scopes().iter();
        snapshot.get(reference).is_some()
            || scopes.any(|scope| scope.refused().contains_key(reference))
    }

    fn answer(&mut self, selects: &Selects, result: &Result<(), Unmet>) {
        if let Some(held) = self.held.get_mut(selects) {
            held.synced = true;
            for waiting in held.waiting.drain(..) {
                let _ = waiting.reply.send(result.clone());
            }
        }
    }

    fn ended(&mut self, id: Id, result: Result<(), Unmet>) {
        let Some(selects) = self.names.remove(&id) else {
            return;
        };
        match &result {
            Ok(()) => info!(object = %selects, "not read any more: no longer watched"),
            Err(unmet) => {
                debug!(object = %selects, reason = %unmet, "not watched");
                self.remember(&selects, unmet);
            }
        }
        self.answer(&selects, &result);
        self.held.remove(&selects);
    }
}

fn failed(failure: &Failure) -> Unmet {
    match failure {
        Failure::Forbidden(message) => Unmet::Forbidden(message.clone()),
        Failure::Unserved(message) => Unmet::Unserved(message.clone()),
        Failure::Throttled { after, message } => Unmet::Unavailable {
            message: message.clone(),
            after: (*after).min(LONGEST_REMEMBERED),
        },
        Failure::Expired(message) | Failure::Undecodable(message) | Failure::Other(message) => {
            Unmet::Unavailable {
                message: message.clone(),
                after: REMEMBERED,
            }
        }
    }
}

/// Fetches and watches until nobody reads it. Its scope goes with it.
async fn hold(
    mut watch: Watch,
    selects: Selects,
    synced: mpsc::Sender<Selects>,
) -> Result<(), Unmet> {
    watch
        .first_sync()
        .await
        .map_err(|failure| failed(&failure))?;
    // The receiver goes only with the whole of attache.
    let _ = synced.send(selects).await;
    let reads = watch.reads();
    let mut sweep = interval(SWEEP);
    let mut last_read = Instant::now();
    let mut watching = pin!(watch.run());
    loop {
        tokio::select! {
            never = &mut watching => match never {},
            _ = sweep.tick() => {
                if reads.take() {
                    last_read = Instant::now();
                } else if last_read.elapsed() >= IDLE {
                    return Ok(());
                }
            }
        }
    }
}
