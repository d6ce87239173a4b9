//! The yardstick of bench/throughput: hyper on one thread, answering every request with the same
//! bytes and headers as attache's GET of a key, and doing nothing else.
#![allow(clippy::expect_used, reason = "a benchmark that cannot run says so")]

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().and_then(|port| port.parse::<u16>().ok());
    let value = arguments.next().map(Bytes::from);
    let (port, value) = port.zip(value).expect("bare_hyper PORT VALUE");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(serve(port, value));
}

async fn serve(port: u16, value: Bytes) {
    let listener = TcpListener::bind(("127.0.0.1", port))
        .await
        .expect("the port is free");
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let value = value.clone();
        let service = service_fn(move |_| {
            let response = answer(value.clone());
            async { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(async move {
            // A client that goes away is no fault.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(value: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(value));
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("etag", "\"0123456789abcdef0123456789abcdef\""),
        ("x-resource-version", "1234"),
        ("cache-status", "attache; hit"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
