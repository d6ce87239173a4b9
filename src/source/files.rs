//! Reads a directory's files as they were at one moment, also while the kubelet replaces them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The largest file that is read.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// The symlink through which the kubelet's volumes (`AtomicWriter`) swap all files at once.
const DATA: &str = "..data";

/// How often a directory is read again because it was swapped meanwhile.
const ATTEMPTS: usize = 20;

/// One file that was wanted.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its name in the directory.
    pub(super) name: String,
    /// Its content, or why it could not be read: [`io::ErrorKind::FileTooLarge`] if it is too large.
    pub(super) content: io::Result<Vec<u8>>,
}

/// Reads every regular file (through symlinks) of `path` whose name is `wanted`, sorted by name.
/// Where there is a `..data` symlink, all of them come from the one directory it points to.
///
/// # Errors
/// The directory cannot be listed, or was swapped during every attempt.
pub(super) fn read(path: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<Entry>> {
    let link = || fs::read_link(path.join(DATA)).ok();
    for _ in 0..ATTEMPTS {
        let before = link();
        let base = match &before {
            Some(target) => path.join(target),
            None => path.to_owned(),
        };
        let entries = read_all(&base, &wanted);
        // The kubelet removes the old directory only after the swap: an unchanged link proves
        // that nothing was taken away while it was read.
        if link() == before {
            return entries;
        }
    }
    Err(io::Error::other(
        "it was replaced during every attempt to read it",
    ))
}

fn read_all(base: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(base)? {
        let file_name = entry?.file_name();
        let Some(name) = file_name.to_str().filter(|name| wanted(name)) else {
            continue;
        };
        if let Some(content) = read_file(&base.join(name)).transpose() {
            entries.push(Entry {
                name: name.to_owned(),
                content,
            });
        }
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// `None` for what is no regular file, or vanished after it was listed.
fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let too_large = || {
        let limit = MAX_FILE / 1024 / 1024;
        let reason = format!("the file is larger than {limit} MiB");
        io::Error::new(io::ErrorKind::FileTooLarge, reason)
    };
    let read = || {
        // Before opening: to open a FIFO would block.
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Ok(None);
        }
        if metadata.len() > MAX_FILE {
            return Err(too_large());
        }
        // It may grow meanwhile.
        let mut content = Vec::new();
        File::open(path)?
            .take(MAX_FILE + 1)
            .read_to_end(&mut content)?;
        if content.len() as u64 > MAX_FILE {
            return Err(too_large());
        }
        Ok(Some(content))
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other,
    }
}

/// `path` as it is shown in status and logs: the directory joined with a file's name.
pub(super) fn display(directory: &Path, name: impl AsRef<OsStr>) -> String {
    PathBuf::from(directory)
        .join(name.as_ref())
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_regular_files_through_symlinks_sorted() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("b"), "2").unwrap();
        fs::write(dir.path().join("a"), "1").unwrap();
        fs::write(dir.path().join("unwanted"), "3").unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("gone", dir.path().join("dangling")).unwrap();
        let entries = read(dir.path(), |name| name != "unwanted").unwrap();
        let seen: Vec<_> = entries
            .iter()
            .map(|e| (e.name.as_str(), e.content.as_deref().unwrap()))
            .collect();
        assert_eq!(seen, [("a", &b"1"[..]), ("b", b"2"), ("link", b"1")]);
    }

    #[test]
    fn refuses_a_file_over_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("large")).unwrap();
        file.set_len(MAX_FILE).unwrap();
        assert!(read(dir.path(), |_| true).unwrap()[0].content.is_ok());
        file.set_len(MAX_FILE + 1).unwrap();
        let refused = &read(dir.path(), |_| true).unwrap()[0];
        assert_eq!(
            refused.content.as_ref().unwrap_err().to_string(),
            "the file is larger than 16 MiB"
        );
    }

    #[test]
    fn prefers_the_directory_that_data_points_to() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("..1")).unwrap();
        fs::write(dir.path().join("..1/key"), "new").unwrap();
        fs::write(dir.path().join("stray"), "x").unwrap();
        std::os::unix::fs::symlink("..1", dir.path().join(DATA)).unwrap();
        let entries = read(dir.path(), |name| !name.starts_with("..")).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].name, "key");
    }
}
