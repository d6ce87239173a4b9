//! Manifests that change, and the binary with a command.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take that is waited for. Machines that run tests are slow.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// A directory of manifests, and one for what commands write.
pub struct World {
    dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("manifests")).unwrap();
        Self { dir }
    }

    pub fn manifests(&self) -> PathBuf {
        self.dir.path().join("manifests")
    }

    /// A file for the command to write.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What a command wrote, by line.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.file(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub fn config_map(&self, name: &str, data: &[(&str, &str)]) {
        self.annotated(name, "", data);
    }

    /// A ConfigMap with these fields of its metadata, in YAML's flow style.
    pub fn annotated(&self, name: &str, metadata: &str, data: &[(&str, &str)]) {
        let data: Vec<String> = data
            .iter()
            .map(|(key, value)| format!("  {key}: {}\n", serde_json::json!(value)))
            .collect();
        let data = data.concat();
        let data = if data.is_empty() {
            " {}\n".to_owned()
        } else {
            format!("\n{data}")
        };
        self.write(
            &format!("{name}.yaml"),
            &format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}{metadata}}}\ndata:{data}"
            ),
        );
    }

    /// Replaces a manifest at once.
    pub fn write(&self, file: &str, text: &str) {
        let new = self.file("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.manifests().join(file)).unwrap();
    }

    /// `attache exec` with these flags and this command, in an environment with a PATH alone.
    pub fn exec(&self, flags: &[&str], command: &[&str]) -> Command {
        // A shell's background job, such as these tests may run in, ignores INT and QUIT.
        let mut attache = Command::new("env");
        attache.args(["--default-signal", env!("CARGO_BIN_EXE_attache")]);
        attache.arg("exec").arg("--dir").arg(self.manifests());
        attache.args(["--settle", "0s", "--min-interval", "0s"]);
        attache.args(flags).arg("--").args(command);
        attache.env_clear();
        for name in ["PATH", "HOME"] {
            if let Some(value) = std::env::var_os(name) {
                attache.env(name, value);
            }
        }
        attache.env("DIR", self.dir.path());
        attache
    }

    pub fn run(&self, flags: &[&str], script: &str) -> Run {
        Run::start(self.exec(flags, &["bash", "-c", script]))
    }
}

/// The exit code and the output of a program that ends by itself.
pub fn output(mut command: Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let code = status.code();
    let (stdout, stderr) = (text(stdout), text(stderr));
    let code = code.unwrap_or_else(|| panic!("{status}: {stderr}"));
    (code, stdout, stderr)
}

/// A running attache; killed with the test, and its command with it.
pub struct Run {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    logging: Option<JoinHandle<()>>,
}

impl Run {
    /// Its stdin is a pipe that stays open, for commands that wait.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&log);
        let logging = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                into.lock().unwrap().push(line);
            }
        });
        Self {
            child,
            log,
            logging: Some(logging),
        }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// How many lines of the log hold `text`.
    pub fn logged(&self, text: &str) -> usize {
        let log = self.log.lock().unwrap();
        log.iter().filter(|line| line.contains(text)).count()
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub fn wait_for_log(&self, text: &str) {
        let logged = || self.logged(text) > 0;
        let start = Instant::now();
        while !logged() {
            let log = self.log();
            assert!(start.elapsed() < LIMIT, "no {text:?} in the log:\n{log}");
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; the exit code.
    pub fn end(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            let log = self.log();
            assert!(start.elapsed() < LIMIT, "it does not end:\n{log}");
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Asks it to stop and waits for its end; the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.end()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            // It takes its command along, which a KILL would leave behind.
            let _ = kill_process(self.pid(), Signal::TERM);
            let _ = kill_process(self.pid(), Signal::TERM);
            let _ = self.child.wait();
        }
        drop(self.child.stdin.take());
        if let Some(logging) = self.logging.take() {
            // A process that the command left behind may hold the pipe.
            drop(logging);
        }
    }
}

/// Whether a process of that number exists, a zombie or not.
pub fn exists(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}
