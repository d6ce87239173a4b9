//! HTTPS on the same accept loop.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use attache::http::listen::BoundAddress;
use attache::http::{Body, Handler, Limits, Meters, Peer, listen, serve};
use attache::shutdown::{Trigger, channel};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::support::{PATIENCE, QUIET};

/// Answers with the request's body.
struct Echo;

impl Handler for Echo {
    async fn handle(&self, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        assert_eq!(peer.address(), Some(Ipv4Addr::LOCALHOST.into()));
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(Either::Left(Full::new(body)))
    }
}

struct Secure {
    port: u16,
    roots: Arc<ClientConfig>,
    open: prometheus_client::metrics::gauge::Gauge,
    trigger: Trigger,
    task: JoinHandle<()>,
}

impl Secure {
    async fn new(limits: Limits) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let provider = Arc::new(default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let bound = listen::bind(Ipv4Addr::LOCALHOST.into(), 0).await.unwrap();
        let BoundAddress::Tcp(address) = bound[0].address().unwrap() else {
            panic!("not TCP")
        };
        let server = Arc::new(server);
        let listeners = bound.into_iter().map(|l| l.tls(Arc::clone(&server)));
        let (trigger, shutdown) = channel();
        let meters = Meters::default();
        let open = meters.open.clone();
        let serving = serve(
            listeners.collect(),
            Arc::new(Echo),
            limits,
            meters,
            shutdown,
        );
        Self {
            port: address.port(),
            roots: Arc::new(client),
            open,
            trigger,
            task: tokio::spawn(serving),
        }
    }

    async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = self.plain().await;
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::clone(&self.roots));
        connector.connect(name, stream).await
    }

    async fn plain(&self) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .await
            .unwrap()
    }
}

async fn post(stream: &mut TlsStream<TcpStream>, body: &[u8]) -> Result<Vec<u8>, Infallible> {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", head.escape_ascii());
    let mut answer = vec![0; body.len()];
    stream.read_exact(&mut answer).await.unwrap();
    Ok(answer)
}

#[tokio::test]
async fn https_is_served_beside_clients_that_do_not_speak_it() {
    let _shared = QUIET.read().await;
    let secure = Secure::new(Limits::new(64)).await;
    // Silent ones hold up nobody; whoever speaks plain HTTP is sent away.
    let _silent = [secure.plain().await, secure.plain().await];
    let mut plain = secure.plain().await;
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, plain.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(!rest.starts_with(b"HTTP"), "{}", rest.escape_ascii());

    let mut stream = timeout(PATIENCE, secure.connect()).await.unwrap().unwrap();
    let large = Bytes::from(vec![b'x'; 300_000]);
    for body in [&b"a pod"[..], &large, b"another"] {
        let Ok(answer) = timeout(PATIENCE, post(&mut stream, body)).await.unwrap();
        assert!(answer == body);
    }
    // The silent ones and the idle one end with the server.
    secure.trigger.stop();
    timeout(PATIENCE, secure.task).await.unwrap().unwrap();
    let ended = stream.read_u8().await.unwrap_err();
    assert_eq!(ended.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_handshake_has_as_long_as_a_requests_head() {
    let _shared = QUIET.read().await;
    let limits = Limits {
        header_read_timeout: Duration::from_millis(50),
        ..Limits::new(64)
    };
    let secure = Secure::new(limits).await;
    let mut silent = secure.plain().await;
    let read = timeout(PATIENCE, silent.read_u8()).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    timeout(PATIENCE, async {
        while secure.open.get() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}
