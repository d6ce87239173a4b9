//! attache in-process, configured by flags as a user gives them, on a free port.

use std::time::Duration;

use ::http::{Method, Request, Response};
use attache::app::App;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{eventually, http};

/// How long a change may take to show. Machines that run tests are slow; how fast it is is
/// measured by the benchmarks.
const LIMIT: Duration = Duration::from_secs(60);

/// A running sidecar; ends with the test.
pub struct Sidecar {
    base: String,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), attache::app::Fatal>>,
}

impl Sidecar {
    /// Starts `attache run` with these flags.
    pub async fn start(flags: &[&str]) -> Self {
        let args = ["attache", "run", "--port", "0"]
            .iter()
            .chain(flags)
            .copied();
        let config = attache::app::config_from(args).expect("a valid configuration");
        let app = App::start(config).await.expect("attache starts");
        let base = format!("http://{}", app.bound().addresses[0]);
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        Self {
            base,
            stop: Some(stop),
            running,
        }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// GET with these headers.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        http::get(&self.url(path), headers)
            .await
            .expect("attache answers")
    }

    /// A request with these headers and this body.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a valid request");
        http::send(request).await.expect("attache answers")
    }

    /// The status and the body as text.
    pub async fn text(&self, path: &str) -> (u16, String) {
        let response = self.get(path, &[]).await;
        (
            response.status().as_u16(),
            String::from_utf8_lossy(response.body()).into_owned(),
        )
    }

    /// Waits until a path is served with this body.
    pub async fn serves(&self, path: &str, body: &str) {
        eventually(format!("{path} is {body:?}"), LIMIT, async || {
            self.text(path).await == (200, body.to_owned())
        })
        .await;
    }

    /// The Age header, in seconds.
    pub async fn age(&self, path: &str) -> Option<u64> {
        let response = self.get(path, &[]).await;
        assert_eq!(response.status(), 200, "{path} is served, however old");
        response
            .headers()
            .get("age")
            .map(|age| age.to_str().unwrap().parse().unwrap())
    }

    /// `/-/status`.
    pub async fn status(&self) -> Value {
        serde_json::from_slice(self.get("/-/status", &[]).await.body()).expect("JSON")
    }

    /// The changes that status lists.
    pub async fn changes(&self) -> Vec<Value> {
        self.status().await["changes"].as_array().unwrap().clone()
    }

    /// The sum of a metric's samples whose line starts with `prefix`.
    pub async fn metric(&self, prefix: &str) -> f64 {
        let (_, text) = self.text("/-/metrics").await;
        let samples = text.lines().filter(|line| line.starts_with(prefix));
        samples
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Stops as SIGTERM does, and waits for the end.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        (&mut self.running)
            .await
            .expect("no panic")
            .expect("an orderly end");
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.running.abort();
    }
}
