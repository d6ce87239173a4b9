//! The filter of proxied paths against an oracle that reads paths as the API server does: over the
//! fuzzer's corpus, and over paths put together from what has a meaning to either.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests may fail loudly, as tests may"
)]

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

#[path = "../fuzz/oracle.rs"]
mod oracle;

#[test]
fn the_corpus_of_the_fuzzer_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/path_filter");
    let mut inputs = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        oracle::check(&fs::read(path).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 50, "the corpus has only {inputs} inputs");
}

/// What a path is put together from.
const TOKENS: &[&str] = &[
    "/",
    "/",
    "/",
    "//",
    "%2f",
    "%2F",
    "\\",
    "%5c",
    ".",
    "..",
    "%2e",
    "%2E%2e",
    ".%2e",
    ";",
    "%00",
    "%0a",
    "%ff",
    "%",
    "%252f",
    "?",
    "api",
    "%61pi",
    "apis",
    "apps",
    "v1",
    "watch",
    "proxy",
    "namespaces",
    "default",
    "pods",
    "po%64s",
    "p",
    "exec",
    "%65xec",
    "exe%63",
    "attach",
    "%61ttach",
    "log",
    "status",
    "secrets",
    "k8s/clusters/c-1",
    "custom",
    "apifoo",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn any_path_of_meaningful_tokens_holds(
        choice in vec(b'a'..=b'i', 3),
        tokens in vec(select(TOKENS), 0..24),
    ) {
        let mut input = choice;
        input.push(b'/');
        input.extend(tokens.concat().bytes());
        oracle::check(&input);
    }

    #[test]
    fn any_spelling_of_an_exec_holds(
        choice in vec(b'a'..=b'i', 3),
        before in select(&["", "/k8s/clusters/c-1", "/custom", "/apifoo", "/x/%2e%2e"][..]),
        spelled in vec((0..6_u8, any::<bool>()), 40),
        after in vec(select(TOKENS), 0..3),
    ) {
        let mut input = choice;
        input.extend(before.bytes());
        let exec = "/api/v1/namespaces/default/pods/p/exec";
        for (byte, (how, upper)) in exec.bytes().zip(spelled.iter().cycle()) {
            match (how, upper) {
                (0, true) => input.extend(format!("%{byte:02X}").bytes()),
                (0, false) => input.extend(format!("%{byte:02x}").bytes()),
                (1, true) if byte == b'/' => input.extend(b"%2F/"),
                (1, false) if byte == b'/' => input.extend(b"%5C"),
                _ => input.push(byte),
            }
        }
        input.extend(after.concat().bytes());
        oracle::check(&input);
    }
}
