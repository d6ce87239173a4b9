//! The flags that several commands take, in groups; the documentation of a field is its help.
//! A switch is given bare or, as Go's flags take it, with `=true` or `=false`.

use std::fmt;
use std::path::PathBuf;

use clap::Args;

/// Which API server, and as whom: kubectl's own flags.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// A kubeconfig; else $KUBECONFIG, the pod's service account, ~/.kube/config
    #[arg(long, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// The cluster of the kubeconfig, instead of the context's
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The user of the kubeconfig, instead of the context's
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The namespace of names that give none; else the pod's own, the context's, "default"
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    /// The API server's address; a pod's own token is never sent to another server
    #[arg(short, long, value_name = "URL")]
    pub server: Option<String>,
    /// A bearer token, instead of the user's; seen by whoever sees the command line
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<Token>,
    /// A PEM file that the API server's certificate is held against
    #[arg(long, value_name = "PATH")]
    pub certificate_authority: Option<PathBuf>,
    /// Take any certificate of the API server: whoever is in between reads all
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub insecure_skip_tls_verify: Option<String>,
    /// The name that the API server's certificate must bear
    #[arg(long, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// The user to impersonate
    #[arg(long = "as", value_name = "USER")]
    pub impersonate_user: Option<String>,
    /// A group to impersonate, with --as (repeatable)
    #[arg(long = "as-group", value_name = "GROUP")]
    pub impersonate_group: Vec<String>,
    /// How long the API server may take to begin its answer, as 5s, 1m or 30 for seconds; watches
    /// are exempt, 0 is without end [default: 0]
    #[arg(long, value_name = "DURATION")]
    pub request_timeout: Option<String>,
    /// The period of TCP keep-alive probes to the API server; 0 sends none [default: 15s]
    #[arg(long, value_name = "DURATION")]
    pub keepalive: Option<String>,
}

/// Where to listen, and for whom.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Serve")]
pub struct Listen {
    /// The port; 0 takes a free one [default: 8001]
    #[arg(short, long, value_name = "PORT")]
    pub port: Option<String>,
    /// The IP address to listen on [default: 127.0.0.1, and ::1 where there is one]
    #[arg(long, value_name = "IP")]
    pub address: Option<String>,
    /// A Unix socket: run listens there too, proxy there alone
    #[arg(short, long, value_name = "PATH")]
    pub unix_socket: Option<PathBuf>,
    /// Hosts to answer to, by regexes joined by commas [default: localhost, 127.0.0.1, ::1]
    #[arg(long, value_name = "REGEXES")]
    pub accept_hosts: Option<String>,
    /// Serve /-/live, /-/ready and /-/metrics here too, for kubelet and Prometheus
    #[arg(long, value_name = "ADDR:PORT")]
    pub admin_address: Option<String>,
    /// The most connections open at once [default: 4096]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<String>,
    /// How long to keep serving, unready, after SIGTERM [default: 0s]
    #[arg(long, value_name = "DURATION")]
    pub shutdown_delay: Option<String>,
}

/// What goes to the API server: `kubectl proxy`'s own flags.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Proxy")]
pub struct Forward {
    /// Paths to pass on, by regexes joined by commas [default: ^.*]
    #[arg(long, value_name = "REGEXES")]
    pub accept_paths: Option<String>,
    /// Paths to refuse, even accepted ones
    /// [default: ^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach]
    #[arg(long, value_name = "REGEXES")]
    pub reject_paths: Option<String>,
    /// Methods to refuse, as POST,PUT,PATCH [default: ^$]
    #[arg(long, value_name = "REGEXES")]
    pub reject_methods: Option<String>,
    /// Pass on every path and method; dangerous where a browser or others reach the port
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub disable_filter: Option<String>,
    /// The path under which the API is served [default: /]
    #[arg(long, value_name = "PATH")]
    pub api_prefix: Option<String>,
    /// A directory of files to serve too
    #[arg(short, long, value_name = "DIR")]
    pub www: Option<PathBuf>,
    /// The path under which the files are served [default: /static/]
    #[arg(short = 'P', long, value_name = "PATH")]
    pub www_prefix: Option<String>,
    /// Put the path of the server's URL before every path, even one that begins with it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub append_server_path: Option<String>,
}

/// How much to log, and how.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Log")]
pub struct Log {
    /// Log more: -v debug, -vv trace, -vvv the libraries too; or kubectl's levels, as -v=6
    // `-vv` is read as `-v` with the value "v".
    #[arg(short, long, alias = "v", value_name = "LEVEL", action = clap::ArgAction::Append, num_args = 0..=1, default_missing_value = "")]
    pub verbose: Vec<String>,
    /// Log less: -q warnings, -qq errors
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub quiet: u8,
    /// text or json; RUST_LOG filters by module and level [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// A bearer token. Printing it shows `MASKED`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

// === impl Token ===

impl Token {
    /// The token itself, for the request that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MASKED")
    }
}
