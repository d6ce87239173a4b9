//! The objects that a configuration names, and the keys that its rules do: whether they are there.

use serde_json::Value;

use super::api::Api;
use super::findings::Finding;
use crate::config::{Config, FilesFrom, FilesTo, Glob, NamedObject, ObjectKind, Rule};
use crate::inject::rights::{Place, resource};

/// An object that is there, and its keys, if they were asked for.
type Keys<'a> = (&'a NamedObject, Vec<String>);

/// Looks for all of them.
pub(super) async fn named(api: &Api, config: &Config, place: &Place) -> Vec<Finding> {
    let source = &config.source;
    let content = names_keys(config);
    let (mut found, mut keys, mut present) = (Vec::new(), Vec::new(), 0);
    for named in &source.objects {
        if source
            .mounts
            .iter()
            .any(|mount| mount.object == named.object)
        {
            continue;
        }
        let namespace = place.namespace_of(&named.object);
        let path = format!("/api/v1/namespaces/{namespace}/{}", resource(named.kind));
        match api.named(&path, &named.object.name, content).await {
            Ok(Some(object)) => {
                present += 1;
                keys.push((named, keys_of(&object)));
            }
            Ok(None) => found.push(missing(named, &namespace)),
            // The rights say that already.
            Err(error) if error.is_forbidden() => {}
            Err(error) => found.push(Finding::unknown(format!(
                "{} cannot be looked for: {error}",
                shown(named, &namespace)
            ))),
        }
    }
    if present > 0 {
        found.push(Finding::ok(format!(
            "{present} of {} named objects are there",
            source.objects.len()
        )));
    }
    if content && present == source.objects.len() {
        found.extend(unknown_keys(config, &keys));
    }
    found
}

fn shown(named: &NamedObject, namespace: &str) -> String {
    let kind = match named.kind {
        ObjectKind::ConfigMap => "ConfigMap",
        ObjectKind::Secret => "Secret",
    };
    format!("{kind} {namespace}/{}", named.object.name)
}

fn missing(named: &NamedObject, namespace: &str) -> Finding {
    let shown = shown(named, namespace);
    if named.optional {
        return Finding::note(format!("{shown} is not there, and is optional"));
    }
    let create = match named.kind {
        ObjectKind::ConfigMap => "configmap",
        ObjectKind::Secret => "secret generic",
    };
    Finding::error(format!(
        "{shown} is not there, and attache is not ready without it: kubectl -n {namespace} create {create} {} \
         --from-literal=KEY=VALUE, or name it with ,optional",
        named.object.name
    ))
}

/// Whether anything in `config` is for some keys alone.
fn names_keys(config: &Config) -> bool {
    let by_files = config.files.iter().any(|rule| match &rule.to {
        FilesTo::Dir { items, .. } => items.is_some(),
        FilesTo::File { .. } => true,
    });
    by_files
        || config
            .on_change
            .iter()
            .any(|rule| !rule.when.keys.is_empty())
}

fn keys_of(object: &Value) -> Vec<String> {
    let parts = ["data", "binaryData"].into_iter();
    let maps = parts.filter_map(|part| object.get(part)?.as_object());
    maps.flat_map(|map| map.keys().cloned()).collect()
}

/// Keys that are named and that no object has.
fn unknown_keys(config: &Config, objects: &[Keys<'_>]) -> Vec<Finding> {
    let mut found = Vec::new();
    for rule in &config.files {
        let FilesFrom::Object(object) = &rule.from else {
            continue;
        };
        let wanted: Vec<&String> = match &rule.to {
            FilesTo::Dir { items, .. } => items.iter().flatten().map(|item| &item.key).collect(),
            FilesTo::File { key, .. } => vec![key],
        };
        let of =
            |(named, _): &&Keys<'_>| named.kind == object.kind && named.object == object.object;
        let Some((_, keys)) = objects.iter().find(of) else {
            continue;
        };
        for key in wanted.into_iter().filter(|key| !keys.contains(key)) {
            found.push(Finding::warning(format!(
                "{} writes key {key}, which {} does not have: its keys are {}",
                rule.name,
                object.object.name,
                list(keys)
            )));
        }
    }
    let rules = config.on_change.iter();
    found.extend(rules.filter_map(|rule| idle(rule, config, objects)));
    found
}

/// A rule that no key of its objects wakes.
fn idle(rule: &Rule, config: &Config, objects: &[Keys<'_>]) -> Option<Finding> {
    let globs = &rule.when.keys;
    // Whom a selector finds later is not known.
    if globs.is_empty() || (rule.when.object.is_none() && !config.source.selectors.is_empty()) {
        return None;
    }
    let mut keys = Vec::new();
    for (named, of) in objects {
        let is_for = match &rule.when.object {
            Some((kind, object)) => *kind == named.kind && *object == named.object,
            None => true,
        };
        if is_for {
            keys.extend(of.iter().cloned());
        }
    }
    if keys
        .iter()
        .any(|key| globs.iter().any(|glob| glob.is_match(key)))
    {
        return None;
    }
    let patterns: Vec<&str> = globs.iter().map(Glob::text).collect();
    Some(Finding::warning(format!(
        "{} is for keys {}, and no object has one: there are {}",
        rule.name,
        patterns.join(", "),
        list(&keys)
    )))
}

fn list(keys: &[String]) -> String {
    match keys.is_empty() {
        true => "none".to_owned(),
        false => keys.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::findings::Level;
    use crate::doctor::tests::config;

    #[test]
    fn keys_that_no_object_has_are_told() {
        let object = json!({"data": {"nginx.conf": "secret"}, "binaryData": {"logo": ""}});
        let found = |args: &[&str]| {
            let config = config(args);
            let keys = keys_of(&object);
            let objects: Vec<_> = config
                .source
                .objects
                .iter()
                .map(|o| (o, keys.clone()))
                .collect();
            let found = unknown_keys(&config, &objects);
            found
                .into_iter()
                .map(|f| (f.level, f.text))
                .collect::<Vec<_>>()
        };
        let of = |keys: &str| {
            format!("--on-change={{when: {{configMap: web, keys: [{keys}]}}, signal: nginx}}")
        };
        assert_eq!(found(&[&of("'nginx*'")]), []);
        assert_eq!(found(&[&of("x, logo")]), []);
        let none = found(&[&of("apache*, b")]);
        assert_eq!(none.len(), 1);
        assert_eq!(none[0].0, Level::Warning);
        assert_eq!(
            none[0].1,
            "onChange[0] is for keys apache*, b, and no object has one: there are nginx.conf, logo"
        );
        assert!(found(&["--files={configMap: web, key: logo, file: /x}"]).is_empty());
        let file = found(&["--files={configMap: web, key: motd, file: /x}"]);
        assert!(file[0].1.contains("writes key motd"), "{file:?}");
        let all = "--on-change={when: {keys: [b]}, signal: nginx}";
        assert_eq!(found(&[all, "--configmap=web"]).len(), 1);
        assert_eq!(
            found(&[all, "--configmap=web", "--configmap-selector=a=b"]),
            []
        );
        assert!(!names_keys(&config(&["--configmap=web"])));
    }

    #[test]
    fn what_is_missing_is_an_error_unless_it_is_optional() {
        let named = |arg: &str| missing(&config(&[arg]).source.objects[0], "n");
        assert_eq!(named("--configmap=web,optional").level, Level::Note);
        let error = named("--secret=db");
        assert_eq!(error.level, Level::Error);
        assert!(
            error
                .text
                .contains("kubectl -n n create secret generic db "),
            "{error:?}"
        );
    }
}
