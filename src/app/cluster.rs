//! The commands of a cluster's operators.

use std::io::{Read, Write};

use anyhow::Context as _;
use tracing::info;

use super::commands::{Asked, Stop};
use super::{Fatal, guards};
use crate::config::{Connection, Doctor, Inject, Kubernetes, Uninject, Webhook};
use crate::doctor::{self, Severity};
use crate::inject::command;
use crate::upstream::{Upstream, Version};
use crate::webhook::Server;

/// `attache inject`. `say` gets the report.
///
/// # Errors
/// What could not be read, or a cluster that does not say its version.
pub async fn inject(
    inject: &Inject,
    stdin: &mut impl Read,
    out: &mut impl Write,
    say: &mut dyn FnMut(&str),
) -> Result<(), Fatal> {
    let native = match inject.kubernetes {
        Kubernetes::Unknown => false,
        Kubernetes::Version(major, minor) => Version(major, minor) >= Version::NATIVE_SIDECARS,
        Kubernetes::Ask => {
            let upstream = upstream(&inject.connection).await?;
            let version = upstream.lease().version().await;
            version.context("--kubernetes=cluster")? >= Version::NATIVE_SIDECARS
        }
    };
    Ok(command::inject(inject, native, stdin, out, say).map_err(anyhow::Error::from)?)
}

/// `attache uninject`.
///
/// # Errors
/// What could not be read.
pub fn uninject(
    uninject: &Uninject,
    stdin: &mut impl Read,
    out: &mut impl Write,
    say: &mut dyn FnMut(&str),
) -> Result<(), Fatal> {
    Ok(command::uninject(uninject, stdin, out, say).map_err(anyhow::Error::from)?)
}

/// `attache webhook`, until SIGTERM or SIGINT.
///
/// # Errors
/// [`Fatal`].
pub async fn webhook(webhook: Webhook) -> Result<(), Fatal> {
    let mut signals = Stop::new()?;
    guards::raise_open_files();
    let binding = async {
        let upstream = upstream(&webhook.connection).await?;
        let server = Server::bind(webhook, upstream).await;
        Ok::<_, Fatal>(server.map_err(anyhow::Error::from)?)
    };
    let server = tokio::select! {
        server = binding => server?,
        () = signals.next() => return Ok(()),
    };
    info!(address = %server.address(), "started");
    let serving = async |stop: Asked| {
        server
            .run(async {
                // A dropped sender asks for the same.
                let _ = stop.await;
            })
            .await
    };
    let served = signals.serve(serving).await;
    Ok(served.unwrap_or(Ok(())).map_err(anyhow::Error::from)?)
}

/// `attache doctor`.
///
/// # Errors
/// Standard output is closed.
pub async fn doctor(doctor: &Doctor, out: &mut impl Write) -> std::io::Result<Severity> {
    doctor::examine(doctor, out).await
}

async fn upstream(connection: &Connection) -> Result<Upstream, Fatal> {
    let upstream = Upstream::new(connection.clone()).await;
    upstream.map_err(|error| Fatal::Configuration(error.to_string()))
}
