//! Which API server, and as whom: flags and keys of the file to a [`Connection`].

use super::errors::Faults;
use super::flags::Reader;
use super::model::{Connection, Token};
use super::partial::ConnectionSettings;
use super::units;
use super::yaml::Fields;
use crate::cli;

/// The keys of the file, at its top.
pub(crate) const KEYS: &[&str] = &[
    "kubeconfig",
    "context",
    "cluster",
    "user",
    "server",
    "certificateAuthority",
    "insecureSkipTLSVerify",
    "tlsServerName",
    "as",
    "asGroups",
    "keepalive",
];

/// Reads the flags.
pub(crate) fn flags(args: &cli::Connection, reader: &mut Reader) -> ConnectionSettings {
    ConnectionSettings {
        kubeconfig: args.kubeconfig.clone(),
        context: reader.one("context", args.context.as_deref(), units::filled),
        cluster: reader.one("cluster", args.cluster.as_deref(), units::filled),
        user: reader.one("user", args.user.as_deref(), units::filled),
        server: reader.one("server", args.server.as_deref(), server),
        token: reader.one("token", args.token.as_ref().map(Token::reveal), token),
        certificate_authority: args.certificate_authority.clone(),
        insecure_skip_tls_verify: reader.switch(
            "insecure-skip-tls-verify",
            args.insecure_skip_tls_verify.as_deref(),
        ),
        tls_server_name: reader.one(
            "tls-server-name",
            args.tls_server_name.as_deref(),
            units::filled,
        ),
        impersonate_user: reader.one("as", args.impersonate_user.as_deref(), units::filled),
        impersonate_groups: reader.list("as-group", &args.impersonate_group, units::filled),
        keepalive: reader.one("keepalive", args.keepalive.as_deref(), units::duration),
    }
}

/// Reads the keys of the file.
pub(crate) fn keys(fields: &Fields, faults: &mut Faults) -> ConnectionSettings {
    ConnectionSettings {
        kubeconfig: fields.read("kubeconfig", "a path", units::path, faults),
        context: fields.read("context", "a name", units::filled, faults),
        cluster: fields.read("cluster", "a name", units::filled, faults),
        user: fields.read("user", "a name", units::filled, faults),
        server: fields.read("server", "a URL", server, faults),
        token: None,
        certificate_authority: fields.read("certificateAuthority", "a path", units::path, faults),
        insecure_skip_tls_verify: fields.read(
            "insecureSkipTLSVerify",
            "true or false",
            units::boolean,
            faults,
        ),
        tls_server_name: fields.read("tlsServerName", "a name", units::filled, faults),
        impersonate_user: fields.read("as", "a user", units::filled, faults),
        impersonate_groups: fields.get("asGroups").map(|node| {
            let items = node.items().iter();
            items
                .filter_map(|item| item.read("a group", units::filled, faults))
                .collect()
        }),
        keepalive: fields.read("keepalive", "a duration", units::duration, faults),
    }
}

/// Checks what the settings say together.
pub(crate) fn connection(settings: ConnectionSettings, faults: &mut Faults) -> Connection {
    let insecure = settings.insecure_skip_tls_verify.unwrap_or(false);
    if insecure && settings.certificate_authority.is_some() {
        faults.add(
            "--insecure-skip-tls-verify",
            "takes any certificate, so that --certificate-authority would be ignored: drop one of the two",
        );
    }
    let groups = settings.impersonate_groups.unwrap_or_default();
    if !groups.is_empty() && settings.impersonate_user.is_none() {
        faults.add("--as-group", "names groups of no user: give --as too");
    }
    Connection {
        kubeconfig: settings.kubeconfig,
        context: settings.context,
        cluster: settings.cluster,
        user: settings.user,
        server: settings.server,
        token: settings.token,
        certificate_authority: settings.certificate_authority,
        insecure_skip_tls_verify: insecure,
        tls_server_name: settings.tls_server_name,
        impersonate_user: settings.impersonate_user,
        impersonate_groups: groups,
        keepalive: settings.keepalive,
    }
}

/// Reads the API server's URL, or `host[:port]` alone.
fn server(text: &str) -> Result<http::Uri, String> {
    let fault = |what: &str| {
        Err(format!(
            "{text:?} {what}: write it like https://10.0.0.1:6443"
        ))
    };
    let Ok(uri) = text.parse::<http::Uri>() else {
        return fault("is not a URL");
    };
    let Some(authority) = uri.authority() else {
        return fault("names no host");
    };
    if authority.as_str().contains('@') {
        // The text may hold a password.
        return Err("a URL with a user in it is not taken: give --token or --user".to_owned());
    }
    if !matches!(uri.scheme_str(), None | Some("http" | "https")) {
        return fault("is neither http nor https");
    }
    if authority.as_str() != authority.host() && authority.port_u16().is_none() {
        return fault("has no port that there is");
    }
    if uri.query().is_some() || text.contains('#') {
        return fault("has a query or a fragment, which no server's URL has");
    }
    Ok(uri)
}

/// Checks that a token can stand in a header. It is not repeated.
fn token(text: &str) -> Result<Token, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            "it is empty, or holds white space or other characters that no header takes: give the token alone"
                .to_owned(),
        );
    }
    Ok(Token::from(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_url_or_an_authority() {
        for good in [
            "https://10.0.0.1:6443",
            "https://rancher/k8s/clusters/c-1",
            "http://[::1]:8080/",
            "localhost:8080",
            "localhost",
            "[::1]:80",
        ] {
            assert!(server(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/x",
            "host/path",
            "ftp://h",
            "http://",
            "h:99999",
            "h:",
            "https://h?a",
            "https://h#a",
            "a b",
        ] {
            assert!(server(bad).unwrap_err().contains("write it like"), "{bad}");
        }
        let fault = server("https://admin:hunter2@h").unwrap_err();
        assert!(!fault.contains("hunter2"), "{fault}");
    }

    #[test]
    fn a_token_that_no_header_takes_is_refused_unseen() {
        assert_eq!(token("abc.DEF-1_~").unwrap().reveal(), "abc.DEF-1_~");
        for bad in ["", "hunter2\n", "hunter2 x", "hünter2"] {
            assert!(!token(bad).unwrap_err().contains("nter2"), "{bad:?}");
        }
    }
}
