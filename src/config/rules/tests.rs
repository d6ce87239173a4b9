use std::path::PathBuf;

use super::super::yaml;
use super::*;

fn read(text: &str) -> Result<Rule, String> {
    let node = yaml::parse_flag(text, "--on-change", "").unwrap();
    let mut faults = Faults::default();
    let rule = rule(&node, 0, &mut faults);
    match rule {
        Some(rule) if faults.is_empty() => Ok(rule),
        _ => Err(faults.to_string()),
    }
}

fn signal_of(text: &str) -> SignalAction {
    match read(text).unwrap().action {
        Action::Signal(action) => action,
        _ => panic!("not a signal: {text}"),
    }
}

fn webhook_of(text: &str) -> WebhookAction {
    match read(text).unwrap().action {
        Action::Webhook(action) => action,
        _ => panic!("not a webhook: {text}"),
    }
}

#[test]
fn a_scalar_stands_for_the_main_field() {
    let signal = signal_of("signal: nginx");
    assert!(matches!(signal.target, ProcessMatch::Name(name) if name == "nginx"));
    assert_eq!(
        (signal.signal.number, signal.signal.name.as_str()),
        (1, "HUP")
    );
    let webhook = webhook_of("webhook: http://127.0.0.1:8080/-/reload");
    assert_eq!(webhook.url.path(), "/-/reload");
    assert_eq!(webhook.method, http::Method::POST);
    assert_eq!(webhook.timeout, Duration::from_secs(5));
}

#[test]
fn every_field_is_read() {
    let rule = read(
        "when: {secret: prod/db, keys: ['nginx*', x]}\nsignal: {cmdline: '*master*', signal: SIGUSR1}\nafterMount: /etc/x\nsettle: 1s:2s",
    )
    .unwrap();
    let (kind, object) = rule.when.object.unwrap();
    assert_eq!(
        (kind, object.namespace.as_deref(), object.name.as_str()),
        (ObjectKind::Secret, Some("prod"), "db")
    );
    assert_eq!(rule.when.keys.len(), 2);
    assert_eq!(rule.after_mount, Some(PathBuf::from("/etc/x")));
    assert_eq!(rule.timing.settle.unwrap().longest, Duration::from_secs(2));
    assert_eq!(
        signal_of("signal: {pidfile: /run/x.pid, signal: 10}")
            .signal
            .name,
        "USR1"
    );
    let webhook = webhook_of("webhook: {url: 'http://a/', method: PUT, timeout: 250ms}");
    assert_eq!(
        (webhook.method, webhook.timeout),
        (http::Method::PUT, Duration::from_millis(250))
    );
}

#[test]
fn what_a_rule_cannot_do_is_said() {
    for (text, says) in [
        ("signal", "expected a rule"),
        ("[]", "expected a rule"),
        ("{}", "needs an action"),
        ("when: {configMap: web}", "needs an action"),
        ("{signal: a, webhook: 'http://a/'}", "one action"),
        (
            "command: {argv: [nginx]}",
            "command is not supported by this version",
        ),
        ("restart: pod", "restart is not supported by this version"),
        ("files: {}", "files is not supported by this version"),
        ("{signl: nginx}", "did you mean signal?"),
        (
            "{signal: nginx, when: {configmap: web}}",
            "did you mean configMap?",
        ),
        (
            "{signal: nginx, when: {configMap: web, secret: db}}",
            "two rules",
        ),
        (
            "{signal: nginx, when: {configMap: Web}}",
            "not an object's name",
        ),
        ("{signal: nginx, when: web}", "expected a mapping"),
        (
            "{signal: nginx, when: {configMap: web, keys: ['a[']}}",
            "not a glob",
        ),
        ("{signal: nginx, afterMount: /etc/x}", "Name it with when"),
        (
            "{signal: nginx, when: {keys: [a]}, afterMount: /etc/x}",
            "Name it with when",
        ),
        ("{signal: {signal: HUP}}", "whom to signal"),
        ("{signal: {process: a, pidfile: b}}", "whom to signal"),
        (
            "{signal: {process: /usr/sbin/nginx}}",
            "without directories",
        ),
        ("{signal: {process: nginx, signal: RELOAD}}", "not a signal"),
        ("{webhook: {}}", "add url"),
        ("{webhook: {method: POST}}", "add url"),
        (
            "{webhook: 'https://a/'}",
            "https is not supported by this version",
        ),
        ("{webhook: 'ftp://a/'}", "not an http:// URL"),
        ("{webhook: '/reload'}", "not an http:// URL"),
        ("{webhook: 'http://a b/'}", "not a URL"),
        (
            "{webhook: {url: 'http://a/', method: DELETE}}",
            "POST, PUT or GET",
        ),
        (
            "{webhook: {url: 'http://a/', timeout: 5}}",
            "not a duration",
        ),
        ("{signal: nginx, settle: fast}", "not a duration"),
        ("{signal: nginx, splay: 30s}", "splay is not supported"),
    ] {
        let faults = read(text).unwrap_err();
        assert!(faults.contains(says), "{text}: {faults}");
        assert!(faults.starts_with("attache: --on-change"), "{faults}");
    }
}

#[test]
fn one_rule_shows_all_its_faults() {
    let faults = read("{whn: 1, signal: {process: a/b, signal: X}, settle: y}").unwrap_err();
    assert_eq!(faults.lines().count(), 4, "{faults}");
}

#[test]
fn a_password_is_never_printed() {
    let webhook = webhook_of("webhook: 'http://a:80/x?token=hunter2'");
    let printed = format!("{webhook:?} {}", webhook.url);
    assert!(
        !printed.contains("hunter2") && printed.contains("a:80/x?MASKED"),
        "{printed}"
    );
    for bad in [
        "http://user:hunter2@a:80/x",
        "https://u:hunter2@a/",
        "http://u:hunter2@a b/",
        "u:hunter2@a",
        "http://u:hunter2@",
    ] {
        let faults = read(&format!("webhook: '{bad}'")).unwrap_err();
        assert!(!faults.contains("hunter2"), "{faults}");
    }
}
