//! The real binary as a process: what signals do to it under load, and its client commands against
//! it while it runs.

// Helpers fail loudly too: in a test a panic is the report.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "process/commands.rs"]
mod commands;
#[path = "process/neighbours.rs"]
mod neighbours;
#[path = "process/orphans.rs"]
mod orphans;
#[path = "process/rules.rs"]
mod rules;
mod support;

use std::fs;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take that is waited for. Machines that run tests are slow.
const LIMIT: Duration = Duration::from_secs(30);
/// How long the documented end may take.
const END: Duration = Duration::from_secs(5);

const KEY: &str = "/kv/default/hello/GREETING";
const GREETING: &[u8] = b"Hello from a file";

/// `attache run` as a process of its own; killed with the test.
struct Sidecar {
    pid: Pid,
    port: u16,
    ended: mpsc::Receiver<Option<i32>>,
    code: Option<Option<i32>>,
}

/// The example of the README in a directory that a test may write to.
fn example() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let hello = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/hello/hello.yaml");
    fs::copy(hello, dir.path().join("hello.yaml")).unwrap();
    dir
}

fn attache(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attache"));
    command.args(args).env_clear();
    command
}

fn output(mut command: Command) -> (i32, Vec<u8>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    (status.code().unwrap(), stdout, stderr)
}

/// Waits until `condition` holds.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        thread::yield_now();
    }
}

impl Sidecar {
    /// Serves `dir` on a free port, ready.
    fn start(dir: &Path, flags: &[&str]) -> Self {
        let sidecar = Self::spawn(dir, flags);
        eventually("ready", || sidecar.get("/-/ready").0 == 200);
        sidecar
    }

    fn spawn(dir: &Path, flags: &[&str]) -> Self {
        let dir = dir.to_str().unwrap();
        let mut command = attache(&["run", "--dir", dir, "--port", "0"]);
        command.args(flags).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let pid = Pid::from_child(&child);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, ended) = mpsc::channel();
        thread::spawn(move || tell.send(child.wait().unwrap().code()));
        let mut sidecar = Self {
            pid,
            port: 0,
            ended,
            code: None,
        };
        let mut log = String::new();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            log.push_str(&line);
            let (_, rest) = line.split_once("addresses=[127.0.0.1:")?;
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok()
        });
        sidecar.port = port.unwrap_or_else(|| panic!("it says where it listens: {log}"));
        // A full pipe would stop it.
        thread::spawn(move || lines.for_each(drop));
        sidecar
    }

    fn connect(&self) -> Client {
        Client::connect(self.port).unwrap()
    }

    /// One request on a connection of its own.
    fn get(&self, path: &str) -> (u16, Vec<u8>) {
        match self.connect().get(path) {
            Ok(Some(answer)) => (answer.status, answer.body),
            other => panic!("GET {path}: no answer but {other:?}"),
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Waits for its end; the exit code.
    fn end(&mut self) -> Option<i32> {
        let code = self.ended.recv_timeout(END);
        let code = code.unwrap_or_else(|_| panic!("it does not end within {END:?}"));
        *self.code.insert(code)
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // Once it has been waited for, its PID may be another's.
        if self.code.is_none() && self.ended.try_recv().is_err() {
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }
}

/// An HTTP/1.1 connection that is kept alive.
struct Client {
    stream: BufReader<TcpStream>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    /// The server ends the connection after this answer.
    last: bool,
    body: Vec<u8>,
}

impl Client {
    fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(LIMIT))?;
        let stream = BufReader::new(stream);
        Ok(Self { stream })
    }

    /// The answer; `None` if the server closed the connection in order before any of it.
    fn get(&mut self, path: &str) -> io::Result<Option<Answer>> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        match self.stream.get_mut().write_all(request.as_bytes()) {
            // It was closed before the request came.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(None),
            written => written?,
        }
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let broken = || io::Error::new(ErrorKind::InvalidData, "half an answer");
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let (mut length, mut last) = (None, false);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            match line.trim_end_matches("\r\n").split_once(": ") {
                Some(("content-length", value)) => length = value.parse().ok(),
                Some(("connection", "close")) => last = true,
                Some(_) => {}
                None if line == "\r\n" => break,
                None => return Err(broken()),
            }
        }
        let mut body = vec![0; length.ok_or_else(broken)?];
        self.stream.read_exact(&mut body)?;
        let status = status.ok_or_else(broken)?;
        Ok(Some(Answer { status, last, body }))
    }
}

/// A client that reads one key after another until the server says that it ends.
fn reader(mut client: Client, answers: Arc<AtomicUsize>) -> JoinHandle<io::Result<()>> {
    thread::spawn(move || {
        while let Some(answer) = client.get(KEY)? {
            assert_eq!((answer.status, &*answer.body), (200, GREETING));
            answers.fetch_add(1, Ordering::Relaxed);
            if answer.last {
                break;
            }
        }
        Ok(())
    })
}

#[test]
fn sigterm_under_load_fails_no_request() {
    let dir = example();
    let mut sidecar = Sidecar::start(dir.path(), &[]);
    let answers = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..16)
        .map(|_| reader(sidecar.connect(), Arc::clone(&answers)))
        .collect();
    eventually("load", || answers.load(Ordering::Relaxed) >= 1000);
    let before = answers.load(Ordering::Relaxed);
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.end(), Some(0));
    for reader in readers {
        // A reset or half an answer is an error here.
        reader.join().unwrap().unwrap();
    }
    assert!(answers.load(Ordering::Relaxed) > before);
    let gone = Client::connect(sidecar.port).err().unwrap();
    assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn it_serves_unready_for_the_delay_which_a_second_signal_ends() {
    let dir = example();
    let mut sidecar = Sidecar::start(dir.path(), &["--shutdown-delay", "60s"]);
    sidecar.signal(Signal::TERM);
    eventually("unready", || sidecar.get("/-/ready").0 == 503);
    assert_eq!(sidecar.get(KEY), (200, GREETING.to_vec()));
    assert_eq!(sidecar.get("/-/live").0, 200);
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.end(), Some(0));
}

#[test]
fn the_delay_ends_by_itself() {
    let dir = example();
    let mut sidecar = Sidecar::start(dir.path(), &["--shutdown-delay", "1s"]);
    sidecar.signal(Signal::INT);
    eventually("unready", || sidecar.get("/-/ready").0 == 503);
    assert_eq!(sidecar.get(KEY), (200, GREETING.to_vec()));
    assert_eq!(sidecar.end(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let dir = example();
    let sidecar = Sidecar::start(dir.path(), &[]);
    let (path, port) = (dir.path().to_str().unwrap(), sidecar.port.to_string());
    let (code, stdout, stderr) = output(attache(&["run", "--dir", path, "--port", &port]));
    assert_eq!((code, &*stdout), (1, &b""[..]));
    let expected = format!("127.0.0.1:{port}");
    assert!(stderr.contains(&expected), "{stderr}");
    assert_eq!(sidecar.get(KEY).0, 200, "the first one serves on");
}

#[test]
fn the_commands_ask_the_sidecar_that_runs() {
    let dir = example();
    let binary =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bin}\nbinaryData: {raw: AP8NCg==}\n";
    fs::write(dir.path().join("bin.yaml"), binary).unwrap();
    let mut sidecar = Sidecar::start(dir.path(), &[]);
    let port = sidecar.port.to_string();
    let ask = |args: &[&str]| output(attache(&[args, &["--port", &port]].concat()));
    let done = |bytes: &[u8]| (0, bytes.to_vec(), String::new());
    assert_eq!(ask(&["get", "hello", "GREETING"]), done(GREETING));
    assert_eq!(ask(&["get", "default/bin", "raw"]), done(b"\x00\xff\r\n"));
    let (code, json, _) = ask(&["get", "hello"]);
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((code, &json["GREETING"]), (0, &"Hello from a file".into()));
    let (code, stdout, stderr) = ask(&["get", "hello", "none"]);
    assert_eq!((code, &*stdout), (1, &b""[..]));
    assert!(stderr.contains("no key none"), "{stderr}");
    for probe in ["--ready", "--live"] {
        assert_eq!(ask(&["healthcheck", probe]).0, 0, "{probe}");
    }
    // The installed copy is the same program.
    let installed = tempfile::tempdir().unwrap();
    let path = installed.path().to_str().unwrap();
    assert_eq!(output(attache(&["install", path])), done(b""));
    let copy: PathBuf = installed.path().join("attache");
    let mut command = Command::new(&copy);
    command
        .args(["get", "hello", "GREETING", "--port", &port])
        .env_clear();
    assert_eq!(output(command), done(GREETING));
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.end(), Some(0));
    assert_eq!(ask(&["get", "hello", "GREETING"]).0, 2);
    assert_eq!(ask(&["healthcheck"]).0, 1);
}

#[test]
fn a_mount_that_is_not_there_yet_is_waited_for_by_name() {
    let (dir, volumes) = (example(), tempfile::tempdir().unwrap());
    let volume = volumes.path().join("web");
    let mount = format!("web={}", volume.display());
    let sidecar = Sidecar::spawn(dir.path(), &["--mount", &mount]);
    let pending = format!("mount {} of ConfigMap default/web", volume.display());
    let waiting = serde_json::json!({"ready": false, "pending": [pending]});
    eventually("nothing else pending", || {
        let (status, body) = sidecar.get("/-/ready");
        assert_eq!(status, 503);
        serde_json::from_slice::<serde_json::Value>(&body).unwrap() == waiting
    });
    fs::create_dir(&volume).unwrap();
    eventually("ready", || sidecar.get("/-/ready").0 == 200);
    assert_eq!(sidecar.get("/kv/default/web"), (200, b"{}\n".to_vec()));
}

/// The commands and the output of the README's first section.
#[test]
fn the_example_does_as_the_readme_says() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, console) = readme.split_once("```console\n").unwrap();
    let (console, _) = console.split_once("```").unwrap();
    let sed = console.lines().find_map(|l| l.strip_prefix("$ sed -i '"));
    let (edit, file) = sed.and_then(|sed| sed.rsplit_once("' ")).unwrap();
    assert_eq!(file, "examples/hello/hello.yaml");
    let answers: Vec<&str> = console.lines().filter(|l| !l.starts_with('$')).collect();
    let [before, after, json] = answers[..] else {
        panic!("{answers:?}")
    };
    let dir = example();
    let sidecar = Sidecar::start(dir.path(), &[]);
    assert_eq!(sidecar.get(KEY), (200, before.into()));
    // It renames a new file over the old one.
    let mut sed = Command::new("sed");
    sed.args(["-i", edit]).arg(dir.path().join("hello.yaml"));
    assert!(sed.status().unwrap().success());
    eventually("the change", || sidecar.get(KEY) == (200, after.into()));
    assert_eq!(
        sidecar.get("/kv/default/hello"),
        (200, format!("{json}\n").into())
    );
}
