//! The composition root: builds, binds, spawns, and ends everything in order.

mod cluster;
mod commands;
mod guards;
mod listeners;
mod sources;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::actions::Tools;
use crate::api::Api;
use crate::api::discover::Discovery;
use crate::api::push::Waiting;
use crate::api::writes::Writer;
use crate::config::{Config, Serve};
use crate::exec::{self, ExecError};
use crate::http::{self, Limits, Listener, Meters};
use crate::metrics::Metrics;
use crate::process::Children;
use crate::proxy::Proxy;
use crate::react::{Names, React};
use crate::readiness::Readiness;
use crate::router::{Outside, Router};
use crate::shutdown::{self, Shutdown, Trigger};
use crate::state::{Restored, StateDir};
use crate::status::Board;
use crate::store::demand::Demander;
use crate::store::{self, Reader};
use crate::upstream::{Upstream, pod_namespace};
use crate::{api, config, react};

pub use cluster::{doctor, inject, uninject, webhook};
pub use commands::{config_from, get, healthcheck, install, run, set, unset, watch};

/// The namespace where neither configuration, pod nor kubeconfig names one.
const DEFAULT_NAMESPACE: &str = "default";

/// The task that acts, and has what it did kept.
const RULES: &str = "rules";

/// How long a disk may take at the end for what is still to be kept.
const KEEPING: Duration = Duration::from_secs(5);

/// Why attache ends.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The configuration cannot work here; exit code 64.
    #[error("{0}")]
    Configuration(String),
    /// The command of `attache exec` was not started; its exit code is the error's.
    #[error(transparent)]
    Command(#[from] ExecError),
    /// Something failed; exit code 1.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// Where attache listens.
#[derive(Debug, Clone, Default)]
pub struct Bound {
    /// The main listener's TCP addresses.
    pub addresses: Vec<SocketAddr>,
    /// The main listener's Unix socket.
    pub unix_socket: Option<PathBuf>,
    /// The admin listener's address.
    pub admin: Option<SocketAddr>,
}

/// attache, built, bound and with its sources running; [`App::run`] serves.
pub struct App {
    namespace: Arc<str>,
    readiness: Readiness,
    board: Board,
    metrics: Metrics,
    reader: Reader,
    /// Those that must not end before attache does.
    tasks: JoinSet<&'static str>,
    /// Ends them, after the last answer was given.
    stop: Shutdown,
    stopping: Trigger,
    main: Vec<Listener>,
    admin: Vec<Listener>,
    bound: Bound,
    demander: Option<Demander>,
    discovery: Option<Discovery>,
    upstream: Option<Upstream>,
    serve: Serve,
    proxy: Option<config::Proxy>,
    max_bytes: usize,
    children: Children,
    settle: config::Settle,
    exec: Option<config::Exec>,
}

/// Opens the state directory, if there is one.
async fn state_dir(config: &Config) -> Result<Option<(Arc<StateDir>, Restored)>, Fatal> {
    let Some(config::State { dir, secrets, .. }) = config.state.clone() else {
        return Ok(None);
    };
    let opening = tokio::task::spawn_blocking(move || StateDir::open(&dir, secrets));
    let opened = opening.await.context("the state directory")?;
    let (dir, restored) = opened.map_err(|error| Fatal::Configuration(error.to_string()))?;
    Ok(Some((Arc::new(dir), restored)))
}

/// Names a task, for the error when it ends before its time.
async fn task(name: &'static str, work: impl Future<Output = ()>) -> &'static str {
    work.await;
    name
}

/// Waits until the task of that name has ended, or any has failed.
async fn ended(tasks: &mut JoinSet<&'static str>, name: &str) {
    while let Some(Ok(ended)) = tasks.join_next().await {
        if ended == name {
            return;
        }
    }
}

// === impl App ===

impl App {
    /// Finds the API server's credentials, binds every listener and starts every source and rule.
    ///
    /// # Errors
    /// [`Fatal`]: credentials that are missing or unusable, an address that is taken.
    pub async fn start(config: Config) -> Result<Self, Fatal> {
        guards::refuse_host_pid(&config)?;
        guards::hide_from_neighbours(&config);
        guards::warn_of_open_doors(&config);
        guards::warn_of_idle_rules(&config);
        guards::raise_open_files();
        let upstream = sources::upstream(&config).await?;
        let context = || upstream.as_ref().map(Upstream::default_namespace);
        let named = config.source.namespace.clone();
        let namespace = named.or_else(pod_namespace).or_else(context);
        let namespace: Arc<str> = namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE).into();
        let mut state = state_dir(&config).await?;
        let scopes = state
            .as_mut()
            .map(|(_, restored)| std::mem::take(&mut restored.scopes));
        let restored = scopes.unwrap_or_default();
        let (main, admin, bound) = listeners::bind(&config.serve).await?;
        let (writer, reader) = store::new(config.source.max_bytes);
        let (stopping, stop) = shutdown::channel();
        let mut app = Self {
            namespace,
            readiness: Readiness::default(),
            board: Board::default(),
            metrics: Metrics::new(),
            reader,
            tasks: JoinSet::new(),
            stop,
            stopping,
            main,
            admin,
            bound,
            demander: None,
            discovery: None,
            upstream: upstream.clone(),
            serve: config.serve.clone(),
            proxy: config.proxy.clone(),
            max_bytes: config.source.max_bytes,
            children: Children::new(guards::orphans(upstream.as_ref())),
            settle: config.settle,
            exec: config.exec.clone(),
        };
        app.start_reaping()?;
        let ready_from_state = config.state.as_ref().is_some_and(|state| state.ready);
        // Before the sources, so that rules see the first snapshot as their baseline.
        app.start_rules(&config, state, ready_from_state);
        app.demander = sources::start(
            &mut app,
            &config.source,
            &writer,
            restored,
            ready_from_state,
        );
        app.readiness.seal();
        let server = app.upstream.as_ref().map(Upstream::server);
        info!(namespace = %app.namespace, server, addresses = ?app.bound.addresses, "started");
        Ok(app)
    }

    /// Where it listens.
    #[must_use]
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// What `attache exec` runs, as a future that ends when the command has; `None` for `attache
    /// run`. To be given to [`App::run`].
    pub fn command(
        &self,
        signals: exec::Signals,
    ) -> Option<impl Future<Output = Result<exec::Ended, ExecError>> + use<>> {
        let inputs = exec::Inputs {
            reader: self.reader.clone(),
            readiness: self.readiness.clone(),
            board: self.board.clone(),
            metrics: self.metrics.clone(),
            names: Names::new(Arc::clone(&self.namespace)),
            settle: self.settle,
            children: self.children.clone(),
            environment: std::env::vars_os().collect(),
            signals,
            shutdown: self.stop.clone(),
        };
        Some(exec::run(self.exec.clone()?, inputs))
    }

    /// Serves until `stop` completes, then drains and ends every task, and returns what `stop` did.
    ///
    /// # Errors
    /// [`Fatal::Other`] if a task ended that should not have: no half of attache goes on. With
    /// `attache exec` the command has been asked to end then, and `stop` awaited.
    pub async fn run<T>(mut self, stop: impl Future<Output = T>) -> Result<T, Fatal> {
        let (draining, drain) = shutdown::channel();
        let (router, admin) = self.routers(&drain).context("the routes collide")?;
        let limits = Limits::new(self.serve.max_connections);
        let meters = Meters {
            open: self.metrics.http_connections.clone(),
            accept_errors: self.metrics.http_accept_errors.clone(),
        };
        let main = std::mem::take(&mut self.main);
        let mut serving = JoinSet::new();
        if !main.is_empty() {
            serving.spawn(http::serve(main, Arc::new(router), limits, meters, drain));
        }
        let listeners = std::mem::take(&mut self.admin);
        if !listeners.is_empty() {
            let limits = Limits::new(self.serve.max_connections);
            let stop = self.stop.clone();
            let admin = http::serve(listeners, Arc::new(admin), limits, Meters::default(), stop);
            self.tasks.spawn(task("admin listener", admin));
        }
        tokio::pin!(stop);
        let stopped = tokio::select! {
            stopped = &mut stop => stopped,
            error = self.ends(&mut serving) => {
                self.stopping.stop();
                if self.exec.is_some() {
                    stop.await;
                }
                return Err(error.into());
            }
        };
        info!("stopping: not ready any more");
        self.readiness.stopping();
        // Nobody calls on behalf of a command that has ended.
        let delay = match self.exec {
            Some(_) => Duration::ZERO,
            None => self.serve.shutdown_delay,
        };
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            error = self.ends(&mut serving) => return Err(error.into()),
        }
        draining.stop();
        serving.join_all().await;
        self.stopping.stop();
        let kept = timeout(KEEPING, ended(&mut self.tasks, RULES)).await;
        if kept.is_err() {
            warn!(
                "state was not kept in time: the next attache may act again upon content that this one acted upon"
            );
        }
        self.tasks.shutdown().await;
        info!("stopped");
        Ok(stopped)
    }

    /// Waits for a task that should not end to do so.
    async fn ends(&mut self, serving: &mut JoinSet<()>) -> anyhow::Error {
        tokio::select! {
            Some(ended) = self.tasks.join_next() => early(ended),
            Some(ended) = serving.join_next() => early(ended.map(|()| "main listener")),
        }
    }

    fn routers(&mut self, drain: &Shutdown) -> Result<(Router, Router), matchit::InsertError> {
        let api = Arc::new(Api {
            reader: self.reader.clone(),
            demander: self.demander.clone(),
            readiness: self.readiness.clone(),
            board: self.board.clone(),
            metrics: self.metrics.clone(),
            namespace: Arc::clone(&self.namespace),
            max_bytes: self.max_bytes,
            started: Instant::now(),
            silence: self.upstream.clone().map(silence),
            discovery: self.discovery.take(),
            writer: self.writer(),
            waiting: Waiting::new(self.serve.max_connections),
            drain: drain.clone(),
        });
        let hosts = self.serve.accept_hosts.clone();
        let outside = self.outside(drain);
        let main = Router::new(Arc::clone(&api), hosts, self.serve.own_routes, outside)?;
        Ok((main, Router::admin(api)?))
    }

    /// Writes ConfigMaps, if clients may and there is an API server.
    fn writer(&self) -> Option<Writer> {
        let upstream = self.upstream.as_ref()?;
        let writes = self.serve.writes;
        writes
            .allowed
            .then(|| Writer::new(upstream.lease(), writes.create_on_read))
    }

    /// What is not attache's own, if there is an API server to proxy.
    fn outside(&self, drain: &Shutdown) -> Option<Outside> {
        let config = self.proxy.as_ref()?;
        let upstream = self.upstream.clone()?;
        let proxy = Proxy::new(upstream, config, self.metrics.clone(), drain.clone());
        Some(Outside::new(proxy, config))
    }

    /// Reaps what attache starts, and the orphans that come to it as PID 1 or under `attache exec`.
    fn start_reaping(&mut self) -> Result<(), Fatal> {
        if self.exec.is_some() {
            let adopted = self.children.become_subreaper();
            adopted.context("cannot become the parent of orphans")?;
        }
        let children = self.children.clone();
        self.tasks.spawn(task("reaper", async move {
            let Err(error) = children.reap().await;
            tracing::error!(%error, "SIGCHLD cannot be handled; attache ends");
        }));
        Ok(())
    }

    fn start_rules(
        &mut self,
        config: &Config,
        state: Option<(Arc<StateDir>, Restored)>,
        ready_from_state: bool,
    ) {
        let inputs = react::Inputs {
            rules: config.on_change.clone(),
            files: config.files.clone(),
            names: Names::new(Arc::clone(&self.namespace)),
            settle: config.settle,
            reader: self.reader.clone(),
            board: self.board.clone(),
            metrics: self.metrics.clone(),
            tools: Tools {
                children: self.children.clone(),
                upstream: self.upstream.clone(),
                namespace: guards::own_namespace(|name| std::env::var(name).ok(), pod_namespace())
                    .unwrap_or_else(|| Arc::clone(&self.namespace)),
                pod_name: guards::pod_name(config),
            },
            state,
            ready_from_state,
        };
        let rules = React::new(inputs, &self.readiness).run(self.stop.clone());
        self.tasks.spawn(task(RULES, rules));
    }
}

/// How long the API server has been silent, for the metrics.
fn silence(upstream: Upstream) -> api::Silence {
    Box::new(move || upstream.last_heard().elapsed())
}

fn early(ended: Result<&'static str, JoinError>) -> anyhow::Error {
    match ended {
        Ok(name) => anyhow::anyhow!("the {name} ended before its time"),
        Err(error) => anyhow::Error::new(error).context("a task failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_rules_have_yet_to_keep_is_kept_before_all_is_ended() {
        let mut tasks = JoinSet::new();
        tasks.spawn(task("readiness", std::future::pending()));
        tasks.spawn(task("mount", async {}));
        let kept = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let keeping = Arc::clone(&kept);
        tasks.spawn(task(RULES, async move {
            tokio::task::yield_now().await;
            keeping.store(true, std::sync::atomic::Ordering::Relaxed);
        }));
        ended(&mut tasks, RULES).await;
        assert!(kept.load(std::sync::atomic::Ordering::Relaxed));
        // A task that failed is not waited for.
        tasks.spawn(async { panic!("as a task may") });
        ended(&mut tasks, RULES).await;
    }
}
