//! How a reader asks for what nobody watches: an object, or all of a kind in a namespace. A source
//! answers.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::scope::Selects;

/// One reader's request that something be fetched and watched.
#[derive(Debug)]
pub struct Demand {
    /// What is asked for.
    pub selects: Selects,
    /// Whether a named object is watched although it does not exist, so that its creation is seen;
    /// else its absence is the answer, [`Unmet::NotFound`].
    pub awaited: bool,
    /// Answered once it is in the snapshot, or cannot be.
    pub reply: oneshot::Sender<Result<(), Unmet>>,
}

/// Why a demand was not met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    /// The API server has no such object.
    #[error("{0}")]
    NotFound(String),
    /// The API server does not serve that kind in the version that attache reads; its own message.
    #[error("{0}")]
    Unserved(String),
    /// The API server refuses (RBAC); its own message.
    #[error("{0}")]
    Forbidden(String),
    /// As many objects as allowed are held on demand already.
    #[error("{limit} objects are held on demand already")]
    TooMany {
        /// How many are allowed.
        limit: usize,
    },
    /// The API server did not answer, or answered with an error; the last one.
    #[error("{message}")]
    Unavailable {
        /// What went wrong.
        message: String,
        /// When asking again may help.
        after: Duration,
    },
}

/// Sends demands; cheap to clone.
#[derive(Debug, Clone)]
pub struct Demander {
    sender: mpsc::Sender<Demand>,
}

impl Demander {
    /// Asks for what `selects` says and waits until it is in the snapshot; see [`Demand::awaited`].
    ///
    /// # Errors
    /// [`Unmet`], with the API server's own message where it gave one.
    pub async fn demand(&self, selects: Selects, awaited: bool) -> Result<(), Unmet> {
        let (reply, answer) = oneshot::channel();
        let stopped = || Unmet::Unavailable {
            message: "attache is stopping".into(),
            after: Duration::ZERO,
        };
        self.sender
            .send(Demand {
                selects,
                awaited,
                reply,
            })
            .await
            .map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

/// Makes the channel. At most `depth` demands wait unread; further readers wait to send.
#[must_use]
pub fn channel(depth: usize) -> (Demander, mpsc::Receiver<Demand>) {
    let (sender, receiver) = mpsc::channel(depth);
    (Demander { sender }, receiver)
}
