use super::*;

fn port(listener: &Listener) -> u16 {
    match listener.address().unwrap() {
        BoundAddress::Tcp(address) => address.port(),
        BoundAddress::Unix(path) => panic!("a Unix socket: {}", path.display()),
    }
}

#[tokio::test]
async fn loopback_is_one_port_on_every_family_the_machine_has() {
    let listeners = bind(Ipv4Addr::LOCALHOST.into(), 0).await.unwrap();
    let has_ipv6 = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    assert_eq!(listeners.len(), 1 + usize::from(has_ipv6));
    assert!(listeners.iter().all(|l| port(l) == port(&listeners[0])));
    assert_ne!(port(&listeners[0]), 0);
}

#[tokio::test]
async fn any_other_address_is_that_address_alone() {
    let listeners = bind("127.0.0.2".parse().unwrap(), 0).await.unwrap();
    assert_eq!(listeners.len(), 1);
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_the_address() {
    let taken = bind(Ipv4Addr::LOCALHOST.into(), 0).await.unwrap();
    let error = bind(Ipv4Addr::LOCALHOST.into(), port(&taken[0]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains("127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn a_unix_socket_is_private_and_goes_with_its_listener() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("attache.sock");
    let listener = bind_unix(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, UNIX_SOCKET_MODE);
    assert_eq!(
        listener.address().unwrap().to_string(),
        format!("unix:{}", path.display())
    );
    let error = bind_unix(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_file_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("attache.sock");
    // std leaves the file behind, as a killed process does.
    drop(unix::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = bind_unix(&path).unwrap();
    // What took the socket's place in the meantime is not ours to remove.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "mine").unwrap();
    drop(listener);
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    let error = bind_unix(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
}

#[tokio::test]
async fn a_burst_of_clients_waits_to_be_accepted_and_none_is_dropped() {
    const BURST: usize = 400;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("attache.sock");
    let unix = bind_unix(&path).unwrap();
    let tcp = bind("127.0.0.2".parse().unwrap(), 0).await.unwrap();
    // Nobody accepts meanwhile.
    let mut waiting = Vec::new();
    for _ in 0..BURST {
        let address = SocketAddr::new("127.0.0.2".parse().unwrap(), port(&tcp[0]));
        // One that is dropped is tried again, and dropped again, beyond this.
        let patience = std::time::Duration::from_secs(5);
        waiting.push(std::net::TcpStream::connect_timeout(&address, patience).unwrap());
    }
    assert_eq!(waiting.len(), BURST);
    let mut waiting = Vec::new();
    for _ in 0..BURST {
        // Where there is no room, a Unix socket's client would wait for it.
        let client = rustix::net::socket_with(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::NONBLOCK,
            None,
        );
        let client = client.unwrap();
        let address = rustix::net::SocketAddrUnix::new(&path).unwrap();
        rustix::net::connect(&client, &address).unwrap();
        waiting.push(client);
    }
    drop(unix);
}

#[tokio::test]
async fn the_unspecified_address_takes_clients_of_both_families() {
    let any = bind(Ipv6Addr::UNSPECIFIED.into(), 0).await.unwrap();
    assert_eq!(any.len(), 1);
    let clients = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ];
    let has_ipv6 = tcp(Ipv6Addr::LOCALHOST.into(), 0).is_ok();
    for client in &clients[..1 + usize::from(has_ipv6)] {
        let connected = TcpStream::connect((*client, port(&any[0]))).await.unwrap();
        let accepted = accept(&any, &mut 0).await.unwrap();
        assert_eq!(accepted.peer().address(), Some(*client));
        drop(connected);
    }
}

#[test]
fn a_machine_without_ipv6_is_told_from_a_port_that_is_taken() {
    for lacking in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
        assert!(lacks_ipv6(&lacking.into()), "{lacking:?}");
    }
    for other in [Errno::ADDRINUSE, Errno::ACCESS] {
        assert!(!lacks_ipv6(&other.into()), "{other:?}");
    }
}
