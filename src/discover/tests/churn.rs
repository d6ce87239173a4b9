//! Random churn, with every view held against the model's, and a client that follows by events.

use proptest::prelude::*;

use super::model::endpoints::{Placed, address, ports, zone};
use super::model::{Model, Reached};
use super::*;
use crate::store::{ETag, Tags};

/// The most endpoints.
const MOST: u16 = 1_000;

#[derive(Debug, Clone)]
enum Step {
    /// Endpoints from a number on appear in a slice.
    Fill(u16, u16, u16),
    Remove(usize),
    /// One endpoint goes to another slice, and for a moment is in both.
    Move(usize, u16, bool),
    Flip(usize, bool, bool, bool),
    Split(usize),
    Merge(usize, usize),
    Drop(usize),
    Create(String, Reached),
    Delete(String),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let slice = 0..12_u16;
    let nth = any::<usize>;
    let name = || prop_oneof![4 => Just("web".to_owned()), 3 => "[a-c]"];
    let reached = prop_oneof![
        4 => (1..5_u8).prop_map(Reached::Address),
        1 => Just(Reached::Headless),
        1 => Just(Reached::External),
    ];
    let truth = proptest::bool::weighted(0.5);
    let step = prop_oneof![
        4 => (slice.clone(), 0..MOST, 1..400_u16).prop_map(|(s, from, n)| Step::Fill(s, from, n)),
        3 => nth().prop_map(Step::Remove),
        4 => (nth(), slice, truth).prop_map(|(e, to, ready)| Step::Move(e, to, ready)),
        4 => (nth(), truth, truth, truth).prop_map(|(e, r, s, t)| Step::Flip(e, r, s, t)),
        2 => nth().prop_map(Step::Split),
        2 => (nth(), nth()).prop_map(|(a, b)| Step::Merge(a, b)),
        1 => nth().prop_map(Step::Drop),
        3 => (name(), reached).prop_map(|(name, reached)| Step::Create(name, reached)),
        1 => name().prop_map(Step::Delete),
    ];
    prop::collection::vec(step, 1..40)
}

/// The product's objects, as the model has them, with their versions.
#[derive(Default)]
struct Cluster {
    model: Model,
    versions: BTreeMap<String, usize>,
    step: usize,
}

impl Cluster {
    /// The slice and the place in it of one of all endpoints.
    fn nth(&self, n: usize) -> Option<(u16, usize)> {
        let slices = self.model.slices.iter();
        let all: Vec<_> = slices
            .flat_map(|(s, p)| (0..p.len()).map(|at| (*s, at)))
            .collect();
        (!all.is_empty()).then(|| all[n % all.len()])
    }

    fn slice(&self, n: usize) -> Option<u16> {
        let slices: Vec<_> = self.model.slices.keys().copied().collect();
        (!slices.is_empty()).then(|| slices[n % slices.len()])
    }

    /// Takes a step, and calls `look` in the middle of it, where it has one.
    fn take(&mut self, step: &Step, look: &mut impl FnMut(&Self)) {
        self.step += 1;
        match step {
            Step::Fill(slice, from, count) => {
                let placed = self.model.slices.entry(*slice).or_default();
                for id in *from..(*from + *count).min(MOST) {
                    let (ready, serving) = (id % 7 != 0, id % 11 != 0);
                    // A slice has an endpoint once.
                    placed.retain(|placed| placed.id != id);
                    placed.push(Placed {
                        id,
                        ready,
                        serving,
                        terminating: false,
                    });
                }
            }
            Step::Remove(n) => {
                let Some((slice, at)) = self.nth(*n) else {
                    return;
                };
                self.placed(slice).remove(at);
            }
            Step::Move(n, to, ready) => {
                let Some((from, at)) = self.nth(*n) else {
                    return;
                };
                let placed = Placed {
                    ready: *ready,
                    ..self.placed(from)[at]
                };
                if self
                    .model
                    .slices
                    .get(to)
                    .is_some_and(|s| s.iter().any(|p| p.id == placed.id))
                {
                    return;
                }
                self.model.slices.entry(*to).or_default().push(placed);
                look(self);
                self.placed(from).remove(at);
            }
            Step::Flip(n, ready, serving, terminating) => {
                let Some((slice, at)) = self.nth(*n) else {
                    return;
                };
                let placed = &mut self.placed(slice)[at];
                (placed.ready, placed.serving) = (*ready, *serving);
                placed.terminating = *terminating;
            }
            Step::Split(n) => {
                let Some(slice) = self.slice(*n) else { return };
                let half = self.placed(slice).len() / 2;
                let moved = self.placed(slice).split_off(half);
                let next = self.model.slices.keys().max().map_or(0, |last| last + 4);
                self.model.slices.insert(next, moved);
            }
            Step::Merge(a, b) => {
                let (Some(from), Some(to)) = (self.slice(*a), self.slice(*b)) else {
                    return;
                };
                let Some(moved) = self.model.slices.remove(&from) else {
                    return;
                };
                let placed = self.model.slices.entry(to).or_default();
                placed.retain(|placed| moved.iter().all(|m| m.id != placed.id));
                placed.extend(moved);
            }
            Step::Drop(n) => {
                let Some(slice) = self.slice(*n) else { return };
                self.model.slices.remove(&slice);
            }
            Step::Create(name, reached) => {
                self.model.services.insert(name.clone(), *reached);
                self.versions.insert(name.clone(), self.step);
            }
            Step::Delete(name) => {
                self.model.services.remove(name);
            }
        }
    }

    fn placed(&mut self, slice: u16) -> &mut Vec<Placed> {
        self.model.slices.get_mut(&slice).unwrap()
    }

    fn services(&self) -> Objects {
        objects(self.model.services.iter().map(|(name, reached)| {
            let held = match reached {
                Reached::Address(n) => cluster_ip(&format!("10.0.0.{n}")),
                Reached::Headless => cluster_ip("None"),
                Reached::External => external("web.example.org"),
            };
            let discovered = Discovered::Service(held);
            object(Kind::Service, name, self.versions[name], discovered)
        }))
    }

    /// With names in one order or the other.
    fn slices(&self, backwards: bool) -> Objects {
        objects(self.model.slices.iter().map(|(number, placed)| {
            let endpoints = placed.iter().map(|placed| known(*number, *placed));
            let endpoints: Vec<_> = endpoints.collect();
            let number = usize::from(*number);
            let order = if backwards { 9_999 - number } else { number };
            slice(&format!("web-{order:04}"), ports(number as u16), &endpoints)
        }))
    }
}

fn known(slice: u16, placed: Placed) -> Endpoint {
    Endpoint {
        addresses: vec![address(slice, placed.id)],
        ready: placed.ready,
        serving: placed.serving,
        terminating: placed.terminating,
        hostname: String::new(),
        node: "node".into(),
        zone: zone(placed.id).into(),
        pod: format!("web-{}", placed.id),
    }
}

/// What a client knows that follows a view by `snapshot` and `change` events.
struct Client {
    /// What a stream keeps of what it sent last.
    sent: Option<(ETag, Arc<Tags>)>,
    /// What the client has.
    has: Value,
}

impl Client {
    fn new() -> Self {
        Self {
            sent: None,
            has: Value::Null,
        }
    }

    /// Gets what leads to `view`; `apply` puts one entry in its place.
    fn follow(&mut self, view: Option<&View>, wrapper: &str, apply: fn(&mut Value, &str, Value)) {
        let Some(view) = view else {
            (self.sent, self.has) = (None, Value::Null);
            return;
        };
        let tags = view.tags();
        match &self.sent {
            Some((head, before)) if head == view.head() => {
                let keys: BTreeSet<_> = before.keys().chain(tags.keys()).collect();
                for key in keys
                    .into_iter()
                    .filter(|key| before.get(*key) != tags.get(*key))
                {
                    let change: Value = serde_json::from_slice(&view.change(key)).unwrap();
                    assert_eq!(change["key"], **key);
                    apply(&mut self.has, key, change["value"].clone());
                }
            }
            _ => {
                let snapshot: Value = serde_json::from_slice(&view.snapshot()).unwrap();
                self.has = snapshot[wrapper].clone();
            }
        }
        self.sent = Some((view.head().clone(), tags));
    }
}

fn apply_address(map: &mut Value, name: &str, value: Value) {
    let map = map.as_object_mut().unwrap();
    match value {
        Value::Null => drop(map.remove(name)),
        address => drop(map.insert(name.to_owned(), address)),
    }
}

fn apply_endpoint(web: &mut Value, address: &str, value: Value) {
    let endpoints = web["endpoints"].as_array_mut().unwrap();
    endpoints.retain(|endpoint| endpoint["address"] != address);
    if !value.is_null() {
        endpoints.push(value);
    }
    endpoints.sort_by_key(|endpoint| endpoint["address"].as_str().unwrap().to_owned());
}

/// The endpoints that the model's view keeps under a filter.
fn narrowed(web: &Value, ready: bool, port: &str, zone: &str) -> Value {
    let mut web = web.clone();
    let endpoints = web["endpoints"].as_array_mut().unwrap();
    endpoints.retain(|e| {
        e["ready"] == ready && e["ports"].get(port).is_some() && e.get("zone") == Some(&json!(zone))
    });
    for endpoint in endpoints {
        endpoint["ports"] = json!({port: endpoint["ports"][port]});
    }
    web
}

/// Holds all views of the present state against the model's.
fn compare(cluster: &Cluster) -> (View, Option<View>) {
    let (services, slices) = (cluster.services(), cluster.slices(false));
    let all = super::super::services(&services);
    assert_eq!(parsed(&all), cluster.model.map());
    let expected = cluster.model.web();
    let web = service("web", &services, &slices, &Filter::default());
    assert_eq!(web.as_ref().map_or(Value::Null, parsed), expected);
    let Some(web) = web else { return (all, None) };
    let renamed = cluster.slices(true);
    let again = service("web", &services, &renamed, &Filter::default()).unwrap();
    assert_eq!(web.json(), again.json(), "whatever the slices are called");
    assert_eq!((web.etag(), web.head()), (again.etag(), again.head()));
    assert!(web.says_the_same(&again));
    let filter = Filter {
        ready: Some(cluster.step.is_multiple_of(2)),
        port: Some("metrics".into()),
        zone: Some("eu-1b".into()),
    };
    let narrow = service("web", &services, &slices, &filter).unwrap();
    let ready = filter.ready == Some(true);
    assert_eq!(
        parsed(&narrow),
        narrowed(&expected, ready, "metrics", "eu-1b")
    );
    (all, Some(web))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn views_and_those_who_follow_them_are_what_the_model_says(
        steps in steps(),
        skips in 1..4_usize,
        full in proptest::bool::weighted(0.4),
    ) {
        let mut cluster = Cluster::default();
        cluster.take(&Step::Create("web".into(), Reached::Address(1)), &mut |_| ());
        // As the controller makes them: a hundred a slice.
        for slice in 0..10 * u16::from(full) {
            cluster.take(&Step::Fill(slice, slice * 100, 100), &mut |_| ());
        }
        let (mut of_all, mut of_web) = (Client::new(), Client::new());
        for step in &steps {
            cluster.take(step, &mut |between| drop(compare(between)));
            let (all, web) = compare(&cluster);
            // A slow client does not see every state.
            if cluster.step.is_multiple_of(skips) {
                of_all.follow(Some(&all), "data", apply_address);
                of_web.follow(web.as_ref(), "service", apply_endpoint);
                assert_eq!(of_all.has, cluster.model.map());
                assert_eq!(of_web.has, cluster.model.web());
            }
        }
    }
}
