//! A real nginx whose site comes from a directory laid out as the kubelet mounts a ConfigMap.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::{eventually, http};

/// nginx, or what it needs to start; killed with the test.
pub struct Nginx {
    port: u16,
    dir: TempDir,
    mounted: PathBuf,
    master: Option<Child>,
}

impl Nginx {
    /// Finds a port and writes `nginx.conf`.
    pub fn prepare() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mounted = dir.path().join("conf.d");
        std::fs::create_dir(&mounted).expect("a directory");
        let conf = format!(
            "daemon off; worker_processes 2; pid {0}/nginx.pid; error_log {0}/error.log; events {{}}\n\
             http {{ access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p; \
             fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s; \
             include {0}/conf.d/*.conf; }}\n",
            dir.path().display()
        );
        std::fs::write(dir.path().join("nginx.conf"), conf).expect("a file");
        Self {
            port,
            dir,
            mounted,
            master: None,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The configuration of a site that answers with `page`.
    pub fn site(&self, page: &str) -> String {
        format!(
            "server {{ listen 127.0.0.1:{}; location / {{ return 200 \"{page}\"; }} }}\n",
            self.port
        )
    }

    /// The mounted directory.
    pub fn mounted(&self) -> &Path {
        &self.mounted
    }

    /// Updates the mounted copy as the kubelet does: a new directory, and `..data` renamed over.
    pub fn mount(&self, conf: &str) {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let version = format!("..2026_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let target = self.mounted.join(&version);
        std::fs::create_dir(&target).expect("a directory");
        std::fs::write(target.join("default.conf"), conf).expect("a file");
        let (data, next) = (self.mounted.join("..data"), self.mounted.join("..data_tmp"));
        let before = std::fs::read_link(&data).ok();
        symlink(&version, &next).expect("a symlink");
        std::fs::rename(&next, &data).expect("a rename");
        let visible = self.mounted.join("default.conf");
        if !visible.exists() {
            symlink("..data/default.conf", visible).expect("a symlink");
        }
        if let Some(before) = before {
            std::fs::remove_dir_all(self.mounted.join(before)).expect("the old version goes");
        }
    }

    /// Starts it and waits for its page.
    pub async fn start(mut self) -> Self {
        let [program, args @ ..] = &self.command()[..] else {
            unreachable!("it has a program")
        };
        let child = Command::new(program)
            .args(args)
            .spawn()
            .expect("nginx starts: install Debian's nginx-light");
        self.master = Some(child);
        let url = self.url();
        eventually("nginx answers", Duration::from_secs(30), async || {
            http::get(&url, &[]).await.is_ok()
        })
        .await;
        self
    }

    /// What starts it; with `-s reload`, what tells it to reload.
    pub fn command(&self) -> Vec<String> {
        // Debian puts it where only root's PATH looks.
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx"]
            .into_iter()
            .find(|p| Path::new(p).exists());
        let dir = self.dir.path().to_str().expect("UTF-8");
        [program.unwrap_or("nginx"), "-p", dir, "-c", "nginx.conf"]
            .map(str::to_owned)
            .to_vec()
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// The page it serves now.
    pub async fn page(&self) -> String {
        let response = http::get(&self.url(), &[]).await.expect("nginx answers");
        String::from_utf8_lossy(response.body()).into_owned()
    }

    /// The master's process ID.
    pub fn master(&self) -> u32 {
        self.master.as_ref().map(Child::id).expect("started")
    }

    /// The workers' process IDs.
    pub fn workers(&self) -> Vec<u32> {
        let master = self.master();
        let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children"));
        let children = children.expect("the master runs");
        children
            .split_whitespace()
            .map(|pid| pid.parse().expect("a number"))
            .collect()
    }
}

impl Nginx {
    /// Waits until it serves `page`, by other workers than those `before`.
    pub async fn reloaded(&self, page: &str, before: &[u32]) {
        let limit = Duration::from_secs(60);
        eventually("nginx serves the new page", limit, async || {
            self.page().await == page
        })
        .await;
        eventually("the workers are new", limit, async || {
            let now = self.workers();
            !now.is_empty() && now.iter().all(|pid| !before.contains(pid))
        })
        .await;
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(master) = &mut self.master {
            // Its fast shutdown takes the workers with it. Killed, it would leave them behind, and
            // whoever reads the tests' output would wait for them for ever.
            let pid = rustix::process::Pid::from_child(master);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = master.wait();
        }
    }
}
