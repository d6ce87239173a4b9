//! Credentials as they were read, to be held against those that are read later.

use kube::Config;

use super::authorization::asks_plugin;
use super::credentials::CredentialsError;
use super::plugin::Plugin;
use super::words::shown;

/// Credentials, and what the files that they name held then.
pub(super) struct Loaded {
    pub(super) config: Config,
    /// The program that gives the credentials, where nothing else does.
    pub(super) plugin: Option<Plugin>,
    /// Whether a token was there that goes to no server without TLS.
    pub(super) withheld: bool,
    /// Token, client certificate and its key. They are read anew for each client, and the token
    /// each minute, without a word.
    files: [Option<Vec<u8>>; 3],
}

// === impl Loaded ===

impl Loaded {
    pub(super) fn new(config: Config, withheld: bool) -> Self {
        let auth = &config.auth_info;
        let files = [&auth.token_file, &auth.client_certificate, &auth.client_key]
            // One that cannot be read is told by whoever makes a client of it.
            .map(|path| std::fs::read(path.as_ref()?).ok());
        let exec = auth.exec.clone().filter(|_| asks_plugin(auth));
        Self {
            plugin: exec.map(Plugin::new),
            config,
            withheld,
            files,
        }
    }

    /// Whether a plugin gives the token or the certificate, which may have expired, then.
    pub(super) fn runs_plugin(&self) -> bool {
        self.plugin.is_some()
    }

    /// # Errors
    /// [`CredentialsError::OtherServer`], where these credentials are for another than `used`.
    pub(super) fn is_for_server_of(&self, used: &Self) -> Result<(), CredentialsError> {
        let (read, used) = (&self.config.cluster_url, &used.config.cluster_url);
        if read == used {
            return Ok(());
        }
        Err(CredentialsError::OtherServer {
            read: shown(read),
            used: shown(used),
        })
    }

    pub(super) fn warn_of_withheld(&self) {
        let server = shown(&self.config.cluster_url);
        tracing::warn!(
            server,
            "no token is sent to this API server, for the way there is not encrypted: give it an https:// address"
        );
    }
}

impl PartialEq for Loaded {
    /// Whether clients made of both do the same, as far as plugins do.
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.config, &other.config);
        // Its type knows no equality. As a value it does, secrets included.
        let user = |config: &Config| serde_json::to_value(&config.auth_info).ok();
        self.withheld == other.withheld
            && self.files == other.files
            && a.cluster_url == b.cluster_url
            && a.root_cert == b.root_cert
            && a.accept_invalid_certs == b.accept_invalid_certs
            && a.tls_server_name == b.tls_server_name
            && a.proxy_url == b.proxy_url
            && user(a) == user(b)
    }
}
