//! The configuration of `attache inject`, `uninject`, `webhook` and `doctor`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::errors::Faults;
use super::flags::{self, Reader};
use super::model::{
    Certificate, Cluster, Doctor, Here, Inject, Input, Kubernetes, LogFormat, Namespaces, Objects,
    Output, Platform, Target, Template, Uninject, Webhook,
};
use super::{asked, check, connection, names, units};
use crate::cli;

/// The image of a sidecar whose platform names none.
const IMAGE: &str = concat!("attache:", env!("CARGO_PKG_VERSION"));
/// `--port` of the webhook.
const PORT: u16 = 8443;
/// `--shutdown-delay` of the webhook: endpoints take a moment to be taken out everywhere.
const SHUTDOWN_DELAY: Duration = Duration::from_secs(5);
/// `--configuration`.
const CONFIGURATION: &str = "attache";
/// `--service`: not `attache`, for the variables that Kubernetes makes of that name are the flags'.
const SERVICE: &str = "attache-webhook";
/// `--certificate-secret`.
const SECRET: &str = "attache-webhook-certificate";
/// `--certificate-validity`: 90 days.
const VALIDITY: Duration = Duration::from_secs(2160 * 3600);
/// The least of it, so that a renewal is noticed by all replicas in time.
const LEAST_VALIDITY: Duration = Duration::from_secs(3600);

/// What kubectl calls the kinds that have a pod template, and Pod.
const KINDS: &[(&str, &[&str])] = &[
    ("pod", &["pods", "po"]),
    ("deployment", &["deployments", "deploy"]),
    ("statefulset", &["statefulsets", "sts"]),
    ("daemonset", &["daemonsets", "ds"]),
    ("replicaset", &["replicasets", "rs"]),
    ("replicationcontroller", &["replicationcontrollers", "rc"]),
    ("job", &["jobs"]),
    ("cronjob", &["cronjobs", "cj"]),
];

/// Validates the flags of `attache inject`; `None` only with a fault.
pub(crate) fn inject(args: &cli::Inject, faults: &mut Faults) -> Option<Inject> {
    let objects = objects(&args.objects, faults);
    let mut reader = Reader::new(&args.from_env, faults);
    let settings = connection::flags(&args.connection, &mut reader);
    let kubernetes = reader.one("kubernetes", args.kubernetes.as_deref(), kubernetes);
    let namespace = namespace(&args.connection, &mut reader);
    let platform = platform(&args.injection, &mut reader);
    let annotations = annotations(&args.set, &mut reader);
    check_annotations(&annotations, faults);
    Some(Inject {
        objects,
        annotations,
        kubernetes: kubernetes.unwrap_or(Kubernetes::Unknown),
        platform,
        output: match (args.rbac, args.diff) {
            (true, _) => Output::Rbac,
            (_, true) => Output::Diff,
            _ => Output::Objects,
        },
        namespace,
        connection: connection::connection(settings, faults),
    })
}

/// Validates the flags of `attache uninject`; `None` only with a fault.
pub(crate) fn uninject(args: &cli::Uninject, faults: &mut Faults) -> Option<Uninject> {
    Some(Uninject {
        objects: objects(&args.objects, faults),
        output: match args.diff {
            true => Output::Diff,
            false => Output::Objects,
        },
    })
}

/// Validates the flags of `attache webhook`; `None` only with a fault.
pub(crate) fn webhook(args: &cli::Webhook, faults: &mut Faults) -> Option<Webhook> {
    let mut reader = Reader::new(&args.from_env, faults);
    let settings = connection::flags(&args.connection, &mut reader);
    let verbosity = flags::verbosity(&args.log, &mut reader);
    let mut name = |flag, text: &Option<String>, default: &str| {
        let read = reader.one(flag, text.as_deref(), names::name);
        read.unwrap_or_else(|| default.to_owned())
    };
    let configuration = name("configuration", &args.configuration, CONFIGURATION);
    let secret = name("certificate-secret", &args.certificate_secret, SECRET);
    let service = name("service", &args.service, SERVICE);
    let validity = reader.one(
        "certificate-validity",
        args.certificate_validity.as_deref(),
        validity,
    );
    let certificate = match &args.certificate_dir {
        Some(dir) => Certificate::Mounted(dir.clone()),
        None => Certificate::Own {
            secret,
            service,
            validity: validity.unwrap_or(VALIDITY),
        },
    };
    let deny = reader.one(
        "on-bad-annotation",
        args.on_bad_annotation.as_deref(),
        |text| match text {
            "deny" => Ok(true),
            "skip" => Ok(false),
            _ => Err(format!("{text:?} is neither deny nor skip")),
        },
    );
    let delay = args.shutdown_delay.as_deref();
    let format = args.log.log_format.as_deref();
    let webhook = Webhook {
        annotations: annotations(&args.set, &mut reader),
        platform: platform(&args.injection, &mut reader),
        deny: deny.unwrap_or(true),
        address: reader
            .one("address", args.address.as_deref(), units::address)
            .unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        port: reader
            .one("port", args.port.as_deref(), flags::port)
            .unwrap_or(PORT),
        admin_address: reader.one(
            "admin-address",
            args.admin_address.as_deref(),
            flags::admin_address,
        ),
        shutdown_delay: reader
            .one("shutdown-delay", delay, units::duration)
            .unwrap_or(SHUTDOWN_DELAY),
        configuration,
        certificate,
        namespace: namespace(&args.connection, &mut reader),
        log: super::model::Log {
            verbosity: verbosity.unwrap_or(0),
            format: reader
                .one("log-format", format, flags::log_format)
                .unwrap_or(LogFormat::Text),
        },
        connection: connection::connection(settings, faults),
    };
    if args.certificate_dir.is_some() {
        let given = [
            ("--certificate-secret", args.certificate_secret.is_some()),
            (
                "--certificate-validity",
                args.certificate_validity.is_some(),
            ),
            ("--service", args.service.is_some()),
        ];
        for (flag, _) in given.into_iter().filter(|(_, given)| *given) {
            let fault = "is for a certificate of attache's own, and --certificate-dir has another: drop one of the two";
            faults.add(flag, fault);
        }
    }
    check_annotations(&webhook.annotations, faults);
    Some(webhook)
}

/// Validates the arguments of `attache doctor`; `None` only with a fault.
pub(crate) fn doctor(args: &cli::Doctor, faults: &mut Faults) -> Option<Doctor> {
    let targets: Vec<_> = args
        .targets
        .iter()
        .filter_map(|text| faults.take("KIND/NAME", target(text)))
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
    let namespace = namespace(&args.run.connection, &mut reader);
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

fn objects(args: &cli::Objects, faults: &mut Faults) -> Objects {
    let input = |text: &String| match text.as_str() {
        "-" => Input::Stdin,
        path => Input::Path(PathBuf::from(path)),
    };
    let mut inputs: Vec<_> = args.filename.iter().map(input).collect();
    if inputs.is_empty() {
        inputs.push(Input::Stdin);
    }
    if inputs
        .iter()
        .filter(|input| **input == Input::Stdin)
        .count()
        > 1
    {
        faults.add(
            "--filename",
            "- is given twice: standard input can be read once",
        );
    }
    Objects {
        inputs,
        only: args
            .to
            .iter()
            .filter_map(|text| faults.take("--to", target(text)))
            .collect(),
        templates: args
            .template
            .iter()
            .filter_map(|text| faults.take("--template", template(text)))
            .collect(),
    }
}

/// Reads `KIND/NAME`; a kind that is none of Kubernetes' own is taken as it is, in lower case.
fn target(text: &str) -> Result<Target, String> {
    let (kind, name) = text
        .split_once('/')
        .ok_or_else(|| format!("{text:?} names no kind: write KIND/NAME, as deployment/web"))?;
    let kind = kind.to_lowercase();
    // kubectl takes deployments.apps, too.
    let plain = kind.split('.').next().unwrap_or_default();
    let known = KINDS
        .iter()
        .find(|(singular, others)| *singular == plain || others.contains(&plain));
    let kind = known
        .map_or(kind.as_str(), |(singular, _)| singular)
        .to_owned();
    Ok(Target {
        kind,
        name: names::name(name)?,
    })
}

/// Reads `KIND=PATH`.
fn template(text: &str) -> Result<Template, String> {
    let split = text.split_once('=');
    let read = split.map(|(kind, path)| Template {
        kind: kind.to_owned(),
        path: path
            .trim_matches('.')
            .split('.')
            .map(str::to_owned)
            .collect(),
    });
    read.filter(|template| !template.kind.is_empty() && !template.path.iter().any(String::is_empty))
        .ok_or_else(|| format!("{text:?}: write KIND=PATH, as Rollout=spec.template"))
}

/// Reads a version of Kubernetes, as 1.33, v1.33 or 1.33.2, or `cluster`.
fn kubernetes(text: &str) -> Result<Kubernetes, String> {
    if text == "cluster" {
        return Ok(Kubernetes::Ask);
    }
    let mut parts = text.trim_start_matches('v').split('.');
    let mut number = || parts.next()?.parse().ok();
    match (number(), number()) {
        (Some(major), Some(minor)) => Ok(Kubernetes::Version(major, minor)),
        _ => Err(format!(
            "{text:?} is not a version of Kubernetes: write it like 1.33, or cluster to ask it"
        )),
    }
}

fn validity(text: &str) -> Result<Duration, String> {
    let validity = units::duration(text)?;
    if validity < LEAST_VALIDITY {
        return Err(format!("{text:?} is too short: at least 1h"));
    }
    Ok(validity)
}

fn platform(args: &cli::Injection, reader: &mut Reader) -> Platform {
    let image = reader.one("image", args.image.as_deref(), units::filled);
    let restarts = reader.list("allow-restart", &args.allow_restart, |text| match text {
        "rollout" | "pods" => Ok(text.to_owned()),
        _ => Err(format!("{text:?} is neither rollout nor pods")),
    });
    let allows = |what: &str| restarts.iter().flatten().any(|allowed| allowed == what);
    Platform {
        image: image.unwrap_or_else(|| IMAGE.to_owned()),
        allow_rollout: allows("rollout"),
        allow_pods: allows("pods"),
    }
}

/// `--set`.
fn annotations(texts: &[String], reader: &mut Reader) -> BTreeMap<String, String> {
    let pairs = reader.list("set", texts, |text| match text.split_once('=') {
        Some((name, value)) => {
            let name = name.trim_start_matches(asked::PREFIX);
            Ok((name.to_owned(), value.to_owned()))
        }
        None => Err(format!(
            "{text:?} has no value: write NAME=VALUE, as configmaps=web-configmap"
        )),
    });
    let mut annotations = BTreeMap::new();
    annotations.extend(pairs.into_iter().flatten());
    annotations
}

/// What `--set` says is checked at once, rather than at each pod.
fn check_annotations(annotations: &BTreeMap<String, String>, faults: &mut Faults) {
    if let Err(found) = asked::asked(annotations) {
        for line in found.lines() {
            faults.add("--set", line);
        }
    }
}

fn namespace(args: &cli::Connection, reader: &mut Reader) -> Option<String> {
    reader.one("namespace", args.namespace.as_deref(), names::namespace)
}
