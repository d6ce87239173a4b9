//! attache in-process between two raw sockets.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use attache::app::{App, Fatal};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Nothing here takes nearly this long; a test that hangs fails.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The API server's listener, and a kubeconfig that names it.
pub struct Server {
    listener: TcpListener,
    dir: TempDir,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            listener,
            dir: tempfile::tempdir().unwrap(),
        };
        server.kubeconfig("", "our-token");
        server
    }

    /// (Re)writes the kubeconfig: the server's path, and our token.
    pub fn kubeconfig(&self, path: &str, token: &str) {
        self.kubeconfig_of(path, &serde_json::json!({"token": token}));
    }

    /// (Re)writes the kubeconfig: the server's path, and who we are.
    pub fn kubeconfig_of(&self, path: &str, user: &serde_json::Value) {
        let server = format!("http://{}{path}", self.listener.local_addr().unwrap());
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": user}],
        });
        std::fs::write(self.path(), config.to_string()).unwrap();
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// The next connection of the proxy.
    pub async fn accept(&self) -> Socket {
        let accepted = timeout(LIMIT, self.listener.accept()).await;
        Socket::new(accepted.expect("the proxy connects").unwrap().0)
    }

    /// Nobody listens any more.
    pub fn close(self) -> TempDir {
        self.dir
    }
}

/// `attache proxy` with `flags`, for `server`.
pub struct Proxied {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), Fatal>>,
}

impl Proxied {
    pub async fn start(server: &Server, flags: &[&str]) -> Self {
        let kubeconfig = server.path();
        let mut args = vec!["attache", "proxy", "--port=0", "--kubeconfig"];
        args.push(kubeconfig.to_str().unwrap());
        args.extend(flags);
        let config = attache::app::config_from(args).expect("a valid configuration");
        let app = App::start(config).await.expect("attache starts");
        let address = app.bound().addresses[0];
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        Self {
            address,
            stop: Some(stop),
            running,
        }
    }

    pub async fn connect(&self) -> Socket {
        Socket::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// As SIGTERM; returns before the end.
    pub fn ask_to_stop(&mut self) {
        self.stop = None;
    }

    pub async fn ended(mut self) {
        let ended = timeout(LIMIT, &mut self.running).await;
        ended.expect("attache ends").unwrap().unwrap();
    }
}

impl Drop for Proxied {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// One end of a connection, read as text.
pub struct Socket {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl Socket {
    fn new(stream: TcpStream) -> Self {
        let unread = Vec::new();
        Self { stream, unread }
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// GET with these header lines.
    pub async fn get(&mut self, path: &str, headers: &str) {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
        ))
        .await;
    }

    /// Everything up to and including `end`.
    pub async fn until(&mut self, end: &str) -> String {
        let read = timeout(LIMIT, async {
            loop {
                let found = self
                    .unread
                    .windows(end.len())
                    .position(|w| w == end.as_bytes());
                if let Some(at) = found {
                    let rest = self.unread.split_off(at + end.len());
                    let text = std::mem::replace(&mut self.unread, rest);
                    return String::from_utf8(text).unwrap();
                }
                assert!(
                    self.fill().await,
                    "the end before {end:?}: {:?}",
                    self.text()
                );
            }
        });
        match read.await {
            Ok(text) => text,
            Err(_) => panic!("no {end:?} within {LIMIT:?}: {:?}", self.text()),
        }
    }

    /// A head, in lower case but for its first line's target.
    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Exactly this comes next.
    pub async fn expect(&mut self, text: &str) {
        assert_eq!(self.until(text).await, text);
    }

    /// What is left, until the other side ends.
    pub async fn rest(&mut self) -> String {
        let read = timeout(LIMIT, async { while self.fill().await {} });
        read.await.expect("the connection ends");
        self.text()
    }

    /// Whether a byte came before the other side ended or, for `patience`, was silent.
    pub async fn stays_silent(&mut self, patience: Duration) -> bool {
        self.unread.is_empty() && timeout(patience, self.fill()).await.is_err()
    }

    pub async fn finish_sending(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }

    /// A reset counts as an end.
    async fn fill(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.unread).await, Ok(1..))
    }
}
