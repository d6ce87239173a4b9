//! Why files could not be written, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::store::ObjectRef;

/// Why files were not written: what was there before still is, whole. The message names the path,
/// what happened, and what to do; it holds no value.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// ENOSPC or EDQUOT.
    #[error(
        "cannot {doing} {}: no space is left; enlarge the volume (an emptyDir's sizeLimit, or the \
         node's disk) or write less to it", path.display()
    )]
    Full {
        /// What was tried, a verb.
        doing: &'static str,
        /// With what.
        path: PathBuf,
    },
    /// EROFS.
    #[error(
        "cannot {doing} {}: the file system is read-only; mount a volume there that may be \
         written, such as an emptyDir, in attache's container without `readOnly: true`", path.display()
    )]
    ReadOnly {
        /// What was tried, a verb.
        doing: &'static str,
        /// With what.
        path: PathBuf,
    },
    /// EACCES or EPERM.
    #[error(
        "cannot {doing} {}: attache runs as user {uid}, group {gid}, which may not; set the \
         securityContext's fsGroup, or runAsUser, to one that may write there", path.display()
    )]
    NotPermitted {
        /// What was tried, a verb.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// The effective user.
        uid: u32,
        /// The effective group.
        gid: u32,
    },
    /// Something that attache did not make has the name that it needs.
    #[error(
        "{} is in the way, and attache did not make it: move it away, or give the key another path \
         under `items`", path.display()
    )]
    Taken {
        /// What to move.
        path: PathBuf,
    },
    /// An item's key is not there, and the object is not optional.
    #[error(
        "{rule}: {object} has no key {key:?}; add it, take it out of `items`, or make the object \
         optional (NAME,optional)"
    )]
    MissingKey {
        /// The rule, as `files[0]`.
        rule: String,
        /// The object.
        object: ObjectRef,
        /// The key.
        key: String,
    },
    /// One path would have to be a file and a directory.
    #[error(
        "{path:?} cannot be both a file, for {file}, and a directory, for {below}; give one of them \
         another path under `items`"
    )]
    Clash {
        /// The path.
        path: PathBuf,
        /// The key that it would be a file for.
        file: String,
        /// The key that it would be a directory for.
        below: String,
    },
    /// A path that would leave the directory, or that no file can have.
    #[error(
        "{rule}: {path:?} is no path for a key: it must be relative, without `..`, each part at \
         most 255 bytes, 4096 in all, and not begin with `..`"
    )]
    Path {
        /// The rule, as `files[0]`.
        rule: String,
        /// The path.
        path: PathBuf,
    },
    /// Any other failure of the file system.
    #[error("cannot {doing} {}: {error}; {hint}", path.display())]
    Other {
        /// What was tried, a verb.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
        /// What to do.
        hint: &'static str,
    },
}

// === impl FilesError ===

impl FilesError {
    /// Makes the error of `doing` something with `path`.
    pub(super) fn of(
        doing: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            let path = path.as_ref().to_owned();
            let hint = match Errno::from_io_error(&error) {
                Some(Errno::NOSPC | Errno::DQUOT) => return Self::Full { doing, path },
                Some(Errno::ROFS) => return Self::ReadOnly { doing, path },
                Some(Errno::ACCESS | Errno::PERM) => {
                    return Self::NotPermitted {
                        doing,
                        path,
                        uid: rustix::process::geteuid().as_raw(),
                        gid: rustix::process::getegid().as_raw(),
                    };
                }
                Some(Errno::BUSY) => {
                    "it is mounted by itself (by subPath?), and only its directory can be"
                }
                Some(Errno::NOTDIR | Errno::LOOP) => {
                    "a part of the path is no directory: move it away"
                }
                _ => "the file system may be at fault: see the node's log",
            };
            Self::Other {
                doing,
                path,
                error,
                hint,
            }
        }
    }
}
