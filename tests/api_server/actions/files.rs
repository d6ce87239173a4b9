//! Files from a selector, together with those of a named object.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::write_config;
use crate::support::control_plane::ControlPlane;
use crate::support::eventually;
use crate::support::sidecar::Sidecar;
use crate::{LIMIT, text, watching};

/// The visible files of a directory, without the layout's own names.
fn visible(dir: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap();
        // A link may be gone a moment later.
        if !name.starts_with("..")
            && let Ok(content) = std::fs::read_to_string(entry.path())
        {
            files.insert(name, content);
        }
    }
    files
}

async fn holds(dir: &Path, expected: &[(&str, &str)]) {
    let owned = |(name, content): &(&str, &str)| ((*name).to_owned(), (*content).to_owned());
    let expected: BTreeMap<_, _> = expected.iter().map(owned).collect();
    eventually(format!("{expected:?}"), LIMIT, async || {
        visible(dir) == expected
    })
    .await;
}

/// Waits until status names the collision, or none.
async fn remark(sidecar: &Sidecar, expected: Option<&str>) {
    eventually(format!("{expected:?}"), LIMIT, async || {
        let problems = sidecar.status().await["problems"].clone();
        problems["files[0], files[1] remarks"].as_str() == expected
    })
    .await;
}

#[tokio::test]
#[ignore = "needs KUBEBUILDER_ASSETS: export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\""]
async fn members_come_and_go_and_status_names_a_collision() {
    let plane = ControlPlane::shared().await;
    let namespace = plane.namespace().await;
    let maps = plane.config_maps(&namespace).await;
    let labels = [("dashboard", "1")];
    maps.create_labelled("a", &labels, &[("a.json", "a")]).await;
    maps.create_labelled("b", &labels, &[("b.json", "b")]).await;
    maps.create("other", &[("other.json", "other")]).await;
    maps.create("web", &[("web.json", "web")]).await;
    let work = tempfile::tempdir().unwrap();
    let (dir, config) = (work.path().join("out"), work.path().join("attache.yaml"));
    let rules = json!({"files": [
        {"selector": "dashboard=1", "dir": dir},
        {"configMap": "web", "dir": dir},
    ]});
    write_config(&config, &rules);
    let sidecar = watching(plane, &namespace, &["--config", text(&config)]).await;
    let web = ("web.json", "web");
    holds(&dir, &[("a.json", "a"), ("b.json", "b"), web]).await;
    remark(&sidecar, None).await;
    // One is made, one changes, one gets the label, one loses it, one is deleted.
    maps.create_labelled("c", &labels, &[("c.json", "c")]).await;
    maps.set("a", "a.json", "a2").await;
    let label = |value: Value| json!({"metadata": {"labels": {"dashboard": value}}});
    maps.patch("other", &label(json!("1"))).await;
    maps.patch("b", &label(Value::Null)).await;
    let with_c = [
        ("a.json", "a2"),
        ("c.json", "c"),
        ("other.json", "other"),
        web,
    ];
    holds(&dir, &with_c).await;
    maps.delete("c").await;
    let without = [("a.json", "a2"), ("other.json", "other"), web];
    holds(&dir, &without).await;
    // The later rule wins, and the earlier has it back.
    maps.set("web", "a.json", "of web").await;
    holds(&dir, &[("a.json", "of web"), ("other.json", "other"), web]).await;
    let claims = format!(
        "\"a.json\" is claimed by key \"a.json\" of ConfigMap {namespace}/a and by key \"a.json\" of \
         ConfigMap {namespace}/web: it holds the latter"
    );
    remark(&sidecar, Some(&claims)).await;
    maps.patch("web", &json!({"data": {"a.json": null}})).await;
    holds(&dir, &without).await;
    remark(&sidecar, None).await;
    // A named object that goes leaves its files; a member takes them along.
    maps.delete("web").await;
    maps.delete("a").await;
    holds(&dir, &[("other.json", "other"), web]).await;
}
