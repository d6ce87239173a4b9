//! Somebody else's webhook, which changes the sidecar after attache has put it in.

use std::sync::Arc;

use attache::http::listen;
use attache::http::{self as server, Body, Handler, Limits, Meters, Peer};
use attache::shutdown::{self, Trigger};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::fleet::{Api, place_of_sidecar};

/// Adds a variable to the container `attache` of every pod that it is asked about.
struct Meddler;

impl Handler for Meddler {
    async fn handle(&self, request: Request<Incoming>, _: &Peer) -> Response<Body> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let review: Value = serde_json::from_slice(&body).unwrap();
        let request = &review["request"];
        let mut response = json!({"uid": request["uid"], "allowed": true});
        if let Some((list, at)) = place_of_sidecar(&request["object"]) {
            let path = format!("/spec/{list}/{at}/env/-");
            let value = json!({"name": "MEDDLED", "value": "yes"});
            let patch = json!([{"op": "add", "path": path, "value": value}]);
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(STANDARD.encode(patch.to_string()));
        }
        let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": response});
        Response::new(Either::Left(Full::new(answer.to_string().into())))
    }
}

/// Runs until dropped.
pub(super) struct Other {
    _stop: Trigger,
    serving: JoinHandle<()>,
}

impl Drop for Other {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Other {
    /// Serves it, and registers it for the pods of namespaces with the label `meddle`; after attache's,
    /// for webhooks are called in the order of their configurations' names.
    pub(super) async fn start(api: &Api) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::from(key))
            .unwrap();
        let config = Arc::new(config);
        let bound = listen::bind("127.0.0.1".parse().unwrap(), 0).await.unwrap();
        let address = bound[0].address().unwrap().to_string();
        let port = address.rsplit_once(':').unwrap().1.to_owned();
        let listeners = bound.into_iter().map(|l| l.tls(Arc::clone(&config)));
        let (stop, shutdown) = shutdown::channel();
        let serving = server::serve(
            listeners.collect(),
            Arc::new(Meddler),
            Limits::new(64),
            Meters::default(),
            shutdown,
        );
        let configuration = json!({
            "metadata": {"name": "zz-other"},
            "webhooks": [{
                "name": "other.example.com", "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": format!("https://localhost:{port}/"),
                    "caBundle": STANDARD.encode(made.cert.pem())},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                    "resources": ["pods"]}],
                "namespaceSelector": {"matchLabels": {"meddle": "yes"}},
                "failurePolicy": "Fail", "sideEffects": "None",
            }],
        });
        let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
        let serving = tokio::spawn(serving);
        api.create(path, &configuration).await;
        Self {
            _stop: stop,
            serving,
        }
    }
}
