use super::*;

fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

#[test]
fn an_address_is_shown_without_password_and_query() {
    for (address, says) in [
        (
            "http://bob:hunter2@host:8001/k8s/?a=hunter2",
            "http://host:8001/k8s",
        ),
        ("https://hunter2@[fd00::1]:6443", "https://[fd00::1]:6443"),
        ("https://host/", "https://host"),
        ("host:6443", "host:6443"),
    ] {
        assert_eq!(shown(&uri(address)), says);
    }
}

/// What kube says of a user whose plugin is this shell script.
fn plugin(script: &str) -> kube::Error {
    use kube::client::ConfigExt as _;
    let mut config = kube::Config::new(uri("https://host"));
    config.auth_info = serde_json::from_value(serde_json::json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sh",
        "args": ["-c", script],
        "interactiveMode": "Never",
    }}))
    .unwrap();
    config.auth_layer().err().unwrap()
}

#[test]
fn a_plugin_that_fails_is_told_without_its_output() {
    for (script, says) in [
        ("echo hunter2; echo hunter2 >&2; exit 3", "exit status: 3"),
        ("echo hunter2: [", "malformed"),
        ("echo '\"hunter2\"'", "malformed"),
        (
            "echo '{\"status\": {\"token\": \"t\", \"expirationTimestamp\": \"hunter2\"}}'",
            "expires is malformed",
        ),
    ] {
        // As it comes when a client is made, and as it comes with a request.
        for error in [
            plugin(script),
            kube::Error::Service(Box::new(plugin(script))),
        ] {
            let text = causes(&error);
            assert!(text.contains(says), "{text}");
            assert!(
                !text.contains("hunter2") && !text.contains("echo"),
                "{text}"
            );
        }
    }
}

#[test]
fn causes_are_said_once_each() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer: {0}")]
    struct Outer(#[source] io::Error);
    let error = Outer(io::Error::other("inner"));
    assert_eq!(causes(&error), "outer: inner");
    let error = kube::Error::Service(Box::new(error));
    assert_eq!(causes(&error), "outer: inner");
}
