use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::subscriber::DefaultGuard;

use super::*;

/// What is logged on this thread, as JSON lines.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Begins; it ends with the guard.
    pub(crate) fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = fmt().json().with_writer(move || writer.clone());
        (log, tracing::subscriber::set_default(subscriber.finish()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        let text = self.text();
        let events = text.lines().map(serde_json::from_str);
        events.map(Result::unwrap).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn every_verbosity_is_a_filter() {
    for verbosity in -4..=4 {
        let text = directives(verbosity);
        assert!(text.parse::<Targets>().is_ok(), "{text}");
    }
    assert!(directives(0).contains("attache=info"));
    assert!(directives(1).contains("attache=debug"));
    assert!(directives(-1).starts_with("warn"));
}
