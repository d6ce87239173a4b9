//! The steps on the disk that files are made of. Each takes one name in an open directory and
//! follows no symlink there, so nobody can lead attache elsewhere.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// The permission bits of directories.
const DIRECTORY_MODE: u32 = 0o755;

/// Everything that `chmod` sets.
const PERMISSION_BITS: u32 = 0o7777;

/// The kernel stamps files with the time of its last tick, which may be this old (100 Hz).
const TICK: Duration = Duration::from_millis(10);

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A symlink to that.
    Link(PathBuf),
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A device, a socket, a FIFO.
    Special,
}

/// Opens the directory at `path`, symlinks followed; makes it and those above it, if missing.
pub(super) fn open_or_make(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        other => return Ok(other?),
    }
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        open_or_make(parent)?;
    }
    let made = make_directory(CWD, path.as_os_str())?;
    publish_directory(&made)?;
    Ok(made)
}

/// Makes the directory `name` in `at`, for attache alone so far, and opens it.
pub(super) fn make_directory(at: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    step()?;
    rustix::fs::mkdirat(&at, name, Mode::RWXU)?;
    open_directory(at, name)
}

/// Lets everybody into a directory that [`make_directory`] made, and syncs it. To be done once it is
/// filled: until then it passes on the group of a directory above with the setgid bit (an `fsGroup`).
pub(super) fn publish_directory(dir: impl AsFd) -> io::Result<()> {
    step()?;
    rustix::fs::fchmod(&dir, Mode::from_raw_mode(DIRECTORY_MODE))?;
    sync_directory(dir)
}

/// Syncs a directory's entries.
pub(super) fn sync_directory(dir: impl AsFd) -> io::Result<()> {
    step()?;
    match rustix::fs::fsync(dir) {
        // fsync(2): this file system has nothing to sync of a directory.
        Err(Errno::INVAL) => Ok(()),
        other => Ok(other?),
    }
}

/// Opens the directory `name` in `at`.
pub(super) fn open_directory(at: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, name, flags, Mode::empty())?)
}

/// Writes the file `name` in `at`, which must not exist, and syncs it. The umask has no say.
pub(super) fn write_new(at: impl AsFd, name: &OsStr, bytes: &[u8], mode: u32) -> io::Result<()> {
    step()?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(
        at,
        name,
        flags,
        Mode::RUSR | Mode::WUSR,
    )?);
    step()?;
    file.write_all(bytes)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & PERMISSION_BITS))?;
    step()?;
    file.sync_all()
}

/// Makes `name` in `at` a symlink to `target`.
pub(super) fn link(target: &Path, at: impl AsFd, name: &OsStr) -> io::Result<()> {
    step()?;
    Ok(rustix::fs::symlinkat(target, at, name)?)
}

/// Renames `from` to `to`, both in `at`.
pub(super) fn rename(at: impl AsFd, from: &OsStr, to: &OsStr) -> io::Result<()> {
    step()?;
    Ok(rustix::fs::renameat(&at, from, &at, to)?)
}

/// Removes the file or symlink `name` in `at`, if it is there.
pub(super) fn remove(at: impl AsFd, name: &OsStr) -> io::Result<()> {
    step()?;
    match rustix::fs::unlinkat(at, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

/// Removes a directory with all that is in it; symlinks in it are removed, not followed.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    step()?;
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The names in a directory, sorted, without `.` and `..`.
pub(super) fn names(dir: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// What `name` in `at` is.
pub(super) fn look(at: impl AsFd, name: &OsStr) -> io::Result<Found> {
    let Some(stat) = stat(&at, name)? else {
        return Ok(Found::Nothing);
    };
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => match rustix::fs::readlinkat(at, name, Vec::new()) {
            Ok(target) => Found::Link(PathBuf::from(OsString::from_vec(target.into_bytes()))),
            Err(Errno::NOENT) => Found::Nothing,
            Err(error) => return Err(error.into()),
        },
        FileType::Directory => Found::Directory,
        FileType::RegularFile => Found::File,
        _ => Found::Special,
    })
}

/// Whether `name` in `at` is a regular file with these bytes and this mode.
pub(super) fn holds(at: impl AsFd, name: &OsStr, bytes: &[u8], mode: u32) -> io::Result<bool> {
    let alike = |stat: &Stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_mode & PERMISSION_BITS == mode & PERMISSION_BITS
            && u64::try_from(stat.st_size).is_ok_and(|size| size == bytes.len() as u64)
    };
    // Before opening: to open a device may do things.
    if !stat(&at, name)?.is_some_and(|stat| alike(&stat)) {
        return Ok(false);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(at, name, flags, Mode::empty())?);
    let mut read = Vec::with_capacity(bytes.len());
    file.take(bytes.len() as u64 + 1).read_to_end(&mut read)?;
    Ok(read == bytes)
}

/// Whether a directory has the mode that [`publish_directory`] gives.
pub(super) fn is_published(dir: impl AsFd) -> io::Result<bool> {
    Ok(rustix::fs::fstat(dir)?.st_mode & 0o777 == DIRECTORY_MODE)
}

/// For how long `name` in `at` has been there; `None` if it is not. Renaming sets the time of a
/// status change on Linux' file systems, and writing that of a modification: the later counts.
pub(super) fn age(at: impl AsFd, name: &OsStr) -> io::Result<Option<Duration>> {
    Ok(stat(at, name)?.map(|stat| since(&stat)))
}

/// How long ago a directory last got, lost or renamed an entry.
pub(super) fn age_of_entries(dir: impl AsFd) -> io::Result<Duration> {
    Ok(since(&rustix::fs::fstat(dir)?))
}

fn since(stat: &Stat) -> Duration {
    let at = |seconds, nanoseconds| {
        let nanoseconds = u32::try_from(nanoseconds).unwrap_or_default();
        Duration::new(u64::try_from(seconds).unwrap_or_default(), nanoseconds)
    };
    let modified = at(stat.st_mtime, stat.st_mtime_nsec);
    let renamed = at(stat.st_ctime, stat.st_ctime_nsec);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    now.saturating_sub(modified.max(renamed))
        .saturating_sub(TICK)
}

fn stat(at: impl AsFd, name: &OsStr) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Each step that changes the disk begins here, so that a test can end it.
#[cfg(not(test))]
#[allow(clippy::unnecessary_wraps, reason = "the test's twin fails")]
fn step() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
use super::tests::step;
