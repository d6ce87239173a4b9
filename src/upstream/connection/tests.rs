use rustix::net::sockopt::{
    socket_keepalive, tcp_keepcnt, tcp_keepidle, tcp_keepintvl, tcp_user_timeout,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tower_service::Service as _;

use http::Request;

use super::super::body::RequestBody;
use super::super::client::{Client, Identity, SendError};
use super::super::loaded::Loaded;
use super::*;

fn client(config: Config, versions: HttpVersions) -> Result<Client, UpstreamError> {
    let loaded = Loaded::new(config, false);
    Client::new(&loaded, None, Heard::new(), versions, Identity::Caller, 0)
}

#[tokio::test]
async fn only_the_watches_connections_end_for_want_of_an_acknowledgement() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server: Uri = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let connect = async |keepalive, versions| {
        let connected = tcp(keepalive, versions).call(server.clone()).await;
        connected.unwrap().into_inner()
    };
    let watched = connect(None, HttpVersions::All).await;
    assert_eq!(tcp_user_timeout(&watched), Ok(30_000));
    let proxied = connect(None, HttpVersions::Http1).await;
    assert_eq!(
        tcp_user_timeout(&proxied),
        Ok(0),
        "a slow reader is waited for"
    );
    assert_eq!(tcp_keepidle(&proxied), Ok(PING));
    assert_eq!(tcp_keepintvl(&proxied), Ok(PROBE));
    assert_eq!(tcp_keepcnt(&proxied), Ok(PROBES));
    assert_eq!(socket_keepalive(&proxied), Ok(true));
    let unprobed = connect(Some(Duration::ZERO), HttpVersions::Http1).await;
    assert_eq!(socket_keepalive(&unprobed), Ok(false));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_stays_silent_is_given_up() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let direct = Config::new(format!("https://{address}").parse().unwrap());
    let through = |scheme: &str| {
        let mut config = Config::new("https://api.example:6443".parse().unwrap());
        config.proxy_url = Some(format!("{scheme}://{address}").parse().unwrap());
        config
    };
    for (config, begins) in [
        (direct, &b"\x16\x03"[..]),
        (through("http"), b"CONNECT api.example:6443 "),
        (through("https"), b"\x16\x03"),
        (through("socks5"), b"\x05"),
    ] {
        // Ends at once if what waits has no end of its own.
        let unlimited = Duration::from_secs(3600);
        for versions in [HttpVersions::Http1, HttpVersions::All] {
            let client = client(config.clone(), versions).unwrap();
            let sending = client.send(Request::new(RequestBody::empty()));
            let sent = timeout(unlimited, sending).await.expect("a limit");
            let error = sent.unwrap_err();
            assert!(matches!(error, SendError::Connect(_)), "{error}");
            assert!(error.to_string().ends_with("no connection within 10 s"));
            let (mut accepted, _) = silent.accept().await.unwrap();
            let mut sent = vec![0; begins.len()];
            accepted.read_exact(&mut sent).await.unwrap();
            assert_eq!(sent, begins, "TCP was not what took so long");
        }
    }
}

#[test]
fn a_proxy_of_another_scheme_is_named_without_its_password() {
    let mut config = Config::new("https://api.example:6443".parse().unwrap());
    config.proxy_url = Some("ftp://bob:hunter2@proxy.example:21".parse().unwrap());
    let error = client(config, HttpVersions::All).err().unwrap();
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("ftp://proxy.example:21 ") && !text.contains("hunter2"),
        "{text}"
    );
}
