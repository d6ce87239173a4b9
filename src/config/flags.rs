//! Flags of `attache run` to settings.

use clap::ValueEnum as _;

use super::errors::Faults;
use super::model::{LogFormat, ObjectKind};
use super::partial::{Entry, Partial};
use super::{names, rules, units, yaml};
use crate::cli::Run;

/// Reads every flag; what is wrong with one is a fault that names it.
pub(crate) fn settings(run: &Run, faults: &mut Faults) -> Partial {
    let mut reader = Reader { run, faults };
    let mut partial = Partial {
        kubeconfig: run.kubeconfig.clone(),
        context: reader.one("context", run.context.as_deref(), units::filled),
        namespace: reader.one("namespace", run.namespace.as_deref(), names::namespace),
        dir: run.dir.clone(),
        mounts: reader.list("mount", &run.mount, names::mount),
        on_demand: run.no_on_demand.then_some(false),
        max_bytes: reader.one("max-bytes", run.max_bytes.as_deref(), units::size),
        port: reader.one("port", run.port.as_deref(), port),
        address: reader.one("address", run.address.as_deref(), units::address),
        unix_socket: run.unix_socket.clone(),
        allow_non_loopback: run.allow_non_loopback.then_some(true),
        accept_hosts: reader.one("accept-hosts", run.accept_hosts.as_deref(), accept_hosts),
        admin_address: reader.one("admin-address", run.admin_address.as_deref(), admin_address),
        max_connections: reader.one(
            "max-connections",
            run.max_connections.as_deref(),
            connections,
        ),
        shutdown_delay: reader.one(
            "shutdown-delay",
            run.shutdown_delay.as_deref(),
            units::duration,
        ),
        settle: reader.one("settle", run.settle.as_deref(), units::settle),
        log_format: reader.one("log-format", run.log_format.as_deref(), log_format),
        verbosity: verbosity(run.verbose, run.quiet),
        ..Partial::default()
    };
    for (kind, named, selected, flags) in [
        (
            ObjectKind::ConfigMap,
            &run.configmap,
            &run.configmap_selector,
            ["configmap", "configmap-selector"],
        ),
        (
            ObjectKind::Secret,
            &run.secret,
            &run.secret_selector,
            ["secret", "secret-selector"],
        ),
    ] {
        let named = reader.list(flags[0], named, |text| {
            names::named(kind, text).map(Entry::Named)
        });
        let selected = reader.list(flags[1], selected, |text| {
            names::selector(kind, text).map(Entry::Selected)
        });
        // Both flags stand for one list of the file.
        *partial.entries_mut(kind) = match (named, selected) {
            (None, None) => None,
            (named, selected) => Some(named.into_iter().chain(selected).flatten().collect()),
        };
    }
    partial.on_change = reader.rules();
    partial
}

/// Reads a port; 0 is a free one.
pub(crate) fn port(text: &str) -> Result<u16, String> {
    units::number(text, 0, u16::MAX)
}

/// Reads a limit of connections.
pub(crate) fn connections(text: &str) -> Result<usize, String> {
    units::number(text, 1, 1_000_000)
}

/// Reads `IP:PORT`.
pub(crate) fn admin_address(text: &str) -> Result<std::net::SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is not an IP address and port: write it like 0.0.0.0:8002 or [::]:8002")
    })
}

/// Reads regexes joined by commas, as `kubectl proxy` does.
pub(crate) fn accept_hosts(text: &str) -> Result<Vec<regex_lite::Regex>, String> {
    text.split(',').map(units::regex).collect()
}

/// Reads the form of log lines.
pub(crate) fn log_format(text: &str) -> Result<LogFormat, String> {
    LogFormat::from_str(text, false).map_err(|_| format!("{text:?} is neither text nor json"))
}

fn verbosity(verbose: u8, quiet: u8) -> Option<i8> {
    let (up, down) = (i8::try_from(verbose), i8::try_from(quiet));
    let sum = up
        .unwrap_or(i8::MAX)
        .saturating_sub(down.unwrap_or(i8::MAX));
    (verbose > 0 || quiet > 0).then_some(sum)
}

struct Reader<'a> {
    run: &'a Run,
    faults: &'a mut Faults,
}

// === impl Reader ===

impl Reader<'_> {
    /// A flag by the name under which it was given.
    fn at(&self, flag: &str) -> String {
        flag_name(flag, &self.run.from_env)
    }

    fn one<T>(
        &mut self,
        flag: &str,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let at = self.at(flag);
        self.faults.take(at, parse(text?))
    }

    /// Every entry of a repeatable flag; `None` if it was not given.
    fn list<T>(
        &mut self,
        flag: &str,
        texts: &[String],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let at = self.at(flag);
        let read = texts
            .iter()
            .filter_map(|text| self.faults.take(&at, parse(text)));
        let read: Vec<T> = read.collect();
        (!texts.is_empty()).then_some(read)
    }

    fn rules(&mut self) -> Option<Vec<super::model::Rule>> {
        let at = self.at("on-change");
        let mut read = Vec::new();
        for (index, text) in self.run.on_change.iter().enumerate() {
            match yaml::parse_flag(text, &at, &format!("onChange[{index}]")) {
                Ok(node) => read.extend(rules::rule(&node, index, self.faults)),
                Err(fault) => self.faults.add_line(&fault),
            }
        }
        (!self.run.on_change.is_empty()).then_some(read)
    }
}

/// `--settle`, or `ATTACHE_SETTLE` if the environment gave it.
pub(crate) fn flag_name(flag: &str, from_env: &[String]) -> String {
    if from_env.iter().any(|name| name == flag) {
        return format!("ATTACHE_{}", flag.to_ascii_uppercase().replace('-', "_"));
    }
    format!("--{flag}")
}
