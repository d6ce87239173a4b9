use super::super::tests::{load_command, names as objects_of};
use super::*;

fn load(args: &[&str], environment: &[(&str, &str)], file: Option<&str>) -> Result<Config, Faults> {
    load_command("exec", args, environment, file)
}

fn exec_of(args: &[&str]) -> Exec {
    let args = [args, &["--", "app"]].concat();
    load(&args, &[], None).unwrap().exec.unwrap()
}

#[test]
fn the_defaults_are_those_of_the_help() {
    let config = load(&["--", "app", "--port", "x"], &[], None).unwrap();
    assert!(!config.serve.main && !config.source.on_demand && config.proxy.is_none());
    let exec = config.exec.unwrap();
    assert_eq!(exec.argv, ["app", "--port", "x"]);
    assert!(exec.env_from.is_empty());
    assert_eq!(exec.reload, Reload::Restart);
    assert_eq!(
        (exec.stop_signal.number, exec.stop_timeout),
        (15, STOP_TIMEOUT)
    );
    assert_eq!(exec.timing.min_interval, Duration::from_secs(1));
    assert_eq!(exec.timing.splay, Duration::ZERO);
    assert_eq!(exec.wait_timeout, Some(Duration::from_secs(60)));
    assert!(!exec.environment_wins && !exec.stale_ok && !exec.keep);
}

#[test]
fn every_flag_is_read() {
    let exec = exec_of(&[
        "--environment-wins",
        "--reload=signal=HUP",
        "--stop-signal=QUIT",
        "--stop-timeout=0",
        "--splay=1s",
        "--min-interval=2s",
        "--wait-timeout=0",
        "--state-dir=/s",
        "--stale-ok",
        "--keep=true",
    ]);
    assert!(matches!(&exec.reload, Reload::Signal(signal) if signal.number == 1));
    assert_eq!(
        (exec.stop_signal.number, exec.stop_timeout),
        (3, Duration::ZERO)
    );
    assert_eq!(
        (exec.timing.splay, exec.timing.min_interval),
        (Duration::from_secs(1), Duration::from_secs(2))
    );
    assert_eq!(exec.wait_timeout, None);
    assert!(exec.environment_wins && exec.stale_ok && exec.keep);
    assert_eq!(exec_of(&["--reload", "none"]).reload, Reload::None);
}

#[test]
fn the_sources_of_the_environment_are_in_one_order_and_watched() {
    let args = [
        "--secret-env-from",
        "db,prefix=DB_,optional",
        "--env-from",
        "prod/web",
        "--secret-env-from=x",
        "--env-from",
        "prod/web,optional,prefix=b.-",
        "--configmap=prod/web,optional",
        "--",
        "app",
    ];
    let config = load(&args, &[], None).unwrap();
    assert_eq!(
        objects_of(&config),
        ["ConfigMap prod/web", "Secret -/db?", "Secret -/x"]
    );
    let sources = config.exec.unwrap().env_from;
    let told: Vec<_> = sources
        .iter()
        .map(|from| {
            (
                from.object.name.as_str(),
                from.optional,
                from.prefix.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("db", true, "DB_"),
            ("web", false, ""),
            ("x", false, ""),
            ("web", true, "b.-")
        ]
    );
}

#[test]
fn each_flag_is_checked() {
    for (args, says) in [
        (
            &["--env-from", "Web"][..],
            "--env-from: \"Web\" is not an object's name",
        ),
        (
            &["--secret-env-from", "a,b"],
            "--secret-env-from: \"b\" is not known",
        ),
        (&["--env-from", "a,optional,optional"], "given twice"),
        (&["--env-from", "a,prefix=A,prefix=B"], "given twice"),
        (
            &["--env-from", "a,prefix="],
            "cannot begin a variable's name",
        ),
        (
            &["--env-from", "a,prefix=1A"],
            "cannot begin a variable's name",
        ),
        (
            &["--env-from", "a,prefix=A=B"],
            "cannot begin a variable's name",
        ),
        (
            &["--environment-wins=maybe"],
            "--environment-wins: \"maybe\" is neither",
        ),
        (
            &["--reload", "HUP"],
            "--reload: \"HUP\" is no way to reload",
        ),
        (
            &["--reload", "signal=KILL"],
            "--reload: no process can catch KILL",
        ),
        (
            &["--stop-signal", "X"],
            "--stop-signal: \"X\" is not a signal",
        ),
        (
            &["--stop-timeout", "5"],
            "--stop-timeout: \"5\" is not a duration",
        ),
        (&["--splay", "x"], "--splay: "),
        (&["--min-interval", "x"], "--min-interval: "),
        (&["--wait-timeout", "x"], "--wait-timeout: "),
        (
            &["--stale-ok"],
            "--stale-ok: nothing is kept without --state-dir",
        ),
        (&["--keep=2"], "--keep: "),
        (&["--serve=x"], "--serve: "),
        (
            &["--port", "1"],
            "--port: attache exec serves nothing without --serve",
        ),
        (
            &["--no-on-demand=false"],
            "--no-on-demand: attache exec serves nothing",
        ),
        (
            &["--no-proxy=false"],
            "--no-proxy: attache exec serves nothing",
        ),
        (
            &["--allow-writes"],
            "--allow-writes: attache exec serves nothing",
        ),
        (
            &["--create-on-read"],
            "--create-on-read: attache exec serves nothing",
        ),
        (
            &["--discover=web"],
            "--discover: attache exec serves nothing",
        ),
        (
            &["--accept-paths=a"],
            "--accept-paths: attache exec serves nothing",
        ),
        (
            &["--request-timeout=1s"],
            "--request-timeout: attache exec serves nothing",
        ),
        (&["--nope"], "'--nope'"),
        (&["app"], "'app'"),
    ] {
        let args = [args, &["--", "app"]].concat();
        let faults = load(&args, &[], None).unwrap_err();
        assert_eq!(faults.lines().len(), 1, "{args:?}: {faults}");
        assert!(faults.lines()[0].contains(says), "{args:?}: {faults}");
    }
    let faults = load(&["--keep", "app", "-g", "x"], &[], None).unwrap_err();
    assert_eq!(faults.lines().len(), 1, "{faults}");
    assert!(
        faults.lines()[0].ends_with("as attache exec -- app"),
        "{faults}"
    );
    for args in [&[][..], &["--"]] {
        let faults = load(args, &[], None).unwrap_err();
        assert_eq!(
            faults.lines(),
            ["no command to run: end with -- COMMAND [ARGS]..."]
        );
    }
}

#[test]
fn a_file_or_variables_for_run_ask_for_no_listener() {
    let file = "writes: {createOnRead: true}\ndiscover: [web]\nproxy: {acceptPaths: a}\nonDemand: true\nlisten: {adminAddress: '0.0.0.0:8001'}";
    let environment = [("ATTACHE_PORT", "9"), ("ATTACHE_ADDRESS", "0.0.0.0")];
    let config = load(&["--", "app"], &environment, Some(file));
    let config = config.unwrap();
    assert!(config.source.discover.is_empty() && !config.serve.writes.create_on_read);
    let config = load(
        &["--no-proxy", "--no-on-demand", "--", "app"],
        &environment,
        None,
    )
    .unwrap();
    assert!(!config.serve.main && config.proxy.is_none() && !config.source.on_demand);
    let args = [
        "--serve",
        "-p",
        "7",
        "--allow-writes",
        "--accept-paths=a",
        "--",
        "app",
    ];
    let config = load(&args, &[], None).unwrap();
    assert!(config.serve.main && config.source.on_demand && config.proxy.is_some());
    assert!(config.serve.port == 7 && config.serve.writes.allowed);
    let faults = load(&["--serve", "--", "app"], &environment, None).unwrap_err();
    assert!(
        faults.to_string().contains("--allow-non-loopback"),
        "{faults}"
    );
}
