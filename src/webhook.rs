//! The admission webhook: pods get their sidecars as they are created.
//!
//! Reading order: `review` (one pod, pure), `serving` (TLS and
//! routes), `namespaces` (their annotations), `versions` (native sidecars or not), `keeper` (what keeps
//! the next two current), `certificates` (CA and certificate that replicas share), `registration` (the
//! caBundle).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tracing::info;

use crate::config::Webhook;
use crate::http::listen;
use crate::http::{self, DRAIN, Limits, Listener, Meters};
use crate::metrics::webhook::WebhookMetrics;
use crate::readiness::Readiness;
use crate::shutdown::{self, Shutdown};
use crate::upstream::{Lease, Upstream, pod_namespace};

mod api;
mod certificates;
mod keeper;
mod namespaces;
mod registration;
mod review;
mod serving;
mod versions;

use keeper::Keeper;
use namespaces::Namespaces;
use review::Policy;
use serving::{Admin, Reviews};

/// The most connections, each of some 25 KiB: an API server opens one for each review that it waits for,
/// and has 200 requests that change something in its hands at most (`--max-mutating-requests-inflight`).
const MOST_CONNECTIONS: usize = 1024;

/// How long a connection may be idle. An API server closes its own after 90 s (Go's transport), and
/// must be the first: a review that it sends while the webhook closes is lost, and the pod is created
/// without a sidecar.
const IDLE: Duration = Duration::from_secs(180);

/// What either listener lets in.
const LIMITS: Limits = Limits {
    max_connections: MOST_CONNECTIONS,
    header_read_timeout: IDLE,
    drain: DRAIN,
};

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
        let address = listen::tcp_addresses(&main)
            .first()
            .copied()
            .unwrap_or(SocketAddr::new(config.address, config.port));
        Ok(Self {
            admin_address: listen::tcp_addresses(&admin).first().copied(),
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
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), WebhookError> {
        let (stopping, unready) = shutdown::channel();
        let (draining, drain) = shutdown::channel();
        let (ending, end) = shutdown::channel();
        let delay = self.config.shutdown_delay;
        let keeper = self.keeper();
        let status = keeper.status();
        let mut shared = Shared {
            readiness: Readiness::default(),
            metrics: WebhookMetrics::new(
                status.bundle_writes.clone(),
                status.certificate_writes.clone(),
            ),
            tasks: JoinSet::new(),
        };
        let mut serving = JoinSet::new();
        let main = self.main_listeners(&keeper);
        let reviews = Arc::new(self.reviews(&mut shared, unready));
        let meters = Meters {
            open: shared.metrics.connections.clone(),
            accept_errors: shared.metrics.accept_errors.clone(),
        };
        serving.spawn(http::serve(main, reviews, LIMITS, meters, drain));
        shared.administer(self.admin, status, end.clone());
        shared.keep(keeper, end);
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

    /// Keeps the certificate, with the Secret in the webhook's own namespace.
    fn keeper(&self) -> Keeper {
        let namespace = self.config.namespace.clone().or_else(pod_namespace);
        let namespace = namespace.unwrap_or_else(|| self.upstream.default_namespace());
        Keeper::new(&self.config, namespace, self.upstream.lease())
    }

    /// The listeners of reviews, over TLS.
    fn main_listeners(&mut self, keeper: &Keeper) -> Vec<Listener> {
        let main = std::mem::take(&mut self.main).into_iter();
        main.map(|listener| listener.tls(keeper.tls())).collect()
    }

    /// Who answers reviews. Its answers end their connections from `stopping` on.
    fn reviews(&self, shared: &mut Shared, stopping: Shutdown) -> Reviews<Lease> {
        Reviews {
            annotations: self.config.annotations.clone(),
            policy: Policy {
                platform: self.config.platform.clone(),
                deny: self.config.deny,
            },
            namespaces: Namespaces::new(self.upstream.lease()),
            native: shared.follow_version(self.upstream.lease()),
            metrics: shared.metrics.clone(),
            room: serving::room(),
            stopping,
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Has the API server's version followed: whether sidecars are native ones.
    fn follow_version(&mut self, lease: Lease) -> watch::Receiver<bool> {
        let (known, native) = watch::channel(false);
        let pending = self.readiness.pending("the API server's version");
        let version = versions::follow(lease, known, self.metrics.clone(), pending);
        self.tasks.spawn(task("version's task", version));
        native
    }

    /// Serves live, ready and metrics until `end`.
    fn administer(&mut self, listeners: Vec<Listener>, status: keeper::Status, end: Shutdown) {
        if listeners.is_empty() {
            return;
        }
        let admin = Arc::new(Admin {
            readiness: self.readiness.clone(),
            metrics: self.metrics.clone(),
            status,
        });
        let admin = http::serve(listeners, admin, LIMITS, Meters::default(), end);
        self.tasks.spawn(task("admin listener", admin));
    }

    /// Has certificate and caBundle kept current until `end`; readiness waits for both.
    fn keep(&mut self, keeper: Keeper, end: Shutdown) {
        let pending = self.readiness.pending("certificate and caBundle");
        let mut ready = keeper.ready();
        let keeping = async move {
            let told = async {
                // An error means that the keeper ended, which is another task's end.
                if ready.wait_for(|ready| *ready).await.is_ok() {
                    drop(pending);
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = keeper.run(end) => {}
                () = told => {}
            }
        };
        self.tasks.spawn(task("certificate's task", keeping));
    }

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
