//! Injection: what commands, webhook and annotations ask for.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Config, Connection, Log};

/// What `attache inject` is to do.
#[derive(Debug, Clone)]
pub struct Inject {
    /// Which objects.
    pub objects: Objects,
    /// `--set`: annotations that every injected pod gets, by their names without `attache.dev/`.
    pub annotations: BTreeMap<String, String>,
    /// `--kubernetes`.
    pub kubernetes: Kubernetes,
    /// What the platform says.
    pub platform: Platform,
    /// What is printed.
    pub output: Output,
    /// `--namespace`: that of objects that give none, for `--rbac`.
    pub namespace: Option<String>,
    /// Which API server is asked for its version.
    pub connection: Connection,
}

/// What `attache uninject` is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uninject {
    /// Which objects.
    pub objects: Objects,
    /// What is printed; never [`Output::Rbac`].
    pub output: Output,
}

/// Where objects are read, and which of them are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Objects {
    /// What is read, in order; at least one.
    pub inputs: Vec<Input>,
    /// `--to`: only these; empty is all.
    pub only: Vec<Target>,
    /// `--template`: kinds of the user's own.
    pub templates: Vec<Template>,
}

/// One thing that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A file, or every `.yaml`, `.yml` and `.json` in a directory, in the order of their names.
    Path(PathBuf),
}

/// `KIND/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The kind in lower case, singular: short names and plurals of kubectl's are resolved.
    pub kind: String,
    /// The name.
    pub name: String,
}

/// `KIND=PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The kind, as objects write it.
    pub kind: String,
    /// The keys that lead to the pod template; at least one.
    pub path: Vec<String>,
}

/// The version of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kubernetes {
    /// Nobody said.
    Unknown,
    /// This one: major, minor.
    Version(u16, u16),
    /// The API server is asked.
    Ask,
}

/// What a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// The objects.
    Objects,
    /// What changes.
    Diff,
    /// The rights that pods need.
    Rbac,
}

/// What the platform, rather than an app, says of all pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `--image`.
    pub image: String,
    /// `--allow-restart=rollout`: rules with `restart: rollout` are taken.
    pub allow_rollout: bool,
    /// `--allow-restart=pods`: rules with `restart: {pods: …}` are taken.
    pub allow_pods: bool,
}

/// What `attache webhook` is to do.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// `--set`: the annotations of pods and namespaces that have none, by their names without
    /// `attache.dev/`; known to be valid.
    pub annotations: BTreeMap<String, String>,
    /// What the platform says.
    pub platform: Platform,
    /// `--on-bad-annotation`: whether such a pod is denied, rather than created without a sidecar.
    pub deny: bool,
    /// `--address`: where it listens.
    pub address: IpAddr,
    /// `--port`; 0 takes a free one.
    pub port: u16,
    /// `--admin-address`: live, ready and metrics.
    pub admin_address: Option<SocketAddr>,
    /// How long to keep serving, unready, after SIGTERM.
    pub shutdown_delay: Duration,
    /// `--configuration`: the MutatingWebhookConfiguration whose caBundle is kept current.
    pub configuration: String,
    /// Where the certificate comes from.
    pub certificate: Certificate,
    /// `--namespace`: of Secret and Service; else the pod's own.
    pub namespace: Option<String>,
    /// Which API server, and as whom.
    pub connection: Connection,
    /// How it logs.
    pub log: Log,
}

/// Where a webhook's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// A Secret that the replicas share, and make.
    Own {
        /// `--certificate-secret`.
        secret: String,
        /// `--service`: what the certificate is for.
        service: String,
        /// `--certificate-validity`.
        validity: Duration,
    },
    /// `--certificate-dir`: `tls.crt`, `tls.key` and, for the caBundle, `ca.crt`, which someone else
    /// renews.
    Mounted(PathBuf),
}

/// What `attache doctor` is to look at.
#[derive(Debug, Clone)]
pub struct Doctor {
    /// The attache beside it; `None` where a cluster was asked for.
    pub here: Option<Here>,
    /// A cluster, from outside: what was asked for, or what is looked at where there is no attache here.
    pub cluster: Cluster,
}

/// An attache beside the doctor.
#[derive(Debug, Clone)]
pub struct Here {
    /// What flags, environment and file say.
    pub config: Box<Config>,
    /// The command line itself names something, so that this is meant, rather than what runs here.
    pub explicit: bool,
}

/// A cluster that the doctor looks at from outside.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// These; empty is the pods of the namespaces.
    pub targets: Vec<Target>,
    /// Where.
    pub namespaces: Namespaces,
    /// The MutatingWebhookConfiguration.
    pub configuration: String,
    /// Which API server, and as whom.
    pub connection: Connection,
}

/// Which namespaces are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespaces {
    /// The context's.
    Default,
    /// This one.
    Named(String),
    /// All.
    All,
}

/// What annotations ask of a sidecar, validated.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The sidecar's configuration, as its flags say it: what it watches, serves, writes and does.
    pub config: Config,
    /// The flags of `attache run` that say so. Without those of what the annotations leave open.
    pub flags: Vec<String>,
    /// `attache.dev/config`: the ConfigMap whose key `attache.yaml` is the sidecar's configuration file.
    pub config_file: Option<String>,
    /// `attache.dev/image`.
    pub image: Option<String>,
    /// `attache.dev/resources`: a `ResourceRequirements` (Kubernetes API, core/v1), its quantities
    /// checked.
    pub resources: Option<serde_json::Value>,
    /// `attache.dev/isolate-token`.
    pub isolate_token: bool,
    /// `attache.dev/exec-container`: the container whose command runs under `attache exec`.
    pub exec_container: Option<String>,
    /// `attache.dev/target-container`: the container that signals are for.
    pub target_container: Option<String>,
}
