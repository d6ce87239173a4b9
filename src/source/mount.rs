//! `--mount`: a mounted ConfigMap volume, served as that ConfigMap. Needs no API server.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tracing::{info, warn};

use super::changes::{self, Next};
use super::files;
use crate::shutdown::Shutdown;
use crate::store::{ObjectRef, RawObject, ScopeWriter};

/// Keeps `scope` equal to the volume at `path` until `shutdown`: every regular file (through
/// symlinks) that does not begin with `..` is a key of `reference`. All files come from one swap of
/// the kubelet's `..data` symlink.
///
/// While the directory is absent or unreadable, what was last read stays, and it is tried again
/// each second. An empty directory is a ConfigMap without keys.
pub async fn run(reference: ObjectRef, path: PathBuf, scope: ScopeWriter, shutdown: Shutdown) {
    let read = {
        let path = path.clone();
        move || read(&reference, &path)
    };
    let mut failing: Option<(Instant, String)> = None;
    changes::follow(&path, shutdown, read, |outcome| match outcome {
        Ok(raw) => {
            if failing.take().is_some() {
                info!(path = %path.display(), "the mounted volume is readable again");
            }
            publish(&scope, raw);
            Next::OnChange
        }
        Err(error) => {
            let reason = format!("cannot read {}: {error}", path.display());
            let since = failing.as_ref().map_or_else(Instant::now, |(since, _)| *since);
            // Every call of `lost` swaps the snapshot: only for news.
            if failing.as_ref().is_none_or(|(_, old)| *old != reason) {
                warn!(
                    path = %path.display(),
                    %error,
                    "cannot read the mounted volume; what it last held stays in place, trying again each second"
                );
                scope.lost(since, reason.as_str());
                failing = Some((since, reason));
            }
            Next::Retry
        }
    })
    .await;
}

fn publish(scope: &ScopeWriter, raw: RawObject) {
    let previous = scope.get(&raw.reference);
    let object = scope.freeze(raw);
    match previous {
        Some(previous) if Arc::ptr_eq(&previous, &object) => scope.live(),
        _ => scope.replace(vec![object]),
    }
}

fn read(reference: &ObjectRef, path: &Path) -> io::Result<RawObject> {
    let mut object = RawObject::empty(reference.clone());
    for entry in files::read(path, |name| !name.starts_with(".."))? {
        // A ConfigMap without one of its keys would be a wrong one: all or nothing.
        let content = entry
            .content
            .map_err(|error| io::Error::other(format!("{}: {error}", entry.name)))?;
        object.insert_bytes(entry.name, content);
    }
    Ok(object)
}

#[cfg(test)]
mod tests;
