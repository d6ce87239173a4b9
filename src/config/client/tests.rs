use std::ffi::OsString;

use crate::cli::{self, Parsed};
use crate::config::{self, Job, ObjectKind, ValueFrom};

fn load(args: &str, rest: &[&str]) -> Result<Job, String> {
    let args = args.split_whitespace().chain(rest.iter().copied());
    match cli::parse(args.map(OsString::from), []) {
        Parsed::Command { command, faults } => {
            config::load(command, faults).map_err(|faults| faults.to_string())
        }
        Parsed::Text(text) => panic!("{text}"),
    }
}

#[test]
fn all_that_follows_exec_is_the_command() {
    let command = ["sh", "-c", "x", "--", "-n", "--exec", "--help"];
    let Ok(Job::Watch(watch)) = load("attache watch -n a secret:db KEY -p 9 --exec", &command)
    else {
        panic!("no watch");
    };
    assert_eq!(watch.command, command);
    assert_eq!(
        (watch.kind, watch.key.as_deref()),
        (ObjectKind::Secret, Some("KEY"))
    );
    assert_eq!(watch.object.namespace.as_deref(), Some("a"));
    assert_eq!(watch.endpoint.to_string(), "127.0.0.1:9");
    let Ok(Job::Watch(watch)) = load("attache watch web", &[]) else {
        panic!("no watch");
    };
    assert!(watch.command.is_empty() && watch.object.namespace.is_none());
}

#[test]
fn values_are_given_or_read() {
    let args = "attache set a/web A=1=2 B= --from-file C=- --from-file=D=/d=x --if-match";
    for (etag, expected) in [("abc", "\"abc\""), ("\"abc\"", "\"abc\""), ("*", "*")] {
        let Ok(Job::Set(set)) = load(args, &[etag]) else {
            panic!("no set");
        };
        assert_eq!(set.if_match.as_deref(), Some(expected));
        let values: Vec<_> = set.values.iter().collect();
        assert_eq!(
            values,
            [
                (&"A".to_owned(), &"1=2".to_owned()),
                (&"B".into(), &String::new())
            ]
        );
        let files = [
            ("C".to_owned(), ValueFrom::Stdin),
            ("D".to_owned(), ValueFrom::File("/d=x".into())),
        ];
        assert_eq!(set.files, files);
    }
    let Ok(Job::Unset(unset)) = load("attache unset web B A B", &[]) else {
        panic!("no unset");
    };
    assert!(unset.keys.iter().eq(["A", "B"]));
}

#[test]
fn every_fault_of_a_write_is_told_at_once() {
    let args = "attache set a/secret:db A=1 A=2 /=3 B --from-file A=x --from-file X= \
        --from-file Y=- --from-file Z=- --if-match W/\"x\" -n b -p x --timeout 0";
    let faults = load(args, &[]).unwrap_err();
    let expected = [
        "--port: ",
        "--timeout: ",
        "CONFIGMAP: its namespace a differs",
        "CONFIGMAP: attache writes no Secrets",
        "--if-match: ",
        "KEY=VALUE: A is given twice",
        "KEY=VALUE: \"/\" cannot be a key",
        "KEY=VALUE: \"B\" has no '='",
        "--from-file: A is given twice",
        "--from-file: \"X=\" names no file",
        "--from-file: standard input is one value",
    ];
    let lines: Vec<_> = faults.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{faults}");
    for (line, says) in lines.iter().zip(expected) {
        assert!(
            line.starts_with(&format!("attache: {says}")),
            "{says}: {line}"
        );
    }
    for (args, says) in [
        ("attache set web", "nothing to set"),
        ("attache set web A=1 --if-match \"x", "--if-match: "),
        ("attache unset web", "KEY"),
        ("attache unset web a/b", "KEY: \"a/b\" cannot be a key"),
        ("attache unset secret:db K", "no Secrets"),
        ("attache watch web a=b", "KEY: "),
        ("attache watch Web", "CONFIGMAP: "),
        ("attache watch web --exec", "--exec"),
    ] {
        let faults = load(args, &[]).unwrap_err();
        assert!(
            faults.contains(says) && faults.lines().count() == 1,
            "{args}: {faults}"
        );
    }
    assert!(
        load("attache watch web --exec", &[""])
            .unwrap_err()
            .contains("--exec: ")
    );
}
