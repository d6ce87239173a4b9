//! The validated configuration: what every other module sees of flags and file.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

mod exec;
mod files;
mod injection;
mod rule;

pub use crate::cli::Token;
pub use exec::*;
pub use files::*;
pub use injection::*;
pub use rule::*;

/// What `attache run`, `attache exec` or `attache proxy` is to do.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which API server, and as whom.
    pub connection: Connection,
    /// Where objects come from.
    pub source: Source,
    /// Where attache listens, and for whom.
    pub serve: Serve,
    /// How what is not attache's own goes to the API server; `None` with `--no-proxy`.
    pub proxy: Option<Proxy>,
    /// What is written to directories and files, in order.
    pub files: Vec<FilesRule>,
    /// The rules, in order.
    pub on_change: Vec<Rule>,
    /// The settle times of rules that give none.
    pub settle: Settle,
    /// What is kept over a restart of attache; `None` without `--state-dir`.
    pub state: Option<State>,
    /// The command that attache runs with an environment from keys; `None` but for `attache exec`.
    pub exec: Option<Exec>,
    /// `--pod-name`: the pod that attache runs in, for rules that restart it or its workload; else
    /// `$POD_NAME`, else the host name.
    pub pod_name: Option<String>,
    /// How attache logs.
    pub log: Log,
}

/// Which API server, and as whom: kubectl's global flags that choose the connection.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// `--kubeconfig`: wins over all other credentials.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`: a context of the kubeconfig.
    pub context: Option<String>,
    /// `--cluster`: a cluster of the kubeconfig, instead of the context's.
    pub cluster: Option<String>,
    /// `--user`: a user of the kubeconfig, instead of the context's.
    pub user: Option<String>,
    /// `--server`: the API server's URL. Without a scheme it is an authority alone: https where the
    /// credentials have a certificate of either side, else http, as in client-go.
    pub server: Option<http::Uri>,
    /// `--token`: a bearer token, instead of the user's.
    pub token: Option<Token>,
    /// `--certificate-authority`: a PEM file that the API server's certificate is held against.
    pub certificate_authority: Option<PathBuf>,
    /// `--insecure-skip-tls-verify`: take any certificate.
    pub insecure_skip_tls_verify: bool,
    /// `--tls-server-name`: the name that the certificate must bear, and that SNI sends.
    pub tls_server_name: Option<String>,
    /// `--as`: the user to impersonate.
    pub impersonate_user: Option<String>,
    /// `--as-group`: the groups to impersonate.
    pub impersonate_groups: Vec<String>,
    /// `--keepalive`: the period of TCP keep-alive probes to the API server; zero sends none.
    /// `None` is attache's own.
    pub keepalive: Option<Duration>,
}

/// What goes to the API server, and how: `kubectl proxy`'s flags.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// `None` with `--disable-filter`.
    pub filter: Option<Filter>,
    /// `--api-prefix`: the path under which the API is served; begins and ends with a slash.
    pub api_prefix: String,
    /// `--append-server-path`: the path of the server's URL goes before every path, even one
    /// that begins with it.
    pub append_server_path: bool,
    /// `--request-timeout`: how long the API server may take to begin its answer; watches,
    /// followed logs and upgrades are exempt. `None` is without end.
    pub request_timeout: Option<Duration>,
    /// `--www`: files served beside the API.
    pub www: Option<Www>,
}

/// Which requests go to the API server: the regexes of `--accept-paths`, `--reject-paths` and
/// `--reject-methods`. They are not anchored. No rejecting ones reject nothing; no accepting ones
/// accept nothing.
#[derive(Debug, Clone)]
pub struct Filter {
    /// One of these must match the path.
    pub accept_paths: Vec<regex_lite::Regex>,
    /// None of these may match the path. In them, `.` matches a line break too, so that an encoded
    /// one is no way around.
    pub reject_paths: Vec<regex_lite::Regex>,
    /// None of these may match the method.
    pub reject_methods: Vec<regex_lite::Regex>,
}

/// Static files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Www {
    /// `--www`: the directory.
    pub root: PathBuf,
    /// `--www-prefix`: the path they are served under; begins and ends with a slash.
    pub prefix: String,
}

/// Where objects come from.
#[derive(Debug, Clone)]
pub struct Source {
    /// `--namespace`; else the pod's own, the context's, `default`.
    pub namespace: Option<String>,
    /// The objects named, those that a rule names included.
    pub objects: Vec<NamedObject>,
    /// The label selectors.
    pub selectors: Vec<Selector>,
    /// `--dir`: manifests instead of an API server.
    pub dir: Option<PathBuf>,
    /// Mounted ConfigMap volumes.
    pub mounts: Vec<Mount>,
    /// Whether an object nobody named is fetched on first read.
    pub on_demand: bool,
    /// The most bytes of keys and values held.
    pub max_bytes: usize,
    /// `--discover`: the namespaces whose Services and EndpointSlices are watched from the start.
    pub discover: Vec<String>,
}

/// ConfigMap or Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

/// `[NS/]NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The namespace; `None` is the default namespace, known only at start.
    pub namespace: Option<String>,
    /// The name, a valid DNS subdomain.
    pub name: String,
}

/// `[NS/]NAME[,optional]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedObject {
    /// ConfigMap or Secret.
    pub kind: ObjectKind,
    /// Which one.
    pub object: ObjectName,
    /// Readiness does not wait for it to exist. True for an object that only a rule names.
    pub optional: bool,
}

/// `[NS|*/]LABELS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// ConfigMaps or Secrets.
    pub kind: ObjectKind,
    /// Where.
    pub namespace: SelectorNamespace,
    /// The label selector in the API's syntax.
    pub labels: String,
}

/// Where a selector looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectorNamespace {
    /// The default namespace.
    Default,
    /// That one.
    Named(String),
    /// All of them (`*`).
    All,
}

/// `[NS/]NAME=PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The ConfigMap it is served as.
    pub object: ObjectName,
    /// Where the volume is mounted.
    pub path: PathBuf,
}

/// Where attache listens, and for whom.
#[derive(Debug, Clone)]
pub struct Serve {
    /// Whether there is a main listener at all: not with `attache exec` without `--serve`.
    pub main: bool,
    /// Whether attache's own routes are served: by `attache run`, not by `attache proxy`.
    pub own_routes: bool,
    /// Listen on the Unix socket alone, as `kubectl proxy --unix-socket` does.
    pub unix_only: bool,
    /// `--address`: a loopback address unless `allow_non_loopback`. The default 127.0.0.1 also
    /// listens on `[::1]` where the machine has it.
    pub address: IpAddr,
    /// `--port`; 0 takes a free one.
    pub port: u16,
    /// `--unix-socket`, beside the TCP listeners.
    pub unix_socket: Option<PathBuf>,
    /// Consent to listen on an address that others can reach.
    pub allow_non_loopback: bool,
    /// Regexes of which one must match the Host header, its port left out.
    pub accept_hosts: Vec<regex_lite::Regex>,
    /// Whether clients may write ConfigMaps.
    pub writes: Writes,
    /// `--admin-address`: live, ready and metrics, without a Host filter.
    pub admin_address: Option<SocketAddr>,
    /// The most connections open at once.
    pub max_connections: usize,
    /// How long to keep serving, unready, after SIGTERM.
    pub shutdown_delay: Duration,
}

/// What clients may write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Writes {
    /// `--allow-writes`: the keys of ConfigMaps.
    pub allowed: bool,
    /// `--create-on-read`: a ConfigMap that is read and does not exist is created, empty.
    pub create_on_read: bool,
}

/// When a burst of changes is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settle {
    /// This long without another change.
    pub quiet: Duration,
    /// Or this long after the first.
    pub longest: Duration,
}

/// What is kept over a restart of attache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// `--state-dir`: where; a volume that outlives the container, such as an emptyDir.
    pub dir: PathBuf,
    /// `--state-secrets`: keep the content of Secrets, too.
    pub secrets: bool,
    /// `--ready-from-state`: restored content counts for readiness.
    pub ready: bool,
}

/// How attache logs.
#[derive(Debug, Clone)]
pub struct Log {
    /// `-v` counts up, `-q` down; 0 is `info`.
    pub verbosity: i8,
    /// Text or JSON.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}
