//! What a rule's action noticed when its change came, and how far it is: for which content, and how
//! it is kept over a restart of attache.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::keeper::Keeper;
use crate::actions::progress::Save;
use crate::actions::{Change, Progress};
use crate::state::RuleState;

/// What one rule's action noticed and has done. Whatever is for another content than the one it is
/// to act upon does not count.
#[derive(Default)]
pub(super) struct Making {
    /// What it noticed when the newest change came.
    noticed: Option<Noticed>,
    /// For which content it notices now.
    noticing: Option<String>,
    /// How far it is with which content.
    progress: Option<(String, Progress)>,
}

/// What an action noticed as a change came.
struct Noticed {
    content_hash: String,
    value: Value,
    /// By an earlier attache, which may have begun to act upon it.
    restored: bool,
}

/// How what was noticed, or the progress made, is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeptProgress {
    content_hash: String,
    value: Value,
}

// === impl Making ===

impl Making {
    /// Goes on where an earlier attache ended.
    pub(super) fn new(restored: Option<&RuleState>) -> Self {
        Self {
            noticed: restored.and_then(Noticed::restored),
            ..Self::default()
        }
    }

    /// There is nothing to act upon.
    pub(super) fn forget(&mut self) {
        self.noticed = None;
        self.noticing = None;
    }

    /// The action has succeeded.
    pub(super) fn done(&mut self) {
        self.progress = None;
    }

    /// Begins an attempt with what was noticed of that content, or where an earlier attempt with it
    /// ended.
    pub(super) fn begin(&mut self, content_hash: &str) {
        let noticed = self.noticed.take_if(|n| n.content_hash == content_hash);
        if let Some(noticed) = noticed {
            self.restart_progress(content_hash, Some(noticed.value));
        } else if self
            .progress
            .as_ref()
            .is_none_or(|(of, _)| of != content_hash)
        {
            self.restart_progress(content_hash, None);
        }
    }

    /// Whether its action is to notice the world as `change` comes. It is not if an earlier attache
    /// noticed it for the same content: that one may have begun to act.
    pub(super) fn notices(&mut self, change: &Change) -> bool {
        let restored = self.noticed.as_ref().filter(|noticed| noticed.restored);
        if restored.is_some_and(|noticed| noticed.content_hash == change.content_hash) {
            return false;
        }
        self.noticing = Some(change.content_hash.clone());
        true
    }

    /// Takes over what its action noticed, unless a newer change came since.
    pub(super) fn noticed(&mut self, content_hash: String, value: Option<Value>) {
        if self.noticing.as_ref() == Some(&content_hash) {
            self.noticed = value.map(|value| Noticed {
                content_hash,
                value,
                restored: false,
            });
        }
    }

    fn restart_progress(&mut self, content_hash: &str, value: Option<Value>) {
        self.progress = Some((content_hash.to_owned(), Progress::new(value, None)));
    }

    /// The progress of the attempt that has begun, kept by `keeper` whenever it is set; `intent` is
    /// what is kept beside it.
    pub(super) fn progress(
        &mut self,
        keeper: &Keeper,
        identity: &Arc<str>,
        intent: Option<&RuleState>,
    ) -> Progress {
        let Some((content_hash, progress)) = &mut self.progress else {
            return Progress::default();
        };
        if let Some(intent) = intent {
            let (keeper, identity) = (keeper.clone(), Arc::clone(identity));
            let (intent, content_hash) = (intent.clone(), content_hash.clone());
            let save: Save = Arc::new(move |value| {
                let state = RuleState {
                    progress: value.and_then(|value| wrapped(&content_hash, value)),
                    ..intent.clone()
                };
                Box::pin(keeper.rule(&identity, state))
            });
            *progress = Progress::new(progress.get(), Some(save));
        }
        progress.clone()
    }

    /// What is kept of it over a restart of attache.
    pub(super) fn kept(&self) -> Option<Value> {
        let made = self.progress.as_ref();
        let made = made.and_then(|(hash, progress)| wrapped(hash, progress.get()?));
        let noticed = || self.noticed.as_ref();
        made.or_else(|| noticed().and_then(|n| wrapped(&n.content_hash, n.value.clone())))
    }
}

// === impl Noticed ===

impl Noticed {
    fn restored(state: &RuleState) -> Option<Self> {
        let kept = serde_json::from_value(state.progress.clone()?).ok()?;
        let KeptProgress {
            content_hash,
            value,
        } = kept;
        Some(Self {
            content_hash,
            value,
            restored: true,
        })
    }
}

fn wrapped(content_hash: &str, value: Value) -> Option<Value> {
    let content_hash = content_hash.to_owned();
    serde_json::to_value(KeptProgress {
        content_hash,
        value,
    })
    .ok()
}
