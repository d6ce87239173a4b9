use std::process::Command;

use rustls::client::danger::ServerCertVerifier as _;
use rustls::{CertificateError, Error};
use serde_json::json;

use super::*;

/// Certificates and keys of a directory, in PEM, named `NAME.pem` and `NAME.key`.
struct Certificates(tempfile::TempDir);

impl Certificates {
    /// Two authorities, and a certificate for `api.example` of the first.
    fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        for ca in ["ca", "other"] {
            made.openssl(&["-subj", "/CN=authority"], ca);
        }
        let (ca, key) = (made.path("ca.pem"), made.path("ca.key"));
        let of_ca = ["-CA", ca.to_str().unwrap(), "-CAkey", key.to_str().unwrap()];
        let mut api = vec![
            "-subj",
            "/CN=api",
            "-addext",
            "subjectAltName=DNS:api.example",
        ];
        api.extend(["-addext", "basicConstraints=critical,CA:FALSE"]);
        api.extend(of_ca);
        made.openssl(&api, "api");
        made
    }

    fn openssl(&self, arguments: &[&str], name: &str) {
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
            .arg("-keyout")
            .arg(self.path(&format!("{name}.key")))
            .arg("-out")
            .arg(self.path(&format!("{name}.pem")))
            .args(arguments)
            .output()
            .expect("openssl");
        assert!(output.status.success(), "openssl: {output:?}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn der(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(name)).unwrap()
    }
}

fn config() -> Config {
    Config::new("https://api.example".parse().unwrap())
}

/// What is made of a server's certificate.
fn verify(
    roots: Option<&Roots>,
    certificate: &CertificateDer<'_>,
    name: &str,
) -> Result<(), Error> {
    let roots = roots.map(|roots| Roots {
        path: None,
        read: Mutex::new((roots.now(), Instant::now())),
    });
    let verifier = Verifier {
        roots,
        algorithms: ring::default_provider().signature_verification_algorithms,
    };
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let verified = verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::now());
    verified.map(|_| ())
}

#[tokio::test(start_paused = true)]
async fn a_servers_certificate_is_held_against_the_authorities_that_the_file_has_now() {
    let certificates = Certificates::new();
    let api = certificates.der("api.pem");
    let mut config = config();
    config.root_cert = Some(vec![certificates.der("ca.pem").to_vec()]);
    let fixed = roots(&config).unwrap();
    assert_eq!(verify(fixed.as_ref(), &api, "api.example"), Ok(()));
    assert!(matches!(
        verify(fixed.as_ref(), &api, "other.example"),
        Err(Error::InvalidCertificate(
            CertificateError::NotValidForNameContext { .. }
        ))
    ));
    let file = certificates.path("trusted.pem");
    std::fs::copy(certificates.path("other.pem"), &file).unwrap();
    config.root_cert_file = Some(file.clone());
    let roots = roots(&config).unwrap();
    let trusted = || verify(roots.as_ref(), &api, "api.example").is_ok();
    assert!(!trusted(), "the file is what counts");
    std::fs::copy(certificates.path("ca.pem"), &file).unwrap();
    assert!(!trusted());
    tokio::time::advance(ROOTS_AGE).await;
    assert!(trusted());
    for broken in [Some(""), None] {
        match broken {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        tokio::time::advance(ROOTS_AGE).await;
        assert!(trusted(), "the last is kept");
    }
}

#[test]
fn any_certificate_will_do_only_where_that_is_asked_for() {
    let certificates = Certificates::new();
    let api = certificates.der("api.pem");
    let mut config = config();
    config.accept_invalid_certs = true;
    assert_eq!(
        verify(roots(&config).unwrap().as_ref(), &api, "other.example"),
        Ok(())
    );
    let plain = Config::new("http://api.example".parse().unwrap());
    let plain = roots(&plain).unwrap();
    assert!(verify(plain.as_ref(), &api, "api.example").is_err());
}

#[test]
fn a_client_certificate_comes_from_data_a_file_or_a_plugin() {
    let certificates = Certificates::new();
    let _ = ring::default_provider().install_default();
    let read = |name: &str| std::fs::read_to_string(certificates.path(name)).unwrap();
    let base64 = |name: &str| BASE64.encode(read(name));
    let path = |name: &str| certificates.path(name).to_str().unwrap().to_owned();
    let made = |user: serde_json::Value, given: Option<&Given>| {
        let mut config = config();
        config.accept_invalid_certs = true;
        config.auth_info = serde_json::from_value(user).unwrap();
        let made = client_config(&config, given);
        made.map(|tls| tls.client_auth_cert_resolver.has_certs())
    };
    let files = json!({"client-certificate": path("api.pem"), "client-key": path("api.key")});
    let mut data = json!({
        "client-certificate-data": base64("api.pem"), "client-key-data": base64("api.key"),
        "client-certificate": "/nonexistent", "client-key": "/nonexistent",
    });
    assert_eq!(made(files.clone(), None), Ok(true));
    assert_eq!(made(data.clone(), None), Ok(true));
    assert_eq!(made(json!({"token": "t"}), None), Ok(false));
    let given = Given {
        identity: Some((read("api.pem"), read("api.key"))),
        ..Given::default()
    };
    assert_eq!(made(json!({}), Some(&given)), Ok(true));
    data["client-key-data"] = json!(base64("other.key"));
    for (user, told) in [
        (data, "cannot be used"),
        (
            json!({"client-certificate": path("api.pem")}),
            "no client-key",
        ),
        (
            json!({"client-key": path("api.key")}),
            "no client-certificate",
        ),
        (
            json!({"client-certificate": "/nonexistent", "client-key": "k"}),
            "/nonexistent: ",
        ),
        (
            json!({"client-certificate-data": "!", "client-key-data": ""}),
            "no base64",
        ),
        (
            json!({"client-certificate": path("api.pem"), "client-key": path("api.pem")}),
            "malformed",
        ),
    ] {
        let error = made(user, None).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}
