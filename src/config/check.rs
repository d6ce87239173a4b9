//! Settings to a [`Config`]: defaults, and what does not go together.

use std::collections::HashSet;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use super::errors::Faults;
use super::model::{
    Config, Log, LogFormat, NamedObject, ObjectKind, ObjectName, Rule, Selector, Serve, Settle,
    Source,
};
use super::partial::{Entry, Partial};
use super::{connection, file, flags, proxy};
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

/// The configuration of `attache run`, its file read; `None` only with a fault.
pub(crate) fn run(run: &cli::Run, faults: &mut Faults) -> Option<Config> {
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
    config(settings, true, faults)
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
    config(settings, false, faults)
}

/// Fills in what `settings` leave open and checks what they say together. `own_routes` is whether
/// attache serves any beside the API.
pub(crate) fn config(settings: Partial, own_routes: bool, faults: &mut Faults) -> Option<Config> {
    check_source(&settings, faults);
    let proxying = settings.proxying.unwrap_or(settings.dir.is_none());
    let on_change = settings.on_change.unwrap_or_default();
    let entries = settings.config_maps.into_iter().chain(settings.secrets);
    let (objects, selectors) = apart(entries.flatten());
    let mut source = Source {
        namespace: settings.namespace,
        objects,
        selectors,
        dir: settings.dir,
        mounts: settings.mounts.unwrap_or_default(),
        on_demand: settings.on_demand.unwrap_or(true),
        max_bytes: settings.max_bytes.unwrap_or(MAX_BYTES),
    };
    check_duplicates(&source, faults);
    add_objects_of_rules(&mut source, &on_change);
    let serve = Serve {
        main: true,
        own_routes,
        unix_only: !own_routes && settings.unix_socket.is_some(),
        address: settings.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        port: settings.port.unwrap_or(PORT),
        unix_socket: settings.unix_socket,
        allow_non_loopback: settings.allow_non_loopback.unwrap_or(false),
        accept_hosts: proxy::or_default(
            settings.accept_hosts,
            "--accept-hosts",
            ACCEPT_HOSTS,
            proxy::accepting,
            faults,
        )?,
        admin_address: settings.admin_address,
        max_connections: settings.max_connections.unwrap_or(MAX_CONNECTIONS),
        shutdown_delay: settings.shutdown_delay.unwrap_or_default(),
    };
    check_serve(&serve, faults);
    Some(Config {
        connection: connection::connection(settings.connection, faults),
        source,
        serve,
        proxy: if proxying {
            proxy::proxy(settings.proxy, own_routes, faults)
        } else {
            None
        },
        files: Vec::new(),
        on_change,
        settle: settings.settle.unwrap_or(SETTLE),
        state: None,
        exec: None,
        pod_name: None,
        log: Log {
            verbosity: settings.verbosity.unwrap_or(0),
            format: settings.log_format.unwrap_or(LogFormat::Text),
        },
    })
}

/// The objects named and those selected.
fn apart(entries: impl Iterator<Item = Entry>) -> (Vec<NamedObject>, Vec<Selector>) {
    let (mut objects, mut selectors) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::Named(object) => objects.push(object),
            Entry::Selected(selector) => selectors.push(selector),
        }
    }
    (objects, selectors)
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

fn check_duplicates(source: &Source, faults: &mut Faults) {
    let full = |object: &ObjectName| -> (Option<String>, String) {
        let namespace = object
            .namespace
            .clone()
            .or_else(|| source.namespace.clone());
        (namespace, object.name.clone())
    };
    let shown = |object: &ObjectName| match &object.namespace {
        Some(namespace) => format!("{namespace}/{}", object.name),
        None => object.name.clone(),
    };
    let again = |flag: &str, what: String, faults: &mut Faults| {
        faults.add(flag, format!("{what} is named twice: keep one"));
    };
    for named in repeated(&source.objects, |named| (named.kind, full(&named.object))) {
        let flag = flag_of(named.kind);
        again(flag, shown(&named.object), faults);
    }
    for mount in repeated(&source.mounts, |mount| full(&mount.object)) {
        again("--mount", shown(&mount.object), faults);
    }
    let selector_key = |selector: &Selector| {
        (
            selector.kind,
            format!("{:?}", selector.namespace),
            selector.labels.clone(),
        )
    };
    for selector in repeated(&source.selectors, selector_key) {
        let flag = format!("{}-selector", flag_of(selector.kind));
        again(&flag, selector.labels.clone(), faults);
    }
}

fn flag_of(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::ConfigMap => "--configmap",
        ObjectKind::Secret => "--secret",
    }
}

/// The items whose key an earlier one has.
fn repeated<T, K: Eq + Hash>(items: &[T], key: impl Fn(&T) -> K) -> Vec<&T> {
    let mut seen = HashSet::new();
    items
        .iter()
        .filter(|item| !seen.insert(key(item)))
        .collect()
}

/// A rule's object is watched from the start, though readiness does not wait for it.
fn add_objects_of_rules(source: &mut Source, rules: &[Rule]) {
    let default = source.namespace.clone();
    let same = |a: &ObjectName, b: &ObjectName| {
        let namespace = |object: &ObjectName| object.namespace.clone().or_else(|| default.clone());
        a.name == b.name && namespace(a) == namespace(b)
    };
    for (kind, object) in rules.iter().filter_map(|rule| rule.when.object.as_ref()) {
        let named = source
            .objects
            .iter()
            .any(|named| named.kind == *kind && same(&named.object, object));
        let mounted = *kind == ObjectKind::ConfigMap
            && source
                .mounts
                .iter()
                .any(|mount| same(&mount.object, object));
        if !named && !mounted {
            source.objects.push(NamedObject {
                kind: *kind,
                object: object.clone(),
                optional: true,
            });
        }
    }
}
