//! The official client libraries for Python and JavaScript, through a proxy: the programs of
//! `tests/support/clients`, which both print the same.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::program::run;
use crate::through::{ALL_PATHS, Through, with_a_pod};

through_either!(
    the_python_client_lists_watches_writes_and_executes,
    the_javascript_client_lists_watches_writes_and_executes,
);

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/clients");

const TOLD: &str = "\
listed: 0
created: web
refused: 409 AlreadyExists
event: ADDED grüezi
refused: 409 Conflict
event: MODIFIED hello
event: DELETED hello
refused: 404 NotFound
executed: from the Pod";

pub(crate) fn libraries() -> PathBuf {
    let libraries = std::env::var_os("CLIENT_LIBRARIES").map(PathBuf::from);
    libraries.expect("CLIENT_LIBRARIES: export CLIENT_LIBRARIES=\"$(scripts/client-libraries)\"")
}

/// Runs a program with the proxy's URL and a namespace of its own as arguments.
async fn tells_all(through: Through, mut program: Command) {
    let (proxy, _kubelet, namespace) = with_a_pod(through, &[ALL_PATHS]).await;
    program.arg(proxy.url("")).arg(namespace);
    assert_eq!(run(&program, b"").await.ok(), TOLD);
}

async fn the_python_client_lists_watches_writes_and_executes(through: Through) {
    let mut python = Command::new(libraries().join("venv/bin/python"));
    python.arg(Path::new(PROGRAMS).join("client.py"));
    // The machine may have a locale without ü.
    python.env("PYTHONUTF8", "1");
    tells_all(through, python).await;
}

async fn the_javascript_client_lists_watches_writes_and_executes(through: Through) {
    // Node.js looks for modules beside the program.
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("client.mjs");
    std::fs::copy(Path::new(PROGRAMS).join("client.mjs"), &program).unwrap();
    let modules = libraries().join("node_modules");
    std::os::unix::fs::symlink(modules, dir.path().join("node_modules")).unwrap();
    let mut node = Command::new("node");
    node.arg(program);
    tells_all(through, node).await;
}
