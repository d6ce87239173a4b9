//! Read your writes: after a write, until the reader has what was written.

use std::time::Duration;

use tokio::time::timeout;

use crate::api::Api;
use crate::store::{Lookup, Object, Selects, Snapshot};

/// How long a write waits until it can be read.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What a GET on this attache shows after a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// What was written, or newer.
    Written,
    /// Perhaps something older still.
    Stale,
    /// Nothing older: nobody watches it, or it is too large to be held.
    Nothing,
}

// === impl Api ===

impl Api {
    /// Waits until a GET shows `written` or newer, at most [`PATIENCE`] and not once attache stops.
    /// What nobody watches is asked for, so that it is held by then.
    pub(super) async fn settled(&self, written: &Object) -> Shown {
        let shown = self.patiently(self.shows(written)).await;
        shown.unwrap_or(Shown::Stale)
    }

    /// Waits until a GET does not show `gone` any more, which the API server does not have; as long as
    /// [`settled`](Self::settled).
    pub(super) async fn forgotten(&self, gone: &Object) {
        let reference = gone.reference();
        let mut reader = self.reader.clone();
        let forgotten = reader.wait_for(|snapshot| {
            let found = snapshot.lookup(reference.kind, &reference.namespace, &reference.name);
            !matches!(found, Lookup::Found(held, _) if held.uid() == gone.uid())
        });
        self.patiently(forgotten).await;
    }

    async fn patiently<T>(&self, waiting: impl Future<Output = T>) -> Option<T> {
        let mut drain = self.drain.clone();
        tokio::select! {
            biased;
            done = timeout(PATIENCE, waiting) => done.ok(),
            () = drain.requested() => None,
        }
    }

    async fn shows(&self, written: &Object) -> Shown {
        let reference = written.reference();
        let mut existed = false;
        let mut newest = |snapshot: &Snapshot| is_shown(snapshot, written, &mut existed);
        let asks = match newest(&self.reader.snapshot()) {
            Seen::Yes => return Shown::Written,
            Seen::Refused => return Shown::Nothing,
            Seen::NotYet { asks } => asks,
        };
        match (&self.demander, asks) {
            (Some(demander), true) => {
                let demand = demander.demand(Selects::Named(reference.clone()), true);
                if demand.await.is_err() {
                    // Nobody watches it, so that the next GET asks the API server.
                    return Shown::Nothing;
                }
            }
            (None, true) => return Shown::Nothing,
            (_, false) => {}
        }
        let mut reader = self.reader.clone();
        let mut shown = Shown::Stale;
        let decided = reader.wait_for(|snapshot| {
            shown = match newest(snapshot) {
                Seen::Yes => Shown::Written,
                Seen::Refused => Shown::Nothing,
                Seen::NotYet { .. } => Shown::Stale,
            };
            shown != Shown::Stale
        });
        decided.await;
        shown
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Yes,
    /// Nothing of it is held, for want of room.
    Refused,
    /// It may help to ask for it.
    NotYet {
        asks: bool,
    },
}

/// Whether a GET of `snapshot` shows `written` or newer: its version, one that follows, an object
/// made in its place, or that it was deleted since.
fn is_shown(snapshot: &Snapshot, written: &Object, existed: &mut bool) -> Seen {
    let reference = written.reference();
    let yes = |yes| {
        if yes {
            Seen::Yes
        } else {
            Seen::NotYet { asks: false }
        }
    };
    match snapshot.lookup(reference.kind, &reference.namespace, &reference.name) {
        Lookup::Found(held, scope) => {
            scope.touch();
            // What is of another UID, and older, was there before it.
            *existed |= held.uid() == written.uid();
            // Versions of all objects come from one counter: that of the one held decides, whichever
            // of the two was made later.
            yes(held.is_at_least(held.uid(), written.resource_version()))
        }
        Lookup::Missing(scope) => {
            scope.touch();
            // Not there any more, or not yet?
            yes(*existed)
        }
        Lookup::Pending(scope) => Seen::NotYet {
            asks: scope.spec().leaves_to_ask(),
        },
        Lookup::Refused(_) => Seen::Refused,
        Lookup::Unwatched => Seen::NotYet { asks: true },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;
    use crate::shutdown;
    use crate::store::demand::{self, Demand, Unmet};
    use crate::store::{self, Kind, ObjectRef, RawObject, ScopeSpec, ScopeWriter};

    fn reference() -> ObjectRef {
        ObjectRef::new(Kind::ConfigMap, "default", "web")
    }

    fn web(uid: &str, version: &str) -> Arc<Object> {
        let mut raw = RawObject::empty(reference());
        raw.uid = uid.into();
        raw.resource_version = version.into();
        raw.data.insert("version".into(), version.into());
        Object::freeze(raw, None)
    }

    fn watched(writer: &store::Writer, selects: Selects) -> ScopeWriter {
        writer.scope(ScopeSpec::declared(selects))
    }

    fn api() -> (Api, store::Writer, shutdown::Trigger) {
        let (writer, reader) = store::new(1 << 20);
        let (stop, drain) = shutdown::channel();
        (Api::over(reader, drain), writer, stop)
    }

    /// Polls once, so that the wait has begun.
    async fn begun<T>(wait: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        use futures_util::FutureExt as _;
        wait.now_or_never()
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_the_version_written_or_what_follows() {
        let (api, writer, _stop) = api();
        let scope = watched(&writer, Selects::Named(reference()));
        scope.replace(vec![web("u", "5")]);
        let written = web("u", "10");
        for (next, shown) in [
            (web("u", "9"), false),
            (web("u", "10"), true),
            (web("u", "11"), true),
            (web("new", "8"), false),
            (web("new", "12"), true),
        ] {
            scope.replace(vec![web("u", "5")]);
            let mut wait = Box::pin(api.settled(&written));
            assert_eq!(begun(&mut wait).await, None);
            scope.replace(vec![Arc::clone(&next)]);
            let now = begun(&mut wait).await;
            assert_eq!(now, shown.then_some(Shown::Written), "{next:?}");
            let began = Instant::now();
            if !shown {
                assert_eq!(wait.await, Shown::Stale);
                assert_eq!(began.elapsed(), PATIENCE);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_is_deleted_meanwhile_is_seen_to_be() {
        let (api, writer, _stop) = api();
        let scope = watched(&writer, Selects::Named(reference()));
        scope.replace(vec![]);
        let written = web("u", "10");
        let mut wait = Box::pin(api.settled(&written));
        assert_eq!(
            begun(&mut wait).await,
            None,
            "not made yet, as far as is known"
        );
        scope.replace(vec![web("u", "9")]);
        assert_eq!(begun(&mut wait).await, None);
        scope.replace(vec![]);
        assert_eq!(begun(&mut wait).await, Some(Shown::Written));
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_object_that_goes_is_not_the_one_written() {
        let (api, writer, _stop) = api();
        let scope = watched(&writer, Selects::Named(reference()));
        scope.replace(vec![web("old", "5")]);
        let written = web("new", "10");
        let mut wait = Box::pin(api.settled(&written));
        assert_eq!(begun(&mut wait).await, None);
        scope.replace(vec![]);
        assert_eq!(begun(&mut wait).await, None, "a GET would be a 404");
        scope.replace(vec![web("new", "10")]);
        assert_eq!(begun(&mut wait).await, Some(Shown::Written));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gone_is_waited_for_until_it_is_forgotten() {
        let (api, writer, _stop) = api();
        let scope = watched(&writer, Selects::Named(reference()));
        scope.replace(vec![web("u", "5")]);
        let gone = web("u", "5");
        let mut wait = Box::pin(api.forgotten(&gone));
        assert_eq!(begun(&mut wait).await, None);
        scope.replace(vec![web("u", "6")]);
        assert_eq!(begun(&mut wait).await, None);
        scope.replace(vec![]);
        assert_eq!(begun(&mut wait).await, Some(()));
        scope.replace(vec![web("u", "5")]);
        let began = Instant::now();
        api.forgotten(&gone).await;
        assert_eq!(began.elapsed(), PATIENCE);
        scope.replace(vec![web("new", "7")]);
        api.forgotten(&gone).await;
        assert_eq!(began.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_held_for_want_of_room_is_not_waited_for() {
        let (writer, reader) = store::new(1);
        let (_stop, drain) = shutdown::channel();
        let api = Api::over(reader, drain);
        let scope = watched(&writer, Selects::Named(reference()));
        scope.replace(vec![web("u", "9")]);
        let began = Instant::now();
        assert_eq!(api.settled(&web("u", "10")).await, Shown::Nothing);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_watches_is_asked_for() {
        let (mut api, writer, _stop) = api();
        assert_eq!(
            api.settled(&web("u", "10")).await,
            Shown::Nothing,
            "no demand"
        );
        let (demander, mut demands) = demand::channel(1);
        api.demander = Some(demander);
        let all = Selects::Selector {
            kind: Kind::ConfigMap,
            namespace: None,
            labels: "app=web".into(),
        };
        let _never_read = watched(&writer, all);
        let written = web("u", "10");
        let mut wait = Box::pin(api.settled(&written));
        assert_eq!(begun(&mut wait).await, None);
        let Demand {
            selects,
            awaited,
            reply,
        } = demands.recv().await.unwrap();
        assert_eq!((selects, awaited), (Selects::Named(reference()), true));
        let scope = writer.scope(ScopeSpec::on_demand(Selects::Named(reference())));
        scope.replace(vec![web("u", "9")]);
        reply.send(Ok(())).unwrap();
        assert_eq!(begun(&mut wait).await, None, "a list from before the write");
        scope.replace(vec![web("u", "10")]);
        assert_eq!(wait.await, Shown::Written);
        drop(scope);
        let mut wait = Box::pin(api.settled(&written));
        assert_eq!(begun(&mut wait).await, None);
        let refused = Err(Unmet::TooMany { limit: 1 });
        demands.recv().await.unwrap().reply.send(refused).unwrap();
        assert_eq!(wait.await, Shown::Nothing);
    }

    #[tokio::test(start_paused = true)]
    async fn attache_does_not_wait_while_it_stops() {
        let (api, writer, stop) = api();
        let scope = watched(&writer, Selects::Named(reference()));
        scope.replace(vec![]);
        let began = Instant::now();
        stop.stop();
        assert_eq!(api.settled(&web("u", "10")).await, Shown::Stale);
        assert!(began.elapsed() < PATIENCE);
    }
}
