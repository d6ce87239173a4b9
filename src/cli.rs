//! The command line: arguments and environment to strings by flag. What the strings mean is for
//! the configuration to say, so that every fault is found in one run. No I/O.
//!
//! Reading order: [`Command`] (`command`) and its flags (`args`, `cluster`, those that commands share in
//! `groups`), then how the environment joins in (`env`).

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, CommandFactory, FromArgMatches};

mod args;
mod cluster;
mod command;
mod env;
mod groups;

pub use args::{
    Completions, EnvSource, Exec, Get, Healthcheck, Install, Proxy, Run, Set, Sidecar, Unset, Watch,
};
pub use cluster::{Doctor, Inject, Injection, Objects, Uninject, Webhook};
use command::Cli;
pub use command::Command;
pub use groups::{Connection, Forward, Listen, Log, Token};

/// What was asked for.
#[derive(Debug)]
pub enum Parsed {
    /// Help or version: print it on stdout and exit 0.
    Text(String),
    /// A command, as far as it could be read, and what was wrong, a line each.
    Command {
        /// The command; none if there are faults that leave it unknown.
        command: Option<Command>,
        /// The faults, without a prefix.
        faults: Vec<String>,
    },
}

/// Reads arguments (the program's name first) and environment.
#[must_use]
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Parsed {
    let cli = Cli::command();
    let mut args: Vec<OsString> = args.into_iter().collect();
    let mut faults = Vec::new();
    // Clap stops at the first unknown flag: take it out and look for the next.
    let matches = loop {
        let error = match cli.clone().try_get_matches_from(&args) {
            Ok(matches) => break matches,
            Err(error) => error,
        };
        if matches!(
            error.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
        ) {
            return Parsed::Text(error.to_string());
        }
        if let Some(command) = without_dashes(&error, &args) {
            faults.push(format!(
                "{command:?} is no flag of attache exec: write the command after --, as attache exec -- {command}"
            ));
            return Parsed::Command {
                command: None,
                faults,
            };
        }
        faults.push(one_line(&error));
        if !remove_unknown(&error, &mut args) {
            return Parsed::Command {
                command: None,
                faults,
            };
        }
    };
    let environment = environment.into_iter().collect();
    let from_env = env::merge(&cli, &matches, &environment, &mut args, &mut faults);
    let command = cli
        .try_get_matches_from(&args)
        .and_then(|matches| complete(&matches, from_env));
    let command = match command {
        Ok(command) => Some(command),
        Err(error) => {
            faults.push(one_line(&error));
            None
        }
    };
    Parsed::Command { command, faults }
}

/// The command, with what clap's matches tell but its derived structs do not.
fn complete(matches: &ArgMatches, from_env: Vec<String>) -> Result<Command, clap::Error> {
    let mut command = Cli::from_arg_matches(matches)?.command;
    match &mut command {
        Command::Run(run) | Command::Check(run) => run.from_env = from_env,
        Command::Proxy(proxy) => proxy.from_env = from_env,
        Command::Inject(inject) => inject.from_env = from_env,
        Command::Webhook(webhook) => webhook.from_env = from_env,
        Command::Doctor(doctor) => doctor.run.from_env = from_env,
        Command::Exec(exec) => {
            exec.run.from_env = from_env;
            exec.env_sources = matches
                .subcommand()
                .map_or_else(Vec::new, |(_, matches)| env_sources(exec, matches));
        }
        Command::Get(_)
        | Command::Watch(_)
        | Command::Set(_)
        | Command::Unset(_)
        | Command::Healthcheck(_)
        | Command::Uninject(_)
        | Command::Install(_)
        | Command::Completions(_) => {}
    }
    Ok(command)
}

/// The values of both flags, in the order of their places on the command line.
fn env_sources(exec: &Exec, matches: &ArgMatches) -> Vec<EnvSource> {
    let places = |id: &str| matches.indices_of(id).into_iter().flatten();
    let config_maps = places("env_from").zip(exec.env_from.iter().cloned());
    let secrets = places("secret_env_from").zip(exec.secret_env_from.iter().cloned());
    let mut sources: Vec<_> = config_maps
        .map(|(place, text)| (place, EnvSource::ConfigMap(text)))
        .chain(secrets.map(|(place, text)| (place, EnvSource::Secret(text))))
        .collect();
    sources.sort_unstable_by_key(|(place, _)| *place);
    sources.into_iter().map(|(_, source)| source).collect()
}

/// The completion script of `shell`.
#[must_use]
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "attache", &mut script);
    script
}

/// Clap's error without its usage: what is wrong, its tips, where to read on.
fn one_line(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no command given; see attache --help".to_owned();
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let paragraphs = text.split("\n\n").map(str::trim);
    let told: Vec<_> = paragraphs
        .filter(|paragraph| !paragraph.starts_with("Usage:") && !paragraph.starts_with("For more"))
        .map(|paragraph| {
            // What is not known is a slip, rather than a part of a command.
            let lines = paragraph.lines().map(str::trim);
            let lines = lines.filter(|line| !line.starts_with("tip: to pass"));
            let words: Vec<_> = lines.flat_map(str::split_whitespace).collect();
            words.join(" ")
        })
        .filter(|paragraph| !paragraph.is_empty())
        .collect();
    format!("{}; see attache --help", told.join("; "))
}

/// The command of `attache exec`, if it is given without `--` before it: what follows it is not
/// looked at, for it would be taken for attache's flags.
fn without_dashes<'a>(error: &'a clap::Error, args: &[OsString]) -> Option<&'a str> {
    let unknown = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(unknown)) if error.kind() == ErrorKind::UnknownArgument => {
            unknown
        }
        _ => return None,
    };
    let exec =
        args.get(1).is_some_and(|name| name == "exec") && !args.iter().any(|arg| arg == "--");
    (exec && !unknown.starts_with('-')).then_some(unknown)
}

/// Takes the argument that `error` does not know out of `args`, with what looks like its value.
/// False if the error is of another kind.
fn remove_unknown(error: &clap::Error, args: &mut Vec<OsString>) -> bool {
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else {
        return false;
    };
    if error.kind() != ErrorKind::UnknownArgument {
        return false;
    }
    let with_value = format!("{unknown}=");
    // What follows is the command of `attache exec`, with flags of its own.
    let own = args.iter().take_while(|arg| *arg != "--");
    let found = own.into_iter().position(|arg| {
        let arg = arg.to_string_lossy();
        *arg == **unknown || arg.starts_with(&with_value)
    });
    let Some(found) = found else {
        return false;
    };
    let removed = args.remove(found);
    let value_follows = unknown.starts_with("--")
        && removed.to_string_lossy() == *unknown.as_str()
        && args
            .get(found)
            .is_some_and(|next| !next.to_string_lossy().starts_with('-'));
    if value_follows {
        args.remove(found);
    }
    true
}

#[cfg(test)]
mod tests;
