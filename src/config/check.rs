//! Settings to a [`Config`]: defaults, and what does not go together.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use super::errors::Faults;
use super::model::{
    Action, Config, Log, LogFormat, RestartAction, Rule, Serve, Settle, Source, State, Writes,
};
use super::partial::{Entry, Partial, StateSettings};
use super::{connection, file, flags, form, objects, proxy, targets};
use crate::cli;

/// `--port`.
const PORT: u16 = 8001;
/// `--max-bytes`, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// `--max-connections`.
const MAX_CONNECTIONS: usize = 4096;
/// `--settle`.
const SETTLE: Settle = Settle {
    quiet: Duration::from_millis(250),
    longest: Duration::from_secs(1),
};
/// `--accept-hosts`; the port is taken off before they are tried.
const ACCEPT_HOSTS: &str = r"^localhost$,^127\.0\.0\.1$,^\[::1\]$";

/// Which listeners there are beside `--admin-address`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    /// One with attache's own routes, and the API beside them.
    Full,
    /// One for the API alone.
    ApiAlone,
    /// None.
    None,
}

/// The configuration of `attache run`, its file read; `None` only with a fault.
pub(crate) fn run(run: &cli::Run, faults: &mut Faults) -> Option<Config> {
    config(settings(run, faults), Listener::Full, faults)
}

/// What flags and file say, before it is held together.
pub(crate) fn settings(run: &cli::Run, faults: &mut Faults) -> Partial {
    let mut settings = flags::run(run, faults);
    let for_proxy = settings.proxy.given();
    if let Some(path) = &run.config {
        settings = settings.or(file::settings(path, faults));
    }
    // The file's settings of a proxy may stay when a flag turns it off.
    if settings.proxying == Some(false) {
        for flag in for_proxy {
            let fault = "is for the proxy, and --no-proxy or the file's `proxy: false` turns that off: drop one of the two";
            let flag = flags::flag_name(flag.trim_start_matches("--"), &run.from_env);
            faults.add(flag, fault);
        }
    }
    settings
}

/// The configuration of `attache proxy`; `None` only with a fault.
pub(crate) fn api_alone(args: &cli::Proxy, faults: &mut Faults) -> Option<Config> {
    let mut settings = flags::proxy(args, faults);
    settings.on_demand = Some(false);
    // As in kubectl, the address is itself the consent.
    settings.allow_non_loopback = Some(true);
    if settings.unix_socket.is_some() {
        settings.address = None;
        if settings.port.is_some_and(|port| port != PORT) {
            faults.add(
                flags::flag_name("port", &args.from_env),
                "cannot set --unix-socket and --port at the same time: attache proxy listens on the socket alone, so drop one of the two",
            );
        }
    }
    config(settings, Listener::ApiAlone, faults)
}

/// Fills in what `settings` leave open and checks what they say together.
pub(crate) fn config(
    mut settings: Partial,
    listener: Listener,
    faults: &mut Faults,
) -> Option<Config> {
    check_source(&settings, faults);
    let proxying = settings.proxying.unwrap_or(settings.dir.is_none());
    let files = settings.files.take().unwrap_or_default();
    let mut on_change = settings.on_change.take().unwrap_or_default();
    form::identify(&mut on_change);
    let entries = settings.config_maps.take().into_iter();
    let entries = entries.chain(settings.secrets.take());
    let (objects, selectors) = objects::apart(entries.flatten());
    let mut source = Source {
        namespace: settings.namespace.take(),
        objects,
        selectors,
        dir: settings.dir.take(),
        mounts: settings.mounts.take().unwrap_or_default(),
        on_demand: settings.on_demand.unwrap_or(true),
        max_bytes: settings.max_bytes.unwrap_or(MAX_BYTES),
        discover: settings.discover.take().unwrap_or_default(),
    };
    source.discover.sort_unstable();
    source.discover.dedup();
    objects::check_duplicates(&source, faults);
    objects::add_files(&mut source, &files);
    objects::add_rules(&mut source, &on_change);
    targets::check(&files, &source, &on_change, faults);
    check_restarts(&source, &on_change, faults);
    let state = state(std::mem::take(&mut settings.state), faults);
    let own_routes = listener != Listener::ApiAlone;
    let serve = serve(&mut settings, listener, faults)?;
    Some(Config {
        connection: connection::connection(settings.connection, faults),
        source,
        serve,
        proxy: if proxying {
            proxy::proxy(settings.proxy, own_routes, faults)
        } else {
            None
        },
        files,
        on_change,
        settle: settings.settle.unwrap_or(SETTLE),
        state,
        exec: None,
        pod_name: settings.pod_name,
        log: Log {
            verbosity: settings.verbosity.unwrap_or(0),
            format: settings.log_format.unwrap_or(LogFormat::Text),
        },
    })
}

fn serve(settings: &mut Partial, listener: Listener, faults: &mut Faults) -> Option<Serve> {
    let own_routes = listener != Listener::ApiAlone;
    let serve = Serve {
        main: listener != Listener::None,
        own_routes,
        unix_only: !own_routes && settings.unix_socket.is_some(),
        address: settings.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        port: settings.port.unwrap_or(PORT),
        unix_socket: settings.unix_socket.take(),
        allow_non_loopback: settings.allow_non_loopback.unwrap_or(false),
        accept_hosts: proxy::or_default(
            settings.accept_hosts.take(),
            "--accept-hosts",
            ACCEPT_HOSTS,
            proxy::accepting,
            faults,
        )?,
        writes: writes(settings, faults),
        admin_address: settings.admin_address,
        max_connections: settings.max_connections.unwrap_or(MAX_CONNECTIONS),
        shutdown_delay: settings.shutdown_delay.unwrap_or_default(),
    };
    if serve.main {
        check_serve(&serve, faults);
    }
    Some(serve)
}

/// What clients may write.
fn writes(settings: &Partial, faults: &mut Faults) -> Writes {
    let writes = Writes {
        allowed: settings.allow_writes.unwrap_or(false),
        create_on_read: settings.create_on_read.unwrap_or(false),
    };
    if writes.create_on_read && !writes.allowed {
        faults.add(
            "--create-on-read",
            "creates ConfigMaps, which needs --allow-writes: add it",
        );
    }
    writes
}

/// What is kept; without a directory, nothing, and what else is asked of it is a fault.
fn state(settings: StateSettings, faults: &mut Faults) -> Option<State> {
    let asked = StateSettings {
        dir: settings.dir,
        secrets: settings.secrets.filter(|secrets| *secrets),
        ready: settings.ready.filter(|ready| *ready),
    };
    if asked.dir.is_none() {
        for flag in asked.given() {
            faults.add(
                flag,
                "nothing is kept without --state-dir: add it, or state.dir in the file",
            );
        }
    }
    Some(State {
        dir: asked.dir?,
        secrets: asked.secrets.is_some(),
        ready: asked.ready.is_some(),
    })
}

/// Restarts through the API server do not go with `--dir`.
fn check_restarts(source: &Source, rules: &[Rule], faults: &mut Faults) {
    if source.dir.is_none() {
        return;
    }
    for rule in rules {
        let Action::Restart(action) = &rule.action else {
            continue;
        };
        if !matches!(action, RestartAction::Process { .. }) {
            let fault = "this restart needs an API server, and --dir takes its place: use restart: {process: NAME}, signal, webhook or command";
            faults.add(&rule.name, fault);
        }
    }
}

/// A directory takes the API server's place, so that what needs one does not go with it.
fn check_source(settings: &Partial, faults: &mut Faults) {
    let Some(dir) = &settings.dir else {
        return;
    };
    if let Err(fault) = check_directory(dir) {
        faults.add("--dir", fault);
    }
    let has_selector = |entries: &Option<Vec<Entry>>| {
        let mut entries = entries.iter().flatten();
        entries.any(|entry| matches!(entry, Entry::Selected(_)))
    };
    let mut given = settings.connection.given();
    given.extend(settings.proxy.given());
    for (flag, is_given) in [
        ("--configmap-selector", has_selector(&settings.config_maps)),
        ("--secret-selector", has_selector(&settings.secrets)),
        (
            "--discover",
            settings.discover.iter().flatten().next().is_some(),
        ),
        ("--allow-writes", settings.allow_writes == Some(true)),
        (
            "proxy",
            settings.proxying == Some(true) && settings.proxy.given().is_empty(),
        ),
    ] {
        given.extend(is_given.then_some(flag));
    }
    for flag in given {
        faults.add(
            flag,
            "needs an API server, and --dir takes its place: drop one of the two",
        );
    }
}

fn check_directory(dir: &Path) -> Result<(), String> {
    match std::fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(format!(
            "{} is a file: give the directory that holds it",
            dir.display()
        )),
        Err(error) => Err(format!(
            "cannot use {} ({error}): give a directory that exists",
            dir.display()
        )),
    }
}

fn check_serve(serve: &Serve, faults: &mut Faults) {
    if !serve.address.is_loopback() && !serve.allow_non_loopback {
        faults.add(
            "--address",
            format!(
                "{} can be reached from outside the pod: use 127.0.0.1 or ::1, or consent with --allow-non-loopback",
                serve.address
            ),
        );
    }
    if let Some(admin) = serve.admin_address
        && !serve.unix_only
        && admin.port() != 0
        && admin.port() == serve.port
        && (admin.ip().is_unspecified() || admin.ip() == serve.address)
    {
        faults.add(
            "--admin-address",
            format!("port {} is --port's already: choose another", admin.port()),
        );
    }
}
