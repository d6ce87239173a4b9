use std::path::PathBuf;

use super::super::model::{HeaderText, ProcessMatch, SignalAction, WebhookAction};
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
fn timing_has_defaults_by_action() {
    let seconds = Duration::from_secs;
    for (text, spread) in [
        ("signal: a", 0),
        ("webhook: http://a/", 0),
        ("command: a", 0),
        ("restart: {process: a}", 30),
        ("restart: pod", 30),
        ("restart: rollout", 30),
        ("restart: {pods: a}", 30),
    ] {
        let timing = read(text).unwrap().timing;
        let expected = Timing {
            settle: None,
            splay: seconds(spread),
            min_interval: seconds(spread),
            retries: if spread == 0 { 4 } else { 10 },
        };
        assert_eq!(timing, expected, "{text}");
        let timing = read(&format!(
            "{{{text}, settle: 1s, splay: 1s, minInterval: 2s, retries: 0}}"
        ));
        let timing = timing.unwrap().timing;
        assert_eq!(timing.settle.unwrap().longest, seconds(4));
        assert_eq!(
            (timing.splay, timing.min_interval, timing.retries),
            (seconds(1), seconds(2), 0)
        );
    }
}

#[test]
fn a_webhook_says_how_it_is_called() {
    let webhook = webhook_of(
        "{webhook: {url: 'https://a:8443/x', method: GET, unixSocket: /s, certificateAuthority: /ca, expect: [200, 409], headers: {Authorization: {file: /t}, X-A: b}}, timeout: 1s}",
    );
    assert_eq!(webhook.unix_socket, Some(PathBuf::from("/s")));
    assert_eq!(webhook.certificate_authority, Some(PathBuf::from("/ca")));
    assert_eq!(
        webhook.expect,
        [200, 409].map(|status| http::StatusCode::from_u16(status).unwrap())
    );
    assert_eq!(
        webhook.headers["Authorization"],
        HeaderText::File("/t".into())
    );
    assert_eq!(webhook.headers["X-A"], HeaderText::Given("b".to_owned()));
    assert_eq!(webhook.timeout, Duration::from_secs(1));
    let one = webhook_of("webhook: {url: 'http://a/', expect: 204}");
    assert_eq!(one.expect, [http::StatusCode::NO_CONTENT]);
}

#[test]
fn a_command_is_a_program_a_list_or_a_shells() {
    let command = |text: &str| match read(text).unwrap().action {
        Action::Command(action) => action,
        _ => panic!("not a command: {text}"),
    };
    let seconds = Duration::from_secs;
    for (text, argv, timeout, grace) in [
        ("command: nginx", &["nginx"][..], 30, 5),
        ("command: [nginx, -s, 010]", &["nginx", "-s", "010"], 30, 5),
        ("command: {argv: [a, '']}", &["a", ""], 30, 5),
        ("command: {argv: a, timeout: 1s, grace: 0s}", &["a"], 1, 0),
        (
            "{command: {shell: 'a | b'}, timeout: 2s}",
            &["/bin/sh", "-c", "a | b"],
            2,
            5,
        ),
    ] {
        let action = command(text);
        assert_eq!(action.argv, argv, "{text}");
        assert_eq!(
            (action.timeout, action.grace),
            (seconds(timeout), seconds(grace))
        );
    }
}

#[test]
fn restarts_are_read_in_all_their_forms() {
    let restart = |text: &str| match read(text).unwrap().action {
        Action::Restart(action) => format!("{action:?}"),
        _ => panic!("not a restart: {text}"),
    };
    for (text, says) in [
        (
            "restart: pod",
            "Pod { require_budget: true, timeout: 600s }",
        ),
        (
            "restart: {pod: {}}",
            "Pod { require_budget: true, timeout: 600s }",
        ),
        (
            "restart: {pod: {requireBudget: false, timeout: 1s}}",
            "Pod { require_budget: false, timeout: 1s }",
        ),
        (
            "{restart: pod, timeout: 2s}",
            "Pod { require_budget: true, timeout: 2s }",
        ),
        ("restart: rollout", "Rollout { workload: None }"),
        (
            "restart: {rollout: sts/db}",
            "Rollout { workload: Some(Workload { kind: StatefulSet, name: \"db\" }) }",
        ),
        (
            "restart: {process: a, grace: 1s}",
            "Process { target: Name(\"a\"), grace: 1s }",
        ),
        (
            "restart: {pidfile: /a}",
            "Process { target: Pidfile(\"/a\"), grace: 30s }",
        ),
        (
            "restart: {pods: a=b}",
            "Pods { which: Labels(\"a=b\"), max_unavailable: 1, evict: false, timeout: 600s }",
        ),
        (
            "{when: {configMap: a}, restart: {pods: annotation, maxUnavailable: 2, evict: true, timeout: 1s}}",
            "Pods { which: Annotation, max_unavailable: 2, evict: true, timeout: 1s }",
        ),
    ] {
        assert_eq!(restart(text), says, "{text}");
    }
}

#[test]
fn what_a_rule_cannot_do_is_said() {
    for (text, says) in [
        ("signal", "expected a rule"),
        ("[]", "expected a rule"),
        ("{}", "needs an action"),
        ("when: {configMap: web}", "needs an action"),
        ("{signal: a, webhook: 'http://a/'}", "one action"),
        ("files: {}", "unknown key \"files\""),
        ("{command: a, restart: pod}", "one action"),
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
        ("{webhook: 'https://'}", "not a URL"),
        ("{webhook: 'ftp://a/'}", "not an http:// or https:// URL"),
        ("{webhook: '/reload'}", "not an http:// or https:// URL"),
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
        (
            "{signal: nginx, splay: soon}",
            "splay: \"soon\" is not a duration",
        ),
        (
            "{signal: nginx, minInterval: 5}",
            "minInterval: \"5\" is not a duration",
        ),
        (
            "{signal: nginx, retries: 101}",
            "not a number from 0 to 100",
        ),
        ("{signal: nginx, retries: -1}", "not a number from 0 to 100"),
        ("{signal: nginx, timeout: 5s}", "take timeout out"),
        (
            "{signal: {process: a, timeout: 5s}}",
            "unknown key \"timeout\"",
        ),
        (
            "{webhook: {url: 'http://a/', timeout: 5s}, timeout: 5s}",
            "given twice",
        ),
        ("{webhook: 'http://a/', timeout: 0s}", "timeout of zero"),
        (
            "{webhook: {url: 'http://a/', certificateAuthority: /ca}}",
            "no certificate to check",
        ),
        (
            "{webhook: {url: 'http://a/', unixSocket: ''}}",
            "it is empty",
        ),
        (
            "{webhook: {url: 'http://a/', expect: [100]}}",
            "expect[0]: \"100\" is not a number from 200 to 599",
        ),
        (
            "{webhook: {url: 'http://a/', headers: x}}",
            "expected a mapping of headers",
        ),
        (
            "{webhook: {url: 'http://a/', headers: {Host: x}}}",
            "the connection sets Host",
        ),
        (
            "{webhook: {url: 'http://a/', headers: {content-length: 1}}}",
            "the connection sets content-length",
        ),
        (
            "{webhook: {url: 'http://a/', headers: {Transfer-Encoding: x}}}",
            "the connection sets",
        ),
        (
            "{webhook: {url: 'http://a/', headers: {Connection: x}}}",
            "the connection sets",
        ),
        (
            "{webhook: {url: 'http://a/', headers: {'a b': x}}}",
            "not a header's name",
        ),
        (
            "{webhook: {url: 'http://a/', headers: {A: x, a: y}}}",
            "given twice",
        ),
        (
            "{webhook: {url: 'http://a/', headers: {A: \"x\\ny\"}}}",
            "printable ASCII",
        ),
        (
            "{webhook: {url: 'http://a/', headers: {A: {path: x}}}}",
            "unknown key \"path\"",
        ),
        (
            "{webhook: {url: 'http://a/', headers: {A: {}}}}",
            "add file",
        ),
        (
            "{webhook: {url: 'http://a/', headers: {A: [x]}}}",
            "the header's text",
        ),
        // What may be a password is not repeated.
        (
            "command: curl -u me:pw http://a/",
            "command: \"curl\" and what follows would be a program's name",
        ),
        ("command: ''", "it is empty"),
        ("command: []", "an empty list runs nothing"),
        ("command: ['']", "command[0]: it is empty"),
        ("command: [a, [b]]", "command[1]: expected"),
        ("command: [\"a\\0\"]", "NUL"),
        ("command: {}", "one of argv"),
        ("command: {argv: [a], shell: b}", "one of argv"),
        ("command: {shell: [a]}", "expected a shell's command line"),
        ("command: {argv: a, grace: x}", "not a duration"),
        (
            "{command: {argv: a, timeout: 1s}, timeout: 1s}",
            "given twice",
        ),
        ("restart: pods", "neither pod nor rollout"),
        ("restart: [pod]", "expected pod, rollout or a mapping"),
        ("restart: {}", "say what to restart"),
        ("restart: {process: a, pods: b}", "say what to restart"),
        ("restart: {process: a, cmdline: b}", "say what to restart"),
        (
            "restart: {pod: {}, rollout: deploy/a}",
            "say what to restart",
        ),
        ("restart: {process: a/b}", "without directories"),
        (
            "restart: {process: a, evict: true}",
            "evict does not go with process",
        ),
        (
            "restart: {process: a, timeout: 1s}",
            "timeout does not go with process",
        ),
        ("{restart: {process: a}, timeout: 1s}", "take timeout out"),
        ("{restart: rollout, timeout: 1s}", "take timeout out"),
        (
            "{restart: {rollout: deploy/a}, timeout: 1s}",
            "take timeout out",
        ),
        (
            "restart: {rollout: deploy/a, grace: 1s}",
            "grace does not go with rollout",
        ),
        ("restart: {rollout: web}", "names no workload"),
        ("restart: {rollout: replicaset/web}", "names no workload"),
        ("restart: {rollout: deployment/}", "not an object's name"),
        (
            "restart: {pod: {requireBudget: no}}",
            "neither true nor false",
        ),
        ("restart: {pod: {timeout: 1s}, timeout: 1s}", "given twice"),
        (
            "{restart: {pod: {timeout: 1s}}, timeout: 1s}",
            "given twice",
        ),
        (
            "restart: {pod: {}, maxUnavailable: 1}",
            "maxUnavailable does not go with pod",
        ),
        ("restart: {pods: 'a b'}", "not a label requirement"),
        (
            "restart: {pods: a, maxUnavailable: 0}",
            "not a number from 1",
        ),
        (
            "restart: {pods: a, grace: 1s}",
            "grace does not go with pods",
        ),
        (
            "{when: {secret: a}, restart: {pods: annotation}}",
            "one of ConfigMaps",
        ),
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
    let header = "webhook: {url: 'http://a/', headers: {A: \"hunter2\\n\"}}";
    let faults = read(header).unwrap_err();
    assert!(!faults.contains("hunter2"), "{faults}");
}
