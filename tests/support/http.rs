//! A plain HTTP client for what the tests ask.

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// One request on a connection of its own; the whole response.
pub async fn send(
    request: Request<Bytes>,
) -> Result<Response<Bytes>, hyper_util::client::legacy::Error> {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let (head, body) = client.request(request.map(Full::new)).await?.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes());
    Ok(Response::from_parts(
        head,
        body.expect("the response's body is whole"),
    ))
}

/// GET with these headers.
pub async fn get(
    url: &str,
    headers: &[(&str, &str)],
) -> Result<Response<Bytes>, hyper_util::client::legacy::Error> {
    let mut request = Request::get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request.body(Bytes::new()).expect("a valid request")).await
}

/// POSTs JSON and reads JSON; panics unless the answer is 200.
pub async fn post_json(url: &str, body: &Value) -> Value {
    let request = Request::builder().method(Method::POST).uri(url);
    let request = request
        .body(Bytes::from(body.to_string()))
        .expect("a valid request");
    let response = send(request).await.expect("an answer");
    let text = String::from_utf8_lossy(response.body()).into_owned();
    assert_eq!(response.status(), 200, "POST {url}: {text}");
    serde_json::from_str(&text).expect("JSON")
}
