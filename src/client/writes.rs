//! `attache set` and `attache unset`: keys of a ConfigMap, written through the sidecar.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, IF_MATCH};
use hyper::http::request::Builder;
use hyper::{Request, StatusCode};

use super::{Failure, accepted, connection, namespace, path, within};
use crate::config::{Endpoint, ObjectKind, Set, Unset, ValueFrom};

/// The most that all values of a ConfigMap have together (Kubernetes, "ConfigMaps").
const MOST: u64 = 1 << 20;

/// What is to be written: text goes together, what is not UTF-8 key by key.
#[derive(Default)]
struct Values {
    text: BTreeMap<String, String>,
    binary: Vec<(String, Vec<u8>)>,
}

/// Sets keys: all that are text at once, then each that is not. `stdin` is read if a value comes from
/// there.
///
/// # Errors
/// A value cannot be read, the sidecar cannot be reached in time, or it refuses (403, 405, 412, …).
pub async fn set(set: &Set, stdin: &mut impl Read) -> Result<(), Failure> {
    let values = Values::read(set, stdin)?;
    let written = within(&set.endpoint, set.timeout, values.write(set)).await;
    written.map_err(unknown)
}

/// Removes keys, all at once. One that is not there is none the worse, nor is a ConfigMap.
///
/// # Errors
/// The sidecar cannot be reached in time, or it refuses (403, 405, …).
pub async fn unset(unset: &Unset) -> Result<(), Failure> {
    let endpoint = &unset.endpoint;
    let removed = async {
        let namespace = namespace(endpoint, &unset.object).await?;
        let path = path(&namespace, ObjectKind::ConfigMap, &unset.object, None);
        let nulls: BTreeMap<_, Option<()>> = unset.keys.iter().map(|key| (key, None)).collect();
        let request = Request::patch(path).header(CONTENT_TYPE, "application/merge-patch+json");
        let answer = connection::exchange(endpoint, request, json(&nulls)).await?;
        // An attache says so in its own way; whatever else listens there has removed nothing.
        if answer.status == StatusCode::NOT_FOUND && answer.problem().detail.is_some() {
            return Ok(());
        }
        accepted(&answer).map(drop)
    };
    within(endpoint, unset.timeout, removed)
        .await
        .map_err(unknown)
}

// === impl Values ===

impl Values {
    fn read(set: &Set, stdin: &mut impl Read) -> Result<Self, Failure> {
        let mut values = Self {
            text: set.values.clone(),
            binary: Vec::new(),
        };
        for (key, from) in &set.files {
            let read = match from {
                ValueFrom::Stdin => read_all(&mut *stdin),
                ValueFrom::File(path) => File::open(path).and_then(read_all),
            };
            let read = read.map_err(|error| {
                Failure::Input(format!(
                    "cannot read the value of {key} from {from}: {error}"
                ))
            })?;
            match String::from_utf8(read) {
                Ok(text) => drop(values.text.insert(key.clone(), text)),
                Err(error) => values.binary.push((key.clone(), error.into_bytes())),
            }
        }
        match values.binary.first() {
            Some((key, _)) if set.if_match.is_some() => Err(Failure::Input(format!(
                "the value of {key} is not UTF-8 and written by itself, which --if-match cannot \
                 guard: set it without"
            ))),
            _ => Ok(values),
        }
    }

    async fn write(&self, set: &Set) -> Result<(), Failure> {
        let namespace = namespace(&set.endpoint, &set.object).await?;
        let path = |key| path(&namespace, ObjectKind::ConfigMap, &set.object, key);
        let mut written = !self.text.is_empty();
        if written {
            let mut request = Request::post(path(None)).header(CONTENT_TYPE, "application/json");
            if let Some(etag) = &set.if_match {
                request = request.header(IF_MATCH, etag);
            }
            send(&set.endpoint, request, json(&self.text)).await?;
        }
        for (key, value) in &self.binary {
            let request =
                Request::put(path(Some(key))).header(CONTENT_TYPE, "application/octet-stream");
            let sent = send(&set.endpoint, request, value.clone().into()).await;
            sent.map_err(|failure| match failure {
                Failure::Refused(detail) if written => Failure::Refused(format!(
                    "{detail} (this was the value of {key}; what was given before it is written)"
                )),
                failure => failure,
            })?;
            written = true;
        }
        Ok(())
    }
}

/// Who got no answer does not know what became of a write.
fn unknown(failure: Failure) -> Failure {
    match failure {
        Failure::Late { at, timeout, .. } => Failure::Late {
            at,
            timeout,
            aftermath: "; it may have been written all the same: see what attache get shows",
        },
        failure => failure,
    }
}

async fn send(endpoint: &Endpoint, request: Builder, body: Bytes) -> Result<(), Failure> {
    accepted(&connection::exchange(endpoint, request, body).await?).map(drop)
}

fn json(map: &impl serde::Serialize) -> Bytes {
    // Text by text cannot fail to be JSON.
    serde_json::to_vec(map).unwrap_or_default().into()
}

/// Not more than any ConfigMap takes: a wrong path may lead to anything.
fn read_all(from: impl Read) -> io::Result<Vec<u8>> {
    let mut value = Vec::new();
    from.take(MOST + 1).read_to_end(&mut value)?;
    if value.len() as u64 > MOST {
        let what = "it is larger than 1 MiB, the most that a ConfigMap holds";
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
