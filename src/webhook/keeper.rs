//! One task that keeps the webhook's certificate and caBundle current.
//!
//! Each poll looks at the configuration, then at the certificate, then writes the configuration: what
//! it was told first is what it compares and replaces, so that no replica that reads late puts an
//! older caBundle back.

mod mounted;
mod own;
mod status;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::sleep;

use super::certificates::{Serving, Wanted};
use super::registration::Registration;
use crate::config::{self, Certificate};
use crate::shutdown::Shutdown;
use crate::upstream::Lease;

use super::api::{Api, Failure, Object};
pub(super) use status::Status;

use mounted::Files;
use own::Own;

/// How often Secret and configuration are looked at; and as often as [`LOOKS`] times while a certificate
/// is valid, if that is more often.
const INTERVAL: Duration = Duration::from_secs(30);
const LOOKS: u32 = 60;

/// The same for mounted files, which the kubelet changes.
const MOUNTED_INTERVAL: Duration = Duration::from_secs(10);

/// After how many intervals, in which all looks found it, a caBundle is known to every API server.
const PROPAGATION: u32 = 3;

/// The first wait after a failure; it doubles, up to the interval.
const RETRY: Duration = Duration::from_millis(500);

/// The longest wait after a conflict: another replica has done what was due.
const CONFLICT: Duration = Duration::from_millis(200);

/// Polls Secret (or directory) and configuration, swaps the certificate, tells readiness.
pub(super) struct Keeper<A = Lease> {
    api: A,
    source: Source,
    registration: Registration,
    interval: Duration,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    serving: Arc<Serving>,
    status: Status,
    ready: watch::Sender<bool>,
    /// What was warned about last, and is not said again.
    trouble: Option<String>,
}

enum Source {
    Own(Box<Own>),
    Mounted(Files),
}

// === impl Keeper ===

impl Keeper {
    /// Keeps what `config` says, with Secret and Service in `namespace`.
    pub(super) fn new(config: &config::Webhook, namespace: String, lease: Lease) -> Self {
        Self::with_clock(config, &namespace, lease, Timestamp::now)
    }
}

impl<A: Api> Keeper<A> {
    /// The same by another clock. Waits are tokio's.
    fn with_clock(
        config: &config::Webhook,
        namespace: &str,
        api: A,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        let serving = Arc::<Serving>::default();
        let status = Status::default();
        let (source, interval) = match &config.certificate {
            Certificate::Own {
                secret,
                service,
                validity,
            } => {
                let own = Own {
                    object: Object {
                        what: format!("secret {namespace}/{secret}"),
                        collection: format!("/api/v1/namespaces/{namespace}/secrets"),
                        name: secret.clone(),
                    },
                    wanted: Wanted {
                        names: names(service, namespace, config.address),
                        validity: *validity,
                    },
                    serving: Arc::clone(&serving),
                    status: status.clone(),
                    known: None,
                };
                let interval = INTERVAL.min(*validity / LOOKS);
                (Source::Own(Box::new(own)), interval)
            }
            Certificate::Mounted(dir) => {
                let files = Files::new(dir.clone(), Arc::clone(&serving));
                (Source::Mounted(files), MOUNTED_INTERVAL)
            }
        };
        Self {
            api,
            source,
            registration: Registration::new(config.configuration.clone()),
            interval,
            clock: Box::new(clock),
            serving,
            status,
            ready: watch::Sender::new(false),
            trouble: None,
        }
    }

    /// What the TLS listener needs. Handshakes fail until there is a certificate.
    pub(super) fn tls(&self) -> Arc<ServerConfig> {
        self.serving.config()
    }

    /// True once a certificate is served and the API server was told to trust it; it stays so.
    pub(super) fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// For metrics.
    pub(super) fn status(&self) -> Status {
        self.status.clone()
    }

    /// Keeps them current until `stop`.
    pub(super) async fn run(mut self, mut stop: Shutdown) {
        let mut retry = RETRY;
        loop {
            let polled = tokio::select! {
                polled = self.poll() => polled,
                () = stop.requested() => return,
            };
            let wait = match &polled {
                Ok(()) => {
                    retry = RETRY;
                    self.interval
                }
                Err(Failure::Conflict(_)) => CONFLICT,
                Err(_) => {
                    let wait = retry.min(self.interval);
                    retry = wait * 2;
                    wait
                }
            };
            self.tell(&polled);
            tokio::select! {
                () = sleep(wait.mul_f64(0.8 + 0.2 * fastrand::f64())) => {}
                () = stop.requested() => return,
            }
        }
    }

    async fn poll(&mut self) -> Result<(), Failure> {
        let looked = self.registration.look(&self.api).await;
        let bundle = match &mut self.source {
            Source::Own(own) => {
                let propagation = self.interval * PROPAGATION;
                let held_for = |bundle: &str| self.registration.held_for(bundle);
                let trusted = |bundle: &str| held_for(bundle) >= Some(propagation);
                let now = (self.clock)();
                Some(own.refresh(&self.api, now, trusted).await?)
            }
            Source::Mounted(files) => {
                let before = looked.as_ref().ok().and_then(|r| r.bundle());
                files.refresh(before.as_deref()).await?
            }
        };
        // Where somebody else sees to the caBundle, it is none of ours whether there is one.
        if let Some(bundle) = bundle
            && self.registration.set(&self.api, &looked?, &bundle).await?
        {
            self.status.bundle_writes.inc();
            tracing::info!(
                "the caBundle was written; API servers trust the certificate from now on"
            );
        }
        self.ready.send_replace(true);
        Ok(())
    }

    /// Warns of what has failed; once, as long as it fails in the same way.
    fn tell(&mut self, polled: &Result<(), Failure>) {
        match polled {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    tracing::info!("the webhook's certificate and caBundle are current again");
                }
            }
            Err(Failure::Conflict(what)) => {
                tracing::debug!(
                    what,
                    "another replica has written it first; attache looks again"
                );
            }
            Err(failure) => {
                let trouble = failure.to_string();
                if self.trouble.as_ref() != Some(&trouble) {
                    tracing::warn!(
                        error = trouble,
                        "the webhook's certificate or caBundle is not kept current; attache tries again, and serves what it has"
                    );
                    self.trouble = Some(trouble);
                }
            }
        }
    }
}

/// What the API server may call the webhook: the Service's names, and the loopback address that it
/// listens on, for an API server on the same machine.
fn names(service: &str, namespace: &str, address: IpAddr) -> Vec<String> {
    let mut names = vec![
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}"),
        service.to_owned(),
    ];
    if address.is_loopback() {
        names.push(address.to_string());
    }
    names
}

#[cfg(test)]
mod tests;
