use proptest::prelude::*;

use super::super::print;
use super::super::tests::{load_run, names as objects_of};
use super::*;

fn ask(annotations: &[(&str, &str)]) -> Result<Asked, Faults> {
    let pairs = annotations.iter();
    asked(
        &pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    )
}

fn granted(annotations: &[(&str, &str)]) -> Asked {
    ask(annotations).unwrap_or_else(|faults| panic!("{annotations:?}: {faults}"))
}

/// The one fault there must be.
fn fault(annotations: &[(&str, &str)]) -> String {
    let faults = ask(annotations).unwrap_err();
    assert_eq!(faults.lines().len(), 1, "{annotations:?}: {faults}");
    faults.lines()[0].clone()
}

/// All that a configuration says, what its printing leaves out included.
fn told(config: &Config) -> String {
    let identities: Vec<_> = config.on_change.iter().map(|rule| &rule.identity).collect();
    format!("{config:#?}\n{}\n{identities:?}", print::rules(config))
}

/// The sidecar, given the flags, is to have just the configuration that the annotations say.
fn check_flags(annotations: &[(&str, &str)]) -> Asked {
    let asked = granted(annotations);
    let flags: Vec<_> = asked.flags.iter().map(String::as_str).collect();
    let loaded = load_run(&flags, None).unwrap_or_else(|faults| panic!("{flags:?}: {faults}"));
    assert_eq!(told(&loaded), told(&asked.config), "{flags:?}");
    for flag in flags {
        assert!(
            flag.starts_with("--") && !flag.contains(['$', '\n']),
            "{flag}"
        );
    }
    asked
}

#[test]
fn flags_say_what_annotations_do() {
    let asked = check_flags(&[
        ("configmaps", "web flags,optional"),
        (
            "secrets",
            "[{name: db, namespace: prod}, {selector: app=web}]",
        ),
        ("files", "web=/etc/app"),
        ("on-change", "signal: nginx"),
        ("port", "8002"),
        ("allow-writes", "true"),
    ]);
    assert_eq!(
        asked.flags,
        [
            "--configmap=web",
            "--configmap=flags,optional",
            "--secret=prod/db",
            "--secret-selector=app=web",
            "--no-proxy",
            "--no-on-demand",
            "--allow-writes",
            "--port=8002",
            r#"--files={"configMap":"web","dir":"/etc/app"}"#,
            r#"--on-change={"signal":"nginx"}"#,
        ]
    );
    let asked = check_flags(&[("proxy", "true"), ("on-demand", "true")]);
    assert!(asked.flags.is_empty() && asked.config.proxy.is_some());
    let asked = check_flags(&[("proxy", "false"), ("allow-writes", "false")]);
    let off = ["--no-proxy", "--no-on-demand", "--allow-writes=false"];
    assert_eq!(asked.flags, off);
}

#[test]
fn whatever_the_file_takes_comes_back_from_the_flags() {
    for (name, value) in [
        ("configmaps", "web, flags\n  other,optional,prod/x"),
        (
            "configmaps",
            "- web\n- {name: a, optional: true}\n- prod/b,optional\n",
        ),
        (
            "configmaps",
            "[{selector: 'team/app=web'}, {selector: 'a in (b, c),!team/d', namespace: '*'}]",
        ),
        ("configmaps", "{selector: example.com/app, namespace: prod}"),
        ("configmaps", "{name: optional}"),
        ("configmaps", "1.10"),
        ("secrets", "{name: db} # why"),
        ("files", "web=/etc/a,secret:prod/db=/etc/b other=/etc/a"),
        (
            "files",
            "[web=/etc/a, {secret: 'db,optional', dir: /etc/b, defaultMode: 0400, items: [{key: a, path: c/d, mode: 0o600}]}]",
        ),
        (
            "files",
            "{configMap: web, file: /etc/a/b, key: c, mode: 0644}",
        ),
        (
            "files",
            "{selector: app=web, namespace: '*', kind: Secret, dir: /etc/$(HOME)/$$}",
        ),
        ("files", "configMap: &x web\ndir: /etc/a\nitems:\n"),
        (
            "on-change",
            "signal: {cmdline: '*nginx: \"master\"*', signal: 1}",
        ),
        (
            "on-change",
            "- when: {configMap: web, keys: ['*.conf', \"\\u00e9\\x7f\\u2028\\U0001f600\"]}\n  signal: nginx\n  settle: 1s:2s\n  retries: 0\n- webhook: http://127.0.0.1:80/a?b=$(C)\n",
        ),
        (
            "on-change",
            "{webhook: {url: 'http://127.0.0.1/', headers: {X-A: 'b\\c', X-B: {file: /t}}, expect: [200, 204]}, timeout: 3s}",
        ),
        (
            "on-change",
            "{command: [sh, -c, \"echo $$\\n\\ttwo \\\"lines\\\" \\e\", ''], splay: 1s}",
        ),
        (
            "on-change",
            "[{signal: a}, {signal: a}, {restart: pod, minInterval: 1m}, {restart: {pidfile: /run/a}}, {restart: {pods: app=web, evict: true}}, {restart: rollout}]",
        ),
        (
            "on-change",
            "{when: {secret: db}, afterMount: /etc/db, signal: app}",
        ),
        ("on-change", "signal: 'null'"),
        ("on-change", "signal: '~'"),
    ] {
        let asked = check_flags(&[(name, value)]);
        assert!(!asked.is_nothing(), "{value}");
    }
}

#[test]
fn short_forms_name_what_they_are_for() {
    let asked = granted(&[
        ("configmaps", " web,flags,optional\n prod/x "),
        ("files", "a=/a secret:b=/b"),
        ("on-change", "{when: {configMap: d}, signal: x}"),
    ]);
    assert_eq!(
        objects_of(&asked.config),
        [
            "ConfigMap -/web",
            "ConfigMap -/flags?",
            "ConfigMap prod/x",
            "ConfigMap -/a",
            "Secret -/b",
            "ConfigMap -/d?",
        ]
    );
    assert_eq!(asked.config.files[1].name, "files[1]");
}

#[test]
fn a_fault_names_its_annotation_and_the_place_in_it() {
    for (name, value, wanted) in [
        (
            "configmaps",
            "Web",
            "attache.dev/configmaps: \"Web\" is not an object's name",
        ),
        (
            "configmaps",
            "[web, {name: x, nam: x}]",
            "attache.dev/configmaps: configMaps[1].nam: unknown key \"nam\"; did you mean name?",
        ),
        (
            "configmaps",
            "web, optional",
            "Write NAME,optional without a space",
        ),
        (
            "configmaps",
            "web web",
            "attache.dev/configmaps: web is named twice: keep one",
        ),
        (
            "secrets",
            "[{selector: a}, {selector: a}]",
            "attache.dev/secrets: a is named twice: keep one",
        ),
        (
            "secrets",
            "a: [",
            "attache.dev/secrets: not readable as YAML",
        ),
        (
            "files",
            "web",
            "attache.dev/files: files[0]: \"web\" says not what goes where",
        ),
        ("files", "web=", "says not what goes where"),
        (
            "files",
            "We=/a",
            "attache.dev/files: files[0].configMap: \"We\" is not an object's name",
        ),
        (
            "files",
            "a=/a b=etc",
            "attache.dev/files: files[0]: etc is not a path in every container",
        ),
        ("files", "a=/a/../b", "without '..'"),
        ("files", "a=/", "no volume can be mounted at /"),
        ("files", "a=/a:b", "Kubernetes mounts nothing where ':'"),
        (
            "files",
            "{configMap: a, key: b, file: /b}",
            "no volume can be mounted at /",
        ),
        (
            "files",
            "{configMap: a, dir: /a, moed: 1}",
            "attache.dev/files: files[0].moed: unknown key \"moed\"; did you mean mode?",
        ),
        (
            "files",
            "[a=/a, {configMap: a, key: b, file: /a/b}]",
            "attache.dev/files: files[1]: /a/b is in /a",
        ),
        (
            "on-change",
            "nginx",
            "attache.dev/on-change: onChange[0]: expected a rule",
        ),
        (
            "on-change",
            "signal: a/b",
            "attache.dev/on-change: onChange[0].signal: \"a/b\" is not an executable's name",
        ),
        (
            "on-change",
            "[{signal: a}, {signal: a, settle: x}]",
            "attache.dev/on-change: onChange[1].settle: ",
        ),
        (
            "on-change",
            "{when: {configMap: a}, afterMount: a, signal: b}",
            "attache.dev/on-change: onChange[0]: a is not a path",
        ),
        (
            "config",
            "a b",
            "attache.dev/config: \"a b\" is not an object's name",
        ),
        ("image", "a b", "attache.dev/image: \"a b\" is not an image"),
        (
            "proxy",
            "yes",
            "attache.dev/proxy: \"yes\" is neither true nor false",
        ),
        (
            "port",
            "0",
            "attache.dev/port: \"0\" is not a number from 1024 to 65535",
        ),
        (
            "exec-container",
            "A",
            "attache.dev/exec-container: \"A\" is not a container's name",
        ),
        (
            "target-container",
            "a.b",
            "attache.dev/target-container: \"a.b\" is not a container's name",
        ),
        (
            "resources",
            "{request: {cpu: 1}}",
            "attache.dev/resources: request: unknown key",
        ),
        (
            "resources",
            "5m",
            "attache.dev/resources: expected a mapping of requests, limits",
        ),
        (
            "resources",
            "{requests: 5m}",
            "attache.dev/resources: requests: expected quantities",
        ),
        (
            "resources",
            "{requests: {cpus: 1}}",
            "requests.cpus: \"cpus\" is not known",
        ),
        (
            "resources",
            "{limits: {hugepages-x: 1}}",
            "\"hugepages-x\" is not known",
        ),
        (
            "resources",
            "{limits: {memory: 32MB}}",
            "limits.memory: \"32MB\" is not a quantity",
        ),
        (
            "resources",
            "{requests: {cpu: 1}, limits: {cpu: 999m}}",
            "requests.cpu: 1 is more than the limit, 999m",
        ),
        (
            "resources",
            "{requests: {hugepages-2Mi: 2Mi}, limits: {hugepages-2Mi: 4Mi}}",
            "pages need a limit that equals",
        ),
        (
            "confgmaps",
            "web",
            "attache.dev/confgmaps: unknown annotation; did you mean attache.dev/configmaps?",
        ),
        (
            "zzzzzzzzzz",
            "web",
            "after attache.dev/ there is one of configmaps, secrets,",
        ),
        (
            "pause",
            "true",
            "attache.dev/pause: is an annotation of ConfigMaps",
        ),
        (
            "restart-pods",
            "a=b",
            "attache.dev/restart-pods: is an annotation of ConfigMaps",
        ),
        ("inject", "enabled", "attache.dev/inject: is a label"),
    ] {
        let fault = fault(&[(name, value)]);
        assert!(fault.contains(wanted), "{name}: {value}: {fault}");
        assert!(fault.starts_with("attache.dev/"), "{fault}");
        assert!(!fault.contains("--"), "{fault}");
    }
}

#[test]
fn all_faults_are_found_at_once() {
    let faults = ask(&[
        ("port", "x"),
        ("files", "web"),
        ("resources", "{limits: {cpu: x, memory: y}}"),
        ("prot", "1"),
    ]);
    assert_eq!(faults.unwrap_err().lines().len(), 5);
}

#[test]
fn the_rest_is_for_the_pod() {
    let asked = granted(&[
        ("config", " web-attache\n"),
        ("image", "registry.example:5000/attache@sha256:0123"),
        (
            "resources",
            "requests: {cpu: 1, hugepages-2Mi: 2Mi}\nlimits: {cpu: '1', memory: 0.5Gi, hugepages-2Mi: 2048Ki}",
        ),
        ("isolate-token", "true"),
        ("target-container", "web"),
        ("injected", "{}"),
        ("content-hash", "x"),
        ("content-version", "x"),
    ]);
    assert_eq!(asked.config_file.as_deref(), Some("web-attache"));
    let image = "registry.example:5000/attache@sha256:0123";
    assert_eq!(asked.image.as_deref(), Some(image));
    let resources = serde_json::json!({
        "requests": {"cpu": "1", "hugepages-2Mi": "2Mi"},
        "limits": {"cpu": "1", "memory": "0.5Gi", "hugepages-2Mi": "2048Ki"},
    });
    assert_eq!(asked.resources, Some(resources));
    assert!(asked.isolate_token);
    assert_eq!(asked.target_container.as_deref(), Some("web"));
    assert_eq!(asked.exec_container, None);
    assert_eq!(asked.flags, ["--no-proxy", "--no-on-demand"]);
}

#[test]
fn what_runs_in_the_apps_container_has_its_token_and_restarts_it_anyway() {
    let exec = ("exec-container", "web");
    let asked = granted(&[
        exec,
        ("on-change", "signal: app"),
        ("isolate-token", "false"),
    ]);
    assert_eq!(asked.exec_container.as_deref(), Some("web"));
    let isolated = fault(&[exec, ("isolate-token", "true")]);
    assert!(
        isolated.starts_with("attache.dev/isolate-token: "),
        "{isolated}"
    );
    for restart in ["pod", "rollout", "{process: app}"] {
        let rules = format!("[{{signal: a}}, {{restart: {restart}}}]");
        let restart = fault(&[exec, ("on-change", &rules)]);
        let start = "attache.dev/on-change: onChange[1].restart: ";
        assert!(restart.starts_with(start), "{restart}");
    }
}

#[test]
fn nothing_is_asked_by_what_only_shapes_a_sidecar() {
    for nothing in [
        &[][..],
        &[("image", "x"), ("port", "8002"), ("allow-writes", "true")],
        &[
            ("resources", "{limits: {cpu: 1}}"),
            ("isolate-token", "true"),
        ],
        &[
            ("proxy", "false"),
            ("on-demand", "false"),
            ("target-container", "a"),
        ],
        // Empty ones hide those of the namespace.
        &[
            ("configmaps", ""),
            ("files", " "),
            ("on-change", "[]"),
            ("secrets", "~"),
        ],
        &[
            ("image", ""),
            ("resources", ""),
            ("exec-container", ""),
            ("proxy", ""),
        ],
    ] {
        assert!(check_flags(nothing).is_nothing(), "{nothing:?}");
    }
    for something in [
        ("configmaps", "a"),
        ("secrets", "{selector: a}"),
        ("files", "a=/a"),
        ("on-change", "signal: a"),
        ("config", "a"),
        ("proxy", "true"),
        ("on-demand", "true"),
        ("exec-container", "a"),
    ] {
        assert!(!granted(&[something]).is_nothing(), "{something:?}");
    }
}

/// A name, sometimes with what may stand around it.
fn named() -> impl Strategy<Value = String> {
    ("[a-z]([a-z0-9-]{0,5}[a-z0-9])?", 0..4).prop_map(|(name, form)| match form {
        0 => format!("prod/{name}"),
        1 => format!("'{name},optional'"),
        2 => format!("{{name: {name}, optional: true}}"),
        _ => name,
    })
}

proptest! {
    #[test]
    fn any_rules_come_back_from_the_flags(
        config_maps in prop::collection::hash_map("[a-z]{6}", named(), 0..4),
        text in "[ -~\\n\\té√\\x7f\\u{2028}😀]{1,20}",
        glob in "[ !-Z^-z|~é]{1,10}",
        labels in "([a-z]{1,4}/)?[a-z]{1,4}(=[a-z]{0,3})?",
        dir in "/[ -~&&[^:]]{1,12}",
        proxy: bool,
    ) {
        let text = serde_json::to_string(&text).unwrap();
        let glob = serde_json::to_string(&glob).unwrap();
        let quoted = serde_json::to_string(&dir).unwrap();
        let list: Vec<_> = config_maps.into_values().collect();
        let config_maps = format!("[{}, {{selector: '{labels}'}}]", list.join(", "));
        let files = format!("- {{selector: '{labels}', dir: {quoted}}}\n- web=/etc/web\n");
        let rules = format!("- command: [{text}, {text}]\n- signal: {{cmdline: {glob}}}\n- {{when: {{configMap: web, keys: [{glob}]}}, signal: a}}");
        let proxy = proxy.to_string();
        let annotations = [
            ("configmaps", config_maps.as_str()),
            ("files", &files),
            ("on-change", &rules),
            ("proxy", &proxy),
        ];
        // Two names may be the same, and a path may have `..` in it.
        prop_assume!(ask(&annotations).is_ok());
        check_flags(&annotations);
    }

    #[test]
    fn no_text_makes_a_reader_panic(name in 0..KNOWN.len(), text in "\\PC{0,40}|[a-z:,=/ \\[\\]{}\"'*&0-9.\\n-]{0,40}") {
        if let Err(faults) = ask(&[(KNOWN[name], &text)]) {
            prop_assert!(!faults.is_empty());
            prop_assert!(faults.lines().iter().all(|line| line.starts_with("attache.dev/")));
        } else {
            check_flags(&[(KNOWN[name], &text)]);
        }
    }
}
