//! The headers that a rule gives.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::error::{WebhookError, unfit};
use crate::config::{HeaderText, WebhookAction};

/// Reads the rule's headers, those from files as they are now.
///
/// # Errors
/// [`WebhookError::Request`], which names header and file, and no value.
pub(super) async fn read(action: &WebhookAction) -> Result<HeaderMap, WebhookError> {
    let mut headers = HeaderMap::new();
    for (name, text) in &action.headers {
        let (name, value) = header(name, text)
            .await
            .map_err(|reason| unfit(action, reason))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

async fn header(name: &str, text: &HeaderText) -> Result<(HeaderName, HeaderValue), String> {
    let (bytes, origin) = match text {
        HeaderText::Given(text) => (text.clone().into_bytes(), "in the rule".to_owned()),
        HeaderText::File(path) => {
            let read = tokio::fs::read(path).await;
            let path = path.display();
            let bytes = read.map_err(|error| {
                format!("header {name} is read from {path}: {error}: mount the file there")
            })?;
            (
                bytes.trim_ascii_end().to_vec(),
                format!("in the file {path}"),
            )
        }
    };
    let parsed = HeaderName::from_bytes(name.as_bytes());
    let parsed = parsed.map_err(|_| format!("{name:?} is not a header's name: correct it"))?;
    // They are the message's own length.
    if parsed == CONTENT_LENGTH || parsed == TRANSFER_ENCODING {
        return Err(format!("attache sets header {name}: leave it out"));
    }
    let mut value = HeaderValue::try_from(bytes).map_err(|_| {
        format!("the value of header {name} {origin} is more than one line of text: correct it")
    })?;
    value.set_sensitive(true);
    Ok((parsed, value))
}
