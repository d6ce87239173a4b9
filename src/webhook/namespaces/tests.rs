//! Namespaces whose API server answers by script, on paused time.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::{advance, sleep};

use super::*;

/// Answers after `takes`, as told, and counts.
#[derive(Default)]
struct Fake {
    asked: Arc<AtomicUsize>,
    fails: Arc<Mutex<Option<&'static str>>>,
    takes: Duration,
}

impl Ask for Fake {
    async fn ask(&self, namespace: &str) -> Result<Annotations, String> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        sleep(self.takes).await;
        if let Some(reason) = *lock(&self.fails) {
            return Err(reason.to_owned());
        }
        let text = format!("{namespace} {number}");
        Ok(Annotations::from([("configmaps".to_owned(), text)]))
    }
}

fn said(text: &str) -> Arc<Annotations> {
    Arc::new(Annotations::from([("configmaps".into(), text.into())]))
}

#[test]
fn a_namespace_says_what_is_asked_for_and_not_what_program_runs() {
    let body = br#"{"metadata":{"name":"shop","annotations":{
        "attache.dev/configmaps":"web","attache.dev/image":"other:1","example.com/x":"y"}}}"#;
    assert_eq!(
        of(body),
        Some(Annotations::from([("configmaps".into(), "web".into())]))
    );
    assert_eq!(of(b"{}"), Some(Annotations::new()));
    assert_eq!(of(b"[1]"), None);
}

#[tokio::test(start_paused = true)]
async fn an_answer_holds_for_ten_seconds() {
    let fake = Fake::default();
    let asked = Arc::clone(&fake.asked);
    let namespaces = Namespaces::new(fake);
    for _ in 0..3 {
        let found = namespaces.annotations("shop").await;
        assert_eq!(found, Found::Fresh(said("shop 1")));
    }
    advance(FRESH).await;
    let found = namespaces.annotations("shop").await;
    assert_eq!(found, Found::Fresh(said("shop 2")));
    namespaces.annotations("other").await;
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn many_at_once_ask_once() {
    let fake = Fake {
        takes: Duration::from_millis(100),
        ..Fake::default()
    };
    let asked = Arc::clone(&fake.asked);
    let namespaces = Arc::new(Namespaces::new(fake));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let namespaces = Arc::clone(&namespaces);
        all.spawn(async move { namespaces.annotations("shop").await });
    }
    for found in all.join_all().await {
        assert_eq!(found, Found::Fresh(said("shop 1")));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_costs_a_second_at_most_and_the_last_answer_holds() {
    let fake = Fake {
        takes: Duration::from_secs(30),
        ..Fake::default()
    };
    let asked = Arc::clone(&fake.asked);
    let namespaces = Namespaces::new(fake);
    let began = Instant::now();
    let Found::Unknown(reason) = namespaces.annotations("shop").await else {
        panic!("nobody answered");
    };
    assert_eq!(reason, "no answer within 1 s");
    assert_eq!(began.elapsed(), PATIENCE);
    // The next pod of the burst does not wait.
    assert!(matches!(
        namespaces.annotations("shop").await,
        Found::Unknown(_)
    ));
    assert_eq!(began.elapsed(), PATIENCE);
    assert_eq!(asked.load(Ordering::Relaxed), 1);

    let fake = Fake::default();
    let (asked, fails) = (Arc::clone(&fake.asked), Arc::clone(&fake.fails));
    let namespaces = Namespaces::new(fake);
    namespaces.annotations("shop").await;
    *lock(&fails) = Some("away");
    advance(FRESH).await;
    for _ in 0..2 {
        let found = namespaces.annotations("shop").await;
        assert_eq!(found, Found::Stale(said("shop 1"), "away".into()));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    *lock(&fails) = None;
    advance(FAILED).await;
    let found = namespaces.annotations("shop").await;
    assert_eq!(found, Found::Fresh(said("shop 3")));
}

#[tokio::test(start_paused = true)]
async fn the_number_of_namespaces_is_bounded_and_the_oldest_goes() {
    let fake = Fake::default();
    let asked = Arc::clone(&fake.asked);
    let namespaces = Namespaces::new(fake);
    for number in 0..=MOST {
        namespaces.annotations(&format!("n-{number}")).await;
        advance(Duration::from_millis(1)).await;
    }
    assert_eq!(lock(&namespaces.slots).len(), MOST);
    let before = asked.load(Ordering::Relaxed);
    namespaces.annotations(&format!("n-{MOST}")).await;
    assert_eq!(asked.load(Ordering::Relaxed), before);
    namespaces.annotations("n-0").await;
    assert_eq!(asked.load(Ordering::Relaxed), before + 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_name_is_never_asked_about() {
    let fake = Fake::default();
    let asked = Arc::clone(&fake.asked);
    let namespaces = Namespaces::new(fake);
    let long = "a".repeat(64);
    for name in ["..", "a/b", "a?b", "", "Shop", &long] {
        let found = namespaces.annotations(name).await;
        assert!(matches!(found, Found::Unknown(_)), "{name}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert!(lock(&namespaces.slots).is_empty());
}
