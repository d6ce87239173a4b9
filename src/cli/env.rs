//! `ATTACHE_<FLAG>`: flags from the environment.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// What Kubernetes puts into `ATTACHE_PORT` for a Service named `attache`.
const SERVICE_LINKS: [&str; 3] = ["tcp://", "udp://", "sctp://"];

/// The most times that a counted flag is taken from the environment.
const MOST_COUNTED: u8 = 9;

/// Adds the flags that the environment gives, and the arguments do not, to `args`, right after
/// the subcommand. Returns their long names.
pub(super) fn merge(
    cli: &Command,
    matches: &ArgMatches,
    environment: &HashMap<OsString, OsString>,
    args: &mut Vec<OsString>,
    faults: &mut Vec<String>,
) -> Vec<String> {
    let mut given = Vec::new();
    let Some((name, matches)) = matches.subcommand() else {
        return given;
    };
    let (Some(command), Some(at)) = (
        cli.find_subcommand(name),
        // The program may have a command's name.
        args.iter().skip(1).position(|arg| arg == name),
    ) else {
        return given;
    };
    let after_command = at + 2;
    let mut added = Vec::new();
    for arg in command.get_arguments() {
        let Some(long) = arg.get_long() else {
            continue;
        };
        let from_args =
            matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
        let variable = variable(long);
        match environment.get(OsStr::new(&variable)) {
            Some(value) if !from_args && !is_ignored(value) => {
                match flags(arg, long, value) {
                    Ok(flags) => added.extend(flags),
                    Err(fault) => faults.push(format!("{variable}: {fault}")),
                }
                given.push(long.to_owned());
            }
            _ => {}
        }
    }
    args.splice(after_command..after_command, added);
    given
}

/// `on-change` is `ATTACHE_ON_CHANGE`.
fn variable(long: &str) -> String {
    format!("ATTACHE_{}", long.to_ascii_uppercase().replace('-', "_"))
}

fn is_ignored(value: &OsStr) -> bool {
    let text = value.to_string_lossy();
    text.is_empty() || SERVICE_LINKS.iter().any(|scheme| text.starts_with(scheme))
}

/// The value as arguments.
fn flags(arg: &Arg, long: &str, value: &OsStr) -> Result<Vec<OsString>, String> {
    let flag = OsString::from(format!("--{long}"));
    let with = |value: &OsStr| {
        let mut argument = flag.clone();
        argument.push("=");
        argument.push(value);
        argument
    };
    match arg.get_action() {
        ArgAction::SetTrue => match value.to_str() {
            Some("true" | "1") => Ok(vec![flag]),
            Some("false" | "0") => Ok(Vec::new()),
            _ => Err(format!("{value:?} is neither true nor false")),
        },
        ArgAction::Count => match value.to_str().and_then(|text| text.parse().ok()) {
            Some(count @ 0..=MOST_COUNTED) => Ok(vec![flag; usize::from(count)]),
            _ => Err(format!(
                "{value:?} is not a number from 0 to {MOST_COUNTED}"
            )),
        },
        ArgAction::Append => {
            let text = value.to_str().ok_or("it is not UTF-8: write it so")?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            Ok(lines.map(|line| with(OsStr::new(line))).collect())
        }
        _ => Ok(vec![with(value)]),
    }
}

#[cfg(test)]
mod tests {
    use super::variable;

    #[test]
    fn a_flag_has_its_variable() {
        assert_eq!(variable("on-change"), "ATTACHE_ON_CHANGE");
    }
}
