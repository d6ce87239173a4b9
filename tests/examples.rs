//! The examples that need no cluster: their programs, unchanged, beside the real binary, which reads
//! the examples' manifests from a directory instead of an API server.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here fails the test that asked"
)]

mod support;

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Signal, WaitId, WaitIdOptions, kill_process, waitid};
use support::program::Following;
use support::{eventually, http};
use tempfile::TempDir;

/// How long anything may take that is waited for. Machines that run tests are slow.
const LIMIT: Duration = Duration::from_secs(60);

fn example(path: &str) -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let path = examples.join(path);
    assert!(path.exists(), "{}", path.display());
    path
}

/// The manifests of an example, in a directory that a test may write to.
struct Manifests(TempDir);

impl Manifests {
    fn of(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut copied = 0;
        for entry in fs::read_dir(example(name)).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
                copied += 1;
            }
        }
        assert!(copied > 0, "no manifests in {name}");
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Replaces what stands once in a file, as an editor does: by a rename.
    fn replace(&self, file: &str, old: &str, new: &str) {
        let path = self.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(old).count(), 1, "{old:?} in {file}");
        let temporary = self.path().join(".new");
        fs::write(&temporary, text.replace(old, new)).unwrap();
        fs::rename(temporary, path).unwrap();
    }
}

/// `attache` as a process; on drop it is asked to end, so that its child ends, too.
struct Attache(Following);

impl Attache {
    fn start(command: &str, manifests: &Manifests, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut attache = Command::new(env!("CARGO_BIN_EXE_attache"));
        attache.args([command, "--dir"]).arg(manifests.path());
        attache.args(args).envs(env.iter().copied());
        Self(Following::start(attache))
    }
}

impl Deref for Attache {
    type Target = Following;

    fn deref(&self) -> &Following {
        &self.0
    }
}

impl DerefMut for Attache {
    fn deref_mut(&mut self) -> &mut Following {
        &mut self.0
    }
}

impl Drop for Attache {
    fn drop(&mut self) {
        let pid = self.0.pid();
        if kill_process(pid, Signal::TERM).is_ok() {
            // Left to be reaped by whoever started it.
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let _ = waitid(WaitId::Pid(pid), ended);
        }
    }
}

fn python(program: &str, env: &[(&str, &str)]) -> Following {
    let mut python = Command::new("python3");
    python.arg(example(program)).envs(env.iter().copied());
    Following::start(python)
}

/// The URL that a program's next line on stdout tells.
async fn listening(program: &mut Following) -> String {
    let line = program.line().await;
    let port = line.strip_prefix("listening on ");
    let port: u16 = port
        .and_then(|port| port.parse().ok())
        .unwrap_or_else(|| panic!("no port in {line:?}"));
    format!("http://127.0.0.1:{port}")
}

/// The status and the body.
async fn get(url: &str) -> (u16, String) {
    let answer = http::get(url, &[]).await.unwrap();
    let body = String::from_utf8(answer.body().to_vec()).unwrap();
    (answer.status().as_u16(), body)
}

async fn put(url: &str, body: &'static str) {
    let request = ::http::Request::put(url).body(Bytes::from_static(body.as_bytes()));
    let answer = http::send(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), 204);
}

/// Two storages, and what the ConfigMap says by default.
struct Storages {
    one: String,
    two: String,
    _running: [Following; 2],
}

const IN_SVC: &str = "http://in-svc:5000";

impl Storages {
    async fn start() -> Self {
        let start = |name| python("two-tier/storage.py", &[("NAME", name), ("PORT", "0")]);
        let mut running = [start("one"), start("two")];
        Self {
            one: listening(&mut running[0]).await,
            two: listening(&mut running[1]).await,
            _running: running,
        }
    }
}

#[tokio::test]
#[ignore = "needs Node.js, which scripts/client-libraries installs"]
async fn the_page_shows_the_new_environment_without_a_new_deployment() {
    let manifests = Manifests::of("env-from");
    let server = example("env-from/server.js");
    let args = [
        "--env-from",
        "web-configmap",
        "--",
        "node",
        server.to_str().unwrap(),
    ];
    let mut web = Attache::start("exec", &manifests, &args, &[("PORT", "0")]);
    let url = listening(&mut web).await;
    let page = "MY_NON_SECRET: foo\nMY_OTHER_NON_SECRET: bar\n".to_owned();
    assert_eq!(get(&url).await, (200, page));

    manifests.replace(
        "web-configmap.yaml",
        "MY_NON_SECRET: foo",
        "MY_NON_SECRET: new",
    );
    // The next server says so only after the first one has ended.
    let url = listening(&mut web).await;
    let page = "MY_NON_SECRET: new\nMY_OTHER_NON_SECRET: bar\n".to_owned();
    assert_eq!(get(&url).await, (200, page));
}

#[tokio::test]
async fn an_app_started_by_attache_moves_to_another_storage() {
    let storages = Storages::start().await;
    let manifests = Manifests::of("two-tier");
    manifests.replace("config.yaml", IN_SVC, &storages.one);
    let program = example("two-tier/app.py");
    let args = [
        "--env-from",
        "app",
        "--",
        "python3",
        program.to_str().unwrap(),
    ];
    let mut app = Attache::start("exec", &manifests, &args, &[("PORT", "0")]);
    let url = listening(&mut app).await;
    assert_eq!(get(&url).await, (200, format!("{} one", storages.one)));
    put(&format!("{url}/items/color"), "blue").await;
    assert_eq!(
        get(&format!("{}/items/color", storages.one)).await,
        (200, "blue".to_owned())
    );

    manifests.replace("config.yaml", &storages.one, &storages.two);
    let url = listening(&mut app).await;
    assert_eq!(get(&url).await, (200, format!("{} two", storages.two)));
    assert_eq!(get(&format!("{url}/items/color")).await.0, 404);
}

#[tokio::test]
async fn an_app_that_reads_per_request_moves_without_a_restart() {
    let storages = Storages::start().await;
    let manifests = Manifests::of("two-tier");
    manifests.replace("config.yaml", IN_SVC, &storages.one);
    let flags = ["--port=0", "--configmap=app", "--no-on-demand"];
    let mut sidecar = Attache::start("run", &manifests, &flags, &[]);
    let line = sidecar.line().await;
    let address = line.strip_prefix("Starting to serve on ").unwrap();
    let key = format!("http://{address}/kv/default/app/STO_API");
    eventually("ready", LIMIT, async || {
        get(&format!("http://{address}/-/ready")).await.0 == 200
    })
    .await;

    let mut app = python("two-tier/app.py", &[("STO_API_URL", &key), ("PORT", "0")]);
    let url = listening(&mut app).await;
    assert_eq!(get(&url).await, (200, format!("{} one", storages.one)));
    manifests.replace("config.yaml", &storages.one, &storages.two);
    eventually("the app uses the other storage", LIMIT, async || {
        get(&url).await == (200, format!("{} two", storages.two))
    })
    .await;
}

#[tokio::test]
async fn an_app_gets_secrets_in_its_environment_and_new_ones_when_they_change() {
    let mut github = python(
        "workshop/github.py",
        &[("CLIENT", "workshop:the-one"), ("PORT", "0")],
    );
    let github_api = listening(&mut github).await;
    let manifests = Manifests::of("workshop");
    let replace = |old: &str, new: &str| manifests.replace("config.yaml", old, new);
    replace("http://github:8001", &github_api);
    replace("\"8000\"", "\"0\"");
    replace("0.0.0.0", "127.0.0.1");
    let program = example("workshop/api.py");
    let args = [
        "--env-from",
        "trending",
        "--secret-env-from",
        "trending",
        "--",
        "python3",
        program.to_str().unwrap(),
    ];
    let mut api = Attache::start("exec", &manifests, &args, &[]);
    let url = listening(&mut api).await;
    let refused = "{\"error\": \"HTTP Error 401: Unauthorized\"}".to_owned();
    assert_eq!(get(&url).await, (502, refused));

    replace("not-the-one", "the-one");
    let url = listening(&mut api).await;
    let found = "{\"repositories\": [\"kubernetes/kubernetes\", \"etcd-io/etcd\"]}".to_owned();
    assert_eq!(get(&url).await, (200, found));

    replace("DEBUG: \"true\"", "DEBUG: \"false\"");
    let _ = listening(&mut api).await;
    replace("the-one", "not-the-one");
    let url = listening(&mut api).await;
    let refused = "{\"error\": \"GitHub gave no answer\"}".to_owned();
    assert_eq!(get(&url).await, (502, refused));
}

/// A program of `examples/clients` beside attache: it reads, waits for the next value, and follows.
async fn reads_waits_and_follows(mut client: Command) {
    let manifests = Manifests::of("hello");
    let mut attache = Attache::start("run", &manifests, &["--port=0"], &[]);
    let line = attache.line().await;
    let address = line.strip_prefix("Starting to serve on ").unwrap();
    eventually("ready", LIMIT, async || {
        get(&format!("http://{address}/-/ready")).await.0 == 200
    })
    .await;
    client.arg(format!("http://{address}/kv/default/hello/GREETING"));
    let mut client = Following::start(client);
    assert_eq!(client.line().await, "read Hello from a file");

    manifests.replace("hello.yaml", "Hello from", "Good evening from");
    assert_eq!(client.line().await, "changed Good evening from a file");

    let followed = async |client: &mut Following, value: &str| {
        let data = loop {
            let line = client.line().await;
            // Some print the stream as it is, some what it says.
            let told = line.strip_prefix("event ").or(line.strip_prefix("data: "));
            if let Some(data) = told {
                break serde_json::from_str::<serde_json::Value>(data).unwrap();
            }
        };
        assert_eq!(
            (&data["key"], &data["value"]),
            (&"GREETING".into(), &value.into())
        );
    };
    followed(&mut client, "Good evening from a file").await;
    manifests.replace("hello.yaml", "Good evening from", "Good night from");
    followed(&mut client, "Good night from a file").await;
}

/// A program of `examples/clients` whose key does not exist: it shows no error as if it were the value.
fn does_not_take_an_error_for_a_value(mut client: Command, address: &str) {
    client.arg(format!("http://{address}/kv/default/hello/NOPE"));
    let output = client.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success(), "{printed}");
    assert_eq!(printed, "", "{client:?}");
}

#[tokio::test]
async fn programs_end_where_there_is_nothing_to_read() {
    let manifests = Manifests::of("hello");
    let mut attache = Attache::start("run", &manifests, &["--port=0"], &[]);
    let line = attache.line().await;
    let address = line.strip_prefix("Starting to serve on ").unwrap();
    does_not_take_an_error_for_a_value(client(&["sh"], "clients/client.sh"), address);
    does_not_take_an_error_for_a_value(client(&["python3"], "clients/client.py"), address);
}

/// The example for that interpreter, or `go run`.
fn client(runtime: &[&str], program: &str) -> Command {
    let mut command = Command::new(runtime[0]);
    command.args(&runtime[1..]).arg(example(program));
    command
}

#[tokio::test]
async fn a_shell_script_reads_waits_and_follows() {
    reads_waits_and_follows(client(&["sh"], "clients/client.sh")).await;
}

#[tokio::test]
async fn a_python_program_reads_waits_and_follows() {
    reads_waits_and_follows(client(&["python3"], "clients/client.py")).await;
}

#[tokio::test]
#[ignore = "needs Node.js, which scripts/client-libraries installs"]
async fn a_node_program_reads_waits_and_follows() {
    reads_waits_and_follows(client(&["node"], "clients/client.mjs")).await;
}

#[tokio::test]
#[ignore = "needs Go, which scripts/client-libraries installs"]
async fn a_go_program_reads_waits_and_follows() {
    reads_waits_and_follows(client(&["go", "run"], "clients/client.go")).await;
}

#[test]
fn the_clients_are_under_25_lines() {
    let mut seen = 0;
    for entry in fs::read_dir(example("clients")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().map(str::trim);
        let comments = ["//", "#", "\"\"\""];
        let code = lines.filter(|l| !l.is_empty() && !comments.iter().any(|c| l.starts_with(c)));
        assert!(code.count() < 25, "{}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 4);
}
