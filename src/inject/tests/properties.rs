//! Properties of pods that proptest makes.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::Outcome;
use super::{hold, pods};

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
