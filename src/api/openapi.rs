//! `/-/openapi.json`: the own routes, described for programs (OpenAPI 3.1).
//!
//! `openapi.json` beside this file is written in a shorthand, as most of a description is references:
//! a parameter, a header or a link by its name, a response by its status or by `status: name`, an error by its
//! description alone; HEAD goes without saying. [`description`] writes it out.

use serde_json::{Map, Value, json};

use super::problem::CONTENT_TYPE_PROBLEM;
use super::{Answer, Api, fresh};

const SHORTHAND: &str = include_str!("openapi.json");

/// The methods that only `--allow-writes` brings.
const WRITES: [&str; 4] = ["delete", "patch", "post", "put"];

// === impl Api ===

impl Api {
    /// The description of what this attache serves: with the methods that write only if they do.
    #[must_use]
    pub fn openapi(&self) -> Answer {
        let mut body = description(self.writer.is_some()).to_string();
        body.push('\n');
        fresh("application/json", body)
    }
}

/// The description as OpenAPI has it, with the methods that write if `writes`. It is made anew for each who asks, as hardly anybody does.
fn description(writes: bool) -> Value {
    // A test holds that it is JSON.
    let mut description: Value = serde_json::from_str(SHORTHAND).unwrap_or_default();
    if let Some(version) = description.pointer_mut("/info/version") {
        *version = env!("CARGO_PKG_VERSION").into();
    }
    if let Some(Value::Object(paths)) = description.get_mut("paths") {
        paths.values_mut().for_each(|path| methods(path, writes));
    }
    if let Some(Value::Object(responses)) = description.pointer_mut("/components/responses") {
        responses.iter_mut().for_each(error);
    }
    write_out(&mut description);
    description
}

/// Leaves out the methods of a path that write unless `writes`, and adds HEAD: it answers as GET.
fn methods(path: &mut Value, writes: bool) {
    let Value::Object(path) = path else { return };
    path.retain(|method, _| writes || !WRITES.contains(&method.as_str()));
    let Some(mut head) = path.get("get").cloned() else {
        return;
    };
    if let Some(Value::String(id)) = head.get_mut("operationId") {
        *id = id.replacen("get", "head", 1);
    }
    path.insert("head".into(), head);
}

/// Gives the response of an error its description, if that is all there is of it, and its media type.
fn error((status, response): (&String, &mut Value)) {
    if let Value::String(text) = response {
        *response = json!({ "description": text });
    }
    if status.starts_with(['4', '5'])
        && let Value::Object(response) = response
    {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        let content = json!({ CONTENT_TYPE_PROBLEM: { "schema": schema } });
        response.insert("content".into(), content);
    }
}

/// Replaces what stands for a reference by that reference.
fn write_out(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(write_out),
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), &mut *value) {
                    ("parameters", Value::Array(list)) => {
                        list.iter_mut().for_each(|item| name(item, "parameters"))
                    }
                    ("headers" | "links", Value::Array(list)) => {
                        let named = list.iter().filter_map(Value::as_str);
                        let map = named.map(|name| (name.to_owned(), reference(key, name)));
                        *value = map.collect::<Map<_, _>>().into();
                    }
                    ("responses", Value::Array(list)) => {
                        let responses = list.drain(..).flat_map(responses);
                        *value = responses.collect::<Map<_, _>>().into();
                    }
                    _ => {}
                }
                write_out(value);
            }
        }
        _ => {}
    }
}

/// A status, or responses by their status.
fn responses(item: Value) -> Map<String, Value> {
    match item {
        Value::Object(mut responses) => {
            let each = responses.values_mut();
            each.for_each(|response| name(response, "responses"));
            responses
        }
        status => {
            let status = status.to_string();
            let response = reference("responses", &status);
            [(status, response)].into_iter().collect()
        }
    }
}

/// Makes a name the reference to the component of that name.
fn name(value: &mut Value, components: &str) {
    if let Value::String(name) = value {
        *value = reference(components, name);
    }
}

fn reference(components: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{components}/{name}") })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every `$ref` of a description.
    fn references<'a>(value: &'a Value, into: &mut BTreeSet<&'a str>) {
        match value {
            Value::Array(list) => list.iter().for_each(|value| references(value, into)),
            Value::Object(map) => {
                into.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references(value, into));
            }
            _ => {}
        }
    }

    #[test]
    fn every_component_exists_and_is_used() {
        let description = description(true);
        let mut used = BTreeSet::new();
        references(&description, &mut used);
        for reference in &used {
            let pointer = reference.trim_start_matches('#');
            assert!(description.pointer(pointer).is_some(), "{reference}");
        }
        let components = description["components"].as_object().unwrap();
        let all = components.iter().flat_map(|(kind, named)| {
            let names = named.as_object().unwrap().keys();
            names.map(move |name| format!("#/components/{kind}/{name}"))
        });
        let unused: Vec<_> = all.filter(|name| !used.contains(name.as_str())).collect();
        assert!(used.len() > 40, "only {} references found", used.len());
        assert!(unused.is_empty(), "{unused:?}");
    }

    #[test]
    fn what_writes_is_described_only_where_it_does() {
        let object = "/paths/~1kv~1{namespace}~1{name}";
        for (writes, methods) in [
            (false, vec!["get", "head", "parameters"]),
            (
                true,
                vec![
                    "delete",
                    "get",
                    "head",
                    "parameters",
                    "patch",
                    "post",
                    "put",
                ],
            ),
        ] {
            let description = description(writes);
            let item = description.pointer(object).unwrap().as_object().unwrap();
            assert_eq!(item.keys().collect::<Vec<_>>(), methods);
            assert_eq!(item["head"]["operationId"], "headObject");
            assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
        }
    }
}
