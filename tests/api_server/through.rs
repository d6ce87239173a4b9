//! Every test of a client runs through attache, and through the proxy it replaces: there it shows
//! that the test asks for no more than `kubectl proxy` gives.

use std::path::Path;

use crate::support::control_plane::ControlPlane;
use crate::support::kubelet::Kubelet;
use crate::support::proxy::{Proxy, kubectls};

/// The proxy that a test goes through.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Through {
    /// `attache proxy`.
    Attache,
    /// `attache run`, whose own routes come first.
    AttacheRun,
    /// `kubectl proxy`.
    KubectlProxy,
}

impl Through {
    /// Starts it with these flags; of several kubectls, the newest.
    pub(crate) async fn start(self, kubeconfig: &Path, flags: &[&str]) -> Proxy {
        match self {
            Self::Attache => Proxy::attache(kubeconfig, flags).await,
            Self::AttacheRun => Proxy::attache_run(kubeconfig, flags).await,
            Self::KubectlProxy => {
                let kubectls = kubectls();
                Proxy::kubectl(kubectls.last().expect("one"), kubeconfig, flags).await
            }
        }
    }
}

/// The default filter refuses exec and attach. This refuses no path; an empty list would refuse all
/// in kubectl before 1.21.
pub(crate) const ALL_PATHS: &str = "--reject-paths=^$";

/// A proxy with the administrator's rights, and the Pod `app` on a node of its own.
pub(crate) async fn with_a_pod(through: Through, flags: &[&str]) -> (Proxy, Kubelet, String) {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let kubelet = Kubelet::start(plane).await;
    kubelet.run_pod(plane, &namespace, "app").await;
    let proxy = through.start(&plane.admin_kubeconfig(), flags).await;
    (proxy, kubelet, namespace)
}

/// Makes two tests of each `async fn NAME(through: Through)`: `attache::NAME` and
/// `kubectl_proxy::NAME`.
macro_rules! through_either {
    ($($test:ident),* $(,)?) => {
        mod attache {
            $(
                #[tokio::test]
                #[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
                async fn $test() {
                    super::$test($crate::through::Through::Attache).await;
                }
            )*
        }
        mod kubectl_proxy {
            $(
                #[tokio::test]
                #[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
                async fn $test() {
                    super::$test($crate::through::Through::KubectlProxy).await;
                }
            )*
        }
    };
}
