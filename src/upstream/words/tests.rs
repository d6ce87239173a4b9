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

#[test]
fn causes_are_said_once_each() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer: {0}")]
    struct Outer(#[source] io::Error);
    let error = Outer(io::Error::other("inner"));
    assert_eq!(causes(&error), "outer: inner");
}
