use super::*;
use crate::store::{Kind, Lookup, Selects};

fn reference(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::ConfigMap, "default", name)
}

fn named(name: &str) -> ScopeSpec {
    ScopeSpec::declared(Selects::Named(reference(name)))
}

fn raw(name: &str, version: &str, value: &str) -> RawObject {
    RawObject {
        uid: "u".into(),
        resource_version: version.into(),
        data: [("key".to_owned(), value.to_owned())].into(),
        ..RawObject::empty(reference(name))
    }
}

fn value(reader: &Reader, name: &str) -> Option<String> {
    let snapshot = reader.snapshot();
    let value = snapshot
        .get(&reference(name))?
        .content()
        .get("key")?
        .clone();
    Some(value.text().unwrap().to_owned())
}

#[test]
fn lookup_tells_pending_missing_found_and_unwatched_apart() {
    let (writer, reader) = new(1 << 20);
    let scope = writer.scope(named("a"));
    let look = |name: &str| match reader.snapshot().lookup(Kind::ConfigMap, "default", name) {
        Lookup::Found(..) => "found",
        Lookup::Missing(_) => "missing",
        Lookup::Pending(_) => "pending",
        Lookup::Refused(_) => "refused",
        Lookup::Unwatched => "unwatched",
    };
    assert_eq!((look("a"), look("b")), ("pending", "unwatched"));
    scope.replace(vec![]);
    assert_eq!(look("a"), "missing");
    scope.upsert(scope.freeze(raw("a", "1", "x")));
    assert_eq!(look("a"), "found");
    drop(scope);
    assert_eq!(look("a"), "unwatched");
}

#[test]
fn older_versions_never_regress_an_object() {
    let (writer, reader) = new(1 << 20);
    let scope = writer.scope(named("a"));
    scope.replace(vec![scope.freeze(raw("a", "5", "five"))]);
    scope.upsert(scope.freeze(raw("a", "4", "four")));
    assert_eq!(value(&reader, "a").as_deref(), Some("five"));
    scope.remove(&reference("a"), "u", "4");
    assert_eq!(value(&reader, "a").as_deref(), Some("five"));
    scope.remove(&reference("a"), "another", "9");
    assert_eq!(value(&reader, "a").as_deref(), Some("five"));
    scope.remove(&reference("a"), "u", "6");
    assert_eq!(value(&reader, "a"), None);
}

#[test]
fn the_first_scope_wins_and_the_next_takes_over() {
    let (writer, reader) = new(1 << 20);
    let first = writer.scope(named("a"));
    let second = writer.scope(ScopeSpec::on_demand(Selects::Named(reference("a"))));
    second.replace(vec![second.freeze(raw("a", "2", "second"))]);
    first.replace(vec![first.freeze(raw("a", "1", "first"))]);
    assert_eq!(value(&reader, "a").as_deref(), Some("first"));
    drop(first);
    assert_eq!(value(&reader, "a").as_deref(), Some("second"));
}

#[test]
fn an_object_over_the_bound_is_refused_and_the_last_good_one_stays() {
    let (writer, reader) = new(20);
    let scope = writer.scope(named("a"));
    scope.replace(vec![scope.freeze(raw("a", "1", "small"))]);
    scope.upsert(scope.freeze(raw("a", "2", "much too large a value")));
    assert_eq!(value(&reader, "a").as_deref(), Some("small"));
    assert!(reader.snapshot().scopes()[0].refused()[&reference("a")].contains("--max-bytes 20"));
    scope.upsert(scope.freeze(raw("a", "3", "fits")));
    assert_eq!(value(&reader, "a").as_deref(), Some("fits"));
    assert!(!scope.has_refused());
    // A relist over the bound keeps the last good one as well, and room is not lost by refusals.
    scope.replace(vec![scope.freeze(raw("a", "4", "much too large a value"))]);
    assert_eq!(value(&reader, "a").as_deref(), Some("fits"));
    scope.replace(vec![scope.freeze(raw("a", "5", "sixteen bytes ok!"))]);
    assert_eq!(value(&reader, "a").as_deref(), Some("sixteen bytes ok!"));
}

#[test]
fn contact_is_published_only_when_it_changes() {
    let (writer, reader) = new(1 << 20);
    let scope = writer.scope(named("a"));
    scope.live();
    assert!(matches!(
        reader.snapshot().scopes()[0].contact(),
        Contact::Never { .. }
    ));
    scope.replace(vec![]);
    let version = reader.snapshot().version();
    scope.live();
    assert_eq!(reader.snapshot().version(), version);
    let first = Instant::now();
    scope.lost(first, "gone");
    scope.lost(Instant::now(), "still gone");
    let snapshot = reader.snapshot();
    let Contact::Lost { since, reason } = snapshot.scopes()[0].contact() else {
        panic!()
    };
    assert_eq!((*since, &**reason), (first, "still gone"));
    scope.live();
    assert!(reader.snapshot().scopes()[0].contact().age().is_none());
}

#[test]
fn an_unchanged_object_keeps_its_allocation_through_a_relist() {
    let (writer, reader) = new(1 << 20);
    let scope = writer.scope(named("a"));
    scope.replace(vec![scope.freeze(raw("a", "1", "x"))]);
    let before = Arc::clone(reader.snapshot().get(&reference("a")).unwrap());
    scope.replace(vec![scope.freeze(raw("a", "1", "x"))]);
    assert!(Arc::ptr_eq(
        &before,
        reader.snapshot().get(&reference("a")).unwrap()
    ));
}

#[test]
fn what_a_list_left_out_for_its_size_keeps_its_last_good_version() {
    let (writer, reader) = new(40);
    let spec = ScopeSpec::declared(Selects::Directory("d".into()));
    let scope = writer.scope(spec);
    scope.replace(vec![scope.freeze(raw("a", "1", "first"))]);
    let other = scope.freeze(raw("b", "2", "second"));
    scope.replace_with(
        vec![other],
        vec![(reference("a"), 4_096), (reference("c"), 5_000)],
    );
    assert_eq!(value(&reader, "a").as_deref(), Some("first"));
    assert_eq!(value(&reader, "b").as_deref(), Some("second"));
    let snapshot = reader.snapshot();
    let refused = snapshot.scopes()[0].refused();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused[&reference("c")].contains("5000 bytes"));
}
