use super::super::errors::Faults;
use super::super::{rules, yaml};
use super::*;

fn identities(texts: &[&str]) -> Vec<String> {
    let read = |(index, text): (usize, &&str)| {
        let node = yaml::parse_flag(text, "--on-change", "").unwrap();
        rules::rule(&node, index, &mut Faults::default()).unwrap()
    };
    let mut rules: Vec<_> = texts.iter().enumerate().map(read).collect();
    identify(&mut rules);
    rules.into_iter().map(|rule| rule.identity).collect()
}

#[test]
fn place_and_timing_are_not_of_the_identity() {
    let same = identities(&[
        "command: [a]",
        "{command: {argv: [a], grace: 1s, timeout: 2s}, settle: 1s, splay: 1s, minInterval: 1s, retries: 1}",
    ]);
    assert_eq!(same[0], r#"{"when":{},"command":{"argv":["a"]}}"#);
    assert_eq!(same[1], format!("{}#2", same[0]));
    let alike = identities(&["signal: a", "signal: {process: a, signal: 1}", "signal: a"]);
    assert_eq!(alike[2], format!("{}#3", alike[0]));
    assert_eq!(
        identities(&["signal: b", "signal: a"])[1],
        identities(&["signal: a"])[0]
    );
}

#[test]
fn what_a_rule_is_for_and_does_is() {
    let all = [
        "webhook: http://a/",
        "webhook: http://a/?x",
        "webhook: {url: http://a/, method: PUT}",
        "webhook: {url: http://a/, headers: {A: b}}",
        "webhook: {url: http://a/, headers: {A: {file: b}}}",
        "{when: {configMap: a}, webhook: http://a/}",
        "{when: {secret: a}, webhook: http://a/}",
        "{when: {configMap: a, keys: [b]}, webhook: http://a/}",
        "signal: a",
        "signal: {process: a, signal: USR1}",
        "signal: {cmdline: a}",
        "restart: {process: a}",
        "restart: rollout",
        "restart: {rollout: deploy/a}",
        "restart: {pods: a}",
        "restart: {pods: annotation}",
    ];
    let mut identities = identities(&all);
    identities.sort();
    identities.dedup();
    assert_eq!(identities.len(), all.len());
    assert!(identities.iter().all(|identity| !identity.contains('#')));
}
