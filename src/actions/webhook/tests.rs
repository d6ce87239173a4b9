use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::connect::Duplex;
use super::*;
use crate::actions::ChangedObject;
use crate::config::HeaderText;
use crate::store::diff::KeyChanges;
use crate::store::{Kind, ObjectRef};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

fn change() -> Change {
    let object = ChangedObject {
        reference: ObjectRef::new(Kind::ConfigMap, "default", "web"),
        resource_version: "4711".into(),
        keys: KeyChanges {
            changed: vec!["edit".into()],
            ..KeyChanges::default()
        },
        annotations: std::collections::BTreeMap::new(),
    };
    Change {
        objects: vec![object],
        since: std::time::Instant::now(),
        content_hash: "hash".into(),
    }
}

fn hook(url: &str) -> WebhookAction {
    WebhookAction::new(url.parse().unwrap())
}

async fn called(action: &WebhookAction) -> String {
    match run(action, &change()).await.unwrap() {
        Outcome::Done(detail) | Outcome::Skipped(detail) => detail,
    }
}

/// The message of a call that fails before the endpoint could act upon it.
async fn refused(action: &WebhookAction) -> String {
    let error = run(action, &change()).await.unwrap_err();
    assert!(!error.may_have_reached(), "{error}");
    error.to_string()
}

/// Reads one request, of which the head comes back, and the body.
async fn answer(mut stream: impl Duplex, answer: &str) -> (String, String) {
    let mut text = String::new();
    loop {
        let mut chunk = [0; 1024];
        let read = stream.read(&mut chunk).await.unwrap();
        assert!(read > 0, "the client hung up after {text}");
        text.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let mut lines = head.lines();
        let length = lines.find_map(|line| line.strip_prefix("content-length: "));
        if body.len() == length.map_or(0, |length| length.parse().unwrap()) {
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            return (head.to_owned(), body.to_owned());
        }
    }
}

/// Answers one request; yields it.
async fn endpoint(with: &'static str) -> (String, JoinHandle<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answer(stream, with).await
    });
    (format!("http://{address}"), served)
}

fn has(head: &str, line: &str) {
    assert!(head.lines().any(|l| l == line), "{line:?} not in {head}");
}

/// A certificate authority, and a certificate that it issued.
struct Authority {
    dir: TempDir,
}

impl Authority {
    fn new(names: &str) -> Self {
        let authority = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        authority.openssl(&["-subj", "/CN=authority"], "ca");
        let names = format!("subjectAltName={names}");
        let (ca, ca_key) = (authority.path("ca.pem"), authority.path("ca.key"));
        let issued = [
            "-CA",
            ca.to_str().unwrap(),
            "-CAkey",
            ca_key.to_str().unwrap(),
            "-subj",
            "/CN=app",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-addext",
            &names,
        ];
        authority.openssl(&issued, "app");
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn openssl(&self, arguments: &[&str], name: &str) {
        let output = Command::new("openssl")
            .args([
                "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt",
            ])
            .arg("ec_paramgen_curve:prime256v1")
            .args(arguments)
            .arg("-keyout")
            .arg(self.path(&format!("{name}.key")))
            .arg("-out")
            .arg(self.path(&format!("{name}.pem")))
            .output()
            .unwrap();
        assert!(output.status.success(), "openssl: {output:?}");
    }

    fn acceptor(&self) -> TlsAcceptor {
        let certificate = CertificateDer::from_pem_file(self.path("app.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.path("app.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Serves TLS for good; yields its port. Requests of clients that trust it are answered.
    async fn serve(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = self.acceptor();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer(stream, OK).await;
                }
            }
        });
        port
    }

    fn trusted(&self, url: &str) -> WebhookAction {
        WebhookAction {
            certificate_authority: Some(self.path("ca.pem")),
            ..hook(url)
        }
    }
}

#[tokio::test]
async fn https_is_held_against_the_given_authority_by_name_and_by_address() {
    let authority = Authority::new("DNS:localhost,IP:127.0.0.1");
    let port = authority.serve().await;
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{port}/reload");
        let detail = called(&authority.trusted(&format!("{url}?token=t"))).await;
        assert_eq!(detail, format!("POST {url} answered 200 OK"));
    }
}

#[tokio::test]
async fn https_of_an_ipv6_address_is_held_against_it() {
    let authority = Authority::new("IP:::1");
    let acceptor = authority.acceptor();
    // Not every machine has that address.
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("app.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answer(acceptor.accept(stream).await.unwrap(), OK).await
    });
    let action = WebhookAction {
        unix_socket: Some(socket),
        ..authority.trusted("https://[::1]/")
    };
    called(&action).await;
    has(&served.await.unwrap().0, "host: [::1]");
}

#[tokio::test]
async fn https_without_trust_sends_nothing_and_says_what_to_set() {
    let authority = Authority::new("DNS:localhost");
    let port = authority.serve().await;
    let by_address = authority.trusted(&format!("https://127.0.0.1:{port}/"));
    let text = refused(&by_address).await;
    assert!(text.contains("use a host in the URL that"), "{text}");
    let url = format!("https://localhost:{port}/");
    let other = Authority::new("DNS:localhost");
    // The machine's own authorities, if there are any, have not issued it.
    for action in [other.trusted(&url), hook(&url)] {
        let text = refused(&action).await;
        assert!(text.contains("set certificateAuthority to"), "{text}");
    }
    // The rule's file is read at each call.
    let mut action = other.trusted(&url);
    std::fs::copy(authority.path("ca.pem"), other.path("ca.pem")).unwrap();
    called(&action).await;
    for (name, content) in [
        ("none.pem", None),
        ("empty.pem", Some("")),
        ("text.pem", Some("no PEM")),
        (
            "broken.pem",
            Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
        ),
        (
            "bytes.pem",
            Some("-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n"),
        ),
    ] {
        let path = other.path(name);
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        action.certificate_authority = Some(path.clone());
        let text = refused(&action).await;
        let expected = format!("certificateAuthority {}: ", path.display());
        assert!(
            text.contains(&expected) && text.contains("in PEM"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_endpoint_without_tls_or_that_never_ends_the_handshake_was_not_reached() {
    let authority = Authority::new("IP:127.0.0.1");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let plain = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        listener.accept().await.unwrap()
    });
    let mut action = authority.trusted(&url);
    let text = refused(&action).await;
    assert!(text.contains("speaks TLS there, or use http://"), "{text}");
    action.timeout = Duration::from_millis(200);
    let text = refused(&action).await;
    assert!(text.contains("no complete answer within 200ms"), "{text}");
    plain.await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_stands_for_the_host_which_is_still_sent() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("app.sock");
    let mut action = WebhookAction {
        unix_socket: Some(socket.clone()),
        ..hook("http://app.example:8080/reload")
    };
    let text = refused(&action).await;
    assert!(
        text.contains(&format!("the socket {}: ", socket.display()))
            && text.contains("check that the app listens on it"),
        "{text}"
    );
    let listener = UnixListener::bind(&socket).unwrap();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answer(stream, OK).await
    });
    action.method = Method::PUT;
    let detail = called(&action).await;
    assert_eq!(detail, "PUT http://app.example:8080/reload answered 200 OK");
    let (head, body) = served.await.unwrap();
    has(&head, "PUT /reload HTTP/1.1");
    has(&head, "host: app.example:8080");
    has(&head, "content-type: application/json");
    assert!(body.contains(r#""changed":["edit"]"#), "{body}");
}

fn with_header(url: &str, name: &str, text: HeaderText) -> WebhookAction {
    WebhookAction {
        headers: [(name.to_owned(), text)].into(),
        ..hook(url)
    }
}

fn file(path: &Path) -> HeaderText {
    HeaderText::File(path.to_owned())
}

#[tokio::test]
async fn headers_from_files_are_read_at_each_call() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    for value in ["Bearer one", "Bearer two"] {
        std::fs::write(&token, format!("{value} \r\n\n")).unwrap();
        let (url, served) = endpoint(OK).await;
        let mut action = with_header(&url, "Authorization", file(&token));
        let given = HeaderText::Given("text/plain".into());
        action.headers.insert("Content-Type".into(), given);
        called(&action).await;
        let (head, _) = served.await.unwrap();
        has(&head, &format!("authorization: {value}"));
        has(&head, "content-type: text/plain");
        assert_eq!(head.matches("content-type").count(), 1, "{head}");
    }
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_named_without_its_value() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let url = "http://127.0.0.1:9/?token=hunter2";
    let text = refused(&with_header(url, "X-Token", file(&path))).await;
    let named = |text: &str| text.contains("X-Token") && text.contains(path.to_str().unwrap());
    assert!(named(&text) && text.contains("mount the file"), "{text}");
    std::fs::write(&path, "hunter2\nhunter3").unwrap();
    let from_file = refused(&with_header(url, "X-Token", file(&path))).await;
    assert!(named(&from_file), "{from_file}");
    let given = |text: &str| HeaderText::Given(text.to_owned());
    let in_rule = refused(&with_header(url, "X-Token", given("hunter2\r\nA: b"))).await;
    assert!(in_rule.contains("X-Token in the rule"), "{in_rule}");
    let name = refused(&with_header(url, "X Token", given("hunter2"))).await;
    assert!(name.contains("not a header's name"), "{name}");
    let framing = refused(&with_header(url, "Content-Length", given("hunter2"))).await;
    assert!(framing.contains("leave it out"), "{framing}");
    for text in [from_file, in_rule, name, framing, text] {
        assert!(!text.contains("hunter"), "{text}");
    }
}

#[tokio::test]
async fn only_the_expected_statuses_are_success() {
    for (status, expect, expected) in [
        ("409 Conflict", &[200, 409][..], None),
        ("302 Found", &[302], None),
        (
            "204 No Content",
            &[200, 409],
            Some("; the rule expects 200, 409"),
        ),
        ("409 Conflict", &[], Some("answered 409 Conflict")),
        ("302 Found", &[], Some("redirects are not followed")),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        let (url, served) = endpoint(answer.leak()).await;
        let action = WebhookAction {
            expect: expect
                .iter()
                .map(|code: &u16| StatusCode::from_u16(*code).unwrap())
                .collect(),
            ..hook(&url)
        };
        match (run(&action, &change()).await, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => {
                assert!(error.to_string().contains(expected), "{error}");
                assert!(error.may_have_reached());
            }
            (other, _) => panic!("{status}: {other:?}"),
        }
        served.await.unwrap();
    }
}
