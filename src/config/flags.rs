//! Flags of `attache run` and `attache proxy` to settings; those of `attache exec` join in `exec`.

use clap::ValueEnum as _;

use super::errors::Faults;
use super::model::{LogFormat, ObjectKind};
use super::partial::{Entry, Partial, StateSettings};
use super::{names, rules, units, yaml};
use crate::cli;

/// Reads every flag of `attache run`; what is wrong with one is a fault that names it.
pub(crate) fn run(run: &cli::Run, faults: &mut Faults) -> Partial {
    let mut reader = Reader::new(&run.from_env, faults);
    let mut partial = Partial {
        dir: run.dir.clone(),
        mounts: reader.list("mount", &run.mount, names::mount),
        on_demand: reader
            .switch("no-on-demand", run.no_on_demand.as_deref())
            .map(|off| !off),
        max_bytes: reader.one("max-bytes", run.max_bytes.as_deref(), units::size),
        discover: reader.list("discover", &run.discover, names::namespace),
        allow_writes: reader.switch("allow-writes", run.allow_writes.as_deref()),
        create_on_read: reader.switch("create-on-read", run.create_on_read.as_deref()),
        allow_non_loopback: reader.switch("allow-non-loopback", run.allow_non_loopback.as_deref()),
        proxying: reader
            .switch("no-proxy", run.no_proxy.as_deref())
            .map(|off| !off),
        settle: reader.one("settle", run.settle.as_deref(), units::settle),
        state: StateSettings {
            dir: run.state_dir.clone(),
            secrets: reader.switch("state-secrets", run.state_secrets.as_deref()),
            ready: reader.switch("ready-from-state", run.ready_from_state.as_deref()),
        },
        pod_name: reader.one("pod-name", run.pod_name.as_deref(), names::name),
        ..shared(
            &run.connection,
            &run.listen,
            &run.forward,
            &run.log,
            &mut reader,
        )
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
    partial.files = reader.rules("files", "files", &run.files, super::files::rule);
    partial.on_change = reader.rules("on-change", "onChange", &run.on_change, rules::rule);
    partial
}

/// Reads every flag of `attache proxy`.
pub(crate) fn proxy(args: &cli::Proxy, faults: &mut Faults) -> Partial {
    let mut reader = Reader::new(&args.from_env, faults);
    shared(
        &args.connection,
        &args.listen,
        &args.forward,
        &args.log,
        &mut reader,
    )
}

/// Reads the flags that both take.
fn shared(
    connection: &cli::Connection,
    listen: &cli::Listen,
    forward: &cli::Forward,
    log: &cli::Log,
    reader: &mut Reader,
) -> Partial {
    Partial {
        connection: super::connection::flags(connection, reader),
        namespace: reader.one(
            "namespace",
            connection.namespace.as_deref(),
            names::namespace,
        ),
        port: reader.one("port", listen.port.as_deref(), port),
        address: reader.one("address", listen.address.as_deref(), units::address),
        unix_socket: listen.unix_socket.clone(),
        accept_hosts: reader.one(
            "accept-hosts",
            listen.accept_hosts.as_deref(),
            super::proxy::accepting,
        ),
        admin_address: reader.one(
            "admin-address",
            listen.admin_address.as_deref(),
            admin_address,
        ),
        max_connections: reader.one(
            "max-connections",
            listen.max_connections.as_deref(),
            connections,
        ),
        shutdown_delay: reader.one(
            "shutdown-delay",
            listen.shutdown_delay.as_deref(),
            units::duration,
        ),
        proxy: super::proxy::flags(forward, connection, reader),
        log_format: reader.one("log-format", log.log_format.as_deref(), log_format),
        verbosity: verbosity(log, reader),
        ..Partial::default()
    }
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

/// Reads the form of log lines.
pub(crate) fn log_format(text: &str) -> Result<LogFormat, String> {
    LogFormat::from_str(text, false).map_err(|_| format!("{text:?} is neither text nor json"))
}

/// `-v` counts up and `-q` down; a number sets the level, the last one wins.
pub(crate) fn verbosity(log: &cli::Log, reader: &mut Reader) -> Option<i8> {
    let given = reader.list("verbose", &log.verbose, verbose);
    if given.is_none() && log.quiet == 0 {
        return None;
    }
    let (mut up, mut level) = (0_i8, None);
    for verbose in given.into_iter().flatten() {
        match verbose {
            Verbose::More(by) => up = up.saturating_add(by),
            Verbose::Level(given) => level = Some(given),
        }
    }
    let down = i8::try_from(log.quiet).unwrap_or(i8::MAX);
    Some(level.unwrap_or(up).saturating_sub(down))
}

/// What one `-v` says.
#[derive(Debug, PartialEq, Eq)]
enum Verbose {
    /// This much more.
    More(i8),
    /// This much.
    Level(i8),
}

/// Reads what follows `-v`: nothing, more of them (`-vv`), or a level of klog, kubectl's logger.
/// There, 4 is debug, requests show from 6 on, and their heads from 8 on.
fn verbose(text: &str) -> Result<Verbose, String> {
    if text.chars().all(|c| c == 'v') {
        let more = i8::try_from(text.len()).unwrap_or(i8::MAX);
        return Ok(Verbose::More(more.saturating_add(1)));
    }
    match text.parse::<u32>() {
        Ok(0..=3) => Ok(Verbose::Level(0)),
        Ok(4..=5) => Ok(Verbose::Level(1)),
        Ok(6..=7) => Ok(Verbose::Level(2)),
        Ok(_) => Ok(Verbose::Level(3)),
        Err(_) => Err(format!(
            "{text:?} is not a level: write -v, -vv or -vvv, or kubectl's numbers, as -v=6"
        )),
    }
}

/// Reads a switch as Go's `strconv.ParseBool` does.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// Reads flags one by one, and names each as it was given.
pub(crate) struct Reader<'a> {
    from_env: &'a [String],
    faults: &'a mut Faults,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// `from_env` are the flags that the environment gave.
    pub(crate) fn new(from_env: &'a [String], faults: &'a mut Faults) -> Self {
        Self { from_env, faults }
    }

    /// A flag by the name under which it was given.
    fn at(&self, flag: &str) -> String {
        flag_name(flag, self.from_env)
    }

    /// A switch, bare or with a value.
    pub(crate) fn switch(&mut self, flag: &str, text: Option<&str>) -> Option<bool> {
        self.one(flag, text, switch)
    }

    /// A flag that is given once.
    pub(crate) fn one<T>(
        &mut self,
        flag: &str,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let at = self.at(flag);
        self.faults.take(at, parse(text?))
    }

    /// Every entry of a repeatable flag; `None` if it was not given.
    pub(crate) fn list<T>(
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

    /// Rules in YAML, each a flag; `key` is their list's in the file.
    fn rules<T>(
        &mut self,
        flag: &str,
        key: &str,
        texts: &[String],
        rule: impl Fn(&yaml::Node, usize, &mut Faults) -> Option<T>,
    ) -> Option<Vec<T>> {
        let at = self.at(flag);
        let mut read = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match yaml::parse_flag(text, &at, &format!("{key}[{index}]")) {
                Ok(node) => read.extend(rule(&node, index, self.faults)),
                Err(fault) => self.faults.add_line(&fault),
            }
        }
        (!texts.is_empty()).then_some(read)
    }
}

/// `--settle`, or `ATTACHE_SETTLE` if the environment gave it.
pub(crate) fn flag_name(flag: &str, from_env: &[String]) -> String {
    if from_env.iter().any(|name| name == flag) {
        return format!("ATTACHE_{}", flag.to_ascii_uppercase().replace('-', "_"));
    }
    format!("--{flag}")
}
