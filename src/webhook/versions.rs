//! Whether sidecars are native ones: the API server's version, asked for now and then, for clusters are
//! upgraded under a webhook.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::metrics::webhook::WebhookMetrics;
use crate::readiness::Pending;
use crate::upstream::{Lease, Version, VersionError};

/// How long an answer holds.
const AGAIN: Duration = Duration::from_secs(600);

/// The pauses after failures: twice as long each time, up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// After so many failures the webhook is ready all the same: plain containers are better than none.
const TRIES: u32 = 3;

/// Who knows the version.
pub(super) trait Ask: Send + 'static {
    /// It, now.
    fn ask(&self) -> impl Future<Output = Result<Version, VersionError>> + Send;
}

impl Ask for Lease {
    async fn ask(&self) -> Result<Version, VersionError> {
        self.version().await
    }
}

/// Keeps `native` current. `pending` is dropped once the version is known, or after 3 failures.
pub(super) async fn follow(
    ask: impl Ask,
    native: watch::Sender<bool>,
    metrics: WebhookMetrics,
    pending: Pending,
) {
    let mut pending = Some(pending);
    let mut known = None;
    let mut failures = 0;
    loop {
        match ask.ask().await {
            Ok(version) => {
                let is_native = version >= Version::NATIVE_SIDECARS;
                native.send_replace(is_native);
                metrics.native_sidecars.set(i64::from(is_native));
                if known.replace(version) != Some(version) {
                    let Version(major, minor) = version;
                    info!(version = %format_args!("{major}.{minor}"), native = is_native, "the API server's version decides whether sidecars are native");
                }
                pending.take();
                failures = 0;
                sleep(AGAIN).await;
            }
            Err(error) => {
                failures += 1;
                match known {
                    Some(_) => {
                        warn!(%error, "the API server's version cannot be asked for again; attache goes by the last one");
                    }
                    None => {
                        warn!(%error, failures, "the API server's version is not known: until it is, sidecars are plain containers, and Jobs get none");
                    }
                }
                if failures >= TRIES {
                    pending.take();
                }
                sleep(pause(failures)).await;
            }
        }
    }
}

fn pause(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(doubled).min(LAST_PAUSE)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use prometheus_client::metrics::counter::Counter;

    use super::*;
    use crate::readiness::Readiness;

    struct Script(Mutex<VecDeque<Result<Version, VersionError>>>);

    impl Ask for Script {
        async fn ask(&self) -> Result<Version, VersionError> {
            let next = self.0.lock().unwrap().pop_front();
            match next {
                Some(next) => next,
                None => std::future::pending().await,
            }
        }
    }

    fn refused() -> Result<Version, VersionError> {
        Err(VersionError::Unsaid("no".into()))
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_once_the_version_is_known_and_follows_an_upgrade() {
        let script = [refused(), Ok(Version(1, 28)), refused(), Ok(Version(1, 29))];
        let readiness = Readiness::default();
        let (native, mut now) = watch::channel(false);
        let metrics = WebhookMetrics::new(Counter::default(), Counter::default());
        let followed = follow(
            Script(Mutex::new(script.into())),
            native,
            metrics.clone(),
            readiness.pending("version"),
        );
        readiness.seal();
        assert!(readiness.check().is_err());
        let followed = tokio::spawn(followed);
        readiness.ready().await;
        assert!(!*now.borrow_and_update(), "1.28");
        now.wait_for(|native| *native).await.unwrap();
        assert_eq!(metrics.native_sidecars.get(), 1);
        followed.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_keep_nobody_waiting() {
        let script = [refused(), refused(), refused()];
        let readiness = Readiness::default();
        let (native, now) = watch::channel(false);
        let pending = readiness.pending("version");
        readiness.seal();
        let script = Script(Mutex::new(script.into()));
        let followed = tokio::spawn(follow(
            script,
            native,
            WebhookMetrics::new(Counter::default(), Counter::default()),
            pending,
        ));
        readiness.ready().await;
        assert!(!*now.borrow());
        followed.abort();
        assert_eq!(pause(1), FIRST_PAUSE);
        assert_eq!(pause(40), LAST_PAUSE);
    }
}
