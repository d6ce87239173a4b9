//! What the headers and parameters of a request say about waiting.

use std::time::Duration;

use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, StatusCode};

use super::super::Answer;
use super::super::problem::problem;
use super::EVENT_STREAM;
use crate::config::units;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The parameter `wait`: a duration, or whole seconds.
///
/// # Errors
/// 400.
pub(super) fn wait(text: &str) -> Result<Duration, Answer> {
    if let Some(seconds) = seconds(text) {
        return Ok(seconds);
    }
    let duration = units::duration(text);
    duration.map_err(|fault| problem(StatusCode::BAD_REQUEST, format!("wait: {fault}")))
}

/// The parameter `watch`.
///
/// # Errors
/// 400.
pub(super) fn watch(text: &str) -> Result<bool, Answer> {
    match text {
        "" | "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(problem(
            StatusCode::BAD_REQUEST,
            "watch: write watch, watch=true or watch=false",
        )),
    }
}

/// The preference `wait` (RFC 7240, section 4.3). Of several the first counts (section 2), and one that
/// cannot be read counts for nothing.
pub(super) fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let mut preferences = lists(headers, &PREFER).filter_map(|preference| {
        let preference = split(preference, ';').next()?;
        let (name, word) = preference.split_once('=').unwrap_or((preference, ""));
        name.trim()
            .eq_ignore_ascii_case("wait")
            .then(|| word.trim())
    });
    let word = preferences.next()?;
    // A word is a token or a quoted string.
    let quoted = word.strip_prefix('"').and_then(|w| w.strip_suffix('"'));
    seconds(quoted.unwrap_or(word))
}

/// Whether `Accept` names the media type of streams, with a weight other than 0 and no less than that of any
/// other (RFC 9110, section 12.5.1). Ranges such as `*/*` do not ask for it.
pub(super) fn accepts_events(headers: &HeaderMap) -> bool {
    let (mut events, mut others) = (0.0_f32, 0.0_f32);
    for accepted in lists(headers, &ACCEPT) {
        let mut parts = split(accepted, ';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|media_type| media_type.eq_ignore_ascii_case(EVENT_STREAM));
        let weight = parts.find_map(weight).unwrap_or(1.0);
        let best = if named { &mut events } else { &mut others };
        *best = best.max(weight);
    }
    events > 0.0 && events >= others
}

fn weight(parameter: &str) -> Option<f32> {
    let (name, weight) = parameter.split_once('=')?;
    let weighs = name.trim().eq_ignore_ascii_case("q");
    weighs.then(|| weight.trim().parse().ok())?
}

/// The id of the last event that a client got, which comes back (WHATWG HTML, section 9.2.4).
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<&[u8]> {
    headers
        .get(LAST_EVENT_ID)
        .map(|id| id.as_bytes().trim_ascii())
}

/// The elements of all fields of that name (RFC 9110, section 5.6.1).
fn lists<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| split(text, ','))
}

/// Splits at separators outside of quoted strings (RFC 9110, section 5.6.4).
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let splits = c == separator && !quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        splits
    })
}

/// Whole seconds (RFC 9110, section 10.2.3); more than a `u64` holds are as many as it holds.
fn seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn reads_preferences_as_the_rfc_has_them() {
        for (values, expected) in [
            (&["wait=60"][..], Some(60)),
            (&["respond-async, WAIT = 7"], Some(7)),
            (&["respond-async", "wait=5"], Some(5)),
            (&["wait=5;foo=\"a,b\", wait=9"], Some(5)),
            (&["foo; wait=3, wait=4"], Some(4)),
            (&["foo=\"x, wait=3\", wait=4"], Some(4)),
            (&["foo=\"x\\\", wait=3\", wait=4"], Some(4)),
            (&["wait=\"8\""], Some(8)),
            (&["wait=0"], Some(0)),
            (&[",, wait=99999999999999999999999"], Some(u64::MAX)),
            // The first counts, and it cannot be read.
            (&["wait=soon, wait=9"], None),
            (&["wait", "wait=9"], None),
            (&["wait=-1"], None),
            (&["wait=1.5"], None),
            (&["wait=60s"], None),
            (&["waiting=5, handling=lenient"], None),
            (&[""], None),
            (&[], None),
        ] {
            let read = preferred_wait(&headers(&PREFER, values));
            assert_eq!(read.map(|wait| wait.as_secs()), expected, "{values:?}");
        }
    }

    #[test]
    fn only_the_media_type_itself_asks_for_a_stream() {
        for (values, expected) in [
            (&["text/event-stream"][..], true),
            (&["Text/Event-Stream; charset=utf-8; q=0.1"], true),
            (&["application/json", "text/event-stream"], true),
            (&["text/html;x=\",text/event-stream\", */*"], false),
            (&["text/event-stream;q=0"], false),
            (&["text/event-stream ; Q = 0.000"], false),
            (&["text/event-stream;version=0"], true),
            (&["application/json, text/event-stream;q=0.5"], false),
            (&["text/event-stream;q=0.5", "*/*;q=0.8"], false),
            (&["text/event-stream, */*;q=0.8"], true),
            (&["application/json;q=0.5, text/event-stream;q=0.5"], true),
            (&["*/*"], false),
            (&["text/*"], false),
            (&["text/event-streams"], false),
            (&[], false),
        ] {
            let accepted = accepts_events(&headers(&ACCEPT, values));
            assert_eq!(accepted, expected, "{values:?}");
        }
    }

    #[test]
    fn the_parameters_are_read_strictly() {
        for (text, millis) in [
            ("60", 60_000),
            ("60s", 60_000),
            ("1m30s", 90_000),
            ("250ms", 250),
            ("0", 0),
        ] {
            assert_eq!(wait(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["", "soon", "-1", "1.5", "60 parsecs"] {
            let status = wait(text).unwrap_err().status();
            assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
        }
        assert!(watch("").unwrap() && watch("1").unwrap() && watch("true").unwrap());
        assert!(!watch("0").unwrap() && !watch("false").unwrap());
        assert_eq!(watch("yes").unwrap_err().status(), StatusCode::BAD_REQUEST);
    }
}
