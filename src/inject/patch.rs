//! The JSON patch (RFC 6902) from one value to another.
//!
//! Lists are compared by what their items are called: with a container put before others, comparing by
//! index would rewrite all of them.

use serde_json::{Map, Value, json};

use super::editor::escaped;

/// The operations that make `after` of `before`, in order; none where they are equal.
#[must_use]
pub fn patch(before: &Value, after: &Value) -> Vec<Value> {
    let mut operations = Vec::new();
    diff(before, after, "", &mut operations);
    operations
}

fn diff(before: &Value, after: &Value, path: &str, operations: &mut Vec<Value>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => maps(before, after, path, operations),
        (Value::Array(before), Value::Array(after)) => lists(before, after, path, operations),
        _ if before == after => {}
        _ => operations.push(json!({ "op": "replace", "path": path, "value": after })),
    }
}

fn maps(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    path: &str,
    operations: &mut Vec<Value>,
) {
    for (key, value) in after {
        let path = format!("{path}/{}", escaped(key));
        match before.get(key) {
            Some(before) => diff(before, value, &path, operations),
            None => operations.push(json!({ "op": "add", "path": path, "value": value })),
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        let path = format!("{path}/{}", escaped(key));
        operations.push(json!({ "op": "remove", "path": path }));
    }
}

/// Takes out what goes, from the end, so that indices hold; then walks the new list and adds what is
/// missing.
fn lists(before: &[Value], after: &[Value], path: &str, operations: &mut Vec<Value>) {
    let mut kept: Vec<Option<&Value>> = vec![None; after.len()];
    let mut gone = Vec::new();
    let mut from = 0;
    for (index, item) in before.iter().enumerate() {
        match after[from..].iter().position(|other| is_same(item, other)) {
            Some(distance) => {
                kept[from + distance] = Some(item);
                from += distance + 1;
            }
            None => gone.push(index),
        }
    }
    for index in gone.iter().rev() {
        operations.push(json!({ "op": "remove", "path": format!("{path}/{index}") }));
    }
    for (index, (value, kept)) in after.iter().zip(kept).enumerate() {
        let path = format!("{path}/{index}");
        match kept {
            Some(before) => diff(before, value, &path, operations),
            None => operations.push(json!({ "op": "add", "path": path, "value": value })),
        }
    }
}

/// Whether two items are one thing, perhaps changed: equal, or of the same name and place.
fn is_same(one: &Value, other: &Value) -> bool {
    let named = |item: &Value| item["name"].is_string();
    one == other
        || named(one) && one["name"] == other["name"] && one["mountPath"] == other["mountPath"]
}
