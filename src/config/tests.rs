use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::partial::Partial;
use super::*;
use crate::cli::{self, Parsed};

mod proxy;
mod writes;

/// The configuration of `attache run` with these arguments and, if any, this file.
pub(super) fn load_run(args: &[&str], file: Option<&str>) -> Result<Config, Faults> {
    load_env(args, &[], file)
}

fn load_env(
    args: &[&str],
    environment: &[(&str, &str)],
    file: Option<&str>,
) -> Result<Config, Faults> {
    load_command("run", args, environment, file)
}

pub(super) fn load_command(
    command: &str,
    args: &[&str],
    environment: &[(&str, &str)],
    file: Option<&str>,
) -> Result<Config, Faults> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("attache.yaml");
    let mut args: Vec<_> = ["attache", command]
        .iter()
        .chain(args)
        .map(Into::into)
        .collect();
    if let Some(text) = file {
        std::fs::write(&path, text).unwrap();
        // First: what follows `--` is a command's.
        args.splice(2..2, ["--config".into(), path.into_os_string()]);
    }
    let environment = environment
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    let Parsed::Command { command, faults } = cli::parse(args, environment) else {
        panic!("no command");
    };
    match load(command, faults)? {
        Job::Run(config) => Ok(*config),
        other => panic!("{other:?}"),
    }
}

/// The one fault there must be.
fn fault(args: &[&str], file: Option<&str>) -> String {
    let faults = load_run(args, file).unwrap_err();
    assert_eq!(faults.lines().len(), 1, "{faults}");
    faults.lines()[0].clone()
}

pub(super) fn names(config: &Config) -> Vec<String> {
    let objects = config.source.objects.iter();
    objects
        .map(|named| {
            let namespace = named.object.namespace.as_deref().unwrap_or("-");
            let optional = if named.optional { "?" } else { "" };
            format!(
                "{:?} {namespace}/{}{optional}",
                named.kind, named.object.name
            )
        })
        .collect()
}

#[test]
fn the_defaults_are_those_of_the_help() {
    let config = load_run(&[], None).unwrap();
    assert!(config.source.on_demand && config.source.objects.is_empty());
    assert_eq!(config.source.max_bytes, 64 << 20);
    assert_eq!(
        (config.serve.port, config.serve.max_connections),
        (8001, 4096)
    );
    assert!(config.serve.address.is_loopback() && config.serve.admin_address.is_none());
    assert_eq!(config.serve.shutdown_delay, Duration::ZERO);
    assert_eq!(config.settle.quiet, Duration::from_millis(250));
    assert_eq!(config.settle.longest, Duration::from_secs(1));
    assert_eq!(
        (config.log.verbosity, config.log.format),
        (0, LogFormat::Text)
    );
    let accepts = |host: &str| {
        config
            .serve
            .accept_hosts
            .iter()
            .any(|regex| regex.is_match(host))
    };
    assert!(accepts("localhost") && accepts("127.0.0.1") && accepts("[::1]"));
    assert!(!accepts("127a0.0.1") && !accepts("localhost.evil.example") && !accepts(""));
}

/// Everything a file can say.
const FILE: &str = r#"
kubeconfig: /k
context: c
cluster: d
user: u
server: https://h:1/path
certificateAuthority: /ca
insecureSkipTLSVerify: false
tlsServerName: t
as: a
asGroups: [g, h]
keepalive: 30s
namespace: prod
configMaps: [web, "dev/flags,optional", {name: a, namespace: b, optional: true}, {selector: app=web}, {selector: "x in (y)", namespace: "*"}]
secrets: [{name: db}]
mounts: [m=/m, {configMap: dev/n, path: /n}]
onDemand: false
maxBytes: 1Mi
listen:
  port: 1
  address: 0.0.0.0
  unixSocket: /s
  allowNonLoopback: true
  acceptHosts: ["^a{1,2}$", b]
  adminAddress: "0.0.0.0:8002"
  maxConnections: 5
proxy:
  acceptPaths: ["^/a{1,2}$"]
  rejectPaths: a,b
  rejectMethods: []
  disableFilter: false
  apiPrefix: k8s
  www: /w
  wwwPrefix: files
  appendServerPath: true
  requestTimeout: 10s
shutdownDelay: 2s
settle: 1s:3s
files:
  - {configMap: web, dir: /f}
state: {dir: /state, secrets: true, ready: true}
podName: web-1
onChange:
  - {when: {configMap: web}, signal: nginx}
  - {when: {secret: prod/other}, webhook: "http://127.0.0.1/"}
log: {level: debug, format: json}
"#;

#[test]
fn a_file_says_all_that_flags_can() {
    let config = load_run(&[], Some(FILE)).unwrap();
    let source = &config.source;
    assert_eq!(
        config.connection.kubeconfig.as_deref(),
        Some(Path::new("/k"))
    );
    assert_eq!(
        (
            config.connection.context.as_deref(),
            source.namespace.as_deref()
        ),
        (Some("c"), Some("prod"))
    );
    assert_eq!(
        names(&config),
        [
            "ConfigMap -/web",
            "ConfigMap dev/flags?",
            "ConfigMap b/a?",
            "Secret -/db",
            "Secret prod/other?"
        ]
    );
    let scopes: Vec<_> = source
        .selectors
        .iter()
        .map(|s| (s.namespace.clone(), s.labels.as_str()))
        .collect();
    assert_eq!(
        scopes,
        [
            (SelectorNamespace::Default, "app=web"),
            (SelectorNamespace::All, "x in (y)")
        ]
    );
    assert_eq!(source.mounts.len(), 2);
    assert!(!source.on_demand);
    assert_eq!(source.max_bytes, 1 << 20);
    let serve = &config.serve;
    assert_eq!((serve.port, serve.max_connections), (1, 5));
    assert_eq!(serve.address.to_string(), "0.0.0.0");
    assert_eq!(serve.unix_socket.as_deref(), Some(Path::new("/s")));
    assert_eq!(serve.accept_hosts.len(), 2);
    assert_eq!(serve.admin_address.unwrap().to_string(), "0.0.0.0:8002");
    assert_eq!(serve.shutdown_delay, Duration::from_secs(2));
    assert_eq!(config.settle.longest, Duration::from_secs(3));
    assert_eq!(config.files.len(), 1);
    let state = State {
        dir: "/state".into(),
        secrets: true,
        ready: true,
    };
    assert_eq!(config.state, Some(state));
    assert_eq!(config.pod_name.as_deref(), Some("web-1"));
    assert_eq!(config.on_change.len(), 2);
    assert_eq!(config.on_change[1].name, "onChange[1]");
    assert_eq!(
        (config.log.verbosity, config.log.format),
        (1, LogFormat::Json)
    );
}

#[test]
fn flags_win_over_the_file_and_lists_replace_its_lists() {
    let args = [
        "-n",
        "dev",
        "--configmap",
        "only",
        "-p",
        "7",
        "--address",
        "::1",
        "--accept-hosts",
        "^x$",
        "--settle",
        "2s",
        "--on-change",
        "signal: app",
        "--files={configMap: only, dir: /only}",
        "-q",
        "--max-bytes",
        "2Mi",
        "--state-dir=/other",
        "--state-secrets=false",
    ];
    let config = load_run(&args, Some(FILE)).unwrap();
    let state = config.state.as_ref().unwrap();
    assert_eq!(state.dir, Path::new("/other"));
    assert!(!state.secrets && state.ready);
    assert_eq!(names(&config), ["ConfigMap -/only", "Secret -/db"]);
    assert_eq!(config.files.len(), 1);
    assert!(config.source.selectors.is_empty());
    assert_eq!(config.source.namespace.as_deref(), Some("dev"));
    assert_eq!(config.source.max_bytes, 2 << 20);
    assert_eq!((config.serve.port, config.serve.max_connections), (7, 5));
    assert_eq!(config.serve.accept_hosts.len(), 1);
    assert_eq!(config.settle.longest, Duration::from_secs(8));
    assert_eq!(config.on_change.len(), 1);
    assert_eq!(config.log.verbosity, -1);
    assert_eq!(config.source.mounts.len(), 2);
}

#[test]
fn the_environment_stands_between_flags_and_file() {
    let environment = [
        ("ATTACHE_PORT", "6"),
        ("ATTACHE_MAX_CONNECTIONS", "9"),
        ("ATTACHE_SECRET", "x\ny"),
    ];
    let config = load_env(&["-p", "7"], &environment, Some(FILE)).unwrap();
    assert_eq!((config.serve.port, config.serve.max_connections), (7, 9));
    assert!(names(&config).contains(&"Secret -/y".to_owned()));
    let faults = load_env(
        &[],
        &[("ATTACHE_PORT", "x"), ("ATTACHE_ON_CHANGE", "sig")],
        None,
    )
    .unwrap_err();
    assert!(faults.lines()[0].starts_with("ATTACHE_PORT: "), "{faults}");
    assert!(
        faults.lines()[1].starts_with("ATTACHE_ON_CHANGE: onChange[0]: "),
        "{faults}"
    );
}

#[test]
fn an_object_that_only_a_rule_names_is_optional() {
    let args = [
        "-n",
        "prod",
        "--configmap",
        "prod/a",
        "--mount",
        "m=/m",
        "--on-change",
        "{when: {configMap: a}, signal: x}",
        "--on-change",
        "{when: {configMap: prod/m}, signal: x}",
        "--on-change",
        "{when: {configMap: new}, signal: x}",
        "--on-change",
        "{when: {configMap: prod/new}, signal: y}",
        "--on-change",
        "{when: {secret: m}, signal: y}",
    ];
    let config = load_run(&args, None).unwrap();
    assert_eq!(
        names(&config),
        ["ConfigMap prod/a", "ConfigMap -/new?", "Secret -/m?"]
    );
}

#[test]
fn each_flag_is_checked() {
    for (args, says) in [
        (
            &["-n", "Prod"][..],
            "--namespace: \"Prod\" is not a namespace",
        ),
        (&["--context", ""], "--context: it is empty"),
        (
            &["--configmap", "a_b"],
            "--configmap: \"a_b\" is not an object's name",
        ),
        (
            &["--secret", "db,maybe"],
            "--secret: \"maybe\" is not known",
        ),
        (
            &["--configmap-selector", "a b"],
            "--configmap-selector: \"a b\" is not a label requirement",
        ),
        (
            &["--secret-selector", "*/"],
            "--secret-selector: \"\" is not a label requirement",
        ),
        (&["--mount", "web"], "--mount: \"web\" names no path"),
        (
            &["--max-bytes", "64MB"],
            "--max-bytes: \"64MB\" is not a size",
        ),
        (
            &["--no-on-demand=maybe"],
            "--no-on-demand: \"maybe\" is neither true nor false",
        ),
        (&["-v", "much"], "--verbose: \"much\" is not a level"),
        (&["--server", "/x"], "--server: \"/x\" names no host"),
        (&["--token", "a b"], "--token: it is empty, or holds"),
        (&["--user", ""], "--user: it is empty"),
        (&["--as-group", "g"], "--as-group: names groups of no user"),
        (
            &["--insecure-skip-tls-verify", "--certificate-authority=/ca"],
            "--insecure-skip-tls-verify: takes any certificate",
        ),
        (
            &["--keepalive", "5"],
            "--keepalive: \"5\" is not a duration",
        ),
        (
            &["--request-timeout", "soon"],
            "--request-timeout: \"soon\" is not a duration",
        ),
        (
            &["--accept-paths", "("],
            "--accept-paths: \"(\" is not a regex",
        ),
        (
            &["--reject-paths", "^/api,"],
            "--reject-paths: an empty regex",
        ),
        (
            &["--reject-methods", r"\pL"],
            "Unicode character classes are not supported",
        ),
        (&["--api-prefix", "/a/../b"], "--api-prefix: \"/a/../b\""),
        (
            &["--api-prefix", "kv"],
            "--api-prefix: /kv/ is for attache's own",
        ),
        (
            &["-w", "/w", "-P", "/-/x"],
            "--www-prefix: /-/ is for attache's own",
        ),
        (
            &["-w", "/w", "-P", "x", "--api-prefix=/x"],
            "--www-prefix: /x/ is --api-prefix's already",
        ),
        (
            &["--no-proxy", "--accept-paths=a"],
            "--accept-paths: is for the proxy, and --no-proxy",
        ),
        (
            &["--dir", "/", "--request-timeout", "1s"],
            "--request-timeout: needs an API server",
        ),
        (
            &["--dir", "/", "--no-proxy=false"],
            "proxy: needs an API server",
        ),
        (
            &["--port", "99999"],
            "--port: \"99999\" is not a number from 0 to 65535",
        ),
        (
            &["--address", "sidecar"],
            "--address: \"sidecar\" is not an IP address",
        ),
        (&["--address", "0.0.0.0"], "--allow-non-loopback"),
        (
            &["--accept-hosts", "a("],
            "--accept-hosts: \"a(\" is not a regex",
        ),
        (&["--accept-hosts", "a,"], "--accept-hosts: an empty regex"),
        (
            &["--admin-address", ":8002"],
            "--admin-address: \":8002\" is not an IP address and port",
        ),
        (
            &["--admin-address", "0.0.0.0:8001"],
            "--admin-address: port 8001 is --port's already",
        ),
        (
            &["--max-connections", "0"],
            "--max-connections: \"0\" is not a number from 1",
        ),
        (
            &["--shutdown-delay", "5"],
            "--shutdown-delay: \"5\" is not a duration",
        ),
        (
            &["--settle", "2s:1s"],
            "--settle: \"2s:1s\": the longest wait is shorter",
        ),
        (
            &["--log-format", "xml"],
            "--log-format: \"xml\" is neither text nor json",
        ),
        (&["--on-change", "{"], "--on-change: not readable as YAML"),
        (
            &["--on-change", "command: 'x y'"],
            "--on-change: onChange[0].command: \"x\" and what follows would be a program's name",
        ),
        (
            &["--pod-name", "A"],
            "--pod-name: \"A\" is not an object's name",
        ),
        (
            &["--state-secrets"],
            "--state-secrets: nothing is kept without --state-dir",
        ),
        (
            &["--ready-from-state"],
            "--ready-from-state: nothing is kept without --state-dir",
        ),
        (
            &["--state-dir=/s", "--state-secrets=x"],
            "--state-secrets: \"x\" is neither true nor false",
        ),
        (
            &["--dir", "/", "--on-change", "restart: rollout"],
            "onChange[0]: this restart needs an API server",
        ),
        (
            &["--dir", "/", "--on-change", "restart: {pods: a}"],
            "onChange[0]: this restart needs an API server",
        ),
        (
            &["--dir", "/does/not/exist"],
            "--dir: cannot use /does/not/exist",
        ),
        (&["--dir", "/dev/null"], "--dir: /dev/null is a file"),
        (
            &["--dir", "/", "--context", "c"],
            "--context: needs an API server",
        ),
        (
            &["--dir", "/", "--kubeconfig", "/c"],
            "--kubeconfig: needs an API server",
        ),
        (
            &["--dir", "/", "--configmap-selector", "a"],
            "--configmap-selector: needs an API server",
        ),
        (
            &["--dir", "/", "--secret-selector", "a"],
            "--secret-selector: needs an API server",
        ),
        (
            &["--configmap", "a", "--configmap", "a,optional"],
            "--configmap: a is named twice",
        ),
        (
            &["-n", "x", "--secret", "a", "--secret", "x/a"],
            "--secret: x/a is named twice",
        ),
        (
            &["--mount", "a=/a", "--mount", "a=/b"],
            "--mount: a is named twice",
        ),
        (
            &["--configmap-selector", "a", "--configmap-selector", "a"],
            "--configmap-selector: a is named twice",
        ),
        (
            &["--config", "/does/not/exist"],
            "--config: cannot read /does/not/exist",
        ),
    ] {
        let fault = fault(args, None);
        assert!(fault.contains(says), "{args:?}: {fault}");
    }
}

#[test]
fn what_looks_alike_but_differs_is_no_duplicate() {
    let args = [
        "--configmap",
        "a",
        "--secret",
        "a",
        "--configmap",
        "x/a",
        "--port",
        "0",
        "--configmap-selector",
        "a",
        "--configmap-selector",
        "*/a",
        "--secret-selector",
        "a",
        "--admin-address",
        "127.0.0.1:0",
        "--mount",
        "a=/a",
    ];
    load_run(&args, None).unwrap();
    load_run(&["--address", "0.0.0.0", "--allow-non-loopback"], None).unwrap();
}

#[test]
fn each_key_is_checked_where_it_stands() {
    for (text, says) in [
        ("prot: 1", ":1: prot: unknown key \"prot\""),
        (
            "\nconfigMap: [a]",
            ":2: configMap: unknown key \"configMap\"; did you mean configMaps?",
        ),
        ("files: web", ":1: files: expected a rule"),
        ("state: /s", "expected a mapping of dir, secrets, ready"),
        (
            "state: {dir: /s, ready: 1}",
            "state.ready: \"1\" is neither",
        ),
        ("podName: A", ":1: podName: \"A\" is not an object's name"),
        ("[]", "expected a mapping of kubeconfig"),
        ("a", "expected a mapping"),
        (
            "listen: {prt: 1}",
            ":1: listen.prt: unknown key \"prt\"; did you mean port?",
        ),
        (
            "listen:\n  port: -1",
            ":2: listen.port: \"-1\" is not a number",
        ),
        ("listen: {acceptHosts: []}", "an empty list lets nobody in"),
        ("token: t", ":1: token: a token has no place in this file"),
        (
            "insecureSkipTlsVerify: true",
            "did you mean insecureSkipTLSVerify?",
        ),
        ("asGroups: [[a]]", "asGroups[0]: expected a group"),
        ("as: ''", "as: it is empty"),
        ("proxy: maybe", ":1: proxy: \"maybe\" is neither"),
        ("proxy: [a]", "proxy: expected a mapping of acceptPaths"),
        ("proxy: {acceptPath: a}", "did you mean acceptPaths?"),
        ("proxy: {acceptPaths: []}", "an empty list lets nobody in"),
        (
            "proxy: {rejectPaths: [a, '(']}",
            "proxy.rejectPaths[1]: \"(\"",
        ),
        ("proxy: {requestTimeout: x}", "is not a duration"),
        (
            "listen: {acceptHosts: ['(']}",
            "listen.acceptHosts[0]: \"(\" is not a regex",
        ),
        ("configMaps: [{}]", "say which by one of"),
        (
            "configMaps: [{name: a, selector: b}]",
            "say which by one of",
        ),
        (
            "configMaps: [{selector: b, optional: true}]",
            "take optional out",
        ),
        ("configMaps: [{name: x/a, namespace: x}]", "given twice"),
        ("configMaps: [[a]]", "expected [NS/]NAME"),
        (
            "secrets: [{name: a, optional: 1}]",
            "neither true nor false",
        ),
        ("mounts: [{configMap: a}]", "needs both"),
        ("onDemand: no", "\"no\" is neither true nor false"),
        ("dir: ''", "it is empty"),
        ("log: {level: loud}", "\"loud\" is not a level"),
        ("settle: [1s]", "expected QUIET"),
        (
            "onChange: [{signal: nginx, splay: 1}]",
            "onChange[0].splay: \"1\" is not a duration",
        ),
        ("a: 1\na: 2", "not readable as YAML"),
    ] {
        let fault = fault(&[], Some(text));
        assert!(fault.contains(says), "{text}: {fault}");
        assert!(fault.contains("attache.yaml:"), "{fault}");
    }
}

#[test]
fn an_empty_file_and_empty_keys_say_nothing() {
    for text in [
        "",
        "# nothing\n",
        "port:",
        "listen:\nonChange:\nconfigMaps: []\n",
    ] {
        let config = load_run(&[], Some(text));
        match text {
            // Unknown even without a value.
            "port:" => assert!(config.is_err()),
            _ => assert_eq!(config.unwrap().serve.port, 8001),
        }
    }
}

#[test]
fn the_faults_of_flags_and_file_come_together() {
    let args = [
        "--port",
        "x",
        "--configmap",
        "A",
        "--configmap",
        "B",
        "--nope",
        "--dir",
        "/nowhere",
    ];
    let faults = load_run(
        &args,
        Some("prot: 1\nsettle: x\nonChange: [{}, {signal: a/b}]"),
    )
    .unwrap_err();
    assert_eq!(faults.lines().len(), 9, "{faults}");
    assert!(
        faults
            .to_string()
            .lines()
            .all(|line| line.starts_with("attache: "))
    );
}

#[test]
fn no_password_is_printed_with_the_configuration() {
    let rule = "webhook: {url: 'http://a/?token=hunter2', headers: {A: hunter2}}";
    let config = load_run(&["--on-change", rule], None).unwrap();
    assert!(config.on_change[0].identity.contains("hunter2"));
    let printed = format!("{config:?}");
    assert!(
        printed.contains("MASKED") && !printed.contains("hunter2"),
        "{printed}"
    );
}

#[test]
fn probes_are_validated_too() {
    let job = |args: &[&str]| {
        let args = ["attache"].iter().chain(args).map(Into::into);
        let Parsed::Command { command, faults } = cli::parse(args, []) else {
            panic!("no command");
        };
        load(command, faults)
    };
    let Ok(Job::Get(get)) = job(&["get", "prod/secret:db", "PASSWORD", "--timeout", "1m"]) else {
        panic!("no get");
    };
    assert_eq!(
        (get.kind, get.object.namespace.as_deref()),
        (ObjectKind::Secret, Some("prod"))
    );
    assert_eq!(
        get.endpoint,
        Endpoint::Tcp("127.0.0.1:8001".parse().unwrap())
    );
    assert_eq!(get.timeout, Duration::from_secs(60));
    let Ok(Job::Healthcheck(healthcheck)) = job(&["healthcheck", "--live", "-u", "/s"]) else {
        panic!("no healthcheck");
    };
    assert_eq!(
        (healthcheck.probe, healthcheck.timeout),
        (Probe::Live, Duration::from_secs(1))
    );
    assert_eq!(healthcheck.endpoint, Endpoint::Unix("/s".into()));
    for (args, says) in [
        (&["get", "Web"][..], "not an object's name"),
        (&["get", "a/b", "-n", "c"], "differs from --namespace"),
        (&["get", "web", "a/b"], "cannot be a key"),
        (&["get", "web", ".."], "cannot be a key"),
        (&["get", "web", "-p", "0"], "from 1 to 65535"),
        (
            &["healthcheck", "--timeout", "0s"],
            "--timeout: a timeout of zero",
        ),
        (
            &["healthcheck", "--address", "sidecar"],
            "not an IP address",
        ),
    ] {
        let faults = job(args).unwrap_err().to_string();
        assert!(faults.contains(says), "{args:?}: {faults}");
    }
}

/// Text that looks like a file of ours, more or less.
fn almost_a_file() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "onChange",
        "configMaps",
        "listen",
        "when",
        "signal",
        "webhook",
        "keys",
        "name",
        "selector",
        "port",
        ": ",
        ":\n  ",
        "- ",
        "\n",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "&a ",
        "*a ",
        "<<: ",
        "'",
        "\"",
        "!!int ",
        "| ",
        "1e999",
        ".nan",
        "0x1",
        "~",
        "web",
        "250ms:1s",
        "http://a:b@c/",
        "# ",
        "\t",
        "--- ",
        "... ",
        "? ",
        "é",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

fn never_panics(text: &str) {
    let mut faults = Faults::default();
    let settings = file::text_settings(text, "f", &mut faults);
    let _ = check::config(
        settings.or(Partial::default()),
        check::Listener::Full,
        &mut faults,
    );
    assert!(
        faults
            .lines()
            .iter()
            .all(|line| !line.contains('\n') && !line.is_empty())
    );
    let run = cli::Run {
        on_change: vec![text.to_owned()],
        ..cli::Run::default()
    };
    let _ = flags::run(&run, &mut faults);
}

proptest! {
    #[test]
    fn no_file_makes_us_panic(text in almost_a_file()) {
        never_panics(&text);
    }

    #[test]
    fn no_text_at_all_makes_us_panic(text in any::<String>()) {
        never_panics(&text);
    }
}
