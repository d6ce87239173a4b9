use serde_json::{Value, json};

use super::*;

fn user(user: Value) -> AuthInfo {
    serde_json::from_value(user).unwrap()
}

fn says(auth: Value) -> Result<Option<String>, String> {
    let made = Authorization::new(&user(auth), None)?;
    let value = made.value();
    assert!(value.iter().all(HeaderValue::is_sensitive));
    Ok(value.map(|value| value.to_str().unwrap().to_owned()))
}

#[test]
fn each_kind_of_credential_makes_its_header() {
    let oidc = json!({"name": "oidc", "config": {"id-token": "i"}});
    for (auth, expected) in [
        (json!({}), None),
        (json!({"username": "bob"}), None),
        (json!({"token": "t"}), Some("Bearer t")),
        (
            json!({"token": "t", "tokenFile": "/nonexistent"}),
            Some("Bearer t"),
        ),
        (
            json!({"token": "t", "username": "bob", "password": "ü:"}),
            Some("Basic Ym9iOsO8Og=="),
        ),
        (
            json!({"token": "t", "auth-provider": oidc}),
            Some("Bearer i"),
        ),
    ] {
        assert_eq!(says(auth.clone()).unwrap().as_deref(), expected, "{auth}");
    }
}

#[test]
fn what_makes_no_header_is_told_without_it() {
    let gcp = json!({"name": "gcp", "config": {"cmd-path": "hunter2"}});
    for (auth, told) in [
        (json!({"token": "hunter2\n"}), "line break"),
        (
            json!({"tokenFile": "/nonexistent/token"}),
            "/nonexistent/token: ",
        ),
        (json!({"auth-provider": gcp}), "exec plugin"),
    ] {
        let text = says(auth).unwrap_err();
        assert!(text.contains(told) && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_plugin_is_asked_where_nothing_else_is_said() {
    let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "true"});
    assert!(asks_plugin(&user(json!({"exec": exec}))));
    assert!(asks_plugin(&user(
        json!({"exec": exec, "client-certificate": "/c"})
    )));
    assert!(!asks_plugin(&user(json!({"exec": exec, "token": "t"}))));
    assert!(!asks_plugin(&user(
        json!({"exec": exec, "tokenFile": "/t"})
    )));
    assert!(!asks_plugin(&user(json!({}))));
    let given = Given {
        token: Some("g".to_owned()),
        ..Given::default()
    };
    let made = Authorization::new(&user(json!({"exec": exec})), Some(&given)).unwrap();
    assert_eq!(made.value().unwrap(), "Bearer g");
}

#[tokio::test(start_paused = true)]
async fn a_token_file_is_read_each_minute_and_its_line_break_is_no_part_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "one\n").unwrap();
    let made = Authorization::new(&user(json!({"tokenFile": path})), None).unwrap();
    assert_eq!(made.value().unwrap(), "Bearer one");
    std::fs::write(&path, " two").unwrap();
    assert_eq!(made.value().unwrap(), "Bearer one");
    tokio::time::advance(TOKEN_AGE).await;
    assert_eq!(made.value().unwrap(), "Bearer two");
    for broken in [Some(""), Some("a\nb"), None] {
        match broken {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        tokio::time::advance(TOKEN_AGE).await;
        assert_eq!(made.value().unwrap(), "Bearer two", "{broken:?}");
    }
}

#[test]
fn impersonation_says_all_that_the_user_has() {
    let headers = impersonation(&user(json!({
        "as": "bob", "as-uid": "7", "as-groups": ["a", "b"],
        "as-user-extra": {"Example.com/Scope%": ["x", "y"]},
    })));
    let headers = headers.unwrap();
    let all = |name| {
        headers
            .get_all(name)
            .iter()
            .map(|v| v.to_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(all("impersonate-user"), ["bob"]);
    assert_eq!(all("impersonate-uid"), ["7"]);
    assert_eq!(all("impersonate-group"), ["a", "b"]);
    assert_eq!(all("impersonate-extra-example.com%2fscope%25"), ["x", "y"]);
    assert!(impersonation(&user(json!({"as": "a\nb"}))).is_err());
}

#[test]
fn who_asks_to_be_someone_is_not_made_someone_else() {
    let ours = impersonation(&user(json!({"as": "us", "as-groups": ["ours"]}))).unwrap();
    let signed = |names: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for name in names {
            headers.insert(*name, HeaderValue::from_static("theirs"));
        }
        sign(&mut headers, &Authorization::None, &ours);
        headers
    };
    assert_eq!(signed(&[]), ours);
    assert_eq!(signed(&["impersonate-uid", "impersonate-group"]), ours);
    let theirs = signed(&["impersonate-user"]);
    assert_eq!(
        (theirs.len(), &theirs["impersonate-user"]),
        (1, &HeaderValue::from_static("theirs"))
    );
}
