//! The service account of the pod: its token, as far as that can be read without verifying it.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::findings::Finding;

/// Where the kubelet puts them.
pub(super) const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What a service account token says (RFC 7519, section 4.1).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Claims {
    sub: String,
    /// Text, or a list of it.
    aud: Value,
    /// In seconds since 1970.
    exp: Option<i64>,
}

/// Looks at token, certificate authority and namespace in `dir`.
pub(super) fn service_account(dir: &Path, now: Timestamp) -> Vec<Finding> {
    let shown = dir.display();
    let token = match std::fs::read_to_string(dir.join("token")) {
        Ok(token) => token,
        Err(error) => {
            return vec![Finding::error(format!(
                "{shown}/token: {error}: leave out automountServiceAccountToken: false in the pod's spec, or mount a \
                 projected serviceAccountToken into attache's container"
            ))];
        }
    };
    let mut found = vec![token_finding(token.trim(), now)];
    match std::fs::read_to_string(dir.join("ca.crt")) {
        Ok(pem) if pem.contains("BEGIN CERTIFICATE") => {}
        Ok(_) => found.push(Finding::error(format!(
            "{shown}/ca.crt holds no certificate: project the ConfigMap kube-root-ca.crt there"
        ))),
        Err(error) => found.push(Finding::error(format!(
            "{shown}/ca.crt: {error}: project the ConfigMap kube-root-ca.crt there"
        ))),
    }
    if let Err(error) = std::fs::metadata(dir.join("namespace")) {
        found.push(Finding::warning(format!(
            "{shown}/namespace: {error}: attache takes the namespace default; project metadata.namespace there, or give \
             --namespace"
        )));
    }
    found
}

/// Whom a token is for, and how long.
fn token_finding(token: &str, now: Timestamp) -> Finding {
    let Some(claims) = claims(token) else {
        return Finding::warning(
            "the token is no JSON web token, so that its expiry is not known".to_owned(),
        );
    };
    let audience = match &claims.aud {
        Value::Array(all) => all
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(", "),
        one => one.as_str().unwrap_or_default().to_owned(),
    };
    let mut shown = format!("the token is for {}", claims.sub);
    if !audience.is_empty() {
        shown.push_str(&format!(", audience {audience}"));
    }
    match claims.exp {
        None => Finding::warning(format!(
            "{shown}, and never expires: use a bound token, as a projected volume has it"
        )),
        Some(exp) if exp <= now.as_second() => Finding::error(format!(
            "{shown}, and expired {} min ago: the kubelet no longer renews it; see its log, and start the pod anew",
            (now.as_second() - exp) / 60
        )),
        Some(exp) => Finding::ok(format!(
            "{shown}, and expires in {} min",
            (exp - now.as_second()) / 60
        )),
    }
}

/// The middle of the three parts (RFC 7515, section 7.1).
fn claims(token: &str) -> Option<Claims> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::findings::Level;

    fn token(claims: &Value) -> String {
        format!(
            "e30.{}.signature",
            URL_SAFE_NO_PAD.encode(claims.to_string())
        )
    }

    fn now() -> Timestamp {
        Timestamp::from_second(10_000).unwrap()
    }

    #[test]
    fn a_token_says_whom_it_is_for_and_how_long() {
        let sub = "system:serviceaccount:n:web";
        let of = |claims: &Value| token_finding(&token(claims), now());
        let good = of(&json!({"sub": sub, "aud": ["a", "b"], "exp": 10_000 + 3000}));
        assert_eq!(
            good,
            Finding::ok(format!(
                "the token is for {sub}, audience a, b, and expires in 50 min"
            ))
        );
        assert_eq!(of(&json!({"sub": sub, "exp": 9000})).level, Level::Error);
        assert_eq!(of(&json!({"sub": sub, "aud": "a"})).level, Level::Warning);
        assert_eq!(token_finding("opaque", now()).level, Level::Warning);
    }

    #[test]
    fn what_is_missing_beside_the_token_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let levels = || {
            let found = service_account(dir.path(), now());
            found
                .iter()
                .map(|finding| finding.level)
                .collect::<Vec<_>>()
        };
        assert_eq!(levels(), [Level::Error]);
        let claims = json!({"sub": "s", "exp": 20_000});
        std::fs::write(dir.path().join("token"), token(&claims)).unwrap();
        assert_eq!(levels(), [Level::Ok, Level::Error, Level::Warning]);
        std::fs::write(dir.path().join("ca.crt"), "-----BEGIN CERTIFICATE-----").unwrap();
        std::fs::write(dir.path().join("namespace"), "n").unwrap();
        assert_eq!(levels(), [Level::Ok]);
        let text = format!("{:?}", service_account(dir.path(), now()));
        assert!(!text.contains("signature"), "no token in it");
    }
}
