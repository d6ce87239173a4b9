use super::*;

fn plugin(script: &str, change: impl FnOnce(&mut Value)) -> Plugin {
    let mut exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sh",
        "args": ["-c", script],
        "interactiveMode": "Never",
    });
    change(&mut exec);
    Plugin::new(serde_json::from_value(exec).unwrap())
}

fn error(script: &str, change: impl FnOnce(&mut Value)) -> String {
    plugin(script, change).get().err().expect("a failure")
}

/// A script that prints a token that ends then, numbered by its runs.
fn counting(dir: &tempfile::TempDir, end: SignedSeconds) -> String {
    let file = dir.path().join("runs");
    let end = Timestamp::now() + jiff::SignedDuration::from_secs(end);
    format!(
        r#"echo >>{0}; echo '{{"status": {{"token": "'$(wc -l <{0})'", "expirationTimestamp": "{end}"}}}}'"#,
        file.display()
    )
}

type SignedSeconds = i64;

#[test]
fn it_is_told_what_client_go_tells_and_read_as_client_go_reads() {
    let script = r#"test "$0" = one && test "$1" = two || exit 9
echo "status: {token: '$PREFIX $KUBERNETES_EXEC_INFO'}""#;
    let plugin = plugin(script, |exec| {
        exec["apiVersion"] = json!(VERSIONS[1]);
        exec["args"]
            .as_array_mut()
            .unwrap()
            .extend(["one".into(), "two".into()]);
        exec["env"] = json!([{"name": "PREFIX", "value": "hello"}, {"name": "nothing"}]);
    });
    let token = plugin.get().unwrap().token.unwrap();
    let info = token.strip_prefix("hello ").unwrap();
    let info: Value = serde_json::from_str(info).unwrap();
    assert_eq!(
        info,
        json!({"kind": "ExecCredential", "apiVersion": VERSIONS[1], "spec": {"interactive": false}})
    );
}

#[test]
fn it_is_told_of_the_cluster_if_it_asks() {
    let mut exec = plugin("", |_| {}).exec;
    exec.provide_cluster_info = true;
    exec.cluster = Some(kube::config::ExecAuthCluster {
        server: Some("https://a.example".into()),
        certificate_authority_data: Some(b"pem".to_vec()),
        ..Default::default()
    });
    let cluster = json!({"server": "https://a.example", "certificate-authority-data": "cGVt"});
    assert_eq!(
        info(&exec, true)["spec"],
        json!({"interactive": true, "cluster": cluster})
    );
}

#[test]
fn a_certificate_and_a_token_are_both_taken() {
    let given = plugin(
        r#"echo '{"apiVersion": "client.authentication.k8s.io/v1",
            "status": {"clientCertificateData": "c", "clientKeyData": "k", "token": "t"}}'"#,
        |_| {},
    );
    let given = given.get().unwrap();
    assert_eq!(given.identity, Some(("c".to_owned(), "k".to_owned())));
    assert_eq!(given.token.as_deref(), Some("t"));
    assert!(given.renew.is_none());
}

#[test]
fn failures_are_told_without_what_it_printed() {
    for (script, says) in [
        ("echo hunter2; exit 3", "exit status: 3"),
        ("echo hunter2: [", "malformed"),
        ("echo '\"hunter2\"'", "malformed"),
        ("true", "malformed"),
        ("echo '{\"kind\": \"hunter2\"}'", "no credentials"),
        ("echo '{\"status\": {\"token\": \"\"}}'", "no credentials"),
        (
            "echo '{\"status\": {\"clientKeyData\": \"hunter2\"}}'",
            "without the other",
        ),
        (
            "echo '{\"apiVersion\": \"hunter2\", \"status\": {\"token\": \"t\"}}'",
            "another apiVersion",
        ),
        (
            "echo '{\"status\": {\"token\": \"t\", \"expirationTimestamp\": \"hunter2\"}}'",
            "expire is malformed",
        ),
    ] {
        let text = error(script, |_| {});
        assert!(text.contains(says), "{script}: {text}");
        assert!(
            !text.contains("hunter2") && !text.contains("echo"),
            "{text}"
        );
    }
}

#[test]
fn what_cannot_be_run_is_told_with_its_hint() {
    let text = error("", |exec| {
        exec["command"] = json!("/nonexistent/plugin");
        exec["installHint"] = json!("install it from there\n");
    });
    assert!(
        text.contains("/nonexistent/plugin") && text.ends_with(": install it from there"),
        "{text}"
    );
    let text = error("", |exec| {
        exec["apiVersion"] = json!("client.authentication.k8s.io/v1alpha1")
    });
    assert!(
        text.contains("v1alpha1") && text.ends_with(VERSIONS[0]),
        "{text}"
    );
    let text = error("", |exec| exec["command"] = Value::Null);
    assert!(text.contains("no command"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn it_runs_again_before_its_credentials_end() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = plugin(&counting(&dir, 600), |_| {});
    let token = || plugin.get().unwrap().token.unwrap();
    assert_eq!(token(), "1");
    tokio::time::advance(Duration::from_secs(530)).await;
    assert_eq!(token(), "1");
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(token(), "2");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_have_ended_already_are_asked_for_once_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = plugin(&counting(&dir, -5), |_| {});
    let token = || plugin.get().unwrap().token.unwrap();
    assert_eq!((token(), token()), ("1".to_owned(), "1".to_owned()));
    tokio::time::advance(REST).await;
    assert_eq!(token(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_failure_leaves_the_earlier_credentials_until_they_end() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "{} && test $(wc -l <{}) = 1",
        counting(&dir, 600),
        dir.path().join("runs").display()
    );
    let plugin = plugin(&script, |_| {});
    let token = || plugin.get().ok().and_then(|given| given.token);
    assert_eq!(token().as_deref(), Some("1"));
    tokio::time::advance(Duration::from_secs(541)).await;
    assert_eq!(token().as_deref(), Some("1"), "it failed");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(token(), None, "they have ended");
}
