//! Keys and certificates: ECDSA P-256, which every API server verifies.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::{Authority, Leaf};

/// How far back a validity begins: the clocks of nodes differ.
const BACKDATED: Duration = Duration::from_secs(24 * 3600);

/// The certificate's common name. What it is for is in its alternative names, which may be longer
/// than the 64 characters that a common name may have.
const COMMON_NAME: &str = "attache-webhook";

/// Why no certificate could be issued. Says nothing of keys.
#[derive(Debug, thiserror::Error)]
#[error("no certificate can be issued: {0}")]
pub(in crate::webhook) struct IssueError(#[from] rcgen::Error);

/// A new CA, valid until `until`.
pub(super) fn authority(now: Timestamp, until: Timestamp) -> Result<Authority, IssueError> {
    let key = KeyPair::generate()?;
    let name = format!(
        "attache-webhook-ca {} {:08x}",
        now.as_second(),
        fastrand::u32(..)
    );
    let (not_before, not_after) = (backdated(now), seconds(until));
    let mut params = authority_params(&name);
    set_validity(&mut params, not_before, not_after);
    Ok(Authority {
        name,
        certificate: params.self_signed(&key)?.pem(),
        key: Some(key.serialize_pem()),
        not_before,
        not_after,
    })
}

/// A certificate of `authority` for `names`, valid until `until`.
pub(super) fn leaf(
    authority: &Authority,
    names: &[String],
    now: Timestamp,
    until: Timestamp,
) -> Result<Leaf, IssueError> {
    let ca_key = KeyPair::from_pem(authority.key.as_deref().unwrap_or_default())?;
    let issuer = Issuer::new(authority_params(&authority.name), ca_key);
    let key = KeyPair::generate()?;
    let not_after = seconds(until);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = common_name(COMMON_NAME);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, backdated(now), not_after);
    Ok(Leaf {
        certificate: params.signed_by(&key, &issuer)?.pem(),
        key: key.serialize_pem(),
        not_after,
    })
}

/// What a CA of this name is, whenever it issues.
fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Sets from when and until when it is valid; in X.509, times are whole seconds.
fn set_validity(params: &mut CertificateParams, from: Timestamp, until: Timestamp) {
    let since_epoch = |time: Timestamp| {
        let seconds = u64::try_from(time.as_second()).unwrap_or_default();
        date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    params.not_before = since_epoch(from);
    params.not_after = since_epoch(until);
}

fn backdated(now: Timestamp) -> Timestamp {
    let back = now.checked_sub(BACKDATED).unwrap_or(Timestamp::UNIX_EPOCH);
    seconds(back.max(Timestamp::UNIX_EPOCH))
}

fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
