//! The commands, as clap reads them; the documentation of a variant is its help.

use clap::{Parser, Subcommand};

use super::args::{Completions, Exec, Get, Healthcheck, Install, Proxy, Run, Set, Unset, Watch};
use super::cluster::{Doctor, Inject, Uninject, Webhook};

/// The configuration sidecar for Kubernetes: ConfigMap keys, live on localhost, and the app told
/// when they change.
#[derive(Debug, Parser)]
#[command(name = "attache", version, max_term_width = 100)]
#[command(
    after_help = "Every flag can be given as ATTACHE_<FLAG>, as ATTACHE_ON_CHANGE; lists \
                        one entry a line. Flags win over the environment, the environment over \
                        --config."
)]
pub(super) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The commands, their values still as they were written.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve ConfigMaps on localhost and tell the app when they change
    Run(Box<Run>),
    /// Run a command with an environment from ConfigMaps and Secrets, and restart it when they change
    Exec(Box<Exec>),
    /// Serve the Kubernetes API on localhost, with the credentials of the pod or a kubeconfig, as
    /// kubectl proxy does
    Proxy(Box<Proxy>),
    /// Check a configuration and print its rules, every default filled in
    Check(Box<Run>),
    /// Print a ConfigMap, or one key's raw value, from the running sidecar
    Get(Get),
    /// Print a ConfigMap, or one key's raw value, now and after each change; or run a command with it
    Watch(Watch),
    /// Set keys of a ConfigMap through the running sidecar, which needs --allow-writes
    Set(Box<Set>),
    /// Remove keys of a ConfigMap through the running sidecar, which needs --allow-writes
    Unset(Unset),
    /// Ask the running sidecar whether it is ready (or live): exit code 0 or 1
    Healthcheck(Healthcheck),
    /// Add a sidecar to pods and workloads in YAML or JSON, and print them
    Inject(Box<Inject>),
    /// Take out of YAML or JSON what attache inject added
    Uninject(Uninject),
    /// Add a sidecar to pods as they are created: an admission webhook
    Webhook(Box<Webhook>),
    /// Say what keeps attache from working, in this pod or in a cluster, and how to mend it
    Doctor(Box<Doctor>),
    /// Copy this binary to DIR/attache, for images without a shell
    Install(Install),
    /// Print a completion script for a shell
    Completions(Completions),
}
