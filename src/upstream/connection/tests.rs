use rustix::net::sockopt::{tcp_keepcnt, tcp_keepidle, tcp_keepintvl, tcp_user_timeout};
use tokio::net::TcpListener;
use tower_service::Service as _;

use super::*;

#[tokio::test]
async fn only_the_watches_connections_end_for_want_of_an_acknowledgement() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server: Uri = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let connect = async |versions| {
        let connected = tcp(None, versions).call(server.clone()).await;
        connected.unwrap().into_inner()
    };
    let watched = connect(HttpVersions::All).await;
    assert_eq!(tcp_user_timeout(&watched), Ok(30_000));
    let proxied = connect(HttpVersions::Http1).await;
    assert_eq!(
        tcp_user_timeout(&proxied),
        Ok(0),
        "a slow reader is waited for"
    );
    assert_eq!(tcp_keepidle(&proxied), Ok(PING));
    assert_eq!(tcp_keepintvl(&proxied), Ok(PROBE));
    assert_eq!(tcp_keepcnt(&proxied), Ok(PROBES));
}
