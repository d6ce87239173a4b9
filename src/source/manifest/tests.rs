use proptest::prelude::*;

use super::*;

fn rules(secrets: &[&str]) -> Rules {
    Rules {
        namespace: "default".into(),
        secrets: Arc::new(
            secrets
                .iter()
                .map(|name| ObjectRef::new(Kind::Secret, "default", *name))
                .collect(),
        ),
    }
}

fn read(text: &str) -> Parsed {
    yaml(text, &rules(&[]))
}

fn names(parsed: &Parsed) -> Vec<String> {
    parsed
        .objects
        .iter()
        .map(|object| object.reference.to_string())
        .collect()
}

fn fault(text: &str) -> String {
    let parsed = read(text);
    assert!(parsed.objects.is_empty(), "{parsed:?}");
    assert_eq!(parsed.faults.len(), 1, "{parsed:?}");
    parsed.faults[0].to_string()
}

const CONFIG_MAP: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: web
  annotations: {attache.dev/pause: \"true\", other: x}
immutable: true
data:
  GREETING: hello
  nginx.conf: |
    a
    ---- b
binaryData:
  logo: /wD/
";

#[test]
fn reads_a_config_map() {
    let parsed = read(CONFIG_MAP);
    assert_eq!(parsed.faults, []);
    let object = &parsed.objects[0];
    assert_eq!(object.reference.to_string(), "ConfigMap default/web");
    assert_eq!(object.data["GREETING"], "hello");
    assert_eq!(object.data["nginx.conf"], "a\n---- b\n");
    assert_eq!(object.binary_data["logo"], [0xff, 0, 0xff]);
    assert_eq!(object.annotations.len(), 1);
}

#[test]
fn reads_many_documents_and_lists() {
    let text = format!(
        "# comment\n%YAML 1.2\n---\n{CONFIG_MAP}...\n---\n# nothing\n--- \n\
         {{apiVersion: v1, kind: ConfigMap, metadata: {{name: a, namespace: other}}}}\r\n---\r\n\
         apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {{name: b}}\n\
         - {{apiVersion: v1, kind: Service, metadata: {{name: s}}}}\n\
         - {{apiVersion: apps/v1, kind: Deployment, data: [1]}}\n\
         --- {{apiVersion: v1, kind: ConfigMapList, items: [{{metadata: {{name: c}}}}]}}\n"
    );
    let parsed = read(&text);
    assert_eq!(parsed.faults, []);
    assert_eq!(
        names(&parsed),
        [
            "ConfigMap default/web",
            "ConfigMap other/a",
            "ConfigMap default/b",
            "ConfigMap default/c"
        ]
    );
}

#[test]
fn serves_only_named_secrets() {
    let secret = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\n\
             data: {{password: aHVudGVyMg==, both: YQ==, raw: \"/wD/\"}}\nstringData: {{both: b}}\n---\n"
        )
    };
    let text = secret("db") + &secret("other");
    let parsed = yaml(&text, &rules(&["db"]));
    assert_eq!(parsed.faults, []);
    assert_eq!(names(&parsed), ["Secret default/db"]);
    let object = &parsed.objects[0];
    assert_eq!(object.data["password"], "hunter2");
    assert_eq!(object.data["both"], "b");
    assert_eq!(object.binary_data["raw"], [0xff, 0, 0xff]);
}

#[test]
fn a_value_that_is_no_string_is_refused_by_name() {
    let with = |value: &str| {
        fault(&format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web}}\ndata:\n  OK: x\n  PORT: {value}\n"
        ))
    };
    for (value, what) in [
        ("8080", "a number"),
        ("-1.5e3", "a number"),
        (".nan", "a number"),
        ("true", "a boolean"),
        ("no", "a boolean"),
    ] {
        assert_eq!(
            with(value),
            format!(
                "line 7: ConfigMap default/web: data.PORT must be a string, but is {what}: put it in quotes"
            )
        );
    }
    assert_eq!(
        with("[a]"),
        "line 7: ConfigMap default/web: data.PORT must be a string, but is a list: \
         write it as a block (`PORT: |`)"
    );
    for value in ["\"8080\"", "'no'", "1.2.3", "2020-01-01", "", "~"] {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web}}\ndata:\n  PORT: {value}\n"
        );
        assert_eq!(read(&text).faults, [], "{value}");
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    for (text, expected) in [
        ("kind: ConfigMap\n", "line 1: kind or apiVersion is missing"),
        ("\n- a\n", "line 1: a list is no Kubernetes object"),
        (
            "apiVersion: v1\nkind: ConfigMap\ndata: {a: b}\n",
            "line 1: metadata.name of a ConfigMap is missing",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: 1\n",
            "line 4: name must be a string, but is a number",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: x\n",
            "line 4: ConfigMap default/a: data must be a mapping, but is a string",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nbinaryData:\n  k: '?'\n",
            "line 5: ConfigMap default/a: binaryData.k is not base64 (RFC 4648, section 4)",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\nbinaryData:\n  k: YQ==\n",
            "line 6: ConfigMap default/a: k is in data and in binaryData",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: 3\n",
            "line 1: items must be a list, but is a number",
        ),
    ] {
        assert_eq!(fault(text), expected);
    }
    assert!(
        fault("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {\"a b\": c}\n")
            .starts_with("line 4: ConfigMap default/a: data has the key \"a b\"")
    );
}

#[test]
fn a_malformed_document_costs_its_neighbours_nothing() {
    let parsed = read(&format!(
        "{CONFIG_MAP}---\nkind: [\n---\n{}",
        CONFIG_MAP.replace("name: web", "name: api")
    ));
    assert_eq!(
        names(&parsed),
        ["ConfigMap default/web", "ConfigMap default/api"]
    );
    assert_eq!(parsed.faults.len(), 1, "{parsed:?}");
    let lines = CONFIG_MAP.lines().count() as u64;
    assert!(
        (lines + 1..=lines + 3).contains(&parsed.faults[0].line),
        "{parsed:?}"
    );
}

#[test]
fn a_duplicate_key_is_a_fault_at_its_line() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  k: v\n  k: w\n";
    assert!(fault(text).starts_with("line 6: "), "{}", fault(text));
    let json = json(r#"{"kind": "ConfigMap", "kind": "Secret"}"#, &rules(&[]));
    assert_eq!(json.faults.len(), 1);
}

#[test]
fn no_reason_shows_a_value() {
    let broken = [
        "stringData: {password: hunter2, password: hunter2}",
        "stringData:\n  password: hunter2\n hunter2 x: [",
        "stringData: {password: !!int hunter2}",
        "stringData: {password: *hunter2x}",
        "stringData: {password: \"hunter2\\q\"}",
        "stringData: {password: [hunter2]}",
        "data: {password: hunter2!}",
        "data: {password: !!binary hunter2!}",
        "stringData:\n  password: \"hunter2\n",
        "stringData: {password: !!float hunter2}",
        "stringData: hunter2",
    ];
    for broken in broken {
        let text = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: db}}\n{broken}\n");
        let parsed = yaml(&text, &rules(&["db"]));
        for fault in &parsed.faults {
            let shown = fault.to_string().replace("hunter2x", "");
            assert!(!shown.contains("hunter2"), "{broken:?}: {fault}");
        }
        assert!(
            !format!("{:?}", parsed.faults).contains("hunter2\""),
            "{broken:?}"
        );
    }
}

#[test]
fn reads_json_one_or_several() {
    let parsed = json(
        "\t{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"a\"},\n\
         \"data\": {\"smile\": \"\\ud83d\\ude00\", \"none\": null}}\n\n\
         {\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\",\n\
         \"metadata\": {\"name\": \"b\"}, \"data\": {\"PORT\": 80}}]}\n",
        &rules(&[]),
    );
    assert_eq!(names(&parsed), ["ConfigMap default/a"]);
    assert_eq!(parsed.objects[0].data["smile"], "😀");
    assert_eq!(parsed.objects[0].data["none"], "");
    assert_eq!(
        parsed.faults[0].to_string(),
        "line 4: ConfigMap default/b: data.PORT must be a string, but is a number: put it in quotes"
    );
    let broken = json("{\n\"kind\": hunter2}", &rules(&[]));
    assert_eq!(
        broken.faults[0].to_string(),
        "line 2: malformed JSON at column 9"
    );
}

proptest! {
    #[test]
    fn never_panics(text in "(---|apiVersion: v1|kind: |ConfigMap|[\\-{}\\[\\]:,&*!|>'\"%@` \t\r\na-z0-9é]|\n){0,60}") {
        let _ = read(&text);
        let _ = json(&text, &rules(&[]));
    }

    #[test]
    fn good_documents_survive_a_bad_one(
        garbage in "[\\-{}\\[\\]:,&*!|>'\"%@` \ta-z0-9]{0,40}",
        value in "[a-z ]{1,20}",
    ) {
        prop_assume!(!garbage.starts_with("---"));
        let good = |name: &str| {
            let value = serde_json::to_string(&value).unwrap();
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{k: {value}}}\n")
        };
        let parsed = read(&format!("{}---\n{garbage}\n---\n{}", good("a"), good("b")));
        prop_assert_eq!(names(&parsed), ["ConfigMap default/a", "ConfigMap default/b"]);
        for object in &parsed.objects {
            prop_assert_eq!(&object.data["k"], &value);
        }
    }
}
