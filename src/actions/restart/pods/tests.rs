use super::*;
use crate::config::Connection;
use crate::telemetry::tests::Log;
use crate::upstream::Upstream;

#[tokio::test(start_paused = true)]
async fn what_stays_away_is_told_once_for_each_step() {
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = dir.path().join("kubeconfig");
    let content = json!({
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {}}],
    });
    std::fs::write(&kubeconfig, content.to_string()).unwrap();
    let settings = Connection {
        kubeconfig: Some(kubeconfig),
        ..Connection::default()
    };
    let api = Api::new(&Upstream::new(settings).await.unwrap());
    let group = Group::new("default", "app=web", Vec::new(), None);
    let pace = Pace {
        max_unavailable: 1,
        evict: false,
        timeout: Duration::from_secs(600),
    };
    let mut tally = Tally::default();
    let mut walk = Walk::new(&api, &group, pace, &mut tally);
    let (log, _guard) = Log::start();
    for step in 1..3 {
        walk.tell(&["web-1"], 0, 3);
        assert_eq!(log.events().len(), step - 1, "it may be back soon");
        for _ in 0..30 {
            walk.rest().await;
            walk.tell(&["web-0", "web-1"], 0, 3);
        }
        assert_eq!(log.events().len(), step);
        walk.advance();
    }
    let told = &log.events()[0];
    let fields = json!({
        "message": "pods are away; attache waits until they are Ready, 600s at most",
        "namespace": "default", "selector": "app=web",
        "away": "not Ready: web-0, web-1", "left": 3,
    });
    assert_eq!(told["fields"], fields);
    assert_eq!(told["level"], "WARN");
}
