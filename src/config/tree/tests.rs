use proptest::prelude::*;
use serde_json::json;

use super::*;

const UNDER: Layout = Layout {
    indent_lists: false,
};

fn written(tree: &Tree, layout: Layout) -> String {
    let mut out = String::new();
    block(tree, 0, layout, &mut out);
    out
}

#[test]
fn objects_are_written_as_people_write_them() {
    let object = json!({
        "spec": {"containers": [{"args": ["run", "--files={\"a\":1}"], "image": "attache:0.1.0", "name": "attache",
            "env": [], "resources": {"requests": {"cpu": "5m", "memory": "12Mi"}}, "tty": false, "x": null}]},
        "metadata": {"name": "web", "annotations": {"a": "true", "b": "1", "c": "two\nlines\n", "d": "it's: #1"}},
        "kind": "Pod",
        "apiVersion": "v1",
    });
    let expected = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    a: \"true\"
    b: \"1\"
    c: |
      two
      lines
    d: \"it's: #1\"
spec:
  containers:
  - name: attache
    image: attache:0.1.0
    args:
    - run
    - '--files={\"a\":1}'
    env: []
    resources:
      requests:
        cpu: 5m
        memory: 12Mi
    tty: false
    x: null
";
    let tree = Tree::new(object);
    assert_eq!(written(&tree, UNDER), expected);
    let indented = written(&tree, Layout { indent_lists: true });
    assert!(
        indented.contains("  containers:\n    - name: attache\n      image: "),
        "{indented}"
    );
}

#[test]
fn what_can_be_seen_is_written_as_it_is() {
    let tree = Tree::new(json!({"a": "😀 → ok — …", "b": "a\u{a0}b\u{200b}", "c": "→\n…\n"}));
    let expected = "a: \"😀 → ok — …\"\nb: \"a\\U000000a0b\\U0000200b\"\nc: |\n  →\n  …\n";
    assert_eq!(written(&tree, UNDER), expected);
}

#[test]
fn what_is_adopted_keeps_the_order_of_what_was_there() {
    let text = r#"{"z": 1, "containers": [{"name": "b", "y": 1, "a": 2}, {"name": "a"}], "gone": 1, "args": ["x", "y"], "b": 0}"#;
    let mut tree: Tree = serde_json::from_str(text).unwrap();
    let new = json!({
        "z": 2, "containers": [{"name": "new"}, {"name": "b", "a": 2, "y": 1, "image": "i"}, {"name": "a"}],
        "args": ["w", "x", "y"], "b": 0, "added": true,
    });
    tree.adopt(new.clone());
    assert_eq!(tree.value(), new);
    let expected = r#"{"z":2,"containers":[{"name":"new"},{"name":"b","y":1,"a":2,"image":"i"},{"name":"a"}],"args":["w","x","y"],"b":0,"added":true}"#;
    assert_eq!(serde_json::to_string(&tree).unwrap(), expected);
    assert!(serde_json::from_str::<Tree>(r#"{"a": 1, "a": 2}"#).is_err());
}

/// Text with what trips up writers of YAML.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z:#\\- \n\t'\"\\\\{}\\[\\],&*!|>%@`?=~.0-9]{0,12}",
        "(y|No|null|~|0644|1e3|1_0|0x1F|1:30|<<|\\.inf|2001-01-01|---|\\.\\.\\.|- a|a: b|é\u{85}|\u{feff}x|\u{2028})\n?",
        "[ \n\t]{0,3}[a-z]{1,3}( ?\n ?[a-z]?){0,3}\n{0,3}",
        any::<String>(),
    ]
}

pub(crate) fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1000_i32..1000).prop_map(|n| json!(f64::from(n) + 0.125)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_adopted_is_that_value(old in values(), new in values()) {
        let mut tree = Tree::new(old);
        tree.adopt(new.clone());
        prop_assert_eq!(tree.value(), new);
    }
}
