//! `attache inject` and `uninject` from outside: files and streams in, objects out.

// Helpers fail loudly too: in a test a panic is the report.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

const STREAM: &str = "\
# A ConfigMap, with comments.
apiVersion: v1
kind: ConfigMap
metadata: {name: web}   # not touched
data:
  a: 'yes'
---
# The app.
kind: Deployment
apiVersion: apps/v1
metadata:
  name: web
spec:
  replicas: 1_0 # ten
  template:
    spec:
      containers:
      - name: app
        image: \"app:1\"
        args: [\"-c\", 'true', on]
        env:
        - {name: MODE, value: \"0644\"}
---
apiVersion: v1
kind: Service
metadata: {name: web}
";

/// Exit code, standard output, standard error.
fn attache(args: &[&str], stdin: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attache"));
    command.args(args).env_clear();
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(stdin.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

const INJECT: [&str; 3] = ["inject", "--kubernetes=1.33", "--set=configmaps=web"];

/// The objects of a stream.
fn objects(text: &str) -> Vec<Value> {
    let mut values = Vec::new();
    for document in text.split("\n---\n") {
        values.push(serde_saphyr::from_str::<Value>(document).unwrap());
    }
    values
}

#[test]
fn a_deployment_in_a_stream_gets_a_sidecar_and_the_rest_stays_byte_for_byte() {
    let (code, out, said) = attache(&INJECT, STREAM);
    assert_eq!(code, 0, "{said}");
    let documents: Vec<_> = STREAM.split_inclusive("---\n").collect();
    assert!(out.starts_with(documents[0]), "{out}");
    assert!(out.ends_with(documents[2]), "{out}");
    assert!(
        out.contains("# The app.\nkind: Deployment\napiVersion: apps/v1\nmetadata:\n  name: web\n")
    );
    assert!(out.contains("  replicas: 1_0\n"), "{out}");
    assert!(
        out.contains("        args: [\"-c\", 'true', on]\n"),
        "{out}"
    );
    assert!(
        out.contains("        - {name: MODE, value: \"0644\"}\n"),
        "{out}"
    );
    assert!(
        out.contains("      initContainers:\n      - name: attache\n"),
        "{out}"
    );
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines[0],
        "attache: deployment/web: injected (native sidecar)"
    );
    assert!(
        lines.contains(&"attache: warning: deployment/web: written anew at standard input:9: 1 comment(s) in it are lost"),
        "{said}"
    );
    // Twice is once.
    let (code, twice, said) = attache(&INJECT, &out);
    assert_eq!((code, &twice), (0, &out));
    assert!(said.contains("deployment/web: unchanged"), "{said}");
    // And back.
    let (code, back, said) = attache(&["uninject"], &out);
    assert_eq!(code, 0, "{said}");
    assert_eq!(back, STREAM.replace(" # ten", ""));
    assert_eq!(objects(&back), objects(STREAM));
    assert!(
        said.contains("deployment/web: attache is taken out"),
        "{said}"
    );
}

#[test]
fn json_comes_out_as_json_in_its_order() {
    let stream = "{\"kind\": \"Pod\", \"apiVersion\": \"v1\", \"metadata\": {\"name\": \"p\"},\n \"spec\": {\"containers\": [{\"name\": \"a\", \"image\": \"i\"}]}}\n{\"kind\":\"Secret\"}\n";
    let (code, out, said) = attache(&INJECT, stream);
    assert_eq!(code, 0, "{said}");
    assert!(
        out.starts_with("{\n    \"kind\": \"Pod\",\n    \"apiVersion\": \"v1\",\n"),
        "{out}"
    );
    assert!(out.ends_with("\n{\"kind\":\"Secret\"}\n"), "{out}");
    let (_, back, _) = attache(&["uninject"], &out);
    let values = |text: &str| {
        let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        values.map(Result::unwrap).collect::<Vec<_>>()
    };
    assert_eq!(values(&back), values(stream));
}

#[test]
fn a_diff_is_one_that_patch_takes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("web.yaml");
    fs::write(&file, STREAM).unwrap();
    let name = file.to_str().unwrap();
    let (code, diff, said) = attache(&[&INJECT[..], &["--diff", "-f", name]].concat(), "");
    assert_eq!(code, 0, "{said}");
    assert!(
        diff.starts_with(&format!("--- {name}\n+++ {name}\n@@ -11,")),
        "{diff}"
    );
    assert!(
        diff.contains("-  replicas: 1_0 # ten\n+  replicas: 1_0\n"),
        "{diff}"
    );
    let (_, injected, _) = attache(&INJECT, STREAM);
    assert_eq!(applied(STREAM, &diff), injected);
    let (code, diff, _) = attache(&["uninject", "--diff", "-f", name], "");
    assert_eq!((code, diff.as_str()), (0, ""));
}

/// The text after a unified diff of it.
fn applied(text: &str, diff: &str) -> String {
    let old: Vec<_> = text.split_inclusive('\n').collect();
    let (mut at, mut out) = (0, String::new());
    for line in diff.split_inclusive('\n').skip(2) {
        if let Some(place) = line.strip_prefix("@@ -") {
            let (start, _) = place.split_once(',').unwrap();
            let start = start.parse::<usize>().unwrap() - 1;
            out.extend(old[at..start].iter().copied());
            at = start;
            let (_, new) = place.split_once('+').unwrap();
            let (new, _) = new.split_once(',').unwrap();
            assert_eq!(new.parse::<usize>().unwrap() - 1, out.lines().count());
        } else if let Some(new) = line.strip_prefix('+') {
            out.push_str(new);
        } else {
            assert_eq!(&line[1..], old[at]);
            at += 1;
            out.push_str(line.strip_prefix(' ').unwrap_or_default());
        }
    }
    out.extend(old[at..].iter().copied());
    out
}

#[test]
fn only_the_objects_named_are_meant() {
    let job = STREAM
        .replace("name: web", "name: other")
        .replace("kind: Deployment", "kind: DaemonSet");
    let both = format!("{STREAM}---\n{job}");
    let (code, out, said) = attache(&[&INJECT[..], &["--to", "ds/other"]].concat(), &both);
    assert_eq!(code, 0, "{said}");
    assert!(out.starts_with(STREAM), "{out}");
    assert!(out[STREAM.len()..].contains("- name: attache\n"), "{out}");
    assert!(!said.contains("deployment/web"), "{said}");
    let (code, out, said) = attache(
        &[&INJECT[..], &["--to", "ds/web", "--to", "pod/x"]].concat(),
        &both,
    );
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        said.contains("--to daemonset/web: ") && said.contains("--to pod/x: "),
        "{said}"
    );
}

/// kubectl takes a stream that begins with a brace for JSON to its end.
#[test]
fn json_among_yaml_becomes_documents_of_yaml() {
    let dir = tempfile::tempdir().unwrap();
    let json = r#"{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}}"#;
    fs::write(
        dir.path().join("a.json"),
        format!("{json}\n{{\"kind\": \"Secret\"}}"),
    )
    .unwrap();
    fs::write(dir.path().join("b.yaml"), STREAM).unwrap();
    let dir = dir.path().to_str().unwrap();
    let (code, out, said) = attache(&[&INJECT[..], &["-f", dir]].concat(), "");
    assert_eq!(code, 0, "{said}");
    assert!(out.starts_with("---\n{\n    \"kind\": \"Pod\","), "{out}");
    assert!(
        out.contains("\n---\n\n{\"kind\": \"Secret\"}\n---\n# A ConfigMap"),
        "{out}"
    );
    assert_eq!(objects(&out).len(), 5, "{out}");
}

#[test]
fn any_fault_and_nothing_is_printed_but_all_of_them_are_told() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("a.yaml", "a: 1\nb: [\n"),
        ("b.json", "{\"a\": }"),
        ("c.yml", STREAM),
        ("ignored.txt", "a: [\n"),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let dir = dir.path().to_str().unwrap();
    let (code, out, said) = attache(
        &[
            "inject",
            "--set=configmaps=web",
            "-f",
            dir,
            "-f",
            "/nowhere.yaml",
        ],
        "",
    );
    assert_eq!((code, out.as_str()), (1, ""));
    for line in [
        "/a.yaml:2: not readable as YAML: ",
        "/b.json:1: not readable as JSON: ",
        "/nowhere.yaml: ",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert!(
        said.ends_with("attache: nothing is printed, because of 3 fault(s) above\n"),
        "{said}"
    );
    let bad = STREAM.replace(
        "  template:\n",
        "  template:\n    metadata: {annotations: {attache.dev/filse: x}}\n",
    );
    let (code, out, said) = attache(&INJECT, &bad);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(said.contains("deployment/web: attache.dev/filse"), "{said}");
}

#[test]
fn without_a_version_the_sidecar_is_plain_and_what_to_do_is_said() {
    let stdin = STREAM.replace(
        "kind: Deployment\napiVersion: apps/v1",
        "kind: Job\napiVersion: batch/v1",
    );
    let (code, out, said) = attache(
        &["inject", "--set=configmaps=web"],
        &format!("{STREAM}---\n{stdin}"),
    );
    assert_eq!(code, 0, "{said}");
    assert!(out.ends_with(&stdin), "{out}");
    assert!(
        said.contains("deployment/web: injected (plain container)"),
        "{said}"
    );
    assert!(said.contains("job/web: skipped: "), "{said}");
    assert!(said.contains("--kubernetes=1.29"), "{said}");
    let (code, out, said) = attache(&["inject"], "kind: ConfigMap\n");
    assert_eq!((code, out.as_str()), (0, "kind: ConfigMap\n"));
    assert!(
        said.contains("no Pod, Deployment or other workload"),
        "{said}"
    );
}

#[test]
fn rights_are_printed_instead() {
    let flags = ["--rbac", "--namespace=shop"];
    let stdin = STREAM.replace("    spec:\n", "    spec:\n      serviceAccountName: web\n");
    let (code, out, said) = attache(&[&INJECT[..], &flags].concat(), &stdin);
    assert_eq!(code, 0, "{said}");
    let kinds: Vec<_> = objects(&out)
        .into_iter()
        .map(|object| object["kind"].clone())
        .collect();
    assert_eq!(kinds, ["ServiceAccount", "Role", "RoleBinding"]);
    assert_eq!(
        objects(&out)[1]["rules"][0]["resourceNames"],
        serde_json::json!(["web"])
    );
}

/// Every manifest of the repository.
fn manifests() -> Vec<PathBuf> {
    fn under(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("node_modules") {
                under(&path, found);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    under(&root.join("examples"), &mut found);
    under(&root.join("manifests"), &mut found);
    found
}

#[test]
fn the_manifests_of_this_repository_go_there_and_back() {
    let mut injected = 0;
    for path in manifests() {
        let text = fs::read_to_string(&path).unwrap();
        let (code, out, said) = attache(&INJECT, &text);
        assert_eq!(code, 0, "{}: {said}", path.display());
        injected += said.matches(": injected (").count();
        let (code, back, said) = attache(&["uninject"], &out);
        assert_eq!(code, 0, "{}: {said}", path.display());
        assert_eq!(objects(&back), objects(&text), "{}", path.display());
    }
    assert!(injected > 0);
}
