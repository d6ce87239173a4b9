//! What a program prints, logged by line and within bounds.

use std::io;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

/// A longer line is cut.
pub const MAX_LINE: usize = 4 * 1024;
/// How many lines of one run are logged, of both outputs together.
pub const MAX_LINES: usize = 200;
/// How many bytes of one run are logged, of both outputs together.
pub const MAX_BYTES: usize = 64 * 1024;
/// What a pipe can hold (`/proc/sys/fs/pipe-max-size`): once the program has ended, more was
/// written later, by somebody whom it left behind.
const MAX_LEFT: usize = 1024 * 1024;
const CHUNK: usize = 8 * 1024;

/// Both outputs of one run.
#[derive(Debug)]
pub(super) struct Output {
    stdout: Source,
    stderr: Source,
    log: Log,
}

/// One of the two, and the line that it is in the middle of.
#[derive(Debug)]
struct Source {
    name: &'static str,
    pipe: Option<pipe::Receiver>,
    line: Vec<u8>,
    /// How many bytes of that line were left out.
    cut: usize,
}

/// Where lines go.
#[derive(Debug, Default)]
struct Log {
    rule: String,
    lines: usize,
    bytes: usize,
    /// How many lines were left out.
    dropped_lines: usize,
    /// How many bytes were left out, those of cut lines as well.
    dropped_bytes: usize,
}

// === impl Output ===

impl Output {
    pub(super) fn new(
        rule: &str,
        stdout: Option<pipe::Receiver>,
        stderr: Option<pipe::Receiver>,
    ) -> Self {
        Self {
            stdout: Source::new("stdout", stdout),
            stderr: Source::new("stderr", stderr),
            log: Log {
                rule: rule.to_owned(),
                ..Log::default()
            },
        }
    }

    /// Logs until both outputs are closed. It may be dropped on the way.
    pub(super) async fn follow(&mut self) {
        // Not in the future itself, which every rule has from the start.
        let (mut out, mut err) = (vec![0; CHUNK], vec![0; CHUNK]);
        loop {
            let (source, read, chunk) = tokio::select! {
                Some(read) = self.stdout.read(&mut out) => (&mut self.stdout, read, &out),
                Some(read) = self.stderr.read(&mut err) => (&mut self.stderr, read, &err),
                else => return,
            };
            match read {
                Ok(length @ 1..) => source.take(&chunk[..length], &mut self.log),
                Ok(0) | Err(_) => source.pipe = None,
            }
        }
    }

    /// Logs what is in the pipes already, and how much was left out.
    pub(super) fn finish(mut self) {
        for source in [&mut self.stdout, &mut self.stderr] {
            source.drain(&mut self.log);
            source.end_line(&mut self.log);
        }
        let Log {
            rule,
            dropped_lines: lines,
            dropped_bytes: bytes,
            ..
        } = &self.log;
        if *bytes > 0 || *lines > 0 {
            tracing::info!(
                rule,
                lines,
                bytes,
                "the command printed more, which is not logged"
            );
        }
    }
}

// === impl Source ===

impl Source {
    fn new(name: &'static str, pipe: Option<pipe::Receiver>) -> Self {
        Self {
            name,
            pipe,
            line: Vec::new(),
            cut: 0,
        }
    }

    /// `None` if it is closed.
    async fn read(&mut self, into: &mut [u8]) -> Option<io::Result<usize>> {
        Some(self.pipe.as_mut()?.read(into).await)
    }

    fn drain(&mut self, log: &mut Log) {
        let Some(pipe) = self.pipe.take() else { return };
        let (mut left, mut chunk) = (MAX_LEFT, [0; CHUNK]);
        // Not by tokio, which learns of new bytes only when it is next idle.
        while let Ok(read @ 1..) = rustix::io::read(&pipe, &mut chunk) {
            self.take(&chunk[..read], log);
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    }

    fn take(&mut self, bytes: &[u8], log: &mut Log) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            let room = text.len().min(MAX_LINE - self.line.len());
            self.line.extend_from_slice(&text[..room]);
            self.cut += text.len() - room;
            if text.len() < part.len() {
                log.line(self.name, &self.line, self.cut);
                self.line.clear();
                self.cut = 0;
            }
        }
    }

    /// Logs a last line that has no end.
    fn end_line(&mut self, log: &mut Log) {
        if !self.line.is_empty() {
            log.line(self.name, &self.line, self.cut);
        }
    }
}

// === impl Log ===

impl Log {
    fn line(&mut self, stream: &'static str, line: &[u8], cut: usize) {
        self.dropped_bytes += cut;
        if self.lines == MAX_LINES || self.bytes + line.len() > MAX_BYTES {
            // Nor is any shorter one logged that follows: gaps would mislead.
            self.lines = MAX_LINES;
            self.dropped_lines += 1;
            self.dropped_bytes += line.len();
            return;
        }
        self.lines += 1;
        self.bytes += line.len();
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        tracing::info!(
            rule = self.rule,
            stream,
            line = &*line,
            "the command printed"
        );
    }
}
