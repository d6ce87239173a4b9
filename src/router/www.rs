//! Static files (`--www`), much as Go's `FileServer` serves them for `kubectl proxy`. The library
//! does types, conditions and ranges; `beneath` opens the files.

use std::io::{self, ErrorKind};

use bytes::Bytes;
use http::header::{
    ALLOW, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED, LOCATION, RANGE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Either, Empty, Full};
use tower_http::services::ServeDir;
use tower_http::services::fs::{DefaultServeDirFallback, ServeFileSystemResponseBody};
use tracing::debug;

use crate::config;
use crate::http::Body;
use crate::proxy::reply;

mod beneath;

use beneath::Beneath;

/// The most bytes of a file that are read, and held, at a time for one answer.
const CHUNK: usize = 64 * 1024;

/// What the library is to see of a request's headers, the range apart.
const CONDITIONS: [http::HeaderName; 4] = [
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
];

/// A directory's files under a path.
pub(super) struct Www {
    /// Begins and ends with a slash.
    prefix: String,
    files: ServeDir<DefaultServeDirFallback, Beneath>,
}

type Served = Response<ServeFileSystemResponseBody>;

// === impl Www ===

impl Www {
    /// The directory may come and go later: it is looked up for every request.
    pub(super) fn new(config: config::Www) -> Self {
        let files = ServeDir::with_backend("", Beneath::new(&config.root))
            .with_buf_chunk_size(CHUNK)
            .ignore_multi_range_requests(true);
        Self {
            prefix: config.prefix,
            files,
        }
    }

    /// Whether `path` is under the prefix, or is the prefix without its last slash.
    pub(super) fn serves(&self, path: &str) -> bool {
        path.starts_with(&self.prefix) || self.prefix.strip_suffix('/') == Some(path)
    }

    /// How long the prefix is, in bytes.
    pub(super) fn prefix_len(&self) -> usize {
        self.prefix.len()
    }

    /// Answers a request whose path is [served](Self::serves). Only GET and HEAD are.
    pub(super) async fn answer(&self, request: &Parts) -> Response<Body> {
        if request.method != Method::GET && request.method != Method::HEAD {
            let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED);
            let reads = HeaderValue::from_static("GET, HEAD");
            answer.headers_mut().insert(ALLOW, reads);
            return answer;
        }
        let path = request.uri.path();
        let Some(below) = path.strip_prefix(&self.prefix) else {
            return redirect(&request.uri);
        };
        match self.serve(request, below).await {
            Ok(served) => finish(request, served),
            Err(error) => {
                let status = status(&error);
                let answer = status.as_u16();
                debug!(path, answer, %error, "A static file cannot be served: refusing");
                refusal(status)
            }
        }
    }

    /// The library's answer, to the range that is asked for if it is of any meaning.
    async fn serve(&self, request: &Parts, below: &str) -> io::Result<Served> {
        let range = requested_range(request);
        let served = self.ask(request, below, range).await?;
        if range.is_some_and(|range| is_void(range, &request.headers, &served)) {
            return self.ask(request, below, None).await;
        }
        Ok(served)
    }

    async fn ask(
        &self,
        request: &Parts,
        below: &str,
        range: Option<&HeaderValue>,
    ) -> io::Result<Served> {
        let mut asked = Request::new(Empty::<Bytes>::new());
        // HEAD asks as GET does, so that it is answered like it: the file must be readable.
        *asked.uri_mut() = Uri::try_from(format!("/{below}"))
            .map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
        let range = range.map(|range| (RANGE, range));
        let conditions = CONDITIONS
            .into_iter()
            .filter_map(|name| Some((name.clone(), request.headers.get(name)?)));
        for (name, value) in conditions.chain(range) {
            asked.headers_mut().insert(name, value.clone());
        }
        self.files.clone().try_call(asked).await
    }
}

/// A range counts for GET alone, and one in another unit than bytes not at all (RFC 9110,
/// section 14.2).
fn requested_range(request: &Parts) -> Option<&HeaderValue> {
    let range = request.headers.get(RANGE)?;
    let of_bytes = range.as_bytes().starts_with(b"bytes=");
    (request.method == Method::GET && of_bytes).then_some(range)
}

/// Whether the whole file is to be sent, though the library answered with a part or with 416.
fn is_void(range: &HeaderValue, asked: &HeaderMap, served: &Served) -> bool {
    let unsatisfiable = served.status() == StatusCode::RANGE_NOT_SATISFIABLE;
    if !unsatisfiable && served.status() != StatusCode::PARTIAL_CONTENT {
        return false;
    }
    let headers = served.headers();
    // RFC 9110, section 13.1.5: the part is of use to the client only if it fits what it holds.
    let is_current = |held| [ETAG, LAST_MODIFIED].iter().any(|v| headers.get(v) == held);
    if asked.contains_key(IF_RANGE) && !is_current(asked.get(IF_RANGE)) {
        return true;
    }
    // No byte can be named of an empty file.
    let extent = headers.get(CONTENT_RANGE).map(HeaderValue::as_bytes);
    if extent.is_some_and(|extent| extent.ends_with(b"/0")) {
        return true;
    }
    // Section 14.1.2: the last N bytes of a file that has fewer are all of them.
    let last = range.to_str().ok().and_then(|r| r.strip_prefix("bytes=-"));
    unsatisfiable && last.is_some_and(|n| n.parse::<u64>().is_ok_and(|n| n > 0))
}

fn finish(request: &Parts, served: Served) -> Response<Body> {
    let status = served.status();
    if status.is_client_error() || status.is_server_error() {
        let answer = status.as_u16();
        let path = request.uri.path();
        debug!(path, answer, "A request for a static file is refused");
        let mut refusal = refusal(status);
        let extent = served.headers().get(CONTENT_RANGE);
        refusal
            .headers_mut()
            .extend(extent.map(|extent| (CONTENT_RANGE, extent.clone())));
        return refusal;
    }
    if served.headers().contains_key(LOCATION) {
        return redirect(&request.uri);
    }
    let (mut head, body) = served.into_parts();
    name_charset(&mut head.headers);
    let body = if request.method == Method::HEAD {
        Either::Left(Full::default())
    } else {
        let body = body.inspect_err(|error| {
            debug!(%error, "A static file cannot be read to its end: closing the connection");
        });
        Either::Right(body.boxed_unsync())
    };
    Response::from_parts(head, body)
}

/// Text is UTF-8, as kubectl's server says; without it a browser guesses.
fn name_charset(headers: &mut HeaderMap) {
    let Some(media_type) = headers.get_mut(CONTENT_TYPE) else {
        return;
    };
    if media_type.as_bytes().starts_with(b"text/") && !media_type.as_bytes().contains(&b';') {
        let named = [media_type.as_bytes(), b"; charset=utf-8"].concat();
        if let Ok(named) = HeaderValue::from_bytes(&named) {
            *media_type = named;
        }
    }
}

/// To the same path with a slash at its end. Relative, as Go's: it leads nowhere else, whatever
/// the path begins with, and holds behind a forwarded port.
fn redirect(uri: &Uri) -> Response<Body> {
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    let query = uri.query().map(|query| format!("?{query}"));
    let location = format!("./{name}/{}", query.unwrap_or_default());
    let Ok(location) = HeaderValue::try_from(location) else {
        return refusal(StatusCode::NOT_FOUND);
    };
    let mut answer = Response::new(Either::Left(Full::default()));
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    answer.headers_mut().insert(LOCATION, location);
    answer
}

/// As Go's `FileServer` answers; a name that no file can have is not found.
fn status(error: &io::Error) -> StatusCode {
    match error.kind() {
        ErrorKind::NotFound
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::InvalidInput
        | ErrorKind::InvalidFilename => StatusCode::NOT_FOUND,
        ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn refusal(status: StatusCode) -> Response<Body> {
    reply::text(status, format!("{status}\n"))
}

#[cfg(test)]
mod tests;
