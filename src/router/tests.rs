use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use proptest::prelude::*;

use super::*;
use crate::shutdown;
use crate::store::{self, Kind, ObjectRef, RawObject, ScopeSpec, Selects};

/// A router over a store that holds ConfigMap `d/web` with the key `k`.
fn router() -> (Router, store::ScopeWriter) {
    let (writer, reader) = store::new(1 << 20);
    let web = ObjectRef::new(Kind::ConfigMap, "d", "web");
    let scope = writer.scope(ScopeSpec::declared(Selects::Named(web.clone())));
    let mut raw = RawObject::empty(web);
    raw.data.insert("k".into(), "v".into());
    scope.replace(vec![scope.freeze(raw)]);
    let api = Api::over(reader, shutdown::channel().1);
    let hosts = vec![Regex::new("^localhost$").unwrap()];
    (
        Router::new(Arc::new(api), hosts, true, None).unwrap(),
        scope,
    )
}

fn ask(router: &Router, method: Method, target: http::Uri) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "localhost")
        .body(())
        .unwrap();
    let parts = request.into_parts().0;
    let answer = router
        .answer(&parts, &mut RequestBody::default(), &Peer::default())
        .now_or_never();
    answer.expect("a read that demands nothing does not wait")
}

fn status(router: &Router, target: &str) -> u16 {
    let answer = ask(router, Method::GET, target.parse().unwrap());
    answer.status().as_u16()
}

#[test]
fn paths_lead_where_they_should() {
    let (router, _scope) = router();
    for (target, expected) in [
        ("/kv/d/web", 200),
        ("/kv/d/web/k", 200),
        ("/kv/d/web/k?", 200),
        ("/kv/%64/w%65b/%6b", 200),
        ("/kv/d/web/k?waits=1", 400),
        ("/kv/d/web/none", 404),
        ("/kv/d/other", 404),
        ("/kv/d/secret:web", 403),
        ("/kv/d/web/", 404),
        ("/kv/d/web/k/", 404),
        ("/kv/d/web/k/x", 404),
        ("/kv/d/web/k//", 400),
        ("/kv/d//k", 400),
        ("/kv//web", 400),
        ("//kv/d/web", 404),
        ("/kv", 404),
        ("/kv/", 404),
        ("/kv/d", 404),
        ("/kv/%", 400),
        ("/kvs", 404),
        ("/", 404),
        ("/healthz", 404),
        ("/-/live", 200),
        ("/-/ready", 503),
        ("/-/metrics", 200),
        ("/-/status", 200),
        ("/-/", 404),
        ("/-/live/", 404),
    ] {
        assert_eq!(status(&router, target), expected, "{target}");
    }
}

#[test]
fn only_reads_are_allowed_and_the_answer_says_so() {
    let (router, _scope) = router();
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        for target in ["/kv/d/web/k", "/kv/d/web?other=1", "/kv/d/none", "/-/live"] {
            let answer = ask(&router, method.clone(), target.parse().unwrap());
            assert_eq!(answer.status(), 405, "{method} {target}");
            assert_eq!(answer.headers()["allow"], "GET, HEAD");
        }
    }
}

#[test]
fn the_admin_listener_serves_three_routes_to_any_host() {
    let (main, _scope) = router();
    let admin = Router::admin(Arc::clone(&main.api)).unwrap();
    for (target, expected) in [
        ("/-/live", 200),
        ("/-/ready", 503),
        ("/-/metrics", 200),
        ("/-/status", 404),
        ("/kv/d/web/k", 404),
        ("/kv/d/web/", 404),
    ] {
        assert_eq!(status(&admin, target), expected, "{target}");
    }
    let request = Request::get("/-/live").header("host", "10.0.0.7:8002");
    let parts = request.body(()).unwrap().into_parts().0;
    let answer = admin
        .answer(&parts, &mut RequestBody::default(), &Peer::default())
        .now_or_never()
        .unwrap();
    assert_eq!(answer.status(), 200);
}

#[test]
fn requests_are_counted_by_pattern_and_refused_ones_apart() {
    let (router, _scope) = router();
    status(&router, "/kv/d/web/k");
    status(&router, "/kv/d/web/none");
    status(&router, "http://evil.example/kv/d/web/k");
    let text = router.api.metrics.encode();
    for line in [
        "attache_http_requests_total{route=\"/kv/{namespace}/{name}/{key}\",status=\"200\"} 1",
        "attache_http_requests_total{route=\"/kv/{namespace}/{name}/{key}\",status=\"404\"} 1",
        "attache_http_requests_total{route=\"refused\",status=\"403\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} not in\n{text}");
    }
}

proptest! {
    #[test]
    fn no_target_is_a_fault_of_ours(tail in "[ -~]{0,40}|(/|%|\\.|%2[eEfF]|%00|[a-z:?#]){0,20}") {
        let (router, _scope) = router();
        router.api.readiness.seal();
        for prefix in ["", "/", "/kv", "/kv/", "/kv/d/", "/kv/d/web/", "/-/"] {
            let Ok(target) = format!("{prefix}{tail}").parse::<http::Uri>() else { continue };
            let status = ask(&router, Method::GET, target.clone()).status();
            prop_assert!(status.as_u16() < 500, "{target}: {status}");
        }
    }
}

#[test]
fn the_description_has_every_route_and_the_methods_it_takes() {
    let (router, _scope) = router();
    let answer = ask(&router, Method::GET, "/-/openapi.json".parse().unwrap());
    let body = answer.into_body().collect().now_or_never().unwrap();
    let description: serde_json::Value = serde_json::from_slice(&body.unwrap().to_bytes()).unwrap();
    let mut described = description["paths"].as_object().unwrap().clone();
    let ours = Route::ALL.into_iter().filter(|route| route.is_ours());
    for pattern in ours.map(Route::pattern) {
        let item = described.remove(pattern);
        let item = item.unwrap_or_else(|| panic!("{pattern} is not described"));
        let names = item.as_object().unwrap().keys();
        let methods = names.filter(|name| *name != "parameters");
        let methods: Vec<_> = methods.map(|name| name.to_uppercase()).collect();
        let target = pattern.replace("{namespace}", "d").replace("{name}", "web");
        let target = target.replace("{key}", "k").replace("{service}", "web");
        let answer = ask(&router, Method::OPTIONS, target.parse().unwrap());
        assert_eq!(answer.status(), 405, "{pattern}");
        assert_eq!(answer.headers()["allow"], methods.join(", "), "{pattern}");
    }
    assert!(
        described.is_empty(),
        "described, but no route: {described:?}"
    );
}
