//! Programs that are told of changes in every way there is, and note each time what they read then.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::eventually;

const LIMIT: Duration = Duration::from_secs(60);

/// One that a signal tells, one that a supervisor starts anew whenever it ends, and what a command
/// leaves. Each reads the same files when it is told, and notes their text, all in one line.
/// Killed with the test.
pub struct Audience {
    signalled: Child,
    supervisor: Child,
    dir: TempDir,
    /// What a shell has to do to note it.
    read: String,
}

/// What each was told, in order.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub signalled: Vec<String>,
    pub commanded: Vec<String>,
    /// The start by the test is not among them.
    pub restarted: Vec<String>,
}

impl Told {
    /// All were told the same.
    pub fn all(lines: &[&str]) -> Self {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        Self {
            signalled: lines.clone(),
            commanded: lines.clone(),
            restarted: lines,
        }
    }
}

impl Audience {
    /// Starts the programs, which read `files`: at least one, and they need not be there yet.
    pub async fn start(files: &[&Path]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let files: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
        let read = format!("echo \"$(cat {} 2>/dev/null)\"", files.join(" "));
        let at = |name: &str| dir.path().join(name).display().to_string();
        // `read` on a pipe that never ends waits without a child process.
        let signalled = format!(
            "trap '{read} >> {}' HUP; echo >> {}; while :; do read -r _; done",
            at("signalled"),
            at("listens")
        );
        let restarted = format!("{read} >> {}; while read -r _; do :; done", at("restarted"));
        fs::write(at("signalled.sh"), signalled).expect("a file");
        fs::write(at("restarted.sh"), restarted).expect("a file");
        let supervisor = format!("while :; do bash {}; done", at("restarted.sh"));
        let audience = Self {
            signalled: bash(&[&at("signalled.sh")]),
            supervisor: bash(&["-c", &supervisor]),
            read,
            dir,
        };
        eventually("the programs run", LIMIT, async || {
            audience.lines("listens").len() == 1 && audience.lines("restarted").len() == 1
        })
        .await;
        audience
    }

    /// What the signal, the command and the restart do, in rules that have more fields.
    pub fn rules(&self, fields: &str) -> [String; 3] {
        let at = |name: &str| self.path(name).display().to_string();
        let actions = [
            format!("signal: {{cmdline: \"bash {}\"}}", at("signalled.sh")),
            format!("command: {{shell: '{} >> {}'}}", self.read, at("commanded")),
            format!(
                "restart: {{cmdline: \"bash {}\"}}, splay: 0s, minInterval: 0s",
                at("restarted.sh")
            ),
        ];
        actions.map(|action| format!("{{{action}, {fields}}}"))
    }

    /// A file beside the programs'.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The lines of such a file; none if it is not there.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What was told so far.
    pub fn told(&self) -> Told {
        Told {
            signalled: self.lines("signalled"),
            commanded: self.lines("commanded"),
            restarted: self.lines("restarted").split_off(1),
        }
    }

    /// Waits until each was told as often as in `expected`, and compares.
    pub async fn was_told(&self, expected: &Told) {
        let count = |told: &Told| {
            let lists = [&told.signalled, &told.commanded, &told.restarted];
            lists.map(Vec::len)
        };
        let counts = count(expected);
        eventually(format!("{expected:?}"), LIMIT, async || {
            let now = count(&self.told());
            now.iter()
                .zip(counts)
                .all(|(now, expected)| *now >= expected)
        })
        .await;
        assert_eq!(self.told(), *expected);
    }

    /// Both programs that the test started run on.
    pub fn is_alive(&mut self) -> bool {
        let runs = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        runs(&mut self.signalled) && runs(&mut self.supervisor)
    }
}

impl Drop for Audience {
    fn drop(&mut self) {
        // The supervisor goes first; what it started ends with its input.
        for child in [&mut self.supervisor, &mut self.signalled] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn bash(args: &[&str]) -> Child {
    Command::new("bash")
        .args(args)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("bash starts")
}
