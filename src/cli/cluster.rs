//! The commands of a cluster's operators and their flags: injection and diagnosis; the documentation
//! of a field is its help.

use clap::Args;

use super::args::Run;
use super::groups::{Connection, Log};

/// The flags of `attache inject`.
#[derive(Debug, Default, Args)]
#[command(
    args_override_self = true,
    after_help = "Every flag can be given as ATTACHE_<FLAG>, as ATTACHE_IMAGE; lists one entry a line."
)]
pub struct Inject {
    /// Which objects.
    #[command(flatten)]
    pub objects: Objects,
    /// An annotation of every pod, its attache.dev/ left out, as configmaps=web-configmap (repeatable)
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Sidecar")]
    pub set: Vec<String>,
    /// How pods are injected.
    #[command(flatten)]
    pub injection: Injection,
    /// The cluster's version, as 1.33, or "cluster" to ask it; unknown, and before 1.29, the sidecar is a
    /// plain container
    #[arg(long, value_name = "VERSION|cluster", help_heading = "Sidecar")]
    pub kubernetes: Option<String>,
    /// Print the ServiceAccount, Role and RoleBinding that the pods then need, instead of the objects
    #[arg(long, conflicts_with = "diff", help_heading = "Output")]
    pub rbac: bool,
    /// Print what changes, instead of the objects
    #[arg(long, help_heading = "Output")]
    pub diff: bool,
    /// Which API server, and as whom; for --kubernetes=cluster.
    #[command(flatten)]
    pub connection: Connection,

    /// The long names of the flags that the environment gave.
    #[arg(skip)]
    pub from_env: Vec<String>,
}

/// The flags of `attache uninject`.
#[derive(Debug, Default, Args)]
pub struct Uninject {
    /// Which objects.
    #[command(flatten)]
    pub objects: Objects,
    /// Print what changes, instead of the objects
    #[arg(long, help_heading = "Output")]
    pub diff: bool,
}

/// Where objects are read, and which of them are meant.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Objects")]
pub struct Objects {
    /// YAML or JSON: a file, a directory of them, or - for standard input, the default (repeatable)
    #[arg(short, long, value_name = "FILE|-|DIR")]
    pub filename: Vec<String>,
    /// Only this object, as deployment/web; the others stay as they are (repeatable)
    #[arg(long, value_name = "KIND/NAME")]
    pub to: Vec<String>,
    /// Where a kind of your own holds its pod template, as Rollout=spec.template (repeatable)
    #[arg(long, value_name = "KIND=PATH")]
    pub template: Vec<String>,
}

/// How pods are injected: `attache inject` and `attache webhook`.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Sidecar")]
pub struct Injection {
    /// The sidecar's image [default: attache of this version]
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Allow pods rules with restart: rollout or restart: pods, which need rights over others
    /// (repeatable)
    #[arg(long, value_name = "rollout|pods")]
    pub allow_restart: Vec<String>,
}

/// The flags of `attache webhook`.
#[derive(Debug, Default, Args)]
#[command(
    args_override_self = true,
    after_help = "Every flag can be given as ATTACHE_<FLAG>, as ATTACHE_IMAGE; lists one entry a line."
)]
pub struct Webhook {
    /// An annotation of pods that have it neither themselves nor from their namespace, its attache.dev/
    /// left out (repeatable)
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Sidecar")]
    pub set: Vec<String>,
    /// How pods are injected.
    #[command(flatten)]
    pub injection: Injection,
    /// What becomes of a pod with a bad annotation: it is denied, or created without a sidecar
    /// [default: deny]
    #[arg(long, value_name = "deny|skip", help_heading = "Sidecar")]
    pub on_bad_annotation: Option<String>,

    /// The port [default: 8443]
    #[arg(short, long, value_name = "PORT", help_heading = "Serve")]
    pub port: Option<String>,
    /// The IP address to listen on [default: all]
    #[arg(long, value_name = "IP", help_heading = "Serve")]
    pub address: Option<String>,
    /// Serve /-/live, /-/ready and /-/metrics here, for kubelet and Prometheus
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Serve")]
    pub admin_address: Option<String>,
    /// How long to keep serving, unready, after SIGTERM [default: 5s]
    #[arg(long, value_name = "DURATION", help_heading = "Serve")]
    pub shutdown_delay: Option<String>,

    /// The MutatingWebhookConfiguration whose caBundle is kept current [default: attache]
    #[arg(long, value_name = "NAME", help_heading = "Certificate")]
    pub configuration: Option<String>,
    /// The Service that the API server calls, for the certificate [default: attache-webhook]
    #[arg(long, value_name = "NAME", help_heading = "Certificate")]
    pub service: Option<String>,
    /// The Secret that holds CA and certificate for all replicas [default: attache-webhook-certificate]
    #[arg(long, value_name = "NAME", help_heading = "Certificate")]
    pub certificate_secret: Option<String>,
    /// How long a certificate is valid; it is renewed when a third of that is left [default: 2160h]
    #[arg(long, value_name = "DURATION", help_heading = "Certificate")]
    pub certificate_validity: Option<String>,
    /// A directory with tls.crt, tls.key and ca.crt, as cert-manager mounts them, instead of a
    /// certificate of its own
    #[arg(long, value_name = "DIR", help_heading = "Certificate")]
    pub certificate_dir: Option<std::path::PathBuf>,

    /// Which API server, and as whom.
    #[command(flatten)]
    pub connection: Connection,
    /// How much to log, and how.
    #[command(flatten)]
    pub log: Log,

    /// The long names of the flags that the environment gave.
    #[arg(skip)]
    pub from_env: Vec<String>,
}

/// The arguments of `attache doctor`.
#[derive(Debug, Default, Args)]
#[command(
    after_help = "Beside a running attache, its flags and environment are looked at; else give those of \
                  attache run here. With KIND/NAME or --pods, pods are looked at from outside."
)]
pub struct Doctor {
    /// The pods of these: pod/NAME, deployment/NAME and so on
    #[arg(value_name = "KIND/NAME")]
    pub targets: Vec<String>,
    /// Look at the webhook and at the pods of the namespace, as from a laptop
    #[arg(long, help_heading = "Doctor")]
    pub pods: bool,
    /// The pods of all namespaces
    #[arg(short = 'A', long, help_heading = "Doctor")]
    pub all_namespaces: bool,
    /// The MutatingWebhookConfiguration [default: attache]
    #[arg(long, value_name = "NAME", help_heading = "Doctor")]
    pub configuration: Option<String>,

    /// The flags of `attache run`.
    #[command(flatten)]
    pub run: Run,
}
