//! What rules have acted upon, on disk.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::disk::Disk;
use super::seal::{Sealed, hash, is_hash};
use super::{RuleState, StateError};
use crate::store::{Kind, ObjectRef};

const DIR: &str = "rules";

/// The checksum of what is kept of each rule, by the hash of its identity.
pub(super) struct Rules(BTreeMap<String, String>);

#[derive(Serialize, Deserialize)]
struct RuleFile {
    told: Vec<Keys<String>>,
    shown: Vec<Keys<bool>>,
    acted: Option<Timestamp>,
    progress: Option<Value>,
}

/// Something of each key of one object.
#[derive(Serialize, Deserialize)]
struct Keys<T> {
    kind: Kind,
    namespace: String,
    name: String,
    keys: BTreeMap<String, T>,
}

// === impl RuleFile ===

impl From<&RuleState> for RuleFile {
    fn from(state: &RuleState) -> Self {
        Self {
            told: flat(&state.told),
            shown: flat(&state.shown),
            acted: state.acted,
            progress: state.progress.clone(),
        }
    }
}

impl From<RuleFile> for RuleState {
    fn from(file: RuleFile) -> Self {
        Self {
            told: mapped(file.told),
            shown: mapped(file.shown),
            acted: file.acted,
            progress: file.progress,
        }
    }
}

fn flat<T: Clone>(map: &BTreeMap<ObjectRef, BTreeMap<String, T>>) -> Vec<Keys<T>> {
    let object = |(reference, keys): (&ObjectRef, &BTreeMap<String, T>)| Keys {
        kind: reference.kind,
        namespace: reference.namespace.as_ref().to_owned(),
        name: reference.name.as_ref().to_owned(),
        keys: keys.clone(),
    };
    map.iter().map(object).collect()
}

fn mapped<T>(objects: Vec<Keys<T>>) -> BTreeMap<ObjectRef, BTreeMap<String, T>> {
    let mut map = BTreeMap::new();
    for object in objects {
        let reference = ObjectRef::new(object.kind, object.namespace, object.name);
        map.insert(reference, object.keys);
    }
    map
}

/// What is kept of all rules, by the hash of their identities.
///
/// # Errors
/// [`StateError`]
pub(super) fn restore(disk: &Disk) -> Result<(Rules, BTreeMap<String, RuleState>), StateError> {
    disk.make_dir(DIR)?;
    let (mut kept, mut restored) = (BTreeMap::new(), BTreeMap::new());
    for name in disk.clean(DIR, is_hash)? {
        let instead = "if the rule is still there, it starts from the content that is read first";
        let read = disk.read::<RuleFile>(&format!("{DIR}/{name}"), instead);
        if let Some((file, checksum)) = read {
            kept.insert(name.clone(), checksum);
            restored.insert(name, file.into());
        }
    }
    Ok((Rules(kept), restored))
}

// === impl Rules ===

impl Rules {
    /// Keeps the state of one rule.
    ///
    /// # Errors
    /// [`StateError`]
    pub(super) fn keep(
        &mut self,
        disk: &Disk,
        identity: &str,
        state: &RuleState,
    ) -> Result<(), StateError> {
        let hash = hash(identity);
        let sealed = Sealed::new(format!("{DIR}/{hash}"), &RuleFile::from(state))?;
        if self.0.get(&hash) == Some(&sealed.checksum) {
            return Ok(());
        }
        let staged = disk.stage(&sealed)?;
        crate::failpoint::reach("state-rule-before");
        // Until it is known to last, what is kept is not known.
        self.0.remove(&hash);
        staged.commit()?;
        disk.sync(DIR)?;
        crate::failpoint::reach("state-rule-kept");
        self.0.insert(hash, sealed.checksum);
        Ok(())
    }
}
