//! The flags of the commands that run and ask a sidecar, as clap reads them; the documentation of a
//! field is its help.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::groups::{Connection, Forward, Listen, Log};

/// The flags of `attache run` and `attache check`.
#[derive(Debug, Default, Args)]
#[command(
    args_override_self = true,
    after_help = "Every flag can be given as ATTACHE_<FLAG>, as ATTACHE_ON_CHANGE; lists \
                        one entry a line. A list given by flag replaces the file's."
)]
pub struct Run {
    /// A ConfigMap to serve from the start (repeatable)
    #[arg(long, value_name = "[NS/]NAME[,optional]", help_heading = "Source")]
    pub configmap: Vec<String>,
    /// A Secret to serve; none is unless it is named (repeatable)
    #[arg(long, value_name = "[NS/]NAME[,optional]", help_heading = "Source")]
    pub secret: Vec<String>,
    /// ConfigMaps to serve by their labels (repeatable)
    #[arg(long, value_name = "[NS|*/]LABELS", help_heading = "Source")]
    pub configmap_selector: Vec<String>,
    /// Secrets to serve by their labels (repeatable)
    #[arg(long, value_name = "[NS|*/]LABELS", help_heading = "Source")]
    pub secret_selector: Vec<String>,
    /// A directory of manifests (YAML, JSON) to serve instead of an API server
    #[arg(long, value_name = "PATH", help_heading = "Source")]
    pub dir: Option<PathBuf>,
    /// A mounted ConfigMap volume, served as that ConfigMap (repeatable)
    #[arg(long, value_name = "[NS/]NAME=PATH", help_heading = "Source")]
    pub mount: Vec<String>,
    /// Serve only what was named
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Source")]
    pub no_on_demand: Option<String>,
    /// The most content held; an object beyond it is refused [default: 64Mi]
    #[arg(long, value_name = "SIZE", help_heading = "Source")]
    pub max_bytes: Option<String>,

    /// A namespace whose Services and endpoints are watched from the start (repeatable)
    #[arg(long, value_name = "NS", help_heading = "Source")]
    pub discover: Vec<String>,

    /// Which API server, and as whom.
    #[command(flatten)]
    pub connection: Connection,

    /// Where to listen, and for whom.
    #[command(flatten)]
    pub listen: Listen,
    /// Let clients write ConfigMaps, as far as the pod's service account may
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Serve")]
    pub allow_writes: Option<String>,
    /// Create a ConfigMap, empty, that is read and does not exist; needs --allow-writes
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Serve")]
    pub create_on_read: Option<String>,
    /// Consent to an --address that others can reach
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Serve")]
    pub allow_non_loopback: Option<String>,

    /// What goes to the API server.
    #[command(flatten)]
    pub forward: Forward,
    /// Serve attache's own routes alone, and pass nothing on to the API server
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Proxy")]
    pub no_proxy: Option<String>,

    /// What to write, in YAML, as '{configMap: web, dir: /etc/app}' (repeatable)
    #[arg(long, value_name = "RULE", help_heading = "Change")]
    pub files: Vec<String>,
    /// A rule in YAML, as 'signal: nginx' or '{when: {configMap: web}, webhook: "http://…"}'
    /// (repeatable)
    #[arg(long, value_name = "RULE", help_heading = "Change")]
    pub on_change: Vec<String>,
    /// Wait for this long without a change, at most so long in a storm [default: 250ms:1s]
    #[arg(long, value_name = "QUIET[:LONGEST]", help_heading = "Change")]
    pub settle: Option<String>,

    /// The pod that attache runs in, for rules that restart it; else $POD_NAME, the host name
    #[arg(long, value_name = "NAME", help_heading = "Change")]
    pub pod_name: Option<String>,

    /// Keep the last good content and what each rule acted upon here, for the next start
    #[arg(long, value_name = "DIR", help_heading = "State")]
    pub state_dir: Option<PathBuf>,
    /// Keep the content of Secrets too, readable by this user alone
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "State")]
    pub state_secrets: Option<String>,
    /// Be ready with what was kept, while the API server is away
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "State")]
    pub ready_from_state: Option<String>,

    /// A YAML file that says what flags can say
    #[arg(long, value_name = "FILE", help_heading = "Config")]
    pub config: Option<PathBuf>,

    /// How much to log, and how.
    #[command(flatten)]
    pub log: Log,

    /// The long names of the flags that the environment gave.
    #[arg(skip)]
    pub from_env: Vec<String>,
}

/// The flags of `attache exec`.
#[derive(Debug, Default, Args)]
#[command(
    args_override_self = true,
    override_usage = "attache exec [OPTIONS] -- COMMAND [ARGS]...",
    after_help = "Takes the flags of attache run too, those of its main listener with --serve. \
                        Every flag can be given as ATTACHE_<FLAG>, as ATTACHE_ENV_FROM; lists one \
                        entry a line, ConfigMaps before Secrets."
)]
pub struct Exec {
    /// A ConfigMap whose keys become variables; later ones win (repeatable)
    #[arg(
        long,
        value_name = "[NS/]NAME[,optional][,prefix=P]",
        help_heading = "Exec"
    )]
    pub env_from: Vec<String>,
    /// The same of a Secret, in one order with --env-from (repeatable)
    #[arg(
        long,
        value_name = "[NS/]NAME[,optional][,prefix=P]",
        help_heading = "Exec"
    )]
    pub secret_env_from: Vec<String>,
    /// Variables that are set already stay as they are
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Exec")]
    pub environment_wins: Option<String>,
    /// What a change does: restart, none or signal=NAME [default: restart]
    #[arg(long, value_name = "HOW", help_heading = "Exec")]
    pub reload: Option<String>,
    /// The signal that asks the command to end [default: TERM]
    #[arg(long, value_name = "NAME", help_heading = "Exec")]
    pub stop_signal: Option<String>,
    /// How long it may take to end before it is killed [default: 30s]
    #[arg(long, value_name = "DURATION", help_heading = "Exec")]
    pub stop_timeout: Option<String>,
    /// Act a random part of this after a change, so that a fleet does not at once [default: 0s]
    #[arg(long, value_name = "DURATION", help_heading = "Exec")]
    pub splay: Option<String>,
    /// The least time from one start or signal to the next [default: 1s]
    #[arg(long, value_name = "DURATION", help_heading = "Exec")]
    pub min_interval: Option<String>,
    /// How long to wait for the first content; 0 is without end [default: 60s]
    #[arg(long, value_name = "DURATION", help_heading = "Exec")]
    pub wait_timeout: Option<String>,
    /// Then start with what --state-dir kept, rather than fail
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Exec")]
    pub stale_ok: Option<String>,
    /// Start a command again that ends by itself, rather than end with it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Exec")]
    pub keep: Option<String>,
    /// Serve as attache run does, too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Exec")]
    pub serve: Option<String>,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,

    /// The flags of `attache run`.
    #[command(flatten)]
    pub run: Run,

    /// `--env-from` and `--secret-env-from` in the order in which they were given.
    #[arg(skip)]
    pub env_sources: Vec<EnvSource>,
}

/// A value of one of the flags that an environment comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvSource {
    /// `--env-from`.
    ConfigMap(String),
    /// `--secret-env-from`.
    Secret(String),
}

/// The flags of `attache proxy`.
#[derive(Debug, Default, Args)]
#[command(
    args_override_self = true,
    after_help = "Takes the flags of kubectl proxy, with its defaults. Every flag can be given as \
                        ATTACHE_<FLAG>, as ATTACHE_ACCEPT_PATHS."
)]
pub struct Proxy {
    /// Which API server, and as whom.
    #[command(flatten)]
    pub connection: Connection,
    /// Where to listen, and for whom.
    #[command(flatten)]
    pub listen: Listen,
    /// What goes to the API server.
    #[command(flatten)]
    pub forward: Forward,
    /// How much to log, and how.
    #[command(flatten)]
    pub log: Log,

    /// The long names of the flags that the environment gave.
    #[arg(skip)]
    pub from_env: Vec<String>,
}

/// Where the running sidecar is.
#[derive(Debug, Default, Args)]
pub struct Sidecar {
    /// The sidecar's port [default: 8001]
    #[arg(short, long, value_name = "PORT")]
    pub port: Option<String>,
    /// The sidecar's IP address [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    pub address: Option<String>,
    /// The sidecar's Unix socket, instead of address and port
    #[arg(short, long, value_name = "PATH")]
    pub unix_socket: Option<PathBuf>,
}

/// Where a ConfigMap is looked for.
#[derive(Debug, Default, Args)]
pub struct Place {
    /// The namespace; else the sidecar's
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    /// Where the sidecar is.
    #[command(flatten)]
    pub sidecar: Sidecar,
}

/// The arguments of `attache get`.
#[derive(Debug, Default, Args)]
pub struct Get {
    /// The ConfigMap; secret:NAME for a Secret
    #[arg(value_name = "[NS/]CONFIGMAP")]
    pub object: String,
    /// Print this key's value, byte by byte, instead of the JSON of all keys
    #[arg(value_name = "KEY")]
    pub key: Option<String>,
    /// Where to look.
    #[command(flatten)]
    pub place: Place,
    /// Give up after this long [default: 5s]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
}

/// The arguments of `attache watch`.
#[derive(Debug, Default, Args)]
pub struct Watch {
    /// The ConfigMap; secret:NAME for a Secret
    #[arg(value_name = "[NS/]CONFIGMAP")]
    pub object: String,
    /// Follow this key's value, byte by byte, instead of the JSON of all keys
    #[arg(value_name = "KEY")]
    pub key: Option<String>,
    /// Where to look.
    #[command(flatten)]
    pub place: Place,
    /// Run this command, instead of printing, with the value on its standard input; all that follows
    /// is the command's
    #[arg(long, value_name = "COMMAND", num_args = 1.., allow_hyphen_values = true)]
    pub exec: Vec<OsString>,
}

/// The arguments of `attache set`.
#[derive(Debug, Default, Args)]
pub struct Set {
    /// The ConfigMap; it is created if there is none
    #[arg(value_name = "[NS/]CONFIGMAP")]
    pub object: String,
    /// A key and its new value; other keys stay as they are
    #[arg(value_name = "KEY=VALUE")]
    pub values: Vec<String>,
    /// A key and the file that holds its new value; - is standard input (repeatable)
    #[arg(long, value_name = "KEY=PATH")]
    pub from_file: Vec<String>,
    /// Write only if the ConfigMap has this ETag still
    #[arg(long, value_name = "ETAG")]
    pub if_match: Option<String>,
    /// Where to look.
    #[command(flatten)]
    pub place: Place,
    /// Give up after this long [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
}

/// The arguments of `attache unset`.
#[derive(Debug, Default, Args)]
pub struct Unset {
    /// The ConfigMap
    #[arg(value_name = "[NS/]CONFIGMAP")]
    pub object: String,
    /// The keys; one that is not there is no error
    #[arg(value_name = "KEY", required = true)]
    pub keys: Vec<String>,
    /// Where to look.
    #[command(flatten)]
    pub place: Place,
    /// Give up after this long [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
}

/// The flags of `attache healthcheck`.
#[derive(Debug, Default, Args)]
pub struct Healthcheck {
    /// Ask whether it is ready (the default)
    #[arg(long, conflicts_with = "live")]
    pub ready: bool,
    /// Ask whether it is live
    #[arg(long)]
    pub live: bool,
    /// Where the sidecar is.
    #[command(flatten)]
    pub sidecar: Sidecar,
    /// Give up after this long [default: 1s]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
}

/// The argument of `attache install`.
#[derive(Debug, Args)]
pub struct Install {
    /// A directory that exists
    pub dir: PathBuf,
}

/// The argument of `attache completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}
