use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::tree::{Layout, block, values};

fn tree(text: &str) -> Tree {
    read(text).unwrap().unwrap().tree
}

fn fault(text: &str) -> (usize, String) {
    let malformed = read(text).unwrap_err();
    (malformed.line, malformed.reason)
}

fn write(tree: &Tree, indent_lists: bool) -> String {
    let mut out = String::new();
    block(tree, 0, Layout { indent_lists }, &mut out);
    out
}

#[test]
fn documents_are_what_kubectl_takes_them_for() {
    // Asked of kubectl 1.20 and 1.32, by `kubectl label --local -o json`.
    let text = "\
base: &b {a: 1, b: 2}
one:
  a: explicit
  <<: *b
two:
  <<: *b
  a: explicit
three:
  <<: [*b, {a: 7, c: 3}]
tags: [!!str 5, !foo bar, !!float 3, !!binary aGVsbG8=, 'yes', \"0644\", yes, 0644]
keys: {yes: 1, 1: 2, 1.5: 3, n: 4}
folded: >
  a
  b
kept: |+
  a

empty:
";
    let expected = json!({
        "base": {"a": 1, "b": 2},
        "one": {"a": 1, "b": 2},
        "two": {"a": "explicit", "b": 2},
        "three": {"a": 1, "b": 2, "c": 3},
        "tags": ["5", "bar", 3, "hello", "yes", "0644", true, 420],
        "keys": {"true": 1, "1": 2, "1.5": 3, "false": 4},
        "folded": "a b\n",
        "kept": "a\n\n",
        "empty": null,
    });
    let read = tree(text);
    assert_eq!(read.value(), expected);
    for indent in [true, false] {
        assert_eq!(tree(&write(&read, indent)).value(), expected);
    }
}

#[test]
fn what_was_written_is_written_again() {
    let text = "\
apiVersion: v1
kind: Pod
metadata:
  name: web # a name
  labels: {app: web, tier: \"1\"}
  annotations:
    'a/b': 'it''s'
    c: \"0644\"
    d: some words, and more
    e:
spec:
  containers:
    - name: app
      args: [\"-c\", 'x y', plain]
      command:
        - sh
        - -c
        - |
          echo a
            echo b
      mode: 0644
      on: yes
      nothing: ~
    - - nested
      -
      - {}
";
    let document = read(text).unwrap().unwrap();
    assert_eq!(
        (document.comments, document.indented_lists),
        (1, Some(true))
    );
    let expected = text
        .replace(" # a name", "")
        .replace("'a/b'", "a/b")
        .replace("      on:", "      \"true\":");
    assert_eq!(write(&document.tree, true), expected);
}

#[test]
fn lists_stand_where_the_first_one_stood() {
    for (text, indented) in [
        ("a:\n- b\n", Some(false)),
        ("a:\n  - b\n", Some(true)),
        ("a:\n  b:\n  - c: 1\n", Some(false)),
        ("- a:\n  - b\n", Some(false)),
        ("- a:\n    - b\n", Some(true)),
        ("a: [b]\n", None),
    ] {
        assert_eq!(
            read(text).unwrap().unwrap().indented_lists,
            indented,
            "{text}"
        );
    }
}

#[test]
fn faults_have_their_line_and_bombs_do_not_explode() {
    assert_eq!(
        fault("a: 1\nb: 2\na: 3\n"),
        (3, "the key \"a\" stands twice".into())
    );
    assert_eq!(
        fault("a: 1\nb: .inf\n"),
        (2, ".inf is no number of JSON".into())
    );
    assert_eq!(fault("a:\n- !!int x\n").0, 2);
    assert_eq!(fault("a: 1\n[b: 2\n").0, 2);
    assert_eq!(
        fault("a: &x [*x]\n"),
        (1, "an alias within the value it stands for".into())
    );
    assert_eq!(fault("? [a]\n: b\n").0, 1);
    assert_eq!(fault("a: *nobody\n").0, 1);
    assert!(read(&"[".repeat(100_000)).is_err());
    assert!(read(&"- ".repeat(5_000)).is_err());
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    assert!(fault(&bomb).1.contains("aliases expanded"));
    assert!(read("# nothing\n---\n").unwrap().is_none());
}

#[test]
fn every_manifest_here_reads_the_same_when_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    let mut dirs = vec![root.join("examples"), root.join("manifests")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("node_modules") {
                dirs.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                let text = fs::read_to_string(&path).unwrap();
                for part in text.split("\n---\n") {
                    let Some(document) = read(part).unwrap() else {
                        continue;
                    };
                    for indent in [true, false] {
                        let again = tree(&write(&document.tree, indent));
                        assert_eq!(again.value(), document.tree.value(), "{}", path.display());
                    }
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 20, "{seen} documents");
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(value in values(), indent: bool) {
        let object = json!({"k": value, "l": [value], "after": "x"});
        let text = write(&Tree::new(object.clone()), indent);
        let read = tree(&text);
        prop_assert_eq!(read.value(), object, "{}", text);
        // And again, as it is written now.
        prop_assert_eq!(tree(&write(&read, indent)).value(), read.value(), "{}", text);
    }

    #[test]
    fn nothing_makes_it_panic(text in "[a-c:#\\- \n\t'\"{}\\[\\],&*!|>%~.0-9<]{0,60}") {
        if let Ok(Some(document)) = read(&text) {
            let written = write(&document.tree, true);
            prop_assert_eq!(tree(&written).value(), document.tree.value(), "{}", written);
        }
    }
}
