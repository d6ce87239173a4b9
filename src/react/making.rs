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

    /// There is nothing to act upon: should that content come again, it is a new change.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether some attempt got somewhere.
    pub(super) fn is_under_way(&self) -> bool {
        self.progress.is_some()
    }

    /// A change came: what was done for another content is worth nothing, should that one come back.
    pub(super) fn changed(&mut self, content_hash: &str) {
        self.progress.take_if(|(of, _)| of != content_hash);
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

    /// What is kept of it over a restart of attache: what is for the newest change.
    pub(super) fn kept(&self) -> Option<Value> {
        let (noticed, made) = (self.noticed.as_ref(), self.progress.as_ref());
        let is_newest = |noticed: &&Noticed| self.noticing.as_ref() == Some(&noticed.content_hash);
        let noticed_of = |noticed: &Noticed| wrapped(&noticed.content_hash, noticed.value.clone());
        let newest = noticed.filter(is_newest).and_then(noticed_of);
        newest
            .or_else(|| made.and_then(|(hash, progress)| wrapped(hash, progress.get()?)))
            .or_else(|| noticed.and_then(noticed_of))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(content_hash: &str) -> Change {
        Change {
            objects: Vec::new(),
            since: std::time::Instant::now(),
            content_hash: content_hash.into(),
        }
    }

    fn noticed(making: &mut Making, content_hash: &str, value: &str) {
        assert!(making.notices(&change(content_hash)));
        making.noticed(content_hash.to_owned(), Some(json!(value)));
    }

    #[test]
    fn what_was_noticed_of_a_newer_change_is_kept_before_the_progress_of_an_earlier_one() {
        let mut making = Making::default();
        noticed(&mut making, "1", "before 1");
        making.begin("1");
        let kept = |making: &Making| making.kept().map(|kept| kept["value"].clone());
        assert_eq!(kept(&making), Some(json!("before 1")), "of the attempt");
        noticed(&mut making, "2", "before 2");
        assert_eq!(kept(&making), Some(json!("before 2")));
        making.done();
        assert_eq!(kept(&making), Some(json!("before 2")));
    }

    #[test]
    fn progress_ends_once_the_content_is_as_it_was() {
        let mut making = Making::default();
        noticed(&mut making, "1", "half-way");
        making.begin("1");
        making.forget();
        assert_eq!(making.kept(), None);
        // The same content once more, and nothing could be noticed of it.
        assert!(making.notices(&change("1")));
        making.noticed("1".to_owned(), None);
        making.begin("1");
        let progress = making.progress(&Keeper::default(), &"r".into(), None);
        assert_eq!(progress.get(), None);
    }
}
