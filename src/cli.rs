//! The command line: arguments and environment to strings by flag. What the strings mean is for
//! the configuration to say, so that every fault is found in one run. No I/O.
//!
//! Reading order: [`Command`] and its flags (`args`, those that commands share in `groups`), then
//! how the environment joins in (`env`).

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

mod args;
mod env;
mod groups;

use args::Cli;
pub use args::{Command, Completions, Get, Healthcheck, Install, Proxy, Run, Sidecar};
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
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let command = match command {
        Ok(Cli {
            command: Command::Run(mut run),
        }) => {
            run.from_env = from_env;
            Some(Command::Run(run))
        }
        Ok(Cli {
            command: Command::Proxy(mut proxy),
        }) => {
            proxy.from_env = from_env;
            Some(Command::Proxy(proxy))
        }
        Ok(Cli { command }) => Some(command),
        Err(error) => {
            faults.push(one_line(&error));
            None
        }
    };
    Parsed::Command { command, faults }
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
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|paragraph| !paragraph.is_empty())
        .collect();
    format!("{}; see attache --help", told.join("; "))
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
    let found = args.iter().position(|arg| {
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
