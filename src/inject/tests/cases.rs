//! Pods as they are written in the field, from `tests/pods/`, each with what becomes of it.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::super::{Outcome, Surroundings};
use super::hold;

/// One document: a pod, and what becomes of it: `injected`, why it is skipped, or a part of the fault.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    about: String,
    expect: String,
    /// Which warning is given, if any.
    #[serde(default)]
    warning: Option<String>,
    /// What is to be where in the injected pod, by JSON pointers.
    #[serde(default)]
    holds: std::collections::BTreeMap<String, Value>,
    #[serde(default = "yes")]
    native: bool,
    #[serde(default)]
    job: bool,
    #[serde(default)]
    admitted: bool,
    pod: Value,
}

fn yes() -> bool {
    true
}

#[test]
fn what_holds_of_every_pod_holds_of_those_in_the_field() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pods");
    let mut count = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for document in text.split("\n---\n") {
            let case: Case = serde_saphyr::from_str(document)
                .unwrap_or_else(|error| panic!("{error} in {document}"));
            check(&case);
            count += 1;
        }
    }
    assert!(count >= 60, "found only {count} pods");
}

fn check(case: &Case) {
    let surroundings = Surroundings {
        native: case.native,
        is_job: case.job,
        admitted: case.admitted,
        ..Surroundings::default()
    };
    let about = &case.about;
    match hold(&case.pod, &surroundings) {
        Ok(Outcome::Injected(injection)) => {
            assert_eq!(case.expect, "injected", "{about}");
            for (path, expected) in &case.holds {
                let found = injection.pod.pointer(path).unwrap_or(&Value::Null);
                assert_eq!(found, expected, "{about}: {path} of {:#}", injection.pod);
            }
            let warnings = injection.warnings.join("\n");
            match &case.warning {
                Some(warning) => assert!(warnings.contains(warning), "{about}: {warnings}"),
                None => assert_eq!(warnings, "", "{about}"),
            }
        }
        Ok(Outcome::Skipped(skip)) => assert_eq!(case.expect, skip.name(), "{about}"),
        Ok(Outcome::Unchanged) => panic!("{about}: unchanged"),
        Err(faults) => {
            let faults = faults.to_string();
            assert!(faults.contains(&case.expect), "{about}: {faults}");
        }
    }
}
