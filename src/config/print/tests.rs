use proptest::prelude::*;

use super::super::errors::Faults;
use super::super::model::{Config, FilesRule, Rule};
use super::super::partial::Partial;
use super::super::{check, file};
use super::*;

fn config(text: &str) -> Config {
    let mut faults = Faults::default();
    let settings = file::text_settings(text, "f", &mut faults);
    let settings = settings.or(Partial::default());
    let config = check::config(settings, check::Listener::Full, &mut faults);
    assert!(faults.is_empty(), "{text}: {faults}");
    config.unwrap()
}

/// A rule as far as it can be compared: its effective form says all of it, secrets too.
fn effective(config: &Config) -> (Vec<FilesRule>, Vec<(String, String, Form)>) {
    let rule = |rule: &Rule| {
        let form = form::rule(rule, config.settle);
        (rule.name.clone(), rule.identity.clone(), form)
    };
    (
        config.files.clone(),
        config.on_change.iter().map(rule).collect(),
    )
}

/// Prints, reads and compares; returns what was printed.
fn there_and_back(text: &str) -> String {
    let first = config(text);
    let printed = rules(&first);
    let second = config(&printed);
    assert_eq!(effective(&first), effective(&second), "{printed}");
    assert_eq!(printed, rules(&second));
    printed
}

#[test]
fn what_is_printed_is_read_as_the_same_rules() {
    for rule in [
        "signal: nginx",
        "{signal: {cmdline: 'java *app.jar*', signal: USR1}, when: {configMap: a/web}, afterMount: '/etc/ö x'}",
        "{signal: {pidfile: '/run/a: b.pid'}, when: {secret: db, keys: ['*', 'true', '010', '~', '{a,b}.conf']}}",
        "webhook: 'http://a:80/?token=hunter2#x'",
        "{webhook: {url: 'https://a/', method: PUT, certificateAuthority: /ca, expect: [200, 409], unixSocket: /s}, timeout: 1h2m3s4ms5us6ns}",
        "webhook: {url: 'http://a/', method: GET, headers: {Authorization: {file: /run/token}, X-A: 'a: \"b\" \\ # c', X-Empty: '', X-No: 'no', 'X-#%&*!': '- a'}}",
        "command: nginx",
        r#"{command: [sh, -c, "a\nb\t\"c\" \x7f\u0085\u2028\ufeffé", '', '- x', '[', '1e3', '0x1F', '=', 'null', 'a:', ' b ']}"#,
        "command: {shell: 'echo $X | wc', timeout: 1s, grace: 0s}",
        "restart: pod",
        "restart: {pod: {requireBudget: false, timeout: 90s}}",
        "restart: rollout",
        "restart: {rollout: ds/web.x}",
        "{restart: {process: gunicorn, grace: 1s}, splay: 0s, minInterval: 2h}",
        "restart: {cmdline: 'python*'}",
        "restart: {pidfile: /p}",
        "{restart: {pods: 'app in (a, b),!c', maxUnavailable: 3, evict: true}, timeout: 1m, retries: 0, settle: 0s}",
        "{restart: {pods: annotation}, retries: 100, settle: '1s:2s'}",
    ] {
        let printed = there_and_back(&format!("settle: 2s\nonChange:\n- {rule}\n"));
        assert!(printed.starts_with("onChange:\n- "), "{printed}");
    }
    for rule in [
        "{configMap: web, dir: /a}",
        "{secret: 'x/db,optional', dir: rel/a, defaultMode: 0400, items: [{key: ..a, path: b//c, mode: 0o777}, {key: A_b, path: 'd e'}]}",
        "{selector: 'a in (b,c)', namespace: '*', kind: Secret, dir: /a}",
        "{selector: a, namespace: \"null\", dir: /a, defaultMode: '0'}",
        "{configMap: \"true\", key: '1', file: /a/b, mode: 0}",
    ] {
        there_and_back(&format!("files: [{rule}]"));
    }
}

#[test]
fn every_default_is_filled_in() {
    let printed = there_and_back(
        "settle: 1s\nfiles: [{configMap: web, dir: /a}]\nonChange: [{when: {configMap: web}, webhook: http://a/x}, restart: pod]",
    );
    assert_eq!(
        printed,
        "\
files:
- configMap: web
  dir: /a
  defaultMode: 0644
onChange:
- when:
    configMap: web
  webhook:
    url: http://a/x
    method: POST
  settle: 1s:4s
  splay: 0s
  minInterval: 0s
  retries: 4
  timeout: 5s
- restart:
    pod:
      requireBudget: true
  settle: 1s:4s
  splay: 30s
  minInterval: 30s
  retries: 10
  timeout: 10m
"
    );
}

#[test]
fn no_rules_are_a_comment_that_is_a_configuration() {
    let printed = there_and_back("configMaps: [web]");
    assert!(printed.starts_with("# ") && printed.lines().count() == 1);
}

proptest! {
    #[test]
    fn any_text_comes_back(text in any::<String>(), name in "[A-Za-z0-9_.-]{1,20}") {
        let argument = text.replace('\0', "");
        let rule = serde_json::json!({"command": ["x", argument, name]});
        let mut written = String::new();
        tree::block(&Tree::new(serde_json::json!({"onChange": [rule]})), 0, LAYOUT, &mut written);
        let config = config(&written);
        let printed = rules(&config);
        let super::super::model::Action::Command(action) = &self::config(&printed).on_change[0].action
        else {
            panic!("no command");
        };
        prop_assert_eq!(&action.argv, &["x".to_owned(), argument, name]);
    }
}
