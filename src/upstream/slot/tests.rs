use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use tokio::time::{Duration, timeout};

use super::*;

/// Lasts while it is not negative.
impl Lasting for i32 {
    fn lasts(&self) -> bool {
        *self >= 0
    }
}

#[tokio::test]
async fn it_is_made_once_for_those_who_stay_when_the_first_leaves() {
    let slot = Arc::new(Slot::default());
    let (go, wait) = mpsc::channel::<()>();
    let runs = Arc::new(AtomicUsize::new(0));
    let mut wait = Some(wait);
    let mut ask = || {
        let (runs, wait) = (Arc::clone(&runs), wait.take());
        let slot = Arc::clone(&slot);
        Box::pin(async move {
            slot.get(move || {
                runs.fetch_add(1, Ordering::Relaxed);
                wait.expect("only the first makes it").recv().unwrap();
                Ok(7)
            })
            .await
        })
    };
    // It is asked, and leaves.
    assert!(timeout(Duration::ZERO, ask()).await.is_err());
    let mut second = ask();
    assert!(timeout(Duration::ZERO, &mut second).await.is_err());
    let third = ask();
    go.send(()).unwrap();
    assert_eq!(second.await.unwrap(), 7);
    assert_eq!(third.await.unwrap(), 7);
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_failure_is_told_to_all_who_wait_and_tried_again_by_the_next() {
    let slot = Arc::new(Slot::default());
    let fails = || Err(UpstreamError::Client("first".to_owned()));
    let (one, other) = tokio::join!(slot.get(fails), slot.get(|| Ok(1)));
    for result in [one, other] {
        assert!(result.unwrap_err().to_string().ends_with("first"));
    }
    let panics = slot.get(|| panic!("in a plugin's place")).await;
    assert!(matches!(panics, Err(UpstreamError::Stopping)));
    assert_eq!(slot.get(|| Ok(2)).await.unwrap(), 2);
    assert_eq!(slot.get(|| Ok(3)).await.unwrap(), 2);
}

#[tokio::test]
async fn what_has_ended_is_made_again() {
    let slot = Arc::new(Slot::default());
    assert_eq!(slot.get(|| Ok(-1)).await.unwrap(), -1);
    assert_eq!(slot.get(|| Ok(2)).await.unwrap(), 2);
    assert_eq!(slot.get(|| Ok(3)).await.unwrap(), 2);
}
