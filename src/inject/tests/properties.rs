//! Properties of pods that proptest makes.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::super::{Outcome, inject, uninject};
use super::{hold, ours, patches, pods};

#[test]
fn what_holds_of_every_pod_holds_of_generated_ones() {
    let cases = 600;
    let outcomes: Cell<BTreeMap<&str, u32>> = Cell::default();
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    });
    runner
        .run(&pods::any(), |(pod, surroundings)| {
            let name = match hold(&pod, &surroundings) {
                Ok(Outcome::Injected(_)) => "injected",
                Ok(Outcome::Unchanged) => "unchanged",
                Ok(Outcome::Skipped(skip)) => skip.name(),
                Err(_) => "faults",
            };
            let mut counts = outcomes.take();
            *counts.entry(name).or_default() += 1;
            outcomes.set(counts);
            Ok(())
        })
        .unwrap();
    // The pods are such that most ways are taken.
    let outcomes = outcomes.into_inner();
    for (outcome, least) in [
        ("injected", cases / 4),
        ("faults", 20),
        ("opted-out", 5),
        ("nothing-asked", 1),
        ("host-network", 1),
        ("host-pid", 1),
        ("endless", 1),
    ] {
        let found = outcomes.get(outcome).copied().unwrap_or_default();
        assert!(found >= least, "{outcome}: {outcomes:?}");
    }
}

/// What may stand anywhere in a file that nobody has checked.
fn wrong() -> impl Strategy<Value = Value> {
    proptest::sample::select(vec![
        Value::Null,
        json!([]),
        json!({}),
        json!(""),
        json!("app"),
        json!(7),
        json!(true),
        json!([null]),
        json!([{ "name": "attache-state" }]),
        json!({ "name": "x" }),
    ])
}

/// Breaks a pod at the `at`th of its values: another one in its place, none, or the same twice.
fn broken(value: &mut Value, at: &mut usize, how: usize, other: &Value) {
    let children: Vec<&mut Value> = match value {
        Value::Object(fields) => {
            let keys: Vec<_> = fields.keys().cloned().collect();
            if how == 1 && *at < keys.len() {
                fields.remove(&keys[*at]);
                *at = usize::MAX;
            }
            fields.values_mut().collect()
        }
        Value::Array(items) => {
            if how == 2 && *at < items.len() {
                let twin = items[*at].clone();
                items.push(twin);
                *at = usize::MAX;
            }
            items.iter_mut().collect()
        }
        _ => Vec::new(),
    };
    for child in children {
        match *at {
            usize::MAX => return,
            0 if how == 0 => {
                *child = other.clone();
                *at = usize::MAX;
            }
            0 => broken(child, at, how, other),
            _ => {
                *at -= 1;
                broken(child, at, how, other);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn what_no_api_server_takes_is_refused_or_taken_back(
        (mut pod, around) in pods::any(),
        breaks in prop::collection::vec((0..60_usize, 0..3_usize, wrong()), 1..4),
    ) {
        for (mut at, how, other) in breaks {
            broken(&mut pod, &mut at, how, &other);
        }
        if let Ok(Outcome::Injected(injection)) = inject(&pod, &around, &ours()) {
            let after = &injection.pod;
            patches(&pod, after);
            prop_assert_eq!(inject(after, &around, &ours()), Ok(Outcome::Unchanged));
            let out = uninject(after).map(|out| out.to_string());
            prop_assert_eq!(out, Some(pod.to_string()));
        }
    }
}
