//! Readiness of what the configuration names: held until each object was read once.

use crate::readiness::Pending;
use crate::store::{Lookup, ObjectRef, Reader, Scope, Selects, Snapshot};

/// Something that the configuration asks for.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// A named object.
    Object {
        /// Which one.
        reference: ObjectRef,
        /// It need not exist.
        optional: bool,
    },
    /// All that a selector or a directory holds.
    Scope(Selects),
}

// === impl Wanted ===

impl Wanted {
    /// Whether it was read; restored content counts if `restored` says so.
    fn is_synced(&self, snapshot: &Snapshot, restored: bool) -> bool {
        let counts = |scope: &Scope| scope.synced() || (restored && scope.restored());
        match self {
            Wanted::Object {
                reference,
                optional,
            } => match snapshot.lookup(reference.kind, &reference.namespace, &reference.name) {
                Lookup::Found(_, scope) => counts(scope),
                Lookup::Missing(_) => *optional,
                Lookup::Pending(scope) => *optional && counts(scope),
                Lookup::Refused(_) | Lookup::Unwatched => false,
            },
            Wanted::Scope(selects) => snapshot
                .scopes()
                .iter()
                .any(|scope| scope.spec().selects == *selects && counts(scope)),
        }
    }
}

/// Drops each guard once what it stands for was read, or with `restored` once it was restored from
/// the state directory; returns when none is left.
pub async fn hold_until_synced(
    mut reader: Reader,
    mut wanted: Vec<(Wanted, Pending)>,
    restored: bool,
) {
    let all = |snapshot: &Snapshot| {
        wanted.retain(|(what, _)| !what.is_synced(snapshot, restored));
        wanted.is_empty()
    };
    reader.wait_for(all).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::Readiness;
    use crate::store::{self, Kind, RawObject, ScopeSpec};

    #[tokio::test]
    async fn waits_for_named_objects_to_exist_and_for_optional_ones_to_be_looked_for() {
        let (writer, reader) = store::new(1 << 20);
        let readiness = Readiness::default();
        let reference = |name: &str| ObjectRef::new(Kind::ConfigMap, "default", name);
        let scopes: Vec<_> = ["must", "may"]
            .map(|name| writer.scope(ScopeSpec::declared(Selects::Named(reference(name)))))
            .into();
        let wanted = [("must", false), ("may", true)]
            .map(|(name, optional)| {
                let reference = reference(name);
                (
                    Wanted::Object {
                        reference,
                        optional,
                    },
                    readiness.pending(name),
                )
            })
            .into();
        readiness.seal();
        let waiting = tokio::spawn(hold_until_synced(reader, wanted, false));
        scopes[0].replace(vec![]);
        scopes[1].replace(vec![]);
        while readiness.check() != Err(vec!["must".into()]) {
            tokio::task::yield_now().await;
        }
        scopes[0].upsert(scopes[0].freeze(RawObject::empty(reference("must"))));
        waiting.await.unwrap();
        assert_eq!(readiness.check(), Ok(()));
    }
}
