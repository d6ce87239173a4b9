//! Other people's programs, run to their end or followed line by line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// How long a program may take to print what a test waits for.
const LIMIT: Duration = Duration::from_secs(60);

/// What a program that has ended printed.
#[derive(Debug)]
pub struct Finished {
    command: String,
    /// `None`: ended by a signal. 124: it took too long.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Finished {
    /// What it printed on stdout, without the last line's end; panics unless it succeeded.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self}");
        self.text()
    }

    /// What it printed on stdout, without the last line's end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            command,
            code,
            stderr,
            ..
        } = self;
        let stdout = self.text();
        write!(
            f,
            "{command}\nended with {code:?}; stdout:\n{stdout}\nstderr:\n{stderr}"
        )
    }
}

/// Runs a program with this input until it ends.
pub async fn run(command: &Command, stdin: &[u8]) -> Finished {
    let name = format!("{command:?}");
    let mut limited = Command::new("timeout");
    limited
        .arg(LIMIT.as_secs().to_string())
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(key, value),
            None => limited.env_remove(key),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        limited.current_dir(dir);
    }
    let stdin = stdin.to_vec();
    let output = tokio::task::spawn_blocking(move || {
        let mut child = limited.spawn().expect("the program starts");
        let mut input = child.stdin.take().expect("a pipe");
        // A program that does not want its input closes it.
        let input = std::thread::spawn(move || input.write_all(&stdin));
        let output = child.wait_with_output().expect("the program's output");
        let _ = input.join();
        output
    });
    let output = output.await.expect("no panic");
    Finished {
        command: name,
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A running program; killed when dropped. Its stderr is the test's.
#[derive(Debug)]
pub struct Following {
    child: Child,
    command: String,
    stdin: Option<ChildStdin>,
    lines: UnboundedReceiver<String>,
}

impl Following {
    /// Starts it.
    pub fn start(mut command: Command) -> Self {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (tell, lines) = unbounded_channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            command: name,
            lines,
        }
    }

    /// Its process ID.
    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// The next line on stdout.
    pub async fn line(&mut self) -> String {
        match tokio::time::timeout(LIMIT, self.lines.recv()).await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("{} ended", self.command),
            Err(_) => panic!("{} prints nothing", self.command),
        }
    }

    /// Writes a line to its stdin.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        writeln!(stdin, "{line}").expect("the program reads");
    }

    /// Ends its stdin and waits for its end; the exit code.
    pub async fn end(mut self) -> Option<i32> {
        drop(self.stdin.take());
        let deadline =
            tokio::time::timeout(LIMIT, async { while self.lines.recv().await.is_some() {} });
        deadline
            .await
            .unwrap_or_else(|_| panic!("{} does not end", self.command));
        self.child.wait().expect("a child").code()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
