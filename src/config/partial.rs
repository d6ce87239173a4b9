//! Settings as flags or file give them: typed, none of them certain to be there.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use regex_lite::Regex;

use super::model::{
    FilesRule, LogFormat, Mount, NamedObject, ObjectKind, Rule, Selector, Settle, Token,
};

/// Settings with the flag that each is given by.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty = $flag:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $name {
            $(pub(crate) $field: Option<$type>,)*
        }

        impl $name {
            /// These settings where they say something, else `other`'s.
            pub(crate) fn or(self, other: Self) -> Self {
                Self { $($field: self.$field.or(other.$field),)* }
            }

            /// The flags of the settings that say something.
            pub(crate) fn given(&self) -> Vec<&'static str> {
                let all = [$(($flag, self.$field.is_some()),)*];
                all.into_iter().filter_map(|(flag, given)| given.then_some(flag)).collect()
            }
        }
    )*};
}

settings! {
    /// Which API server, and as whom.
    ConnectionSettings {
        kubeconfig: PathBuf = "--kubeconfig",
        context: String = "--context",
        cluster: String = "--cluster",
        user: String = "--user",
        server: http::Uri = "--server",
        token: Token = "--token",
        certificate_authority: PathBuf = "--certificate-authority",
        insecure_skip_tls_verify: bool = "--insecure-skip-tls-verify",
        tls_server_name: String = "--tls-server-name",
        impersonate_user: String = "--as",
        impersonate_groups: Vec<String> = "--as-group",
        keepalive: Duration = "--keepalive",
    }

    /// What goes to the API server, and how.
    ProxySettings {
        accept_paths: Vec<Regex> = "--accept-paths",
        reject_paths: Vec<Regex> = "--reject-paths",
        reject_methods: Vec<Regex> = "--reject-methods",
        disable_filter: bool = "--disable-filter",
        api_prefix: String = "--api-prefix",
        www: PathBuf = "--www",
        www_prefix: String = "--www-prefix",
        append_server_path: bool = "--append-server-path",
        request_timeout: Duration = "--request-timeout",
    }

    /// What is kept over a restart of attache.
    StateSettings {
        dir: PathBuf = "--state-dir",
        secrets: bool = "--state-secrets",
        ready: bool = "--ready-from-state",
    }
}

/// What one origin says; `None` is that it says nothing.
#[derive(Debug, Default)]
pub(crate) struct Partial {
    pub(crate) connection: ConnectionSettings,
    pub(crate) namespace: Option<String>,
    pub(crate) config_maps: Option<Vec<Entry>>,
    pub(crate) secrets: Option<Vec<Entry>>,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) mounts: Option<Vec<Mount>>,
    pub(crate) on_demand: Option<bool>,
    pub(crate) max_bytes: Option<usize>,
    pub(crate) discover: Option<Vec<String>>,
    pub(crate) allow_writes: Option<bool>,
    pub(crate) create_on_read: Option<bool>,
    pub(crate) port: Option<u16>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) unix_socket: Option<PathBuf>,
    pub(crate) allow_non_loopback: Option<bool>,
    pub(crate) accept_hosts: Option<Vec<Regex>>,
    pub(crate) admin_address: Option<SocketAddr>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) shutdown_delay: Option<Duration>,
    /// Whether there is a proxy.
    pub(crate) proxying: Option<bool>,
    pub(crate) proxy: ProxySettings,
    pub(crate) files: Option<Vec<FilesRule>>,
    pub(crate) on_change: Option<Vec<Rule>>,
    pub(crate) settle: Option<Settle>,
    pub(crate) state: StateSettings,
    pub(crate) pod_name: Option<String>,
    pub(crate) verbosity: Option<i8>,
    pub(crate) log_format: Option<LogFormat>,
}

/// An entry of `configMaps` or `secrets`.
#[derive(Debug)]
pub(crate) enum Entry {
    /// One object by its name.
    Named(NamedObject),
    /// Those with these labels.
    Selected(Selector),
}

// === impl Partial ===

impl Partial {
    /// These settings where they say something, else `other`'s.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            connection: self.connection.or(other.connection),
            namespace: self.namespace.or(other.namespace),
            config_maps: self.config_maps.or(other.config_maps),
            secrets: self.secrets.or(other.secrets),
            dir: self.dir.or(other.dir),
            mounts: self.mounts.or(other.mounts),
            on_demand: self.on_demand.or(other.on_demand),
            max_bytes: self.max_bytes.or(other.max_bytes),
            discover: self.discover.or(other.discover),
            allow_writes: self.allow_writes.or(other.allow_writes),
            create_on_read: self.create_on_read.or(other.create_on_read),
            port: self.port.or(other.port),
            address: self.address.or(other.address),
            unix_socket: self.unix_socket.or(other.unix_socket),
            allow_non_loopback: self.allow_non_loopback.or(other.allow_non_loopback),
            accept_hosts: self.accept_hosts.or(other.accept_hosts),
            admin_address: self.admin_address.or(other.admin_address),
            max_connections: self.max_connections.or(other.max_connections),
            shutdown_delay: self.shutdown_delay.or(other.shutdown_delay),
            proxying: self.proxying.or(other.proxying),
            proxy: self.proxy.or(other.proxy),
            files: self.files.or(other.files),
            on_change: self.on_change.or(other.on_change),
            settle: self.settle.or(other.settle),
            state: self.state.or(other.state),
            pod_name: self.pod_name.or(other.pod_name),
            verbosity: self.verbosity.or(other.verbosity),
            log_format: self.log_format.or(other.log_format),
        }
    }

    /// The list of objects of a kind.
    pub(crate) fn entries_mut(&mut self, kind: ObjectKind) -> &mut Option<Vec<Entry>> {
        match kind {
            ObjectKind::ConfigMap => &mut self.config_maps,
            ObjectKind::Secret => &mut self.secrets,
        }
    }
}
