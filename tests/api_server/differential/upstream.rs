//! A tiny server in the API server's place, which tells what it received: what a proxy adds,
//! drops and changes is seen nowhere else. Some paths answer in ways the API server seldom does.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use super::wire::{digest, fields};

/// Serves until dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    serves: JoinHandle<()>,
    dir: TempDir,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a local address");
        let dir = tempfile::tempdir().expect("a temporary directory");
        // kubectl sends no credentials without TLS.
        let tls = tls(&dir);
        let serves = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let tls = tls.clone();
                tokio::spawn(async move {
                    let stream = tls.accept(stream).await.ok()?;
                    serve(BufReader::new(stream)).await
                });
            }
        });
        Self {
            address,
            serves,
            dir,
        }
    }

    /// A kubeconfig that leads here, with a server path and the user's credentials.
    pub fn kubeconfig(&self, path: &str, user: &str) -> PathBuf {
        kubeconfig(&self.dir, &format!("https://{}{path}", self.address), user)
    }

    /// A kubeconfig that leads to a port where nobody listens.
    pub fn nobody(&self) -> PathBuf {
        kubeconfig(&self.dir, "http://127.0.0.1:1", "")
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serves.abort();
    }
}

/// With a certificate of its own.
fn tls(dir: &TempDir) -> TlsAcceptor {
    let (key, certificate) = (dir.path().join("key.pem"), dir.path().join("ca.pem"));
    let output = Command::new("openssl")
        .args([
            "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2",
        ])
        .args([
            "-subj",
            "/CN=upstream",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl");
    assert!(output.status.success(), "openssl: {output:?}");
    let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate and its key");
    TlsAcceptor::from(Arc::new(config))
}

fn kubeconfig(dir: &TempDir, server: &str, user: &str) -> PathBuf {
    let count = std::fs::read_dir(dir.path()).expect("a directory").count();
    let path = dir.path().join(format!("{count}.kubeconfig"));
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n\
         clusters: [{{name: test, cluster: {{server: \"{server}\", insecure-skip-tls-verify: true}}}}]\n\
         users: [{{name: test, user: {{{user}}}}}]\n"
    );
    std::fs::write(&path, text).expect("a file");
    path
}

#[derive(Debug, Default)]
struct Received {
    line: String,
    headers: Vec<(String, String)>,
    framing: String,
    body: Vec<u8>,
    trailers: Vec<String>,
}

impl Received {
    fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The last part of the path, which tells how to answer.
    fn manner(&self) -> &str {
        let target = self.line.split(' ').nth(1).unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }

    fn shown(&self) -> String {
        let mut text = format!("{}\n", self.line);
        let mut headers: Vec<_> = self.headers.iter().collect();
        headers.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, value) in headers {
            // How a body is framed follows; both ways to say so are right.
            if name != "content-length" && name != "transfer-encoding" {
                let _ = writeln!(text, "{name}: {value}");
            }
        }
        let _ = writeln!(text, "framing {}", self.framing);
        if self.body.len() < 1000 {
            let _ = writeln!(text, "body {:?}", String::from_utf8_lossy(&self.body));
        } else {
            let _ = writeln!(text, "body {}", digest(&self.body));
        }
        for trailer in &self.trailers {
            let _ = writeln!(text, "trailer {trailer}");
        }
        text
    }
}

type Stream = BufReader<TlsStream<TcpStream>>;

async fn line(stream: &mut Stream) -> Option<String> {
    let mut line = Vec::new();
    let length = stream.read_until(b'\n', &mut line).await.ok()?;
    (length > 0).then(|| String::from_utf8_lossy(&line).trim_end().to_owned())
}

async fn head(stream: &mut Stream) -> Option<Received> {
    let mut received = Received {
        line: line(stream).await?,
        ..Received::default()
    };
    let mut lines = Vec::new();
    loop {
        let line = line(stream).await?;
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    received.headers = fields(lines.iter().map(String::as_str));
    Some(received)
}

async fn body(stream: &mut Stream, received: &mut Received) -> Option<()> {
    if received.get("transfer-encoding").is_some() {
        received.framing = "chunked".to_owned();
        loop {
            let size = usize::from_str_radix(&line(stream).await?, 16).ok()?;
            if size == 0 {
                break;
            }
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).await.ok()?;
            received.body.extend(&chunk[..size]);
        }
        loop {
            let line = line(stream).await?;
            if line.is_empty() {
                return Some(());
            }
            received.trailers.push(line);
        }
    }
    let Some(length) = received.get("content-length").map(str::to_owned) else {
        received.framing = "none".to_owned();
        return Some(());
    };
    received.framing = format!("length {length}");
    received.body = vec![0; length.parse().ok()?];
    stream.read_exact(&mut received.body).await.ok()?;
    Some(())
}

/// Requests of one connection, until it ends or an answer has to end it.
async fn serve(mut stream: Stream) -> Option<()> {
    loop {
        let mut received = head(&mut stream).await?;
        if received.manner() == "tunnel" {
            return tunnel(stream, &received).await;
        }
        if received.manner() == "early" {
            let answer = "HTTP/1.1 413 Too Much\r\nContent-Length: 5\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nearly";
            stream.write_all(answer.as_bytes()).await.ok()?;
            // Until the peer has read it: closed with bytes unread, the answer would be lost.
            stream.shutdown().await.ok()?;
            tokio::io::copy(&mut stream, &mut tokio::io::sink())
                .await
                .ok()?;
            return None;
        }
        if received.get("expect").is_some() {
            stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await
                .ok()?;
        }
        body(&mut stream, &mut received).await?;
        let (answer, keep) = answer(&received);
        stream.write_all(answer.as_bytes()).await.ok()?;
        if !keep {
            return stream.shutdown().await.ok();
        }
    }
}

/// The answer, and whether the connection goes on.
fn answer(received: &Received) -> (String, bool) {
    let ok = |headers: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
    };
    let keep = |answer: String| (answer, true);
    match received.manner() {
        "trailers" => keep(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n"
                .into(),
        ),
        "hop" => keep(ok(
            "Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: Basic\r\nX-Kept: 1\r\nContent-Type: text/plain\r\n",
            "hop",
        )),
        "redirect" => keep(
            "HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/there?x=1\r\nContent-Length: 0\r\n\r\n".into(),
        ),
        "interim" => keep(format!(
            "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n{}",
            ok("Content-Type: text/plain\r\n", "after")
        )),
        "nothing" => keep("HTTP/1.1 204 No Content\r\nX-Kept: 1\r\n\r\n".into()),
        "unchanged" => keep("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n".into()),
        "packed" => keep(ok(
            "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n",
            "not unpacked by whoever passes it on",
        )),
        "cookies" => keep(ok(
            "Content-Type: text/plain\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nWarning: 299 - \"one\"\r\nWarning: 299 - \"two\"\r\n",
            "two",
        )),
        "untyped" => keep(ok("", "<html>of no type</html>")),
        "reason" => keep("HTTP/1.1 299 Rather Special\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok".into()),
        "unavailable" => keep(
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nlate".into(),
        ),
        "throttled" => keep(
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nslow".into(),
        ),
        "closing" => (
            "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end".into(),
            false,
        ),
        "hangup" => (String::new(), false),
        "garbage" => ("this is not HTTP\r\n\r\n".into(), false),
        "short" => (
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nshort".into(),
            false,
        ),
        _ if received.line.starts_with("HEAD ") => {
            keep("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1234\r\n\r\n".into())
        }
        _ => keep(ok("Content-Type: text/plain\r\n", &received.shown())),
    }
}

/// Answers 101 and tells the request's head through the tunnel, repeats what comes, says `bye`
/// after the end of it.
async fn tunnel(mut stream: Stream, received: &Received) -> Option<()> {
    let Some(upgrade) = received.get("upgrade") else {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nno upgrade").await.ok()?;
        return None;
    };
    let refused = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nX-Why: not today\r\nContent-Length: 7\r\n\r\nrefused";
    let ordinary =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nordinary";
    let instead = match received
        .line
        .split_once("?answer=")
        .map(|(_, rest)| &rest[..3])
    {
        Some("403") => Some(refused),
        Some("200") => Some(ordinary),
        _ => None,
    };
    if let Some(answer) = instead {
        stream.write_all(answer.as_bytes()).await.ok()?;
        return stream.shutdown().await.ok();
    }
    let mut head = String::new();
    for (name, value) in &received.headers {
        let _ = writeln!(head, "{name}: {value}");
    }
    let mut lines: Vec<_> = head.lines().collect();
    lines.sort_unstable();
    let hello = format!("{}\n{}\n", received.line, lines.join("\n"));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n{}\n{hello}",
        hello.len()
    );
    stream.write_all(answer.as_bytes()).await.ok()?;
    let (mut read, mut write) = tokio::io::split(stream);
    tokio::io::copy(&mut read, &mut write).await.ok()?;
    write.write_all(b"bye").await.ok()?;
    write.shutdown().await.ok()
}
