//! What becomes of an environment when its objects change, pause and go.

use super::*;
use crate::config::{ObjectKind, ObjectName};
use crate::store::{self, Kind, RawObject, ScopeSpec, ScopeWriter, Selects};

struct World {
    scope: ScopeWriter,
    reader: store::Reader,
    sources: Sources,
    version: u32,
}

fn from(name: &str, optional: bool) -> EnvFrom {
    EnvFrom {
        kind: ObjectKind::ConfigMap,
        object: ObjectName {
            namespace: None,
            name: name.to_owned(),
        },
        optional,
        prefix: String::new(),
    }
}

impl World {
    fn new(from: &[EnvFrom]) -> Self {
        let (writer, reader) = store::new(1 << 20);
        let scope = writer.scope(ScopeSpec::declared(Selects::Directory("/d".into())));
        Self {
            scope,
            reader,
            sources: Sources::new(from, &Names::new("default".into()), BTreeSet::new()),
            version: 0,
        }
    }

    fn put(&mut self, name: &str, values: &[(&str, &str)], paused: bool) {
        let mut raw = RawObject::empty(ObjectRef::new(Kind::ConfigMap, "default", name));
        self.version += 1;
        raw.resource_version = self.version.to_string();
        raw.data = values
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        if paused {
            raw.annotations
                .insert("attache.dev/pause".into(), "true".into());
        }
        self.scope.upsert(self.scope.freeze(raw));
        self.sources.observe(&self.reader.snapshot());
    }

    fn clear(&mut self) {
        self.scope.replace(vec![]);
        self.sources.observe(&self.reader.snapshot());
    }

    fn wanted(&self) -> Vec<(String, String)> {
        let variables = self.sources.wanted();
        let text = |(name, value): (&str, &std::ffi::OsStr)| {
            (name.to_owned(), value.to_str().unwrap().to_owned())
        };
        variables.iter().map(text).collect()
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs.map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

#[test]
fn it_is_complete_once_all_but_optional_objects_are_there() {
    let mut world = World::new(&[from("must", false), from("may", true)]);
    let missing = |world: &World| world.sources.missing(&world.reader.snapshot());
    assert!(!world.sources.complete());
    assert_eq!(
        missing(&world),
        ["ConfigMap default/must was not read yet".to_owned()]
    );
    world.clear();
    assert_eq!(
        missing(&world),
        ["ConfigMap default/must does not exist".to_owned()]
    );
    world.put("must", &[("A", "1")], false);
    assert!(world.sources.complete());
    assert!(missing(&world).is_empty());
}

#[test]
fn a_deletion_changes_nothing_and_a_recreation_only_if_it_differs() {
    let mut world = World::new(&[from("web", false)]);
    world.put("web", &[("A", "1")], false);
    world.sources.given();
    world.clear();
    assert_eq!(world.wanted(), pairs(&[("A", "1")]));
    world.put("web", &[("A", "1")], false);
    assert!(world.sources.changed().is_empty());
    world.put("web", &[("A", "2")], false);
    assert_eq!(world.wanted(), pairs(&[("A", "2")]));
    assert_eq!(world.sources.changed(), ["ConfigMap default/web"]);
}

#[test]
fn a_paused_object_holds_its_changes_until_it_is_no_more() {
    let mut world = World::new(&[from("web", false), from("late", true)]);
    let board = Board::default();
    // What it starts with is what there is.
    world.put("web", &[("A", "1")], true);
    assert_eq!(world.wanted(), pairs(&[("A", "1")]));
    world.sources.given();
    world.put("web", &[("A", "2")], true);
    world.put("late", &[("B", "1")], true);
    assert_eq!(world.wanted(), pairs(&[("A", "1")]));
    assert!(world.sources.changed().is_empty());
    world.sources.post(&board);
    let problems: Vec<String> = board.notes().problems.into_keys().collect();
    assert_eq!(
        problems,
        ["exec ConfigMap default/late", "exec ConfigMap default/web"]
    );
    // A restart for another reason does not let it in.
    world.sources.given();
    assert_eq!(world.wanted(), pairs(&[("A", "1")]));
    world.put("web", &[("A", "3")], false);
    assert_eq!(world.wanted(), pairs(&[("A", "3")]));
    world.put("late", &[("B", "1")], false);
    world.sources.given();
    world.sources.post(&board);
    assert!(board.notes().problems.is_empty());
    assert_eq!(world.wanted(), pairs(&[("A", "3"), ("B", "1")]));
}

#[test]
fn one_object_may_come_twice_under_two_prefixes() {
    let mut prefixed = from("web", false);
    prefixed.prefix = "WEB_".into();
    let mut world = World::new(&[from("web", false), prefixed]);
    world.put("web", &[("A", "1")], false);
    assert_eq!(world.wanted(), pairs(&[("A", "1"), ("WEB_A", "1")]));
    world.put("web", &[("A", "2")], false);
    assert_eq!(world.sources.changed(), ["ConfigMap default/web"]);
}
