//! The arguments of `attache doctor`.

use super::super::errors::Faults;
use super::super::flags::Reader;
use super::super::model::{Doctor, Namespaces};
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
    if args.targets.is_empty() && !args.pods && !args.all_namespaces {
        let given = names_something(&args.run);
        let config = check::run(&args.run, faults)?;
        return Some(Doctor::Here {
            config: given.then(|| Box::new(config)),
        });
    }
    let mut reader = Reader::new(&args.run.from_env, faults);
    let settings = connection::flags(&args.run.connection, &mut reader);
    let namespace = super::namespace(&args.run.connection, &mut reader);
    let configuration = reader.one("configuration", args.configuration.as_deref(), names::name);
    Some(Doctor::Cluster {
        targets,
        namespaces: match (args.all_namespaces, namespace) {
            (true, _) => Namespaces::All,
            (false, Some(namespace)) => Namespaces::Named(namespace),
            (false, None) => Namespaces::Default,
        },
        configuration: configuration.unwrap_or_else(|| CONFIGURATION.to_owned()),
        connection: Box::new(connection::connection(settings, faults)),
    })
}

/// Whether these are a sidecar's flags, rather than those that say which API server to ask.
fn names_something(run: &cli::Run) -> bool {
    let lists = [
        &run.configmap,
        &run.secret,
        &run.configmap_selector,
        &run.secret_selector,
        &run.mount,
        &run.files,
        &run.on_change,
    ];
    lists.into_iter().any(|list| !list.is_empty()) || run.config.is_some() || run.dir.is_some()
}
