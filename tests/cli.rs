//! The binary from outside: what it prints where, and its exit codes.

// Helpers fail loudly too: in a test a panic is the report.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The binary with these arguments, in an environment of nothing else.
fn attache(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attache"));
    command.args(args).env_clear().env("COLUMNS", "100");
    command
}

fn output(mut command: Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn the_help_is_the_documented_one() {
    for command in [
        "", "run", "exec", "proxy", "check", "watch", "set", "unset", "inject", "uninject",
        "webhook", "doctor",
    ] {
        let args = [command, "--help"];
        let args = if command.is_empty() {
            &args[1..]
        } else {
            &args
        };
        let (code, help, stderr) = output(attache(args));
        assert_eq!((code, stderr.as_str()), (0, ""));
        let snapshots = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots");
        let snapshot = format!("{snapshots}/help-{command}.txt").replace("-.txt", ".txt");
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(&snapshot, &help).unwrap();
        }
        let expected = fs::read_to_string(&snapshot).unwrap();
        assert_eq!(
            help, expected,
            "if the change is meant: UPDATE_SNAPSHOTS=1 cargo test --test cli"
        );
    }
}

#[test]
fn version_and_completions_go_to_stdout() {
    let (code, version, _) = output(attache(&["--version"]));
    assert_eq!(
        (code, version),
        (0, format!("attache {}\n", env!("CARGO_PKG_VERSION")))
    );
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, stderr) = output(attache(&["completions", shell]));
        assert_eq!((code, stderr.as_str()), (0, ""));
        assert!(script.contains("configmap-selector"), "{shell}");
    }
}

#[test]
fn every_fault_has_a_line_and_the_exit_code_is_64() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("attache.yaml");
    fs::write(&file, "listen:\n  prot: 1\nonChange:\n- command: x y\n").unwrap();
    let mut command = attache(&[
        "run",
        "--prot=1",
        "--settle",
        "x",
        "--address",
        "0.0.0.0",
        "--config",
    ]);
    command.arg(&file).env("ATTACHE_MAX_BYTES", "much");
    let (code, stdout, stderr) = output(command);
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(
        (code, stdout.as_str(), lines.len()),
        (64, "", 6),
        "{stderr}"
    );
    assert!(
        lines.iter().all(|line| line.starts_with("attache: ")),
        "{stderr}"
    );
    for says in [
        "'--prot'",
        "ATTACHE_MAX_BYTES",
        "--settle",
        "--allow-non-loopback",
        "did you mean port?",
        "onChange[0].command",
    ] {
        assert_eq!(
            lines.iter().filter(|line| line.contains(says)).count(),
            1,
            "{says}: {stderr}"
        );
    }
}

#[test]
fn writes_that_others_may_make_are_warned_about() {
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = dir.path().join("config");
    let away = r#"{"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": ""}}], "current-context": "c"}"#;
    fs::write(&kubeconfig, away).unwrap();
    for (flags, warned) in [
        (&["--address=0.0.0.0", "--allow-non-loopback"][..], true),
        (&["--address=127.0.0.1"], false),
    ] {
        let mut command = attache(&["run", "--port=0", "--allow-writes", "--kubeconfig"]);
        let stdio = command.arg(&kubeconfig).args(flags).stdin(Stdio::null());
        let mut run = stdio
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Once it serves, all warnings are given.
        let started = run.stdout.take().unwrap().read(&mut [0; 64]).unwrap();
        run.kill().unwrap();
        let told = String::from_utf8(run.wait_with_output().unwrap().stderr).unwrap();
        assert!(started > 0, "{told}");
        let says = "whoever reaches it changes every ConfigMap";
        assert_eq!(told.contains(says), warned, "{told}");
    }
}

#[test]
fn a_command_line_without_sense_is_64_too() {
    for args in [
        &[][..],
        &["rnu"],
        &["get"],
        &["watch"],
        &["watch", "web", "--exec"],
        &["set", "web"],
        &["set", "secret:db", "K=v"],
        &["unset", "web"],
        &["run", "--port"],
        &["install"],
        &["proxy", "pods"],
        &["proxy", "--config", "x"],
        &["proxy", "--server", "https://u:p@h"],
        &["exec"],
        &["exec", "--env-from", "web", "--"],
        &["exec", "--reload=sometimes", "--", "true"],
        &["check", "--state-secrets"],
        &["check", "--", "true"],
    ] {
        let (code, stdout, stderr) = output(attache(args));
        assert_eq!(
            (code, stdout.as_str(), stderr.lines().count()),
            (64, "", 1),
            "{args:?}: {stderr}"
        );
        assert!(stderr.starts_with("attache: "), "{stderr}");
    }
    let mut command = attache(&["run"]);
    command.env("RUST_LOG", "attache=loud");
    let (code, _, stderr) = output(command);
    assert_eq!((code, stderr.lines().count()), (64, 1), "{stderr}");
    assert!(stderr.starts_with("attache: RUST_LOG: "), "{stderr}");
}

#[test]
fn check_prints_rules_that_config_takes_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("attache.yaml");
    let rules =
        "files: [{configMap: web, dir: /a, defaultMode: 0600}]\nonChange: [signal: nginx]\n";
    fs::write(&file, rules).unwrap();
    let check = |path: &std::path::Path| {
        let mut command = attache(&["check", "--settle=2s:3s", "--config"]);
        command.arg(path);
        output(command)
    };
    let (code, printed, stderr) = check(&file);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let expected = "\
files:
- configMap: web
  dir: /a
  defaultMode: 0600
onChange:
- signal:
    process: nginx
    signal: HUP
  settle: 2s:3s
  splay: 0s
  minInterval: 0s
  retries: 4
";
    assert_eq!(printed, expected);
    fs::write(&file, &printed).unwrap();
    assert_eq!(check(&file), (0, printed, String::new()));
    fs::write(&file, "onChange: [restart: pods]").unwrap();
    let (code, stdout, stderr) = check(&file);
    assert_eq!((code, stdout.as_str()), (64, ""));
    assert!(
        stderr.contains("attache.yaml:1: onChange[0].restart: "),
        "{stderr}"
    );
    let (code, nothing, _) = output(attache(&["check"]));
    assert!(code == 0 && nothing.starts_with("# "), "{nothing}");
}

#[test]
fn install_copies_the_binary_and_says_why_it_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let (code, _, stderr) = output(attache(&["install", path]));
    assert_eq!((code, stderr.as_str()), (0, ""));
    let copy = dir.path().join("attache");
    assert_eq!(
        fs::metadata(&copy).unwrap().permissions().mode() & 0o777,
        0o755
    );
    assert_eq!(
        fs::read(&copy).unwrap(),
        fs::read(env!("CARGO_BIN_EXE_attache")).unwrap()
    );
    let version = Command::new(&copy).arg("--version").output().unwrap();
    assert!(version.status.success());
    let (code, _, stderr) = output(attache(&["install", "/does/not/exist"]));
    assert_eq!(code, 1);
    assert!(
        stderr.contains("/does/not/exist") && stderr.contains("create it"),
        "{stderr}"
    );
}

/// A sidecar for one request; returns what it was asked.
fn sidecar(status: &'static str, body: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        String::from_utf8(head).unwrap()
    });
    (port, serving)
}

#[test]
fn get_prints_the_raw_value() {
    let (port, serving) = sidecar("200 OK", "hello");
    let (code, stdout, stderr) = output(attache(&["get", "default/web", "GREETING", "-p", &port]));
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "hello", ""));
    assert!(
        serving
            .join()
            .unwrap()
            .starts_with("GET /kv/default/web/GREETING HTTP/1.1")
    );
}

/// `attache` with a standard output that nobody reads.
fn unread(args: &[&str]) -> (i32, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = attache(args);
    command.stdin(Stdio::null()).stdout(writer);
    let (code, _, stderr) = output(command);
    (code, stderr)
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let pod = tempfile::NamedTempFile::new().unwrap();
    let text =
        "{kind: Pod, apiVersion: v1, metadata: {name: a}, spec: {containers: [{name: a}]}}\n";
    fs::write(pod.path(), text).unwrap();
    let pod = pod.path().to_str().unwrap();
    for args in [
        &["--help"][..],
        &["check", "--configmap=web"],
        &["completions", "bash"],
        &[
            "inject",
            "-f",
            pod,
            "--kubernetes=1.33",
            "--set=configmaps=web",
        ],
        &["uninject", "-f", pod],
    ] {
        let (code, stderr) = unread(args);
        assert!(code == 0 && !stderr.contains("pipe"), "{args:?}: {stderr}");
    }
    let (port, serving) = sidecar("200 OK", "hello");
    assert_eq!(
        unread(&["get", "default/web", "GREETING", "-p", &port]),
        (0, String::new())
    );
    serving.join().unwrap();
    // The doctor's exit code tells what it found, read or not.
    assert_eq!(unread(&["doctor", "--pods"]), (2, String::new()));
}

#[test]
fn get_tells_a_refusal_from_a_sidecar_that_is_not_there() {
    let (port, serving) = sidecar("404 Not Found", r#"{"detail":"no such key"}"#);
    let (code, stdout, stderr) = output(attache(&["get", "web", "X", "-n", "a", "-p", &port]));
    assert_eq!(
        (code, stdout.as_str(), stderr.as_str()),
        (1, "", "attache: no such key\n")
    );
    serving.join().unwrap();
    // The port was free a moment ago and its listener is gone.
    let (code, _, stderr) = output(attache(&["get", "web", "X", "-n", "a", "-p", &port]));
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("attache run"), "{stderr}");
}

#[test]
fn healthcheck_honours_the_environment_and_names_what_is_pending() {
    let (port, serving) = sidecar(
        "503 Service Unavailable",
        r#"{"pending":["ConfigMap a/b"]}"#,
    );
    let mut command = attache(&["healthcheck"]);
    command.env("ATTACHE_PORT", &port);
    let (code, _, stderr) = output(command);
    assert_eq!(
        (code, stderr.as_str()),
        (1, "attache: not ready: ConfigMap a/b\n")
    );
    assert!(serving.join().unwrap().starts_with("GET /-/ready "));
    let (port, serving) = sidecar("200 OK", "live");
    let mut command = attache(&["healthcheck", "--live", "--port", &port]);
    command.env("ATTACHE_PORT", "tcp://10.0.0.1:8001");
    assert_eq!(output(command), (0, String::new(), String::new()));
    assert!(serving.join().unwrap().starts_with("GET /-/live "));
    assert_eq!(output(attache(&["healthcheck", "--port", &port])).0, 1);
}

/// What the API server at `server` (its port follows) is asked first by `attache run`.
fn first_request(server: &str, flags: &[&str]) -> String {
    let (port, serving) = sidecar("401 Unauthorized", "{}");
    let mut command = attache(&["run", "-p", "0", "--configmap", "a/web"]);
    command
        .args(flags)
        .args(["--server", &format!("{server}{port}")]);
    // As in a pod, one without a kubeconfig.
    command
        .env("KUBERNETES_SERVICE_HOST", "192.0.2.1")
        .env("KUBERNETES_SERVICE_PORT", "443")
        .env("HOME", "/nonexistent")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let (asked, first) = mpsc::channel();
    std::thread::spawn(move || asked.send(serving.join().unwrap()));
    let first = first.recv_timeout(Duration::from_secs(30));
    child.kill().unwrap();
    child.wait().unwrap();
    first.unwrap().to_ascii_lowercase()
}

#[test]
fn a_named_server_gets_only_what_the_flags_give() {
    let head = first_request("127.0.0.1:", &[]);
    assert!(head.starts_with("get /api/v1/namespaces/a/"), "{head}");
    assert!(!head.contains("authorization"), "{head}");
    let flags = ["--token=ours", "--as=me", "--as-group=a", "--as-group=b"];
    let head = first_request("http://127.0.0.1:", &flags);
    for says in [
        "authorization: bearer ours\r\n",
        "impersonate-user: me\r\n",
        "impersonate-group: a\r\n",
        "impersonate-group: b\r\n",
    ] {
        assert!(head.contains(says), "{says}: {head}");
    }
}

/// A sidecar that streams two states of a key and then refuses.
fn streaming_sidecar() -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let event = |name: &str, value: &str| {
        format!(
            "event: {name}\nid: \"{value}\"\n\
             data: {{\"key\":\"K\",\"value\":\"{value}\",\"resourceVersion\":\"7\"}}\n\n"
        )
    };
    let answers = [
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{}{}",
            event("snapshot", "one"),
            event("change", "two")
        ),
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 22\r\n\r\n{\"detail\":\"not yours\"}".to_owned(),
    ];
    let serving = std::thread::spawn(move || {
        let mut heads = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            heads.push(String::from_utf8(head).unwrap().to_ascii_lowercase());
        }
        heads
    });
    (port, serving)
}

#[test]
fn watch_runs_a_command_for_the_last_state_and_tells_a_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let (port, serving) = streaming_sidecar();
    let mut command = attache(&[
        "watch", "a/web", "K", "-p", &port, "--exec", "/bin/sh", "-c",
    ]);
    let script = "/bin/cat >\"$1\"; echo \"$ATTACHE_WATCH_NAME/$ATTACHE_WATCH_KEY\"";
    command.args([script, "--"]).arg(&out);
    let (code, stdout, stderr) = output(command);
    assert_eq!(code, 1, "{stderr}");
    assert_eq!(fs::read_to_string(out).unwrap(), "two");
    assert!(stdout.ends_with("web/K\n"), "{stdout}");
    let lines: Vec<_> = stderr.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].contains("trying again") && lines[1] == "attache: not yours",
        "{stderr}"
    );
    let heads = serving.join().unwrap();
    assert!(
        heads[0].starts_with("get /kv/a/web/k http/1.1\r\n"),
        "{heads:?}"
    );
    assert!(
        heads[1].contains("\r\nlast-event-id: \"two\"\r\n"),
        "{heads:?}"
    );
}

#[test]
fn set_reads_standard_input() {
    let (port, serving) = sidecar("405 Method Not Allowed", r#"{"detail":"--allow-writes"}"#);
    let mut command = attache(&["set", "a/web", "--from-file=K=-", "-p", &port]);
    command.stdin(Stdio::from(fs::File::open("/dev/null").unwrap()));
    assert_eq!(
        output(command),
        (1, String::new(), "attache: --allow-writes\n".to_owned())
    );
    assert!(serving.join().unwrap().starts_with("POST /kv/a/web "));
}

#[test]
fn the_doctor_says_when_there_is_nothing_to_look_at() {
    let home = tempfile::tempdir().unwrap();
    for args in [
        &["doctor", "--configmap=web", "--port=0"][..],
        &["doctor", "--pods"],
    ] {
        let mut command = attache(args);
        command.env("HOME", home.path());
        let (code, stdout, stderr) = output(command);
        assert_eq!((code, stderr.as_str()), (2, ""), "{stdout}");
        let first = stdout.lines().next().unwrap();
        assert!(
            first.starts_with("unknown: no API server is configured: give --kubeconfig"),
            "{stdout}"
        );
        assert!(
            stdout.lines().last().unwrap().starts_with("1 unknown"),
            "{stdout}"
        );
    }
    let (code, stdout, stderr) = output(attache(&["doctor", "--pods", "--configuration=A"]));
    assert_eq!((code, stdout.as_str()), (64, ""));
    assert!(stderr.contains("--configuration"), "{stderr}");
}
