//! The arguments of `attache doctor`.

use super::super::errors::Faults;
use super::super::flags::Reader;
use super::super::model::{Cluster, Doctor, Here, Namespaces};
use super::super::{check, connection, names};
use super::{CONFIGURATION, objects};
use crate::cli;

/// Validates the arguments of `attache doctor`; `None` only with a fault.
pub(crate) fn doctor(args: &cli::Doctor, faults: &mut Faults) -> Option<Doctor> {
    let targets: Vec<_> = args
        .targets
        .iter()
        .filter_map(|text| faults.take("KIND/NAME", objects::target(text)))
        .collect();
    let here = if args.targets.is_empty() && !args.pods && !args.all_namespaces {
        Some(Here {
            explicit: names_something(&args.run),
            config: Box::new(check::run(&args.run, faults)?),
        })
    } else {
        None
    };
    // What both read is a fault once.
    let mut again = Faults::default();
    let found = match &here {
        Some(_) => &mut again,
        None => &mut *faults,
    };
    let mut reader = Reader::new(&args.run.from_env, found);
    let settings = connection::flags(&args.run.connection, &mut reader);
    let namespace = super::namespace(&args.run.connection, &mut reader);
    let connection = connection::connection(settings, found);
    let mut reader = Reader::new(&args.run.from_env, faults);
    let configuration = reader.one("configuration", args.configuration.as_deref(), names::name);
    Some(Doctor {
        here,
        cluster: Cluster {
            targets,
            namespaces: match (args.all_namespaces, namespace) {
                (true, _) => Namespaces::All,
                (false, Some(namespace)) => Namespaces::Named(namespace),
                (false, None) => Namespaces::Default,
            },
            configuration: configuration.unwrap_or_else(|| CONFIGURATION.to_owned()),
            connection,
        },
    })
}

/// Whether the command line has a sidecar's flags, rather than those that say which API server to ask.
/// The environment is that of the container, and has them for the attache in it.
fn names_something(run: &cli::Run) -> bool {
    let given = [
        ("configmap", !run.configmap.is_empty()),
        ("secret", !run.secret.is_empty()),
        ("configmap-selector", !run.configmap_selector.is_empty()),
        ("secret-selector", !run.secret_selector.is_empty()),
        ("mount", !run.mount.is_empty()),
        ("files", !run.files.is_empty()),
        ("on-change", !run.on_change.is_empty()),
        ("config", run.config.is_some()),
        ("dir", run.dir.is_some()),
    ];
    let mut given = given.into_iter().filter(|(_, given)| *given);
    given.any(|(flag, _)| !run.from_env.iter().any(|name| name == flag))
}
