use super::super::tests::{load_run, names};
use super::*;

/// What is wrong with these `files`.
fn faults(files: &str) -> String {
    load_run(&[], Some(&format!("files: {files}")))
        .unwrap_err()
        .to_string()
}

fn rules(files: &str) -> Vec<FilesRule> {
    load_run(&[], Some(&format!("files: {files}")))
        .unwrap()
        .files
}

#[test]
fn modes_are_octal_as_in_manifests() {
    for (text, bits) in [
        ("0644", 0o644),
        ("0o600", 0o600),
        ("\"0440\"", 0o440),
        ("'0o777'", 0o777),
        ("0", 0),
        ("0000", 0),
    ] {
        let read = rules(&format!("[{{configMap: a, dir: /a, defaultMode: {text}}}]"));
        assert!(
            matches!(&read[0].to, FilesTo::Dir { mode, .. } if *mode == bits),
            "{text}"
        );
    }
    for (text, says) in [
        ("01000", "more than 0777"),
        ("04755", "more than 0777"),
        ("420", "leading zero"),
        ("644", "leading zero"),
        ("0x1a4", "leading zero"),
        ("0888", "leading zero"),
        ("-1", "leading zero"),
        ("0o", "leading zero"),
        ("'0+7'", "leading zero"),
        ("rw-r--r--", "leading zero"),
        ("099999999999999999999", "leading zero"),
        ("077777777777777777777", "leading zero"),
    ] {
        let faults = faults(&format!("[{{configMap: a, dir: /a, defaultMode: {text}}}]"));
        assert!(faults.contains(says), "{text}: {faults}");
    }
}

#[test]
fn what_a_rule_says_is_read() {
    let read = rules(
        "[{configMap: prod/web, dir: /a}, {selector: a=b, namespace: '*', kind: Secret, dir: /a}, {secret: 'db,optional', key: pw, file: rel/pw, mode: 0400}, {configMap: web, dir: /a, items: [{key: a, path: x//y/z}, {key: a, path: q, mode: 0600}]}]",
    );
    assert_eq!(read[0].name, "files[0]");
    let FilesFrom::Object(named) = &read[0].from else {
        panic!("not an object");
    };
    assert_eq!(
        (named.object.namespace.as_deref(), named.optional),
        (Some("prod"), false)
    );
    assert!(matches!(
        &read[0].to,
        FilesTo::Dir {
            mode: 0o644,
            items: None,
            ..
        }
    ));
    assert!(
        matches!(&read[1].from, FilesFrom::Selected(s) if s.namespace == SelectorNamespace::All && s.kind == ObjectKind::Secret)
    );
    assert!(
        matches!(&read[2].to, FilesTo::File { file, key, mode: 0o400 } if file == Path::new("rel/pw") && key == "pw")
    );
    let FilesTo::Dir {
        items: Some(items), ..
    } = &read[3].to
    else {
        panic!("no items");
    };
    // As the layout is to have it, without empty parts.
    assert_eq!(items[0].path.as_os_str(), "x/y/z");
    assert_eq!((items[0].mode, items[1].mode), (None, Some(0o600)));
}

#[test]
fn each_fault_names_its_place() {
    for (files, says) in [
        ("[web]", "files[0]: expected a rule"),
        ("[{dir: /a}]", "say what to write by one of"),
        (
            "[{configMap: a, secret: b, dir: /a}]",
            "say what to write by one of",
        ),
        (
            "[{configMap: a, selector: b, dir: /a}]",
            "say what to write by one of",
        ),
        ("[{configMap: a}]", "say where to by one of"),
        (
            "[{configMap: a, dir: /a, file: /b}]",
            "say where to by one of",
        ),
        ("[{configMap: a, dir: ''}]", "files[0].dir: it is empty"),
        (
            "[{configMap: A, dir: /a}]",
            "files[0].configMap: \"A\" is not an object's name",
        ),
        (
            "[{configMap: a, namespace: b, dir: /a}]",
            "namespace goes with selector",
        ),
        (
            "[{configMap: a, kind: Secret, dir: /a}]",
            "kind goes with selector",
        ),
        (
            "[{selector: a, kind: Pod, dir: /a}]",
            "neither ConfigMap nor Secret",
        ),
        ("[{selector: 'a b', dir: /a}]", "not a label requirement"),
        ("[{configMap: a, dir: /a, key: b}]", "key goes with file"),
        (
            "[{configMap: a, dir: /a, mode: 0600}]",
            "mode goes with file",
        ),
        (
            "[{configMap: a, file: /a, key: b, items: []}]",
            "items goes with dir",
        ),
        (
            "[{configMap: a, file: /a, key: b, defaultMode: 0600}]",
            "defaultMode goes with dir",
        ),
        ("[{configMap: a, file: /a}]", "add key: KEY"),
        ("[{configMap: a, file: /a, key: b/c}]", "cannot be a key"),
        ("[{configMap: a, file: /a/, key: b}]", "names a directory"),
        ("[{configMap: a, file: /a/.., key: b}]", "names a directory"),
        ("[{configMap: a, file: /a/., key: b}]", "names a directory"),
        ("[{configMap: a, dir: /a, itms: []}]", "did you mean items?"),
        (
            "[{configMap: a, dir: /a, items: []}]",
            "an empty list writes nothing",
        ),
        (
            "[{configMap: a, dir: /a, items: [b]}]",
            "files[0].items[0]: expected {key: KEY",
        ),
        ("[{configMap: a, dir: /a, items: [{key: b}]}]", "needs both"),
        (
            "[{configMap: a, dir: /a, items: [{key: b, path: /c}]}]",
            "write it relative",
        ),
        (
            "[{configMap: a, dir: /a, items: [{key: b, path: c/../d}]}]",
            "write it relative",
        ),
        (
            "[{configMap: a, dir: /a, items: [{key: b, path: ..data}]}]",
            "write it relative",
        ),
        (
            "[{configMap: a, dir: /a, items: [{key: b, path: ../d}]}]",
            "write it relative",
        ),
        (
            "[{configMap: a, dir: /a, items: [{key: b, path: ./d}]}]",
            "write it relative",
        ),
        (
            "[{configMap: a, dir: /a, items: [{key: b, path: d/}]}]",
            "write it relative",
        ),
        (
            "[{configMap: a, dir: /a, items: [{key: b, path: c}, {key: d, path: c}]}]",
            "items[1]: c is written twice",
        ),
        (
            "[{configMap: a, dir: /a, items: [{key: b, path: c/d}, {key: d, path: c}]}]",
            "cannot be a file and a directory",
        ),
        (
            "[{configMap: a, dir: /a, items: [{key: b, path: c, mode: 01000}]}]",
            "items[0].mode: \"01000\" is more than 0777",
        ),
        (
            "[{configMap: a, key: k, file: /a/b}, {secret: s, key: k, file: /a//b}]",
            "files[1]: /a//b is written by an earlier rule",
        ),
        (
            "[{configMap: a, key: k, file: /a}, {secret: s, key: k, file: /a/b}]",
            "cannot be a file and a directory",
        ),
        (
            "[{configMap: a, key: k, file: /a/b}, {secret: s, dir: /a/}]",
            "files[1]: /a/b is in /a/",
        ),
        (
            "[{configMap: a, dir: /a}, {secret: s, key: k, file: /a/b/c}]",
            "is in /a",
        ),
        (
            "[{configMap: a, dir: /a/b}, {secret: s, key: k, file: /a}]",
            "on the way to",
        ),
    ] {
        let faults = faults(files);
        assert!(faults.contains(says), "{files}: {faults}");
        assert_eq!(faults.lines().count(), 1, "{files}: {faults}");
    }
    // `..` within a name is nothing special, nor is one directory of several rules.
    rules(
        "[{configMap: a, dir: /a, items: [{key: ..b, path: a..b}, {key: c, path: d/..e}]}, {secret: s, dir: /a}]",
    );
}

#[test]
fn attache_writes_nothing_that_it_reads() {
    for (args, file, says) in [
        (
            &["--mount", "a=/m"][..],
            "files: [{configMap: b, dir: /m/}]",
            "volume of a --mount",
        ),
        (
            &["--mount", "a=/m"],
            "files: [{configMap: b, key: k, file: /m/k}]",
            "volume of a --mount",
        ),
        (
            &["--dir", "/"],
            "files: [{configMap: b, dir: /}]",
            "--dir, where manifests are read",
        ),
        (
            &["--dir", "/"],
            "files: [{configMap: b, key: k, file: /x.yaml}]",
            "--dir, where manifests are read",
        ),
        (
            &["--dir", "/"],
            "files: [{selector: b, dir: /x/y}]",
            "a selector needs an API server",
        ),
        (
            &[],
            "files: [{configMap: b, dir: /m}]\nonChange: [{when: {configMap: b}, signal: x, afterMount: /m}]",
            "afterMount of onChange[0]",
        ),
    ] {
        let faults = load_run(args, Some(file)).unwrap_err().to_string();
        assert!(faults.contains(says), "{file}: {faults}");
        assert!(faults.starts_with("attache: files[0]: "), "{faults}");
    }
    load_run(
        &["--mount", "a=/m"],
        Some("files: [{configMap: b, dir: /m2}]"),
    )
    .unwrap();
}

#[test]
fn what_is_written_is_watched_and_waited_for() {
    let file = "configMaps: ['a,optional', {selector: x}]\nfiles: [{configMap: a, dir: /a}, {secret: 'b,optional', dir: /a}, {configMap: m, dir: /a}, {selector: x, dir: /a}, {selector: y, dir: /a}, {secret: c, dir: /a}]\nonChange: [{when: {secret: c}, signal: x}, {when: {secret: d}, signal: x}]\nmounts: [m=/m]";
    let config = load_run(&[], Some(file)).unwrap();
    assert_eq!(
        names(&config),
        ["ConfigMap -/a", "Secret -/b?", "Secret -/c", "Secret -/d?"]
    );
    let labels: Vec<_> = config.source.selectors.iter().map(|s| &s.labels).collect();
    assert_eq!(labels, ["x", "y"]);
}
