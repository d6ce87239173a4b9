//! What `attache inject` prints, as kubectl reads it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::control_plane::ControlPlane;
use crate::support::proxy::kubectls;
use crate::text;

/// Values that readers of YAML 1.1 and 1.2 take for different things, in places that take anything.
const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: odd
  annotations: &notes
    plain: y
    quoted: 'n'
    octal: \"0644\"
    time: 12:30:45
    date: 2001-01-01
    exponent: '1e3'
    folded: >-
      a
      b
    literal: |2+
       indented
      not

    escaped: \"tab\\tbell\\a nel\\x85\"
    tagged: !!str 5
    infinite: '.inf'
    equals: =
spec:
  terminationGracePeriodSeconds: 0x1E
  automountServiceAccountToken: off
  odd:
    - [y, n, yes, no, on, off, ~, null, 0644, 0o644, 08, 1_000, 1e3, .5, +12, -0b11, 99999999999999999999, 1e400]
    - {<<: *notes, 1: one, yes: two, 1.5: three}
    - !!binary aGVsbG8=
    -
  containers:
  - name: app
    image: app:1
    args: [yes, 'no', 10]
";

fn run(program: &Path, args: &[&str], stdin: &str) -> String {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(stdin.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {told}\n{stdin}");
    String::from_utf8(output.stdout).unwrap()
}

fn attache(args: &[&str], stdin: &str) -> String {
    run(Path::new(env!("CARGO_BIN_EXE_attache")), args, stdin)
}

/// An object as this kubectl reads it, without asking a server. `odd` is no field, and taken out before.
fn read_by(kubectl: &Path, object: &str) -> Value {
    let config_map = object.replace("kind: Pod", "kind: ConfigMap");
    let args = ["label", "--local", "-o", "json", "-f", "-", "read=yes"];
    serde_json::from_str(&run(kubectl, &args, &config_map)).unwrap()
}

#[test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
fn kubectl_reads_the_same_values_in_what_is_injected() {
    // Annotations are texts: numbers and booleans there would be refused by attache, not here.
    let pod = POD.replace("plain: y", "plain: yy");
    let injected = attache(
        &["inject", "--kubernetes=1.33", "--set=configmaps=web"],
        &pod,
    );
    assert!(injected.contains("- name: attache\n"), "{injected}");
    let back = attache(&["uninject"], &injected);
    for kubectl in kubectls() {
        let expected = read_by(&kubectl, &pod);
        assert_eq!(expected["spec"]["odd"][0][8], json!(420), "{expected}");
        assert_eq!(read_by(&kubectl, &back), expected, "{}", kubectl.display());
        let mut read = read_by(&kubectl, &injected);
        for field in [
            "odd",
            "terminationGracePeriodSeconds",
            "automountServiceAccountToken",
        ] {
            assert_eq!(
                read["spec"][field], expected["spec"][field],
                "{field}\n{injected}"
            );
        }
        assert_eq!(
            read["spec"]["containers"][0]["args"],
            json!([true, "no", 10])
        );
        let notes = read["metadata"]["annotations"].as_object_mut().unwrap();
        notes.retain(|name, _| !name.starts_with("attache.dev/"));
        assert_eq!(
            read["metadata"]["annotations"],
            expected["metadata"]["annotations"]
        );
    }
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn the_api_server_takes_injected_objects_and_their_rights() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let kubeconfig = plane.admin_kubeconfig();
    let stream = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers: [{name: app, image: app}]
";
    let asks = [
        "--set=configmaps=[web, {selector: app=web}]",
        "--set=on-change=restart: pod",
    ];
    let injected = attache(&[&["inject"][..], &asks].concat(), stream);
    let flags = ["inject", "--rbac", "--namespace", &namespace];
    let rights = attache(&[&flags[..], &asks].concat(), stream);
    let connection = ["--kubeconfig", text(&kubeconfig), "-n", &namespace];
    let apply = ["apply", "--dry-run=server", "-f", "-"];
    for kubectl in kubectls() {
        let applied = run(&kubectl, &[&connection[..], &apply].concat(), &injected);
        assert!(applied.contains("deployment.apps/web created"), "{applied}");
        let applied = run(&kubectl, &[&connection[..], &apply].concat(), &rights);
        assert_eq!(applied.lines().count(), 3, "{applied}");
    }
}
