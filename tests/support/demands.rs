//! Demands without the rest of attache: a store, and what fetches into it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attache::metrics::Metrics;
use attache::shutdown::{self, Trigger};
use attache::source::demand::OnDemand;
use attache::store::demand::{self, Demander};
use attache::store::{self, Reader, Selects, Snapshot};
use attache::upstream::Upstream;

const LIMIT: Duration = Duration::from_secs(60);

/// What a reader has, over an API server.
pub struct Demands {
    pub demander: Demander,
    pub reader: Reader,
    _stop: Trigger,
}

impl Demands {
    pub async fn start(kubeconfig: &Path) -> Self {
        let kubeconfig = kubeconfig.to_str().expect("a path in UTF-8");
        let args = ["attache", "run", "--kubeconfig", kubeconfig];
        let config = attache::app::config_from(args).expect("a valid configuration");
        let upstream = Upstream::new(config.connection).await.expect("credentials");
        let (writer, reader) = store::new(1 << 20);
        let (demander, demands) = demand::channel(16);
        let (stop, stopped) = shutdown::channel();
        let fetching = OnDemand::new(writer, reader.clone(), upstream, Metrics::new());
        tokio::spawn(fetching.run(demands, stopped));
        Self {
            demander,
            reader,
            _stop: stop,
        }
    }

    /// Waits until all demands sent so far were taken: they are, in their order, and nobody need be
    /// asked about a directory.
    pub async fn taken(&self) {
        let nobodys = Selects::Directory("/".into());
        let refused = self.demander.demand(nobodys, false).await;
        refused.expect_err("no API server has a directory");
    }

    /// Waits for a snapshot.
    pub async fn shows(&self, condition: impl FnMut(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut reader = self.reader.clone();
        let shown = reader.wait_for(condition);
        let shown = tokio::time::timeout(LIMIT, shown).await;
        shown.expect("such a snapshot").expect("a store")
    }
}
