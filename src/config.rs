//! The configuration: flags and file as one validated model, every error at once.
//!
//! Reading order: [`model`] (what the rest of attache sees), then how it is made: flags (`flags`)
//! and file (`file`, over `yaml`) each become `partial` settings, flags win, and `check` turns
//! what results into a [`Config`], with `objects` (what is watched) and `targets` (where files go).
//! `connection`, `proxy` and `exec` do all of that for their part. `names`, `units`, `regexes`,
//! `signals`, `rules` and `files` read single values. `form` is a rule as it would be written,
//! which `print` shows. `probes` and `client` are the configuration of the commands that talk to
//! a running sidecar, `cluster` that of injection and diagnosis; `asked` reads what annotations say.

use std::path::PathBuf;

use crate::cli::Command;

pub mod model;

mod asked;
mod check;
mod client;
mod cluster;
mod connection;
mod errors;
mod exec;
mod file;
mod files;
mod flags;
mod form;
mod glob;
mod names;
mod objects;
mod partial;
mod print;
mod probes;
mod proxy;
mod regexes;
mod rules;
mod signals;
mod targets;
pub(crate) mod tree;
pub(crate) mod units;
mod yaml;

pub(crate) use asked::nanos;
pub use asked::{PREFIX, asked};
pub use client::{Set, Unset, ValueFrom, Watch};
pub use errors::Faults;
pub use glob::Glob;
pub use model::*;
pub use probes::{Endpoint, Get, Healthcheck, Probe};
pub use proxy::OWN_ROUTES;

/// What the binary is to do, validated.
#[derive(Debug)]
pub enum Job {
    /// `attache run`; `attache proxy`, which is it without routes of its own; and `attache exec`,
    /// which is it with a command.
    Run(Box<Config>),
    /// `attache check`: print this text.
    Check(String),
    /// `attache get`.
    Get(Get),
    /// `attache watch`.
    Watch(Watch),
    /// `attache set`.
    Set(Set),
    /// `attache unset`.
    Unset(Unset),
    /// `attache healthcheck`.
    Healthcheck(Healthcheck),
    /// `attache inject`.
    Inject(Box<Inject>),
    /// `attache uninject`.
    Uninject(Uninject),
    /// `attache webhook`.
    Webhook(Box<Webhook>),
    /// `attache doctor`.
    Doctor(Box<Doctor>),
    /// `attache install`, into that directory.
    Install(PathBuf),
    /// `attache completions`.
    Completions(clap_complete::Shell),
}

/// Validates a command and the file it names; `found` are the faults that reading the command
/// line found already.
///
/// # Errors
/// Every fault of command line, environment and file.
pub fn load(command: Option<Command>, found: Vec<String>) -> Result<Job, Faults> {
    let mut faults = Faults::from(found);
    let job = match command {
        None => None,
        Some(Command::Run(run)) => check::run(&run, &mut faults).map(|c| Job::Run(Box::new(c))),
        Some(Command::Exec(exec)) => exec::exec(&exec, &mut faults).map(|c| Job::Run(Box::new(c))),
        Some(Command::Check(run)) => {
            check::run(&run, &mut faults).map(|config| Job::Check(print::rules(&config)))
        }
        Some(Command::Proxy(proxy)) => {
            check::api_alone(&proxy, &mut faults).map(|c| Job::Run(Box::new(c)))
        }
        Some(Command::Get(get)) => probes::get(&get, &mut faults).map(Job::Get),
        Some(Command::Watch(watch)) => client::watch(&watch, &mut faults).map(Job::Watch),
        Some(Command::Set(set)) => client::set(&set, &mut faults).map(Job::Set),
        Some(Command::Unset(unset)) => client::unset(&unset, &mut faults).map(Job::Unset),
        Some(Command::Healthcheck(healthcheck)) => {
            probes::healthcheck(&healthcheck, &mut faults).map(Job::Healthcheck)
        }
        Some(Command::Inject(inject)) => {
            cluster::inject(&inject, &mut faults).map(|inject| Job::Inject(Box::new(inject)))
        }
        Some(Command::Uninject(uninject)) => {
            cluster::uninject(&uninject, &mut faults).map(Job::Uninject)
        }
        Some(Command::Webhook(webhook)) => {
            cluster::webhook(&webhook, &mut faults).map(|webhook| Job::Webhook(Box::new(webhook)))
        }
        Some(Command::Doctor(doctor)) => {
            cluster::doctor(&doctor, &mut faults).map(|doctor| Job::Doctor(Box::new(doctor)))
        }
        Some(Command::Install(install)) => Some(Job::Install(install.dir)),
        Some(Command::Completions(completions)) => Some(Job::Completions(completions.shell)),
    };
    match job {
        Some(job) if faults.is_empty() => Ok(job),
        _ => Err(faults),
    }
}

#[cfg(test)]
mod tests;
