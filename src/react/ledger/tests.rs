//! Every way in which an object comes, changes, moves and goes, and what rules make of it.

use super::*;
use crate::config::{ObjectKind, ObjectName};
use crate::store::{Kind, RawObject, Reader, ScopeSpec, ScopeWriter, Selects, Writer, new};

/// A store, what was seen of it, and one rule's ledger.
struct World {
    writer: Writer,
    reader: Reader,
    seen: Seen,
    ledger: Ledger,
    /// What was left to tell when this was last followed.
    left: Option<Vec<(ObjectRef, KeyChanges)>>,
    /// Whether an attempt is under way.
    busy: bool,
}

fn reference(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::ConfigMap, "default", name)
}

fn raw(name: &str, version: u32, data: &[(&str, &str)]) -> RawObject {
    RawObject {
        uid: "u".into(),
        resource_version: version.to_string(),
        data: data
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
        ..RawObject::empty(reference(name))
    }
}

fn put(scope: &ScopeWriter, name: &str, version: u32, data: &[(&str, &str)]) {
    scope.upsert(scope.freeze(raw(name, version, data)));
}

fn list(scope: &ScopeWriter, objects: &[RawObject]) {
    scope.replace(objects.iter().map(|o| scope.freeze(o.clone())).collect());
}

fn selector(labels: &str) -> ScopeSpec {
    ScopeSpec::declared(Selects::Selector {
        kind: Kind::ConfigMap,
        namespace: None,
        labels: labels.into(),
    })
}

fn named(name: &str) -> ScopeSpec {
    ScopeSpec::declared(Selects::Named(reference(name)))
}

/// A rule for one object (or all of them), and keys that match a glob (or all of them).
fn when(object: Option<&str>, keys: &[&str]) -> When {
    let name = |name: &str| ObjectName {
        namespace: None,
        name: name.to_owned(),
    };
    When {
        object: object.map(|object| (ObjectKind::ConfigMap, name(object))),
        keys: keys.iter().map(|glob| Glob::new(glob).unwrap()).collect(),
    }
}

impl World {
    fn new(when: &When) -> Self {
        let (writer, reader) = new(1 << 20);
        Self {
            writer,
            reader,
            seen: Seen::default(),
            ledger: Ledger::new(when, &Names::new("default".into()), None),
            left: None,
            busy: false,
        }
    }

    /// Follows the newest snapshot: what the journal gets.
    fn follow(&mut self) -> Vec<String> {
        let observed = self.seen.observe(&self.reader.snapshot());
        let touched = self.ledger.observe(&observed, &self.seen, self.busy);
        let left = self.ledger.left(&self.seen);
        let more = left.is_some() && left != self.left;
        assert!(
            touched || !more,
            "what there is to tell starts the settle time"
        );
        self.left = left;
        let read = observed.steps.iter().filter(|step| !step.read.is_empty());
        read.map(|step| format!("{} {}", step.reference.name, show(&step.read)))
            .collect()
    }

    /// Follows, and tells the rule.
    fn told(&mut self) -> Vec<String> {
        self.follow();
        let Some(pending) = self.ledger.pending(&self.seen) else {
            return Vec::new();
        };
        self.ledger.attempted(&pending, Reached::Yes);
        self.left = None;
        assert!(self.ledger.pending(&self.seen).is_none(), "it was told");
        let objects = pending.change.objects.iter();
        objects
            .map(|o| format!("{} {}", o.reference.name, show(&o.keys)))
            .collect()
    }
}

impl World {
    /// Follows, and tries to tell the rule.
    fn tried(&mut self, reached: Reached) {
        self.follow();
        let pending = self.ledger.pending(&self.seen).unwrap();
        self.ledger.attempted(&pending, reached);
        self.left = None;
    }
}

impl Ledger {
    /// What is left to tell, and nothing taken over that need not be told.
    fn left(&self, seen: &Seen) -> Option<Vec<(ObjectRef, KeyChanges)>> {
        let mut differences = self.differences(seen);
        differences.retain(|(_, keys)| !keys.is_empty());
        (!differences.is_empty()).then_some(differences)
    }
}

fn show(keys: &KeyChanges) -> String {
    let mark = |sign: &'static str, keys: &[String]| -> Vec<String> {
        keys.iter().map(|key| format!("{sign}{key}")).collect()
    };
    let all = [
        mark("+", &keys.added),
        mark("~", &keys.changed),
        mark("-", &keys.removed),
    ];
    all.concat().join(" ")
}

const NOTHING: [&str; 0] = [];

#[test]
fn the_first_sync_of_each_scope_is_the_baseline() {
    let mut world = World::new(&when(None, &[]));
    let (a, web) = (world.writer.scope(named("a")), selector("app=web"));
    let web = world.writer.scope(web);
    assert_eq!(world.told(), NOTHING);
    list(&a, &[raw("a", 1, &[("k", "1")])]);
    assert_eq!(world.told(), NOTHING);
    put(&a, "a", 2, &[("k", "2"), ("new", "1")]);
    assert_eq!(world.told(), ["a +new ~k"]);
    // Later, on its own: still no change, also for objects that are new to the union.
    list(&web, &[raw("b", 1, &[("k", "1")])]);
    assert_eq!((world.follow(), world.told()), (vec![], vec![]));
    // An object that did not exist in a scope read before is a change.
    put(&web, "c", 1, &[("k", "1")]);
    assert_eq!(world.told(), ["c +k"]);
}

#[test]
fn metadata_alone_is_nothing_and_a_relist_neither() {
    let mut world = World::new(&when(None, &[]));
    let a = world.writer.scope(named("a"));
    list(&a, &[raw("a", 1, &[("k", "1")])]);
    world.follow();
    put(&a, "a", 2, &[("k", "1")]);
    assert_eq!((world.follow(), world.told()), (vec![], vec![]));
    a.lost(Instant::now(), "the API server is down");
    assert_eq!((world.follow(), world.told()), (vec![], vec![]));
    list(&a, &[raw("a", 2, &[("k", "1")])]);
    assert_eq!((world.follow(), world.told()), (vec![], vec![]));
}

#[test]
fn a_named_objects_deletion_is_journaled_and_tells_nobody() {
    let mut world = World::new(&when(None, &[]));
    let a = world.writer.scope(named("a"));
    list(&a, &[raw("a", 1, &[("k", "1")])]);
    world.follow();
    a.remove(&reference("a"), "u", "2");
    assert_eq!(world.follow(), ["a -k"]);
    assert_eq!((world.follow(), world.told()), (vec![], vec![]));
    put(&a, "a", 3, &[("k", "1")]);
    assert_eq!(world.follow(), ["a +k"]);
    assert_eq!(world.told(), NOTHING, "recreated with the same content");
    a.remove(&reference("a"), "u", "4");
    assert_eq!(world.told(), NOTHING);
    put(&a, "a", 5, &[("other", "1")]);
    assert_eq!(world.told(), ["a +other -k"]);
}

#[test]
fn a_named_object_that_did_not_exist_is_a_change_once_it_does() {
    let mut world = World::new(&when(Some("a"), &[]));
    let a = world.writer.scope(named("a"));
    list(&a, &[]);
    assert_eq!(world.told(), NOTHING);
    put(&a, "a", 1, &[("k", "1")]);
    assert_eq!(world.told(), ["a +k"]);
}

#[test]
fn a_members_going_is_a_change() {
    let directory = ScopeSpec::declared(Selects::Directory("/d".into()));
    for scope in [selector("app=web"), directory] {
        let mut world = World::new(&when(None, &[]));
        let scope = world.writer.scope(scope);
        list(
            &scope,
            &[raw("a", 1, &[("k", "1")]), raw("b", 1, &[("k", "1")])],
        );
        world.follow();
        list(&scope, &[raw("b", 1, &[("k", "1")])]);
        assert_eq!(world.told(), ["a -k"]);
        put(&scope, "a", 3, &[("k", "1")]);
        assert_eq!(world.told(), ["a +k"]);
    }
}

#[test]
fn a_named_object_of_a_directory_goes_without_a_word() {
    let mut world = World::new(&when(None, &[]));
    let mut directory = ScopeSpec::declared(Selects::Directory("/d".into()));
    directory.named = std::sync::Arc::new([reference("a")].into());
    let scope = world.writer.scope(directory);
    let (a, b) = (raw("a", 1, &[("k", "1")]), raw("b", 1, &[("k", "1")]));
    list(&scope, &[a.clone(), b.clone()]);
    world.follow();
    list(&scope, &[]);
    assert_eq!(world.told(), ["b -k"], "only what nobody named");
    list(&scope, &[a]);
    assert_eq!(world.told(), NOTHING, "what was told is there again");
}

#[test]
fn a_scope_that_goes_tells_nobody() {
    let mut world = World::new(&when(None, &[]));
    let scope = world.writer.scope(selector("app=web"));
    list(&scope, &[raw("a", 1, &[("k", "1")])]);
    world.follow();
    drop(scope);
    assert_eq!((world.follow(), world.told()), (vec![], vec![]));
    let scope = world.writer.scope(selector("app=web"));
    assert_eq!(world.told(), NOTHING);
    list(&scope, &[raw("a", 2, &[("k", "2")])]);
    assert_eq!(world.told(), ["a ~k"], "what was missed meanwhile");
}

#[test]
fn a_move_between_scopes_is_no_change() {
    let mut world = World::new(&when(None, &[]));
    let (web, db) = (selector("app=web"), selector("app=db"));
    let (web, db) = (world.writer.scope(web), world.writer.scope(db));
    list(&web, &[raw("a", 1, &[("k", "1")])]);
    list(&db, &[]);
    world.follow();
    put(&db, "a", 2, &[("k", "1")]);
    assert_eq!(world.told(), NOTHING);
    web.remove(&reference("a"), "u", "2");
    assert_eq!((world.follow(), world.told()), (vec![], vec![]));
    db.remove(&reference("a"), "u", "3");
    assert_eq!(world.told(), ["a -k"], "the last scope that held it counts");
}

#[test]
fn an_object_refused_for_its_size_has_not_gone() {
    let mut world = World::new(&when(None, &[]));
    let (writer, reader) = new(10);
    (world.writer, world.reader) = (writer, reader);
    let (web, other) = (world.writer.scope(selector("app=web")), named("other"));
    list(&web, &[raw("a", 1, &[("k", "1234")])]);
    world.follow();
    // The relist brings a larger object first; no room is left for what was held.
    list(
        &web,
        &[
            raw("b", 1, &[("k", "12345678")]),
            raw("a", 2, &[("k", "12345678")]),
        ],
    );
    assert!(world.reader.snapshot().get(&reference("a")).is_none());
    assert_eq!(world.told(), ["b +k"]);
    drop(world.writer.scope(other));
    assert_eq!(world.told(), NOTHING);
}

#[test]
fn on_demand_objects_are_journaled_when_they_change_and_concern_no_rule() {
    let mut world = World::new(&when(None, &[]));
    let demand = world
        .writer
        .scope(ScopeSpec::on_demand(Selects::Named(reference("a"))));
    list(&demand, &[raw("a", 1, &[("k", "1")])]);
    assert_eq!((world.follow(), world.told()), (vec![], vec![]));
    put(&demand, "a", 2, &[("k", "2")]);
    assert_eq!(world.follow(), ["a ~k"]);
    assert_eq!(world.told(), NOTHING);
    drop(demand);
    assert_eq!((world.follow(), world.told()), (vec![], vec![]));
    assert!(world.seen.objects().is_empty(), "nothing is kept of it");
    // Nor is its arrival in a scope that found nothing at first.
    let demand = world
        .writer
        .scope(ScopeSpec::on_demand(Selects::Named(reference("a"))));
    list(&demand, &[]);
    world.follow();
    put(&demand, "a", 3, &[("k", "3")]);
    assert_eq!((world.follow(), world.told()), (vec![], vec![]));
}

#[test]
fn an_on_demand_object_that_is_declared_later_counts_from_then_on() {
    let mut world = World::new(&when(None, &[]));
    let web = world.writer.scope(selector("app=web"));
    let demand = world
        .writer
        .scope(ScopeSpec::on_demand(Selects::Named(reference("a"))));
    list(&web, &[]);
    list(&demand, &[raw("a", 1, &[("k", "1")])]);
    assert_eq!(world.told(), NOTHING);
    put(&web, "a", 2, &[("k", "1")]);
    assert_eq!(world.told(), ["a +k"], "a new member of the selector");
    web.remove(&reference("a"), "u", "3");
    assert_eq!(
        world.told(),
        ["a -k"],
        "a read may still find it; the rule does not"
    );
}

#[test]
fn a_rule_sees_its_object_and_its_keys_only() {
    let mut world = World::new(&when(Some("a"), &["nginx*"]));
    let scope = world.writer.scope(selector("app=web"));
    let data = [("nginx.conf", "1"), ("other", "1")];
    list(&scope, &[raw("a", 1, &data), raw("b", 1, &data)]);
    world.follow();
    let next = [("nginx.conf", "1"), ("other", "2")];
    list(
        &scope,
        &[raw("a", 2, &next), raw("b", 2, &[("nginx.conf", "2")])],
    );
    assert_eq!(world.told(), NOTHING);
    let newest = Arc::clone(
        world
            .reader
            .snapshot()
            .get(&reference("a"))
            .unwrap()
            .content(),
    );
    let kept = &world.ledger.told[&reference("a")];
    assert!(kept.is(&newest), "older content is not kept for nothing");
    put(&scope, "a", 3, &[("nginx.conf", "2"), ("other", "3")]);
    assert_eq!(world.told(), ["a ~nginx.conf"]);
}

#[test]
fn a_state_undone_leaves_nothing_and_several_merge() {
    let mut world = World::new(&when(None, &[]));
    let a = world.writer.scope(named("a"));
    list(&a, &[raw("a", 1, &[("k", "1"), ("l", "1")])]);
    world.follow();
    put(&a, "a", 2, &[("k", "2"), ("l", "1")]);
    assert_eq!(world.follow(), ["a ~k"]);
    put(&a, "a", 3, &[("k", "1"), ("l", "1")]);
    assert_eq!(world.follow(), ["a ~k"]);
    assert!(world.ledger.pending(&world.seen).is_none());
    put(&a, "a", 4, &[("k", "2"), ("l", "1")]);
    world.follow();
    put(&a, "a", 5, &[("k", "2")]);
    let pending_since = {
        world.follow();
        world.ledger.pending(&world.seen).unwrap().change.since
    };
    let content = Arc::clone(
        world
            .reader
            .snapshot()
            .get(&reference("a"))
            .unwrap()
            .content(),
    );
    assert_eq!(pending_since, content.since());
    assert_eq!(world.told(), ["a ~k -l"]);
}

#[test]
fn what_a_failed_attempt_may_have_shown_is_taken_back_key_by_key() {
    for reached in [Reached::Perhaps, Reached::No] {
        let mut world = World::new(&when(Some("a"), &["[a-m]*"]));
        let a = world.writer.scope(named("a"));
        let first = [("changed", "1"), ("gone", "1"), ("other", "1")];
        list(&a, &[raw("a", 1, &first)]);
        world.follow();
        put(
            &a,
            "a",
            2,
            &[("changed", "2"), ("added", "1"), ("other", "2")],
        );
        world.tried(reached);
        // A second attempt tells of another change; what the first may have shown is not forgotten.
        put(&a, "a", 3, &[("changed", "1"), ("gone", "2")]);
        world.tried(reached);
        put(&a, "a", 4, &first);
        let expected: &[&str] = match reached {
            Reached::Perhaps => &["a ~changed ~gone -added"],
            _ => &[],
        };
        assert_eq!(world.told(), expected);
        assert_eq!(world.told(), NOTHING, "once is enough");
    }
}

#[test]
fn a_member_that_a_failed_attempt_may_have_shown_is_taken_back() {
    let mut world = World::new(&when(None, &[]));
    let web = world.writer.scope(selector("app=web"));
    list(&web, &[raw("kept", 1, &[("k", "1")])]);
    world.follow();
    put(&web, "new", 1, &[("k", "1")]);
    world.tried(Reached::Perhaps);
    web.remove(&reference("new"), "u", "2");
    assert_eq!(world.told(), ["new -k"]);
    web.remove(&reference("kept"), "u", "3");
    world.tried(Reached::Perhaps);
    put(&web, "kept", 4, &[("k", "1")]);
    assert_eq!(world.told(), ["kept +k"]);
}

#[test]
fn what_came_during_an_attempt_is_taken_back_if_it_reached_the_app() {
    for (reached, expected) in [
        (Reached::Yes, "a ~k"),
        (Reached::Perhaps, "a +l ~k"),
        (Reached::No, "a +l"),
    ] {
        let mut world = World::new(&when(None, &[]));
        let a = world.writer.scope(named("a"));
        list(&a, &[raw("a", 1, &[("k", "1")])]);
        world.follow();
        put(&a, "a", 2, &[("k", "1"), ("l", "1")]);
        world.follow();
        let pending = world.ledger.pending(&world.seen).unwrap();
        world.busy = true;
        put(&a, "a", 3, &[("k", "2"), ("l", "1")]);
        world.follow();
        put(&a, "a", 4, &[("k", "1"), ("l", "1")]);
        world.follow();
        world.busy = false;
        world.ledger.attempted(&pending, reached);
        world.left = world.ledger.left(&world.seen);
        assert_eq!(world.told(), [expected]);
    }
}
