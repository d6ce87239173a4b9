//! Server-Sent Events, read from bytes that arrive in any pieces.
//!
//! Source: WHATWG HTML, section 9.2.6, "Interpreting an event stream".

use std::time::Duration;

/// The most bytes of one event, its unfinished line included. An object has at most 1 MiB, and JSON
/// needs at most six bytes for one.
const MOST: usize = 12 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads events. An event that the end of the stream cuts off is none.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The line that has no end yet.
    line: Vec<u8>,
    /// The last line ended with CR: an LF right after it is a part of that end.
    after_carriage_return: bool,
    /// The first line, before which a byte order mark may stand, is read.
    begun: bool,
    event: Event,
    retry: Option<Duration>,
}

/// One event.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// Its type; empty if none was given, which is `message`.
    pub(super) name: String,
    /// Its data; the lines of several `data` fields are joined by LF.
    pub(super) data: String,
    /// The `id` that it carries itself: an earlier one's does not pass on to it.
    pub(super) id: Option<String>,
}

/// An event is longer than any that a sidecar sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

// === impl Events ===

impl Events {
    /// Takes what came next; returns the events that it ends.
    ///
    /// # Errors
    /// [`TooLong`]. Nothing more can be read then.
    pub(super) fn feed(&mut self, mut chunk: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        if self.after_carriage_return && !chunk.is_empty() {
            self.after_carriage_return = false;
            chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        while let Some(end) = chunk.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            self.extend(&chunk[..end])?;
            let rest = &chunk[end + 1..];
            chunk = match (chunk[end], rest) {
                (b'\r', []) => {
                    self.after_carriage_return = true;
                    rest
                }
                (b'\r', _) => rest.strip_prefix(b"\n").unwrap_or(rest),
                _ => rest,
            };
            events.extend(self.end_line());
        }
        self.extend(chunk)?;
        Ok(events)
    }

    /// How long to wait before the stream is asked for again, if the sidecar has said so.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn extend(&mut self, part: &[u8]) -> Result<(), TooLong> {
        let id = self.event.id.as_ref().map_or(0, String::len);
        let held = self.line.len() + self.event.name.len() + self.event.data.len() + id;
        if held + part.len() > MOST {
            return Err(TooLong);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    /// The event that the line ends, if it is an empty one.
    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let mut line = &*line;
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            let mut event = std::mem::take(&mut self.event);
            // Each line of data has put its LF there, also an empty one.
            return event.data.pop().map(|_| event);
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = match colon {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        self.take(field, value);
        None
    }

    /// Takes a field; a comment is one without a name, and unknown ones are passed over.
    fn take(&mut self, field: &[u8], value: &[u8]) {
        let text = String::from_utf8_lossy(value);
        match field {
            b"event" => self.event.name = text.into_owned(),
            b"data" => {
                self.event.data.push_str(&text);
                self.event.data.push('\n');
            }
            b"id" if !value.contains(&0) => self.event.id = Some(text.into_owned()),
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                // One that no number holds is passed over, as a malformed one is.
                self.retry = text.parse().ok().map(Duration::from_millis).or(self.retry);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(name: &str, data: &str, id: Option<&str>) -> Event {
        Event {
            name: name.to_owned(),
            data: data.to_owned(),
            id: id.map(str::to_owned),
        }
    }

    fn read(text: &[u8]) -> Vec<Event> {
        Events::default().feed(text).unwrap()
    }

    /// The examples of the specification, and its corners.
    #[test]
    fn fields_are_read_as_the_specification_says() {
        for (text, expected) in [
            (
                "data: YHOO\ndata: +2\ndata: 10\n\n",
                vec![event("", "YHOO\n+2\n10", None)],
            ),
            (
                ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
                vec![
                    event("", "first event", Some("1")),
                    event("", "second event", Some("")),
                    event("", " third event", None),
                ],
            ),
            (
                "data\n\ndata\ndata\n\ndata:",
                vec![event("", "", None), event("", "\n", None)],
            ),
            (
                "data:test\n\ndata: test\n\n",
                vec![event("", "test", None), event("", "test", None)],
            ),
            (
                "\u{feff}event: a\rdata: b\r\n\r\n",
                vec![event("a", "b", None)],
            ),
            (
                "\u{feff}\u{feff}data: a\n\ndata: b\n\n",
                vec![event("", "b", None)],
            ),
            ("event: a\nid: 1\n\ndata: b\n\n", vec![event("", "b", None)]),
            (
                "id: a\0b\nid2: x\nDATA: y\ndata: z\n\n",
                vec![event("", "z", None)],
            ),
            (
                "id: 7\nid: a\0b\ndata: z\n\n",
                vec![event("", "z", Some("7"))],
            ),
            ("data: z\n", vec![]),
            ("data: z\r\r", vec![event("", "z", None)]),
            ("data: a:b: c\n\n", vec![event("", "a:b: c", None)]),
        ] {
            assert_eq!(read(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(read(b"data: a\xffb\n\n"), [event("", "a\u{fffd}b", None)]);
    }

    #[test]
    fn the_time_to_wait_is_the_last_that_is_a_number() {
        let retry = |text: &str| {
            let mut events = Events::default();
            events.feed(text.as_bytes()).unwrap();
            events.retry()
        };
        assert_eq!(
            retry("retry: 1000\nretry: 1s\nretry\nretry: -1\n"),
            Some(Duration::from_secs(1))
        );
        assert_eq!(retry("retry: 99999999999999999999999\n"), None);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut events = Events::default();
        let part = vec![b'x'; 1 << 20];
        let taken = (0..20).take_while(|_| events.feed(&part).is_ok()).count();
        assert_eq!(taken, 12);
        let mut events = Events::default();
        let line = [b"data: ", &part[..], b"\n"].concat();
        let taken = (0..20).take_while(|_| events.feed(&line).is_ok()).count();
        assert!((10..=12).contains(&taken), "{taken}");
    }

    fn pieces(text: &[u8], cuts: &[prop::sample::Index]) -> Vec<Event> {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.push(text.len());
        cuts.sort_unstable();
        let (mut events, mut read, mut from) = (Events::default(), Vec::new(), 0);
        for cut in cuts {
            read.extend(events.feed(&text[from..cut]).unwrap());
            from = cut;
        }
        read
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_in_any_pieces(
            written in prop::collection::vec(
                ("[a-z]{0,5}", prop::collection::vec("[ -~ü€]{0,12}", 1..4), prop::option::of("[ -~]{0,6}")),
                0..6,
            ),
            end in prop::sample::select(vec!["\n", "\r", "\r\n"]),
            mark in any::<bool>(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        ) {
            let mut text = String::from(if mark { "\u{feff}" } else { "" });
            let mut expected = Vec::new();
            for (name, lines, id) in &written {
                text += &format!(": comment{end}event: {name}{end}");
                text.extend(id.iter().map(|id| format!("id: {id}{end}")));
                text.extend(lines.iter().map(|line| format!("data: {line}{end}")));
                text += end;
                expected.push(event(name, &lines.join("\n"), id.as_deref()));
            }
            prop_assert_eq!(pieces(text.as_bytes(), &cuts), expected);
        }

        #[test]
        fn pieces_make_no_difference(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    &b"\r"[..], b"\n", b"\r\n", b"data", b"event", b"id", b":", b": ", b"retry: 5",
                    b"\xef\xbb\xbf", b"\xef", b"\0", b"x",
                ]),
                0..60,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let text = parts.concat();
            prop_assert_eq!(pieces(&text, &cuts), read(&text));
        }
    }
}
