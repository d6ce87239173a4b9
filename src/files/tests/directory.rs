use super::*;

#[test]
fn the_layout_is_the_kubelets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made/for/it");
    let items = vec![
        item("a", "plain", None),
        item("b", "nested/deep/b", Some(0o400)),
        item("c", "nested/c", Some(0o4755)),
    ];
    let target = target(&[rule(named(false), to_dir(&path, Some(items)))]);
    let sources = [source(
        "web",
        &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")],
    )];
    let rendered = target.render(&sources).unwrap();
    assert!(
        rendered.written && rendered.remarks.is_empty(),
        "{rendered:?}"
    );
    assert_eq!(
        listing(&path),
        expect(&[
            ("..VERSION", "/"),
            ("..data", "-> ..VERSION"),
            ("nested", "-> ..data/nested"),
            ("plain", "-> ..data/plain"),
        ])
    );
    let data = path.join("..data");
    assert_eq!(listing(&data), expect(&[("nested", "/"), ("plain", "1")]));
    assert_eq!(
        listing(&path.join("nested")),
        expect(&[("c", "3"), ("deep", "/")])
    );
    assert_eq!(listing(&path.join("nested/deep")), expect(&[("b", "2")]));
    for (file, bits) in [
        ("plain", 0o644),
        ("nested/deep/b", 0o400),
        ("nested/c", 0o4755),
        ("..data", 0o755),
        ("nested", 0o755),
        ("nested/deep", 0o755),
        (".", 0o755),
        ("..", 0o755),
    ] {
        assert_eq!(mode(&path.join(file)), bits, "{file}");
    }
}

#[test]
fn what_is_there_already_is_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let sources = [source("web", &[("a", "1"), ("b", "2")])];
    let data = dir.path().join("..data");
    let render = |written: bool| {
        let before = fs::read_link(&data).ok();
        // Another attache, for nothing is remembered.
        let rendered = all_to(dir.path()).render(&sources).unwrap();
        assert_eq!(rendered.written, written);
        let kept = before.is_some_and(|before| fs::read_link(&data).unwrap() == before);
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "1");
        assert_eq!(fs::read_to_string(dir.path().join("b")).unwrap(), "2");
        assert_eq!(listing(dir.path()).len(), 4, "no leftovers");
        kept
    };
    assert!(!render(true));
    assert!(render(false));
    fs::write(data.join("a"), "x").unwrap();
    assert!(!render(true), "other bytes");
    fs::set_permissions(data.join("b"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(!render(true), "another mode");
    fs::write(data.join("c"), "").unwrap();
    assert!(!render(true), "one file more");
    fs::remove_file(data.join("a")).unwrap();
    symlink("b", data.join("a")).unwrap();
    assert!(!render(true), "a link in a file's place");
    fs::remove_file(dir.path().join("b")).unwrap();
    assert!(render(true), "only a link was missing");
    assert!(render(false));
}

#[test]
fn links_come_and_go_with_their_keys() {
    let dir = tempfile::tempdir().unwrap();
    let target = all_to(dir.path());
    target
        .render(&[source("web", &[("a", "1"), ("b", "1")])])
        .unwrap();
    target
        .render(&[source("web", &[("b", "2"), ("c", "2")])])
        .unwrap();
    let expected = [
        ("..VERSION", "/"),
        ("..data", "-> ..VERSION"),
        ("b", "-> ..data/b"),
        ("c", "-> ..data/c"),
    ];
    assert_eq!(listing(dir.path()), expect(&expected));
    target.render(&[source::<&str>("web", &[])]).unwrap();
    assert_eq!(listing(dir.path()), expect(&expected[..2]));
    assert_eq!(listing(&dir.path().join("..data")), expect(&[]));
}

#[test]
fn the_age_is_that_of_the_last_visible_change() {
    let dir = tempfile::tempdir().unwrap();
    let target = all_to(dir.path());
    let sources = [source("web", &[("a", "1")])];
    let longest = |since: std::time::Instant| since.elapsed();
    let before = std::time::Instant::now();
    target.render(&sources).unwrap();
    assert!(target.render(&sources).unwrap().age <= longest(before));
    // A clock that was set back makes no age negative; one read ahead of the file's time grows it.
    let data = dir.path().join("..data");
    let ahead = rustix::fs::Timespec {
        tv_sec: i64::MAX / 4,
        tv_nsec: 0,
    };
    rustix::fs::utimensat(
        rustix::fs::CWD,
        &data,
        &rustix::fs::Timestamps {
            last_access: ahead,
            last_modification: ahead,
        },
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
    let rendered = target.render(&sources).unwrap();
    assert_eq!((rendered.written, rendered.age), (false, Duration::ZERO));
}

#[test]
fn foreign_files_are_let_be() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "foreign").unwrap();
    fs::create_dir(at("directory")).unwrap();
    symlink("..data/other", at("link")).unwrap();
    symlink("/nowhere", at("dangling")).unwrap();
    fs::create_dir(at("..2026_11_21_14_30_28.12345678")).unwrap();
    symlink("directory", at("..2026_11_21_14_30_28.123456789")).unwrap();
    let foreign = listing(dir.path());
    let target = all_to(dir.path());
    target.render(&[source("web", &[("a", "1")])]).unwrap();
    let mut both = foreign;
    both.extend(expect(&[("..data", "-> ..VERSION"), ("a", "-> ..data/a")]));
    let now = listing(dir.path());
    for (name, what) in both.iter().filter(|(name, _)| *name != "..VERSION") {
        assert_eq!(now.get(name), Some(what), "{name}");
    }
    let planted = at("..2026_11_21_14_30_28.123456789");
    assert_eq!(fs::read_link(planted).unwrap(), Path::new("directory"));

    for taken in ["file", "directory", "link", "dangling"] {
        let refused = target.render(&[source("web", &[("a", "2"), (taken, "2")])]);
        let message = refused.unwrap_err().to_string();
        assert!(
            message.starts_with(at(taken).to_str().unwrap()),
            "{message}"
        );
        assert!(message.contains("move it away"), "{message}");
        assert_eq!(fs::read_to_string(at("a")).unwrap(), "1");
        assert_eq!(listing(dir.path()), now, "nothing was touched");
    }
    fs::remove_file(at("file")).unwrap();
    target
        .render(&[source("web", &[("a", "2"), ("file", "2")])])
        .unwrap();
    assert_eq!(fs::read_to_string(at("file")).unwrap(), "2");
}

#[test]
fn names_of_the_layout_that_are_no_links_are_not_taken_away() {
    for reserved in ["..data", "..data_tmp"] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(reserved)).unwrap();
        let refused = all_to(dir.path()).render(&[source("web", &[("a", "1")])]);
        assert!(matches!(refused, Err(FilesError::Taken { path }) if path.ends_with(reserved)));
        assert_eq!(listing(dir.path()), expect(&[(reserved, "/")]));
    }
}

#[test]
fn what_a_crash_left_is_cleaned_up() {
    let dir = tempfile::tempdir().unwrap();
    let target = all_to(dir.path());
    let sources = [source("web", &[("a", "1")])];
    target.render(&sources).unwrap();
    let clean = listing(dir.path());
    for written in [false, true] {
        let orphan = dir.path().join("..2026_11_21_14_30_28.123456789");
        fs::create_dir_all(orphan.join("half")).unwrap();
        fs::write(orphan.join("half/made"), "x").unwrap();
        // What it points to is another's.
        symlink("/etc", orphan.join("link")).unwrap();
        symlink(
            "..2026_11_21_14_30_28.123456789",
            dir.path().join("..data_tmp"),
        )
        .unwrap();
        let value = if written { "2" } else { "1" };
        let rendered = target.render(&[source("web", &[("a", value)])]).unwrap();
        assert_eq!((rendered.written, rendered.remarks), (written, vec![]));
        assert_eq!(listing(dir.path()), clean);
        assert!(!orphan.exists() && Path::new("/etc").exists());
    }
}

#[test]
fn no_link_leads_out_of_the_directory() {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| dir.path().join(name);
    fs::write(outside.path().join("a"), "theirs").unwrap();
    let theirs = listing(outside.path());
    // Both where a set is compared, and where one is written.
    symlink(outside.path(), at("..data")).unwrap();
    symlink(outside.path(), at("..data_tmp")).unwrap();
    let items = vec![item("a", "a", None), item("b", "sub/b", None)];
    let target = target(&[rule(named(false), to_dir(dir.path(), Some(items)))]);
    let sources = [source("web", &[("a", "ours"), ("b", "ours")])];
    target.render(&sources).unwrap();
    assert_eq!(fs::read_to_string(at("a")).unwrap(), "ours");
    assert_eq!(listing(outside.path()), theirs);

    // A version whose directory somebody replaced by a link is neither believed nor emptied.
    fs::write(outside.path().join("b"), "ours").unwrap();
    let theirs = listing(outside.path());
    fs::remove_dir_all(at("..data/sub")).unwrap();
    symlink(outside.path(), at("..data/sub")).unwrap();
    assert!(target.render(&sources).unwrap().written);
    assert_eq!(listing(outside.path()), theirs);

    fs::remove_file(at("sub")).unwrap();
    symlink(outside.path(), at("sub")).unwrap();
    assert!(matches!(
        target.render(&sources),
        Err(FilesError::Taken { .. })
    ));
    assert_eq!(listing(outside.path()), theirs);
}

#[test]
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn files_have_the_group_that_the_directory_passes_on() {
    let dir = tempfile::tempdir().unwrap();
    let group = 12_345;
    if std::os::unix::fs::chown(dir.path(), None, Some(group)).is_err() {
        eprintln!("SKIPPED: only root may give a directory to another group");
        return;
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o2775)).unwrap();
    let items = vec![item("a", "a", None), item("a", "sub/deep/a", None)];
    let target = target(&[rule(named(false), to_dir(dir.path(), Some(items)))]);
    target.render(&[source("web", &[("a", "1")])]).unwrap();
    for name in ["a", "sub", "sub/deep", "sub/deep/a", "..data/"] {
        let metadata = fs::metadata(dir.path().join(name)).unwrap();
        assert_eq!(metadata.gid(), group, "{name}");
        let bits = if metadata.is_dir() { 0o755 } else { 0o644 };
        assert_eq!(metadata.mode() & 0o777, bits, "{name}");
    }
    let again = target.render(&[source("web", &[("a", "1")])]).unwrap();
    assert!(!again.written);
}

#[test]
fn an_object_that_is_gone_leaves_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let named = all_to(dir.path());
    named.render(&[source("web", &[("a", "1")])]).unwrap();
    assert!(!named.render(&[vec![]]).unwrap().written);
    assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "1");

    // A member that leaves a selector takes its keys with it.
    let selector = target(&[rule(selected(), to_dir(dir.path(), None))]);
    assert!(selector.render(&[vec![]]).unwrap().written);
    assert!(!dir.path().join("a").exists());

    // What never was there makes an empty volume, as an optional one of the kubelet's is.
    let fresh = dir.path().join("fresh");
    assert!(all_to(&fresh).render(&[vec![]]).unwrap().written);
    assert_eq!(listing(&fresh.join("..data")), expect(&[]));
}
