use std::path::PathBuf;

use super::*;

fn run_with(args: &[&str], environment: &[(&str, &str)]) -> (Option<Run>, Vec<String>) {
    let args = ["attache", "run"].iter().chain(args).map(OsString::from);
    let environment = environment
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    match parse(args, environment) {
        Parsed::Command {
            command: Some(Command::Run(run)),
            faults,
        } => (Some(*run), faults),
        Parsed::Command {
            command: None,
            faults,
        } => (None, faults),
        other => panic!("{other:?}"),
    }
}

fn run(args: &[&str], environment: &[(&str, &str)]) -> Run {
    let (run, faults) = run_with(args, environment);
    assert_eq!(faults, Vec::<String>::new());
    run.unwrap()
}

#[test]
fn clap_finds_no_fault_in_our_declarations() {
    Cli::command().debug_assert();
}

#[test]
fn a_list_in_the_environment_has_one_entry_a_line() {
    let environment = [
        ("ATTACHE_CONFIGMAP", "web\n\n  prod/flags,optional \n"),
        (
            "ATTACHE_ON_CHANGE",
            "signal: nginx\n{webhook: \"http://a/\"}",
        ),
        ("ATTACHE_DIR", "/a\nb"),
    ];
    let run = run(&[], &environment);
    assert_eq!(run.configmap, ["web", "prod/flags,optional"]);
    assert_eq!(run.on_change, ["signal: nginx", "{webhook: \"http://a/\"}"]);
    assert_eq!(run.dir, Some(PathBuf::from("/a\nb")));
    assert_eq!(run.from_env, ["configmap", "dir", "on-change"]);
}

#[test]
fn a_list_of_arguments_keeps_its_line_breaks_and_replaces_the_environments() {
    let rule = "when:\n  configMap: web\nsignal: nginx\n";
    let run = run(
        &["--on-change", rule, "--on-change", "x", "-p", "1"],
        &[("ATTACHE_ON_CHANGE", "signal: a"), ("ATTACHE_PORT", "2")],
    );
    assert_eq!(run.on_change, [rule, "x"]);
    assert_eq!(run.listen.port.as_deref(), Some("1"));
    assert!(run.from_env.is_empty());
}

#[test]
fn what_kubernetes_injects_and_what_is_empty_is_as_unset() {
    let environment = [
        ("ATTACHE_PORT", "tcp://10.0.0.1:8001"),
        ("ATTACHE_ADDRESS", "udp://10.0.0.1:8001"),
        ("ATTACHE_PORT_8001_TCP_ADDR", "10.0.0.1"),
        ("ATTACHE_SERVICE_HOST", "10.0.0.1"),
        ("ATTACHE_SETTLE", ""),
        ("ATTACHE_CONFIGMAP", "\n"),
        ("ATTACHE_NO_ON_DEMAND", ""),
    ];
    let run = run(&[], &environment);
    assert_eq!(
        (run.listen.port, run.listen.address, run.settle),
        (None, None, None)
    );
    assert!(run.configmap.is_empty() && run.no_on_demand.is_none());
}

#[test]
fn switches_and_counts_come_from_the_environment_too() {
    let environment = [
        ("ATTACHE_NO_ON_DEMAND", "true"),
        ("ATTACHE_ALLOW_NON_LOOPBACK", "0"),
        ("ATTACHE_VERBOSE", "2"),
    ];
    let run = run(&[], &environment);
    assert_eq!(run.no_on_demand.as_deref(), Some("true"));
    assert_eq!(run.allow_non_loopback.as_deref(), Some("0"));
    assert_eq!(run.log.verbose, ["2"]);
    let (_, faults) = run_with(&[], &[("ATTACHE_QUIET", "much")]);
    assert_eq!(
        faults,
        ["ATTACHE_QUIET: \"much\" is not a number from 0 to 9"]
    );
}

#[test]
fn a_switch_is_bare_or_has_a_value_after_an_equals_sign() {
    let switch = |args: &[&str]| run(args, &[]).forward.disable_filter;
    assert_eq!(switch(&["--disable-filter"]).as_deref(), Some("true"));
    assert_eq!(
        switch(&["--disable-filter=false"]).as_deref(),
        Some("false")
    );
    assert_eq!(
        switch(&["--disable-filter", "-p", "1"]).as_deref(),
        Some("true")
    );
    assert_eq!(switch(&[]), None);
    let (_, faults) = run_with(&["--disable-filter", "false"], &[]);
    assert_eq!(faults.len(), 1, "{faults:?}");
}

#[test]
fn verbosity_is_counted_or_given() {
    let verbose = |args: &[&str]| run(args, &[]).log.verbose;
    assert_eq!(verbose(&["-v"]), [""]);
    assert_eq!(verbose(&["-vv"]), ["v"]);
    assert_eq!(verbose(&["-v", "-v", "--verbose"]), ["", "", ""]);
    for args in [
        &["-v=6"][..],
        &["-v", "6"],
        &["-v6"],
        &["--v=6"],
        &["--v", "6"],
        &["--verbose=6"],
    ] {
        assert_eq!(verbose(args), ["6"], "{args:?}");
    }
    let run = run(&["-v", "-p", "7", "-q"], &[]);
    assert_eq!((run.log.verbose, run.log.quiet), (vec![String::new()], 1));
    assert_eq!(run.listen.port.as_deref(), Some("7"));
}

#[test]
fn the_last_of_a_flag_wins_and_lists_grow() {
    let args = ["-p", "1", "--port=2", "--as-group=a", "--as-group", "b"];
    let run = run(&args, &[]);
    assert_eq!(run.listen.port.as_deref(), Some("2"));
    assert_eq!(run.connection.impersonate_group, ["a", "b"]);
}

#[test]
fn proxy_takes_kubectls_flags_and_masks_the_token() {
    let args = "attache proxy --kubeconfig k --context c --cluster d --user u -n n -s https://h \
        --token hunter2 --certificate-authority ca --insecure-skip-tls-verify=false \
        --tls-server-name t --as a --as-group g --request-timeout 5s --keepalive 1s -p 1 \
        --address 127.0.0.1 -u s --accept-hosts h --accept-paths a --reject-paths r \
        --reject-methods m --disable-filter --api-prefix /x -w /w -P /p --append-server-path -v=4";
    let args = args.split_whitespace().map(OsString::from);
    let Parsed::Command {
        command: Some(Command::Proxy(proxy)),
        faults,
    } = parse(args, [("ATTACHE_MAX_CONNECTIONS".into(), "9".into())])
    else {
        panic!("no proxy");
    };
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(proxy.from_env, ["max-connections"]);
    assert_eq!(proxy.forward.www_prefix.as_deref(), Some("/p"));
    assert_eq!(proxy.connection.impersonate_user.as_deref(), Some("a"));
    assert_eq!(
        proxy.connection.token.as_ref().map(Token::reveal),
        Some("hunter2")
    );
    let printed = format!("{proxy:?}");
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn every_flag_of_every_command_can_come_from_the_environment() {
    let cli = Cli::command();
    let mut seen = 0;
    for (name, rest) in [
        ("run", &[][..]),
        ("exec", &["--"]),
        ("check", &[]),
        ("proxy", &[]),
        ("get", &["web"]),
        ("watch", &["web"]),
        ("set", &["web", "K=v"]),
        ("unset", &["web", "K"]),
        ("healthcheck", &[]),
    ] {
        let command = cli.find_subcommand(name).unwrap();
        for arg in command.get_arguments() {
            let Some(long) = arg.get_long() else { continue };
            let variable = format!("ATTACHE_{}", long.to_uppercase().replace('-', "_"));
            let mut args: Vec<OsString> = vec!["attache".into(), name.into()];
            args.extend(rest.iter().map(OsString::from));
            let matches = cli.clone().try_get_matches_from(&args).unwrap();
            let environment = [(variable.into(), OsString::from("1"))].into();
            let given = env::merge(&cli, &matches, &environment, &mut args, &mut Vec::new());
            assert_eq!(given, [long]);
            let matches = cli.clone().try_get_matches_from(&args).unwrap();
            let source = matches
                .subcommand()
                .unwrap()
                .1
                .value_source(arg.get_id().as_str());
            assert_eq!(
                source,
                Some(clap::parser::ValueSource::CommandLine),
                "{long}"
            );
            seen += 1;
        }
    }
    assert!(seen > 180, "only {seen} flags were tried");
}

#[test]
fn every_flag_is_documented() {
    let page = include_str!("../../docs/configuration.md");
    let cli = Cli::command();
    for name in ["run", "exec", "check", "proxy"] {
        let command = cli.find_subcommand(name).unwrap();
        let flags = command.get_arguments().filter_map(clap::Arg::get_long);
        let flags: Vec<_> = flags
            .filter(|flag| *flag != "verbose" && *flag != "quiet")
            .collect();
        assert!(flags.len() > 20, "{flags:?}");
        for flag in flags {
            let documented = [format!("--{flag} "), format!("--{flag}`")];
            assert!(
                documented.iter().any(|text| page.contains(text)),
                "--{flag}"
            );
        }
    }
}

#[test]
fn the_environment_leaves_positional_arguments_alone() {
    let args = ["attache", "get", "--", "web", "get"].map(OsString::from);
    let environment = [
        ("ATTACHE_PORT".into(), "9".into()),
        ("ATTACHE_NAMESPACE".into(), "a".into()),
    ];
    let Parsed::Command {
        command: Some(Command::Get(get)),
        ..
    } = parse(args, environment)
    else {
        panic!("no get");
    };
    assert_eq!(
        (get.object.as_str(), get.key.as_deref()),
        ("web", Some("get"))
    );
    assert_eq!(
        (
            get.place.sidecar.port.as_deref(),
            get.place.namespace.as_deref()
        ),
        (Some("9"), Some("a"))
    );
}

fn exec_with(args: &[&str], environment: &[(&str, &str)]) -> (Option<Exec>, Vec<String>) {
    let args = ["attache", "exec"].iter().chain(args).map(OsString::from);
    let environment = environment
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    match parse(args, environment) {
        Parsed::Command {
            command: Some(Command::Exec(exec)),
            faults,
        } => (Some(*exec), faults),
        Parsed::Command {
            command: None,
            faults,
        } => (None, faults),
        other => panic!("{other:?}"),
    }
}

fn exec(args: &[&str], environment: &[(&str, &str)]) -> Exec {
    let (exec, faults) = exec_with(args, environment);
    assert_eq!(faults, Vec::<String>::new());
    exec.unwrap()
}

#[test]
fn the_flags_of_a_command_are_its_own() {
    let command = ["--port", "x", "--nope", "--", "exec", "-v", "--keep=x", ""];
    let args = [&["-p", "1", "-p", "2", "--keep", "--"][..], &command].concat();
    let environment = [("ATTACHE_PORT", "9"), ("ATTACHE_STOP_TIMEOUT", "1s")];
    let exec = exec(&args, &environment);
    assert_eq!(exec.command, command);
    assert_eq!(exec.run.listen.port.as_deref(), Some("2"));
    assert_eq!(exec.keep.as_deref(), Some("true"));
    assert_eq!(exec.stop_timeout.as_deref(), Some("1s"));
    assert_eq!(exec.run.from_env, ["stop-timeout"]);
}

#[test]
fn an_unknown_flag_takes_nothing_from_the_command() {
    let args = ["--nope", "-Z1", "--", "-Z1", "-Z", "--nope", "1"];
    let (exec, faults) = exec_with(&args, &[]);
    assert!(exec.is_none_or(|exec| exec.command == args[3..]));
    assert!(
        faults[0].contains("'--nope'") && !faults[0].contains("to pass"),
        "{faults:?}"
    );
    assert!(faults[1].contains("'-Z'"), "{faults:?}");
    assert_eq!(faults.len(), 2, "{faults:?}");
    let (exec, faults) = exec_with(&["--nope", "--", "--nope"], &[]);
    assert_eq!(
        (exec.unwrap().command, faults.len()),
        (vec!["--nope".into()], 1)
    );
}

#[cfg(unix)]
#[test]
fn a_command_need_not_be_utf_8() {
    use std::os::unix::ffi::OsStringExt;
    let odd = OsString::from_vec(vec![b'a', 0xff]);
    let args = ["attache", "exec", "--", "app"].map(OsString::from);
    let args = args.into_iter().chain([odd.clone()]);
    let Parsed::Command {
        command: Some(Command::Exec(exec)),
        ..
    } = parse(args, [])
    else {
        panic!("no exec");
    };
    assert_eq!(exec.command, ["app".into(), odd]);
}

#[test]
fn config_maps_and_secrets_of_an_environment_have_one_order() {
    let config_map = |name: &str| EnvSource::ConfigMap(name.to_owned());
    let secret = |name: &str| EnvSource::Secret(name.to_owned());
    let args = [
        "--secret-env-from",
        "a",
        "--env-from=b",
        "-p",
        "1",
        "--secret-env-from=c",
        "--env-from",
        "d",
        "--",
        "app",
    ];
    assert_eq!(
        exec(&args, &[]).env_sources,
        [secret("a"), config_map("b"), secret("c"), config_map("d")]
    );
    let environment = [
        ("ATTACHE_SECRET_ENV_FROM", "a\nb"),
        ("ATTACHE_ENV_FROM", "c\nd"),
    ];
    assert_eq!(
        exec(&["--", "app"], &environment).env_sources,
        [config_map("c"), config_map("d"), secret("a"), secret("b")]
    );
    assert_eq!(
        exec(&["--secret-env-from=x", "--", "app"], &environment).env_sources,
        [config_map("c"), config_map("d"), secret("x")]
    );
}

#[test]
fn every_unknown_flag_is_a_fault_and_the_rest_is_still_read() {
    let (run, faults) = run_with(&["--prot", "80", "--settel=1s", "--port", "x"], &[]);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(
        faults[0].contains("'--prot'") && faults[0].contains("'--port'"),
        "{faults:?}"
    );
    assert!(
        faults[1].contains("'--settel'") && faults[1].contains("'--settle'"),
        "{faults:?}"
    );
    assert!(faults.iter().all(|fault| !fault.contains('\n')));
    assert_eq!(run.unwrap().listen.port.as_deref(), Some("x"));
}

#[test]
fn other_faults_of_the_command_line_are_one_line_each() {
    for args in [
        &["attache"][..],
        &["attache", "rnu"],
        &["attache", "get"],
        &["attache", "run", "--port"],
        &["attache", "healthcheck", "--live", "--ready"],
        &["attache", "completions", "dos"],
    ] {
        match parse(args.iter().map(OsString::from), []) {
            Parsed::Command {
                command: None,
                faults,
            } => {
                assert_eq!(faults.len(), 1, "{args:?}");
                assert!(
                    !faults[0].contains('\n') && faults[0].len() < 300,
                    "{faults:?}"
                );
            }
            other => panic!("{args:?}: {other:?}"),
        }
    }
}

#[test]
fn help_version_and_completions_are_text() {
    for args in [["attache", "--help"], ["attache", "--version"]] {
        let text = parse(args.map(OsString::from), []);
        assert!(matches!(text, Parsed::Text(text) if text.contains("attache")));
    }
    let script = completions(clap_complete::Shell::Bash);
    assert!(String::from_utf8(script).unwrap().contains("--on-change"));
}

#[test]
fn the_operators_commands_take_the_environment_as_well() {
    let command = |args: &[&str], environment: &[(&str, &str)]| {
        let args = ["attache"].iter().chain(args).map(OsString::from);
        let environment = environment
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        match parse(args, environment) {
            Parsed::Command {
                command: Some(command),
                faults,
            } if faults.is_empty() => command,
            other => panic!("{other:?}"),
        }
    };
    let environment = [
        ("ATTACHE_SET", "configmaps=web\n\non-change=signal: nginx\n"),
        ("ATTACHE_IMAGE", "attache:1"),
        ("ATTACHE_DIFF", "true"),
        ("ATTACHE_FILENAME", "a\nb"),
        ("ATTACHE_POD_NAME", "web-0"),
    ];
    let Command::Inject(inject) = command(&["inject", "--image=attache:2"], &environment) else {
        panic!("not inject");
    };
    assert_eq!(inject.set, ["configmaps=web", "on-change=signal: nginx"]);
    assert_eq!(inject.injection.image.as_deref(), Some("attache:2"));
    assert!(inject.diff && !inject.rbac);
    assert_eq!(inject.from_env, ["filename", "set", "diff"]);

    let Command::Webhook(webhook) = command(
        &["webhook"],
        // A Service named attache in the same namespace says nothing.
        &[("ATTACHE_PORT", "tcp://10.0.0.1:443"), ("ATTACHE_SET", "")],
    ) else {
        panic!("not webhook");
    };
    assert!(webhook.port.is_none() && webhook.set.is_empty() && webhook.from_env.is_empty());

    let Command::Doctor(doctor) = command(&["doctor", "po/web"], &environment) else {
        panic!("not doctor");
    };
    assert_eq!(doctor.targets, ["po/web"]);
    assert_eq!(doctor.run.pod_name.as_deref(), Some("web-0"));
    assert_eq!(doctor.run.from_env, ["pod-name"]);
}
