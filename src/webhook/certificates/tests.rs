use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::mounted::joined;
use super::plan::{Step, plan};
use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);
const VALIDITY: Duration = Duration::from_secs(90 * 24 * 3600);

fn wanted() -> Wanted {
    let names = [
        "webhook.system.svc",
        "webhook.system",
        "webhook",
        "127.0.0.1",
    ];
    Wanted {
        names: names.map(str::to_owned).to_vec(),
        validity: VALIDITY,
    }
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn fresh() -> Contents {
    advance(None, &wanted(), start(), |_| false).unwrap()
}

/// What is next at `after` the start; `trusted` is whether API servers trust what is held.
fn next(held: &Contents, after: Duration, trusted: bool) -> Contents {
    let known = held.bundle();
    let trusted = |bundle: &str| trusted && bundle == known;
    advance(Some(held), &wanted(), start() + after, trusted).unwrap()
}

fn leaf(contents: &Contents) -> &Leaf {
    contents.leaf.as_ref().unwrap()
}

fn is_kept(held: &Contents, after: Duration, trusted: bool) -> bool {
    plan(held, &wanted(), start() + after, trusted) == Step::Keep
}

/// With the second CA, not yet trusted.
fn rolling() -> (Contents, Duration) {
    let mut held = fresh();
    let mut after = Duration::ZERO;
    while held.authorities.len() == 1 {
        after += DAY;
        held = next(&held, after, true);
    }
    (held, after)
}

#[test]
fn at_first_there_are_a_ca_and_a_certificate_of_it_for_every_name() {
    let held = fresh();
    assert_eq!(held.authorities.len(), 1);
    assert_eq!(held.issuer(&wanted().names, start()), Some(0));
    assert_eq!(leaf(&held).not_after, start() + VALIDITY);
    assert_eq!(held.authorities[0].not_after, start() + VALIDITY * 4);
    let ahead = vec!["other.system.svc".to_owned()];
    assert_eq!(held.issuer(&ahead, start()), None);
    assert!(is_kept(&held, Duration::ZERO, false));
    // A node's clock that is some hours behind takes it, too.
    assert_eq!(held.issuer(&wanted().names, start() - DAY / 2), Some(0));
}

#[test]
fn a_certificate_is_renewed_when_a_third_of_its_validity_is_left() {
    let held = fresh();
    assert!(is_kept(&held, VALIDITY * 2 / 3, true));
    let due = VALIDITY * 2 / 3 + Duration::from_secs(1);
    let renewed = next(&held, due, false);
    assert!(renewed.authorities == held.authorities);
    assert!(leaf(&renewed).key != leaf(&held).key);
    assert_eq!(leaf(&renewed).not_after, start() + due + VALIDITY);
}

#[test]
fn a_ca_is_trusted_before_it_issues_and_until_it_expires() {
    let (joined, after) = rolling();
    // A third of its validity is left.
    let since = after - VALIDITY * 8 / 3;
    assert!(since > Duration::ZERO && since <= DAY, "{since:?}");
    assert_eq!(joined.authorities.len(), 2);
    let names = wanted().names;
    assert_eq!(joined.issuer(&names, start() + after), Some(0));
    assert!(is_kept(&joined, after, false));

    let switched = next(&joined, after, true);
    assert_eq!(switched.issuer(&names, start() + after), Some(1));
    assert_eq!(switched.bundle(), joined.bundle());
    assert!(switched.authorities[0].key.is_none(), "it is not needed");
    assert!(switched.authorities[1].key.is_some());

    let (mut held, mut after) = (switched, after);
    while held.authorities.len() > 1 {
        assert!(start() + after <= joined.authorities[0].not_after);
        after += DAY;
        held = next(&held, after, true);
    }
    assert!(start() + after > joined.authorities[0].not_after);
    assert_eq!(held.authorities[0].name, joined.authorities[1].name);
    assert_eq!(held.issuer(&names, start() + after), Some(0));
}

#[test]
fn a_ca_that_nobody_is_known_to_trust_issues_only_once_the_other_has_expired() {
    let (mut held, mut after) = rolling();
    let (old, new) = (held.authorities[0].clone(), held.authorities[1].clone());
    let names = wanted().names;
    while start() + after <= old.not_after {
        let issuer = held.issuer(&names, start() + after);
        assert_eq!(issuer, Some(0), "after {after:?}");
        let unchanged = next(&held, after, false);
        assert!(unchanged == next(&unchanged, after, false), "it settles");
        (held, after) = (unchanged, after + DAY);
    }
    held = next(&held, after, false);
    assert!(held.authorities == [new]);
    assert_eq!(held.issuer(&names, start() + after), Some(0));
}

#[test]
fn other_names_get_another_certificate_of_the_same_ca() {
    let held = fresh();
    let names = vec!["moved.elsewhere.svc".to_owned()];
    let wanted = Wanted {
        names: names.clone(),
        validity: VALIDITY,
    };
    let moved = advance(Some(&held), &wanted, start(), |_| false).unwrap();
    assert!(moved.authorities == held.authorities);
    assert_eq!(moved.issuer(&names, start()), Some(0));
}

#[test]
fn after_all_has_expired_or_is_yet_to_come_all_is_anew() {
    let held = fresh();
    for now in [start() + VALIDITY * 5, start() - DAY * 2] {
        let anew = advance(Some(&held), &wanted(), now, |_| true).unwrap();
        assert_eq!(anew.authorities.len(), 1);
        assert_ne!(anew.authorities[0].name, held.authorities[0].name);
        assert_eq!(anew.issuer(&wanted().names, now), Some(0));
    }
    // The certificate alone has: of the same CA.
    let late = next(&held, VALIDITY + DAY, false);
    assert!(late.authorities == held.authorities);
    assert_eq!(
        late.issuer(&wanted().names, start() + VALIDITY + DAY),
        Some(0)
    );
}

#[test]
fn another_validity_settles() {
    let held = fresh();
    for validity in [VALIDITY / 1000, VALIDITY * 10, Duration::MAX] {
        let wanted = Wanted {
            validity,
            ..wanted()
        };
        let next = advance(Some(&held), &wanted, start(), |_| false).unwrap();
        assert!(next == advance(Some(&next), &wanted, start(), |_| false).unwrap());
        assert!(next.issuer(&wanted.names, start()).is_some());
        assert_eq!(next.authorities[0].name, held.authorities[0].name);
    }
}

#[test]
fn a_secret_holds_it_all_and_what_tools_look_for() {
    let (held, after) = rolling();
    let data = held.data().unwrap();
    assert!(Contents::read(&data).unwrap() == held);
    let switched = next(&held, after, true);
    assert!(Contents::read(&switched.data().unwrap()).unwrap() == switched);
    assert_eq!(data["ca.crt"], held.bundle().into_bytes());
    assert_eq!(held.bundle().matches("BEGIN CERTIFICATE").count(), 2);
    assert!(pair(&data["tls.crt"], &data["tls.key"]).is_ok());
}

#[test]
fn damage_of_the_certificate_costs_the_certificate_and_of_the_state_all() {
    let held = fresh();
    let other = fresh();
    let damages: [(&str, &[u8], bool); 7] = [
        ("tls.crt", b"", true),
        ("tls.crt", b"no PEM", true),
        ("tls.key", b"no PEM", true),
        ("tls.key", leaf(&other).key.as_bytes(), true),
        ("tls.crt", leaf(&other).certificate.as_bytes(), true),
        ("state.json", b"{\"authorities\": []}", false),
        ("state.json", b"no JSON", false),
    ];
    for (key, value, same_ca) in damages {
        let mut data = held.data().unwrap();
        data.insert(key.to_owned(), value.to_owned());
        let read = Contents::read(&data);
        let mended = advance(read.as_ref(), &wanted(), start(), |_| true).unwrap();
        assert_eq!(mended.issuer(&wanted().names, start()), Some(0), "{key}");
        assert_eq!(mended.authorities == held.authorities, same_ca, "{key}");
    }
}

#[test]
fn a_ca_whose_key_or_certificate_is_damaged_is_replaced() {
    let held = fresh();
    let other = fresh().authorities.remove(0);
    let damaged = [
        Authority {
            key: Some("no PEM".to_owned()),
            ..held.authorities[0].clone()
        },
        Authority {
            key: other.key,
            ..held.authorities[0].clone()
        },
        Authority {
            certificate: other.certificate,
            ..held.authorities[0].clone()
        },
    ];
    for authority in damaged {
        let read = Contents {
            authorities: vec![authority],
            leaf: None,
        };
        let mended = advance(Some(&read), &wanted(), start(), |_| true).unwrap();
        assert_eq!(mended.issuer(&wanted().names, start()), Some(0));
        assert_ne!(mended.authorities[0].name, held.authorities[0].name);
    }
}

#[test]
fn a_mounted_bundle_joins_what_was_trusted_before_once() {
    let certificate = |contents: &Contents| contents.authorities[0].certificate.clone();
    let [a, b, c] = [fresh(), fresh(), fresh()].map(|contents| certificate(&contents));
    let first = joined(&a, "").unwrap();
    assert_eq!(joined(&a, &first), None);
    let second = joined(&b, &first).unwrap();
    // Whoever still has the old file leaves it at that.
    assert_eq!(joined(&a, &second), None);
    assert_eq!(joined(&b, &second), None);
    let third = joined(&c, &second).unwrap();
    assert!(third.contains(b.trim()) && !third.contains(a.trim()));
    assert!(third.starts_with(c.trim()));
}

#[tokio::test]
async fn mounted_files_are_read_of_one_generation() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (fresh(), fresh());
    let error = Mounted::read(dir.path()).await.err().unwrap();
    assert!(error.to_string().contains("tls.crt"), "{error}");
    for (name, contents) in [("..1", &one), ("..2", &other)] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        for (key, value) in contents.data().unwrap() {
            std::fs::write(dir.path().join(name).join(key), value).unwrap();
        }
    }
    let swap = |generation| {
        let _ = std::fs::remove_file(dir.path().join("..data"));
        std::os::unix::fs::symlink(generation, dir.path().join("..data")).unwrap();
    };
    swap("..1");
    let read = Mounted::read(dir.path()).await.unwrap();
    assert_eq!(read.bundle, Some(one.bundle()));
    assert_eq!(read.pair.cert, leaf(&one).pair().unwrap().cert);
    swap("..2");
    let read = Mounted::read(dir.path()).await.unwrap();
    assert_eq!(read.bundle, Some(other.bundle()));
    std::fs::write(dir.path().join("..2/tls.key"), &leaf(&one).key).unwrap();
    let error = Mounted::read(dir.path()).await.err().unwrap();
    assert!(matches!(error, MountedError::Unusable { .. }), "{error}");
    std::fs::remove_file(dir.path().join("..1/ca.crt")).unwrap();
    swap("..1");
    assert_eq!(Mounted::read(dir.path()).await.unwrap().bundle, None);
}

#[derive(Debug, Clone)]
struct Look {
    /// Tenths of the validity since the last look.
    tenths: u32,
    trusted: bool,
}

fn looks() -> impl Strategy<Value = Vec<Look>> {
    let look = (prop_oneof![8 => 0..4_u32, 1 => 0..60_u32], any::<bool>());
    let look = look.prop_map(|(tenths, trusted)| Look { tenths, trusted });
    prop::collection::vec(look, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the times of the looks: what is served is trusted by whoever has the bundle of one
    /// look earlier or later, and what other replicas still serve is, too.
    #[test]
    fn no_look_takes_trust_from_what_is_served(looks in looks()) {
        let names = wanted().names;
        let mut now = start();
        let mut held = fresh();
        for look in looks {
            now += VALIDITY / 10 * look.tenths;
            let before = held.bundle();
            let trusted = |bundle: &str| look.trusted && bundle == before;
            let next = advance(Some(&held), &wanted(), now, trusted).unwrap();
            prop_assert!(next.issuer(&names, now).is_some());
            prop_assert!(next.authorities.len() <= 3);
            let again = advance(Some(&next), &wanted(), now, |b| trusted(b)).unwrap();
            prop_assert!(again == next, "it settles");
            if held.issuer(&names, now).is_some() {
                let served_on = Contents { leaf: held.leaf.clone(), ..next.clone() };
                prop_assert!(served_on.issuer(&names, now).is_some(), "of other replicas");
                let told_late = Contents { leaf: next.leaf.clone(), ..held.clone() };
                prop_assert!(told_late.issuer(&names, now).is_some(), "by API servers");
            }
            held = next;
        }
    }
}
