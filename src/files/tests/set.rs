use super::*;

fn remarks(target: &Target, sources: &[Source]) -> Vec<String> {
    target.render(sources).unwrap().remarks
}

#[test]
fn the_later_of_two_claims_wins_and_is_remarked() {
    let dir = tempfile::tempdir().unwrap();
    let to = |items| to_dir(dir.path(), items);
    let target = target(&[
        rule(selected(), to(None)),
        rule(named(false), to(Some(vec![item("x", "./sub//b", None)]))),
        rule(named(false), to(Some(vec![item("x", "sub/b", None)]))),
    ]);
    let mut members = source("first", &[("a", "1"), ("only", "1")]);
    members.extend(source("second", &[("a", "2")]));
    let sources = [
        members,
        source("third", &[("x", "3")]),
        source("fourth", &[("x", "4")]),
    ];
    assert_eq!(
        remarks(&target, &sources),
        [
            r#""a" is claimed by key "a" of ConfigMap default/first and by key "a" of ConfigMap default/second: it holds the latter"#,
            r#""sub/b" is claimed by key "x" of ConfigMap default/third and by key "x" of ConfigMap default/fourth: it holds the latter"#,
        ]
    );
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!([read("a"), read("only"), read("sub/b")], ["2", "1", "4"]);
    assert_eq!(
        remarks(&target, &sources).len(),
        2,
        "also when nothing is written"
    );
}

#[test]
fn a_file_where_a_directory_must_be_is_refused() {
    for paths in [["sub", "sub/b/c"], ["sub/b/c", "sub"]] {
        let dir = tempfile::tempdir().unwrap();
        all_to(dir.path())
            .render(&[source("web", &[("old", "1")])])
            .unwrap();
        let before = listing(dir.path());
        let items = vec![item("a", paths[0], None), item("b", paths[1], None)];
        let target = target(&[rule(named(false), to_dir(dir.path(), Some(items)))]);
        let refused = target
            .render(&[source("web", &[("a", "1"), ("b", "2")])])
            .unwrap_err();
        assert!(matches!(&refused, FilesError::Clash { path, .. } if path == Path::new("sub")));
        let (file, below) = if paths[0] == "sub" {
            ("a", "b")
        } else {
            ("b", "a")
        };
        let expected = format!(
            "\"sub\" cannot be both a file, for key {file:?} of ConfigMap default/web, and a \
             directory, for key {below:?} of ConfigMap default/web; "
        );
        assert!(refused.to_string().starts_with(&expected), "{refused}");
        assert_eq!(listing(dir.path()), before);
    }
}

#[test]
fn no_path_leaves_the_directory() {
    let long = "x".repeat(256);
    let deep = "x/".repeat(2050);
    for path in [
        "",
        ".",
        "..",
        "/etc/passwd",
        "../a",
        "a/../b",
        "..a",
        "./..data",
        "..a/b",
        "a\0b",
        &long,
        &format!("sub/{long}"),
        &deep,
    ] {
        let dir = tempfile::tempdir().unwrap();
        let items = Some(vec![item("a", path, None)]);
        let target = target(&[rule(named(false), to_dir(&dir.path().join("d"), items))]);
        let refused = target.render(&[source("web", &[("a", "1")])]).unwrap_err();
        assert!(
            matches!(refused, FilesError::Path { .. }),
            "{path}: {refused}"
        );
        assert!(refused.to_string().starts_with("files[0]: "), "{refused}");
        assert_eq!(listing(dir.path()), expect(&[]), "{path}");
    }
    for path in ["a..b", ".a", "a/..b", "a/.../b", &long[..255]] {
        let dir = tempfile::tempdir().unwrap();
        let items = Some(vec![item("a", path, None)]);
        let target = target(&[rule(named(false), to_dir(dir.path(), items))]);
        target.render(&[source("web", &[("a", "1")])]).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(path)).unwrap(), "1");
    }
}

#[test]
fn keys_that_make_no_path_are_left_out_and_remarked() {
    let dir = tempfile::tempdir().unwrap();
    let long = "x".repeat(256);
    let bad = [
        "", ".", "..", "..data", "/abs", "a/b", "a/", "./a", "a\0", &long,
    ];
    let mut pairs = vec![("good", "1"), (".hidden", "1"), ("a..b", "1")];
    pairs.extend(bad.iter().map(|key| (*key, "secret-value")));
    let remarks = remarks(&all_to(dir.path()), &[source("web", &pairs)]);
    assert_eq!(remarks.len(), bad.len(), "{remarks:#?}");
    for key in bad {
        let start = format!("key {key:?} of ConfigMap default/web is left out: ");
        assert!(
            remarks.iter().any(|remark| remark.starts_with(&start)),
            "{key}"
        );
    }
    assert!(!remarks.concat().contains("secret-value"));
    let written = listing(&dir.path().join("..data"));
    assert_eq!(
        written,
        expect(&[(".hidden", "1"), ("a..b", "1"), ("good", "1")])
    );
}

#[test]
fn a_missing_item_is_refused_unless_it_may_be_missing() {
    let dir = tempfile::tempdir().unwrap();
    let items = Some(vec![item("a", "a", None), item("b", "b", None)]);
    let rendered = |from: FilesFrom, source: Source| {
        target(&[rule(from, to_dir(dir.path(), items.clone()))]).render(&[source])
    };
    rendered(named(false), source("web", &[("a", "1"), ("b", "1")])).unwrap();
    let refused = rendered(named(false), source("web", &[("a", "2")])).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "files[0]: ConfigMap default/web has no key \"b\"; add it, take it out of `items`, or make \
         the object optional (NAME,optional)"
    );
    assert_eq!(
        fs::read_to_string(dir.path().join("a")).unwrap(),
        "1",
        "the old set stays"
    );
    for from in [named(true), selected()] {
        rendered(from, source("web", &[("a", "3")])).unwrap();
        assert_eq!(listing(&dir.path().join("..data")), expect(&[("a", "3")]));
        assert!(!dir.path().join("b").is_symlink());
    }
}
