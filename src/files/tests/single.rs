use super::*;

#[test]
fn a_file_follows_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made/app.conf");
    let target = target(&[rule(named(false), to_file(&path, 0o640))]);
    let render = |pairs: &[(&str, &str)]| target.render(&[source("web", pairs)]).unwrap();
    assert!(!render(&[("b", "1")]).written, "no key, no file");
    assert!(render(&[("a", "1")]).written);
    assert_eq!(
        listing(path.parent().unwrap()),
        expect(&[("app.conf", "1")])
    );
    assert_eq!(mode(&path), 0o640);
    let inode = fs::metadata(&path).unwrap().ino();
    assert!(!render(&[("a", "1"), ("b", "2")]).written);
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);

    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(render(&[("a", "1")]).written);
    assert_eq!(mode(&path), 0o640);
    assert_ne!(
        fs::metadata(&path).unwrap().ino(),
        inode,
        "replaced, not changed in place"
    );

    assert!(
        !target.render(&[vec![]]).unwrap().written,
        "a deleted object's file stays"
    );
    assert!(path.exists());
    assert!(render(&[("b", "1")]).written, "a removed key's file goes");
    assert_eq!(listing(path.parent().unwrap()), expect(&[]));
    assert!(!render(&[("b", "1")]).written);
}

#[test]
fn a_link_is_replaced_and_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("file"), dir.path().join("other"));
    fs::write(&other, "1").unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o644)).unwrap();
    symlink("other", &path).unwrap();
    let target = target(&[rule(named(false), to_file(&path, 0o644))]);
    assert!(
        target
            .render(&[source("web", &[("a", "1")])])
            .unwrap()
            .written
    );
    assert!(!path.is_symlink());
    target.render(&[source("web", &[("a", "2")])]).unwrap();
    assert_eq!(
        listing(dir.path()),
        expect(&[("file", "2"), ("other", "1")])
    );
}

#[test]
fn what_is_no_file_is_let_be() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::create_dir(&path).unwrap();
    let target = target(&[rule(named(false), to_file(&path, 0o644))]);
    for pairs in [&[("a", "1")][..], &[]] {
        let refused = target.render(&[source("web", pairs)]);
        assert!(matches!(refused, Err(FilesError::Taken { .. })));
    }
    assert_eq!(listing(dir.path()), expect(&[("file", "/")]));
}

#[test]
fn what_a_crash_left_is_cleaned_up() {
    let dir = tempfile::tempdir().unwrap();
    let long = "x".repeat(255);
    for name in ["file", &long] {
        let path = dir.path().join(name);
        let target = target(&[rule(named(false), to_file(&path, 0o644))]);
        let sources = [source("web", &[("a", "1")])];
        // Before the write, after the file was made, and before the rename.
        for at in 0..4 {
            let (result, reached) = interrupted(&target, &sources, at, End::Crash);
            assert!(result.is_none() && reached);
            assert!(!path.exists());
        }
        assert!(target.render(&sources).unwrap().written);
        fs::write(dir.path().join(".file.attache-foreign"), "").unwrap();
        fs::create_dir_all(dir.path().join(".file.attache-0123456789abcdef")).unwrap();
        fs::write(dir.path().join(".other.attache-0123456789abcdef"), "").unwrap();
        assert!(!target.render(&sources).unwrap().written);
        assert_eq!(
            listing(dir.path()),
            expect(&[
                (name, "1"),
                (".file.attache-foreign", ""),
                (".file.attache-0123456789abcdef", "/"),
                (".other.attache-0123456789abcdef", ""),
            ])
        );
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn of_several_objects_the_last_with_the_key_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let target = target(&[
        rule(selected(), to_file(&path, 0o644)),
        rule(named(false), to_file(&path, 0o600)),
    ]);
    let mut members = source("first", &[("a", "1")]);
    members.extend(source("second", &[("b", "2")]));
    let rendered = target
        .render(&[members.clone(), source("third", &[("a", "3")])])
        .unwrap();
    let remark = format!(
        "{path:?} is claimed by key \"a\" of ConfigMap default/first and by key \"a\" of ConfigMap \
         default/third: it holds the latter"
    );
    assert_eq!(rendered.remarks, [remark]);
    assert_eq!(
        (fs::read_to_string(&path).unwrap().as_str(), mode(&path)),
        ("3", 0o600)
    );
    let rendered = target
        .render(&[members, source("third", &[("b", "3")])])
        .unwrap();
    assert!(rendered.remarks.is_empty());
    assert_eq!(
        (fs::read_to_string(&path).unwrap().as_str(), mode(&path)),
        ("1", 0o644)
    );
    target.render(&[vec![], vec![]]).unwrap();
    assert!(!path.exists(), "nothing is selected any more");
}
