//! Proxies as processes of their own: `attache proxy`, `attache run`, and the real `kubectl proxy`.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

/// How long a proxy may take to listen on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A running proxy on a free port; killed when dropped.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    command: String,
    /// What it has printed to stderr so far.
    stderr: Arc<Mutex<String>>,
    address: SocketAddr,
}

impl Proxy {
    /// `attache proxy --port=0` with these flags.
    pub async fn attache(kubeconfig: &Path, flags: &[&str]) -> Self {
        Self::start(attache("proxy", kubeconfig, flags)).await
    }

    /// `attache run --port=0` with these flags.
    pub async fn attache_run(kubeconfig: &Path, flags: &[&str]) -> Self {
        Self::start(attache("run", kubeconfig, flags)).await
    }

    /// `kubectl proxy --port=0` with these flags; `kubectl` is one of [`kubectls`].
    pub async fn kubectl(kubectl: &Path, kubeconfig: &Path, flags: &[&str]) -> Self {
        let mut command = Command::new(kubectl);
        command
            .args(["proxy", "--port=0", "--kubeconfig"])
            .arg(kubeconfig)
            .args(flags);
        Self::start(command).await
    }

    /// Starts it and waits for the first line on stdout, `Starting to serve on ADDRESS`.
    pub async fn start(mut command: Command) -> Self {
        let name = format!("{command:?}");
        let mut child = command
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let stderr = keep(child.stderr.take().expect("a pipe"));
        let line = first_line(child.stdout.take().expect("a pipe"));
        let line = match tokio::time::timeout(START, line).await {
            Ok(line) => line.unwrap_or_default(),
            Err(_) => "(nothing)".to_owned(),
        };
        let address = line.strip_prefix("Starting to serve on ");
        let Some(address) = address.and_then(|address| address.parse().ok()) else {
            let _ = child.kill();
            let status = child.wait();
            let stderr = stderr.lock().expect("no panic").clone();
            panic!("{name} does not serve ({status:?}); stdout: {line}; stderr:\n{stderr}");
        };
        Self {
            child,
            command: name,
            stderr,
            address,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path that begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// What it has printed to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().expect("no panic").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- {}\n{}", self.command, self.stderr());
        }
    }
}

/// `attache JOB --port=0` with these flags, for [`Proxy::start`].
pub fn attache(job: &str, kubeconfig: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attache"));
    command
        .args([job, "--port=0", "--kubeconfig"])
        .arg(kubeconfig)
        .args(flags);
    command
}

/// Reads to the end, so that the process never waits for its pipe.
fn keep(mut from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let kept = Arc::<Mutex<String>>::default();
    let keeps = Arc::clone(&kept);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            keeps.lock().expect("no panic").push_str(&text);
        }
    });
    kept
}

/// The first line; whatever follows is read and dropped.
fn first_line(from: impl Read + Send + 'static) -> oneshot::Receiver<String> {
    let (tell, line) = oneshot::channel();
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut first = String::new();
        let _ = from.read_line(&mut first);
        let _ = tell.send(first.trim_end().to_owned());
        let _ = std::io::copy(&mut from, &mut std::io::sink());
    });
    line
}

/// The programs to compare with: `kubectl` of `KUBEBUILDER_ASSETS`, then that of `PATH` if it is
/// of another version. At least one.
pub fn kubectls() -> Vec<PathBuf> {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for program in assets
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|dir| dir.join("kubectl"))
        .filter(|program| program.is_file())
    {
        let version = version(&program);
        if found.iter().all(|(known, _)| *known != version) {
            found.push((version, program));
        }
    }
    assert!(
        !found.is_empty(),
        "no kubectl: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\", or install Debian's kubernetes-client"
    );
    found.into_iter().map(|(_, program)| program).collect()
}

/// Such as `v1.32.4`.
pub fn version(kubectl: &Path) -> String {
    let output = Command::new(kubectl)
        .args(["version", "--client", "--output=json"])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", kubectl.display()));
    let version: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let version = version["clientVersion"]["gitVersion"].as_str();
    version
        .unwrap_or_else(|| panic!("{} tells no version: {output:?}", kubectl.display()))
        .to_owned()
}
