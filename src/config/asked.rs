//! Annotations of pods and namespaces: what they ask of an injected sidecar.
//!
//! Values are read as those of the configuration file are, `lists` those with a short form too, and
//! `resources` by the rules of the API server. What they say becomes a [`Config`], for whoever shapes
//! the pod, and the flags that give the sidecar the same one.

use std::collections::BTreeMap;

use super::check::{self, Listener};
use super::errors::Faults;
use super::model::{Action, Asked, Config, ObjectKind};
use super::partial::Partial;
use super::{names, units, yaml};

mod lists;
mod resources;

/// The prefix of attache's annotations and labels.
pub const PREFIX: &str = "attache.dev/";

/// The annotations that ask for something, without [`PREFIX`].
const KNOWN: &[&str] = &[
    "configmaps",
    "secrets",
    "files",
    "on-change",
    "config",
    "image",
    "resources",
    "proxy",
    "on-demand",
    "allow-writes",
    "port",
    "isolate-token",
    "exec-container",
    "target-container",
];
/// Those that attache writes onto pods and their templates itself.
const WRITTEN: &[&str] = &["content-hash", "content-version", "injected"];
/// Those of ConfigMaps.
const OF_CONFIG_MAPS: &[&str] = &["pause", "restart-pods"];
/// The label that asks for a sidecar.
const LABEL: &str = "inject";
/// The least port: below it, some nodes want a capability, and the sidecar has none.
const LEAST_PORT: u16 = 1024;

/// Reads annotations, by their names without [`PREFIX`]. An empty one is as none; those that attache
/// writes itself ask for nothing.
///
/// # Errors
/// Every fault, each with the annotation it is in; unknown ones among them.
pub fn asked(annotations: &BTreeMap<String, String>) -> Result<Asked, Faults> {
    let mut faults = Faults::default();
    for name in annotations.keys() {
        if let Some(fault) = misplaced(name) {
            faults.add(at(name), fault);
        }
    }
    let asked = Reader {
        annotations,
        faults: &mut faults,
        flags: Vec::new(),
    }
    .asked();
    match asked {
        Some(asked) if faults.is_empty() => Ok(asked),
        _ => Err(faults),
    }
}

/// Whether attache writes the annotation of that name, without [`PREFIX`], itself.
pub(crate) fn is_written(name: &str) -> bool {
    WRITTEN.contains(&name)
}

/// Why an annotation is none of a pod or namespace.
fn misplaced(name: &str) -> Option<String> {
    if KNOWN.contains(&name) || is_written(name) {
        return None;
    }
    if OF_CONFIG_MAPS.contains(&name) {
        return Some("is an annotation of ConfigMaps: put it onto one".to_owned());
    }
    if name == LABEL {
        return Some(
            "is a label: put it into metadata.labels, with the value enabled or disabled"
                .to_owned(),
        );
    }
    Some(match yaml::nearest(name, KNOWN) {
        Some(nearest) => format!("unknown annotation; did you mean {PREFIX}{nearest}?"),
        None => format!(
            "unknown annotation; after {PREFIX} there is one of {}",
            KNOWN.join(", ")
        ),
    })
}

fn at(name: &str) -> String {
    format!("{PREFIX}{name}")
}

// === impl Asked ===

impl Asked {
    /// Whether there would be nothing for a sidecar to do.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let Config {
            source,
            files,
            on_change,
            proxy,
            ..
        } = &self.config;
        source.objects.is_empty()
            && source.selectors.is_empty()
            && !source.on_demand
            && files.is_empty()
            && on_change.is_empty()
            && proxy.is_none()
            && self.config_file.is_none()
            && self.exec_container.is_none()
    }
}

/// Reads annotations one by one, and collects the flags that say the same.
struct Reader<'a> {
    annotations: &'a BTreeMap<String, String>,
    faults: &'a mut Faults,
    flags: Vec<String>,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// All that is asked; `None` only with a fault.
    fn asked(mut self) -> Option<Asked> {
        let settings = self.settings();
        let isolate_token = self.one("isolate-token", units::boolean) == Some(true);
        let exec_container = self.one("exec-container", names::container);
        let target_container = self.one("target-container", names::container);
        let config_file = self.one("config", names::name);
        let image = self.one("image", names::image);
        let resources = match self.text("resources") {
            Some(text) => resources::resources(text, &at("resources"), self.faults),
            None => None,
        };
        let config = self.config(settings)?;
        if exec_container.is_some() {
            self.check_exec(&config, isolate_token);
        }
        Some(Asked {
            config,
            flags: self.flags,
            config_file,
            image,
            resources,
            isolate_token,
            exec_container,
            target_container,
        })
    }

    /// An annotation's value, unless it is empty.
    fn text(&self, name: &str) -> Option<&'a str> {
        let text = self.annotations.get(name)?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// An annotation that holds one word.
    fn one<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let read = parse(self.text(name)?);
        self.faults.take(at(name), read)
    }

    /// What is asked of the sidecar itself. What is let through to the API server is so only where an
    /// annotation says it, whatever a configuration file does.
    fn settings(&mut self) -> Partial {
        let mut settings = Partial::default();
        for (name, kind) in [
            ("configmaps", ObjectKind::ConfigMap),
            ("secrets", ObjectKind::Secret),
        ] {
            if let Some(text) = self.text(name) {
                let entries = lists::entries(text, &at(name), kind, self.faults);
                self.flags.extend(entries.iter().map(lists::entry_flag));
                *settings.entries_mut(kind) = Some(entries);
            }
        }
        let proxying = self.one("proxy", units::boolean) == Some(true);
        let on_demand = self.one("on-demand", units::boolean) == Some(true);
        for (flag, off) in [("--no-proxy", !proxying), ("--no-on-demand", !on_demand)] {
            self.flags.extend(off.then(|| flag.to_owned()));
        }
        settings.proxying = Some(proxying);
        settings.on_demand = Some(on_demand);
        settings.allow_writes = self.one("allow-writes", units::boolean);
        match settings.allow_writes {
            Some(true) => self.flags.push("--allow-writes".to_owned()),
            Some(false) => self.flags.push("--allow-writes=false".to_owned()),
            None => {}
        }
        settings.port = self.one("port", |text| units::number(text, LEAST_PORT, u16::MAX));
        let port = settings.port.map(|port| format!("--port={port}"));
        self.flags.extend(port);
        if let Some(text) = self.text("files") {
            let (rules, flags) = lists::files(text, &at("files"), self.faults);
            settings.files = Some(rules);
            self.flags.extend(flags);
        }
        if let Some(text) = self.text("on-change") {
            let (rules, flags) = lists::on_change(text, &at("on-change"), self.faults);
            settings.on_change = Some(rules);
            self.flags.extend(flags);
        }
        settings
    }

    /// Holds settings together; what does not go together is said in the words of annotations.
    fn config(&mut self, settings: Partial) -> Option<Config> {
        let mut faults = Faults::default();
        let config = check::config(settings, Listener::Full, &mut faults);
        for line in faults.lines() {
            self.faults.add_line(&in_annotation(line));
        }
        config
    }

    /// What does not go with attache in the app's own container.
    fn check_exec(&mut self, config: &Config, isolate_token: bool) {
        if isolate_token {
            let fault = format!(
                "attache runs in the app's container then, and cannot keep the token from it: drop this or {PREFIX}exec-container"
            );
            self.faults.add(at("isolate-token"), fault);
        }
        for rule in &config.on_change {
            if matches!(rule.action, Action::Restart(_)) {
                let fault = format!(
                    "{}.restart: with {PREFIX}exec-container the command is restarted already when its ConfigMaps or Secrets change: drop one of the two",
                    rule.name
                );
                self.faults.add(at("on-change"), fault);
            }
        }
    }
}

/// A fault of what several settings say together, at the annotation instead of the flag or rule.
fn in_annotation(line: &str) -> String {
    for (flag, name) in [("--configmap", "configmaps"), ("--secret", "secrets")] {
        if let Some((_, what)) = line.split_once(": ").filter(|_| line.starts_with(flag)) {
            return format!("{}: {what}", at(name));
        }
    }
    for (rule, name) in [("files[", "files"), ("onChange[", "on-change")] {
        if line.starts_with(rule) {
            return format!("{}: {line}", at(name));
        }
    }
    line.to_owned()
}

#[cfg(test)]
mod tests;
