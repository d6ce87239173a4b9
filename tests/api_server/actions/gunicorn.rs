//! gunicorn, which reloads by HUP to its master: that starts new workers, and lets the old ones end
//! with what they have in hand.

use std::net::TcpListener;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use super::{noted, write_config};
use crate::clients::libraries;
use crate::support::control_plane::ControlPlane;
use crate::support::{eventually, http};
use crate::{LIMIT, Reading, text, watching};

/// An application that reads its greeting when a worker starts.
const APP: &str = r#"
import os
with open(os.environ["GREETING"]) as file:
    GREETING = file.read().encode()
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", str(len(GREETING)))])
    return [GREETING]
"#;

/// Its master, with two workers; ends with the test.
struct Gunicorn {
    master: Child,
    address: String,
    dir: TempDir,
}

impl Gunicorn {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("app.py"), APP).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        // The files rule writes it there, too.
        std::fs::write(dir.path().join("greeting"), "one").unwrap();
        let master = Command::new(libraries().join("venv/bin/gunicorn"))
            .args(["--workers=2", "--bind", &address, "--log-level=warning"])
            .args(["--worker-tmp-dir", text(dir.path()), "app:app"])
            .env("GREETING", dir.path().join("greeting"))
            .current_dir(dir.path())
            .spawn()
            .unwrap();
        let gunicorn = Self {
            master,
            address,
            dir,
        };
        eventually("gunicorn answers", LIMIT, async || {
            gunicorn.workers().len() == 2 && http::get(&gunicorn.url(), &[]).await.is_ok()
        })
        .await;
        gunicorn
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What its workers say now.
    async fn greets(&self, greeting: &str) -> bool {
        let answer = http::get(&self.url(), &[]).await.expect("gunicorn answers");
        answer.body() == greeting
    }

    /// The workers' process IDs.
    fn workers(&self) -> Vec<u32> {
        let master = self.master.id();
        let children = format!("/proc/{master}/task/{master}/children");
        let children = std::fs::read_to_string(children).expect("the master runs");
        let pids = children.split_whitespace();
        pids.map(|pid| pid.parse().expect("a number")).collect()
    }
}

impl Drop for Gunicorn {
    fn drop(&mut self) {
        // It takes its workers along, which a KILL would leave behind.
        let _ = kill_process(Pid::from_child(&self.master), Signal::TERM);
        let _ = self.master.wait();
    }
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS and CLIENT_LIBRARIES: see CONTRIBUTING.md"]
async fn gunicorn_reloads_by_its_master_alone_and_fails_no_request() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let maps = plane.config_maps(&namespace).await;
    maps.create("web", &[("K", "one")]).await;
    let mut gunicorn = Gunicorn::start().await;
    let config = gunicorn.dir.path().join("attache.yaml");
    // The workers have the master's command line.
    let of_this_test = format!("*gunicorn*--bind {}*", gunicorn.address);
    let rules = json!({
        "files": [{"configMap": "web", "key": "K", "file": gunicorn.dir.path().join("greeting")}],
        "onChange": [{"signal": {"cmdline": of_this_test, "signal": "HUP"}, "settle": "0s"}],
    });
    write_config(&config, &rules);
    let sidecar = watching(plane, &namespace, &["--config", text(&config)]).await;
    sidecar
        .serves(&format!("/kv/{namespace}/web/K"), "one")
        .await;
    assert!(gunicorn.greets("one").await);
    let readers = [(); 4].map(|()| Reading::start(gunicorn.url()));
    let master = gunicorn.master.id();
    for (change, greeting) in [(1, "two"), (2, "three")] {
        let before = gunicorn.workers();
        assert_eq!(before.len(), 2);
        maps.set("web", "K", greeting).await;
        eventually("every worker is a new one", LIMIT, async || {
            let now = gunicorn.workers();
            now.len() == 2 && now.iter().all(|worker| !before.contains(worker))
        })
        .await;
        for _ in 0..20 {
            assert!(gunicorn.greets(greeting).await);
        }
        let status = sidecar.status().await;
        let notes = noted(&status);
        assert_eq!(notes.len(), change, "{status}");
        // The master, and nobody else.
        let detail = notes[change - 1]["detail"].as_str().unwrap();
        let (sent, who) = detail.split_once(" to ").unwrap();
        assert_eq!(sent, "sent SIGHUP");
        assert!(who.ends_with(&format!("(PID {master})")), "{detail}");
        assert_eq!(detail.matches("PID").count(), 1, "{detail}");
    }
    assert!(
        matches!(gunicorn.master.try_wait(), Ok(None)),
        "it lives on"
    );
    for reader in readers {
        // A request that failed is a panic there.
        reader.end().await;
    }
}
