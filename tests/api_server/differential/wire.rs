//! Raw HTTP/1 over a socket: what is sent is sent byte by byte, what comes is taken apart no
//! further than it must be.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

/// How long anything may take on a busy machine. How fast it is, is measured by the benchmarks.
const LIMIT: Duration = Duration::from_secs(60);

/// Awaits within the limit all waits share.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("not within {LIMIT:?}: {what}"))
}

/// Status, headers with names in lower case, in the order they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

impl Head {
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }
}

/// How a body's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(usize),
    Chunked,
    Close,
}

/// A whole answer, or as much as came.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The statuses of the 1xx answers before it.
    pub interim: Vec<u16>,
    /// `None`: the connection closed without an answer.
    pub head: Option<Head>,
    pub framing: Framing,
    pub body: Vec<u8>,
    /// The connection closed before the body's end.
    pub torn: bool,
    pub trailers: Vec<(String, String)>,
}

/// Headers of the moment and of the hop.
const IGNORED: [&str; 8] = [
    "date",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "audit-id",
    "x-kubernetes-pf-flowschema-uid",
    "x-kubernetes-pf-prioritylevel-uid",
];

impl Answer {
    /// A text to compare: status, framing, headers by name, body. Two answers with equal texts are
    /// the same to a client.
    pub fn shown(&self) -> String {
        let mut text = String::new();
        let mut interim = self.interim.clone();
        // A proxy may say it for itself and pass on the upstream's, whichever comes first.
        interim.dedup();
        for status in interim {
            let _ = writeln!(text, "interim {status}");
        }
        let Some(head) = &self.head else {
            return text + "closed without an answer\n";
        };
        let _ = writeln!(text, "status {}", head.status);
        let _ = match self.framing {
            // Fields of the moment are not equally long: the number says no more than this.
            Framing::Length(length) if length == self.body.len() => writeln!(text, "sized body"),
            Framing::Length(length) if self.torn => writeln!(text, "length {length}"),
            other => writeln!(text, "framing {other:?}"),
        };
        if self.torn {
            text.push_str("torn\n");
        }
        let mut headers: Vec<_> = head.headers.iter().collect();
        headers.retain(|(name, _)| !IGNORED.contains(&name.as_str()));
        headers.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, value) in headers {
            let _ = writeln!(text, "{name}: {value}");
        }
        for (name, value) in &self.trailers {
            let _ = writeln!(text, "trailer {name}: {value}");
        }
        text.push('\n');
        match std::str::from_utf8(&self.body) {
            Ok(body) if body.len() < 100_000 => text.push_str(body),
            _ => text.push_str(&digest(&self.body)),
        }
        text
    }
}

/// Stands for bytes that are not text, or too many.
pub fn digest(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("<{} bytes, hash {:x}>", bytes.len(), hasher.finish())
}

/// One connection. Writing goes on while reading, as an answer may come before the request ends.
#[derive(Debug)]
pub struct Connection {
    read: OwnedReadHalf,
    /// `None` once the writing side is closed.
    write: Option<mpsc::UnboundedSender<Vec<u8>>>,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = soon("a connection", TcpStream::connect(address)).await;
        let stream = stream.expect("the proxy accepts");
        stream.set_nodelay(true).expect("a socket");
        let (read, write) = stream.into_split();
        let (sender, pieces) = mpsc::unbounded_channel();
        tokio::spawn(write_all(write, pieces));
        Self {
            read,
            write: Some(sender),
            buffer: Vec::new(),
        }
    }

    /// One write.
    pub fn send(&self, bytes: impl Into<Vec<u8>>) {
        let write = self.write.as_ref().expect("not closed");
        // A peer that has gone is seen by reading.
        let _ = write.send(bytes.into());
    }

    /// Ends the writing side, after what was sent.
    pub fn half_close(&mut self) {
        self.write = None;
    }

    /// False at the end; a reset is an end, too.
    async fn more(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        let length = soon("bytes", self.read.read(&mut piece)).await.unwrap_or(0);
        self.buffer.extend_from_slice(&piece[..length]);
        length > 0
    }

    async fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            let found = self.buffer.windows(mark.len()).position(|at| at == mark);
            if let Some(end) = found {
                let rest = self.buffer.split_off(end + mark.len());
                let mut taken = std::mem::replace(&mut self.buffer, rest);
                taken.truncate(end);
                return Some(taken);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// `length` bytes, or those that come before the end.
    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length && self.more().await {}
        let rest = self.buffer.split_off(length.min(self.buffer.len()));
        std::mem::replace(&mut self.buffer, rest)
    }

    /// All there is until the peer closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    /// The next head, of an interim answer or a final one; `None`: closed.
    pub async fn head(&mut self) -> Option<Head> {
        let head = self.until(b"\r\n\r\n").await?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.and_then(|status| status.parse().ok());
        Some(Head {
            status: status.unwrap_or_else(|| panic!("no status line: {head}")),
            headers: fields(lines),
        })
    }

    /// The next chunk of a chunked body; `None` after the last one.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.until(b"\r\n").await?;
        let size = String::from_utf8_lossy(&line);
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("a size: {size}"));
        if size == 0 {
            return None;
        }
        let mut chunk = self.exactly(size + 2).await;
        (chunk.len() == size + 2).then(|| {
            chunk.truncate(size);
            chunk
        })
    }

    /// A final answer to a request by `method`, read to its end.
    pub async fn answer(&mut self, method: &str, after_continue: Option<&[u8]>) -> Answer {
        let mut answer = Answer {
            interim: Vec::new(),
            head: None,
            framing: Framing::None,
            body: Vec::new(),
            torn: false,
            trailers: Vec::new(),
        };
        let head = loop {
            let Some(head) = self.head().await else {
                return answer;
            };
            if head.status >= 200 || head.status == 101 {
                break head;
            }
            answer.interim.push(head.status);
            if let (100, Some(body)) = (head.status, after_continue) {
                self.send(body);
            }
        };
        answer.framing = framing(&head, method);
        answer.head = Some(head);
        match answer.framing {
            // What was announced stands for HEAD; there is no body to compare it with.
            Framing::None => {}
            Framing::Length(_) if method == "HEAD" => {}
            Framing::Length(length) => {
                answer.body = self.exactly(length).await;
                answer.torn = answer.body.len() < length;
            }
            Framing::Chunked => self.chunked(&mut answer).await,
            Framing::Close => answer.body = self.rest().await,
        }
        answer
    }

    async fn chunked(&mut self, answer: &mut Answer) {
        answer.torn = true;
        while let Some(line) = self.until(b"\r\n").await {
            let size = String::from_utf8_lossy(&line);
            let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
            if size == 0 {
                break;
            }
            let mut chunk = self.exactly(size + 2).await;
            chunk.truncate(size);
            answer.body.extend(chunk);
        }
        let mut trailers = Vec::new();
        while let Some(line) = self.until(b"\r\n").await {
            if line.is_empty() {
                answer.torn = false;
                break;
            }
            trailers.push(String::from_utf8_lossy(&line).into_owned());
        }
        answer.trailers = fields(trailers.iter().map(String::as_str));
    }
}

async fn write_all(mut write: OwnedWriteHalf, mut pieces: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(piece) = pieces.recv().await {
        if write.write_all(&piece).await.is_err() {
            return;
        }
    }
    let _ = write.shutdown().await;
}

/// Header fields, names in lower case.
pub fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect()
}

fn framing(head: &Head, method: &str) -> Framing {
    if head.status < 200 || matches!(head.status, 204 | 304) {
        return Framing::None;
    }
    if method == "CONNECT" && head.status < 300 {
        return Framing::None;
    }
    let chunked = head.get("transfer-encoding").is_some();
    match head.get("content-length").map(str::parse) {
        _ if chunked && method == "HEAD" => Framing::None,
        _ if chunked => Framing::Chunked,
        Some(Ok(length)) => Framing::Length(length),
        _ if method == "HEAD" => Framing::None,
        _ => Framing::Close,
    }
}
