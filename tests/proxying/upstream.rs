//! Credential plugins, and what is told of the way to the API server.

use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe::{OpenOptions, Receiver, Sender};
use tokio::time::timeout;

use super::support::*;

/// A credential plugin that says when it runs, and waits to be told to go on.
struct Plugin {
    runs: BufReader<Receiver>,
    go: Sender,
}

impl Plugin {
    /// Makes it the user of the server's kubeconfig; `end` is the rest of its script.
    fn of(server: &Server, end: &str) -> Self {
        let fifo = |name| {
            let path = server.path().with_file_name(name);
            mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
            path
        };
        let (runs, go) = (fifo("runs"), fifo("go"));
        let script = |path: &PathBuf| path.to_str().unwrap().to_owned();
        let script = format!(
            "echo run >{}; read go <{}; {end}",
            script(&runs),
            script(&go)
        );
        server.kubeconfig_of("", &exec(&script));
        // Both ways, so that neither waits for the other end to be opened.
        let mut both = OpenOptions::new();
        both.read_write(true);
        Self {
            runs: BufReader::new(both.open_receiver(runs).unwrap()),
            go: both.open_sender(go).unwrap(),
        }
    }

    async fn runs(&mut self) {
        let mut line = String::new();
        let read = timeout(LIMIT, self.runs.read_line(&mut line)).await;
        read.expect("the plugin runs").unwrap();
    }

    async fn go(&mut self) {
        self.go.write_all(b"go\n").await.unwrap();
    }
}

fn exec(script: &str) -> serde_json::Value {
    json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sh",
        "args": ["-c", script],
        "interactiveMode": "Never",
    }})
}

const TOKEN: &str = r#"echo '{"status": {"token": "plugins"}}'"#;

#[tokio::test]
async fn a_slow_plugin_runs_once_whoever_leaves_and_holds_no_caller_with_a_token() {
    let server = Server::start().await;
    let mut plugin = Plugin::of(&server, TOKEN);
    let proxied = Proxied::start(&server, &[]).await;
    let mut impatient = proxied.connect().await;
    impatient.get("/a", "").await;
    plugin.runs().await;
    drop(impatient);
    let mut patient = proxied.connect().await;
    patient.get("/b", "").await;
    let mut other = proxied.connect().await;
    let theirs = "Authorization: Bearer theirs\r\n";
    other.get("/c", theirs).await;
    let mut api = server.accept().await;
    let head = api.head().await;
    assert!(head.starts_with("GET /c ") && head.contains("Bearer theirs\r\n"));
    // A second run would wait for a second word.
    plugin.go().await;
    let mut api = server.accept().await;
    let head = api.head().await;
    assert!(head.starts_with("GET /b ") && head.contains("Bearer plugins\r\n"));
}

#[tokio::test]
async fn a_plugin_that_fails_is_told_without_its_output() {
    let server = Server::start().await;
    server.kubeconfig_of("", &exec("echo hunter2; exit 3"));
    let proxied = Proxied::start(&server, &[]).await;
    let mut client = proxied.connect().await;
    client.get("/a", "Connection: close\r\n").await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.contains("exit status: 3") && !answer.contains("hunter2"));
}

#[tokio::test]
async fn a_refusal_that_is_not_about_our_token_keeps_the_connection() {
    const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno";
    let server = Server::start().await;
    let proxied = Proxied::start(&server, &[]).await;
    let mut client = proxied.connect().await;
    client.get("/a", "").await;
    let mut api = server.accept().await;
    for next in ["GET /a ", "GET /b "] {
        assert!(api.head().await.starts_with(next));
        api.send(UNAUTHORIZED).await;
        // As it came: asking again would bring no other answer.
        assert!(client.head().await.starts_with("HTTP/1.1 401 "));
        client.expect("no").await;
        client.get("/b", "").await;
    }
    assert!(api.head().await.starts_with("GET /b "));
}
