use std::collections::BTreeMap;

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::config::{self, ProcessMatch, SignalAction, WebhookAction};
use crate::store::Kind;

fn change() -> Change {
    let keys = KeyChanges {
        added: vec!["new".into()],
        changed: vec!["edit".into()],
        removed: vec!["gone".into()],
    };
    Change {
        objects: vec![ChangedObject {
            reference: ObjectRef::new(Kind::ConfigMap, "default", "web"),
            resource_version: "4711".into(),
            keys,
            annotations: BTreeMap::new(),
        }],
        since: Instant::now(),
        content_hash: "hash".into(),
    }
}

impl Tools {
    /// Tools without an API server.
    pub(crate) fn none() -> Self {
        Self {
            children: Children::default(),
            upstream: None,
            namespace: "default".into(),
            pod_name: "web-1".into(),
        }
    }
}

fn hook(url: &str, method: Method) -> Action {
    Action::Webhook(WebhookAction {
        method,
        ..WebhookAction::new(url.parse().unwrap())
    })
}

const LAST: Attempt = Attempt {
    number: 5,
    retry: None,
};

/// Answers one request with `answer`; yields the request's head and body.
async fn endpoint(answer: &'static str) -> (String, JoinHandle<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        let (head, length) = loop {
            let mut chunk = [0; 1024];
            let read = stream.read(&mut chunk).await.unwrap();
            assert!(read > 0, "the client hung up");
            text.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |n| n.parse().unwrap());
            if body.len() == length {
                break (head.to_owned(), length);
            }
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        (head, text[text.len() - length..].to_owned())
    });
    (format!("http://{address}"), served)
}

fn runner() -> (Runner, Board, Metrics) {
    let (board, metrics) = (Board::default(), Metrics::new());
    (
        Runner::new(board.clone(), metrics.clone(), Tools::none()),
        board,
        metrics,
    )
}

#[tokio::test]
async fn a_webhook_names_keys_and_versions_and_never_values() {
    let (runner, board, metrics) = runner();
    let (url, served) = endpoint("HTTP/1.1 204 No Content\r\n\r\n").await;
    let action = hook(&format!("{url}/-/reload?token=t"), Method::POST);
    let outcome = runner
        .run(
            "onChange[0]",
            &action,
            &change(),
            LAST,
            &Progress::default(),
        )
        .await;
    let Outcome::Done(detail) = outcome.unwrap() else {
        panic!("skipped")
    };
    assert_eq!(
        detail,
        format!("POST {url}/-/reload answered 204 No Content")
    );
    let (head, body) = served.await.unwrap();
    assert!(
        head.starts_with("POST /-/reload?token=t HTTP/1.1\r\n"),
        "{head}"
    );
    for line in [
        "content-type: application/json".to_owned(),
        format!("user-agent: attache/{}", env!("CARGO_PKG_VERSION")),
        format!("host: {}", url.trim_start_matches("http://")),
    ] {
        assert!(head.lines().any(|l| l == line), "{line} not in {head}");
    }
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!({"changes": [{
        "kind": "ConfigMap", "namespace": "default", "name": "web", "resourceVersion": "4711",
        "added": ["new"], "changed": ["edit"], "removed": ["gone"],
    }]});
    assert_eq!(body, expected);
    let notes = board.notes();
    let note = &notes.actions[0];
    assert_eq!(
        (note.outcome, note.attempt, note.action),
        ("ok", 5, "webhook")
    );
    assert_eq!(note.objects, ["ConfigMap default/web"]);
    let text = metrics.encode();
    assert!(
        text.contains(r#"attache_actions_total{kind="webhook",result="ok"} 1"#),
        "{text}"
    );
}

#[tokio::test]
async fn a_get_sends_no_body() {
    let (url, served) = endpoint("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let action = hook(&url, Method::GET);
    runner()
        .0
        .run("r", &action, &change(), LAST, &Progress::default())
        .await
        .unwrap();
    let (head, body) = served.await.unwrap();
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
    assert!(!head.contains("content-") && body.is_empty(), "{head}");
}

#[tokio::test]
async fn anything_but_2xx_fails_and_stays_a_problem_until_success() {
    let (runner, board, _) = runner();
    for (answer, expected) in [
        (
            "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
            "answered 500",
        ),
        (
            "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
            "redirects are not",
        ),
        ("nonsense\r\n\r\n", "check that the app listens"),
    ] {
        let (url, served) = endpoint(answer).await;
        let action = hook(&url, Method::POST);
        let error = runner
            .run("r", &action, &change(), LAST, &Progress::default())
            .await
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.may_have_reached());
        assert!(board.notes().problems["r"].contains(expected));
        served.await.unwrap();
    }
    let (url, _served) = endpoint("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let action = hook(&url, Method::POST);
    runner
        .run("r", &action, &change(), LAST, &Progress::default())
        .await
        .unwrap();
    assert!(board.notes().problems.is_empty());
}

#[tokio::test]
async fn a_refused_connection_says_so_and_a_retry_is_no_problem_yet() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (runner, board, _) = runner();
    let attempt = Attempt {
        number: 1,
        retry: Some(Duration::from_secs(1)),
    };
    let action = hook(&url, Method::POST);
    let error = runner
        .run("r", &action, &change(), attempt, &Progress::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(!error.may_have_reached());
    assert_eq!(board.notes().actions[0].outcome, "retrying");
    assert!(board.notes().problems.is_empty());
}

#[tokio::test]
async fn an_endpoint_that_is_silent_or_never_done_times_out() {
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let held = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            stream.write_all(head.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        });
        let action = Action::Webhook(WebhookAction {
            timeout: Duration::from_millis(200),
            ..WebhookAction::new(url.parse().unwrap())
        });
        let error = runner()
            .0
            .run("r", &action, &change(), LAST, &Progress::default())
            .await;
        let error = error.unwrap_err();
        assert!(error.may_have_reached());
        let error = error.to_string();
        assert!(error.contains("no complete answer within 200ms"), "{error}");
        held.abort();
    }
}

#[tokio::test]
async fn a_signal_that_finds_nobody_is_an_error_that_says_what_to_set() {
    let (runner, board, metrics) = runner();
    let action = Action::Signal(SignalAction {
        target: ProcessMatch::Name("no-such-app".into()),
        signal: config::Signal {
            number: 1,
            name: "HUP".into(),
        },
    });
    let error = runner
        .run("r", &action, &change(), LAST, &Progress::default())
        .await
        .unwrap_err();
    assert!(!error.may_have_reached());
    assert!(board.notes().problems["r"].contains("shareProcessNamespace: true"));
    let text = metrics.encode();
    assert!(
        text.contains(r#"attache_actions_total{kind="signal",result="failed"} 1"#),
        "{text}"
    );
}

#[tokio::test]
async fn a_command_and_the_restart_of_a_process_are_noted_by_their_kinds() {
    let (board, metrics) = (Board::default(), Metrics::new());
    let tools = Tools::none();
    let reaper = tools.children.clone().reap();
    let _reaper = tokio::spawn(async move { drop(reaper.await) });
    let runner = Runner::new(board.clone(), metrics.clone(), tools);
    let dir = tempfile::tempdir().unwrap();
    let pidfile = dir.path().join("pid");
    let mut app = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    std::fs::write(&pidfile, app.id().to_string()).unwrap();
    let command = |program: &str| {
        Action::Command(config::CommandAction {
            argv: vec![program.into()],
            timeout: Duration::from_secs(60),
            grace: Duration::from_secs(60),
        })
    };
    let restart = Action::Restart(config::RestartAction::Process {
        target: ProcessMatch::Pidfile(pidfile),
        grace: Duration::from_secs(60),
    });
    for (action, expected) in [
        (command("true"), "true exited with 0".to_owned()),
        (
            restart,
            format!("sleep (PID {}) ended upon SIGTERM", app.id()),
        ),
    ] {
        let outcome = runner
            .run("r", &action, &change(), LAST, &Progress::default())
            .await;
        let Outcome::Done(detail) = outcome.unwrap() else {
            panic!("skipped")
        };
        assert!(detail.starts_with(&expected), "{detail}");
    }
    assert!(!app.wait().unwrap().success());
    runner
        .run(
            "r",
            &command("false"),
            &change(),
            LAST,
            &Progress::default(),
        )
        .await
        .unwrap_err();
    assert!(board.notes().problems["r"].contains("false exited with 1"));
    let text = metrics.encode();
    for labels in [
        r#"kind="command",result="ok""#,
        r#"kind="command",result="failed""#,
        r#"kind="restart",result="ok""#,
    ] {
        let line = format!("attache_actions_total{{{labels}}} 1");
        assert!(text.contains(&line), "{text}");
    }
}
