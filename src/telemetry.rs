//! Logging to stderr.

use std::io;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging. `verbosity` 0 is `info`, and counts up with `-v` and down with `-q`; `json`
/// writes one object a line. `RUST_LOG`, where it is set and not empty, decides instead. No line
/// has colours: stderr in a pod is no terminal.
///
/// # Errors
/// `RUST_LOG` is not a filter, or logging was started before.
pub fn init(verbosity: i8, json: bool) -> Result<(), String> {
    let wanted = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.is_empty());
    let filter: Targets = match &wanted {
        Some(text) => text
            .parse()
            .map_err(|error| format!("RUST_LOG: {error}: write it like attache=debug,kube=info"))?,
        None => directives(verbosity).parse().unwrap_or_default(),
    };
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(false);
    let lines = if json {
        lines.json().flatten_event(true).boxed()
    } else {
        lines.boxed()
    };
    let started = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
    started.map_err(|error| format!("cannot start logging: {error}"))
}

/// The filter of a verbosity. The libraries' own errors are told by attache, with what it does
/// about them; `-vvv` shows theirs too.
fn directives(verbosity: i8) -> &'static str {
    match verbosity {
        i8::MIN..=-3 => "off",
        -2 => "error",
        -1 => "warn,kube=error,hyper=error",
        0 => "warn,attache=info,kube=error,hyper=error",
        1 => "warn,attache=debug,kube=error,hyper=error",
        2 => "warn,attache=trace,kube=error,hyper=error",
        3..=i8::MAX => "debug,attache=trace",
    }
}

#[cfg(test)]
pub(crate) mod tests;
