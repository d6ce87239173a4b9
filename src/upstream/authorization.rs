//! Whom requests are of: their Authorization (RFC 9110, section 11.6.2) and, where they act for
//! someone else, the Impersonate headers.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, header};
use kube::config::AuthInfo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use super::plugin::Given;

/// How old a token may be that was read from a file; the kubelet writes a new one long before the
/// old one ends.
const TOKEN_AGE: Duration = Duration::from_secs(60);

const IMPERSONATE_USER: HeaderName = HeaderName::from_static("impersonate-user");

/// What is escaped in the key of an `Impersonate-Extra-` header: what a header's name cannot have
/// (RFC 9110, section 5.6.2), and the sign that escapes.
const EXTRA_KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'*')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// What the Authorization of each request says.
pub(super) enum Authorization {
    /// Nothing: a client certificate does, or nobody.
    None,
    /// The same each time.
    Fixed(HeaderValue),
    /// A token that is replaced, in a file.
    File(TokenFile),
}

pub(super) struct TokenFile {
    path: String,
    read: Mutex<(HeaderValue, Instant)>,
}

// === impl Authorization ===

impl Authorization {
    /// In kube's order: auth provider, password, token, token file, plugin.
    ///
    /// # Errors
    /// Why the credentials are of no use, in words without what is secret in them.
    pub(super) fn new(auth: &AuthInfo, given: Option<&Given>) -> Result<Self, String> {
        if let Some(provider) = &auth.auth_provider {
            let token = provider.config.get("id-token").ok_or(
                "the kubeconfig's auth-provider cannot be used: replace it by an exec plugin",
            )?;
            return Ok(Self::Fixed(bearer(token)?));
        }
        if let (Some(user), Some(password)) = (&auth.username, &auth.password) {
            let pair = BASE64.encode(format!("{user}:{}", password.expose_secret()));
            return Ok(Self::Fixed(sensitive(format!("Basic {pair}"))?));
        }
        if let Some(token) = &auth.token {
            return Ok(Self::Fixed(bearer(token.expose_secret())?));
        }
        if let Some(path) = &auth.token_file {
            let read = Mutex::new((from_file(path)?, Instant::now()));
            let path = path.clone();
            return Ok(Self::File(TokenFile { path, read }));
        }
        match given.and_then(|given| given.token.as_deref()) {
            Some(token) => Ok(Self::Fixed(bearer(token)?)),
            None => Ok(Self::None),
        }
    }

    /// The header's value now.
    pub(super) fn value(&self) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::Fixed(value) => Some(value.clone()),
            Self::File(file) => Some(file.value()),
        }
    }
}

/// Whether a plugin is asked: nothing else says who requests are of.
pub(super) fn asks_plugin(auth: &AuthInfo) -> bool {
    let password = auth.username.is_some() && auth.password.is_some();
    let token = auth.token.is_some() || auth.token_file.is_some();
    auth.exec.is_some() && auth.auth_provider.is_none() && !password && !token
}

// === impl TokenFile ===

impl TokenFile {
    /// Of a file that is gone, the last: it may have been there for the start only.
    fn value(&self) -> HeaderValue {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.1.elapsed() >= TOKEN_AGE {
            read.1 = Instant::now();
            match from_file(&self.path) {
                Ok(value) => read.0 = value,
                Err(error) => tracing::warn!(error, "attache keeps the token that it read before"),
            }
        }
        read.0.clone()
    }
}

/// A file's token, without the line break that an editor leaves at its end.
fn from_file(path: &str) -> Result<HeaderValue, String> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("the token file {path}: {error}"))?;
    match text.trim() {
        "" => Err(format!("the token file {path} is empty")),
        token => bearer(token),
    }
}

fn bearer(token: &str) -> Result<HeaderValue, String> {
    sensitive(format!("Bearer {token}"))
}

fn sensitive(text: String) -> Result<HeaderValue, String> {
    let value = HeaderValue::try_from(text);
    let mut value = value.map_err(|_| {
        "the token or the password has a character that no header can carry, such as a line break"
            .to_owned()
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The headers that ask to be someone else.
///
/// # Errors
/// What of it no header can carry.
pub(super) fn impersonation(auth: &AuthInfo) -> Result<HeaderMap, String> {
    let value = |text: &String| {
        HeaderValue::try_from(text)
            .map_err(|_| format!("no header can carry the impersonated {text:?}"))
    };
    let mut headers = HeaderMap::new();
    if let Some(user) = &auth.impersonate {
        headers.insert(IMPERSONATE_USER, value(user)?);
    }
    if let Some(uid) = &auth.impersonate_uid {
        headers.insert(HeaderName::from_static("impersonate-uid"), value(uid)?);
    }
    for group in auth.impersonate_groups.iter().flatten() {
        headers.append(HeaderName::from_static("impersonate-group"), value(group)?);
    }
    for (key, values) in auth.impersonate_user_extra.iter().flatten() {
        let name = format!("impersonate-extra-{}", utf8_percent_encode(key, EXTRA_KEY));
        let name = HeaderName::try_from(name)
            .map_err(|_| format!("no header can carry the impersonated extra {key:?}"))?;
        for text in values {
            headers.append(name.clone(), value(text)?);
        }
    }
    Ok(headers)
}

/// Adds whom a request is of. As with kubectl, who asks to be someone is not made someone else.
pub(super) fn sign(
    headers: &mut HeaderMap,
    authorization: &Authorization,
    impersonation: &HeaderMap,
) {
    if let Some(value) = authorization.value() {
        headers.insert(header::AUTHORIZATION, value);
    }
    if !impersonation.is_empty() && !headers.contains_key(IMPERSONATE_USER) {
        remove_impersonation(headers);
        headers.extend(impersonation.clone());
    }
}

/// Groups and the like without a user are nobody's: with ours they would be ours.
fn remove_impersonation(headers: &mut HeaderMap) {
    let asked: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("impersonate-"))
        .cloned()
        .collect();
    for name in asked {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests;
