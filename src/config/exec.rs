//! The flags of `attache exec` to a [`Config`] with a command.

use std::time::Duration;

use super::check::{self, Listener};
use super::errors::Faults;
use super::flags::{self, Reader};
use super::model::{Config, EnvFrom, Exec, ObjectKind, Reload, Signal, Timing};
use super::partial::ProxySettings;
use super::{names, objects, rules, signals, units};
use crate::cli::{self, EnvSource};

/// `--stop-timeout`.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// `--min-interval`: a command that ends at once does not spin.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// `--wait-timeout`.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// The configuration of `attache exec`; `None` only with a fault.
pub(crate) fn exec(args: &cli::Exec, faults: &mut Faults) -> Option<Config> {
    let mut settings = check::settings(&args.run, faults);
    let from_env = &args.run.from_env;
    let serve = Reader::new(from_env, faults).switch("serve", args.serve.as_deref());
    let listener = if serve.unwrap_or(false) {
        Listener::Full
    } else {
        refuse_listening(&args.run, faults);
        settings.on_demand = Some(false);
        settings.proxying = Some(false);
        settings.proxy = ProxySettings::default();
        settings.discover = None;
        settings.allow_writes = None;
        settings.create_on_read = None;
        Listener::None
    };
    let exec = command(args, &mut Reader::new(from_env, faults));
    let config = check::config(settings, listener, faults);
    if args.command.is_empty() {
        faults.add_line("no command to run: end with -- COMMAND [ARGS]...");
    }
    let mut config = config?;
    if exec.stale_ok && config.state.is_none() {
        let flag = flags::flag_name("stale-ok", from_env);
        faults.add(flag, "nothing is kept without --state-dir: add it");
    }
    objects::add_environment(&mut config.source, &exec.env_from);
    config.exec = Some(exec);
    Some(config)
}

/// Reads exec's own flags; what is wrong with one is a fault that names it.
fn command(args: &cli::Exec, reader: &mut Reader<'_>) -> Exec {
    let sources = args.env_sources.iter();
    let env_from = sources.filter_map(|source| {
        let (flag, kind, text) = match source {
            EnvSource::ConfigMap(text) => ("env-from", ObjectKind::ConfigMap, text),
            EnvSource::Secret(text) => ("secret-env-from", ObjectKind::Secret, text),
        };
        reader.one(flag, Some(text), |text| environment(kind, text))
    });
    let env_from = env_from.collect();
    let reload = reader.one("reload", args.reload.as_deref(), reload);
    let stop_signal = reader.one("stop-signal", args.stop_signal.as_deref(), signals::signal);
    let mut duration =
        |flag, text: &Option<String>| reader.one(flag, text.as_deref(), units::duration);
    let stop_timeout = duration("stop-timeout", &args.stop_timeout);
    let splay = duration("splay", &args.splay);
    let min_interval = duration("min-interval", &args.min_interval);
    let wait_timeout = duration("wait-timeout", &args.wait_timeout);
    let mut switch =
        |flag, text: &Option<String>| reader.switch(flag, text.as_deref()) == Some(true);
    Exec {
        argv: args.command.clone(),
        env_from,
        environment_wins: switch("environment-wins", &args.environment_wins),
        reload: reload.unwrap_or(Reload::Restart),
        stop_signal: stop_signal.unwrap_or_else(terminate),
        stop_timeout: stop_timeout.unwrap_or(STOP_TIMEOUT),
        timing: Timing {
            settle: None,
            splay: splay.unwrap_or_default(),
            min_interval: min_interval.unwrap_or(MIN_INTERVAL),
            retries: rules::RETRIES,
        },
        wait_timeout: Some(wait_timeout.unwrap_or(WAIT_TIMEOUT)).filter(|wait| !wait.is_zero()),
        stale_ok: switch("stale-ok", &args.stale_ok),
        keep: switch("keep", &args.keep),
    }
}

/// Flags of the main listener ask for one. Variables do not: a container's other commands may be
/// who they are for.
fn refuse_listening(run: &cli::Run, faults: &mut Faults) {
    let (listen, forward) = (&run.listen, &run.forward);
    let off = |text: &Option<String>| text.as_deref().map(flags::switch) == Some(Ok(false));
    for (flag, given) in [
        ("no-on-demand", off(&run.no_on_demand)),
        ("port", listen.port.is_some()),
        ("address", listen.address.is_some()),
        ("unix-socket", listen.unix_socket.is_some()),
        ("accept-hosts", listen.accept_hosts.is_some()),
        ("max-connections", listen.max_connections.is_some()),
        ("allow-non-loopback", run.allow_non_loopback.is_some()),
        ("discover", !run.discover.is_empty()),
        ("allow-writes", run.allow_writes.is_some()),
        ("create-on-read", run.create_on_read.is_some()),
        ("accept-paths", forward.accept_paths.is_some()),
        ("reject-paths", forward.reject_paths.is_some()),
        ("reject-methods", forward.reject_methods.is_some()),
        ("disable-filter", forward.disable_filter.is_some()),
        ("api-prefix", forward.api_prefix.is_some()),
        ("www", forward.www.is_some()),
        ("www-prefix", forward.www_prefix.is_some()),
        ("append-server-path", forward.append_server_path.is_some()),
        ("request-timeout", run.connection.request_timeout.is_some()),
        ("no-proxy", off(&run.no_proxy)),
    ] {
        if given && !run.from_env.iter().any(|name| name == flag) {
            let fault = "attache exec serves nothing without --serve: add it, or drop this flag";
            faults.add(format!("--{flag}"), fault);
        }
    }
}

/// Reads `[NS/]NAME[,optional][,prefix=P]`.
fn environment(kind: ObjectKind, text: &str) -> Result<EnvFrom, String> {
    let mut parts = text.split(',');
    let object = names::object(parts.next().unwrap_or_default())?;
    let (mut optional, mut prefix) = (false, None);
    for part in parts {
        match part.strip_prefix("prefix=") {
            Some(text) if prefix.is_none() => prefix = Some(variable_prefix(text)?),
            None if part == "optional" && !optional => optional = true,
            _ => {
                return Err(format!(
                    "{part:?} is not known after a name, or given twice: write [NS/]NAME[,optional][,prefix=P], and give the flag again for another object"
                ));
            }
        }
    }
    Ok(EnvFrom {
        kind,
        object,
        optional,
        prefix: prefix.unwrap_or_default(),
    })
}

/// Reads how the names of variables begin: as the API server checks `prefix` of `envFrom`.
fn variable_prefix(text: &str) -> Result<String, String> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(known)
    {
        return Err(format!(
            "{text:?} cannot begin a variable's name: use letters, digits, '_', '-' and '.', no digit first"
        ));
    }
    Ok(text.to_owned())
}

/// Reads `restart`, `none` or `signal=NAME`.
fn reload(text: &str) -> Result<Reload, String> {
    match (text, text.strip_prefix("signal=")) {
        ("restart", _) => Ok(Reload::Restart),
        ("none", _) => Ok(Reload::None),
        (_, Some(name)) => signals::signal(name).map(Reload::Signal),
        _ => Err(format!(
            "{text:?} is no way to reload: use restart, none or signal=NAME, as signal=HUP"
        )),
    }
}

fn terminate() -> Signal {
    Signal {
        number: 15,
        name: "TERM".to_owned(),
    }
}

#[cfg(test)]
mod tests;
