//! `dir:`: a directory laid out as the kubelet's `AtomicWriter` lays out a volume.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::FilesError;
use super::disk::{self, Found};
use super::set::{Node, Tree};

/// The symlink whose replacement changes all files at once.
const DATA: &str = "..data";

/// What replaces [`DATA`].
const NEXT_DATA: &str = "..data_tmp";

/// The names of the directories that hold the files; each `0` is any digit.
const VERSION: &[u8] = b"..0000_00_00_00_00_00.000000000";

/// Makes the directory at `path` hold `tree`; or, if that is `unknown`, only if it holds no set yet.
/// Returns whether anything was written, and for how long what is there has been there.
pub(super) fn render(
    path: &Path,
    tree: &Tree<'_>,
    unknown: bool,
    remarks: &mut Vec<String>,
) -> Result<(bool, Duration), FilesError> {
    let dir = Directory::open(path)?;
    let survey = dir.survey(tree)?;
    if unknown && survey.current.is_some() {
        return Ok((false, dir.age(&Tree::new())?));
    }
    // First of all: it may be what fills the disk.
    dir.clean(&survey.leftovers, remarks);
    let current = survey.current.as_deref();
    let swapped = !current.is_some_and(|current| dir.holds(current, tree));
    if swapped {
        dir.swap(tree)?;
    }
    for name in &survey.unlinked {
        dir.link(name)?;
    }
    for name in &survey.surplus {
        disk::remove(&dir.fd, name).map_err(FilesError::of("remove", path.join(name)))?;
    }
    let written = swapped || !survey.unlinked.is_empty() || !survey.surplus.is_empty();
    if written {
        disk::sync_directory(&dir.fd).map_err(FilesError::of("sync", path))?;
    }
    if swapped && let Some(old) = survey.current {
        dir.clean(&[old], remarks);
    }
    Ok((written, dir.age(tree)?))
}

struct Directory<'a> {
    path: &'a Path,
    fd: OwnedFd,
}

/// What there is besides the files themselves.
struct Survey {
    /// The directory that `..data` points to, if it is one of attache's.
    current: Option<OsString>,
    /// Other such directories and a `..data_tmp`: what a crash left.
    leftovers: Vec<OsString>,
    /// Names of the set that have no link yet.
    unlinked: Vec<OsString>,
    /// Links to names that are not in the set.
    surplus: Vec<OsString>,
}

impl<'a> Directory<'a> {
    fn open(path: &'a Path) -> Result<Self, FilesError> {
        let fd = disk::open_or_make(path).map_err(FilesError::of("open or make", path))?;
        Ok(Self { path, fd })
    }

    /// Finds what to do besides writing; refuses where something foreign is in the way.
    fn survey(&self, tree: &Tree<'_>) -> Result<Survey, FilesError> {
        let mut survey = Survey {
            current: None,
            leftovers: Vec::new(),
            unlinked: Vec::new(),
            surplus: Vec::new(),
        };
        match self.look(DATA)? {
            Found::Link(version) => survey.current = self.own_version(version)?,
            Found::Nothing => {}
            _ => return Err(self.taken(DATA)),
        }
        for name in disk::names(&self.fd).map_err(FilesError::of("list", self.path))? {
            let found = self.look(&name)?;
            let is_link = found == Found::Link(visible(&name));
            if name == NEXT_DATA {
                if !matches!(found, Found::Link(_)) {
                    return Err(self.taken(name));
                }
                survey.leftovers.push(name);
            } else if is_version(&name) {
                if found == Found::Directory && survey.current.as_ref() != Some(&name) {
                    survey.leftovers.push(name);
                }
            } else if tree.contains_key(&name) {
                if !is_link {
                    return Err(self.taken(name));
                }
            } else if is_link {
                survey.surplus.push(name);
            }
        }
        for name in tree.keys() {
            if self.look(name)? == Found::Nothing {
                survey.unlinked.push(name.clone());
            }
        }
        Ok(survey)
    }

    /// `version` if it is a directory that attache, or a kubelet, has made here.
    fn own_version(&self, version: PathBuf) -> Result<Option<OsString>, FilesError> {
        let version = version.into_os_string();
        let is_own = is_version(&version) && self.look(&version)? == Found::Directory;
        Ok(is_own.then_some(version))
    }

    /// Whether that version holds `tree` and nothing else. What cannot be read is not as it should be.
    fn holds(&self, version: &OsStr, tree: &Tree<'_>) -> bool {
        disk::open_directory(&self.fd, version).is_ok_and(|dir| same(dir, tree).unwrap_or(false))
    }

    /// Writes `tree` to a new directory and makes `..data` point there.
    fn swap(&self, tree: &Tree<'_>) -> Result<(), FilesError> {
        let (name, dir) = self.make_version()?;
        let path = self.path.join(&name);
        let swapped = write(&dir, &path, tree).and_then(|()| self.point_to(&name));
        // A rename over a network may be done and still fail: what is in use stays.
        if swapped.is_err() && !matches!(self.look(DATA), Ok(Found::Link(to)) if to == name) {
            // What cannot be removed now, the next call removes; the reason counts that came first.
            let _ = disk::remove(&self.fd, OsStr::new(NEXT_DATA));
            let _ = disk::remove_tree(&path);
        }
        swapped
    }

    fn make_version(&self) -> Result<(OsString, OwnedFd), FilesError> {
        loop {
            let now = Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S");
            let name = OsString::from(format!("{now}.{:09}", fastrand::u32(..1_000_000_000)));
            match disk::make_directory(&self.fd, &name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => {
                    let made = made.map_err(FilesError::of("make", self.path.join(&name)))?;
                    return Ok((name, made));
                }
            }
        }
    }

    fn point_to(&self, version: &OsStr) -> Result<(), FilesError> {
        let (next, data) = (OsStr::new(NEXT_DATA), OsStr::new(DATA));
        disk::link(Path::new(version), &self.fd, next)
            .map_err(FilesError::of("link", self.path.join(next)))?;
        crate::failpoint::reach("files-before-swap");
        disk::rename(&self.fd, next, data)
            .map_err(FilesError::of("replace", self.path.join(data)))?;
        crate::failpoint::reach("files-after-swap");
        Ok(())
    }

    fn link(&self, name: &OsStr) -> Result<(), FilesError> {
        disk::link(&visible(name), &self.fd, name).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                return self.taken(name);
            }
            FilesError::of("link", self.path.join(name))(error)
        })
    }

    /// Removes what no reader is led to any more. What stays is tried again at the next call, and
    /// does no harm but the room it takes.
    fn clean(&self, leftovers: &[OsString], remarks: &mut Vec<String>) {
        for name in leftovers {
            let removed = if name == NEXT_DATA {
                disk::remove(&self.fd, name)
            } else {
                disk::remove_tree(&self.path.join(name))
            };
            if let Err(error) = removed {
                remarks.push(FilesError::of("remove", self.path.join(name))(error).to_string());
            }
        }
    }

    /// Since the last of `..data` and the links to `tree` came.
    fn age(&self, tree: &Tree<'_>) -> Result<Duration, FilesError> {
        let names = tree.keys().map(OsString::as_os_str);
        let mut age = Duration::MAX;
        for name in names.chain([OsStr::new(DATA)]) {
            let this = disk::age(&self.fd, name)
                .map_err(FilesError::of("look at", self.path.join(name)))?;
            age = age.min(this.unwrap_or_default());
        }
        Ok(age)
    }

    fn look(&self, name: impl AsRef<OsStr>) -> Result<Found, FilesError> {
        disk::look(&self.fd, name.as_ref())
            .map_err(FilesError::of("look at", self.path.join(name.as_ref())))
    }

    fn taken(&self, name: impl AsRef<Path>) -> FilesError {
        FilesError::Taken {
            path: self.path.join(name),
        }
    }
}

/// What the link `name` points to.
fn visible(name: &OsStr) -> PathBuf {
    Path::new(DATA).join(name)
}

fn is_version(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.len() == VERSION.len()
        && name.iter().zip(VERSION).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            form => byte == form,
        })
}

/// Fills `dir`, which is new and at `path`.
fn write(dir: impl AsFd, path: &Path, tree: &Tree<'_>) -> Result<(), FilesError> {
    for (name, node) in tree {
        let path = path.join(name);
        match node {
            Node::File(file) => disk::write_new(&dir, name, file.bytes, file.mode)
                .map_err(FilesError::of("write", &path))?,
            Node::Dir(below) => {
                let made =
                    disk::make_directory(&dir, name).map_err(FilesError::of("make", &path))?;
                write(made, &path, below)?;
            }
        }
    }
    disk::publish_directory(&dir).map_err(FilesError::of("sync", path))
}

fn same(dir: OwnedFd, tree: &Tree<'_>) -> io::Result<bool> {
    if !disk::is_published(&dir)? || !disk::names(&dir)?.iter().eq(tree.keys()) {
        return Ok(false);
    }
    for (name, node) in tree {
        let same = match node {
            Node::File(file) => disk::holds(&dir, name, file.bytes, file.mode)?,
            Node::Dir(below) => same(disk::open_directory(&dir, name)?, below)?,
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}
