//! Reads kubeconfigs as kube does, by way of one tree: kube's own reader is a YAML reader made once
//! for each of its types, 0.3 MB that an idle sidecar would hold.

use std::ffi::OsStr;
use std::path::Path;

use kube::config::{Kubeconfig, KubeconfigError};
use serde::de::Error as _;
use serde_json::Value;

/// The keys of a kubeconfig whose values are booleans.
const BOOLEANS: [&str; 4] = [
    "insecure-skip-tls-verify",
    "disable-compression",
    "provideClusterInfo",
    "colors",
];

/// The file, its relative paths made absolute; several documents are merged.
pub(super) fn read_from(path: &Path) -> Result<Kubeconfig, KubeconfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| KubeconfigError::ReadConfig(source, path.to_owned()))?;
    let parse = |error| KubeconfigError::Parse(Box::new(error));
    let mut merged = Kubeconfig::default();
    for document in documents(&text).map_err(parse)? {
        let mut config: Kubeconfig = serde_json::from_value(document)
            .map_err(|error| parse(serde_saphyr::Error::custom(error)))?;
        if let Some(dir) = path.parent() {
            absolute(&mut config, dir);
        }
        merged = merged.merge(config)?;
    }
    Ok(merged)
}

/// The files of `$KUBECONFIG`, the first wins; else `~/.kube/config`.
pub(super) fn read() -> Result<Kubeconfig, KubeconfigError> {
    let named = std::env::var_os("KUBECONFIG").unwrap_or_default();
    match read_all(&named)? {
        Some(merged) => Ok(merged),
        None => {
            let home = std::env::home_dir().ok_or(KubeconfigError::FindPath)?;
            read_from(&home.join(".kube/config"))
        }
    }
}

/// The documents of a YAML text, also of JSON; those that hold nothing but comments are left out.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, serde_saphyr::Error> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let mut documents = serde_saphyr::from_multiple_with_options::<Value>(text, options)?;
    documents.retain(|document| !document.is_null());
    for document in &mut documents {
        *document = as_text(document.take(), "");
    }
    Ok(documents)
}

/// Plain numbers and booleans as the text that a kubeconfig means by them, as in kubectl, but where
/// it asks for a boolean.
fn as_text(value: Value, key: &str) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Bool(flag) if !BOOLEANS.contains(&key) => Value::String(flag.to_string()),
        Value::Array(items) => items.into_iter().map(|item| as_text(item, "")).collect(),
        Value::Object(entries) => {
            let mut map = serde_json::Map::new();
            for (key, value) in entries {
                let value = as_text(value, &key);
                map.insert(key, value);
            }
            Value::Object(map)
        }
        other => other,
    }
}

/// The files of a list as `PATH` is one, merged; `None` if it names none.
fn read_all(list: &OsStr) -> Result<Option<Kubeconfig>, KubeconfigError> {
    let mut merged: Option<Kubeconfig> = None;
    let paths = std::env::split_paths(list);
    for path in paths.filter(|path| !path.as_os_str().is_empty()) {
        merged = Some(merged.unwrap_or_default().merge(read_from(&path)?)?);
    }
    Ok(merged)
}

fn absolute(config: &mut Kubeconfig, dir: &Path) {
    let join = |path: &mut Option<String>| {
        if let Some(path) = path
            && Path::new(path.as_str()).is_relative()
            && let Some(joined) = dir.join(path.as_str()).to_str()
        {
            *path = joined.to_owned();
        }
    };
    for cluster in config
        .clusters
        .iter_mut()
        .filter_map(|named| named.cluster.as_mut())
    {
        join(&mut cluster.certificate_authority);
    }
    for user in config
        .auth_infos
        .iter_mut()
        .filter_map(|named| named.auth_info.as_mut())
    {
        join(&mut user.client_certificate);
        join(&mut user.client_key);
        join(&mut user.token_file);
        if let Some(exec) = &mut user.exec
            && exec
                .command
                .as_ref()
                .is_some_and(|command| command.contains('/'))
        {
            join(&mut exec.command);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(server: &str, user: &str) -> String {
        format!(
            "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
             clusters: [{{name: k, cluster: {{server: {server}, certificate-authority: ca.pem, insecure-skip-tls-verify: true}}}}]\n\
             users: [{{name: u, user: {user}}}]\n"
        )
    }

    #[test]
    fn reads_what_kubes_reader_reads() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        let exec = "{exec: {apiVersion: v1, command: bin/plugin, args: [a]}, tokenFile: t, \
                    client-certificate: /abs.pem, client-key: k.pem, token: 12345678901234567890}";
        std::fs::write(&first, kubeconfig("https://a:6443", exec)).unwrap();
        let other = "users: [{name: other, user: {token: x}}]\n---\n# nothing\n---\n\
                     contexts: [{name: d, context: {cluster: k, user: other, namespace: 123}}, {name: on, context: {cluster: no, user: y}}]\n";
        std::fs::write(&second, other).unwrap();
        let shown = |config: &Kubeconfig| serde_json::to_value(config).unwrap();
        for path in [&first, &second] {
            let (ours, kubes) = (read_from(path), Kubeconfig::read_from(path));
            assert_eq!(shown(&ours.unwrap()), shown(&kubes.unwrap()), "{path:?}");
        }
        let list = std::env::join_paths([&first, &second]).unwrap();
        let merged = read_all(&list).unwrap().unwrap();
        let mut expected = Kubeconfig::read_from(&first).unwrap();
        expected = expected
            .merge(Kubeconfig::read_from(&second).unwrap())
            .unwrap();
        assert_eq!(shown(&merged), shown(&expected));
        assert!(read_all(OsStr::new("")).unwrap().is_none());
    }

    #[test]
    fn what_is_no_kubeconfig_is_refused_without_its_values() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        for text in [
            "users: s3cret",
            "users: [{name: u, user: {token: [s3cret]}}]",
            "a: [s3cret",
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read_from(&path).unwrap_err();
            let said = super::super::words::causes(&error);
            assert!(!said.contains("s3cret"), "{said}");
        }
        assert!(read_from(&dir.path().join("none")).is_err());
    }
}
