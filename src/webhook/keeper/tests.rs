use std::path::PathBuf;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use rustls::client::ClientConnection;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, ServerConnection};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::*;
use crate::config::{Connection, Log, LogFormat, Platform, Webhook};
use crate::shutdown::{Trigger, channel};
use crate::upstream::CallError;

const VALIDITY: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(600);

/// An API server that has one Secret and one configuration.
#[derive(Clone)]
struct Cluster(Arc<Mutex<State>>);

struct State {
    secret: Option<Value>,
    configuration: Option<Value>,
    version: u64,
    /// What is answered instead, to requests of this method whose path has this in it.
    refusals: Vec<(Method, &'static str, StatusCode)>,
}

impl Api for Cluster {
    async fn call(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, CallError> {
        // Another replica may come in between.
        tokio::task::yield_now().await;
        let (status, body) = self.0.lock().unwrap().answer(request);
        let mut answer = Response::new(Bytes::from(body.to_string()));
        *answer.status_mut() = status;
        Ok(answer)
    }
}

impl State {
    fn answer(&mut self, request: &Request<Bytes>) -> (StatusCode, Value) {
        let (method, path) = (request.method(), request.uri().path());
        let refused = |(m, p, _): &&(Method, &str, StatusCode)| m == method && path.contains(p);
        if let Some((_, _, status)) = self.refusals.iter().find(refused) {
            return (*status, json!({"message": "refused by the test"}));
        }
        let secrets = path.contains("/namespaces/attache-system/secrets");
        let held = if secrets {
            &mut self.secret
        } else {
            &mut self.configuration
        };
        let sent: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let version = (self.version + 1).to_string();
        match (method, held) {
            (&Method::GET, Some(held)) => return (StatusCode::OK, held.clone()),
            (&Method::POST, held @ None) => {
                let mut sent = sent;
                sent["metadata"]["resourceVersion"] = version.into();
                *held = Some(sent);
            }
            (&Method::POST, Some(_)) => return (StatusCode::CONFLICT, json!({})),
            (&Method::PATCH, Some(held)) => {
                if sent["metadata"]["resourceVersion"] != held["metadata"]["resourceVersion"] {
                    return (StatusCode::CONFLICT, json!({}));
                }
                held["metadata"]["resourceVersion"] = version.into();
                for (key, value) in sent["data"].as_object().into_iter().flatten() {
                    held["data"][key] = value.clone();
                }
                for entry in sent["webhooks"].as_array().into_iter().flatten() {
                    let webhooks = held["webhooks"].as_array_mut().unwrap();
                    let same = |webhook: &&mut Value| webhook["name"] == entry["name"];
                    let bundle = entry["clientConfig"]["caBundle"].clone();
                    webhooks.iter_mut().find(same).unwrap()["clientConfig"]["caBundle"] = bundle;
                }
            }
            _ => return (StatusCode::NOT_FOUND, json!({})),
        }
        self.version += 1;
        (StatusCode::OK, json!({}))
    }
}

fn configuration() -> Value {
    let service = json!({"name": "attache-webhook", "namespace": "attache-system"});
    let webhook = |name: &str| json!({"name": name, "clientConfig": {"service": service}, "x": 1});
    json!({
        "metadata": {"name": "attache", "resourceVersion": "0"},
        "webhooks": [webhook("namespaces.attache.dev"), webhook("pods.attache.dev")],
    })
}

impl Cluster {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            secret: None,
            configuration: Some(configuration()),
            version: 0,
            refusals: Vec::new(),
        })))
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    fn refuse(&self, method: Method, path: &'static str, status: StatusCode) {
        self.with(|state| state.refusals.push((method, path, status)));
    }

    /// The caBundle that all webhooks have.
    fn bundle(&self) -> String {
        let configuration = self.with(|state| state.configuration.clone()).unwrap();
        let bundle = |at: usize| configuration["webhooks"][at]["clientConfig"]["caBundle"].clone();
        assert_eq!(bundle(0), bundle(1));
        let decoded = STANDARD.decode(bundle(0).as_str().unwrap_or_default());
        String::from_utf8(decoded.unwrap()).unwrap()
    }
}

fn own() -> Certificate {
    Certificate::Own {
        secret: "attache-webhook-certificate".to_owned(),
        service: "attache-webhook".to_owned(),
        validity: VALIDITY,
    }
}

fn config(certificate: Certificate) -> Webhook {
    Webhook {
        annotations: Default::default(),
        platform: Platform {
            image: String::new(),
            allow_rollout: false,
            allow_pods: false,
        },
        deny: true,
        address: "127.0.0.1".parse().unwrap(),
        port: 0,
        admin_address: None,
        shutdown_delay: Duration::ZERO,
        configuration: "attache".to_owned(),
        certificate,
        namespace: None,
        connection: Connection::default(),
        log: Log {
            verbosity: 0,
            format: LogFormat::Text,
        },
    }
}

/// A keeper that runs, by a wall clock that goes as tokio's.
struct Replica {
    tls: Arc<ServerConfig>,
    status: Status,
    ready: watch::Receiver<bool>,
    _stop: Trigger,
}

fn keeper(cluster: &Cluster, certificate: Certificate) -> Keeper<Cluster> {
    let (start, since) = (Timestamp::now(), Instant::now());
    let clock = move || start + since.elapsed();
    Keeper::with_clock(
        &config(certificate),
        "attache-system",
        cluster.clone(),
        clock,
    )
}

fn replica(cluster: &Cluster, certificate: Certificate) -> Replica {
    let keeper = keeper(cluster, certificate);
    let (stop, shutdown) = channel();
    let (tls, status, ready) = (keeper.tls(), keeper.status(), keeper.ready());
    tokio::spawn(keeper.run(shutdown));
    Replica {
        tls,
        status,
        ready,
        _stop: stop,
    }
}

impl Replica {
    async fn becomes_ready(&mut self) {
        let ready = self.ready.wait_for(|ready| *ready);
        timeout(PATIENCE, ready).await.unwrap().unwrap();
    }
}

#[derive(Debug)]
struct At(Timestamp);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.as_second()).unwrap();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// The certificate that a client gets that trusts `bundle`, as API servers do.
fn call(
    tls: &Arc<ServerConfig>,
    bundle: &str,
    now: Timestamp,
) -> Result<CertificateDer<'static>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(authority.unwrap()).unwrap();
    }
    let provider = Arc::new(default_provider());
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(At(now)))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("attache-webhook.attache-system.svc").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name)?;
    let mut server = ServerConnection::new(Arc::clone(tls))?;
    for _ in 0..4 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets()?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
    Ok(client.peer_certificates().unwrap()[0].clone().into_owned())
}

#[tokio::test(start_paused = true)]
async fn replicas_that_start_at_once_agree_and_fail_no_call_through_a_whole_roll_over() {
    let cluster = Cluster::new();
    let (start, since) = (Timestamp::now(), Instant::now());
    let mut replicas = [replica(&cluster, own()), replica(&cluster, own())];
    for replica in &mut replicas {
        replica.becomes_ready().await;
    }
    let written = replicas.iter().map(|r| r.status.certificate_writes.get());
    assert_eq!(written.sum::<u64>(), 1, "one of them made it");
    let names = |bundle: &str| bundle.matches("BEGIN CERTIFICATE").count();
    let first = cluster.bundle();
    // What API servers were told some time ago, and what they are told now.
    let mut told = [first.clone(), first.clone()];
    let (mut most, mut served) = (1, std::collections::BTreeSet::new());
    while since.elapsed() < VALIDITY * 17 / 4 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        let [_, before] = told;
        told = [before, cluster.bundle()];
        most = most.max(names(&told[1]));
        let now = start + since.elapsed();
        for replica in &replicas {
            for bundle in &told {
                let certificate = call(&replica.tls, bundle, now);
                let certificate = certificate.unwrap_or_else(|error| panic!("{now}: {error}"));
                served.insert(certificate.as_ref().to_vec());
            }
            assert!(replica.status.not_after().unwrap() > now);
        }
    }
    assert_eq!(most, 2);
    assert!(served.len() >= 6, "{} certificates", served.len());
    // The first CA is forgotten, and was the only one at first.
    assert_eq!((names(&first), names(&told[1])), (1, 1));
    assert!(call(&replicas[0].tls, &first, start + since.elapsed()).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_lost_or_damaged_secret_is_put_back_as_it_was() {
    let cluster = Cluster::new();
    let mut replica = replica(&cluster, own());
    replica.becomes_ready().await;
    let data =
        |cluster: &Cluster| cluster.with(|state| state.secret.clone().unwrap()["data"].clone());
    let good = data(&cluster);
    cluster.with(|state| state.secret = None);
    tokio::time::sleep(INTERVAL * 2).await;
    assert_eq!(data(&cluster), good);
    cluster.with(|state| state.secret.as_mut().unwrap()["data"] = json!({"state.json": "AAAA"}));
    tokio::time::sleep(INTERVAL * 2).await;
    assert_eq!(data(&cluster), good);
    // At the start there is nothing to put back.
    cluster.with(|state| state.secret.as_mut().unwrap()["data"] = json!({"state.json": "AAAA"}));
    let mut other = self::replica(&cluster, own());
    other.becomes_ready().await;
    tokio::time::sleep(INTERVAL * 2).await;
    let now = Timestamp::now();
    let certificates = [&replica, &other].map(|r| call(&r.tls, &cluster.bundle(), now).unwrap());
    assert_eq!(certificates[0], certificates[1]);
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_or_forbidden_is_said_and_tried_again() {
    let cluster = Cluster::new();
    let mut keeper = keeper(&cluster, own());
    let patch = |path, status| cluster.refuse(Method::PATCH, path, status);
    let mended = || cluster.with(|state| state.refusals.clear());

    cluster.refuse(Method::POST, "/secrets", StatusCode::FORBIDDEN);
    let said = keeper.poll().await.unwrap_err().to_string();
    assert!(
        said.starts_with("may not create secret attache-system/attache-webhook-certificate"),
        "{said}"
    );
    mended();

    cluster.with(|state| state.configuration = None);
    let said = keeper.poll().await.unwrap_err().to_string();
    assert!(
        said.starts_with("mutatingwebhookconfiguration attache does not exist"),
        "{said}"
    );
    let certificate = keeper.status().not_after();
    assert!(certificate.is_some(), "that needs no configuration");

    cluster.with(|state| state.configuration = Some(json!({"metadata": {"resourceVersion": "1"}})));
    let said = keeper.poll().await.unwrap_err().to_string();
    assert!(said.contains("has no webhooks"), "{said}");
    cluster.with(|state| state.configuration = Some(json!("garbage")));
    let said = keeper.poll().await.unwrap_err().to_string();
    assert!(
        said.contains("is not what the API server has as one"),
        "{said}"
    );
    cluster.with(|state| state.configuration = Some(configuration()));

    patch("mutatingwebhookconfigurations", StatusCode::FORBIDDEN);
    let said = keeper.poll().await.unwrap_err().to_string();
    assert!(
        said.starts_with("may not patch mutatingwebhookconfiguration attache"),
        "{said}"
    );
    mended();
    patch("mutatingwebhookconfigurations", StatusCode::CONFLICT);
    let failure = keeper.poll().await.unwrap_err();
    assert!(matches!(failure, Failure::Conflict(_)), "{failure}");
    assert!(!*keeper.ready().borrow());
    mended();

    keeper.poll().await.unwrap();
    assert!(*keeper.ready().borrow());
    assert_eq!(keeper.status().not_after(), certificate);
    assert_eq!(keeper.status().bundle_writes.get(), 1);
    call(&keeper.tls(), &cluster.bundle(), Timestamp::now()).unwrap();
    let kept = cluster.with(|state| state.configuration.clone()).unwrap();
    assert_eq!(kept["webhooks"][1]["x"], 1, "the rest is left alone");
    keeper.poll().await.unwrap();
    assert_eq!(keeper.status().bundle_writes.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_cannot_be_written_leaves_what_the_secret_holds() {
    let cluster = Cluster::new();
    let mut first = keeper(&cluster, own());
    first.poll().await.unwrap();
    tokio::time::advance(VALIDITY * 5 / 6).await;
    cluster.refuse(Method::PATCH, "/secrets", StatusCode::INTERNAL_SERVER_ERROR);
    // Its clock is the other's.
    let mut late = keeper(&cluster, own());
    late.clock = Box::new({
        let now = Timestamp::now() + VALIDITY * 5 / 6;
        move || now
    });
    let failure = late.poll().await.unwrap_err();
    assert!(failure.to_string().contains("500"), "{failure}");
    let now = Timestamp::now();
    let bundle = cluster.bundle();
    let served = call(&late.tls(), &bundle, now).unwrap();
    assert_eq!(served, call(&first.tls(), &bundle, now).unwrap());
}

#[tokio::test]
async fn a_mounted_certificate_is_followed_and_its_authorities_are_registered_first() {
    let (cluster, dir) = (Cluster::new(), tempfile::tempdir().unwrap());
    let made = || {
        let wanted = Wanted {
            names: names("attache-webhook", "attache-system", "::".parse().unwrap()),
            validity: VALIDITY,
        };
        let now = Timestamp::now();
        super::super::certificates::advance(None, &wanted, now, |_| false).unwrap()
    };
    let mount = |contents: &super::super::certificates::Contents| {
        for (name, content) in contents.data().unwrap() {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
    };
    let certificate = Certificate::Mounted(PathBuf::from(dir.path()));
    let mut keeper = keeper(&cluster, certificate);
    let now = Timestamp::now();
    let failure = keeper.poll().await.unwrap_err();
    assert!(failure.to_string().contains("tls.crt"), "{failure}");
    assert!(!*keeper.ready().borrow());

    mount(&made());
    keeper.poll().await.unwrap();
    assert!(*keeper.ready().borrow());
    let first = call(&keeper.tls(), &cluster.bundle(), now).unwrap();
    assert_eq!(keeper.status().not_after(), None);

    // Another CA: trusted at once, served at the next look.
    mount(&made());
    keeper.poll().await.unwrap();
    assert_eq!(call(&keeper.tls(), &cluster.bundle(), now).unwrap(), first);
    keeper.poll().await.unwrap();
    let second = call(&keeper.tls(), &cluster.bundle(), now).unwrap();
    assert_ne!(second, first);

    std::fs::write(dir.path().join("tls.key"), "no key").unwrap();
    let failure = keeper.poll().await.unwrap_err();
    assert!(failure.to_string().contains("tls.key"), "{failure}");
    assert_eq!(call(&keeper.tls(), &cluster.bundle(), now).unwrap(), second);

    // Without ca.crt somebody else sees to the caBundle.
    let told = cluster.bundle();
    mount(&made());
    std::fs::remove_file(dir.path().join("ca.crt")).unwrap();
    cluster.refuse(Method::GET, "mutatingwebhook", StatusCode::FORBIDDEN);
    keeper.poll().await.unwrap();
    assert_eq!(cluster.bundle(), told);
}
