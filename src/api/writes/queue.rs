//! What a write waits for before it is with the API server: room for its body, and its turn.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::refusal::SOON;
use crate::api::Answer;
use crate::api::kv::Target;
use crate::api::problem::unavailable;

/// How long a write waits for either: those behind one that the API server does not answer are told
/// before their clients have given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Writes that are with the API server at once; others wait.
const LANES: usize = 16;

/// KiB of bodies that are held at once; further ones are not read until there is room.
const MAX_BODIES: usize = 16 * 1024;

/// Lets writes pass.
pub(super) struct Queue {
    /// One write at a time in each, those of one object always in the same: they would only meet
    /// in a conflict, of which the API server makes all but one try again.
    lanes: Vec<Semaphore>,
    /// In KiB.
    room: Semaphore,
}

// === impl Queue ===

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            lanes: (0..LANES).map(|_| Semaphore::new(1)).collect(),
            room: Semaphore::new(MAX_BODIES),
        }
    }

    /// Waits for the room that a body of so many bytes may take.
    ///
    /// # Errors
    /// 503.
    pub(super) async fn room(&self, length: usize) -> Result<SemaphorePermit<'_>, Answer> {
        let kib = length.div_ceil(1024).min(MAX_BODIES);
        admitted(&self.room, u32::try_from(kib).unwrap_or(u32::MAX)).await
    }

    /// Waits for the target's turn at the API server.
    ///
    /// # Errors
    /// 503.
    pub(super) async fn turn(&self, target: &Target<'_>) -> Result<SemaphorePermit<'_>, Answer> {
        let mut hasher = DefaultHasher::new();
        (&target.namespace, &target.name).hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % LANES as u64).unwrap_or_default();
        admitted(&self.lanes[lane], 1).await
    }
}

async fn admitted(semaphore: &Semaphore, permits: u32) -> Result<SemaphorePermit<'_>, Answer> {
    // None of them is ever closed.
    match timeout(PATIENCE, semaphore.acquire_many(permits)).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => {
            let detail = format!(
                "other writes have been under way for {} s, and this one has not begun; nothing was \
                 written: try again",
                PATIENCE.as_secs()
            );
            Err(unavailable(SOON, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn writes_of_one_object_take_turns_but_not_for_ever() {
        let queue = Queue::new();
        let web = Target::parse("default", "web", None).unwrap();
        let key = Target::parse("default", "web", Some("K")).unwrap();
        let first = queue.turn(&web).await.unwrap();
        let refused = queue.turn(&key).await.unwrap_err();
        assert_eq!(refused.status(), 503);
        assert!(refused.headers().contains_key("retry-after"));
        drop(first);
        assert!(queue.turn(&key).await.is_ok());
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let others = names.map(|name| Target::parse("default", name, None).unwrap());
        let _first = queue.turn(&web).await.unwrap();
        let mut others = others.iter();
        let free = others.find_map(|other| {
            use futures_util::FutureExt as _;
            queue.turn(other).now_or_never()
        });
        assert!(free.unwrap().is_ok(), "another object's turn is its own");
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_wait_until_there_is_room_for_them() {
        let queue = Queue::new();
        let most = queue.room(usize::MAX).await.unwrap();
        assert!(queue.room(0).await.is_ok());
        assert_eq!(queue.room(1).await.unwrap_err().status(), 503);
        drop(most);
        assert!(queue.room(1).await.is_ok());
    }
}
