//! Tests of `attache proxy`, of the proxy in `attache run`, and of the connection.

use super::*;

fn load_proxy(args: &[&str]) -> Result<Config, Faults> {
    load_command("proxy", args, &[], None)
}

/// The filter as text.
fn filter(config: &Config) -> Option<[Vec<String>; 3]> {
    let filter = config.proxy.as_ref().unwrap().filter.as_ref()?;
    let text = |list: &[regex_lite::Regex]| list.iter().map(ToString::to_string).collect();
    Some([
        text(&filter.accept_paths),
        text(&filter.reject_paths),
        text(&filter.reject_methods),
    ])
}

#[test]
fn proxys_defaults_are_kubectls() {
    let config = load_proxy(&[]).unwrap();
    let reject_paths = ["^/api/.*/pods/.*/exec", "^/api/.*/pods/.*/attach"];
    assert_eq!(
        filter(&config).unwrap(),
        [
            vec!["^.*".to_owned()],
            reject_paths.map(str::to_owned).to_vec(),
            vec!["^$".to_owned()]
        ]
    );
    let proxy = config.proxy.unwrap();
    assert_eq!((proxy.api_prefix.as_str(), proxy.www), ("/", None));
    assert!(!proxy.append_server_path && proxy.request_timeout.is_none());
    let serve = config.serve;
    assert_eq!(
        (serve.port, serve.address.to_string()),
        (8001, "127.0.0.1".into())
    );
    assert!(!serve.own_routes && !serve.unix_only);
    assert!(!config.source.on_demand && config.source.objects.is_empty());
    assert!(config.on_change.is_empty() && config.connection.keepalive.is_none());
}

#[test]
fn proxys_address_is_the_consent_and_its_socket_stands_alone() {
    for (address, wanted) in [
        ("0.0.0.0", "0.0.0.0"),
        ("localhost", "127.0.0.1"),
        ("[::1]", "::1"),
        ("10.0.0.1", "10.0.0.1"),
    ] {
        let serve = load_proxy(&["--address", address]).unwrap().serve;
        assert_eq!(serve.address.to_string(), wanted);
        assert!(serve.allow_non_loopback && !serve.unix_only);
    }
    // As in kubectl, the port's default says nothing, and no address is listened on.
    let args = [
        "-u",
        "/s",
        "-p",
        "8001",
        "--address=0.0.0.0",
        "--admin-address=0.0.0.0:8001",
    ];
    let serve = load_proxy(&args).unwrap().serve;
    assert!(serve.unix_only && serve.address.is_loopback());
    for port in ["8002", "0"] {
        let faults = load_proxy(&["-u", "/s", "-p", port]).unwrap_err();
        let says = "--port: cannot set --unix-socket and --port at the same time";
        assert!(faults.lines()[0].starts_with(says), "{faults}");
    }
    let environment = [("ATTACHE_PORT", "1")];
    let faults = load_command("proxy", &["-u", "/s"], &environment, None).unwrap_err();
    assert!(faults.lines()[0].starts_with("ATTACHE_PORT: "), "{faults}");
    let serve = load_run(&["-u", "/s", "-p", "8002"], None).unwrap().serve;
    assert!(serve.own_routes && !serve.unix_only);
}

#[test]
fn proxys_flags_make_the_proxy() {
    let config = load_proxy(&[
        "--accept-paths=",
        "--reject-paths=",
        "--reject-methods=POST,PUT",
        "--accept-hosts=",
        "--api-prefix=custom",
        "--www=/w",
        "--www-prefix=f/",
        "--append-server-path=T",
        "--request-timeout=30",
        "--keepalive=0",
    ])
    .unwrap();
    let methods = vec!["POST".to_owned(), "PUT".to_owned()];
    assert_eq!(filter(&config).unwrap(), [Vec::new(), Vec::new(), methods]);
    assert!(config.serve.accept_hosts.is_empty());
    assert_eq!(config.connection.keepalive, Some(Duration::ZERO));
    let proxy = config.proxy.unwrap();
    assert_eq!(proxy.api_prefix, "/custom/");
    let www = Www {
        root: "/w".into(),
        prefix: "/f/".into(),
    };
    assert_eq!(proxy.www, Some(www));
    assert!(proxy.append_server_path);
    assert_eq!(proxy.request_timeout, Some(Duration::from_secs(30)));
    let off = load_proxy(&["--disable-filter"]).unwrap();
    assert!(filter(&off).is_none());
    let on = load_proxy(&["--disable-filter=false", "--request-timeout=0"]).unwrap();
    assert!(filter(&on).is_some() && on.proxy.unwrap().request_timeout.is_none());
    // Nothing of attache's own is in the way.
    load_proxy(&["--api-prefix=/kv/"]).unwrap();
}

#[test]
fn run_has_a_proxy_unless_told_or_without_an_api_server() {
    let has = |args: &[&str], file| load_run(args, file).unwrap().proxy.is_some();
    assert!(has(&[], None) && has(&[], Some("proxy:\n")));
    assert!(!has(&["--no-proxy"], None));
    assert!(!has(&["--dir", "/"], None) && !has(&["--dir", "/", "--no-proxy"], None));
    assert!(!has(&[], Some("proxy: false")) && has(&[], Some("proxy: true")));
    assert!(has(&["--no-proxy=false"], Some("proxy: false")));
    assert!(!has(&["--no-proxy"], Some("proxy: {acceptPaths: a}")));
    let faults = load_run(&["--www=/w", "--disable-filter"], Some("proxy: false")).unwrap_err();
    assert_eq!(faults.lines().len(), 2, "{faults}");
    assert!(
        faults.lines()[1].starts_with("--www: is for the proxy"),
        "{faults}"
    );
    let faults = load_run(&["--dir", "/"], Some("proxy: {www: /w}\nserver: h")).unwrap_err();
    assert_eq!(faults.lines().len(), 2, "{faults}");
}

#[test]
fn the_file_says_what_flags_can_say() {
    let config = load_run(&[], Some(FILE)).unwrap();
    let connection = &config.connection;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    assert_eq!(text(&connection.cluster) + &text(&connection.user), "du");
    assert_eq!(connection.server.as_ref().unwrap(), "https://h:1/path");
    assert_eq!(connection.certificate_authority, Some("/ca".into()));
    assert!(!connection.insecure_skip_tls_verify);
    assert_eq!(text(&connection.tls_server_name), "t");
    assert_eq!(text(&connection.impersonate_user), "a");
    assert_eq!(connection.impersonate_groups, ["g", "h"]);
    assert_eq!(connection.keepalive, Some(Duration::from_secs(30)));
    let reject_paths = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(
        filter(&config).unwrap(),
        [vec!["^/a{1,2}$".to_owned()], reject_paths, Vec::new()]
    );
    let proxy = config.proxy.unwrap();
    assert_eq!(proxy.api_prefix, "/k8s/");
    assert_eq!(proxy.www.unwrap().prefix, "/files/");
    assert!(proxy.append_server_path);
    assert_eq!(proxy.request_timeout, Some(Duration::from_secs(10)));
    let args = [
        "--reject-paths=c",
        "--as=x",
        "--as-group=y",
        "-s",
        "h:80",
        "--token=t",
    ];
    let config = load_run(&args, Some(FILE)).unwrap();
    assert_eq!(filter(&config).unwrap()[1], ["c"]);
    assert_eq!(config.connection.impersonate_groups, ["y"]);
    assert_eq!(config.connection.server.as_ref().unwrap(), "h:80");
    let token = config.connection.token.as_ref().map(Token::reveal);
    assert_eq!(token, Some("t"));
    assert!(format!("{config:?}").contains("MASKED"));
}

#[test]
fn kubectls_levels_and_ours_are_understood() {
    let verbosity = |args: &[&str]| load_proxy(args).unwrap().log.verbosity;
    for (args, wanted) in [
        (&[][..], 0),
        (&["-v"], 1),
        (&["-vv"], 2),
        (&["-v", "-v", "--verbose"], 3),
        (&["-qq"], -2),
        (&["-v", "-q"], 0),
        (&["-v=0"], 0),
        (&["-v", "3"], 0),
        (&["--v=4"], 1),
        (&["-v5"], 1),
        (&["-v=6"], 2),
        (&["-v=8"], 3),
        (&["-v=99"], 3),
        (&["-v=9", "-v=2"], 0),
        (&["-v", "-v=4"], 1),
    ] {
        assert_eq!(verbosity(args), wanted, "{args:?}");
    }
    let environment = [("ATTACHE_VERBOSE", "6")];
    let config = load_command("proxy", &[], &environment, None).unwrap();
    assert_eq!(config.log.verbosity, 2);
    let faults = load_command("proxy", &[], &[("ATTACHE_VERBOSE", "x")], None).unwrap_err();
    assert!(
        faults.lines()[0].starts_with("ATTACHE_VERBOSE: \"x\""),
        "{faults}"
    );
}
