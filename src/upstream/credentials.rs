//! Which credentials: `--kubeconfig`, `$KUBECONFIG`, the pod's service account, `~/.kube/config`.

use kube::Config;
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::config::Connection;

/// Why no credentials could be read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The named kubeconfig is missing or malformed.
    #[error("kubeconfig {path}: {source}")]
    Kubeconfig {
        /// The file, or the variable that names it.
        path: String,
        /// What is wrong with it.
        source: Box<KubeconfigError>,
    },
    /// The pod's service account is incomplete.
    #[error("the pod's service account: {0}")]
    InCluster(#[source] Box<InClusterError>),
    /// There is nothing to try.
    #[error(
        "no API server is configured: give --kubeconfig, set KUBECONFIG, run in a pod with a \
         service account token, or serve files with --dir ({0})"
    )]
    None(#[source] Box<KubeconfigError>),
}

/// Where the kubelet tells a pod its own namespace.
const POD_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The pod's own namespace; `None` outside a pod, and in one without a service account token.
#[must_use]
pub fn pod_namespace() -> Option<String> {
    let namespace = std::fs::read_to_string(POD_NAMESPACE).ok()?;
    Some(namespace.trim().to_owned()).filter(|namespace| !namespace.is_empty())
}

/// Reads the credentials, in that order.
pub(super) async fn load(settings: &Connection) -> Result<Config, CredentialsError> {
    let options = KubeConfigOptions {
        context: settings.context.clone(),
        ..Default::default()
    };
    if let Some(path) = &settings.kubeconfig {
        let wrap = |source| CredentialsError::Kubeconfig {
            path: path.display().to_string(),
            source: Box::new(source),
        };
        let kubeconfig = Kubeconfig::read_from(path).map_err(wrap)?;
        return Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(wrap);
    }
    if std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty()) {
        return Config::from_kubeconfig(&options).await.map_err(|source| {
            CredentialsError::Kubeconfig {
                path: "$KUBECONFIG".into(),
                source: Box::new(source),
            }
        });
    }
    // A context is a kubeconfig's, so asking for one asks for a kubeconfig.
    if settings.context.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Config::incluster_env()
            .map_err(|error| CredentialsError::InCluster(Box::new(error)));
    }
    Config::from_kubeconfig(&options)
        .await
        .map_err(|error| CredentialsError::None(Box::new(error)))
}
