//! The admission webhook: pods get their sidecars as they are created.
//!
//! Reading order: `review` (one pod, pure) and `patch` (what changes in it), `serving` (TLS and
//! routes), `namespaces` (their annotations), `versions` (native sidecars or not), `certificates` (CA
//! and certificate that replicas share), `registration` (the caBundle).

mod certificates;
mod keeper;
mod registration;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tracing::info;

use crate::config::Webhook;
use crate::http::listen::{self, BoundAddress};
use crate::http::{self, DRAIN, Limits, Listener, Meters};
use crate::metrics::webhook::WebhookMetrics;
use crate::readiness::Readiness;
use crate::shutdown::{self, Shutdown};
use crate::upstream::Upstream;

mod namespaces;
mod patch;
mod review;
mod serving;
mod versions;

use namespaces::Namespaces;
use review::Policy;
use serving::{Admin, Reviews};

/// The most connections: an API server opens one for each review that it waits for.
const MOST_CONNECTIONS: usize = 4096;

/// How long a connection may be idle. An API server closes its own after 90 s (Go's transport), and
/// must be the first: a review that it sends while the webhook closes is lost, and the pod is created
/// without a sidecar.
const IDLE: Duration = Duration::from_secs(180);

/// Why the webhook ends.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// An address is taken.
    #[error("cannot listen (where: --address, --port, --admin-address)")]
    Listen(#[from] std::io::Error),
    /// A task ended that should not have: no half of a webhook goes on.
    #[error("the {0} ended before its time")]
    Ended(&'static str),
    /// A task failed.
    #[error("a task failed")]
    Failed(#[source] JoinError),
}

/// The webhook, bound; [`Server::run`] serves.
pub struct Server {
    config: Webhook,
    upstream: Upstream,
    main: Vec<Listener>,
    admin: Vec<Listener>,
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
}

/// What the webhook's parts share.
struct Shared {
    readiness: Readiness,
    metrics: WebhookMetrics,
    /// Those that must not end before the webhook does.
    tasks: JoinSet<&'static str>,
}

// === impl Server ===

impl Server {
    /// Binds the listeners. What the certificate needs is awaited by [`run`](Self::run), so that
    /// the kubelet sees it unready, rather than restarts it.
    ///
    /// # Errors
    /// [`WebhookError::Listen`].
    pub async fn bind(config: Webhook, upstream: Upstream) -> Result<Self, WebhookError> {
        let main = listen::bind(config.address, config.port).await?;
        let mut admin = Vec::new();
        if let Some(address) = config.admin_address {
            admin = listen::bind(address.ip(), address.port()).await?;
        }
        let address = tcp(&main).unwrap_or(SocketAddr::new(config.address, config.port));
        Ok(Self {
            admin_address: tcp(&admin),
            config,
            upstream,
            main,
            admin,
            address,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where live, ready and metrics are, if anywhere.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Serves until `stop` completes; then it is not ready any more, serves on for the shutdown delay,
    /// and drains.
    ///
    /// # Errors
    /// [`WebhookError::Ended`] and [`WebhookError::Failed`].
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), WebhookError> {
        let (stopping, unready) = shutdown::channel();
        let (draining, drain) = shutdown::channel();
        let (ending, end) = shutdown::channel();
        let delay = self.config.shutdown_delay;
        let mut shared = Shared {
            readiness: Readiness::default(),
            metrics: WebhookMetrics::new(),
            tasks: JoinSet::new(),
        };
        let mut serving = JoinSet::new();
        self.start(&mut shared, &mut serving, unready, drain, end);
        shared.readiness.seal();
        tokio::select! {
            () = stop => {}
            error = shared.ends(&mut serving) => return Err(error),
        }
        info!("stopping: not ready any more");
        shared.readiness.stopping();
        stopping.stop();
        tokio::select! {
            () = sleep(delay) => {}
            error = shared.ends(&mut serving) => return Err(error),
        }
        draining.stop();
        serving.join_all().await;
        ending.stop();
        shared.tasks.shutdown().await;
        info!("stopped");
        Ok(())
    }

    /// Starts everything. Answers end connections from `unready` on, the listener ends by `drain`, all
    /// else by `end`.
    fn start(
        self,
        shared: &mut Shared,
        serving: &mut JoinSet<()>,
        unready: Shutdown,
        drain: Shutdown,
        end: Shutdown,
    ) {
        let Shared {
            readiness,
            metrics,
            tasks,
        } = shared;
        let (known, native) = watch::channel(false);
        let pending = readiness.pending("the API server's version");
        let version = versions::follow(self.upstream.lease(), known, metrics.clone(), pending);
        tasks.spawn(task("version", version));
        let limits = Limits {
            max_connections: MOST_CONNECTIONS,
            header_read_timeout: IDLE,
            drain: DRAIN,
        };
        if !self.admin.is_empty() {
            let admin = Arc::new(Admin {
                readiness: readiness.clone(),
                metrics: metrics.clone(),
            });
            let admin = http::serve(self.admin, admin, limits, Meters::default(), end);
            tasks.spawn(task("admin listener", admin));
        }
        let reviews = Arc::new(Reviews {
            annotations: self.config.annotations,
            policy: Policy {
                platform: self.config.platform,
                deny: self.config.deny,
            },
            namespaces: Namespaces::new(self.upstream.lease()),
            native,
            metrics: metrics.clone(),
            stopping: unready,
        });
        let meters = Meters {
            open: metrics.connections.clone(),
            accept_errors: metrics.accept_errors.clone(),
        };
        serving.spawn(http::serve(self.main, reviews, limits, meters, drain));
    }
}

// === impl Shared ===

impl Shared {
    /// Waits for a task that should not end to do so.
    async fn ends(&mut self, serving: &mut JoinSet<()>) -> WebhookError {
        let ended = tokio::select! {
            Some(ended) = self.tasks.join_next() => ended,
            Some(ended) = serving.join_next() => ended.map(|()| "listener"),
        };
        match ended {
            Ok(name) => WebhookError::Ended(name),
            Err(error) => WebhookError::Failed(error),
        }
    }
}

/// Names a task, for the error when it ends before its time.
async fn task(name: &'static str, work: impl Future<Output = ()>) -> &'static str {
    work.await;
    name
}

fn tcp(listeners: &[Listener]) -> Option<SocketAddr> {
    listeners.iter().find_map(|listener| match listener.address() {
        Ok(BoundAddress::Tcp(address)) => Some(address),
        _ => None,
    })
}
