//! Opens what lies beneath a directory: neither a name nor a symbolic link leads out of it, and
//! nothing but regular files is read.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::future::{self, Ready};
use std::io::{self, ErrorKind, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use rustix::fs::{Mode, OFlags, open, openat};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tokio::task::spawn_blocking;
use tower_http::services::fs as library;

/// The files beneath a directory. The directory is looked up anew each time: a build may have
/// replaced it.
#[derive(Debug, Clone)]
pub(super) struct Beneath {
    root: Arc<Path>,
}

/// What a file or a directory is.
#[derive(Debug, Clone)]
pub(super) struct Stat(Metadata);

/// A regular file that is read no further than it reached when it was opened, and no less far.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    stat: Stat,
    position: u64,
}

/// Where a path led: a file or a directory, by its name in the directory that holds it.
struct Place {
    holder: OwnedFd,
    name: OsString,
    stat: Stat,
}

// === impl Beneath ===

impl Beneath {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.into() }
    }
}

impl library::Backend for Beneath {
    type File = Opened;
    type Metadata = Stat;
    type OpenFuture = BoxFuture<'static, io::Result<Opened>>;
    type MetadataFuture = BoxFuture<'static, io::Result<Stat>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let root = Arc::clone(&self.root);
        blocking(move || again(|| Opened::find(&root, &path)))
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let root = Arc::clone(&self.root);
        blocking(move || again(|| Ok(Place::find(&root, &path)?.stat)))
    }
}

fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> BoxFuture<'static, io::Result<T>> {
    Box::pin(async { spawn_blocking(work).await? })
}

/// Looks twice before nothing is there: the kubelet, when it swaps a volume, removes the
/// directory that a link may just have led into.
pub(super) fn again<T>(mut look: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match look() {
        Err(error) if error.kind() == ErrorKind::NotFound => look(),
        found => found,
    }
}

// === impl Place ===

impl Place {
    /// Follows every symbolic link first, then walks the path that remains without following any:
    /// one that is put there in between leads nowhere. This needs no `openat2`, which sandboxes
    /// lack, and a link may name a place beneath the root by its absolute path.
    fn find(root: &Path, path: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        let path = root.join(path).canonicalize()?;
        let path = path
            .strip_prefix(&root)
            .map_err(|_| not_found("it leads out of the directory that is served"))?;
        let dir = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut holder = open(&root, dir, Mode::empty())?;
        for name in path.parent().into_iter().flatten() {
            holder = openat(&holder, name, dir, Mode::empty())?;
        }
        let name = path.file_name().unwrap_or(OsStr::new(".")).to_owned();
        // What is only named, not opened, neither blocks (a FIFO) nor acts (a device).
        let named = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let named = openat(&holder, &name, named, Mode::empty())?;
        let stat = Stat(std::fs::File::from(named).metadata()?);
        if !stat.0.is_file() && !stat.0.is_dir() {
            return Err(not_found("it is neither a regular file nor a directory"));
        }
        Ok(Self { holder, name, stat })
    }
}

fn not_found(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::NotFound, why)
}

// === impl Stat ===

impl library::Metadata for Stat {
    fn is_dir(&self) -> bool {
        self.0.is_dir()
    }

    /// The library cannot write dates before 1970. Images that are built reproducibly set that
    /// very instant on every file, so it says nothing about a change either.
    fn modified(&self) -> io::Result<SystemTime> {
        let modified = self.0.modified()?;
        if modified <= SystemTime::UNIX_EPOCH {
            return Err(ErrorKind::Unsupported.into());
        }
        Ok(modified)
    }

    fn len(&self) -> u64 {
        self.0.len()
    }
}

// === impl Opened ===

impl Opened {
    fn find(root: &Path, path: &Path) -> io::Result<Self> {
        let place = Place::find(root, path)?;
        if place.stat.0.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        // Should a FIFO have taken the file's place, opening it must not block.
        let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let read = read | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = openat(&place.holder, &place.name, read, Mode::empty())?;
        let file = std::fs::File::from(file);
        let stat = Stat(file.metadata()?);
        if !stat.0.is_file() {
            return Err(not_found("it is no longer a regular file"));
        }
        Ok(Self {
            file: File::from_std(file),
            stat,
            position: 0,
        })
    }
}

impl library::File for Opened {
    type Metadata = Stat;
    type MetadataFuture<'a> = Ready<io::Result<Stat>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        future::ready(Ok(self.stat.clone()))
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let left = this.stat.0.len().saturating_sub(this.position);
        if left == 0 || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.file).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        if read == 0 {
            let why = "the file was cut short while it was served";
            return Poll::Ready(Err(io::Error::new(ErrorKind::UnexpectedEof, why)));
        }
        // A file that grows is served as it was: its length was announced.
        let kept = usize::try_from(left).map_or(read, |left| read.min(left));
        buf.set_filled(before + kept);
        this.position += kept as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for Opened {
    fn start_seek(self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.get_mut().file).start_seek(position)
    }

    fn poll_complete(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let this = self.get_mut();
        this.position = ready!(Pin::new(&mut this.file).poll_complete(cx))?;
        Poll::Ready(Ok(this.position))
    }
}
