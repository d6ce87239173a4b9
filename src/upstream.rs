//! The way to the API server: which credentials, and the connections that watches share.
//!
//! [`Upstream::lease`] gives a watch its place on an HTTP/2 connection. One connection serves up
//! to [`WATCHES_PER_CONNECTION`] watches; more open another, because an API server allows 100 to
//! 250 streams on one and a list must always find a free one.

mod authorization;
mod body;
mod budget;
mod call;
mod client;
mod connection;
mod credentials;
mod heard;
mod kubeconfig;
mod lease;
mod loaded;
mod plugin;
mod slot;
mod status;
mod tls;
mod version;
mod words;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config;

pub use body::RequestBody;
pub use budget::Budget;
pub use call::CallError;
pub use client::{BodyError, Client, Identity, SendError};
pub use credentials::{CredentialsError, pod_namespace};
pub use heard::Heard;
pub use lease::{Lease, WATCHES_PER_CONNECTION};
pub use status::{Status, StatusCause, StatusDetails};
pub use version::{Version, VersionError};
pub use words::causes;

use connection::HttpVersions;
use lease::Connection;
use loaded::Loaded;
use slot::Slot;

/// How often at most refused proxied requests have the credentials read again; and where that
/// runs a plugin, or failed.
const RENEW: Duration = Duration::from_secs(1);
const RENEW_COSTLY: Duration = Duration::from_secs(5);

/// Why no client could be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpstreamError {
    /// TLS or an exec plugin makes no use of the credentials: why, without what is secret in it.
    #[error("the API server's credentials are unusable: {0}")]
    Client(String),
    /// The proxy before the API server has another scheme: its URL, without what is secret in it.
    #[error("the proxy {0} cannot be used: its scheme must be http, https or socks5")]
    Proxy(String),
    /// The runtime is stopping.
    #[error("attache is stopping")]
    Stopping,
}

impl From<String> for UpstreamError {
    fn from(told: String) -> Self {
        Self::Client(told)
    }
}

/// Knows the API server; cheap to clone.
#[derive(Clone)]
pub struct Upstream {
    shared: Arc<Shared>,
}

struct Shared {
    settings: config::Connection,
    heard: Heard,
    /// Serializes reading.
    refreshing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    loaded: Arc<Loaded>,
    generation: u64,
    connections: Vec<Connection>,
    proxy: ProxyClients,
    /// Until when no refused proxied request has the credentials read again.
    rests: Option<tokio::time::Instant>,
}

/// The clients of proxied requests, made at the first.
#[derive(Default)]
struct ProxyClients {
    own: Arc<Slot<Client>>,
    caller: Arc<Slot<Client>>,
}

// === impl Upstream ===

impl Upstream {
    /// Finds the credentials. Nothing is sent yet.
    ///
    /// # Errors
    /// [`CredentialsError`] where there are none or the kubeconfig is unusable.
    pub async fn new(settings: config::Connection) -> Result<Self, CredentialsError> {
        // Fails only if a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let loaded = credentials::load(&settings).await?;
        if loaded.withheld {
            loaded.warn_of_withheld();
        }
        let state = State {
            loaded: Arc::new(loaded),
            generation: 0,
            connections: Vec::new(),
            proxy: ProxyClients::default(),
            rests: None,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                settings,
                heard: Heard::new(),
                refreshing: tokio::sync::Mutex::default(),
                state: Mutex::new(state),
            }),
        })
    }

    /// The context's namespace, or the service account's; else `default`.
    #[must_use]
    pub fn default_namespace(&self) -> String {
        self.lock().loaded.config.default_namespace.clone()
    }

    /// Whether a program gives the credentials (an `exec` plugin of the kubeconfig).
    #[must_use]
    pub fn runs_plugin(&self) -> bool {
        self.lock().loaded.runs_plugin()
    }

    /// The API server's address, for logs: without the password that it may hold.
    #[must_use]
    pub fn server(&self) -> String {
        words::shown(&self.lock().loaded.config.cluster_url)
    }

    /// The path of the API server's URL, without a slash at its end: empty, or that of a proxy
    /// such as `/k8s/clusters/c-1`.
    #[must_use]
    pub fn server_path(&self) -> String {
        let state = self.lock();
        state
            .loaded
            .config
            .cluster_url
            .path()
            .trim_end_matches('/')
            .to_owned()
    }

    /// When the API server last sent a byte on any of the watches' connections.
    #[must_use]
    pub fn last_heard(&self) -> Instant {
        self.shared.heard.last()
    }

    /// Reads the credentials again, unless that brought newer ones than those of `generation`
    /// already, which is true then. If they are others than those in use, or if a plugin may give
    /// others, requests from now on use new connections, and it is true; what runs on the old ones
    /// goes on.
    ///
    /// # Errors
    /// [`CredentialsError`]; the earlier credentials stay in use then.
    pub async fn refresh(&self, generation: u64) -> Result<bool, CredentialsError> {
        let _refreshing = self.shared.refreshing.lock().await;
        if self.lock().generation != generation {
            return Ok(true);
        }
        self.read_again().await
    }

    /// [`refresh`](Self::refresh)es for a proxied request, with a rest after each time: whoever
    /// asks with credentials that are simply wrong must not make attache read them all the time.
    /// True if there are newer ones than those of `generation`, so that it is worth asking again.
    pub async fn renew(&self, generation: u64) -> bool {
        let _refreshing = self.shared.refreshing.lock().await;
        let now = tokio::time::Instant::now();
        {
            let state = self.lock();
            if state.generation != generation {
                return true;
            }
            if state.rests.is_some_and(|until| now < until) {
                return false;
            }
        }
        let read = self.read_again().await;
        let mut state = self.lock();
        let costly = read.is_err() || state.loaded.runs_plugin();
        state.rests = Some(now + if costly { RENEW_COSTLY } else { RENEW });
        read.unwrap_or_else(|error| {
            tracing::warn!(%error, "the credentials cannot be read again; attache keeps the earlier ones");
            false
        })
    }

    /// Whether other credentials are in use now.
    async fn read_again(&self) -> Result<bool, CredentialsError> {
        let loaded = credentials::load(&self.shared.settings).await?;
        let mut state = self.lock();
        // The proxy's filter knows the path of the server in use, and callers know its objects.
        loaded.is_for_server_of(&state.loaded)?;
        if loaded == *state.loaded && !loaded.runs_plugin() {
            return Ok(false);
        }
        if loaded.withheld && !state.loaded.withheld {
            loaded.warn_of_withheld();
        }
        state.loaded = Arc::new(loaded);
        state.generation += 1;
        state.proxy = ProxyClients::default();
        for connection in &mut state.connections {
            connection.client = Arc::default();
        }
        Ok(true)
    }

    /// The client that sends proxied requests of `identity` now; asked for again for each
    /// request, as credentials change.
    ///
    /// # Errors
    /// [`UpstreamError`] when the credentials make no client.
    pub async fn proxy_client(&self, identity: Identity) -> Result<Client, UpstreamError> {
        let slot = |state: &State| Arc::clone(state.proxy.of(identity));
        // What the watches hear is theirs alone.
        let heard = Heard::new();
        self.client(slot, heard, HttpVersions::Http1, identity)
            .await
    }

    async fn client(
        &self,
        slot: impl FnOnce(&State) -> Arc<Slot<Client>>,
        heard: Heard,
        versions: HttpVersions,
        identity: Identity,
    ) -> Result<Client, UpstreamError> {
        let (slot, loaded, generation) = {
            let state = self.lock();
            (slot(&state), Arc::clone(&state.loaded), state.generation)
        };
        let keepalive = self.shared.settings.keepalive;
        slot.get(move || Client::new(&loaded, keepalive, heard, versions, identity, generation))
            .await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ProxyClients ===

impl ProxyClients {
    fn of(&self, identity: Identity) -> &Arc<Slot<Client>> {
        match identity {
            Identity::Own => &self.own,
            Identity::Caller => &self.caller,
        }
    }
}

#[cfg(test)]
mod tests;
