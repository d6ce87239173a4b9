//! What a rule does once its keys have changed: it signals a process, calls an endpoint, runs a
//! program, or restarts something.
//!
//! [`Runner::run`] is the one way in: one attempt, and its metrics, its note on the board and its
//! log line. When to attempt, and how often, is decided by the caller. The JSON that a webhook gets
//! is described in [`webhook`].

pub mod command;
mod payload;
pub mod progress;
pub mod restart;
pub mod signal;
pub mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::config::Action;
use crate::metrics::{self, Metrics};
use crate::process::{Children, SignalError};
use crate::status::{ActionNote, Board};
use crate::store::ObjectRef;
use crate::store::diff::KeyChanges;
use crate::upstream::Upstream;
use command::CommandError;
pub use progress::Progress;
use restart::RestartError;
use webhook::WebhookError;

/// What an action is told: keys, never values.
#[derive(Debug, Clone)]
pub struct Change {
    /// The objects that differ from what the rule was last told of.
    pub objects: Vec<ChangedObject>,
    /// The moment from which a starting process could read all of the new content.
    pub since: Instant,
    /// A hash of all that the rule is for, as it is now: the same on every attache that sees the
    /// same content.
    pub content_hash: String,
}

/// One object of a [`Change`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedObject {
    /// Which object.
    pub reference: ObjectRef,
    /// Its new resourceVersion; empty for files, and for an object that went.
    pub resource_version: String,
    /// The keys that differ, of those that the rule is for.
    pub keys: KeyChanges,
    /// Its annotations that attache reads.
    pub annotations: BTreeMap<String, String>,
}

/// Which attempt of an action this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// How long the next one waits if this one fails; `None` if it is the last.
    pub retry: Option<Duration>,
}

/// What an attempt that did not fail has done, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The app was told.
    Done(String),
    /// There was no need to: whoever would be told started with the new content.
    Skipped(String),
}

/// Why an attempt failed. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// A signal did not reach a process.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// An endpoint did not answer with 2xx.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// A program failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// What was to be restarted was not, or not all of it.
    #[error(transparent)]
    Restart(#[from] RestartError),
}

// === impl ActionError ===

impl ActionError {
    /// Whether somebody may have acted upon the attempt all the same: a request may have been
    /// handled without an answer that says so, or one of several processes had its signal.
    #[must_use]
    pub fn may_have_reached(&self) -> bool {
        match self {
            Self::Signal(error) => matches!(error, SignalError::Partly { .. }),
            Self::Webhook(error) => error.may_have_reached(),
            Self::Command(error) => error.may_have_reached(),
            Self::Restart(error) => error.may_have_reached(),
        }
    }
}

/// What actions work with; cheap to clone.
#[derive(Clone)]
pub struct Tools {
    /// Starts programs.
    pub children: Children,
    /// The API server, if there is one.
    pub upstream: Option<Upstream>,
    /// The namespace of the pod attache runs in.
    pub namespace: Arc<str>,
    /// The name of the pod attache runs in.
    pub pod_name: Arc<str>,
}

/// Runs actions and reports on them; cheap to clone.
#[derive(Clone)]
pub struct Runner {
    board: Board,
    metrics: Metrics,
    tools: Tools,
}

// === impl Runner ===

impl Runner {
    /// Makes a runner that reports to `board` and `metrics`.
    #[must_use]
    pub fn new(board: Board, metrics: Metrics, tools: Tools) -> Self {
        Self {
            board,
            metrics,
            tools,
        }
    }

    /// What `action` has to know of the world as it is when a change comes, long before it acts;
    /// given to [`Runner::run`] as its progress. `None` if that is nothing, or cannot be known now.
    pub async fn notice(&self, action: &Action, change: &Change) -> Option<serde_json::Value> {
        match action {
            Action::Restart(restart) => restart::notice(restart, change, &self.tools).await,
            Action::Signal(_) | Action::Webhook(_) | Action::Command(_) => None,
        }
    }

    /// Makes one attempt at the action of the rule named `rule`, which may have made some `progress`
    /// in earlier ones. The last attempt's failure stays
    /// among the board's problems, under the rule's name, until an attempt succeeds.
    ///
    /// # Errors
    /// [`ActionError`], reported already.
    pub async fn run(
        &self,
        rule: &str,
        action: &Action,
        change: &Change,
        attempt: Attempt,
        progress: &Progress,
    ) -> Result<Outcome, ActionError> {
        let start = Instant::now();
        let tools = &self.tools;
        let result = match action {
            Action::Signal(signal) => signal::run(signal, change).map_err(ActionError::from),
            Action::Webhook(hook) => webhook::run(hook, change).await.map_err(ActionError::from),
            Action::Command(command) => command::run(rule, command, change, &tools.children)
                .await
                .map_err(ActionError::from),
            Action::Restart(restart) => restart::run(restart, change, tools, progress)
                .await
                .map_err(ActionError::from),
        };
        let took = start.elapsed();
        let (outcome, detail) = match &result {
            Ok(Outcome::Done(detail)) => ("ok", detail.clone()),
            Ok(Outcome::Skipped(detail)) => ("skipped", detail.clone()),
            Err(error) if attempt.retry.is_some() => ("retrying", error.to_string()),
            Err(error) => ("failed", error.to_string()),
        };
        let kind = kind(action);
        let labels = metrics::Action {
            kind,
            result: outcome,
        };
        self.metrics.actions.get_or_create(&labels).inc();
        self.metrics.action_duration.observe(took.as_secs_f64());
        let note = ActionNote {
            time: Timestamp::now(),
            rule: rule.to_owned(),
            action: kind,
            objects: change
                .objects
                .iter()
                .map(|o| o.reference.to_string())
                .collect(),
            outcome,
            detail,
            attempt: attempt.number,
            seconds: took.as_secs_f64(),
        };
        log(&note, attempt.retry);
        match outcome {
            "ok" | "skipped" => self.board.problem(rule, None),
            "failed" => self.board.problem(rule, Some(note.detail.clone())),
            _ => {}
        }
        self.board.action(note);
        result
    }
}

fn kind(action: &Action) -> &'static str {
    match action {
        Action::Signal(_) => "signal",
        Action::Webhook(_) => "webhook",
        Action::Command(_) => "command",
        Action::Restart(_) => "restart",
    }
}

fn log(note: &ActionNote, retry: Option<Duration>) {
    let ActionNote {
        rule,
        action,
        detail,
        attempt,
        seconds,
        ..
    } = note;
    let objects = note.objects.join(", ");
    match (note.outcome, retry) {
        ("ok", _) => tracing::info!(rule, action, objects, attempt, seconds, "{detail}"),
        ("skipped", _) => {
            tracing::info!(rule, action, objects, attempt, "nobody to tell: {detail}");
        }
        (_, Some(wait)) => tracing::warn!(
            rule,
            action,
            objects,
            attempt,
            error = detail,
            "the action failed; next attempt in {:.1} s, or with the next change",
            wait.as_secs_f64()
        ),
        (_, None) => tracing::error!(
            rule,
            action,
            objects,
            attempt,
            error = detail,
            "the action failed for the last time; it runs again with the next change"
        ),
    }
}

#[cfg(test)]
mod tests;
