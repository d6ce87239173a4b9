use super::*;
use crate::config::Token;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";

/// Two contexts; the current one has every kind of credential, and its cluster all that TLS takes.
const KUBECONFIG: &str = r#"
apiVersion: v1
kind: Config
current-context: full
clusters:
- name: full
  cluster:
    server: https://full.example:6443/k8s
    certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkJBVUcKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=
    tls-server-name: name.example
- name: plain
  cluster: {server: "https://plain.example:8080", insecure-skip-tls-verify: true}
users:
- name: full
  user:
    token: theirs
    tokenFile: /token
    username: name
    password: theirs
    client-certificate-data: Y2VydA==
    client-key-data: a2V5
    as: someone
    as-groups: [some]
    exec: {apiVersion: client.authentication.k8s.io/v1, command: plugin, interactiveMode: Never}
    auth-provider: {name: provider, config: {}}
- name: other
  user: {token: others}
contexts:
- name: full
  context: {cluster: full, user: full, namespace: team}
- name: plain
  context: {cluster: plain, user: other}
"#;

/// The credentials of a kubeconfig of that text, with the changes to the flags.
async fn load_text(
    kubeconfig: &str,
    change: impl FnOnce(&mut Connection),
) -> Result<Config, CredentialsError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig).unwrap();
    let mut settings = Connection {
        kubeconfig: Some(path),
        ..Connection::default()
    };
    change(&mut settings);
    load(&settings).await.map(|loaded| loaded.config)
}

async fn load_with(change: impl FnOnce(&mut Connection)) -> Config {
    load_text(KUBECONFIG, change).await.unwrap()
}

fn token(config: &Config) -> Option<serde_json::Value> {
    let user = serde_json::to_value(&config.auth_info).unwrap();
    user.get("token").cloned()
}

#[tokio::test]
async fn without_flags_the_kubeconfig_stands() {
    let config = load_with(|_| {}).await;
    assert_eq!(config.cluster_url, "https://full.example:6443/k8s");
    assert_eq!(config.default_namespace, "team");
    assert_eq!(config.root_cert, Some(vec![vec![4, 5, 6]]));
    assert_eq!(config.tls_server_name.as_deref(), Some("name.example"));
    assert_eq!(token(&config).unwrap(), "theirs");
    assert!(config.auth_info.exec.is_some() && !config.accept_invalid_certs);
}

#[tokio::test]
async fn context_cluster_and_user_are_chosen_apart() {
    let config = load_with(|flags| flags.context = Some("plain".into())).await;
    assert_eq!(config.cluster_url, "https://plain.example:8080/");
    assert_eq!(token(&config).unwrap(), "others");
    let config = load_with(|flags| flags.cluster = Some("plain".into())).await;
    assert_eq!(config.cluster_url, "https://plain.example:8080/");
    assert_eq!(token(&config).unwrap(), "theirs");
    let config = load_with(|flags| flags.user = Some("other".into())).await;
    assert_eq!(config.cluster_url.host(), Some("full.example"));
    assert_eq!(token(&config).unwrap(), "others");
}

#[tokio::test]
async fn what_the_kubeconfig_has_not_is_named() {
    type Change = fn(&mut Connection);
    let changes: [Change; 3] = [
        |flags| flags.context = Some("nope".into()),
        |flags| flags.cluster = Some("nope".into()),
        |flags| flags.user = Some("nope".into()),
    ];
    for change in changes {
        let error = load_text(KUBECONFIG, change).await.unwrap_err().to_string();
        assert!(
            error.contains("nope") && error.contains("/kubeconfig"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_token_replaces_all_but_the_certificate_and_the_impersonation() {
    let config = load_with(|flags| flags.token = Some(Token::from("ours".to_owned()))).await;
    assert_eq!(token(&config).unwrap(), "ours");
    let user = config.auth_info;
    assert!(user.token_file.is_none() && user.username.is_none() && user.password.is_none());
    assert!(user.exec.is_none() && user.auth_provider.is_none());
    assert!(user.client_certificate_data.is_some() && user.client_key_data.is_some());
    assert_eq!(user.impersonate.as_deref(), Some("someone"));
}

#[tokio::test]
async fn impersonation_replaces_what_it_names() {
    let config = load_with(|flags| flags.impersonate_user = Some("me".into())).await;
    assert_eq!(config.auth_info.impersonate.as_deref(), Some("me"));
    assert_eq!(config.auth_info.impersonate_groups.unwrap(), ["some"]);
    let groups = vec!["a".to_owned(), "b".to_owned()];
    let config = load_with(|flags| flags.impersonate_groups = groups.clone()).await;
    assert_eq!(config.auth_info.impersonate.as_deref(), Some("someone"));
    assert_eq!(config.auth_info.impersonate_groups, Some(groups));
}

#[tokio::test]
async fn a_server_takes_the_name_of_the_kubeconfigs_away() {
    let server: http::Uri = "https://other.example/path".parse().unwrap();
    let config = load_with(|flags| flags.server = Some(server.clone())).await;
    assert_eq!(config.cluster_url, server);
    assert_eq!(config.tls_server_name, None);
    assert!(config.root_cert.is_some() && token(&config).is_some());
    let config = load_with(|flags| {
        flags.server = Some(server);
        flags.tls_server_name = Some("x".into());
    })
    .await;
    assert_eq!(config.tls_server_name.as_deref(), Some("x"));
    let config = load_with(|flags| flags.tls_server_name = Some("x".into())).await;
    assert_eq!(config.tls_server_name.as_deref(), Some("x"));
    assert_eq!(config.cluster_url.host(), Some("full.example"));
}

#[tokio::test]
async fn an_authority_gets_https_only_with_certificates() {
    let server = || Some("host:99".parse().unwrap());
    let config = load_with(|flags| flags.server = server()).await;
    assert_eq!(config.cluster_url, "https://host:99/");
    let empty = "apiVersion: v1\nkind: Config\n";
    for kubeconfig in [empty, ""] {
        let config = load_text(kubeconfig, |flags| flags.server = server())
            .await
            .unwrap();
        assert_eq!(config.cluster_url, "http://host:99/");
        assert!(token(&config).is_none() && config.auth_info.token_file.is_none());
    }
    let insecure = load_text(empty, |flags| {
        flags.server = Some("host".parse().unwrap());
        flags.insecure_skip_tls_verify = true;
    });
    assert_eq!(insecure.await.unwrap().cluster_url, "https://host/");
    // A server says nothing about a context that is asked for.
    let asked = load_text(empty, |flags| {
        flags.server = server();
        flags.context = Some("a".into());
    });
    assert!(asked.await.is_err());
    assert!(load_text(empty, |_| {}).await.is_err());
}

#[tokio::test]
async fn certificates_are_checked_by_the_flags() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.crt");
    std::fs::write(&path, format!("# two\n{CERTIFICATE}{CERTIFICATE}")).unwrap();
    let config = load_with(|flags| {
        flags.cluster = Some("plain".into());
        flags.certificate_authority = Some(path.clone());
    })
    .await;
    assert_eq!(config.root_cert, Some(vec![vec![1, 2, 3]; 2]));
    assert_eq!(config.root_cert_file.as_ref(), Some(&path));
    assert!(!config.accept_invalid_certs, "the flag wins over the file");
    let config = load_with(|flags| flags.insecure_skip_tls_verify = true).await;
    assert!(config.accept_invalid_certs && config.root_cert.is_none());
    for (text, says) in [
        (Some(""), "no certificate in it"),
        (
            Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
            "ca.crt: ",
        ),
        (None, "No such file"),
    ] {
        match text {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let change = |flags: &mut Connection| flags.certificate_authority = Some(path.clone());
        let error = load_text(KUBECONFIG, change).await.unwrap_err().to_string();
        assert!(error.starts_with("--certificate-authority: "), "{error}");
        assert!(error.contains(says) && error.contains("ca.crt"), "{error}");
    }
}

#[test]
fn only_the_very_address_of_the_service_account_is_its_server() {
    let same = |own: &str, other: &str| same_server(&own.parse().unwrap(), &other.parse().unwrap());
    let own = "https://10.96.0.1";
    for other in [
        own,
        "https://10.96.0.1:443",
        "https://10.96.0.1/",
        "https://10.96.0.1:443/x",
    ] {
        assert!(same(own, other), "{other}");
    }
    for other in [
        "http://10.96.0.1",
        "http://10.96.0.1:443",
        "10.96.0.1:443",
        "https://10.96.0.1:6443",
        "https://10.96.0.10",
        "https://10.96.0.1.evil.example",
        "https://kubernetes.default.svc",
    ] {
        assert!(!same(own, other), "{other}");
    }
    assert!(same("https://[fd00::1]:6443", "https://[fd00::1]:6443"));
}

#[tokio::test]
async fn a_token_goes_nowhere_in_clear() {
    for (server, sent) in [
        ("http://plain.example:8080", false),
        ("http://10.0.0.1", false),
        ("http://127.0.0.1.evil.example", false),
        ("http://127.0.0.1:8001", true),
        ("http://[::1]:8001", true),
        ("http://localhost:8001", true),
        ("https://plain.example:8080", true),
    ] {
        let config = load_with(|c| c.server = Some(server.parse().unwrap())).await;
        let auth = &config.auth_info;
        let bears = auth.token.is_some() || auth.exec.is_some() || auth.username.is_some();
        assert_eq!(bears, sent, "{server}");
        assert_eq!(auth.impersonate.as_deref(), Some("someone"));
    }
}

#[tokio::test]
async fn a_loopback_address_behind_a_proxy_is_not_here() {
    let server: http::Uri = "http://127.0.0.1:8001".parse().unwrap();
    let mut config = load_with(|c| c.server = Some(server)).await;
    assert!(!withhold_in_clear(&mut config));
    config.proxy_url = Some("http://proxy.example:3128".parse().unwrap());
    assert!(withhold_in_clear(&mut config));
    assert!(config.auth_info.token.is_none());
}

#[tokio::test]
async fn a_malformed_kubeconfig_is_told_without_what_it_holds() {
    for (text, told) in [
        ("users: hunter2", "no YAML of a kubeconfig"),
        ("users: [{name: u, user: {token: hunter2", "line 1"),
    ] {
        let error = load_text(text, |_| {}).await.unwrap_err().to_string();
        assert!(
            error.contains(told) && !error.contains("hunter2"),
            "{error}"
        );
    }
}
