//! Which credentials: `--kubeconfig`, `$KUBECONFIG`, the pod's service account, `~/.kube/config`;
//! and what the other flags of the connection change about them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use kube::Config;
use kube::config::{AuthInfo, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::kubeconfig;
use super::loaded::Loaded;
use super::words::causes;
use crate::config::Connection;

/// Why no credentials could be read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The named kubeconfig is missing or malformed.
    #[error("kubeconfig {path}: {}", causes(&**source))]
    Kubeconfig {
        /// The file, or the variable that names it.
        path: String,
        /// What is wrong with it.
        source: Box<KubeconfigError>,
    },
    /// `--user` names none of the kubeconfig's.
    #[error("kubeconfig {path} has no user {user:?}: give --user one of its users")]
    User {
        /// The file, or the variable that names it.
        path: String,
        /// The user asked for.
        user: String,
    },
    /// The file of `--certificate-authority` holds no certificate.
    #[error("--certificate-authority: {}: {what}: give a PEM file of certificates", .path.display())]
    CertificateAuthority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// `--server` makes no URL with the scheme it gets.
    #[error("--server: {0}")]
    Server(#[source] http::Error),
    /// The pod's service account is incomplete.
    #[error("the pod's service account: {0}")]
    InCluster(#[source] Box<InClusterError>),
    /// Read again, the credentials are for another API server than the first time.
    #[error("they are for {read} now: restart attache to leave {used}")]
    OtherServer {
        /// Its address, without what is secret in it.
        read: String,
        /// The address in use.
        used: String,
    },
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

/// Reads the credentials, in that order, and applies the flags.
pub(super) async fn load(settings: &Connection) -> Result<Loaded, CredentialsError> {
    let mut config = find(settings).await?;
    apply(settings, &mut config)?;
    let withheld = withhold_in_clear(&mut config);
    Ok(Loaded::new(config, withheld))
}

/// Takes out what whoever listens on the network could use: as with kubectl, a token goes over TLS
/// alone, or it stays on this machine. Whether there was such a thing.
fn withhold_in_clear(config: &mut Config) -> bool {
    let server = &config.cluster_url;
    let host = server.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    let is_loopback =
        host == "localhost" || address.is_ok_and(|address: IpAddr| address.is_loopback());
    // Behind a proxy that is another machine's loopback, and the way there is as open as any.
    let is_here = is_loopback && config.proxy_url.is_none();
    if server.scheme() != Some(&http::uri::Scheme::HTTP) || is_here {
        return false;
    }
    let auth = &mut config.auth_info;
    auth.token.take().is_some()
        | auth.token_file.take().is_some()
        | auth.username.take().is_some()
        | auth.password.take().is_some()
        | auth.exec.take().is_some()
        | auth.auth_provider.take().is_some()
}

/// The credentials, as if the flags that change single fields were not given.
async fn find(settings: &Connection) -> Result<Config, CredentialsError> {
    if let Some(path) = &settings.kubeconfig {
        let shown = path.display().to_string();
        return from_kubeconfig(kubeconfig::read_from(path), shown, settings).await;
    }
    if std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty()) {
        return from_kubeconfig(kubeconfig::read(), "$KUBECONFIG".into(), settings).await;
    }
    // These are a kubeconfig's, so asking for one asks for a kubeconfig.
    let of_kubeconfig = [&settings.context, &settings.cluster, &settings.user];
    let wants_kubeconfig = of_kubeconfig.into_iter().any(Option::is_some);
    if !wants_kubeconfig && let Some(own) = service_account(settings) {
        return own;
    }
    match kubeconfig::read() {
        Ok(kubeconfig) => from_kubeconfig(Ok(kubeconfig), "~/.kube/config".into(), settings).await,
        Err(error) => match &settings.server {
            Some(server) if !wants_kubeconfig && is_missing(&error) => {
                Ok(Config::new(server.clone()))
            }
            _ => Err(CredentialsError::None(Box::new(error))),
        },
    }
}

/// The pod's own service account. Its token is for the API server that the kubelet names, and goes
/// to no other that `--server` does.
fn service_account(settings: &Connection) -> Option<Result<Config, CredentialsError>> {
    std::env::var_os("KUBERNETES_SERVICE_HOST")?;
    match (Config::incluster_env(), &settings.server) {
        (Ok(own), Some(server)) => same_server(&own.cluster_url, server).then_some(Ok(own)),
        // Whatever it lacks is not asked for.
        (Err(_), Some(_)) => None,
        (own, None) => Some(own.map_err(|error| CredentialsError::InCluster(Box::new(error)))),
    }
}

/// Whether `other` is `own`, which is an https URL without a path.
fn same_server(own: &http::Uri, other: &http::Uri) -> bool {
    let port = |uri: &http::Uri| uri.port_u16().unwrap_or(443);
    other.scheme() == own.scheme() && other.host() == own.host() && port(other) == port(own)
}

async fn from_kubeconfig(
    read: Result<Kubeconfig, KubeconfigError>,
    path: String,
    settings: &Connection,
) -> Result<Config, CredentialsError> {
    let wrap = |path, source| CredentialsError::Kubeconfig {
        path,
        source: Box::new(source),
    };
    let kubeconfig = match read {
        Ok(kubeconfig) => kubeconfig,
        Err(source) => return Err(wrap(path, source)),
    };
    // The loader takes one that is missing for one without credentials.
    if let Some(user) = &settings.user
        && !kubeconfig
            .auth_infos
            .iter()
            .any(|named| named.name == *user)
    {
        let user = user.clone();
        return Err(CredentialsError::User { path, user });
    }
    let options = KubeConfigOptions {
        context: settings.context.clone(),
        cluster: settings.cluster.clone(),
        user: settings.user.clone(),
    };
    let of_kubeconfig = [&options.context, &options.cluster, &options.user];
    let says_nothing = of_kubeconfig.into_iter().all(Option::is_none);
    match (
        Config::from_custom_kubeconfig(kubeconfig, &options).await,
        &settings.server,
    ) {
        (Ok(config), _) => Ok(config),
        // An empty one is as good as none where the server is named.
        (Err(KubeconfigError::CurrentContextNotSet), Some(server)) if says_nothing => {
            Ok(Config::new(server.clone()))
        }
        (Err(source), _) => Err(wrap(path, source)),
    }
}

fn is_missing(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(error, _) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Puts what the flags say in the place of what the credentials say, by the rules of client-go's
/// `clientcmd` (`getCluster` and `getAuthInfo` of `DirectClientConfig`).
fn apply(settings: &Connection, config: &mut Config) -> Result<(), CredentialsError> {
    if let Some(path) = &settings.certificate_authority {
        config.root_cert = Some(certificates(path)?);
        // Read again by the TLS layer, as certificates are renewed.
        config.root_cert_file = Some(path.clone());
        config.accept_invalid_certs = false;
    }
    if settings.insecure_skip_tls_verify {
        config.root_cert = None;
        config.root_cert_file = None;
        config.accept_invalid_certs = true;
    }
    if settings.server.is_some() || settings.tls_server_name.is_some() {
        // The kubeconfig's name is that of the kubeconfig's server.
        config.tls_server_name.clone_from(&settings.tls_server_name);
    }
    if let Some(server) = &settings.server {
        config.cluster_url = with_scheme(server, config).map_err(CredentialsError::Server)?;
    }
    let user = &mut config.auth_info;
    if let Some(token) = &settings.token {
        // What is left of the user: its client certificate, and whom it impersonates.
        *user = AuthInfo {
            token: Some(token.reveal().to_owned().into()),
            token_file: None,
            username: None,
            password: None,
            auth_provider: None,
            exec: None,
            ..std::mem::take(user)
        };
    }
    if let Some(name) = &settings.impersonate_user {
        user.impersonate = Some(name.clone());
    }
    if !settings.impersonate_groups.is_empty() {
        user.impersonate_groups = Some(settings.impersonate_groups.clone());
    }
    Ok(())
}

/// `server` with the scheme that client-go gives one without: https where there is a certificate
/// of either side or none is wanted, else http (`rest.DefaultServerUrlFor`).
fn with_scheme(server: &http::Uri, config: &Config) -> Result<http::Uri, http::Error> {
    let (Some(authority), None) = (server.authority(), server.scheme()) else {
        return Ok(server.clone());
    };
    let user = &config.auth_info;
    let tls = config.accept_invalid_certs
        || config.root_cert.is_some()
        || user.client_certificate.is_some()
        || user.client_certificate_data.is_some();
    http::Uri::builder()
        .scheme(if tls { "https" } else { "http" })
        .authority(authority.clone())
        .path_and_query("/")
        .build()
}

/// The certificates of a PEM file, in DER.
fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, CredentialsError> {
    let fault = |what: String| CredentialsError::CertificateAuthority {
        path: path.to_owned(),
        what,
    };
    let pem = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem)
        .map(|certificate| certificate.map(|der| der.to_vec()))
        .collect();
    match read {
        Ok(certificates) if certificates.is_empty() => Err(fault("no certificate in it".into())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(fault(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
