//! The configuration of an attache that runs somewhere, from its arguments and environment.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::fs::{MemfdFlags, memfd_create};

use super::expansion::expanded;
use super::pod::Container;
use crate::cli::{self, Parsed};
use crate::config::{self, Job};
use crate::process::Running;

/// The commands that run beside an app.
const COMMANDS: [&str; 3] = ["run", "exec", "proxy"];
/// The flag and the variable of the configuration file.
const FLAG: &str = "--config";
const VARIABLE: &str = "ATTACHE_CONFIG";

/// A variable of an environment: name, value.
type Variable = (OsString, OsString);

/// Arguments (the program's name first) and environment.
#[derive(Debug, Clone, Default)]
pub(super) struct Invocation {
    pub(super) args: Vec<OsString>,
    pub(super) environment: Vec<Variable>,
}

/// A file of the memory, which has a path as long as it lives.
pub(super) struct MemoryFile(OwnedFd);

// === impl Invocation ===

impl Invocation {
    /// That of a process, if it is one that runs beside an app; `ours` stands in for an environment that
    /// cannot be read: attache hides it, and in its container all programs are started with the same.
    pub(super) fn of(running: Running, ours: impl Iterator<Item = Variable>) -> Option<Self> {
        let command = running.args.get(1)?.to_str()?;
        COMMANDS.contains(&command).then(|| Self {
            args: running.args,
            environment: running.environment.unwrap_or_else(|| ours.collect()),
        })
    }

    /// That of a container, as far as the pod says it.
    pub(super) fn of_container(container: &Container) -> Self {
        let (arguments, environment) = expanded(container);
        let arguments = arguments.into_iter().map(Into::into);
        let environment = environment.into_iter();
        Self {
            args: std::iter::once("attache".into()).chain(arguments).collect(),
            environment: environment.map(|(k, v)| (k.into(), v.into())).collect(),
        }
    }

    /// What it makes attache do.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub(super) fn job(&self) -> Result<Job, String> {
        match cli::parse(self.args.clone(), self.environment.clone()) {
            Parsed::Text(_) => Err("it only prints a text".to_owned()),
            Parsed::Command { command, faults } => {
                config::load(command, faults).map_err(|faults| faults.lines().join("; "))
            }
        }
    }

    pub(super) fn variable(&self, name: &str) -> Option<&OsStr> {
        let mut variables = self.environment.iter();
        let (_, value) = variables.find(|(variable, _)| variable == name)?;
        (!value.is_empty()).then_some(value.as_os_str())
    }

    /// The path of its configuration file.
    pub(super) fn file(&self) -> Option<String> {
        let own = self.own();
        for (at, arg) in own.iter().enumerate() {
            let arg = arg.to_str().unwrap_or_default();
            if arg == FLAG {
                return own.get(at + 1)?.to_str().map(str::to_owned);
            }
            if let Some(path) = arg
                .strip_prefix(FLAG)
                .and_then(|rest| rest.strip_prefix('='))
            {
                return Some(path.to_owned());
            }
        }
        self.variable(VARIABLE)?.to_str().map(str::to_owned)
    }

    /// Has it read another file instead.
    pub(super) fn with_file(mut self, path: &str) -> Self {
        let length = self.own().len();
        let mut at = 0;
        while at < length {
            let arg = self.args[at].to_str().unwrap_or_default();
            if arg == FLAG && at + 1 < length {
                self.args[at + 1] = path.into();
            } else if arg.starts_with("--config=") {
                self.args[at] = format!("{FLAG}={path}").into();
            }
            at += 1;
        }
        for (name, value) in &mut self.environment {
            if name == VARIABLE {
                *value = path.into();
            }
        }
        self
    }

    /// Its own arguments, those of a command that it starts left out.
    fn own(&self) -> &[OsString] {
        let end = self.args.iter().position(|arg| arg == "--");
        self.args
            .get(..end.unwrap_or(self.args.len()))
            .unwrap_or_default()
    }
}

// === impl MemoryFile ===

impl MemoryFile {
    pub(super) fn new(text: &str) -> io::Result<Self> {
        let fd = memfd_create("attache.yaml", MemfdFlags::CLOEXEC)?;
        let mut file = std::fs::File::from(fd);
        file.write_all(text.as_bytes())?;
        Ok(Self(file.into()))
    }

    pub(super) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(args: &[&str], environment: &[(&str, &str)]) -> Invocation {
        Invocation {
            args: args.iter().map(OsString::from).collect(),
            environment: environment
                .iter()
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
        }
    }

    #[test]
    fn the_configuration_file_is_replaced_wherever_it_is_named() {
        let memory = MemoryFile::new("configMaps: [from-file]\n").unwrap();
        for (args, environment) in [
            (
                &["attache", "run", "--config=/etc/attache/attache.yaml"][..],
                &[][..],
            ),
            (
                &["attache", "run", "--config", "/etc/attache/attache.yaml"],
                &[],
            ),
            (
                &["attache", "run"],
                &[("ATTACHE_CONFIG", "/etc/attache/attache.yaml")],
            ),
            (
                &[
                    "attache",
                    "exec",
                    "--config",
                    "/etc/attache/attache.yaml",
                    "--env-from=x",
                    "--",
                    "app",
                    "--config=a",
                ],
                &[],
            ),
        ] {
            let invocation = invocation(args, environment);
            assert_eq!(
                invocation.file().as_deref(),
                Some("/etc/attache/attache.yaml")
            );
            let Job::Run(config) = invocation.with_file(&memory.path()).job().unwrap() else {
                panic!("{args:?}");
            };
            let names: Vec<_> = config
                .source
                .objects
                .iter()
                .map(|o| &o.object.name)
                .collect();
            assert!(
                names.contains(&&"from-file".to_owned()),
                "{args:?}: {names:?}"
            );
        }
        assert_eq!(
            invocation(&["attache", "exec", "--", "app", "--config=a"], &[]).file(),
            None
        );
    }

    #[test]
    fn what_runs_beside_an_app_is_looked_at() {
        let of = |args: &[&str], environment: Option<Vec<Variable>>| {
            let args = args.iter().map(OsString::from).collect();
            let running = Running {
                pid: 1,
                args,
                environment,
            };
            let ours = [("OURS".into(), "yes".into())];
            Invocation::of(running, ours.into_iter())
        };
        let hidden = of(&["/attache", "run", "--configmap=web"], None).unwrap();
        assert!(hidden.variable("OURS").is_some());
        let seen = of(&["/attache", "run"], Some(Vec::new())).unwrap();
        assert!(seen.variable("OURS").is_none());
        assert!(of(&["/attache", "doctor"], None).is_none());
        assert!(of(&["/attache"], None).is_none());
        let wrong = invocation(&["attache", "run", "--confgmap=web"], &[]).job();
        assert!(wrong.is_err_and(|fault| fault.contains("--configmap")));
    }
}
