//! A process to be signalled.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A shell that adds a line to a file for each SIGHUP; killed with the test.
pub struct Child {
    child: std::process::Child,
    pidfile: PathBuf,
    hups: PathBuf,
    _dir: TempDir,
}

impl Child {
    pub fn counting_hups() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (pidfile, hups) = (dir.path().join("pid"), dir.path().join("hups"));
        std::fs::write(&hups, "").expect("a file");
        // `read` on a pipe that never ends waits without a child process, and HUP interrupts it; it is
        // left now and then, for bash puts off a trap that came just before it.
        let script = format!(
            "trap 'echo hup >> {}' HUP; echo $$ > {}; while :; do read -t 0.2 x; done",
            hups.display(),
            pidfile.display()
        );
        // bash cannot trap what was ignored when it started.
        let child = Command::new("env")
            .args(["--default-signal", "bash", "-c", &script])
            .stdin(Stdio::piped())
            .spawn()
            .expect("bash starts");
        while std::fs::read_to_string(&pidfile)
            .unwrap_or_default()
            .trim()
            .is_empty()
        {
            std::thread::yield_now();
        }
        Self {
            child,
            pidfile,
            hups,
            _dir: dir,
        }
    }

    pub fn pidfile(&self) -> &Path {
        &self.pidfile
    }

    /// How many it got so far.
    pub fn hups(&mut self) -> usize {
        std::fs::read_to_string(&self.hups)
            .expect("a file")
            .lines()
            .count()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
