//! How addresses and failures are told, in logs, statuses and answers: without passwords, tokens,
//! command lines, or pieces of the files that hold them.

use std::error::Error;
use std::io;

use http::Uri;
use kube::config::KubeconfigError;

/// An address without its `user:password@` and its query.
pub(super) fn shown(uri: &Uri) -> String {
    let mut text = String::new();
    if let Some(scheme) = uri.scheme_str() {
        text.push_str(scheme);
        text.push_str("://");
    }
    text.push_str(uri.host().unwrap_or_default());
    if let Some(port) = uri.port() {
        text.push(':');
        text.push_str(port.as_str());
    }
    // The root that every URL has says nothing.
    text.push_str(uri.path().trim_end_matches('/'));
    text
}

/// An error of the way to the API server, with its causes, each said once.
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let (said, cause) = told(error);
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        next = cause;
    }
    text
}

/// What one error says, and its cause. Those that print what they were given are told in other
/// words, and their causes, which print it too, not at all.
fn told<'a>(error: &'a (dyn Error + 'static)) -> (String, Option<&'a (dyn Error + 'static)>) {
    if let Some(KubeconfigError::Parse(error)) = error.downcast_ref() {
        let place = error.location().map(|at| {
            let (line, column) = (at.line(), at.column());
            format!(": line {line}, column {column} is not what belongs there")
        });
        let place = place.unwrap_or_default();
        return (format!("it is no YAML of a kubeconfig{place}"), None);
    }
    let eof = error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof);
    if eof {
        // rustls' own words for it end in an address to read on.
        return ("the connection was closed".to_owned(), None);
    }
    (error.to_string(), error.source())
}

#[cfg(test)]
mod tests;
