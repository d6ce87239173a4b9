//! Follows a directory: says when it may have changed, by inotify or, without it, each second.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Config, Event, INotifyWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info, warn};

use crate::shutdown::Shutdown;

/// A burst of events is over when none came for this long …
const QUIET: Duration = Duration::from_millis(20);

/// … or this long after its first.
const LONGEST: Duration = Duration::from_millis(200);

/// How often to look while nothing watches, or after a failure.
const POLL: Duration = Duration::from_secs(1);

/// What a read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Read again after the next event.
    OnChange,
    /// Something failed that may mend without an event: look again soon.
    Retry,
}

/// Reads now and after every change, until `shutdown`. Watches first and reads then, so that a
/// change in between is not lost; `read` may block.
pub(super) async fn follow<T: Send + 'static>(
    path: &Path,
    mut shutdown: Shutdown,
    read: impl Fn() -> io::Result<T> + Clone + Send + 'static,
    mut apply: impl FnMut(io::Result<T>) -> Next,
) {
    let mut changes = Changes::new(path);
    loop {
        changes.arm();
        let outcome = tokio::task::spawn_blocking(read.clone())
            .await
            .unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
        let next = apply(outcome);
        tokio::select! {
            () = shutdown.requested() => return,
            () = changes.wait(next) => {}
        }
    }
}

#[derive(Default)]
struct Shared {
    changed: Notify,
    /// The directory or its parent was itself replaced: what watches it may watch the old one.
    replaced: AtomicBool,
}

struct Changes {
    directory: PathBuf,
    parent: Option<PathBuf>,
    shared: Arc<Shared>,
    watcher: Option<INotifyWatcher>,
    watches_directory: bool,
    watches_parent: bool,
    warned: bool,
}

// === impl Changes ===

impl Changes {
    fn new(path: &Path) -> Self {
        let directory = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        // A path that ends in `..` has a parent that does not name it.
        let parent = directory
            .file_name()
            .and_then(|_| directory.parent())
            .map(Path::to_owned);
        Self {
            directory,
            parent,
            shared: Arc::default(),
            watcher: None,
            watches_directory: false,
            watches_parent: false,
            warned: false,
        }
    }

    /// Makes the watches that are missing.
    fn arm(&mut self) {
        if self.shared.replaced.swap(false, Ordering::AcqRel) {
            self.disarm();
        }
        match self.try_arm() {
            Ok(()) => {
                if std::mem::take(&mut self.warned) {
                    info!(directory = %self.directory.display(), "watching the directory again");
                }
            }
            // Whoever reads the directory says that it is missing.
            Err(error) if is_missing(&error) => {
                debug!(directory = %self.directory.display(), "waiting for the directory to appear");
            }
            Err(error) if !self.warned => {
                self.warned = true;
                warn!(
                    directory = %self.directory.display(),
                    %error,
                    "cannot watch the directory: reading it each second instead \
                     (see fs.inotify.max_user_instances and max_user_watches)"
                );
            }
            Err(_) => {}
        }
    }

    fn disarm(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            // It fails where the kernel dropped the watch already.
            let _ = watcher.unwatch(&self.directory);
            if let Some(parent) = &self.parent {
                let _ = watcher.unwatch(parent);
            }
        }
        self.watches_directory = false;
        self.watches_parent = false;
    }

    fn try_arm(&mut self) -> notify::Result<()> {
        let mut watcher = match self.watcher.take() {
            Some(watcher) => watcher,
            None => INotifyWatcher::new(self.handler(), Config::default())?,
        };
        let outcome = self.watch_missing(&mut watcher);
        self.watcher = Some(watcher);
        outcome
    }

    fn watch_missing(&mut self, watcher: &mut INotifyWatcher) -> notify::Result<()> {
        if let Some(parent) = &self.parent
            && !self.watches_parent
        {
            watcher.watch(parent, RecursiveMode::NonRecursive)?;
            self.watches_parent = true;
        }
        if !self.watches_directory {
            watcher.watch(&self.directory, RecursiveMode::NonRecursive)?;
            self.watches_directory = true;
        }
        Ok(())
    }

    fn handler(&self) -> impl Fn(notify::Result<Event>) + Send + 'static {
        let shared = Arc::clone(&self.shared);
        let directory = self.directory.clone();
        let parent = self.parent.clone();
        move |event| {
            let relevance = match &event {
                Ok(event) => relevance(event, &directory, parent.as_deref()),
                Err(_) => Relevance::Replaced,
            };
            match relevance {
                Relevance::None => return,
                Relevance::Changed => {}
                Relevance::Replaced => shared.replaced.store(true, Ordering::Release),
            }
            // Keeps one permit: an event between two waits is not lost.
            shared.changed.notify_one();
        }
    }

    /// Waits for an event and for the end of its burst, or for the time to look again.
    async fn wait(&self, next: Next) {
        let changed = &self.shared.changed;
        if next == Next::OnChange && self.watches_directory && self.parent_is_watched() {
            changed.notified().await;
        } else if timeout(POLL, changed.notified()).await.is_err() {
            return;
        }
        let latest = Instant::now() + LONGEST;
        loop {
            let quiet = (Instant::now() + QUIET).min(latest);
            if timeout_at(quiet, changed.notified()).await.is_err() {
                return;
            }
        }
    }

    fn parent_is_watched(&self) -> bool {
        self.watches_parent || self.parent.is_none()
    }
}

fn is_missing(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Relevance {
    None,
    Changed,
    Replaced,
}

fn relevance(event: &Event, directory: &Path, parent: Option<&Path>) -> Relevance {
    match event.kind {
        // Reading the files opens them: it must not wake the reader.
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
        EventKind::Access(_) => return Relevance::None,
        _ => {}
    }
    // The queue overflowed: anything may have happened.
    if event.need_rescan() || event.paths.is_empty() {
        return Relevance::Replaced;
    }
    let is = |path: &Path| path == directory || Some(path) == parent;
    if event.paths.iter().any(|path| is(path)) {
        Relevance::Replaced
    } else if event
        .paths
        .iter()
        .any(|path| path.parent() == Some(directory))
    {
        Relevance::Changed
    } else {
        Relevance::None
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, Flag, RemoveKind};

    use super::*;

    #[test]
    fn only_what_concerns_the_directory_is_relevant() {
        let of = |kind, path: &str| {
            let event = Event::new(kind).add_path(path.into());
            relevance(&event, Path::new("/a/dir"), Some(Path::new("/a")))
        };
        let create = EventKind::Create(CreateKind::Any);
        let remove = EventKind::Remove(RemoveKind::Any);
        let open = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert_eq!(of(create, "/a/dir/x.yaml"), Relevance::Changed);
        assert_eq!(of(written, "/a/dir/x.yaml"), Relevance::Changed);
        assert_eq!(of(open, "/a/dir/x.yaml"), Relevance::None);
        assert_eq!(of(open, "/a/dir"), Relevance::None);
        assert_eq!(of(create, "/a/other"), Relevance::None);
        assert_eq!(of(create, "/a/dir"), Relevance::Replaced);
        assert_eq!(of(remove, "/a"), Relevance::Replaced);
    }

    #[test]
    fn an_overflow_concerns_everything() {
        let event = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert_eq!(
            relevance(&event, Path::new("/a/dir"), None),
            Relevance::Replaced
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_ends_when_quiet_or_when_it_lasts_too_long() {
        let changes = Changes {
            watches_directory: true,
            watches_parent: true,
            ..Changes::new(Path::new("/nonexistent/dir"))
        };
        let start = Instant::now();
        changes.shared.changed.notify_one();
        changes.wait(Next::OnChange).await;
        assert_eq!(start.elapsed(), QUIET);

        let start = Instant::now();
        let storm = async {
            loop {
                changes.shared.changed.notify_one();
                tokio::time::sleep(QUIET / 2).await;
            }
        };
        tokio::select! {
            () = changes.wait(Next::OnChange) => {}
            () = storm => {}
        }
        assert_eq!(start.elapsed(), LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn looks_each_second_while_nothing_watches_or_after_a_failure() {
        let mut changes = Changes::new(Path::new("/nonexistent/dir"));
        changes.arm();
        let start = Instant::now();
        changes.wait(Next::OnChange).await;
        assert_eq!(start.elapsed(), POLL);
        changes.watches_directory = true;
        changes.watches_parent = true;
        changes.wait(Next::Retry).await;
        assert_eq!(start.elapsed(), 2 * POLL);
    }
}
