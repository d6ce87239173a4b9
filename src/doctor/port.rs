//! Whether an attache answers where it should.

use std::time::Duration;

use super::findings::Finding;
use crate::client::{self, Failure};
use crate::config::{Endpoint, Healthcheck, Probe, Serve};

/// How long an answer from this machine may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks whether the attache at the port of `serve` is ready. `runs`: one was seen to run.
pub(super) async fn port(serve: &Serve, runs: bool) -> Option<Finding> {
    if !serve.main {
        return None;
    }
    let endpoint = match &serve.unix_socket {
        Some(path) => Endpoint::Unix(path.clone()),
        None if serve.port == 0 => {
            return Some(Finding::note(
                "--port=0 takes a free port, so that it is not known where attache listens",
            ));
        }
        None => Endpoint::Tcp((serve.address, serve.port).into()),
    };
    let ready = match ask(&endpoint, Probe::Ready).await {
        Ok(()) => return Some(Finding::ok(format!("attache at {endpoint} is ready"))),
        Err(failure) => failure,
    };
    if !serve.own_routes {
        // `attache proxy` has no routes of its own to tell it by.
        return Some(match ready {
            Failure::Unhealthy { .. } => Finding::ok(format!("a proxy answers at {endpoint}")),
            failure => Finding::error(failure.to_string()),
        });
    }
    let alive = ask(&endpoint, Probe::Live).await.is_ok();
    Some(finding(&endpoint, &ready, alive, runs))
}

async fn ask(endpoint: &Endpoint, probe: Probe) -> Result<(), Failure> {
    let healthcheck = Healthcheck {
        endpoint: endpoint.clone(),
        probe,
        timeout: TIMEOUT,
    };
    client::healthcheck(&healthcheck).await
}

/// What an answer other than "ready" means.
fn finding(endpoint: &Endpoint, failure: &Failure, alive: bool, runs: bool) -> Finding {
    match failure {
        Failure::Unreachable { reason, .. } if !runs => Finding::warning(format!(
            "no attache runs here, and nothing answers at {endpoint} ({reason}): start it with attache run"
        )),
        Failure::Unhealthy { reason, .. } if alive => Finding::error(format!(
            "attache at {endpoint} is not ready: it waits for {reason}"
        )),
        Failure::Unhealthy { reason, .. } => Finding::error(format!(
            "something else than attache answers at {endpoint} ({reason}): end it, or give attache another --port"
        )),
        failure => Finding::error(failure.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::findings::Level;

    fn endpoint() -> Endpoint {
        Endpoint::Tcp(([127, 0, 0, 1], 8001).into())
    }

    #[test]
    fn who_answers_is_told_apart() {
        let unhealthy = Failure::Unhealthy {
            question: "ready",
            reason: "configmap n/web".to_owned(),
        };
        let waits = finding(&endpoint(), &unhealthy, true, true);
        assert!(
            waits.text.contains("waits for configmap n/web"),
            "{waits:?}"
        );
        let other = finding(&endpoint(), &unhealthy, false, true);
        assert!(other.text.contains("another --port"), "{other:?}");
        let unreachable = Failure::Unreachable {
            at: endpoint().to_string(),
            reason: "refused".to_owned(),
        };
        assert_eq!(
            finding(&endpoint(), &unreachable, false, true).level,
            Level::Error
        );
        assert_eq!(
            finding(&endpoint(), &unreachable, false, false).level,
            Level::Warning
        );
    }

    #[tokio::test]
    async fn what_does_not_listen_needs_no_port() {
        let mut serve = crate::doctor::tests::config(&["--configmap=web", "--port=0"]).serve;
        assert_eq!(port(&serve, true).await.unwrap().level, Level::Note);
        serve.main = false;
        assert!(port(&serve, true).await.is_none());
    }
}
