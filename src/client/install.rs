//! `attache install`: a container image without a shell has no cp.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::Failure;

/// The running binary, even after its file was replaced.
const OWN_BINARY: &str = "/proc/self/exe";

/// Copies this binary to `attache` in `dir`, readable and executable for everyone; a file of that
/// name is replaced at once, never seen half-written. Creates nothing else.
///
/// # Errors
/// `dir` is not a directory, or cannot be written to.
pub fn install(dir: &Path) -> Result<(), Failure> {
    copy(Path::new(OWN_BINARY), dir)
}

fn copy(binary: &Path, dir: &Path) -> Result<(), Failure> {
    let target = dir.join("attache");
    // Beside the target: a rename is atomic within one file system only.
    let temporary = dir.join(format!(".attache.{}", std::process::id()));
    let mut from = File::open(binary).map_err(|error| failure("read", binary, error))?;
    if !dir.is_dir() {
        let error =
            io::Error::other("not a directory that exists; create it or mount a volume there");
        return Err(failure("install into", dir, error));
    }
    let written = write(&mut from, &temporary)
        .map_err(|error| failure("write", &temporary, error))
        .and_then(|()| {
            fs::rename(&temporary, &target).map_err(|error| failure("write", &target, error))
        });
    if written.is_err() {
        // Best effort: the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write(from: &mut File, temporary: &Path) -> io::Result<()> {
    // What an interrupted run left, or a link that would lead the write elsewhere. Where there is
    // neither the removal fails, which is as good.
    let _ = fs::remove_file(temporary);
    let mut options = OpenOptions::new();
    let mut to = options
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(temporary)?;
    io::copy(from, &mut to)?;
    // Whatever the umask is: another container may run it as another user.
    to.set_permissions(Permissions::from_mode(0o755))?;
    to.sync_all()
}

fn failure(doing: &str, path: &Path, error: io::Error) -> Failure {
    Failure::Install {
        doing: format!("{doing} {}", path.display()),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_replaces_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let binary = dir.path().join("binary");
        let into = dir.path().join("into");
        fs::create_dir(&into).unwrap();
        fs::write(&binary, "one").unwrap();
        copy(&binary, &into).unwrap();
        fs::write(&binary, "two").unwrap();
        copy(&binary, &into).unwrap();
        let target = into.join("attache");
        assert_eq!(fs::read(&target).unwrap(), b"two");
        assert_eq!(
            fs::metadata(&target).unwrap().permissions().mode() & 0o777,
            0o755
        );
        assert_eq!(fs::read_dir(&into).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_in_the_way_is_an_error_that_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let binary = dir.path().join("binary");
        fs::write(&binary, "one").unwrap();
        assert!(copy(&binary, &dir.path().join("none")).is_err());
        assert!(copy(&binary, &binary).is_err());
        fs::create_dir(dir.path().join("attache")).unwrap();
        assert!(copy(&binary, dir.path()).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
