//! The flags of `attache webhook`.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::super::errors::Faults;
use super::super::flags::{self, Reader};
use super::super::model::{Certificate, Log, LogFormat, Webhook};
use super::super::{connection, names, units};
use super::CONFIGURATION;
use crate::cli;

/// `--port`.
const PORT: u16 = 8443;
/// `--shutdown-delay`: endpoints take a moment to be taken out everywhere.
const SHUTDOWN_DELAY: Duration = Duration::from_secs(5);
/// `--service`: not `attache`, for the variables that Kubernetes makes of that name are the flags'.
const SERVICE: &str = "attache-webhook";
/// `--certificate-secret`.
const SECRET: &str = "attache-webhook-certificate";
/// `--certificate-validity`: 90 days.
const VALIDITY: Duration = Duration::from_secs(2160 * 3600);
/// The least of it, so that a renewal is noticed by all replicas in time.
const LEAST_VALIDITY: Duration = Duration::from_secs(3600);

/// Validates the flags of `attache webhook`; `None` only with a fault.
pub(crate) fn webhook(args: &cli::Webhook, faults: &mut Faults) -> Option<Webhook> {
    let annotations = super::annotations(&args.set, &args.from_env, faults);
    let certificate = certificate(args, faults);
    let mut reader = Reader::new(&args.from_env, faults);
    let settings = connection::flags(&args.connection, &mut reader);
    let verbosity = flags::verbosity(&args.log, &mut reader);
    let configuration = args.configuration.as_deref();
    let configuration = reader.one("configuration", configuration, names::name);
    let policy = args.on_bad_annotation.as_deref();
    let deny = reader.one("on-bad-annotation", policy, denies);
    let delay = args.shutdown_delay.as_deref();
    let format = args.log.log_format.as_deref();
    let admin_address = args.admin_address.as_deref();
    let webhook = Webhook {
        annotations,
        platform: super::platform(&args.injection, &mut reader),
        deny: deny.unwrap_or(true),
        address: reader
            .one("address", args.address.as_deref(), units::address)
            .unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        port: reader
            .one("port", args.port.as_deref(), flags::port)
            .unwrap_or(PORT),
        admin_address: reader.one("admin-address", admin_address, flags::admin_address),
        shutdown_delay: reader
            .one("shutdown-delay", delay, units::duration)
            .unwrap_or(SHUTDOWN_DELAY),
        configuration: configuration.unwrap_or_else(|| CONFIGURATION.to_owned()),
        certificate,
        namespace: super::namespace(&args.connection, &mut reader),
        log: Log {
            verbosity: verbosity.unwrap_or(0),
            format: reader
                .one("log-format", format, flags::log_format)
                .unwrap_or(LogFormat::Text),
        },
        connection: connection::connection(settings, faults),
    };
    check_admin(&webhook, &args.from_env, faults);
    Some(webhook)
}

/// Reads `--on-bad-annotation`: whether the pod is denied.
fn denies(text: &str) -> Result<bool, String> {
    match text {
        "deny" => Ok(true),
        "skip" => Ok(false),
        _ => Err(format!("{text:?} is neither deny nor skip")),
    }
}

/// Where the certificate comes from: one of the two ways.
fn certificate(args: &cli::Webhook, faults: &mut Faults) -> Certificate {
    let mut reader = Reader::new(&args.from_env, faults);
    let secret = args.certificate_secret.as_deref();
    let secret = reader.one("certificate-secret", secret, names::name);
    let service = reader.one("service", args.service.as_deref(), names::service);
    let validity = args.certificate_validity.as_deref();
    let validity = reader.one("certificate-validity", validity, validity_of);
    let Some(dir) = &args.certificate_dir else {
        return Certificate::Own {
            secret: secret.unwrap_or_else(|| SECRET.to_owned()),
            service: service.unwrap_or_else(|| SERVICE.to_owned()),
            validity: validity.unwrap_or(VALIDITY),
        };
    };
    for (flag, given) in [
        ("certificate-secret", &args.certificate_secret),
        ("certificate-validity", &args.certificate_validity),
        ("service", &args.service),
    ] {
        if given.is_some() {
            let fault = "is for a certificate of attache's own, and --certificate-dir has another: drop one of the two";
            faults.add(flags::flag_name(flag, &args.from_env), fault);
        }
    }
    Certificate::Mounted(dir.clone())
}

fn validity_of(text: &str) -> Result<Duration, String> {
    let validity = units::duration(text)?;
    if validity < LEAST_VALIDITY {
        return Err(format!("{text:?} is too short: at least 1h"));
    }
    Ok(validity)
}

/// Both listeners cannot have one port.
fn check_admin(webhook: &Webhook, from_env: &[String], faults: &mut Faults) {
    let Some(admin) = webhook.admin_address.filter(|admin| admin.port() != 0) else {
        return;
    };
    let same = admin.ip() == webhook.address
        || admin.ip().is_unspecified()
        || webhook.address.is_unspecified();
    if same && admin.port() == webhook.port {
        let fault = format!("port {} is --port's already: choose another", admin.port());
        faults.add(flags::flag_name("admin-address", from_env), fault);
    }
}
