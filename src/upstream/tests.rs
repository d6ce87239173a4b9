use super::*;

async fn upstream() -> Upstream {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    std::fs::write(
        &path,
        r#"{"apiVersion":"v1","kind":"Config","current-context":"a","clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:1"}}],"users":[{"name":"u","user":{"token":"t"}}],"contexts":[{"name":"a","context":{"cluster":"c","user":"u","namespace":"team"}}]}"#,
    )
    .unwrap();
    let settings = config::Connection {
        kubeconfig: Some(path),
        ..Default::default()
    };
    Upstream::new(settings).await.unwrap()
}

#[tokio::test]
async fn the_namespace_is_the_contexts() {
    assert_eq!(upstream().await.default_namespace(), "team");
}

#[tokio::test]
async fn watches_share_a_connection_until_it_is_full_and_give_their_place_back() {
    let upstream = upstream().await;
    let mut leases: Vec<_> = (0..=WATCHES_PER_CONNECTION)
        .map(|_| upstream.lease())
        .collect();
    let places: Vec<_> = leases.iter().map(|lease| lease.connection).collect();
    assert!(
        places[..WATCHES_PER_CONNECTION]
            .iter()
            .all(|place| *place == 0)
    );
    assert_eq!(places[WATCHES_PER_CONNECTION], 1);
    leases.remove(0);
    assert_eq!(upstream.lease().connection, 0);
}

#[tokio::test]
async fn credentials_are_read_once_for_any_number_of_refusals() {
    let upstream = upstream().await;
    let lease = upstream.lease();
    let first = lease.client().await.unwrap();
    // The file is gone: reading it again fails and leaves the client in use.
    assert!(upstream.refresh(first.generation).await.is_err());
    assert_eq!(lease.client().await.unwrap().generation, first.generation);
    assert!(
        upstream.refresh(first.generation + 1).await.is_ok(),
        "not this generation: no read"
    );
}

#[tokio::test]
async fn a_missing_kubeconfig_is_named() {
    let settings = config::Connection {
        kubeconfig: Some("/nonexistent/kubeconfig".into()),
        ..Default::default()
    };
    let error = Upstream::new(settings).await.err().unwrap();
    assert!(
        error.to_string().contains("/nonexistent/kubeconfig"),
        "{error}"
    );
}
