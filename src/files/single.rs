//! `file:`: one key to one file, replaced by rename.

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::FilesError;
use super::disk::{self, Found};
use super::set::File;

/// The hexadecimal digits at the end of a temporary file's name.
const DIGITS: usize = 16;

/// How much of a file's name is in its temporary's: with the rest, it is no longer than 255 bytes.
const LONGEST_PART: usize = 200;

/// Makes the file at `path` hold `file`, or not be there; if that is `unknown`, it stays as it is.
/// Returns whether anything was written, and for how long what is there has been there.
pub(super) fn render(
    path: &Path,
    file: Option<&File<'_>>,
    unknown: bool,
    remarks: &mut Vec<String>,
) -> Result<(bool, Duration), FilesError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(FilesError::Taken {
            path: path.to_owned(),
        });
    };
    let dir = disk::open_or_make(parent).map_err(FilesError::of("open or make", parent))?;
    // First of all: it may be what fills the disk.
    clean(&dir, parent, name, remarks)?;
    let written = match (disk::look(&dir, name), file) {
        (Err(error), _) => return Err(FilesError::of("look at", path)(error)),
        (Ok(_), None) if unknown => false,
        (Ok(Found::Nothing), None) => false,
        (Ok(Found::Directory | Found::Special), _) => {
            return Err(FilesError::Taken {
                path: path.to_owned(),
            });
        }
        (Ok(_), None) => {
            disk::remove(&dir, name).map_err(FilesError::of("remove", path))?;
            true
        }
        (Ok(found), Some(file)) => {
            // What cannot be read is not as it should be.
            let same = found == Found::File
                && disk::holds(&dir, name, file.bytes, file.mode).unwrap_or(false);
            if !same {
                replace(&dir, name, path, file)?;
            }
            !same
        }
    };
    if written {
        disk::sync_directory(&dir).map_err(FilesError::of("sync", parent))?;
    }
    let age = disk::age(&dir, name).and_then(|age| match age {
        Some(age) => Ok(age),
        // It went no later than the directory last changed.
        None => disk::age_of_entries(&dir),
    });
    Ok((written, age.map_err(FilesError::of("look at", path))?))
}

fn replace(dir: &OwnedFd, name: &OsStr, path: &Path, file: &File<'_>) -> Result<(), FilesError> {
    let temporary = temporary(name);
    let replaced = disk::write_new(dir, &temporary, file.bytes, file.mode).and_then(|()| {
        crate::failpoint::reach("files-before-swap");
        disk::rename(dir, &temporary, name)
    });
    if replaced.is_ok() {
        crate::failpoint::reach("files-after-swap");
    } else {
        // What cannot be removed now, the next call removes; the reason counts that came first.
        let _ = disk::remove(dir, &temporary);
    }
    replaced.map_err(FilesError::of("write", path))
}

/// Removes what a crash left: every temporary of `name`.
fn clean(
    dir: &OwnedFd,
    parent: &Path,
    name: &OsStr,
    remarks: &mut Vec<String>,
) -> Result<(), FilesError> {
    let names = disk::names(dir).map_err(FilesError::of("list", parent))?;
    for leftover in names.iter().filter(|other| is_temporary(other, name)) {
        let removed = match disk::look(dir, leftover) {
            Ok(Found::File) => disk::remove(dir, leftover),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            remarks.push(FilesError::of("remove", parent.join(leftover))(error).to_string());
        }
    }
    Ok(())
}

/// `.NAME.attache-` and digits that nobody can foresee: std seeds its hashers from the system's
/// random numbers.
fn temporary(name: &OsStr) -> OsString {
    let random = RandomState::new().hash_one(name);
    let mut temporary = prefix(name);
    temporary.push(format!("{random:0DIGITS$x}"));
    temporary
}

fn is_temporary(other: &OsStr, name: &OsStr) -> bool {
    let is_hexadecimal = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    other
        .as_encoded_bytes()
        .strip_prefix(prefix(name).as_encoded_bytes())
        .is_some_and(|rest| rest.len() == DIGITS && rest.iter().all(is_hexadecimal))
}

fn prefix(name: &OsStr) -> OsString {
    let name = name.as_bytes();
    let part = OsStr::from_bytes(&name[..name.len().min(LONGEST_PART)]);
    let mut prefix = OsString::from(".");
    prefix.push(part);
    prefix.push(".attache-");
    prefix
}
