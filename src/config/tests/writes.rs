use super::*;

fn read(args: &[&str], file: Option<&str>) -> (Writes, Vec<String>) {
    let config = load_run(args, file).unwrap();
    (config.serve.writes, config.source.discover)
}

fn writes(allowed: bool, create_on_read: bool) -> Writes {
    Writes {
        allowed,
        create_on_read,
    }
}

#[test]
fn nobody_writes_unless_a_flag_or_the_file_says_so() {
    assert_eq!(read(&[], None), (writes(false, false), vec![]));
    let flags = ["--allow-writes", "--create-on-read"];
    assert_eq!(read(&flags, None).0, writes(true, true));
    let file = "writes: {allow: true, createOnRead: true}\ndiscover: [web, default, web]";
    let namespaces = vec!["default".to_owned(), "web".to_owned()];
    assert_eq!(read(&[], Some(file)), (writes(true, true), namespaces));
    let flags = ["--create-on-read=false", "--discover=prod"];
    let expected = (writes(true, false), vec!["prod".to_owned()]);
    assert_eq!(read(&flags, Some(file)), expected);
    let environment = [("ATTACHE_ALLOW_WRITES", "true")];
    let config = load_env(&[], &environment, None).unwrap();
    assert_eq!(config.serve.writes, writes(true, false));
}

#[test]
fn what_does_not_go_together_is_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let dir = format!("--dir={}", dir.path().display());
    for (args, file, says) in [
        (
            &["--create-on-read"][..],
            None,
            "--create-on-read: creates ConfigMaps, which needs --allow-writes",
        ),
        (
            &[],
            Some("writes: {createOnRead: true}"),
            "which needs --allow-writes",
        ),
        (
            &["--allow-writes=false"],
            Some("writes: {allow: true, createOnRead: true}"),
            "which needs --allow-writes",
        ),
        (
            &["--allow-writes=maybe"],
            None,
            "--allow-writes: \"maybe\" is neither",
        ),
        (&[], Some("writes: {allowed: true}"), "allow"),
        (&[], Some("writes: {allow: 17}"), "writes.allow"),
        (&["--discover=No"], None, "--discover: "),
        (&[], Some("discover: [No]"), "discover"),
        (
            &[&dir, "--allow-writes"],
            None,
            "--allow-writes: needs an API server",
        ),
        (
            &[&dir, "--discover=web"],
            None,
            "--discover: needs an API server",
        ),
    ] {
        let fault = fault(args, file);
        assert!(fault.contains(says), "{args:?} {file:?}: {fault}");
    }
}
