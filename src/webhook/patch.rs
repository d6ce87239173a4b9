//! What changed in a pod, as a JSON patch (RFC 6902): small, so that an audit log that holds it can be
//! read. A list's items are known by their `name`, so that a container put before others is one
//! `add`, rather than a replacement of each of them.

use serde::Serialize;
use serde_json::Value;

/// One step of a patch.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Step<'a> {
    /// Puts `value` at `path`; in a list, before what is there.
    Add { path: String, value: &'a Value },
    /// Takes away what is at `path`.
    Remove { path: String },
    /// Puts `value` in place of what is at `path`.
    Replace { path: String, value: &'a Value },
}

/// The steps, in order, that make `new` of `old`.
pub(super) fn between<'a>(old: &Value, new: &'a Value) -> Vec<Step<'a>> {
    let mut steps = Vec::new();
    compare("", old, new, &mut steps);
    steps
}

fn compare<'a>(path: &str, old: &Value, new: &'a Value, steps: &mut Vec<Step<'a>>) {
    match (old, new) {
        _ if old == new => {}
        (Value::Object(old), Value::Object(new)) => {
            for key in old.keys().filter(|key| !new.contains_key(*key)) {
                let path = below(path, key);
                steps.push(Step::Remove { path });
            }
            for (key, value) in new {
                let path = below(path, key);
                match old.get(key) {
                    Some(old) => compare(&path, old, value, steps),
                    None => steps.push(Step::Add { path, value }),
                }
            }
        }
        (Value::Array(old), Value::Array(new)) => compare_lists(path, old, new, steps),
        _ => steps.push(Step::Replace {
            path: path.to_owned(),
            value: new,
        }),
    }
}

/// Goes along both lists: what is only in `old` is taken away, what is only in `new` put in.
fn compare_lists<'a>(path: &str, old: &[Value], new: &'a [Value], steps: &mut Vec<Step<'a>>) {
    let mut rest = old;
    let mut index = 0;
    let at = |index: usize| format!("{path}/{index}");
    for value in new {
        match rest.iter().position(|item| is_same(item, value)) {
            Some(found) => {
                steps.extend((0..found).map(|_| Step::Remove { path: at(index) }));
                compare(&at(index), &rest[found], value, steps);
                rest = &rest[found + 1..];
            }
            None => steps.push(Step::Add {
                path: at(index),
                value,
            }),
        }
        index += 1;
    }
    steps.extend(rest.iter().map(|_| Step::Remove { path: at(index) }));
}

/// Whether both are the same item of a list, if perhaps another version of it.
fn is_same(old: &Value, new: &Value) -> bool {
    match (old.get("name"), new.get("name")) {
        (Some(old), Some(new)) => old == new,
        _ => old == new,
    }
}

/// A JSON pointer (RFC 6901) to `key` below `path`.
fn below(path: &str, key: &str) -> String {
    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn applied(old: &Value, new: &Value) -> Value {
        let steps = serde_json::to_value(between(old, new)).unwrap();
        let patch: json_patch::Patch = serde_json::from_value(steps).unwrap();
        let mut patched = old.clone();
        json_patch::patch(&mut patched, &patch).unwrap();
        patched
    }

    #[test]
    fn a_container_before_others_is_one_step() {
        let old = json!({"spec": {"containers": [{"name": "a", "x": 1}, {"name": "b"}]}});
        let new = json!({"spec": {"containers": [{"name": "new"}, {"name": "a", "x": 2}, {"name": "b"}]},
            "metadata": {"annotations": {"a/b~c": "d"}}});
        let steps = serde_json::to_value(between(&old, &new)).unwrap();
        let expected = json!([
            {"op": "add", "path": "/metadata", "value": {"annotations": {"a/b~c": "d"}}},
            {"op": "add", "path": "/spec/containers/0", "value": {"name": "new"}},
            {"op": "replace", "path": "/spec/containers/1/x", "value": 2},
        ]);
        assert_eq!(steps, expected);
        assert_eq!(applied(&old, &new), new);
        assert!(between(&new, &new).is_empty());
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            (0..3).prop_map(Value::from),
            "[a-c/~]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("name|[a-b/~]{0,2}", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_patch_makes_the_new_of_the_old(old in value(), new in value()) {
            prop_assert_eq!(applied(&old, &new), new);
        }
    }
}
