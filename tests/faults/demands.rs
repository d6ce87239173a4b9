//! What is answered to those who ask for what nobody watches, and how long it is watched.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use attache::source::demand::IDLE;
use attache::store::demand::Unmet;
use attache::store::{Kind, Lookup, ObjectRef, Selects, Snapshot};
use http::StatusCode;

use super::support::demands::Demands;
use super::support::fake::FakeApiServer;
use super::{PATH, web};

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

async fn started() -> (FakeApiServer, Demands) {
    let fake = FakeApiServer::start().await;
    let demands = Demands::start(&fake.kubeconfig()).await;
    (fake, demands)
}

fn object() -> Selects {
    Selects::Named(ObjectRef::new(Kind::ConfigMap, "default", "web"))
}

fn slices() -> Selects {
    Selects::Namespace {
        kind: Kind::EndpointSlice,
        namespace: "default".into(),
    }
}

fn lookup(snapshot: &Snapshot) -> Lookup<'_> {
    snapshot.lookup(Kind::ConfigMap, "default", "web")
}

/// Sends a demand, and does not wait for its answer.
async fn sent(mut demand: Pin<&mut impl Future>) {
    let begun = poll_fn(|context| Poll::Ready(demand.as_mut().poll(context)));
    assert!(begun.await.is_pending(), "answered at once");
}

fn is_held(snapshot: &Snapshot) -> bool {
    matches!(lookup(snapshot), Lookup::Found(..))
}

fn is_unwatched(snapshot: &Snapshot) -> bool {
    snapshot.scopes().is_empty()
}

#[tokio::test]
async fn an_awaited_object_is_watched_before_it_exists() {
    let (mut fake, demands) = started().await;
    let (answer, ()) = tokio::join!(demands.demander.demand(object(), true), async {
        fake.next_list(PATH).await.list("10", &[], None);
    });
    assert_eq!(answer, Ok(()));
    assert!(matches!(
        lookup(&demands.reader.snapshot()),
        Lookup::Missing(scope) if scope.synced()
    ));
    let watch = fake.next_watch(PATH).await;
    assert_eq!(watch.asked.query("resourceVersion"), Some("10"));
    let stream = watch.watch();
    for awaited in [false, true] {
        assert_eq!(demands.demander.demand(object(), awaited).await, Ok(()));
    }
    stream.added(web("11", "created"));
    demands.shows(is_held).await;
    assert_eq!(fake.asked().len(), 2, "one list and one watch");
}

#[tokio::test]
async fn of_those_who_share_a_fetch_each_gets_the_answer_it_asked_for() {
    for first in [false, true] {
        let (mut fake, demands) = started().await;
        let mut one = pin!(demands.demander.demand(object(), first));
        sent(one.as_mut()).await;
        let list = fake.next_list(PATH).await;
        let mut other = pin!(demands.demander.demand(object(), !first));
        sent(other.as_mut()).await;
        demands.taken().await;
        list.list("10", &[], None);
        let (one, other) = tokio::join!(one, other);
        let (plain, awaited) = if first { (other, one) } else { (one, other) };
        assert!(matches!(plain, Err(Unmet::NotFound(_))), "{plain:?}");
        assert_eq!(awaited, Ok(()));
        let stream = fake.next_watch(PATH).await.watch();
        stream.added(web("11", "created"));
        demands.shows(is_held).await;
        assert_eq!(fake.asked().len(), 2, "one list and one watch");
    }
}

#[tokio::test]
async fn what_was_not_found_is_looked_for_again_only_if_it_is_awaited() {
    let (mut fake, demands) = started().await;
    let (answer, ()) = tokio::join!(demands.demander.demand(object(), false), async {
        fake.next_list(PATH).await.list("10", &[], None);
    });
    assert!(matches!(answer, Err(Unmet::NotFound(_))), "{answer:?}");
    // However slow the machine, the second is not over.
    tokio::time::pause();
    assert_eq!(demands.demander.demand(object(), false).await, answer);
    let lists = || fake.asked().iter().filter(|a| !a.is_watch()).count();
    assert_eq!(lists(), 1);
    tokio::time::resume();
    demands.shows(is_unwatched).await;
    let (answer, ()) = tokio::join!(demands.demander.demand(object(), true), async {
        fake.next_list(PATH).await.list("11", &[], None);
    });
    assert_eq!(answer, Ok(()));
    assert_eq!(demands.demander.demand(object(), false).await, Ok(()));
}

#[tokio::test]
async fn nobody_who_has_left_keeps_an_absent_object_watched() {
    let (mut fake, demands) = started().await;
    let list = {
        let mut left = pin!(demands.demander.demand(object(), true));
        sent(left.as_mut()).await;
        fake.next_list(PATH).await
    };
    let mut plain = pin!(demands.demander.demand(object(), false));
    sent(plain.as_mut()).await;
    demands.taken().await;
    list.list("10", &[], None);
    assert!(matches!(plain.await, Err(Unmet::NotFound(_))));
    demands.shows(is_unwatched).await;
}

#[tokio::test]
async fn an_empty_namespace_is_an_answer() {
    let (mut fake, demands) = started().await;
    let (answer, ()) = tokio::join!(demands.demander.demand(slices(), false), async {
        fake.next_list(SLICES).await.list("10", &[], None);
    });
    assert_eq!(answer, Ok(()));
    let snapshot = demands.reader.snapshot();
    let scope = snapshot.namespace(Kind::EndpointSlice, "default").unwrap();
    assert!(scope.synced() && scope.objects().is_empty());
    let _watch = fake.next_watch(SLICES).await.watch();
}

#[tokio::test]
async fn what_the_server_does_not_serve_is_asked_for_again_after_half_a_minute() {
    let (mut fake, demands) = started().await;
    let demander = &demands.demander;
    let (answer, ()) = tokio::join!(demander.demand(slices(), false), async {
        let list = fake.next_list(SLICES).await;
        list.fail(
            StatusCode::NOT_FOUND,
            "NotFound",
            "the server could not find it",
        );
    });
    let Err(Unmet::Unserved(message)) = &answer else {
        panic!("{answer:?}")
    };
    assert!(
        message.ends_with("404: the server could not find it"),
        "{message}"
    );
    for awaited in [false, true] {
        assert_eq!(demander.demand(slices(), awaited).await, answer);
    }
    assert_eq!(fake.asked().len(), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    let (answer, ()) = tokio::join!(demander.demand(slices(), false), async {
        fake.next_list(SLICES).await.list("10", &[], None);
    });
    assert_eq!(answer, Ok(()), "it was upgraded");
}

#[tokio::test]
async fn what_nobody_reads_is_let_go_of_absent_or_not() {
    for items in [vec![], vec![web("10", "one")]] {
        let (mut fake, demands) = started().await;
        let (answer, ()) = tokio::join!(demands.demander.demand(object(), true), async {
            fake.next_list(PATH).await.list("10", &items, None);
        });
        assert_eq!(answer, Ok(()));
        let _watch = fake.next_watch(PATH).await.watch();
        tokio::time::pause();
        let asked = tokio::time::Instant::now();
        let mut reader = demands.reader.clone();
        reader.wait_for(is_unwatched).await.unwrap();
        assert!(asked.elapsed() > IDLE / 2, "not at once");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_directory_is_refused_and_not_left_unanswered() {
    let (fake, demands) = started().await;
    let directory = Selects::Directory("/etc/manifests".into());
    let answer = demands.demander.demand(directory, true).await;
    assert!(
        matches!(answer, Err(Unmet::Unavailable { .. })),
        "{answer:?}"
    );
    assert!(fake.asked().is_empty());
}
