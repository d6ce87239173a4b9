//! Watches what a reader asks for and the configuration does not name: single-flight, bounded,
//! and gone after ten minutes without a read.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinSet};
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

/// An object that is being fetched, or watched.
struct Held {
    waiting: Vec<oneshot::Sender<Result<(), Unmet>>>,
    synced: bool,
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
                Some(selects) = self.synced.1.recv() => self.answer(&selects, &Ok(())),
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
            awaited: _,
            reply,
        } = demand;
        // A reader that has gone needs no answer; the same holds wherever a reply is sent.
        if let Some((until, unmet)) = self.refused.get(&selects)
            && Instant::now() < *until
        {
            let _ = reply.send(Err(unmet.clone()));
            return;
        }
        if let Some(held) = self.held.get_mut(&selects) {
            if held.synced {
                let _ = reply.send(Ok(()));
            } else {
                held.waiting.retain(|waiting| !waiting.is_closed());
                held.waiting.push(reply);
            }
            return;
        }
        if self.held.len() >= MOST {
            let _ = reply.send(Err(Unmet::TooMany { limit: MOST }));
            return;
        }
        let Some(target) = Target::of(&selects) else {
            return;
        };
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
        let task = self.tasks.spawn(hold(
            watch,
            selects.clone(),
            self.reader.clone(),
            self.synced.0.clone(),
        ));
        self.names.insert(task.id(), selects.clone());
        self.held.insert(
            selects,
            Held {
                waiting: vec![reply],
                synced: false,
            },
        );
    }

    fn remember(&mut self, selects: &Selects, unmet: &Unmet) {
        if self.refused.len() >= MOST_REMEMBERED {
            self.forget();
        }
        if self.refused.len() < MOST_REMEMBERED {
            let lasting = match unmet {
                Unmet::Unavailable { after, .. } => REMEMBERED.max(*after),
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

    fn answer(&mut self, selects: &Selects, result: &Result<(), Unmet>) {
        if let Some(held) = self.held.get_mut(selects) {
            held.synced = true;
            for reply in held.waiting.drain(..) {
                let _ = reply.send(result.clone());
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

/// Fetches and watches one object until nobody reads it. Its scope goes with it.
async fn hold(
    mut watch: Watch,
    selects: Selects,
    reader: Reader,
    synced: mpsc::Sender<Selects>,
) -> Result<(), Unmet> {
    watch
        .first_sync()
        .await
        .map_err(|failure| failed(&failure))?;
    let held = |reader: &Reader| {
        let Selects::Named(reference) = &selects else {
            return true;
        };
        let snapshot = reader.snapshot();
        snapshot.get(reference).is_some()
            || snapshot
                .scopes()
                .iter()
                .any(|scope| scope.refused().contains_key(reference))
    };
    if !held(&reader) {
        return Err(Unmet::NotFound(format!("the API server has no {selects}")));
    }
    // The receiver goes only with the whole of attache.
    let _ = synced.send(selects.clone()).await;
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
