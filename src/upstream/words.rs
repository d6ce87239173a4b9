//! How addresses and failures are told, in logs, statuses and answers: without passwords, tokens,
//! command lines, or pieces of the files that hold them.

use std::error::Error;
use std::io;

use http::Uri;
use kube::client::{AuthError, RustlsTlsError};
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
    if let Some(error) = error.downcast_ref::<kube::Error>() {
        return match error {
            // kube's names for whatever its connection, or its credentials, say.
            kube::Error::Service(inner) => told(&**inner),
            kube::Error::Auth(inner) => told(inner),
            kube::Error::InferKubeconfig(inner) => told(inner),
            kube::Error::RustlsTls(inner) => told(inner),
            other => (other.to_string(), other.source()),
        };
    }
    if let Some(error) = error.downcast_ref::<AuthError>() {
        return (credentials(error), None);
    }
    if let Some(KubeconfigError::Parse(error)) = error.downcast_ref() {
        let place = error.location().map(|at| {
            let (line, column) = (at.line(), at.column());
            format!(": line {line}, column {column} is not what belongs there")
        });
        let place = place.unwrap_or_default();
        return (format!("it is no YAML of a kubeconfig{place}"), None);
    }
    if let Some(RustlsTlsError::InvalidIdentityPem(_)) = error.downcast_ref() {
        let said = "the client certificate or its key is malformed";
        return (said.to_owned(), None);
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

/// Why there is no token. A plugin's output can be one.
fn credentials(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => {
            format!("the credential plugin failed: {}", out.status)
        }
        AuthError::AuthExecStart(error) => {
            format!("the credential plugin cannot be run: {error}")
        }
        AuthError::AuthExecParse(_) | AuthError::ParseTokenKey(_) => {
            "the credential plugin's answer is malformed".to_owned()
        }
        AuthError::ExecPluginFailed => {
            "the credential plugin's answer holds no credentials".to_owned()
        }
        AuthError::MalformedTokenExpirationDate(_) => {
            "the time at which the token expires is malformed".to_owned()
        }
        AuthError::AuthExec(_) => {
            "the kubeconfig's auth-provider cannot be used: replace it by an exec plugin".to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
