//! What the command finds in its environment, and what it waits for.

use std::collections::BTreeMap;

use crate::support::{World, output};

/// The variables of the command.
fn environment(world: &World, flags: &[&str], own: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut command = world.exec(flags, &["env", "-0"]);
    command.envs(own.iter().copied());
    let (code, stdout, stderr) = output(command);
    assert_eq!(code, 0, "{stderr}");
    let pairs = stdout.split_terminator('\0');
    let pairs = pairs.filter_map(|pair| pair.split_once('='));
    pairs.map(|(k, v)| (k.into(), v.into())).collect()
}

#[test]
fn sources_are_laid_over_one_another_in_their_order() {
    let world = World::new();
    world.config_map("base", &[("A", "1"), ("B", "base\n"), ("OWN", "base")]);
    world.config_map("over", &[("B", "over"), ("C", "é")]);
    world.write(
        "secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {PASSWORD: s3cret, B: db}\n",
    );
    let flags = [
        "--env-from=base",
        "--env-from=over,prefix=P_",
        "--secret-env-from=default/db",
        "--env-from=none,optional",
    ];
    let own = [("OWN", "own"), ("FAILPOINT", "x=/nonexistent")];
    let mut expected = environment(&world, &flags, &own);
    let mut take = |name: &str| expected.remove(name);
    assert_eq!(take("A").as_deref(), Some("1"));
    assert_eq!(take("B").as_deref(), Some("db"));
    assert_eq!(take("P_B").as_deref(), Some("over"));
    assert_eq!(take("P_C").as_deref(), Some("é"));
    assert_eq!(take("PASSWORD").as_deref(), Some("s3cret"));
    assert_eq!(take("OWN").as_deref(), Some("base"));
    // The rest is attache's own, but for what is for attache alone.
    for name in ["PATH", "HOME", "DIR"] {
        assert!(
            take(name).is_some() || std::env::var_os(name).is_none(),
            "{name}"
        );
    }
    assert!(expected.is_empty(), "{expected:?}");
    let flags = [&flags[..], &["--environment-wins"]].concat();
    assert_eq!(environment(&world, &flags, &own)["OWN"], "own");
}

#[test]
fn what_is_no_variable_is_skipped_with_one_warning() {
    let world = World::new();
    world.config_map("web", &[("1st", "x"), ("2nd", "x"), ("nginx.conf", "ok")]);
    let (code, stdout, stderr) = output(world.exec(&["--env-from=web"], &["env"]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("nginx.conf=ok"), "{stdout}");
    assert!(!stdout.contains("1st") && !stdout.contains("2nd"));
    let warnings: Vec<&str> = stderr.lines().filter(|l| l.contains("skipped")).collect();
    assert_eq!(warnings.len(), 1, "{stderr}");
    assert!(warnings[0].contains(r#"["1st", "2nd"]"#), "{stderr}");
}

#[test]
fn no_value_is_logged() {
    let world = World::new();
    world.write(
        "secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {PASSWORD: s3cret}\n",
    );
    let (code, _, stderr) = output(world.exec(&["--secret-env-from=db", "-vv"], &["true"]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("the command runs"), "{stderr}");
    assert!(!stderr.contains("s3cret"), "{stderr}");
}

#[test]
fn what_is_not_there_in_time_is_named() {
    let world = World::new();
    world.config_map("web", &[("A", "1")]);
    let flags = ["--env-from=web", "--env-from=none", "--wait-timeout=100ms"];
    let (code, stdout, stderr) = output(world.exec(&flags, &["echo", "started"]));
    assert_eq!((code, &*stdout), (1, ""), "{stderr}");
    assert!(
        stderr.contains("ConfigMap default/none does not exist"),
        "{stderr}"
    );
    let says = stderr.lines().last().unwrap();
    assert!(!says.contains("ConfigMap default/web"), "{stderr}");
}
