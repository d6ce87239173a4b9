//! The files of a state directory: replaced whole, read if they are whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::de::DeserializeOwned;

use super::StateError;
use super::seal::{Sealed, Unfit, VERSION, unseal};

/// No file of ours is larger: an object's is a few times what etcd holds of it.
const LARGEST: u64 = 64 << 20;

/// How often, and how long after another, the lock is tried.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

const NEW: &str = ".new";
const DAMAGED: &str = ".damaged";

/// A file that is written, and not in its place yet.
pub(super) struct Staged {
    temporary: PathBuf,
    path: PathBuf,
}

// === impl Staged ===

impl Staged {
    /// Puts the file in its place; for good once its directory is synced.
    ///
    /// # Errors
    /// [`StateError`]
    pub(super) fn commit(self) -> Result<(), StateError> {
        fs::rename(&self.temporary, &self.path).map_err(StateError::of("replaced", &self.path))
    }
}

/// The files of a state directory, by their names in it.
pub(super) struct Disk {
    dir: PathBuf,
}

// === impl Disk ===

impl Disk {
    /// Makes the directory, if it is not there, and locks it until the file is closed.
    ///
    /// # Errors
    /// [`StateError`]
    pub(super) fn open(dir: &Path) -> Result<(Self, File), StateError> {
        let mut make = DirBuilder::new();
        let made = make.recursive(true).mode(0o700).create(dir);
        made.map_err(StateError::of("made", dir))?;
        let path = dir.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(StateError::of("written", &path))?;
        match hold(&lock) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(StateError::InUse { dir: dir.into() }),
            Err(error) => return Err(StateError::of("locked", path)(error.into())),
        }
        Ok((Self { dir: dir.into() }, lock))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes a directory that only attache may enter, if it is not there.
    ///
    /// # Errors
    /// [`StateError`]
    pub(super) fn make_dir(&self, name: &str) -> Result<(), StateError> {
        let path = self.path(name);
        let made = match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => own(&path),
            other => other,
        };
        made.map_err(StateError::of("made", path))
    }

    pub(super) fn is_dir(&self, name: &str) -> bool {
        self.path(name).is_dir()
    }

    /// The names of what is in a directory, as far as they are text. None if there is none.
    ///
    /// # Errors
    /// [`StateError`]
    pub(super) fn list(&self, name: &str) -> Result<Vec<String>, StateError> {
        let path = self.path(name);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(StateError::of("listed", &path))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(StateError::of("listed", &path))?;
            names.extend(entry.file_name().into_string());
        }
        Ok(names)
    }

    /// Reads a file, and its checksum. One that is damaged is set aside, one of a newer version
    /// stays; both are warned about, with what attache does `instead`.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        name: &str,
        instead: &str,
    ) -> Option<(T, String)> {
        let path = self.path(name);
        let bytes = match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.set_aside(name, &error.to_string(), instead);
                return None;
            }
            Ok(bytes) => bytes,
        };
        let parsed = unseal(name, &bytes).and_then(|(sum, body)| {
            // What serde says may hold values.
            let unlike = |_| Unfit::Damaged("it does not hold what such a file holds".to_owned());
            let value = serde_json::from_slice(body).map_err(unlike)?;
            Ok((value, sum.to_owned()))
        });
        match parsed {
            Ok(read) => Some(read),
            Err(Unfit::Damaged(reason)) => {
                self.set_aside(name, &reason, instead);
                None
            }
            Err(Unfit::Newer(version)) => {
                let file = path.display();
                tracing::warn!(
                    %file, version, known = VERSION, instead,
                    "a newer attache kept this: it is not read, and stays until there is newer content to keep in its place"
                );
                None
            }
        }
    }

    /// Gets what is not ours, or no longer whole, out of the way.
    pub(super) fn set_aside(&self, name: &str, reason: &str, instead: &str) {
        let (path, aside) = (self.path(name), self.path(&format!("{name}{DAMAGED}")));
        let file = path.display();
        match fs::rename(&path, &aside) {
            Ok(()) => tracing::warn!(
                %file, reason, set_aside = %aside.display(), instead,
                "a damaged file of state is not used"
            ),
            Err(error) => tracing::warn!(
                %file, reason, %error, instead,
                "a damaged file of state is not used, and could not be set aside"
            ),
        }
    }

    /// Writes a file beside its place.
    ///
    /// # Errors
    /// [`StateError`]; nothing is left then.
    pub(super) fn stage(&self, sealed: &Sealed) -> Result<Staged, StateError> {
        let path = self.path(&sealed.name);
        let temporary = self.path(&format!("{}{NEW}", sealed.name));
        let write = || {
            remove(&temporary)?;
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(sealed.header.as_bytes())?;
            file.write_all(&sealed.body)?;
            file.sync_all()
        };
        if let Err(error) = write() {
            // A part of it would take room that others may need.
            let _ = remove(&temporary);
            return Err(StateError::of("written", path)(error));
        }
        Ok(Staged { temporary, path })
    }

    /// Writes a file and puts it in its place.
    ///
    /// # Errors
    /// [`StateError`]; what was there before stays.
    pub(super) fn write(&self, sealed: &Sealed) -> Result<(), StateError> {
        self.stage(sealed)?.commit()
    }

    /// Removes a file; that there is none is no error.
    ///
    /// # Errors
    /// [`StateError`]
    pub(super) fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.path(name);
        remove(&path).map_err(StateError::of("removed", path))
    }

    /// Makes last what happened to the entries of a directory.
    ///
    /// # Errors
    /// [`StateError`]
    pub(super) fn sync(&self, dir: &str) -> Result<(), StateError> {
        let path = self.path(dir);
        let synced = File::open(&path).and_then(|dir| dir.sync_all());
        synced.map_err(StateError::of("synced", path))
    }

    /// Removes what a crash left of files that were being written to a directory with `names` in
    /// it, and returns the names of files of ours.
    ///
    /// # Errors
    /// [`StateError`]
    pub(super) fn clean(
        &self,
        dir: &str,
        is_ours: fn(&str) -> bool,
    ) -> Result<Vec<String>, StateError> {
        let mut ours = Vec::new();
        for name in self.list(dir)? {
            if name.strip_suffix(NEW).is_some_and(is_ours) {
                self.remove(&format!("{dir}/{name}"))?;
            } else if is_ours(&name) {
                ours.push(name);
            }
        }
        Ok(ours)
    }

    /// Removes a directory with all in it that is ours, set aside or not. What is not ours stays.
    ///
    /// # Errors
    /// [`StateError`]
    pub(super) fn purge(&self, dir: &str, is_ours: fn(&str) -> bool) -> Result<(), StateError> {
        for name in self.list(dir)? {
            let stem = name.strip_suffix(NEW).or(name.strip_suffix(DAMAGED));
            if is_ours(stem.unwrap_or(&name)) {
                self.remove(&format!("{dir}/{name}"))?;
            }
        }
        let path = self.path(dir);
        match fs::remove_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            other => other.map_err(StateError::of("removed", path)),
        }
    }
}

/// Locks a file, as long as it is open. Whoever ends, or forks and has not executed yet (the child
/// has all that is open), may hold it a moment longer: so it is tried a few times.
fn hold(file: &File) -> Result<(), Errno> {
    let mut tries = 0;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if tries < LOCK_TRIES => thread::sleep(LOCK_PAUSE),
            other => return other,
        }
        tries += 1;
    }
}

/// Lets nobody else into a directory.
fn own(path: &Path) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    if metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for its writer.
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if metadata.len() > LARGEST {
        return Err(io::Error::other(format!("it exceeds {LARGEST} bytes")));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
