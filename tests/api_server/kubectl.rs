//! `kubectl --server=http://127.0.0.1:PORT`: what people type, through a proxy.

use std::path::PathBuf;
use std::process::Command;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::assets::server_minor;
use crate::support::control_plane::ControlPlane;
use crate::support::kubelet::LOG_LINES;
use crate::support::program::{Finished, Following, run};
use crate::support::proxy::{Proxy, kubectls};
use crate::through::{ALL_PATHS, Through, with_a_pod};
use crate::{LIMIT, text};

through_either!(
    the_verbs_of_every_day,
    what_the_credentials_may_not_is_refused_by_the_api_server,
    logs_and_their_end_followed,
    exec_passes_streams_and_the_exit_code,
    attach_is_a_conversation,
    a_mebibyte_through_a_forwarded_port_and_back,
    a_file_is_copied_both_ways,
    exec_and_attach_are_refused_unless_a_flag_allows_them,
    web_sockets_with_channels,
    a_watch_over_a_web_socket,
);

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn attache_run_is_as_good_a_proxy() {
    the_verbs_of_every_day(Through::AttacheRun).await;
    exec_passes_streams_and_the_exit_code(Through::AttacheRun).await;
}

/// A kubectl that knows nothing but the proxy's address.
struct Kubectl {
    program: PathBuf,
    server: String,
    namespace: String,
    home: TempDir,
}

impl Kubectl {
    /// Each one there is.
    fn all(proxy: &Proxy, namespace: &str) -> Vec<Self> {
        let kubectls = kubectls().into_iter().map(|program| Self {
            program,
            server: format!("http://{}", proxy.address()),
            namespace: namespace.to_owned(),
            home: tempfile::tempdir().unwrap(),
        });
        kubectls.collect()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--server", &self.server, "--namespace", &self.namespace])
            .args(args)
            .env("KUBECONFIG", "/dev/null")
            .env("HOME", self.home.path());
        command
    }

    async fn run(&self, args: &[&str]) -> Finished {
        self.run_with(args, b"").await
    }

    async fn run_with(&self, args: &[&str], stdin: &[u8]) -> Finished {
        run(&self.command(args), stdin).await
    }

    async fn ok(&self, args: &[&str]) -> String {
        self.run(args).await.ok()
    }

    fn follow(&self, args: &[&str]) -> Following {
        Following::start(self.command(args))
    }
}

/// A mebibyte that does not repeat itself soon.
fn mebibyte() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| random.u8(..))
        .take(1 << 20)
        .collect()
}

async fn the_verbs_of_every_day(through: Through) {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let proxy = through.start(&plane.admin_kubeconfig(), &[]).await;
    for kubectl in Kubectl::all(&proxy, &namespace) {
        let manifest = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"},
            "data": {"GREETING": "hello"},
        })
        .to_string();
        let apply = ["apply", "-f", "-"];
        let applied = kubectl.run_with(&apply, manifest.as_bytes()).await;
        assert_eq!(applied.ok(), "configmap/web created");
        let get = [
            "get",
            "configmap/web",
            "-o=jsonpath={.data.GREETING}{'\\n'}",
        ];
        assert_eq!(kubectl.ok(&get).await, "hello");

        let mut watch = kubectl.follow(&[&get[..], &["--watch"]].concat());
        assert_eq!(watch.line().await, "hello");
        let patch = ["patch", "configmap", "web", "--type=merge", "-p"];
        let change = r#"{"data":{"GREETING":"bye"}}"#;
        let patched = kubectl.ok(&[&patch[..], &[change]].concat()).await;
        assert_eq!(patched, "configmap/web patched");
        assert_eq!(watch.line().await, "bye");

        // Later kubectls add which namespace it was deleted from.
        let deleted = kubectl.ok(&["delete", "configmap", "web"]).await;
        assert!(
            deleted.starts_with("configmap \"web\" deleted"),
            "{deleted}"
        );
        let gone = kubectl.run(&get).await;
        assert_eq!(gone.code, Some(1), "{gone}");
        assert!(gone.stderr.contains("(NotFound)"), "{gone}");

        let version = kubectl.ok(&["get", "--raw", "/version"]).await;
        let version: Value = serde_json::from_str(&version).unwrap();
        assert!(version["gitVersion"].is_string(), "{version}");
        let resources = kubectl.ok(&["api-resources", "--no-headers"]).await;
        assert!(resources.contains("deployments"), "{resources}");
        let may = kubectl.ok(&["auth", "can-i", "delete", "pods"]).await;
        assert_eq!(may, "yes");
    }
}

async fn what_the_credentials_may_not_is_refused_by_the_api_server(through: Through) {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let user = format!("reader-{namespace}");
    let kubeconfig = plane.kubeconfig(&user);
    plane
        .allow(&user, &namespace, "configmaps", &["get"], &[])
        .await;
    let proxy = through.start(&kubeconfig, &[]).await;
    for kubectl in Kubectl::all(&proxy, &namespace) {
        let may = ["auth", "can-i", "get", "configmaps"];
        assert_eq!(kubectl.ok(&may).await, "yes");
        let may_not = kubectl.run(&["auth", "can-i", "delete", "pods"]).await;
        assert_eq!((may_not.code, may_not.text().as_str()), (Some(1), "no"));
        let refused = kubectl.run(&["get", "pods"]).await;
        assert_eq!(refused.code, Some(1), "{refused}");
        let words = format!("User \"{user}\" cannot list resource \"pods\"");
        assert!(refused.stderr.contains(&words), "{refused}");
    }
}

async fn logs_and_their_end_followed(through: Through) {
    let (proxy, _kubelet, namespace) = with_a_pod(through, &[]).await;
    for kubectl in Kubectl::all(&proxy, &namespace) {
        let logs = kubectl.ok(&["logs", "app"]).await;
        let lines: Vec<&str> = logs.lines().collect();
        assert_eq!(lines.len(), LOG_LINES);
        assert_eq!(lines[0], "line 1");
        let mut followed = kubectl.follow(&["logs", "--follow", "--tail=2", "app"]);
        for line in LOG_LINES - 1..LOG_LINES + 10 {
            assert_eq!(followed.line().await, format!("line {line}"));
        }
    }
}

async fn exec_passes_streams_and_the_exit_code(through: Through) {
    let (proxy, _kubelet, namespace) = with_a_pod(through, &[ALL_PATHS]).await;
    for kubectl in Kubectl::all(&proxy, &namespace) {
        let argv = ["exec", "app", "--", "printf", "%s,", "a b", "$HOME", "ü"];
        assert_eq!(kubectl.ok(&argv).await, "a b,$HOME,ü,");

        let script = "cat; echo wrong >&2; exit 7";
        let exec = ["exec", "--stdin", "app", "--", "sh", "-c", script];
        let failed = kubectl.run_with(&exec, b"hello\n").await;
        assert_eq!(failed.code, Some(7), "{failed}");
        assert_eq!(failed.stdout, b"hello\n");
        assert!(failed.stderr.starts_with("wrong\n"), "{failed}");

        let body = mebibyte();
        let exec = ["exec", "--stdin", "app", "--", "cat"];
        let copied = kubectl.run_with(&exec, &body).await;
        assert_eq!(copied.code, Some(0), "{}", copied.stderr);
        assert!(copied.stdout == body, "{} bytes", copied.stdout.len());
    }
}

async fn attach_is_a_conversation(through: Through) {
    let (proxy, _kubelet, namespace) = with_a_pod(through, &[ALL_PATHS]).await;
    for kubectl in Kubectl::all(&proxy, &namespace) {
        let mut attached = kubectl.follow(&["attach", "--stdin", "app"]);
        for word in ["hello", "and", "bye"] {
            attached.say(word);
            assert_eq!(attached.line().await, format!("you said {word}"));
        }
        assert_eq!(attached.end().await, Some(0));
    }
}

/// A server that sends back what it gets, until the client's end.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let (mut from, mut to) = connection.split();
            let _ = tokio::io::copy(&mut from, &mut to).await;
        }
    });
    port
}

async fn a_mebibyte_through_a_forwarded_port_and_back(through: Through) {
    let (proxy, _kubelet, namespace) = with_a_pod(through, &[]).await;
    let ports = format!(":{}", echo().await);
    let body = mebibyte();
    for kubectl in Kubectl::all(&proxy, &namespace) {
        let mut forwarding = kubectl.follow(&["port-forward", "app", &ports]);
        let line = forwarding.line().await;
        let local = line
            .strip_prefix("Forwarding from 127.0.0.1:")
            .and_then(|rest| rest.split(' ').next()?.parse::<u16>().ok())
            .unwrap_or_else(|| panic!("{line}"));
        // The second connection shows that the first left the tunnel in order.
        for _ in 0..2 {
            let mut connection = TcpStream::connect(("127.0.0.1", local)).await.unwrap();
            let (mut from, mut to) = connection.split();
            let mut echoed = Vec::new();
            let write = async {
                to.write_all(&body).await.unwrap();
                to.shutdown().await.unwrap();
            };
            let trip = async { tokio::join!(write, from.read_to_end(&mut echoed)).1 };
            let trip = tokio::time::timeout(LIMIT, trip).await;
            trip.expect("the echo ends").unwrap();
            assert!(echoed == body, "{} bytes", echoed.len());
        }
    }
}

async fn a_file_is_copied_both_ways(through: Through) {
    let (proxy, kubelet, namespace) = with_a_pod(through, &[ALL_PATHS]).await;
    let body = mebibyte();
    for kubectl in Kubectl::all(&proxy, &namespace) {
        let [there, back] = ["there", "back"].map(|name| kubectl.home.path().join(name));
        std::fs::write(&there, &body).unwrap();
        kubectl.ok(&["cp", text(&there), "app:remote"]).await;
        let remote = kubelet.dir().join("remote");
        assert!(std::fs::read(&remote).unwrap() == body);
        kubectl.ok(&["cp", "app:remote", text(&back)]).await;
        assert!(std::fs::read(&back).unwrap() == body);
        std::fs::remove_file(remote).unwrap();
    }
}

async fn exec_and_attach_are_refused_unless_a_flag_allows_them(through: Through) {
    let (proxy, kubelet, namespace) = with_a_pod(through, &[]).await;
    for kubectl in Kubectl::all(&proxy, &namespace) {
        for args in [
            &["exec", "app", "--", "touch", "done"][..],
            &["attach", "app"],
        ] {
            let refused = kubectl.run(args).await;
            assert_eq!(refused.code, Some(1), "{refused}");
            assert!(refused.stderr.contains("Forbidden"), "{refused}");
        }
        assert!(!kubelet.dir().join("done").exists());
    }
}

/// Opens a WebSocket with this subprotocol.
async fn web_socket(
    proxy: &Proxy,
    path: &str,
    protocol: Option<&str>,
) -> Result<tokio_tungstenite::WebSocketStream<TcpStream>, tokio_tungstenite::tungstenite::Error> {
    let url = format!("ws://{}{path}", proxy.address());
    let mut request = url.into_client_request().unwrap();
    // The API server answers a WebSocket that watches as it would a browser's.
    let origin = proxy.url("").parse().unwrap();
    request.headers_mut().insert("origin", origin);
    if let Some(protocol) = protocol {
        let value = protocol.parse().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", value);
    }
    let connection = TcpStream::connect(proxy.address()).await.unwrap();
    let opened = tokio_tungstenite::client_async(request, connection).await;
    opened.map(|(socket, _)| socket)
}

async fn web_sockets_with_channels(through: Through) {
    let (proxy, _kubelet, namespace) = with_a_pod(through, &[ALL_PATHS]).await;
    let script = "read%20word%3Becho%20said%20$word%3Becho%20wrong%20%3E%262%3Bexit%207";
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods/app/exec\
         ?stdin=true&stdout=true&stderr=true&command=sh&command=-c&command={script}"
    );
    let newest = "v5.channel.k8s.io";
    let mut protocols = vec!["v4.channel.k8s.io", "channel.k8s.io"];
    if server_minor() >= 30 {
        protocols.push(newest);
    } else {
        // The server's refusal comes through, so that kubectl falls back.
        let refused = web_socket(&proxy, &path, Some(newest)).await;
        let Err(tokio_tungstenite::tungstenite::Error::Http(answer)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(answer.status(), 403, "{answer:?}");
    }
    for protocol in protocols {
        let mut socket = web_socket(&proxy, &path, Some(protocol)).await.unwrap();
        // The first byte is the channel: 0 is stdin.
        let input = Message::binary(b"\0hello\n".to_vec());
        socket.send(input).await.unwrap();
        let mut channels: [Vec<u8>; 4] = Default::default();
        let read = async {
            while let Some(Ok(message)) = socket.next().await {
                if let Some((channel, data)) = message.into_data().split_first() {
                    channels[usize::from(*channel)].extend_from_slice(data);
                }
            }
        };
        let read = tokio::time::timeout(LIMIT, read).await;
        read.expect("the socket is closed");
        let [_, stdout, stderr, status] = channels.map(|data| String::from_utf8(data).unwrap());
        assert_eq!(
            (stdout.as_str(), stderr.as_str()),
            ("said hello\n", "wrong\n")
        );
        if protocol == "channel.k8s.io" {
            assert!(status.contains("exit code"), "{status}");
        } else {
            let status: Value = serde_json::from_str(&status).unwrap();
            assert_eq!(status["details"]["causes"][0]["message"], json!("7"));
        }
    }
}

async fn a_watch_over_a_web_socket(through: Through) {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let proxy = through.start(&plane.admin_kubeconfig(), &[]).await;
    let path = format!("/api/v1/namespaces/{namespace}/configmaps?watch=true");
    let mut socket = web_socket(&proxy, &path, None).await.unwrap();
    let maps = plane.config_maps(&namespace).await;
    for name in ["first", "second"] {
        maps.create(name, &[]).await;
        let event = tokio::time::timeout(LIMIT, socket.next()).await;
        let event = event.expect("an event").unwrap().unwrap();
        let event: Value = serde_json::from_slice(&event.into_data()).unwrap();
        assert_eq!(event["type"], json!("ADDED"));
        assert_eq!(event["object"]["metadata"]["name"], json!(name));
    }
}
