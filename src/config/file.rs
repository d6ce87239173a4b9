//! The YAML file to settings.

use std::path::Path;

use super::errors::Faults;
use super::model::{Mount, NamedObject, ObjectKind, Selector, SelectorNamespace};
use super::partial::{Entry, Partial, StateSettings};
use super::yaml::{self, Fields, Node, Value};
use super::{connection, files, flags, names, proxy, rules, units};

/// The keys at the top of the file, beside those of the connection.
const KEYS: &[&str] = &[
    "namespace",
    "configMaps",
    "secrets",
    "dir",
    "mounts",
    "onDemand",
    "maxBytes",
    "discover",
    "writes",
    "listen",
    "proxy",
    "shutdownDelay",
    "settle",
    "files",
    "onChange",
    "state",
    "podName",
    "log",
];
/// The keys of `listen`.
const LISTEN: &[&str] = &[
    "port",
    "address",
    "unixSocket",
    "allowNonLoopback",
    "acceptHosts",
    "adminAddress",
    "maxConnections",
];

/// Reads the file at `path`.
pub(crate) fn settings(path: &Path, faults: &mut Faults) -> Partial {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            faults.add_line(&format!(
                "--config: cannot read {}: {error}",
                path.display()
            ));
            return Partial::default();
        }
    };
    text_settings(&text, &path.display().to_string(), faults)
}

/// Reads the text of a file that `origin` names.
pub(crate) fn text_settings(text: &str, origin: &str, faults: &mut Faults) -> Partial {
    let mut root = match yaml::parse(text, origin) {
        Ok(root) => root,
        Err(fault) => {
            faults.add_line(&fault);
            return Partial::default();
        }
    };
    if let Some(node) = root.remove("token") {
        faults.add(
            &node.at,
            "a token has no place in this file: put it into a kubeconfig, or give --token",
        );
    }
    let known = [connection::KEYS, KEYS].concat();
    let Some(fields) = root.fields(&known, faults) else {
        return Partial::default();
    };
    let get = |key: &str| fields.get(key);
    let mut partial = Partial {
        connection: connection::keys(&fields, faults),
        namespace: fields.read("namespace", "a namespace", names::namespace, faults),
        config_maps: entries(get("configMaps"), ObjectKind::ConfigMap, faults),
        secrets: entries(get("secrets"), ObjectKind::Secret, faults),
        dir: fields.read("dir", "a path", units::path, faults),
        on_demand: fields.read("onDemand", "true or false", units::boolean, faults),
        max_bytes: fields.read("maxBytes", "a size, as 64Mi", units::size, faults),
        shutdown_delay: fields.read("shutdownDelay", "a duration", units::duration, faults),
        settle: fields.read(
            "settle",
            "QUIET[:LONGEST], as 250ms:1s",
            units::settle,
            faults,
        ),
        pod_name: fields.read("podName", "a pod's name", names::name, faults),
        ..Partial::default()
    };
    lists(&fields, &mut partial, faults);
    if let Some(node) = get("listen") {
        listen(node, &mut partial, faults);
    }
    if let Some(node) = get("writes") {
        writes(node, &mut partial, faults);
    }
    if let Some(node) = get("proxy") {
        (partial.proxying, partial.proxy) = proxy::node(node, faults);
    }
    if let Some(node) = get("state") {
        state(node, &mut partial, faults);
    }
    if let Some(node) = get("log") {
        log(node, &mut partial, faults);
    }
    partial
}

/// The keys that hold lists, beside those of objects.
fn lists(fields: &Fields<'_>, partial: &mut Partial, faults: &mut Faults) {
    if let Some(node) = fields.get("mounts") {
        partial.mounts = Some(
            node.items()
                .iter()
                .filter_map(|item| mount(item, faults))
                .collect(),
        );
    }
    if let Some(node) = fields.get("discover") {
        let items = node.items().iter();
        let read = items.filter_map(|item| item.read("a namespace", names::namespace, faults));
        partial.discover = Some(read.collect());
    }
    if let Some(node) = fields.get("files") {
        let items = node.items().iter().enumerate();
        let read = items.filter_map(|(index, item)| files::rule(item, index, faults));
        partial.files = Some(read.collect());
    }
    if let Some(node) = fields.get("onChange") {
        let items = node.items().iter().enumerate();
        let read = items.filter_map(|(index, item)| rules::rule(item, index, faults));
        partial.on_change = Some(read.collect());
    }
}

fn listen(node: &Node, partial: &mut Partial, faults: &mut Faults) {
    let Some(fields) = node.fields(LISTEN, faults) else {
        return;
    };
    partial.port = fields.read("port", "a port", flags::port, faults);
    partial.address = fields.read("address", "an IP address", units::address, faults);
    partial.unix_socket = fields.read("unixSocket", "a path", units::path, faults);
    partial.allow_non_loopback =
        fields.read("allowNonLoopback", "true or false", units::boolean, faults);
    partial.admin_address = fields.read("adminAddress", "IP:PORT", flags::admin_address, faults);
    partial.max_connections = fields.read("maxConnections", "a number", flags::connections, faults);
    partial.accept_hosts = proxy::accepting_list(&fields, "acceptHosts", faults);
}

fn writes(node: &Node, partial: &mut Partial, faults: &mut Faults) {
    let Some(fields) = node.fields(&["allow", "createOnRead"], faults) else {
        return;
    };
    partial.allow_writes = fields.read("allow", "true or false", units::boolean, faults);
    partial.create_on_read = fields.read("createOnRead", "true or false", units::boolean, faults);
}

fn state(node: &Node, partial: &mut Partial, faults: &mut Faults) {
    let Some(fields) = node.fields(&["dir", "secrets", "ready"], faults) else {
        return;
    };
    partial.state = StateSettings {
        dir: fields.read("dir", "a path", units::path, faults),
        secrets: fields.read("secrets", "true or false", units::boolean, faults),
        ready: fields.read("ready", "true or false", units::boolean, faults),
    };
}

fn log(node: &Node, partial: &mut Partial, faults: &mut Faults) {
    let Some(fields) = node.fields(&["level", "format"], faults) else {
        return;
    };
    partial.verbosity = fields.read("level", "a level", level, faults);
    partial.log_format = fields.read("format", "text or json", flags::log_format, faults);
}

fn level(text: &str) -> Result<i8, String> {
    match text {
        "error" => Ok(-2),
        "warn" => Ok(-1),
        "info" => Ok(0),
        "debug" => Ok(1),
        "trace" => Ok(2),
        _ => Err(format!(
            "{text:?} is not a level: use error, warn, info, debug or trace"
        )),
    }
}

/// The entries of `configMaps` or `secrets`: a string as the flag's, or a mapping.
pub(crate) fn entries(
    list: Option<&Node>,
    kind: ObjectKind,
    faults: &mut Faults,
) -> Option<Vec<Entry>> {
    let items = list?.items().iter();
    Some(items.filter_map(|item| entry(item, kind, faults)).collect())
}

fn entry(node: &Node, kind: ObjectKind, faults: &mut Faults) -> Option<Entry> {
    if !matches!(node.value, Value::Map(_)) {
        let wanted = "[NS/]NAME[,optional], {name: NAME} or {selector: LABELS}";
        let named = node.read(wanted, |text| names::named(kind, text), faults)?;
        return Some(Entry::Named(named));
    }
    let fields = node.fields(&["name", "namespace", "optional", "selector"], faults)?;
    match (fields.get("name"), fields.get("selector")) {
        (Some(name), None) => {
            let namespace = fields.read("namespace", "a namespace", names::namespace, faults);
            let optional = fields.read("optional", "true or false", units::boolean, faults);
            let mut object = name.read("a name", names::object, faults)?;
            match (&object.namespace, namespace) {
                (Some(_), Some(_)) => {
                    faults.add(&name.at, "the namespace is given twice: keep one")
                }
                (None, namespace) => object.namespace = namespace,
                (Some(_), None) => {}
            }
            Some(Entry::Named(NamedObject {
                kind,
                object,
                optional: optional.unwrap_or(false),
            }))
        }
        (None, Some(selector)) => {
            if let Some(optional) = fields.get("optional") {
                faults.add(
                    &optional.at,
                    "a selector may always match nothing: take optional out",
                );
            }
            let namespace =
                fields.read("namespace", "a namespace, or \"*\" for all", scope, faults);
            let labels = selector.read("a label selector", names::label_selector, faults)?;
            let namespace = namespace.unwrap_or(SelectorNamespace::Default);
            Some(Entry::Selected(Selector {
                kind,
                namespace,
                labels,
            }))
        }
        _ => {
            faults.add(
                &node.at,
                "say which by one of name: NAME or selector: LABELS",
            );
            None
        }
    }
}

/// Reads where a selector looks: a namespace, or `*` for all.
pub(crate) fn scope(text: &str) -> Result<SelectorNamespace, String> {
    if text == "*" {
        return Ok(SelectorNamespace::All);
    }
    names::namespace(text).map(SelectorNamespace::Named)
}

/// An entry of `mounts`: a string as the flag's, or `{configMap: [NS/]NAME, path: PATH}`.
fn mount(node: &Node, faults: &mut Faults) -> Option<Mount> {
    if !matches!(node.value, Value::Map(_)) {
        return node.read("[NS/]NAME=PATH", names::mount, faults);
    }
    let fields = node.fields(&["configMap", "path"], faults)?;
    let (Some(object), Some(at)) = (fields.get("configMap"), fields.get("path")) else {
        faults.add(
            &node.at,
            "a mount needs both configMap: [NS/]NAME and path: PATH",
        );
        return None;
    };
    let object = object.read("[NS/]NAME", names::object, faults);
    let path = at.read("a path", units::path, faults);
    Some(Mount {
        object: object?,
        path: path?,
    })
}
