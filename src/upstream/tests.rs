use serde_json::{Value, json};

use super::*;
use crate::telemetry::tests::Log;

/// A kubeconfig, and what was made of it.
struct Fixture {
    dir: tempfile::TempDir,
    upstream: Upstream,
}

impl Fixture {
    async fn new(server: &str, user: Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        write(&dir, server, &user);
        let settings = config::Connection {
            kubeconfig: Some(dir.path().join("kubeconfig")),
            ..Default::default()
        };
        let upstream = Upstream::new(settings).await.unwrap();
        Self { dir, upstream }
    }

    fn write(&self, server: &str, user: Value) {
        write(&self.dir, server, &user);
    }

    /// Asks as a refused request does; the generation in use then.
    async fn renew(&self) -> (bool, u64) {
        let generation = self.generation();
        let renewed = self.upstream.renew(generation).await;
        (renewed, self.generation())
    }

    fn generation(&self) -> u64 {
        self.upstream.lock().generation
    }
}

fn write(dir: &tempfile::TempDir, server: &str, user: &Value) {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
    });
    std::fs::write(dir.path().join("kubeconfig"), config.to_string()).unwrap();
}

const SERVER: &str = "http://127.0.0.1:1";

async fn upstream() -> Upstream {
    let made = Fixture::new(SERVER, json!({"token": "t"})).await;
    made.upstream
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

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_not_about_credentials_changes_nothing() {
    let made = Fixture::new(SERVER, json!({"token": "t"})).await;
    let lease = made.upstream.lease();
    lease.client().await.unwrap();
    assert_eq!(made.renew().await, (false, 0));
    assert!(!made.upstream.refresh(0).await.unwrap());
    // A change is found after a second, and only then.
    made.write(SERVER, json!({"token": "u"}));
    assert_eq!(made.renew().await, (false, 0));
    tokio::time::advance(RENEW).await;
    assert_eq!(made.renew().await, (true, 1));
    assert_eq!(lease.client().await.unwrap().generation, 1);
    assert!(made.upstream.renew(0).await, "newer than what was refused");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_any_file_that_is_named_is_one() {
    let dir = tempfile::tempdir().unwrap();
    for key in ["tokenFile", "client-certificate", "client-key"] {
        let file = dir.path().join(key);
        std::fs::write(&file, "old").unwrap();
        let made = Fixture::new(SERVER, json!({key: file})).await;
        assert_eq!(made.renew().await, (false, 0), "{key}");
        std::fs::write(&file, "new").unwrap();
        tokio::time::advance(RENEW).await;
        assert_eq!(made.renew().await, (true, 1), "{key}");
        tokio::time::advance(RENEW).await;
        assert_eq!(made.renew().await, (false, 1), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_may_give_another_token_each_time() {
    let user =
        json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "true"}});
    let made = Fixture::new(SERVER, user).await;
    assert_eq!(made.renew().await, (true, 1));
    tokio::time::advance(RENEW).await;
    assert_eq!(made.renew().await, (false, 1));
    tokio::time::advance(RENEW_COSTLY).await;
    assert_eq!(made.renew().await, (true, 2));
}

#[tokio::test]
async fn another_server_is_not_followed() {
    let made = Fixture::new(SERVER, json!({"token": "t"})).await;
    made.write("http://bob:hunter2@127.0.0.1:1/k8s", json!({"token": "u"}));
    let error = made.upstream.refresh(0).await.unwrap_err().to_string();
    assert!(
        error.contains("http://127.0.0.1:1/k8s now") && !error.contains("hunter2"),
        "{error}"
    );
    assert_eq!(made.renew().await, (false, 0));
    assert_eq!(made.upstream.server_path(), "");
}

#[tokio::test]
async fn the_server_is_shown_without_its_password() {
    let made = Fixture::new("https://bob:hunter2@host:6443/k8s", json!({})).await;
    assert_eq!(made.upstream.server(), "https://host:6443/k8s");
}

#[tokio::test]
async fn a_token_that_is_withheld_is_told_once() {
    let (log, _guard) = Log::start();
    let server = "http://bob:hunter2@plain.example:8001";
    let made = Fixture::new(server, json!({"token": "hunter3"})).await;
    assert!(!made.upstream.refresh(0).await.unwrap());
    made.write(server, json!({"token": "other", "as": "bob"}));
    assert!(made.upstream.refresh(0).await.unwrap());
    let log = log.text();
    assert_eq!(log.matches("no token is sent").count(), 1, "{log}");
    assert!(
        log.contains("http://plain.example:8001") && !log.contains("hunter"),
        "{log}"
    );
}
